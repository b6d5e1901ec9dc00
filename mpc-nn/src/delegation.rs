//! Owners who do not compute: shares of a model and of inputs for the parties that do, and the outputs from their shares.
//!
//! A model owner outside calls [`split_model`] once and sends each party its share, which the party may keep and load in
//! any number of sessions of the same plan. A data owner outside calls [`split_inputs`] for each inference, sends each party
//! its share, and gets the outputs by [`reconstruct`] from what every party sends back. All of a model or of the inputs but
//! one share is a 32-byte seed for each party.
//!
//! # Security
//! n−1 shares of a model or of inputs are independent uniform values, whatever these are. Send each party its own over a
//! private channel, never two to one party. Input shares serve one inference.
//!
//! A receiver of all shares of the outputs learns the outputs. Of what the parties held, the shares say no more than
//! those of [`sharing::reveal`](mpc_protocols::sharing::reveal) say to a party: those of a product, a comparison or an
//! index are freshly random, those of a truncation and of sums tell only each party's contribution to the result.

use alloc::vec::Vec;
use core::fmt;

use mpc_ring::{Ring, write_all};
use mpc_shares::{ArithmeticShares, Prg, SecretVec, Seed, ShareError};
use ndarray::ArrayD;
use zeroize::Zeroizing;

use crate::encoding::{EncodingError, Header, Kind, read_elements};
use crate::error::InferenceError;
use crate::plan::{Owner, Plan};
use crate::run::fixed_point::{check_outputs, encode_inputs, encode_weights};
use crate::weights::Weights;

/// One party's share of elements that somebody outside knows: zeroised on drop, never printed, not `Clone`.
struct Share<R: Ring> {
    header: Header,
    content: Content<R>,
}

enum Content<R: Ring> {
    /// At all parties but the last.
    Seed(Seed),
    Elements(SecretVec<R>),
}

impl<R: Ring> Share<R> {
    /// Splits a secret among the parties of a plan: all shares but the last are seeds.
    fn split(plan: &Plan<R>, secret: &[R], generator: &mut Prg) -> Result<Vec<Self>, ShareError> {
        let last = plan.settings().parties - 1;
        let seeds: Vec<Seed> = (0..last).map(|_| generator.seed()).collect();
        let copies = seeds.iter().map(|seed| Seed::copy_of(seed.expose())).collect();
        let rest = ArithmeticShares::split_by_seeds(&[secret.len()], secret, copies)?;
        let contents = seeds.into_iter().map(Content::Seed).chain([Content::Elements(rest.into_elements().into())]);
        Ok(contents.enumerate().map(|(party, content)| Self { header: Header::new(plan, party), content }).collect())
    }

    fn to_bytes(&self, kind: Kind) -> SecretVec<u8> {
        match &self.content {
            Content::Seed(seed) => self.header.encode(kind, Seed::BYTES, |bytes| bytes.copy_from_slice(seed.expose())),
            Content::Elements(elements) => {
                self.header.encode(kind, elements.len() * R::BYTES, |bytes| write_all(elements, bytes))
            }
        }
    }

    fn from_bytes(kind: Kind, plan: &Plan<R>, party: usize, len: usize, bytes: &[u8]) -> Result<Self, EncodingError> {
        let header = Header::new(plan, party);
        let content = if plan.place(party).is_last() {
            let payload = header.decode(kind, len * R::BYTES, bytes)?;
            Content::Elements(read_elements(payload, len))
        } else {
            let mut seed = Zeroizing::new([0; Seed::BYTES]);
            seed.copy_from_slice(header.decode(kind, Seed::BYTES, bytes)?);
            Content::Seed(Seed::copy_of(&seed))
        };
        Ok(Self { header, content })
    }

    /// The elements, `len` in number.
    fn expand(self, len: usize) -> Result<ArithmeticShares<R>, ShareError> {
        match self.content {
            Content::Seed(seed) => ArithmeticShares::from_seed(&[len], seed),
            Content::Elements(elements) => ArithmeticShares::new(&[len], elements.into_vec()),
        }
    }
}

/// One party's share of a model whose owner is outside. Zeroised on drop, never printed.
pub struct ModelShare<R: Ring>(Share<R>);

/// One party's share of the inputs of one inference whose owner is outside. Zeroised on drop, never printed, consumed by
/// the inference.
pub struct InputShare<R: Ring>(Share<R>);

macro_rules! share {
    ($share:ident, $len:ident, $bytes:literal) => {
        impl<R: Ring> $share<R> {
            /// The party that it is for.
            #[must_use]
            pub fn party(&self) -> usize {
                self.0.header.party
            }

            /// Its encoding, to be sent to its party over a private channel, and kept encrypted.
            #[must_use]
            pub fn to_bytes(&self) -> SecretVec<u8> {
                self.0.to_bytes(Kind::$share)
            }

            #[doc = concat!("A party's share from bytes that are not trusted, which have [`Plan::", $bytes, "`] bytes.")]
            ///
            /// # Errors
            /// [`EncodingError`].
            pub fn from_bytes(plan: &Plan<R>, party: usize, bytes: &[u8]) -> Result<Self, EncodingError> {
                Share::from_bytes(Kind::$share, plan, party, plan.$len(), bytes).map(Self)
            }

            /// The elements, one tensor after the other, at the party that it is for.
            pub(crate) fn open(self, plan: &Plan<R>, party: usize) -> Result<ArithmeticShares<R>, InferenceError> {
                self.0.header.check(Kind::$share, Header::new(plan, party))?;
                self.0.expand(plan.$len()).map_err(in_shares)
            }
        }
    };
}

share!(ModelShare, parameters_len, "model_share_bytes");
share!(InputShare, outside_inputs_len, "input_share_bytes");

/// One party's share of the outputs of one inference, for the recipient outside. Zeroised on drop, never printed.
pub struct OutputShare<R: Ring> {
    header: Header,
    elements: SecretVec<R>,
}

impl<R: Ring> OutputShare<R> {
    pub(crate) fn new(plan: &Plan<R>, party: usize, elements: SecretVec<R>) -> Self {
        Self { header: Header::new(plan, party), elements }
    }

    /// The party whose it is.
    #[must_use]
    pub fn party(&self) -> usize {
        self.header.party
    }

    /// Its encoding, to be sent to the recipient over a private channel.
    #[must_use]
    pub fn to_bytes(&self) -> SecretVec<u8> {
        let payload = self.elements.len() * R::BYTES;
        self.header.encode(Kind::OutputShare, payload, |bytes| write_all(&self.elements, bytes))
    }

    /// A party's share from bytes that are not trusted, which have [`Plan::output_share_bytes`] bytes.
    ///
    /// # Errors
    /// [`EncodingError`].
    pub fn from_bytes(plan: &Plan<R>, party: usize, bytes: &[u8]) -> Result<Self, EncodingError> {
        let (header, len) = (Header::new(plan, party), plan.outputs_len());
        let payload = header.decode(Kind::OutputShare, len * R::BYTES, bytes)?;
        Ok(Self { header, elements: read_elements(payload, len) })
    }
}

macro_rules! redacted {
    ($($share:ident),*) => {$(
        impl<R: Ring> fmt::Debug for $share<R> {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.debug_struct(stringify!($share)).field("party", &self.party()).finish_non_exhaustive()
            }
        }
    )*};
}

redacted!(ModelShare, InputShare, OutputShare);

/// Splits a model among the parties of a plan whose model owner is outside: one share for each party, in their order.
///
/// # Errors
/// [`InferenceError::Role`] for a plan whose model owner is a party; [`InferenceError::Weights`],
/// [`InferenceError::Range`].
pub fn split_model<R: Ring>(
    plan: &Plan<R>,
    weights: &Weights,
    generator: &mut Prg,
) -> Result<Vec<ModelShare<R>>, InferenceError> {
    if plan.settings().roles.model_owner != Owner::Outside {
        return Err(InferenceError::Role {
            reason: "the plan's model owner is a party, which shares the model itself",
        });
    }
    let secret = encode_weights(plan, Some(weights))?;
    let shares = Share::split(plan, &secret, generator).map_err(in_shares)?;
    Ok(shares.into_iter().map(ModelShare).collect())
}

/// Splits the inputs of one inference that are owned outside, in the order of the graph's, among the parties of a plan:
/// one share for each party, in their order.
///
/// # Errors
/// [`InferenceError::Role`] for a plan whose inputs are all the parties'; [`InferenceError::Input`],
/// [`InferenceError::Bound`], [`InferenceError::Range`].
pub fn split_inputs<R: Ring>(
    plan: &Plan<R>,
    inputs: &[ArrayD<f32>],
    generator: &mut Prg,
) -> Result<Vec<InputShare<R>>, InferenceError> {
    if plan.outside_inputs_len() == 0 {
        return Err(InferenceError::Role { reason: "the plan's inputs are the parties', which share them themselves" });
    }
    let encoded = encode_inputs(plan, Owner::Outside, inputs)?;
    let mut secret = SecretVec::zeros(plan.outside_inputs_len());
    let mut rest = &mut secret[..];
    for input in encoded.iter().flatten() {
        let (place, others) = rest.split_at_mut(input.len());
        place.copy_from_slice(input);
        rest = others;
    }
    let shares = Share::split(plan, &secret, generator).map_err(in_shares)?;
    Ok(shares.into_iter().map(InputShare).collect())
}

/// The outputs, in the order of the graph's, from every party's share of one inference, in whatever order.
///
/// # Errors
/// [`InferenceError::Encoding`] for a share of another plan; [`InferenceError::ShareCount`] and
/// [`InferenceError::MissingShare`] unless there is one share of each party; [`InferenceError::OutputBound`] for outputs
/// beyond the plan's bound; [`InferenceError::IndexRange`] for an index that is none.
pub fn reconstruct<R: Ring>(plan: &Plan<R>, shares: &[OutputShare<R>]) -> Result<Vec<ArrayD<f64>>, InferenceError> {
    let (parties, found) = (plan.settings().parties, shares.len());
    if found != parties {
        return Err(InferenceError::ShareCount { expected: parties, found });
    }
    let mut sum = SecretVec::zeros(plan.outputs_len());
    for party in 0..parties {
        let own = shares.iter().find(|share| share.party() == party);
        let share = own.ok_or(InferenceError::MissingShare { party })?;
        share.header.check(Kind::OutputShare, Header::new(plan, party))?;
        sum.iter_mut().zip(share.elements.iter()).for_each(|(x, &y): (&mut R, _)| *x = x.wrapping_add(y));
    }
    let mut rest = &sum[..];
    let mut take = |len| {
        let (elements, others) = rest.split_at(len);
        rest = others;
        elements
    };
    let outputs = plan.revealed().map(|step| step.format.decode(take(step.shape.iter().product()), &step.shape));
    let outputs: Vec<_> = outputs.collect();
    check_outputs(plan, &outputs)?;
    Ok(outputs)
}

fn in_shares(source: ShareError) -> InferenceError {
    InferenceError::Step { step: "shares from outside".into(), source: source.into() }
}
