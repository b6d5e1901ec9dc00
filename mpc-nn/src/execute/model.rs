//! Loading a model: from the owner's weights to every party's shares.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use mpc_protocols::fixed_weights::{FixedWeights, WeightMask};
use mpc_protocols::{CorrelationSource, Party, sharing};
use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, Prg, SecretVec};
use mpc_transport::{Metered, Phase, Transport};

use super::fixed_point::{encode_weights, split_parameters};
use super::labels;
use crate::error::InferenceError;
use crate::plan::{Plan, WeightKnowledge};
use crate::weights::Weights;

/// A party's share of a loaded model, which serves any number of inferences.
#[derive(Debug)]
pub struct Model<R: Ring> {
    /// In the order of [`Plan::weights`].
    pub(super) weights: Vec<FixedWeights<R>>,
    /// In the order of [`Plan::constants`].
    pub(super) constants: Vec<ArithmeticShares<R>>,
}

impl<R: Ring> Model<R> {
    /// Loads a model: the model owner shares its weights, and all open them under their masks, once.
    ///
    /// `source` is a session dealt to [`Plan::setup_requests`]. `weights` is `Some` at the model owner alone.
    ///
    /// # Security
    /// The other parties hold uniformly random shares; Δ = W − B is uniform.
    ///
    /// # Rounds and communication
    /// [`Plan::setup`]: 32 bytes to each other party, then one opening of ℓ/8 bytes per weight.
    ///
    /// # Errors
    /// [`InferenceError::Weights`], [`InferenceError::Range`], [`InferenceError::Step`].
    pub async fn load<T: Transport, L: Transport>(
        party: &mut Party<Metered<T>>,
        mut source: CorrelationSource<L>,
        plan: &Plan<R>,
        weights: Option<&Weights>,
        generator: &mut Prg,
    ) -> Result<Self, InferenceError> {
        let in_load = |source| InferenceError::Step { step: labels::LOAD.to_owned(), source };
        let owner = plan.settings().roles.model_owner;
        let secret = if party.index() == owner { Some(encode_weights(plan, weights)?) } else { None };
        party.transport_mut().begin(Phase::Setup, labels::LOAD);
        let len = plan.parameters_len();
        let shares = match plan.settings().weights {
            WeightKnowledge::Shared => {
                sharing::share(party, owner, &[len], secret.as_deref(), generator).await.map_err(in_load)?
            }
            WeightKnowledge::Owner => {
                let own = secret.unwrap_or_else(|| SecretVec::zeros(len));
                ArithmeticShares::from_elements(own.into_vec())
            }
        };
        let [weights, constants] = split_parameters(plan, shares.elements());
        let as_shares = |elements: &[R]| ArithmeticShares::from_elements(elements.to_vec());
        let mut masked = Vec::with_capacity(weights.len());
        for weight in weights {
            let mask = source.next::<R, WeightMask<R>>(weight.len()).await.map_err(in_load)?;
            masked.push((as_shares(weight), mask));
        }
        let constants = constants.into_iter().map(as_shares).collect();
        let weights = FixedWeights::load(party, masked).await.map_err(in_load)?;
        source.finish().map_err(in_load)?;
        Ok(Self { weights, constants })
    }
}
