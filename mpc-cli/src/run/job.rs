//! The job: the settings that everybody in a run agrees on before it starts.

use std::num::NonZeroU8;
use std::time::Duration;

use mpc_nn::plan::{MAX_INPUT_OWNERS, Variants};
use mpc_nn::{Comparisons, Correlations, Graph, Owner, Plan, Preprocessing, Roles, Settings, WeightKnowledge};
use mpc_ring::threads::{self, ThreadsError};
use mpc_ring::{Ring, RingBits, in_ring};
use mpc_transport::{LinkSettings, TcpSettings};
use serde::{Deserialize, Serialize};

use super::arguments::{PreprocessingMode, RunArguments};
use super::error::InputError;
use crate::link::LinkArgument;

/// A run, as each party and the dealer are told of it. Holds no secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The network's architecture.
    #[serde(with = "graph_bytes")]
    pub graph: Graph,
    /// The number of parties.
    pub parties: usize,
    /// ℓ.
    pub ring: RingBits,
    /// f.
    pub fractional_bits: u32,
    /// k.
    pub comparison_bits: u32,
    /// The session's id.
    pub session: [u8; 16],
    /// The owners of the first inputs, where they are not party 1's.
    pub input_owners: Vec<Option<usize>>,
    /// The number of inferences, one after the other.
    pub inferences: usize,
    /// When correlations are drawn.
    pub preprocessing: PreprocessingMode,
    /// The threads that each process computes on.
    pub threads: NonZeroU8,
    /// Whether the model owner computes with its weights in the clear.
    pub owner_computes: bool,
    /// The makers of correlations.
    pub correlations: Correlations,
    /// The variant of comparisons.
    pub comparisons: Comparisons,
    /// The links that are imitated.
    pub link: LinkArgument,
    /// How long a wait may last without progress.
    pub deadline: Duration,
}

impl Job {
    /// The job that the arguments ask for, with a fresh session id.
    pub fn new(arguments: &RunArguments, graph: Graph) -> Result<Self, InputError> {
        let mut session = [0; 16];
        getrandom::fill(&mut session).map_err(|error| InputError::Randomness { reason: error.to_string() })?;
        let input_owners = input_owners(arguments, &graph)?;
        if !arguments.terms.are_plain() {
            let reason = "--outsourced, --reveal and --reveal-to are for --transport services";
            return Err(InputError::Named(reason.to_owned()));
        }
        let terms = arguments.terms.terms();
        let mut job = Self {
            graph,
            parties: terms.parties.into(),
            ring: terms.ring,
            fractional_bits: terms.fractional_bits,
            comparison_bits: terms.comparison_bits,
            session,
            input_owners,
            inferences: 1,
            preprocessing: arguments.preprocessing_mode(),
            threads: arguments.threads,
            owner_computes: terms.owner_computes,
            correlations: arguments.correlations(),
            comparisons: terms.comparisons,
            link: arguments.terms.link,
            deadline: Duration::from_secs(arguments.deadline),
        };
        if let Some(link) = arguments.terms.choosing_by()? {
            job.comparisons = in_ring!(job.ring, R => job.faster::<R>(link))?;
        }
        Ok(job)
    }

    /// The variant of comparisons that is faster over a link.
    fn faster<R: Ring>(&self, link: LinkSettings) -> Result<Comparisons, InputError> {
        Ok(Variants::<R>::new(&self.graph, self.settings(), link, self.preprocessing())?.faster())
    }

    /// Whether a dealer takes part.
    pub fn has_dealer(&self) -> bool {
        self.correlations == Correlations::Dealt
    }

    /// The owners of the model and of the inputs.
    pub fn roles(&self) -> Roles {
        let mut roles = Roles::default();
        for (owner, named) in roles.input_owners.iter_mut().zip(&self.input_owners) {
            *owner = named.map(Owner::Party);
        }
        roles
    }

    /// The plan of one inference in a ring, which must be [`ring`](Self::ring).
    pub fn plan<R: Ring>(&self) -> Result<Plan<R>, InputError> {
        Ok(Plan::new(&self.graph, self.settings())?)
    }

    fn settings(&self) -> Settings {
        Settings {
            fractional_bits: self.fractional_bits,
            comparison_bits: self.comparison_bits,
            weights: if self.owner_computes { WeightKnowledge::Owner } else { WeightKnowledge::Shared },
            roles: self.roles(),
            correlations: self.correlations,
            comparisons: self.comparisons,
            ..Settings::new(self.parties)
        }
    }

    /// How TCP connections wait.
    pub fn tcp_settings(&self) -> TcpSettings {
        TcpSettings { deadline: self.deadline, connect_deadline: self.deadline, ..TcpSettings::default() }
    }

    /// Lets this process have its threads.
    ///
    /// # Errors
    /// [`ThreadsError`]
    pub fn start_threads(&self) -> Result<(), ThreadsError> {
        threads::set(self.threads.into())
    }

    /// When correlations are drawn, for the executor.
    pub fn preprocessing(&self) -> Preprocessing {
        self.preprocessing.order()
    }
}

/// The owners that `--input-owner` names, by the place of the input.
fn input_owners(arguments: &RunArguments, graph: &Graph) -> Result<Vec<Option<usize>>, InputError> {
    let names: Vec<_> = graph.inputs().iter().map(|&id| graph.node(id).name()).collect();
    let mut owners = vec![None; names.len().min(MAX_INPUT_OWNERS)];
    for named in &arguments.input_owner {
        let wrong = || {
            let names = names.join("`, `");
            InputError::Named(format!("--input-owner {named} is not NAME=PARTY; the inputs are `{names}`"))
        };
        let (name, party) = named.rsplit_once('=').ok_or_else(wrong)?;
        let place = names.iter().position(|input| *input == name).ok_or_else(wrong)?;
        let party: usize = party.parse().map_err(|_| wrong())?;
        *owners.get_mut(place).ok_or_else(wrong)? = Some(party);
    }
    Ok(owners)
}

/// A graph in its canonical encoding, since JSON has no infinite numbers.
mod graph_bytes {
    use mpc_nn::Graph;
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(graph: &Graph, serializer: S) -> Result<S::Ok, S::Error> {
        postcard::to_allocvec(graph).map_err(S::Error::custom)?.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Graph, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        postcard::from_bytes(&bytes).map_err(D::Error::custom)
    }
}
