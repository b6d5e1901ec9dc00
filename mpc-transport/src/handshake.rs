//! Before a session: do all parties mean the same computation?

mod message;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::{Connection, Peer, Transport, TransportError};
use message::Message;

/// Version of the messages between the parties. Parties of different versions refuse each other.
pub const PROTOCOL_VERSION: u16 = 1;

/// Most fields of an [`Agreement`].
pub const MAX_FIELDS: usize = 32;

/// Longest name of a field, in bytes of UTF-8.
pub const MAX_FIELD_NAME_BYTES: usize = 64;

/// Longest value of a field, in bytes of UTF-8.
pub const MAX_FIELD_VALUE_BYTES: usize = 256;

/// Longest handshake message, in bytes.
pub const MAX_AGREEMENT_BYTES: usize = 4096;

/// Shown as the value of a field that one side does not have.
const ABSENT: &str = "(absent)";

/// All that the parties of a session must agree on, besides [`PROTOCOL_VERSION`] and their number.
///
/// ```
/// use mpc_transport::Agreement;
///
/// let agreement = Agreement::new([7; 16])
///     .with("ring", "Z_{2^64}")
///     .with("fractional bits", 16)
///     .with("plan digest", "5f3c…");
/// assert_eq!(agreement.fields().count(), 3);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    session: [u8; 16],
    fields: Vec<(String, String)>,
}

impl Agreement {
    /// An agreement on the session's identity and nothing else.
    pub fn new(session: [u8; 16]) -> Self {
        Self { session, fields: Vec::new() }
    }

    /// Adds a field. Fields are compared by name, and differences reported in this order.
    ///
    /// At most [`MAX_FIELDS`], each name once, of at most [`MAX_FIELD_NAME_BYTES`] and [`MAX_FIELD_VALUE_BYTES`] bytes,
    /// [`MAX_AGREEMENT_BYTES`] in all; [`handshake`] refuses an agreement beyond that. Hash what is longer.
    #[must_use]
    pub fn with(mut self, name: impl ToString, value: impl ToString) -> Self {
        self.fields.push((name.to_string(), value.to_string()));
        self
    }

    /// The session's identity.
    pub fn session(&self) -> [u8; 16] {
        self.session
    }

    /// Names and values, in the order added.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Sends `agreement` to every other party, and checks that each of them has the same.
///
/// Compared are the protocol version, the number of parties, each peer's own index, the session and the fields; a field
/// that only one side has is a difference. All parties send before they receive, and receive from all before they
/// report, so that where any two disagree each party ends with an error, none of them waiting.
///
/// # Errors
/// [`HandshakeMismatch`](TransportError::HandshakeMismatch) names the first difference, with both values;
/// [`HandshakeMalformed`](TransportError::HandshakeMalformed) and [`FrameTooLong`](TransportError::FrameTooLong) a
/// message that no party sends; [`InvalidAgreement`](TransportError::InvalidAgreement) an agreement beyond the limits;
/// otherwise as for [`Transport::send`]. Of several errors the one that explains most is returned: a mismatch, a
/// malformed message, a failed link, in this order.
///
/// # Rounds and communication
/// One message of at most [`MAX_AGREEMENT_BYTES`] to each other party; one round.
///
/// # Security
/// This finds mistakes, not attackers: nothing is authenticated.
pub async fn handshake<T: Transport>(transport: &mut T, agreement: &Agreement) -> Result<(), TransportError> {
    let ours = Message::new(transport.party(), transport.parties(), agreement);
    let bytes = ours.encode()?;
    let peers = || (0..ours.parties()).filter(|&party| party != ours.party());
    let mut worst = Ok(());
    for peer in peers() {
        worst = graver(worst, transport.send(peer, &bytes).await);
    }
    for peer in peers() {
        let received = transport.receive_bounded(peer, MAX_AGREEMENT_BYTES).await;
        worst = graver(worst, received.and_then(|bytes| check(Peer::Party(peer), peer, &bytes, &ours)));
    }
    worst
}

/// The part of a participant in a [handshake between two](handshake_link), which nothing else depends on: a party and whoever
/// calls are first, the dealer and whoever is called second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A party, or whoever calls.
    First,
    /// The dealer, or whoever is called.
    Second,
}

/// As [`handshake`], over a connection between two, of which this is the given `end`.
///
/// # Errors
/// As for [`handshake`].
pub async fn handshake_link<C: Connection>(
    connection: &mut C,
    end: End,
    agreement: &Agreement,
) -> Result<(), TransportError> {
    let (own, other) = match end {
        End::First => (0, 1),
        End::Second => (1, 0),
    };
    let ours = Message::new(own, 2, agreement);
    let sent = connection.send(&ours.encode()?).await;
    let received = connection.receive_bounded(MAX_AGREEMENT_BYTES).await;
    graver(sent, received.and_then(|bytes| check(Peer::OtherEnd, other, &bytes, &ours)))
}

/// Compares the message of `peer`, which has that index.
fn check(peer: Peer, index: usize, bytes: &[u8], ours: &Message<'_>) -> Result<(), TransportError> {
    let theirs = Message::decode(bytes).map_err(|reason| TransportError::HandshakeMalformed { peer, reason })?;
    compare(peer, index, ours, &theirs)
}

/// The result that explains more; the earlier of two equals.
fn graver(a: Result<(), TransportError>, b: Result<(), TransportError>) -> Result<(), TransportError> {
    if gravity(&b) > gravity(&a) { b } else { a }
}

fn gravity(result: &Result<(), TransportError>) -> u8 {
    match result {
        Ok(()) => 0,
        Err(TransportError::HandshakeMismatch { .. }) => 3,
        Err(TransportError::HandshakeMalformed { .. }) => 2,
        Err(_) => 1,
    }
}

/// The first difference between our message and that of `peer`.
fn compare(peer: Peer, index: usize, ours: &Message<'_>, theirs: &Message<'_>) -> Result<(), TransportError> {
    same(peer, "protocol version", &ours.version.to_string(), &theirs.version.to_string())?;
    same(peer, "parties", &ours.parties().to_string(), &theirs.parties().to_string())?;
    same(peer, "party index", &index.to_string(), &theirs.party().to_string())?;
    same(peer, "session", &hex(&ours.session), &hex(&theirs.session))?;
    compare_fields(peer, ours, theirs)
}

fn compare_fields(peer: Peer, ours: &Message<'_>, theirs: &Message<'_>) -> Result<(), TransportError> {
    for &(name, value) in &ours.fields {
        same(peer, name, value, theirs.field(name).unwrap_or(ABSENT))?;
    }
    let extra = theirs.fields.iter().find(|(name, _)| ours.field(name).is_none());
    extra.map_or(Ok(()), |&(name, value)| same(peer, name, ABSENT, value))
}

fn same(peer: Peer, field: &str, ours: &str, theirs: &str) -> Result<(), TransportError> {
    if ours == theirs {
        return Ok(());
    }
    let [field, ours, theirs] = [field, ours, theirs].map(ToOwned::to_owned);
    Err(TransportError::HandshakeMismatch { peer, field, ours, theirs })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
