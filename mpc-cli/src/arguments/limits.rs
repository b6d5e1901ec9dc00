//! Limits of what a service grants, and of the networks of others that are read.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use mpc_nn::GraphLimits;
use mpc_service::{Limits, PublicModel};

use crate::failure::Failure;

/// How large a network of others may be.
#[derive(Clone, Copy, Debug, Args)]
pub struct NetworkLimitArgument {
    /// The largest network of others that is taken: so many times a ResNet-50; a BERT-base is 2, a GPT-2 3.
    ///
    /// 1 stands for 4 MiB of its description, 10,000 nodes, 16,777,216 elements of a tensor, 268,435,456 of all, 68,719,476,736
    /// multiplications and 134,217,728 comparisons. Networks of one's own have no limit.
    #[arg(
        long,
        default_value_t = 1,
        value_name = "TIMES",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Limits"
    )]
    pub max_network: u32,
}

impl NetworkLimitArgument {
    /// The limits.
    pub fn limits(self) -> GraphLimits {
        GraphLimits::default().times(self.max_network)
    }
}

/// The public part of a model.
#[derive(Clone, Debug, Args)]
pub struct PublicModelArguments {
    /// The public part of the model.
    #[arg(value_name = "PUBLIC")]
    model: PathBuf,
    #[command(flatten)]
    network: NetworkLimitArgument,
}

impl PublicModelArguments {
    /// Reads it.
    pub fn read(&self) -> Result<PublicModel, Failure> {
        Ok(PublicModel::read_within(&self.model, &self.network.limits())?)
    }
}

/// The limits of what a service grants.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArguments {
    /// Sessions at a time.
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub max_sessions: usize,
    /// Sessions at a time of one organisation.
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub max_sessions_per_peer: usize,
    /// Inferences of one session.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub max_inferences: u32,
    /// Memory of all sessions and deposits together, in MiB, by the estimates of their plans.
    #[arg(long, default_value_t = 8192, value_name = "MIB")]
    pub max_memory: u64,
    /// How long a session or a deposit may take; of one that prepares inferences, each of them.
    #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
    pub max_session_time: u64,
    #[command(flatten)]
    pub network: NetworkLimitArgument,
}

impl LimitArguments {
    /// The limits, with so many prepared inferences for each organisation.
    pub fn limits(&self, stored: u32) -> Limits {
        Limits {
            sessions: self.max_sessions,
            sessions_per_peer: self.max_sessions_per_peer,
            inferences: self.max_inferences,
            stored,
            memory: self.max_memory.saturating_mul(1 << 20),
            graph: self.network.limits(),
            session_time: Duration::from_secs(self.max_session_time),
        }
    }
}
