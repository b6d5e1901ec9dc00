//! What everybody in a run agrees on before it starts.

use std::time::Duration;

use mpc_nn::{Plan, Preprocessing, Settings, WeightKnowledge};
use mpc_transport::TcpSettings;
use serde::{Deserialize, Serialize};

use super::arguments::{InferArguments, LinkKind, PreprocessingMode};
use super::error::InputError;
use super::network::Network;

/// Bits of a comparison beyond the fractional ones: values stay below 2^14.
const INTEGER_BITS: u32 = 16;

/// A run, as each party and the dealer are told of it. Holds no secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The network's name.
    pub model: String,
    /// The number of parties.
    pub parties: usize,
    /// f.
    pub fractional_bits: u32,
    /// k.
    pub comparison_bits: u32,
    /// The session's id.
    pub session: [u8; 16],
    /// Images per inference.
    pub batch: usize,
    /// The number of inferences, one after the other.
    pub inferences: usize,
    /// When correlations are drawn.
    pub preprocessing: PreprocessingMode,
    /// Whether the model owner computes with its weights in the clear.
    pub owner_computes: bool,
    /// The links that are imitated.
    pub link: LinkKind,
    /// How long a wait may last without progress.
    pub deadline: Duration,
}

impl Job {
    /// The job that the arguments ask for, with a fresh session id.
    pub fn new(arguments: &InferArguments, inferences: usize) -> Result<Self, InputError> {
        let mut session = [0; 16];
        getrandom::fill(&mut session).map_err(|error| InputError::Randomness { reason: error.to_string() })?;
        Ok(Self {
            model: arguments.model.clone(),
            parties: arguments.parties.into(),
            fractional_bits: arguments.fractional_bits,
            comparison_bits: arguments.fractional_bits.saturating_add(INTEGER_BITS),
            session,
            batch: arguments.batch(),
            inferences,
            preprocessing: arguments.preprocessing,
            owner_computes: arguments.owner_computes,
            link: arguments.link,
            deadline: Duration::from_secs(arguments.deadline),
        })
    }

    /// The network.
    pub fn network(&self) -> Result<Network, InputError> {
        Ok(Network::by_name(&self.model)?)
    }

    /// The plan of one inference.
    pub fn plan(&self) -> Result<Plan<u64>, InputError> {
        let settings = Settings {
            fractional_bits: self.fractional_bits,
            comparison_bits: self.comparison_bits,
            weights: if self.owner_computes { WeightKnowledge::Owner } else { WeightKnowledge::Shared },
            ..Settings::new(self.parties)
        };
        Ok(Plan::new(&self.network()?.graph(self.batch)?, settings)?)
    }

    /// How TCP connections wait.
    pub fn tcp_settings(&self) -> TcpSettings {
        TcpSettings { deadline: self.deadline, connect_deadline: self.deadline, ..TcpSettings::default() }
    }

    /// When correlations are drawn, for the executor.
    pub fn preprocessing(&self) -> Preprocessing {
        match self.preprocessing {
            PreprocessingMode::Streamed => Preprocessing::Streamed,
            PreprocessingMode::Ahead => Preprocessing::Ahead,
        }
    }
}
