//! The first bytes of a connection, each way: who is there.

use crate::{PROTOCOL_VERSION, Peer, TransportError};

/// Length of a greeting, in bytes.
pub(super) const GREETING_BYTES: usize = 16;

const MAGIC: [u8; 8] = *b"MPC-LINK";

/// The kind of a greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// I connect to you.
    Hello,
    /// Your connection stands.
    Welcome,
    /// I do not want this connection.
    Refusal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    version: u16,
    parties: u16,
    party: u16,
    pub(super) kind: Kind,
}

impl Greeting {
    pub(super) fn new(party: usize, parties: usize, kind: Kind) -> Self {
        // No network has 65,535 parties.
        let [party, parties] = [party, parties].map(|value| u16::try_from(value).unwrap_or(u16::MAX));
        Self { version: PROTOCOL_VERSION, parties, party, kind }
    }

    pub(super) fn party(&self) -> usize {
        usize::from(self.party)
    }

    pub(super) fn encode(&self) -> [u8; GREETING_BYTES] {
        let mut bytes = [0; GREETING_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        for (place, value) in
            bytes[8..].chunks_exact_mut(2).zip([self.version, self.parties, self.party, self.kind as u16])
        {
            place.copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    /// Reads a greeting. The result is absent for bytes that are no greeting.
    pub(super) fn decode(bytes: &[u8; GREETING_BYTES]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let &[v0, v1, n0, n1, p0, p1, k0, k1] = rest else { return None };
        let kind = match u16::from_le_bytes([k0, k1]) {
            0 => Kind::Hello,
            1 => Kind::Welcome,
            2 => Kind::Refusal,
            _ => return None,
        };
        let [version, parties, party] = [[v0, v1], [n0, n1], [p0, p1]].map(u16::from_le_bytes);
        Some(Self { version, parties, party, kind })
    }

    /// Compares what the party of index `party` says, who is named `peer`, with what we know.
    ///
    /// # Errors
    /// [`TransportError::HandshakeMismatch`] for the first difference.
    pub(super) fn check(&self, ours: &Self, party: usize, peer: Peer) -> Result<(), TransportError> {
        let expected = Self::new(party, usize::from(ours.parties), ours.kind);
        let differences = [
            ("protocol version", ours.version, self.version),
            ("parties", ours.parties, self.parties),
            ("party index", expected.party, self.party),
        ];
        let Some((field, ours, theirs)) = differences.into_iter().find(|(_, ours, theirs)| ours != theirs) else {
            return Ok(());
        };
        let [field, ours, theirs] = [field.to_string(), ours.to_string(), theirs.to_string()];
        Err(TransportError::HandshakeMismatch { peer, field, ours, theirs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_it_encodes() {
        for kind in [Kind::Hello, Kind::Welcome, Kind::Refusal] {
            let greeting = Greeting::new(3, 5, kind);
            assert_eq!(Greeting::decode(&greeting.encode()), Some(greeting));
        }
    }

    #[test]
    fn names_the_difference() {
        let ours = Greeting::new(0, 3, Kind::Welcome);
        assert_eq!(Greeting::new(1, 3, Kind::Hello).check(&ours, 1, Peer::Party(1)), Ok(()));
        for (greeting, expected) in [
            (Greeting { version: 9, ..Greeting::new(1, 3, Kind::Hello) }, "protocol version"),
            (Greeting::new(1, 4, Kind::Hello), "parties"),
            (Greeting::new(2, 3, Kind::Hello), "party index"),
        ] {
            let error = greeting.check(&ours, 1, Peer::Party(1)).unwrap_err();
            let TransportError::HandshakeMismatch { peer: Peer::Party(1), field, .. } = error else {
                panic!("{error}")
            };
            assert_eq!(field, expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: [u8; GREETING_BYTES], tail: [u8; 8]) {
            let _ = Greeting::decode(&bytes);
            let mut bytes = bytes;
            bytes[..8].copy_from_slice(&MAGIC);
            bytes[8..].copy_from_slice(&tail);
            let _ = Greeting::decode(&bytes);
        }
    }
}
