//! The errors between the parties, by name.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use crate::RecordingError;

/// The other side of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The party of that index in a network.
    Party(usize),
    /// The other end of a connection between two.
    OtherEnd,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Party(party) => write!(f, "party {party}"),
            Self::OtherEnd => f.write_str("the other end"),
        }
    }
}

/// The thing that a party was waiting for when its deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wait {
    /// The peer to connect.
    Connection,
    /// A frame from the peer, or the rest of one.
    Message,
    /// The peer to take in what was sent to it.
    Delivery,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "it to connect",
            Self::Message => "its message",
            Self::Delivery => "it to read what was sent",
        })
    }
}

/// A failed transport operation. Each variant names the peer, where one is at fault.
///
/// After an error the link to that peer is out of step: later operations on it fail too. Start a new session.
/// Text from a peer is shown escaped, and its length is bounded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The peer ended the connection.
    #[error("{peer} closed the connection: see its own log for the cause, then start a new session")]
    Closed {
        /// The peer.
        peer: Peer,
    },
    /// The peer made no progress, or too little, in time.
    #[error(
        "{peer} timed out after {after:?}, waiting for {waiting_for}: check that it runs and is reachable, or raise the deadline"
    )]
    Timeout {
        /// The slowest peer.
        peer: Peer,
        /// How long this party waited.
        after: Duration,
        /// The thing that it waited for.
        waiting_for: Wait,
    },
    /// The peer's frame has another length than the plan says.
    #[error(
        "{peer} sent a message of {got} bytes where the plan says {expected}: check that both run the same plan and version"
    )]
    WrongLength {
        /// The peer.
        peer: Peer,
        /// Bytes that the plan says.
        expected: usize,
        /// Bytes that the peer announced.
        got: usize,
    },
    /// A frame, sent or received, is longer than allowed.
    #[error("a frame of {got} bytes to or from {peer} exceeds the limit of {limit} bytes: split the message")]
    FrameTooLong {
        /// The peer.
        peer: Peer,
        /// Bytes allowed.
        limit: usize,
        /// Bytes announced or asked for.
        got: usize,
    },
    /// The caller's buffer does not fit the operation; nothing was sent.
    #[error(
        "the receive buffer has {got} bytes, and this exchange needs {expected}: one message from each other party"
    )]
    BufferLength {
        /// Bytes needed.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// The peer is set up differently.
    #[error(
        "{peer} disagrees on {field:?}: here it is {ours:?}, there {theirs:?}; start all parties with the same settings"
    )]
    HandshakeMismatch {
        /// The peer.
        peer: Peer,
        /// The first setting that differs.
        field: String,
        /// Its value here.
        ours: String,
        /// Its value there.
        theirs: String,
    },
    /// The peer's handshake cannot be read.
    #[error("{peer} sent a malformed handshake ({reason}): check that it runs the same version")]
    HandshakeMalformed {
        /// The peer.
        peer: Peer,
        /// The fault.
        reason: &'static str,
    },
    /// This party's own agreement breaks a limit; nothing was sent.
    #[error("this party's agreement cannot be sent ({reason}): shorten it")]
    InvalidAgreement {
        /// Which limit.
        reason: &'static str,
    },
    /// No link leads to that index: it is this party's own, or not less than the number of parties.
    #[error("there is no peer {party} in this network of {parties}: a peer is another party with an index below that")]
    NoSuchParty {
        /// The index asked for.
        party: usize,
        /// Parties in the network.
        parties: usize,
    },
    /// No connection to the peer could be made.
    #[error("cannot connect to {peer} at {address}: {reason}; check that it runs and the address is right")]
    Connect {
        /// The peer.
        peer: Peer,
        /// Where it should listen.
        address: String,
        /// The last failure.
        reason: String,
    },
    /// Connections of other parties cannot be accepted.
    #[error("cannot listen for the other parties: {reason}")]
    Listen {
        /// The system's message.
        reason: String,
    },
    /// An earlier operation with the peer was dropped, or failed, in the middle of a frame.
    #[error("the link to {peer} was left in the middle of a frame by an earlier operation: start a new session")]
    Interrupted {
        /// The peer.
        peer: Peer,
    },
    /// The bytes that arrived over an encrypted connection are not those that the peer sent.
    #[error("the connection to {peer} was corrupted or tampered with ({reason}): start a new session")]
    Corrupted {
        /// The peer.
        peer: Peer,
        /// The finding of the check.
        reason: String,
    },
    /// The operating system reported a failure.
    #[error("the connection to {peer} failed: {reason}; start a new session")]
    Io {
        /// The peer.
        peer: Peer,
        /// The system's message.
        reason: String,
    },
    /// Recorded messages cannot be kept or read.
    #[error("the recorded messages cannot be kept or read: {source}")]
    Recording {
        /// Why.
        source: RecordingError,
    },
}
