//! The errors of certificates and on the way to a secure link, by name.

use std::time::Duration;

use super::Fingerprint;
use super::certificate::{MAX_NAME_BYTES, MAX_PEM_BYTES};
use super::identity::MAX_VALID_DAYS;

/// Text about what others sent is cut off beyond this.
const MAX_REASON_CHARACTERS: usize = 200;

/// A certificate or key that cannot be used. Never shows anything of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Too long to be one.
    #[error("{bytes} bytes are too long for a certificate or key: at most {MAX_PEM_BYTES} are read")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// No such part, or several.
    #[error("expected exactly one `{label}` in PEM form, found {found}")]
    NotOne {
        /// The label that was expected.
        label: &'static str,
        /// How many there are.
        found: usize,
    },
    /// Not a certificate.
    #[error("the certificate cannot be read ({reason}): use one that `Identity::generate` made")]
    Malformed {
        /// The reader's message.
        reason: String,
    },
    /// Of another kind.
    #[error("the certificate's key is not of the kind Ed25519: use one that `Identity::generate` made")]
    NotEd25519,
    /// A name that is not safe to show.
    #[error("a certificate's name must be 1 to {MAX_NAME_BYTES} letters, digits, dots, dashes and underscores")]
    Name,
    /// A validity out of range.
    #[error("a certificate cannot be valid for {days} days: choose 1 to {MAX_VALID_DAYS}")]
    Validity {
        /// The number of days that was asked for.
        days: u32,
    },
    /// Not a private key.
    #[error("the private key cannot be read: it must be an Ed25519 key in PKCS#8, as `Identity::key_pem` writes it")]
    Key,
    /// A certificate and a key of two identities.
    #[error("the private key is not that of the certificate: pass the two files that were generated together")]
    KeyMismatch,
    /// Not a fingerprint.
    #[error("a fingerprint must be 64 hexadecimal digits, with or without colons between them")]
    Fingerprint,
    /// No randomness.
    #[error("the operating system gives no randomness for a key: {reason}")]
    Randomness {
        /// The system's message.
        reason: String,
    },
    /// No longer valid.
    #[error("the certificate of {name} ({fingerprint}) expired at {until}: its owner must make a new one")]
    Expired {
        /// Its name.
        name: String,
        /// Its fingerprint.
        fingerprint: Fingerprint,
        /// When.
        until: String,
    },
    /// Not valid yet.
    #[error("the certificate of {name} ({fingerprint}) is valid only from {from}: check the clocks of both machines")]
    NotYetValid {
        /// Its name.
        name: String,
        /// Its fingerprint.
        fingerprint: Fingerprint,
        /// From when.
        from: String,
    },
}

impl CertificateError {
    pub(super) fn malformed(error: impl ToString) -> Self {
        Self::Malformed { reason: bounded(&error.to_string()) }
    }
}

/// Why there is no secure link to a peer.
///
/// `peer` is the address it was reached at or came from. Text from a peer is shown escaped, and its length is bounded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecureError {
    /// No connection could be made in time.
    #[error("cannot connect to {peer}: {reason}; check that it runs and the address is right")]
    Connect {
        /// The address.
        peer: String,
        /// The last failure.
        reason: String,
    },
    /// A name that no host has.
    #[error("there is no host of the name in {peer}: {reason}; check how it is written")]
    UnknownHost {
        /// The address.
        peer: String,
        /// The resolver's words.
        reason: String,
    },
    /// The peer is somebody else.
    #[error(
        "{peer} has the certificate {presented}, which is not {}: check that it is the right machine, and that its \
         certificate was not renewed",
        listed(expected)
    )]
    WrongCertificate {
        /// The address.
        peer: String,
        /// The fingerprints of the certificates that are allowed.
        expected: Vec<Fingerprint>,
        /// The fingerprint of the certificate that the peer presented.
        presented: Fingerprint,
    },
    /// A certificate, the peer's or this side's, that is not valid now.
    #[error("no secure link with {peer}: {error}")]
    Certificate {
        /// The address.
        peer: String,
        /// The fault of the certificate.
        error: CertificateError,
    },
    /// The peer does not accept this side's certificate.
    #[error("{peer} refused this side's certificate ({reason}): give it to that side, and check the clocks of both")]
    Refused {
        /// The address.
        peer: String,
        /// Why, as far as the peer says.
        reason: &'static str,
    },
    /// The peer does not speak TLS.
    #[error("{peer} does not speak TLS: check the address, and that no proxy answers in its place")]
    NotTls {
        /// The address.
        peer: String,
    },
    /// The two sides cannot agree, or what arrived was changed on the way.
    #[error("no secure link with {peer}: {reason}; check that both run the same version")]
    Handshake {
        /// The address.
        peer: String,
        /// The reason.
        reason: String,
    },
    /// The peer did not complete the handshake in time.
    #[error("{peer} did not complete the handshake within {after:?}: check that it runs, or raise the deadline")]
    Timeout {
        /// The address.
        peer: String,
        /// How long this side waited.
        after: Duration,
    },
    /// The peer ended the connection.
    #[error("{peer} closed the connection during the handshake: see its own log for the cause")]
    Closed {
        /// The address.
        peer: String,
    },
    /// Connections of other parties cannot be accepted.
    #[error("cannot listen for the other parties: {reason}")]
    Listen {
        /// The system's message.
        reason: String,
    },
    /// This party's index is not less than the number of parties.
    #[error("there is no party {party} in this network of {parties}: indices begin with 0")]
    NoSuchParty {
        /// The index.
        party: usize,
        /// Parties in the network.
        parties: usize,
    },
    /// The operating system reported a failure.
    #[error("the connection with {peer} failed: {reason}")]
    Io {
        /// The address.
        peer: String,
        /// The system's message.
        reason: String,
    },
}

/// `text` as it may be shown: escaped, and not too long.
pub(super) fn bounded(text: &str) -> String {
    text.chars().take(MAX_REASON_CHARACTERS).flat_map(char::escape_debug).collect()
}

/// Fingerprints for an error message; of many only the first few.
fn listed(fingerprints: &[Fingerprint]) -> String {
    const SHOWN: usize = 4;
    match fingerprints {
        [] => "allowed, as no certificate is".to_owned(),
        [one] => one.to_string(),
        many => {
            let shown: Vec<_> = many.iter().take(SHOWN).map(Fingerprint::to_string).collect();
            let rest = if many.len() > SHOWN { format!(" or {} others", many.len() - SHOWN) } else { String::new() };
            format!("one of {}{rest}", shown.join(", "))
        }
    }
}
