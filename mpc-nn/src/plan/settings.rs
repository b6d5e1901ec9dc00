//! The public parameters of an inference, and why there may be no plan for them.

use alloc::string::String;

use mpc_protocols::ProtocolError;
use mpc_protocols::sign::SignParameters;
use mpc_ring::Ring;
use mpc_shares::ShareError;
use serde::Serialize;

/// The public parameters of an inference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// n: the number of parties, 2 to 8.
    pub parties: usize,
    /// f: the fractional bits of a value.
    pub fractional_bits: u32,
    /// k: the bits in which values are truncated and compared; every one must stay below 2^{k−2−f} in magnitude.
    pub comparison_bits: u32,
    /// Who owns what.
    pub roles: Roles,
    /// Who knows the weights.
    pub weights: WeightKnowledge,
}

/// Who knows the weights while the parties compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
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
        }
    }

    /// The magnitude that values may not reach: 2^{k−2−f}.
    #[must_use]
    pub fn bound(&self) -> f64 {
        let exponent = self.comparison_bits as i32 - 2 - self.fractional_bits as i32;
        if exponent >= 0 { (1u64 << exponent) as f64 } else { 1.0 / (1u64 << -exponent) as f64 }
    }
}

/// The largest number of inputs that may have owners of their own.
pub const MAX_INPUT_OWNERS: usize = 8;

/// The parties that own the model, the inputs and the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Roles {
    /// The party that knows the weights.
    pub model_owner: usize,
    /// The party that learns the outputs, and owns every input that has no owner of its own.
    pub data_owner: usize,
    /// The owners of the graph's first inputs, where they are not the data owner's.
    pub input_owners: [Option<usize>; MAX_INPUT_OWNERS],
}

impl Roles {
    /// The party that owns an input, by its place among the graph's inputs.
    ///
    /// ```
    /// use mpc_nn::Roles;
    /// let mut roles = Roles::default();
    /// roles.input_owners[1] = Some(0);
    /// assert_eq!([0, 1, 2].map(|input| roles.input_owner(input)), [1, 0, 1]);
    /// ```
    #[must_use]
    pub fn input_owner(&self, input: usize) -> usize {
        self.input_owners.get(input).copied().flatten().unwrap_or(self.data_owner)
    }
}

impl Default for Roles {
    fn default() -> Self {
        Self { model_owner: 0, data_owner: 1, input_owners: [None; MAX_INPUT_OWNERS] }
    }
}

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
    /// Fixed-point settings that do not fit the ring.
    #[error("f = {fractional_bits} and k = {comparison_bits} do not fit a ring of {ring_bits} bits: {reason}")]
    Precision {
        /// f.
        fractional_bits: u32,
        /// k.
        comparison_bits: u32,
        /// ℓ.
        ring_bits: u32,
        /// What is wrong.
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
    let input_owners = roles.input_owners.iter().flatten().map(|&party| ("owner of an input", party));
    for (role, party) in
        [("model owner", roles.model_owner), ("data owner", roles.data_owner)].into_iter().chain(input_owners)
    {
        if party >= parties {
            return Err(PlanError::Role { role, party, parties });
        }
    }
    let wrong = |reason| PlanError::Precision { fractional_bits, comparison_bits, ring_bits: R::BITS, reason };
    if fractional_bits == 0 || fractional_bits + 2 >= comparison_bits {
        return Err(wrong("f must be at least 1 and below k − 2"));
    }
    if comparison_bits + fractional_bits > R::BITS {
        return Err(wrong("k + f must not exceed the ring's bits"));
    }
    let unsupported = |_: ProtocolError| wrong("k must be 3 to 42 bits");
    SignParameters::new(comparison_bits).map_err(unsupported)
}
