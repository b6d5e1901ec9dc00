//! The terms of a packed model's use: who computes, how precisely, and who learns what.

use std::fmt;

use mpc_nn::{
    Comparisons, Correlations, Graph, GraphError, Owner, PlanError, Recipients, Roles, Settings, WeightKnowledge,
};
use mpc_ring::RingBits;
use serde::{Deserialize, Serialize};

/// The largest public part of a packed model, in bytes: a graph may hold tables of indices.
pub const MAX_PUBLIC_BYTES: usize = 64 << 20;

/// The computing parties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// The model owner is party 0, the data owner the last party; servers that hold neither may compute with them.
    #[default]
    Direct,
    /// All parties are servers that hold neither model nor data: the owners send them shares.
    Outsourced,
}

/// The part of the network's outputs that is revealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reveal {
    /// Every number.
    #[default]
    Full,
    /// Of each row of the first output the place of the largest number, and nothing else.
    Class,
}

/// The owners that learn what is revealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevealTo {
    /// The data owner alone.
    #[default]
    DataOwner,
    /// The model owner alone.
    ModelOwner,
    /// Both.
    Both,
}

impl fmt::Display for RevealTo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::DataOwner => "the data owner alone",
            Self::ModelOwner => "the model owner alone",
            Self::Both => "the data owner and the model owner",
        })
    }
}

/// Terms for which there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TermsError {
    /// A model owner that is to learn the result, and takes no part in the session.
    #[error(
        "an outsourced model reveals its result to the data owner alone: the model owner takes no part in the session"
    )]
    OwnerOutside,
    /// Terms of which no plan can be made.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// The terms of a model's use, which all who take part must agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The computing parties.
    pub setting: Topology,
    /// n: the number of computing parties, 2 to 8.
    pub parties: u8,
    /// The ring.
    pub ring: RingBits,
    /// f: the fractional bits of a value.
    pub fractional_bits: u32,
    /// k: the bits of a comparison; values must stay below 2^{k−2−f} in magnitude.
    pub comparison_bits: u32,
    /// Whether the model owner computes with its weights in the clear.
    pub owner_computes: bool,
    /// The part of the outputs that is revealed.
    pub reveal: Reveal,
    /// To whom.
    pub reveal_to: RevealTo,
    /// The makers of correlations: a dealer, or two parties themselves.
    pub correlations: Correlations,
    /// The variant of comparisons: they save rounds or bytes.
    pub comparisons: Comparisons,
}

impl Default for Terms {
    /// A model owner and a data owner who compute with shared weights in Z_{2^64}, f = 16 and k = 32; the latter learns
    /// all numbers.
    fn default() -> Self {
        Self {
            setting: Topology::Direct,
            parties: 2,
            ring: RingBits::Bits64,
            fractional_bits: 16,
            comparison_bits: 32,
            owner_computes: false,
            reveal: Reveal::Full,
            reveal_to: RevealTo::DataOwner,
            correlations: Correlations::Dealt,
            comparisons: Comparisons::FewRounds,
        }
    }
}

impl Terms {
    /// The number of parties.
    #[must_use]
    pub fn parties(&self) -> usize {
        usize::from(self.parties)
    }

    /// Whether a dealer makes the correlations, and not two parties themselves.
    #[must_use]
    pub fn has_dealer(&self) -> bool {
        self.correlations == Correlations::Dealt
    }

    /// The number of servers: all parties but a computing data owner.
    #[must_use]
    pub fn servers(&self) -> usize {
        self.parties().saturating_sub(usize::from(self.setting == Topology::Direct))
    }

    /// The model owner.
    #[must_use]
    pub fn model_owner(&self) -> Owner {
        match self.setting {
            Topology::Direct => Owner::Party(0),
            Topology::Outsourced => Owner::Outside,
        }
    }

    /// The data owner.
    #[must_use]
    pub fn data_owner(&self) -> Owner {
        match self.setting {
            Topology::Direct => Owner::Party(self.parties().saturating_sub(1)),
            Topology::Outsourced => Owner::Outside,
        }
    }

    /// The recipients of each result, in a sentence: for the data owner, before it sends anything.
    #[must_use]
    pub fn disclosure(&self) -> String {
        let what = match self.reveal {
            Reveal::Full => "every number of the result",
            Reveal::Class => "the class, and nothing else of the result",
        };
        let verb = if self.reveal_to == RevealTo::Both { "learn" } else { "learns" };
        let others = match self.reveal_to {
            RevealTo::DataOwner => "nobody else learns anything of the input or the result",
            RevealTo::ModelOwner => "the data owner learns nothing, nobody else anything of the input or the result",
            RevealTo::Both => "nobody else learns anything of the input or the result",
        };
        format!("by the model's terms {} {verb} {what}; {others}", self.reveal_to)
    }

    /// The settings of the plan.
    ///
    /// # Errors
    /// [`TermsError::OwnerOutside`] where the model owner is to learn the result but is no party.
    pub fn settings(&self) -> Result<Settings, TermsError> {
        let (model_owner, data_owner) = (self.model_owner(), self.data_owner());
        let recipients = match self.reveal_to {
            RevealTo::DataOwner => Recipients::new(&[data_owner])?,
            // Of those outside, the data owner gets the shares of a result.
            _ if self.setting == Topology::Outsourced => return Err(TermsError::OwnerOutside),
            RevealTo::ModelOwner => Recipients::new(&[model_owner])?,
            RevealTo::Both => Recipients::new(&[model_owner, data_owner])?,
        };
        Ok(Settings {
            fractional_bits: self.fractional_bits,
            comparison_bits: self.comparison_bits,
            weights: if self.owner_computes { WeightKnowledge::Owner } else { WeightKnowledge::Shared },
            roles: Roles { recipients: Some(recipients), ..Roles::new(model_owner, data_owner) },
            correlations: self.correlations,
            comparisons: self.comparisons,
            ..Settings::new(self.parties())
        })
    }

    /// A network's graph with what the terms reveal as its outputs.
    pub(crate) fn revealed_graph(&self, graph: &Graph) -> Result<Graph, GraphError> {
        match self.reveal {
            Reveal::Full => Ok(graph.clone()),
            Reveal::Class => graph.with_class_only(graph.outputs()[0]),
        }
    }
}
