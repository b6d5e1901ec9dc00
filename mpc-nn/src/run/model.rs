//! Loading a model: from its owner's weights, or from kept shares of them, to every party's shares.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;
use core::fmt;

use mpc_protocols::fixed_weights::{FixedWeights, WeightMask};
use mpc_protocols::{CorrelationSource, Party, sharing};
use mpc_ring::{Ring, write_all};
use mpc_shares::{ArithmeticShares, Prg, SecretVec};
use mpc_transport::Phase;

use super::fixed_point::{encode_weights, split_parameters};
use super::labels;
use crate::delegation::ModelShare;
use crate::encoding::{EncodingError, Header, Kind, parts, read_elements};
use crate::error::InferenceError;
use crate::plan::{Owner, Plan};
use crate::weights::Weights;

/// Where a party has a model from.
#[derive(Debug, Default)]
pub enum ModelSource<'a, R: Ring> {
    /// From its owner, another party.
    #[default]
    Peer,
    /// It is this party's own.
    Own(&'a Weights),
    /// From its owner outside, who sent each party a share.
    Share(ModelShare<R>),
}

impl<'a, R: Ring> From<Option<&'a Weights>> for ModelSource<'a, R> {
    /// The party's own weights, if it has some.
    fn from(weights: Option<&'a Weights>) -> Self {
        weights.map_or(Self::Peer, Self::Own)
    }
}

/// A party's share of a loaded model, which serves any number of inferences. Zeroised on drop, never printed.
pub struct Model<R: Ring> {
    pub(crate) header: Header,
    /// In the order of [`Plan::weights`].
    pub(super) weights: Vec<FixedWeights<R>>,
    /// In the order of [`Plan::constants`].
    pub(super) constants: Vec<ArithmeticShares<R>>,
}

impl<R: Ring> fmt::Debug for Model<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Model").field("party", &self.header.party).finish_non_exhaustive()
    }
}

impl<R: Ring> Model<R> {
    /// Loads a model: the model owner shares its weights, or has done so before, and all open them under their masks, once.
    ///
    /// `correlations` is a session dealt to [`Plan::setup_requests`].
    ///
    /// # Security
    /// The parties but a computing model owner hold uniformly random shares; Δ = W − B is uniform, also where one share is
    /// loaded again and again: B is fresh each time.
    ///
    /// # Rounds and communication
    /// [`Plan::setup`]: 32 bytes from a computing model owner to each other party, then openings in the bits
    /// of each weight that its layers read.
    ///
    /// # Errors
    /// [`InferenceError::Weights`], [`InferenceError::Range`], [`InferenceError::Role`], [`InferenceError::Encoding`],
    /// [`InferenceError::Step`].
    pub async fn load(
        party: &mut Party,
        mut correlations: CorrelationSource<'_>,
        plan: &Plan<R>,
        source: ModelSource<'_, R>,
        generator: &mut Prg,
    ) -> Result<Self, InferenceError> {
        let in_load = |source| InferenceError::Step { step: labels::LOAD.to_owned(), source };
        party.transport_mut().begin(Phase::Setup, labels::LOAD);
        let shares = shares(party, plan, source, generator).await?;
        let [weights, constants] = split_parameters(plan, shares.elements());
        let as_shares = |elements: &[R]| ArithmeticShares::from_elements(elements.to_vec());
        let mut masked = Vec::with_capacity(weights.len());
        for (weight, planned) in weights.into_iter().zip(plan.weights()) {
            let mask = correlations.next_modulo::<WeightMask<R>>(planned.width, weight.len()).await.map_err(in_load)?;
            masked.push((as_shares(weight), mask));
        }
        let constants = constants.into_iter().map(as_shares).collect();
        // A large model's messages take the most memory: the shares are not there twice meanwhile.
        drop(shares);
        let weights = FixedWeights::load(party, masked).await.map_err(in_load)?;
        correlations.finish().map_err(in_load)?;
        Ok(Self { header: Header::new(plan, party.index()), weights, constants })
    }

    /// Loads a model where two parties make their own correlations: what a party has of the weights stays with it, and nothing is
    /// opened. For their layers' hints see [`Own::load`](mpc_protocols::own::Own::load).
    ///
    /// # Rounds and communication
    /// [`Plan::setup`]: nothing where the model owner computes; else 32 bytes from it to the other.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub async fn load_own(
        party: &mut Party,
        plan: &Plan<R>,
        source: ModelSource<'_, R>,
        generator: &mut Prg,
    ) -> Result<Self, InferenceError> {
        party.transport_mut().begin(Phase::Setup, labels::LOAD);
        let shares = shares(party, plan, source, generator).await?;
        let [weights, constants] = split_parameters(plan, shares.elements());
        let as_shares = |elements: &[R]| ArithmeticShares::from_elements(elements.to_vec());
        let weights = weights.into_iter().map(|weight| FixedWeights::restore(as_shares(weight), Vec::new())).collect();
        let constants = constants.into_iter().map(as_shares).collect();
        Ok(Self { header: Header::new(plan, party.index()), weights, constants })
    }

    /// The weights as they were loaded, by the indices of their masks.
    pub(crate) fn loaded_weights(&self) -> &[FixedWeights<R>] {
        &self.weights
    }

    /// This party's part of each weight, in the order of the plan.
    pub(crate) fn weight_shares(&self) -> Vec<&[R]> {
        self.weights.iter().map(FixedWeights::share).collect()
    }

    /// Its encoding, of [`Plan::model_bytes`] bytes: this party's shares and Δ.
    ///
    /// # Security
    /// To be kept encrypted. It belongs to the weight masks of the session in which it was loaded, and serves what that
    /// session's dealer deals or has dealt.
    #[must_use]
    pub fn to_bytes(&self) -> SecretVec<u8> {
        let tensors = self.weights.iter().flat_map(|weight| [weight.share(), weight.difference()]);
        let tensors = tensors.chain(self.constants.iter().map(ArithmeticShares::elements));
        let len: usize = tensors.clone().map(<[R]>::len).sum();
        self.header.encode(Kind::Model, len * R::BYTES, |mut bytes| {
            for elements in tensors {
                let (place, rest) = core::mem::take(&mut bytes).split_at_mut(elements.len() * R::BYTES);
                write_all(elements, place);
                bytes = rest;
            }
        })
    }

    /// A party's loaded model from bytes that are not trusted.
    ///
    /// # Errors
    /// [`EncodingError`].
    pub fn from_bytes(plan: &Plan<R>, party: usize, bytes: &[u8]) -> Result<Self, EncodingError> {
        let header = Header::new(plan, party);
        let payload = header.decode(Kind::Model, plan.model_elements() * R::BYTES, bytes)?;
        let opened = |len| if plan.own().is_some() { 0 } else { len };
        let weights = plan.weights().iter().flat_map(|weight| [weight.len, opened(weight.len)]);
        let lengths = weights.chain(plan.constants().iter().map(|constant| constant.len)).map(|len| len * R::BYTES);
        let tensors = parts(payload, lengths);
        let (weights, constants) = tensors.split_at(2 * plan.weights().len());
        let read = |bytes: &[u8]| read_elements(bytes, bytes.len() / R::BYTES).into_vec();
        let as_shares = |bytes: &[u8]| ArithmeticShares::from_elements(read(bytes));
        let weights = weights.as_chunks().0.iter();
        Ok(Self {
            header,
            weights: weights.map(|[share, delta]| FixedWeights::restore(as_shares(share), read(delta))).collect(),
            constants: constants.iter().map(|bytes| as_shares(bytes)).collect(),
        })
    }
}

/// This party's shares of all parameters, in the order of the plan.
async fn shares<R: Ring>(
    party: &mut Party,
    plan: &Plan<R>,
    source: ModelSource<'_, R>,
    generator: &mut Prg,
) -> Result<ArithmeticShares<R>, InferenceError> {
    let wrong = |reason| Err(InferenceError::Role { reason });
    let role = plan.settings().roles.model_owner;
    let weights = match source {
        ModelSource::Share(share) if role == Owner::Outside => return share.open(plan, party.index()),
        ModelSource::Share(_) => return wrong("the model's owner computes: no share of it can be loaded"),
        ModelSource::Own(weights) => Some(weights),
        ModelSource::Peer => None,
    };
    let Owner::Party(owner) = role else { return wrong("the model's owner is outside: load this party's share of it") };
    let is_owner = owner == party.index();
    if weights.is_some() && !is_owner {
        return wrong("the model is another party's: this one loads no weights");
    }
    let secret = if is_owner { Some(encode_weights(plan, weights)?) } else { None };
    let len = plan.parameters_len();
    if plan.settings().clear_owner().is_some() {
        let own = secret.unwrap_or_else(|| SecretVec::zeros(len));
        return Ok(ArithmeticShares::from_elements(own.into_vec()));
    }
    let shared = sharing::share(party, owner, &[len], secret.as_deref(), generator).await;
    shared.map_err(|source| InferenceError::Step { step: labels::LOAD.to_owned(), source })
}
