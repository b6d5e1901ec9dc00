//! Why a service or a client did not do what was asked, for people and for programs.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mpc_nn::{EvaluateError, InferenceError};
use mpc_shares::ShareError;
use mpc_transport::TransportError;
use mpc_transport::tls::SecureError;

use crate::at_rest::packed_model::PackError;
use crate::at_rest::prepared::StoreError;
use crate::at_rest::private_file::DiskError;
use crate::names::{BatchId, Names, Owner, PlanDigest, Refusal, Refused};
use crate::terms::{RevealTo, TermsError};

/// The kind of a failure, as programs distinguish them by the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A fault of this side: its files, its disk, its arguments.
    Own,
    /// Both sides are set up differently, or one is not who it should be. Nothing secret was sent.
    Differs,
    /// A peer went away.
    PeerLost,
    /// A peer did not answer in time.
    TimedOut,
    /// A peer does not grant what was asked.
    Refused,
}

impl Kind {
    /// How figures name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Differs => "differs",
            Self::PeerLost => "peer-lost",
            Self::TimedOut => "timed-out",
            Self::Refused => "refused",
        }
    }
}

/// Why a session, a preparation or a deposit failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// No authenticated connection.
    #[error("{peer}: {source}")]
    Connect {
        /// With whom.
        peer: String,
        /// Why.
        source: Box<SecureError>,
    },
    /// A connection failed.
    #[error("{peer}: {source}")]
    Link {
        /// With whom.
        peer: String,
        /// Why.
        source: Box<TransportError>,
    },
    /// A step of the session failed.
    #[error("{source} ({names})")]
    Session {
        /// Why, with the step and the index of the party.
        source: Box<InferenceError>,
        /// Which parties there are.
        names: Names,
    },
    /// A message that nobody of this version sends.
    #[error("{peer} sent a message that cannot be read: check that it runs the same version")]
    Malformed {
        /// The other participant.
        peer: String,
    },
    /// Another version.
    #[error("{peer} disagrees on \"service version\": here it is \"{ours}\", there \"{theirs}\"; run the same version")]
    Version {
        /// The other participant.
        peer: String,
        /// Here.
        ours: u16,
        /// There.
        theirs: u16,
    },
    /// A peer does not grant what was asked.
    #[error("{peer} refuses: {reason}")]
    Refused {
        /// The other participant.
        peer: String,
        /// Why, for programs.
        refusal: Refusal,
        /// Why, for people.
        reason: String,
    },
    /// A machine that is said to be where this side does not expect it. Nothing was sent there.
    #[error(
        "{peer} is said to have a machine at {address}, which is none of the addresses that this side has of it: name it \
         there, too"
    )]
    Elsewhere {
        /// The other participant.
        peer: String,
        /// The address.
        address: String,
    },
    /// A participant with several addresses, and nothing that says which machine takes part in a session.
    #[error(
        "{peer} has several addresses here, and did not say which of its machines this is: have it say where it is"
    )]
    Unplaced {
        /// The other participant.
        peer: String,
    },
    /// A party that should have joined did not.
    #[error("{peer} did not join the session in time: check that it runs, and that it reaches this party")]
    NotJoined {
        /// The other participant.
        peer: String,
    },
    /// A participant that went away while this side waited for somebody else.
    #[error("{peer} went away before the session began: see its own log for the cause")]
    Lost {
        /// The other participant.
        peer: String,
    },
    /// A peer that has connected and does not say what it wants.
    #[error("{peer} did not say within {seconds} s what it wants")]
    Silent {
        /// The other participant.
        peer: String,
        /// The limit.
        seconds: u64,
    },
    /// A dealer that takes part in what it deals for.
    #[error(
        "{name} is named as the dealer and takes part, too: the dealer works together with nobody and has a key of its own"
    )]
    DealerTakesPart {
        /// How it is named.
        name: String,
    },
    /// One certificate for two of the parties that compute: who has it would hold the shares of both.
    #[error("{name} is named for two parties: each is another organisation, with a key of its own")]
    PartyTwice {
        /// How it is named.
        name: String,
    },
    /// A dealer whose audit has found a wrong inference: nothing of the batch is kept.
    #[error(
        "the dealer {dealer} has dealt wrongly: prepared inference {place} is not what follows from the seed that it committed to; nothing of the batch is kept"
    )]
    WronglyDealt {
        /// The dealer.
        dealer: String,
        /// Which of the inferences of the batch.
        place: u32,
    },
    /// A session that lasts longer than this side allows.
    #[error("the session with {peer} took longer than {seconds} s, the limit here")]
    TooLong {
        /// With whom.
        peer: String,
        /// The limit.
        seconds: u64,
    },
    /// A packed model.
    #[error(transparent)]
    Pack(Box<PackError>),
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] TermsError),
    /// An input that does not fit the model.
    #[error(transparent)]
    Input(#[from] EvaluateError),
    /// Inputs beyond the range that the model's plan was made for. Nothing was sent.
    #[error("{0}; nothing was sent")]
    Unfit(Box<InferenceError>),
    /// Stored correlations or models.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing prepared is left.
    #[error(
        "no prepared inference is left for plan {plan} with these servers and this key: prepare more, or use a dealer"
    )]
    NothingPrepared {
        /// The plan.
        plan: PlanDigest,
    },
    /// The operating system gives no random numbers.
    #[error(transparent)]
    Seed(#[from] ShareError),
    /// Cannot listen.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The reason that the operating system gives.
        source: io::Error,
    },
    /// More servers or fewer than the terms of the model say.
    #[error("this model has {needed} server(s), but {named} are named: name each, in the order of their parties")]
    Servers {
        /// How many there are.
        needed: usize,
        /// How many are named.
        named: usize,
    },
    /// Recipients of the result to whom the data owner has not agreed. Nothing was sent.
    #[error("the terms of this model reveal the result to {terms}; agreed to here is {agreed}: nothing was sent")]
    Recipients {
        /// By the terms of the model.
        terms: RevealTo,
        /// By the data owner.
        agreed: RevealTo,
    },
    /// Results for a model owner that has not said where they go.
    #[error("the terms of this model reveal its results to this side: say where they are to go")]
    NoRecipient,
    /// A session with a dealer, and none that is named.
    #[error("no dealer is named, which this session needs")]
    NoDealer,
    /// A dealer that is named for a model whose parties make their own correlations. Nothing was sent.
    #[error("a dealer is named, and by the terms of this model there is none: the two parties make the correlations")]
    NeedlessDealer,
    /// Models of several owners, and none that is named.
    #[error("{} model owners have left models of this plan: name the one that is meant; by fingerprint: {}", .owners.len(), shown_owners(.owners))]
    SeveralOwners {
        /// The owners.
        owners: Vec<Owner>,
    },
    /// No model that all servers have shares of.
    #[error("{}: let the model owner leave it with all of the servers", missing(.wanted.as_ref()))]
    NotDeposited {
        /// The owner that is named, if one is.
        wanted: Option<Owner>,
    },
    /// Prepared inferences of a model that its owner has replaced.
    #[error(
        "batch {batch} was prepared with a model that its owner has replaced since: remove the batch, prepare anew"
    )]
    Replaced {
        /// The batch.
        batch: BatchId,
    },
    /// A store of prepared inferences that was restored from a copy. Nothing was sent.
    #[error(
        "the store here was restored from a copy: {peer} has used inference {until} of batch {batch}, which this side has \
         not: nothing was sent, and nothing of the batch up to there may be used again"
    )]
    Restored {
        /// The batch.
        batch: BatchId,
        /// The server that has used more of it.
        peer: String,
        /// The largest place that was used.
        until: u32,
    },
    /// A deposit of a model that its owner computes.
    #[error("this model is computed by its owner: serve it, or pack it for servers that hold shares of it")]
    NotOutsourced,
    /// Arguments that contradict each other or the model.
    #[error("{0}")]
    Arguments(String),
}

impl From<DiskError> for ServiceError {
    fn from(error: DiskError) -> Self {
        Self::Store(error.into())
    }
}

impl From<PackError> for ServiceError {
    fn from(error: PackError) -> Self {
        Self::Pack(error.into())
    }
}

impl ServiceError {
    /// A session with a peer that took longer than a limit.
    pub(crate) fn too_long(peer: &str, limit: Duration) -> Self {
        Self::TooLong { peer: peer.to_owned(), seconds: limit.as_secs() }
    }

    /// Inputs that were refused before anybody else takes part.
    pub(crate) fn unfit(error: InferenceError) -> Self {
        match error {
            InferenceError::Input(error) => error.into(),
            error => Self::Unfit(error.into()),
        }
    }

    pub(crate) fn connect(peer: &str, source: SecureError) -> Self {
        Self::Connect { peer: peer.to_owned(), source: source.into() }
    }

    /// The kind of this failure.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Connect { source, .. } => of_tls(source),
            Self::Link { source, .. } => of_transport(source),
            Self::Session { source, .. } => transport_error(source.as_ref()).map_or(Kind::Own, of_transport),
            Self::Lost { .. } => Kind::PeerLost,
            Self::Malformed { .. }
            | Self::Version { .. }
            | Self::Elsewhere { .. }
            | Self::Unplaced { .. }
            | Self::WronglyDealt { .. } => Kind::Differs,
            Self::Refused { refusal: Refusal::Differs, .. } => Kind::Differs,
            Self::Refused { refusal: Refusal::Absent, .. } => Kind::TimedOut,
            Self::Refused { .. } | Self::NotDeposited { .. } | Self::Replaced { .. } | Self::Restored { .. } => {
                Kind::Refused
            }
            Self::NotJoined { .. } | Self::Silent { .. } | Self::TooLong { .. } => Kind::TimedOut,
            _ => Kind::Own,
        }
    }

    /// The part of it that a peer is told: nothing about this side's files.
    pub(crate) fn refusal(&self) -> Refused {
        match self {
            Self::Version { .. }
            | Self::Malformed { .. }
            | Self::Elsewhere { .. }
            | Self::Unplaced { .. }
            | Self::WronglyDealt { .. } => (Refusal::Differs, self.to_string()),
            _ => (Refusal::Internal, "a fault on this side; its log says more".to_owned()),
        }
    }
}

fn shown_owners(owners: &[Owner]) -> String {
    owners.iter().map(Owner::to_string).collect::<Vec<_>>().join(", ")
}

fn missing(wanted: Option<&Owner>) -> String {
    match wanted {
        Some(owner) => format!("the servers have no model of this plan in common that owner {owner} has left"),
        None => "the servers have no model of this plan in common".to_owned(),
    }
}

/// The transport's error at the bottom of another one.
fn transport_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a TransportError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<TransportError>() {
            return Some(found);
        }
        if let Some(found) = error.downcast_ref::<Box<TransportError>>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

fn of_tls(error: &SecureError) -> Kind {
    match error {
        SecureError::Connect { .. }
        | SecureError::UnknownHost { .. }
        | SecureError::Closed { .. }
        | SecureError::Io { .. } => Kind::PeerLost,
        SecureError::Timeout { .. } => Kind::TimedOut,
        // Somebody else, somebody with another version, or one to whom this side is somebody else.
        _ => Kind::Differs,
    }
}

fn of_transport(error: &TransportError) -> Kind {
    match error {
        TransportError::Closed { .. }
        | TransportError::Io { .. }
        | TransportError::Interrupted { .. }
        | TransportError::Corrupted { .. }
        | TransportError::Connect { .. } => Kind::PeerLost,
        TransportError::Timeout { .. } => Kind::TimedOut,
        TransportError::HandshakeMismatch { .. }
        | TransportError::HandshakeMalformed { .. }
        | TransportError::WrongLength { .. }
        | TransportError::FrameTooLong { .. } => Kind::Differs,
        _ => Kind::Own,
    }
}

/// An error of a link to a named peer.
pub(crate) fn in_link(peer: &str) -> impl FnOnce(TransportError) -> ServiceError + use<'_> {
    move |source| ServiceError::Link { peer: peer.to_owned(), source: source.into() }
}
