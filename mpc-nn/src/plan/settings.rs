//! The public parameters of an inference, and why there may be no plan for them.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use mpc_protocols::ProtocolError;
use mpc_protocols::maximum::Grouping;
use mpc_protocols::own::WeightHolder;
use mpc_protocols::sign::SignParameters;
use mpc_ring::Ring;
use mpc_shares::{MAX_PARTIES, ShareError};
use serde::{Deserialize, Serialize};

use super::makers::{Comparisons, Correlations, Transfers};
use crate::encoding::{EncodingError, Kind};

/// The public parameters of an inference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// n: the number of parties, 2 to 8.
    pub parties: usize,
    /// f: the fractional bits of a value.
    pub fractional_bits: u32,
    /// k: the bits in which values are truncated and compared; every one must stay below 2^{k−2−f} in magnitude.
    pub comparison_bits: u32,
    /// The owners of the model, the inputs and the result.
    pub roles: Roles,
    /// The knowledge of the weights.
    pub weights: WeightKnowledge,
    /// The makers of correlations.
    pub correlations: Correlations,
    /// The variant of comparisons: they save rounds or bytes.
    pub comparisons: Comparisons,
}

/// When correlations are drawn from the dealer's stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preprocessing {
    /// Step by step, just before each is used: memory is bounded by the largest layer.
    #[default]
    Streamed,
    /// All before the first online message: the online phase waits for nobody's dealer.
    Ahead,
}

/// The knowledge of the weights while the parties compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WeightKnowledge {
    /// Every party has a share; the model owner, if it computes, treats its own weights as the others do.
    #[default]
    Shared,
    /// The model owner computes with its weights in the clear: only the others send the inputs of linear layers, and
    /// only the owner computes a convolution online. The same is secret from the same parties.
    Owner,
}

impl Settings {
    /// f = 16 and k = 32 (values below 2^14), party 0 owning the model and party 1 the data, weights shared.
    #[must_use]
    pub fn new(parties: usize) -> Self {
        Self {
            parties,
            fractional_bits: 16,
            comparison_bits: 32,
            roles: Roles::default(),
            weights: WeightKnowledge::Shared,
            correlations: Correlations::Dealt,
            comparisons: Comparisons::FewRounds,
        }
    }

    /// As [`new`](Self::new) for two parties without a dealer, of which the model owner computes with its weights in the clear,
    /// with silent transfers, for one inference, and comparisons in few bytes.
    #[must_use]
    pub fn without_dealer() -> Self {
        Self {
            weights: WeightKnowledge::Owner,
            correlations: Correlations::Own { transfers: Transfers::Silent, inferences: 1 },
            comparisons: Comparisons::FewBytes,
            ..Self::new(2)
        }
    }

    /// Comparisons in `bits` bits.
    pub(crate) fn comparison(&self, bits: u32) -> Result<SignParameters, ProtocolError> {
        Ok(SignParameters::new(bits)?.with_variant(self.comparisons.variant()))
    }

    /// How many values a maximum compares at once: two parties without a dealer make no larger groups.
    pub(crate) fn grouping(&self) -> Grouping {
        match self.correlations {
            Correlations::Dealt => Grouping::Four,
            Correlations::Own { .. } => Grouping::Two,
        }
    }

    /// The holder of weights where two parties make their own correlations.
    pub(crate) fn weight_holder(&self) -> WeightHolder {
        self.clear_owner().map_or(WeightHolder::Both, WeightHolder::Party)
    }

    /// The party that computes with the weights in the clear, if one does.
    #[must_use]
    pub fn clear_owner(&self) -> Option<usize> {
        self.roles.model_owner.party().filter(|_| self.weights == WeightKnowledge::Owner)
    }

    /// Their encoding: public, and the same for equal settings.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_extend(self, Kind::Settings.tag().to_vec()).expect("settings always encode")
    }

    /// Settings from bytes that are not trusted. [`Plan::new`](super::Plan::new) finds out whether they are possible.
    ///
    /// # Errors
    /// [`EncodingError::Kind`], [`EncodingError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EncodingError> {
        let kind = Kind::Settings;
        let decoded = postcard::take_from_bytes(kind.untag(bytes)?);
        match decoded.map_err(|error| kind.malformed(error.to_string()))? {
            (settings, []) => Ok(settings),
            _ => Err(kind.malformed("bytes follow its end".to_string())),
        }
    }

    /// The magnitude that values may not reach: 2^{k−2−f}.
    #[must_use]
    pub fn bound(&self) -> f64 {
        let exponent = self.comparison_bits as i32 - 2 - self.fractional_bits as i32;
        if exponent >= 0 { (1u64 << exponent) as f64 } else { 1.0 / (1u64 << -exponent) as f64 }
    }
}

/// The largest k: indices and squares are compared in a few bits more.
pub const MAX_COMPARISON_BITS: u32 = 42;

/// The largest number of inputs that may have owners of their own.
pub const MAX_INPUT_OWNERS: usize = 8;

/// The owner of a model, an input or a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owner {
    /// A computing party.
    Party(usize),
    /// Somebody who does not compute, and sends shares to the parties that do or gets shares from them: see
    /// [`delegation`](crate::delegation).
    Outside,
}

impl Owner {
    /// The party, if it is one.
    #[must_use]
    pub fn party(self) -> Option<usize> {
        match self {
            Self::Party(party) => Some(party),
            Self::Outside => None,
        }
    }
}

impl From<usize> for Owner {
    fn from(party: usize) -> Self {
        Self::Party(party)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Party(party) => write!(formatter, "party {party}"),
            Self::Outside => formatter.write_str("outside"),
        }
    }
}

/// Those who learn the outputs: computing parties, somebody outside, or both.
///
/// ```
/// use mpc_nn::{Owner, Recipients};
/// let both = Recipients::new(&[Owner::Party(1), Owner::Outside, Owner::Party(0)])?;
/// assert_eq!(both.to_string(), "party 0, party 1, outside");
/// assert!(both.contains(Owner::Outside) && !both.contains(Owner::Party(2)));
/// # Ok::<(), mpc_nn::PlanError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipients {
    parties: [bool; MAX_PARTIES],
    outside: bool,
}

impl Recipients {
    const NOBODY: Self = Self { parties: [false; MAX_PARTIES], outside: false };

    /// These, in whatever order; naming one twice is as naming it once.
    ///
    /// # Errors
    /// [`PlanError::Role`] for a party that no group has; [`PlanError::NoRecipient`] for nobody.
    pub fn new(owners: &[Owner]) -> Result<Self, PlanError> {
        let mut recipients = Self::NOBODY;
        for &owner in owners {
            match owner {
                Owner::Party(party) => {
                    let beyond = PlanError::Role { role: RECIPIENT, party, parties: MAX_PARTIES };
                    *recipients.parties.get_mut(party).ok_or(beyond)? = true;
                }
                Owner::Outside => recipients.outside = true,
            }
        }
        if owners.is_empty() { Err(PlanError::NoRecipient) } else { Ok(recipients) }
    }

    /// Whether somebody is among them.
    #[must_use]
    pub fn contains(&self, owner: Owner) -> bool {
        match owner {
            Owner::Party(party) => self.parties.get(party).is_some_and(|&is| is),
            Owner::Outside => self.outside,
        }
    }

    /// The parties among them, in rising order.
    #[must_use]
    pub fn parties(&self) -> Vec<usize> {
        (0..MAX_PARTIES).filter(|&party| self.parties[party]).collect()
    }
}

impl From<Owner> for Recipients {
    fn from(owner: Owner) -> Self {
        // A party that no group has is refused where the plan is made, as any other that is not there.
        let party = owner.party().map(|party| party.min(MAX_PARTIES - 1));
        Self { parties: core::array::from_fn(|index| party == Some(index)), outside: owner == Owner::Outside }
    }
}

impl fmt::Display for Recipients {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outside = self.outside.then_some(Owner::Outside);
        for (index, owner) in self.parties().into_iter().map(Owner::Party).chain(outside).enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(formatter, "{separator}{owner}")?;
        }
        Ok(())
    }
}

/// The owners of the model, the inputs and the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles {
    /// The owner that knows the weights.
    pub model_owner: Owner,
    /// The owner of every input that has no owner of its own. It learns the outputs if nobody else is named.
    pub data_owner: Owner,
    /// The owners of the graph's first inputs, where they are not the data owner's. What comes from outside comes from one.
    pub input_owners: [Option<Owner>; MAX_INPUT_OWNERS],
    /// Those who learn the outputs, where it is not the data owner alone.
    pub recipients: Option<Recipients>,
}

impl Roles {
    /// A computing model owner and a computing data owner, or others, the latter of which learns the outputs.
    #[must_use]
    pub fn new(model_owner: impl Into<Owner>, data_owner: impl Into<Owner>) -> Self {
        let (model_owner, data_owner) = (model_owner.into(), data_owner.into());
        Self { model_owner, data_owner, input_owners: [None; MAX_INPUT_OWNERS], recipients: None }
    }

    /// The owner of an input, by its place among the graph's inputs.
    ///
    /// ```
    /// use mpc_nn::{Owner, Roles};
    /// let mut roles = Roles::default();
    /// roles.input_owners[1] = Some(Owner::Outside);
    /// let owners = [0, 1, 2].map(|input| roles.input_owner(input));
    /// assert_eq!(owners, [Owner::Party(1), Owner::Outside, Owner::Party(1)]);
    /// ```
    #[must_use]
    pub fn input_owner(&self, input: usize) -> Owner {
        self.input_owners.get(input).copied().flatten().unwrap_or(self.data_owner)
    }

    /// Those who learn the outputs.
    #[must_use]
    pub fn recipients(&self) -> Recipients {
        self.recipients.unwrap_or_else(|| self.data_owner.into())
    }
}

impl Default for Roles {
    /// Party 0 owns the model, party 1 the inputs and the outputs.
    fn default() -> Self {
        Self::new(0, 1)
    }
}

/// The role of one who learns the outputs, in messages.
const RECIPIENT: &str = "recipient of the outputs";

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A number of parties that is not supported.
    #[error(transparent)]
    Parties(#[from] ShareError),
    /// A role for a party that does not exist.
    #[error("the {role} is party {party}, but there are {parties} parties, counted from 0")]
    Role {
        /// The role.
        role: &'static str,
        /// The party that was to have it.
        party: usize,
        /// The number of parties.
        parties: usize,
    },
    /// Outputs that nobody learns.
    #[error("nobody is to learn the outputs; name one party, or the one outside, at least")]
    NoRecipient,
    /// A model owner that cannot compute with its weights, since it does not compute.
    #[error("the model owner is outside, so no party can compute with weights in the clear; let the weights be shared")]
    OwnerOutside,
    /// More than two parties, or one, that are to make their own correlations.
    #[error("{parties} parties cannot make their own correlations, two can: let there be two parties, or a dealer")]
    NoDealer {
        /// The number of parties.
        parties: usize,
    },
    /// A step whose correlations two parties cannot make.
    #[error("step `{step}` needs a dealer: {reason}")]
    NeedsDealer {
        /// The step's name.
        step: String,
        /// Why.
        reason: String,
    },
    /// Fixed-point settings that do not fit the ring.
    #[error("f = {fractional_bits} and k = {comparison_bits} do not fit a ring of {ring_bits} bits: {reason}")]
    Precision {
        /// f.
        fractional_bits: u32,
        /// k.
        comparison_bits: u32,
        /// ℓ.
        ring_bits: u32,
        /// The fault.
        reason: &'static str,
    },
    /// A layer that has no private version yet.
    #[error("layer `{layer}` cannot run privately: {reason}")]
    Unsupported {
        /// The node.
        layer: String,
        /// Why.
        reason: String,
    },
}

/// Checks settings against the ring `R`, and gives the bits of its comparisons.
pub(super) fn check_settings<R: Ring>(settings: &Settings) -> Result<SignParameters, PlanError> {
    mpc_shares::check_parties(settings.parties)?;
    let Settings { parties, fractional_bits, comparison_bits, roles, .. } = *settings;
    let input_owners = roles.input_owners.iter().flatten().map(|&owner| ("owner of an input", owner));
    let recipients = roles.recipients().parties().into_iter().map(|party| (RECIPIENT, Owner::Party(party)));
    let owners = [("model owner", roles.model_owner), ("data owner", roles.data_owner)];
    for (role, owner) in owners.into_iter().chain(input_owners).chain(recipients) {
        if let Some(party) = owner.party().filter(|&party| party >= parties) {
            return Err(PlanError::Role { role, party, parties });
        }
    }
    if roles.recipients == Some(Recipients::NOBODY) {
        return Err(PlanError::NoRecipient);
    }
    if settings.correlations != Correlations::Dealt && parties != 2 {
        return Err(PlanError::NoDealer { parties });
    }
    if settings.weights == WeightKnowledge::Owner && roles.model_owner == Owner::Outside {
        return Err(PlanError::OwnerOutside);
    }
    let wrong = |reason| PlanError::Precision { fractional_bits, comparison_bits, ring_bits: R::BITS, reason };
    if fractional_bits == 0 || fractional_bits + 2 >= comparison_bits {
        return Err(wrong("f must be at least 1 and below k − 2"));
    }
    if comparison_bits + fractional_bits > R::BITS {
        return Err(wrong("k + f must not exceed the ring's bits"));
    }
    let unsupported = |_: ProtocolError| wrong("k must be 3 to 42 bits");
    let parameters = settings.comparison(comparison_bits).map_err(unsupported)?;
    if comparison_bits > MAX_COMPARISON_BITS { Err(wrong("k must be 3 to 42 bits")) } else { Ok(parameters) }
}
