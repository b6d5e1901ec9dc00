//! How sessions, plans, batches and parties are named, and why a request is refused: the words that all rooms share.

use std::fmt;

use mpc_transport::tls::Certificate;
use serde::{Deserialize, Serialize};

/// The identity of a session, random.
pub type SessionId = [u8; 16];

/// The SHA-256 of a model's plan, which all its parties compare.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PlanDigest(pub [u8; 32]);

/// The identity of a batch of prepared inferences, random, the same at all parties that prepared it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BatchId(pub [u8; 16]);

/// A model owner, by the fingerprint of its certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owner(pub [u8; 32]);

impl From<&Certificate> for Owner {
    fn from(certificate: &Certificate) -> Self {
        Self(*certificate.fingerprint().as_bytes())
    }
}

/// The identity of a model that its owner has left with servers as shares.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DepositId {
    /// Its owner.
    pub owner: Owner,
    /// The version, random: another one each time that the owner leaves it.
    pub version: [u8; 16],
}

impl fmt::Display for DepositId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of owner {}", BatchId(self.version), self.owner)
    }
}

impl fmt::Debug for DepositId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// Reads lower-case hexadecimal digits, two for each byte.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..2 * N).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

/// Text as hexadecimal digits, and back.
macro_rules! hexadecimal {
    ($name:ident, $reason:literal) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "{self}")
            }
        }

        impl std::str::FromStr for $name {
            type Err = &'static str;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::names::from_hex(text).map(Self).ok_or($reason)
            }
        }
    };
}

#[cfg(feature = "web")]
pub(crate) use hexadecimal;

hexadecimal!(PlanDigest, "a digest has 64 hexadecimal digits");
hexadecimal!(Owner, "a fingerprint has 64 hexadecimal digits");
hexadecimal!(BatchId, "a batch has 32 hexadecimal digits");

/// Why a request is refused, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refusal {
    /// Another version of the messages, another model or plan, another party: both sides are set up differently.
    Differs,
    /// Not allowed to that peer.
    Forbidden,
    /// No room now; later there may be.
    Busy,
    /// More than this server ever grants.
    Limit,
    /// A prepared inference that was used, or was never prepared.
    Used,
    /// A fault of this side.
    Internal,
    /// Another participant of the session did not come in time.
    Absent,
    /// A model that its owner has replaced.
    Replaced,
    /// A store of prepared inferences that was restored from a copy.
    Restored,
}

impl Refusal {
    /// How figures name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Differs => "differs",
            Self::Forbidden => "forbidden",
            Self::Busy => "busy",
            Self::Limit => "limit",
            Self::Used => "used",
            Self::Internal => "internal",
            Self::Absent => "absent",
            Self::Replaced => "replaced",
            Self::Restored => "restored",
        }
    }
}

/// A request that is refused: why, for programs and for people.
pub type Refused = (Refusal, String);

/// The parties of a session by name, so that a message that counts them can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

impl fmt::Display for Names {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (party, name) in self.0.iter().enumerate() {
            let separator = if party == 0 { "" } else { ", " };
            write!(formatter, "{separator}party {party} is {name}")?;
        }
        Ok(())
    }
}

/// How a certificate's owner is named in messages. Two may have one name; nobody has another's fingerprint.
pub(crate) fn shown(certificate: &Certificate) -> String {
    let fingerprint = certificate.fingerprint().to_string();
    format!("{} ({}…)", certificate.name(), &fingerprint[..9])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_passed_over() {
        let id = BatchId([0xa5; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "batch", "..", &id.to_string()[1..], &id.to_string().to_uppercase()] {
            assert!(wrong.parse::<BatchId>().is_err(), "{wrong}");
        }
    }
}
