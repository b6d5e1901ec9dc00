//! The first messages of a connection: what it is for, and whether that is granted.
//!
//! Each is one frame in postcard, its version first, so that another version can refuse it by name.

use mpc_nn::Settings;
use mpc_ring::RingBits;
use mpc_transport::Connection;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{ServiceError, in_link};
use crate::names::{BatchId, DepositId, PlanDigest, Refusal, SessionId};
use crate::terms::MAX_PUBLIC_BYTES;

/// The version of these messages.
pub const SERVICE_VERSION: u16 = 7;

/// The longest opening of a connection, in bytes: a dealer is sent the graph.
pub const MAX_OPENING_BYTES: usize = MAX_PUBLIC_BYTES + 4096;
/// The most bytes of a model's share in one frame: a share may be longer than a frame can be.
pub const SHARE_FRAME_BYTES: usize = 1 << 20;
/// The longest opening that is no graph's.
pub const MAX_SHORT_BYTES: usize = 4096;
/// The longest list of models that have been left with a server.
pub const MAX_OFFER_BYTES: usize = 256 << 10;
/// The longest list of places in a batch.
pub const MAX_PLACES_BYTES: usize = 1 << 20;
/// The longest reason of a refusal that is shown, in bytes.
const MAX_REASON_BYTES: usize = 1024;

/// The purpose of a connection.
#[derive(Debug, Serialize, Deserialize)]
pub enum Opening {
    /// A data owner asks a server for a session.
    Session(SessionRequest),
    /// A server joins a session that a data owner asked both for.
    Join {
        /// The session.
        session: SessionId,
        /// The index of the party that joins.
        party: u32,
    },
    /// The second of two parties without a dealer opens the link over which the two make correlations.
    Pair {
        /// The session.
        session: SessionId,
        /// The index of the party that opens it.
        party: u32,
    },
    /// A party asks the dealer for correlations.
    Deal(Box<DealRequest>),
    /// A model owner leaves a share of its model at a server, which does not use it yet.
    Deposit {
        /// The version that it makes up, the same at all servers.
        version: [u8; 16],
        /// The length of the public part that follows, in bytes.
        public: u64,
        /// The length of the share that follows then, in bytes; it comes in frames of [`SHARE_FRAME_BYTES`].
        share: u64,
    },
    /// A data owner has no use any more for a batch of prepared inferences.
    Drop(BatchId),
    /// A model owner asks which versions of its model of that plan are there; an [`Offer`] follows.
    Deposited(PlanDigest),
    /// A model owner has a server use the version that it has left, in place of the one before.
    Switch {
        /// The plan.
        plan: PlanDigest,
        /// The version.
        version: [u8; 16],
    },
}

/// The models of a plan that have been left with a server, none where the server computes with one of its own; and how far it
/// has used a batch.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Offer {
    /// Each, and whether sessions use it already.
    pub deposits: Vec<(DepositId, bool)>,
    /// The largest place of the session's batch that it has used; the data owner has used it, too, unless its store was
    /// restored from a copy.
    pub high: Option<u32>,
    /// Where this machine of the server is called, if it has said so: others of the session are to call no other one.
    pub address: Option<String>,
}

/// The model that a session uses, of those that all servers have, and where the servers meet.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Choice {
    /// The deposit that is chosen, if there is something to choose.
    pub deposit: Option<DepositId>,
    /// Of several servers, the address of the machine of each that takes part, by the index of the party, as far as it is
    /// known.
    pub servers: Vec<Option<String>>,
}

impl Choice {
    /// Whether the server says if it can do that.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.deposit.is_some() || !self.servers.is_empty()
    }
}

/// A session as a data owner asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRequest {
    /// Its identity.
    pub session: SessionId,
    /// The plan.
    pub plan: PlanDigest,
    /// The work of the session.
    pub work: Work,
    /// How many inferences.
    pub inferences: u32,
}

/// The work of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Inferences whose correlations are made now.
    Live,
    /// Correlations are made and stored as a batch; no inference.
    Prepare(Preparation),
    /// Inferences with stored correlations; the message that follows says which.
    Prepared(BatchId),
}

/// A batch that is prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preparation {
    /// The batch.
    pub batch: BatchId,
    /// How many of its inferences are drawn at the end, dealt again and destroyed.
    pub audited: u32,
}

/// The places of a batch that its parties have drawn and destroyed, in ascending order, as they tell a data owner that is none of
/// them.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audited(pub Vec<u32>);

/// The request of a party to the dealer.
#[derive(Debug, Serialize, Deserialize)]
pub struct DealRequest {
    /// The session.
    pub session: SessionId,
    /// The index of the party that asks.
    pub party: u32,
    /// The work of the session; never [`Work::Prepared`].
    pub work: Work,
    /// How many inferences.
    pub inferences: u32,
    /// The ring.
    pub ring: RingBits,
    /// The settings of the plan.
    pub settings: Settings,
    /// The graph.
    pub graph: Vec<u8>,
}

/// Which inferences of a batch a session uses, in order.
#[derive(Debug, Serialize, Deserialize)]
pub struct Uses {
    /// Their places.
    pub indices: Vec<u32>,
    /// The largest place of which every party has used its own, unless its store was restored from a copy.
    pub confirmed: Option<u32>,
}

/// The answer to an opening.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Granted.
    Accepted,
    /// Not granted.
    Refused {
        /// Why, for programs.
        refusal: Refusal,
        /// Why, for people.
        reason: String,
    },
}

/// A message as it is sent: the version, then the message.
#[derive(Serialize, Deserialize)]
struct Versioned<M> {
    version: u16,
    message: M,
}

/// Sends a message to the other node.
pub async fn send<C: Connection, M: Serialize>(link: &mut C, message: &M, peer: &str) -> Result<(), ServiceError> {
    let versioned = Versioned { version: SERVICE_VERSION, message };
    let bytes = postcard::to_allocvec(&versioned).expect("messages have no maps, so they always encode");
    link.send(&bytes).await.map_err(in_link(peer))
}

/// Receives a message of at most `limit` bytes from the other node.
pub async fn receive<C: Connection, M: DeserializeOwned>(
    link: &mut C,
    limit: usize,
    peer: &str,
) -> Result<M, ServiceError> {
    let bytes = link.receive_bounded(limit).await.map_err(in_link(peer))?;
    decode(&bytes, peer)
}

fn decode<M: DeserializeOwned>(bytes: &[u8], peer: &str) -> Result<M, ServiceError> {
    let malformed = || ServiceError::Malformed { peer: peer.to_owned() };
    let (version, rest) = postcard::take_from_bytes::<u16>(bytes).map_err(|_| malformed())?;
    if version != SERVICE_VERSION {
        return Err(ServiceError::Version { peer: peer.to_owned(), ours: SERVICE_VERSION, theirs: version });
    }
    match postcard::take_from_bytes(rest) {
        Ok((message, [])) => Ok(message),
        _ => Err(malformed()),
    }
}

/// Sends a model's share.
pub async fn send_share<C: Connection>(link: &mut C, share: &[u8], peer: &str) -> Result<(), ServiceError> {
    for part in share.chunks(SHARE_FRAME_BYTES) {
        link.send(part).await.map_err(in_link(peer))?;
    }
    Ok(())
}

/// Receives a model's share, of the length that the plan says.
pub async fn receive_share<C: Connection>(link: &mut C, share: &mut [u8], peer: &str) -> Result<(), ServiceError> {
    for part in share.chunks_mut(SHARE_FRAME_BYTES) {
        link.receive(part).await.map_err(in_link(peer))?;
    }
    Ok(())
}

/// Sends an opening, and waits until it is granted.
pub async fn open<C: Connection>(link: &mut C, opening: &Opening, peer: &str) -> Result<(), ServiceError> {
    send(link, opening, peer).await?;
    await_grant(link, peer).await
}

/// Waits for an answer, which must be that the request is granted.
pub async fn await_grant<C: Connection>(link: &mut C, peer: &str) -> Result<(), ServiceError> {
    match receive(link, MAX_SHORT_BYTES, peer).await? {
        Answer::Accepted => Ok(()),
        Answer::Refused { refusal, reason } => {
            let reason: String = reason.chars().filter(|character| !character.is_control()).collect();
            Err(ServiceError::Refused { peer: peer.to_owned(), refusal, reason })
        }
    }
}

/// Grants a request.
pub async fn accept<C: Connection>(link: &mut C, peer: &str) -> Result<(), ServiceError> {
    send(link, &Answer::Accepted, peer).await
}

/// Refuses a request; that the peer is gone already makes no difference.
pub async fn refuse<C: Connection>(link: &mut C, refusal: Refusal, reason: &str, peer: &str) {
    let end = (0..=MAX_REASON_BYTES).rev().find(|&end| reason.is_char_boundary(end)).unwrap_or(0);
    let reason = reason.get(..end).unwrap_or(reason).to_owned();
    let _ = send(link, &Answer::Refused { refusal, reason }, peer).await;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn another_version_is_named() {
        let bytes = postcard::to_allocvec(&(SERVICE_VERSION + 1, "whatever comes then")).unwrap();
        let error = decode::<Answer>(&bytes, "acme").unwrap_err();
        assert!(
            matches!(error, ServiceError::Version { ours, theirs, .. } if (ours, theirs) == (SERVICE_VERSION, ours + 1))
        );
    }

    #[test]
    fn bytes_after_the_end_are_refused() {
        let versioned = Versioned { version: SERVICE_VERSION, message: Answer::Accepted };
        let mut bytes = postcard::to_allocvec(&versioned).unwrap();
        assert!(decode::<Answer>(&bytes, "acme").is_ok());
        bytes.push(0);
        assert!(matches!(decode::<Answer>(&bytes, "acme"), Err(ServiceError::Malformed { .. })));
    }

    #[test]
    fn a_share_of_several_frames_arrives() {
        for len in [1, SHARE_FRAME_BYTES, 2 * SHARE_FRAME_BYTES + 5] {
            let share: Vec<u8> = (0..len).map(|place| (place % 251) as u8).collect();
            let (mut ours, mut theirs) = mpc_transport::memory_link(std::time::Duration::from_secs(60));
            let mut received = vec![0; len];
            let both = smol::future::try_zip(
                send_share(&mut ours, &share, "server0"),
                receive_share(&mut theirs, &mut received, "acme"),
            );
            smol::block_on(both).unwrap();
            assert!(received == share);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let _ = decode::<Opening>(&bytes, "acme");
            let with_version = [&[SERVICE_VERSION as u8][..], &bytes].concat();
            let _ = decode::<Opening>(&with_version, "acme");
            let _ = decode::<Answer>(&with_version, "acme");
            let _ = decode::<Uses>(&with_version, "acme");
            let _ = decode::<Offer>(&with_version, "acme");
            let _ = decode::<Choice>(&with_version, "acme");
        }
    }
}
