//! The short form of a certificate that people compare.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::CertificateError;

/// Hexadecimal digits between two separators.
const GROUP: usize = 4;

/// The SHA-256 of a certificate: what two people read to each other before they trust it.
///
/// ```
/// use mpc_transport::tls::Fingerprint;
///
/// let text = "e3b0:c442:98fc:1c14:9afb:f4c8:996f:b924:27ae:41e4:649b:934c:a495:991b:7852:b855";
/// let fingerprint: Fingerprint = text.parse()?;
/// assert_eq!(fingerprint.to_string(), text);
/// assert_eq!(text.replace(':', "").parse(), Ok(fingerprint));
/// # Ok::<(), mpc_transport::tls::CertificateError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// The hash itself.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, pair) in self.0.chunks_exact(GROUP / 2).enumerate() {
            if i > 0 {
                f.write_str(":")?;
            }
            pair.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = CertificateError;

    /// Reads 64 hexadecimal digits, between which there may be colons, spaces or dashes.
    fn from_str(text: &str) -> Result<Self, CertificateError> {
        let mut bytes = [0; 32];
        let mut digits = 0;
        for character in text.chars().filter(|character| ![':', ' ', '-'].contains(character)) {
            let digit = character.to_digit(16).ok_or(CertificateError::Fingerprint)?;
            let byte: &mut u8 = bytes.get_mut(digits / 2).ok_or(CertificateError::Fingerprint)?;
            *byte = *byte << 4 | digit as u8;
            digits += 1;
        }
        if digits == 2 * bytes.len() { Ok(Self(bytes)) } else { Err(CertificateError::Fingerprint) }
    }
}
