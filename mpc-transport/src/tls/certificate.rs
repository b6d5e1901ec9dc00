//! A certificate that is trusted because somebody said so.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use x509_cert::der::asn1::{PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::der::pem::LineEnding;
use x509_cert::der::{Decode, Document};
use x509_cert::name::Name;
use x509_cert::time::Time;

use super::{CertificateError, Fingerprint};

/// Longest certificate or key file, in bytes.
pub const MAX_PEM_BYTES: usize = 16 << 10;

/// Longest name in a certificate, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

const LABEL: &str = "CERTIFICATE";

/// Ed25519 (RFC 8410).
pub(super) const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The certificate of an [`Identity`](super::Identity): its name, its public key, and until when it is valid.
///
/// Exchange it over a channel on which nobody can replace it, or compare [`fingerprint`](Self::fingerprint)s there. It
/// then stands for its owner: no authority vouches for it, and its name is only what its owner chose. Two certificates
/// are equal where each of their bytes is. Cloning is cheap.
#[derive(Clone)]
pub struct Certificate(Arc<Contents>);

struct Contents {
    der: Document,
    name: String,
    fingerprint: Fingerprint,
    valid_from: Time,
    valid_until: Time,
}

impl Certificate {
    /// Reads a certificate, as [`to_pem`](Self::to_pem) writes it.
    ///
    /// # Errors
    /// [`CertificateError`], which says what is wrong with it. Whether it is valid today is not checked here.
    pub fn from_pem(pem: &str) -> Result<Self, CertificateError> {
        Self::from_document(pem_document(pem, LABEL)?)
    }

    pub(super) fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        Self::from_document(Document::try_from(der).map_err(CertificateError::malformed)?)
    }

    fn from_document(der: Document) -> Result<Self, CertificateError> {
        // Nothing that the connections' own reader refuses shall be accepted here.
        ParsedCertificate::try_from(&CertificateDer::from(der.as_bytes())).map_err(CertificateError::malformed)?;
        let parsed = x509_cert::Certificate::from_der(der.as_bytes()).map_err(CertificateError::malformed)?;
        let contents = parsed.tbs_certificate;
        if contents.subject_public_key_info.algorithm.oid != ED25519 {
            return Err(CertificateError::NotEd25519);
        }
        Ok(Self(Arc::new(Contents {
            name: common_name(&contents.subject)?,
            fingerprint: Fingerprint::of(der.as_bytes()),
            valid_from: contents.validity.not_before,
            valid_until: contents.validity.not_after,
            der,
        })))
    }

    /// The name that its owner gave it: 1 to 64 letters, digits, dots, dashes and underscores.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The fingerprint, which people compare.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// When it becomes valid.
    pub fn valid_from(&self) -> SystemTime {
        self.0.valid_from.to_system_time()
    }

    /// When it expires.
    pub fn valid_until(&self) -> SystemTime {
        self.0.valid_until.to_system_time()
    }

    /// The certificate as text, to be given to peers.
    pub fn to_pem(&self) -> String {
        self.0.der.to_pem(LABEL, LineEnding::LF).expect("a certificate is no longer than PEM allows")
    }

    pub(super) fn der(&self) -> &[u8] {
        self.0.der.as_bytes()
    }

    /// # Errors
    /// [`CertificateError::Expired`], [`CertificateError::NotYetValid`].
    pub(super) fn check_dates(&self, now: SystemTime) -> Result<(), CertificateError> {
        let (name, fingerprint) = (self.name().to_owned(), self.fingerprint());
        if now < self.valid_from() {
            return Err(CertificateError::NotYetValid { name, fingerprint, from: self.0.valid_from.to_string() });
        }
        if now > self.valid_until() {
            return Err(CertificateError::Expired { name, fingerprint, until: self.0.valid_until.to_string() });
        }
        Ok(())
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der() == other.der()
    }
}

impl Eq for Certificate {}

impl Hash for Certificate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.der().hash(state);
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Certificate");
        shown.field("name", &self.name()).field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

/// The one thing in a PEM file that is labelled so.
///
/// # Errors
/// [`CertificateError::TooLong`], [`CertificateError::NotOne`], [`CertificateError::Malformed`].
fn pem_document(pem: &str, label: &'static str) -> Result<Document, CertificateError> {
    check_pem(pem, label)?;
    let (found, document) = Document::from_pem(pem).map_err(CertificateError::malformed)?;
    if found == label { Ok(document) } else { Err(CertificateError::NotOne { label, found: 0 }) }
}

/// Refuses a PEM file that is too long or does not hold exactly one thing.
pub(super) fn check_pem(pem: &str, label: &'static str) -> Result<(), CertificateError> {
    if pem.len() > MAX_PEM_BYTES {
        return Err(CertificateError::TooLong { bytes: pem.len() });
    }
    match pem.matches("-----BEGIN ").count() {
        1 => Ok(()),
        found => Err(CertificateError::NotOne { label, found }),
    }
}

/// Refuses a name that could be mistaken or do harm in a log, a file name or a terminal.
pub(super) fn check_name(name: &str) -> Result<(), CertificateError> {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_safe) {
        return Ok(());
    }
    Err(CertificateError::Name)
}

/// The only common name of a subject.
fn common_name(subject: &Name) -> Result<String, CertificateError> {
    let mut attributes = subject.0.iter().flat_map(|set| set.0.iter()).filter(|attribute| attribute.oid == COMMON_NAME);
    let (Some(attribute), None) = (attributes.next(), attributes.next()) else { return Err(CertificateError::Name) };
    let value = &attribute.value;
    let utf8 = value.decode_as::<Utf8StringRef<'_>>().map(|text| text.as_str().to_owned());
    let name = utf8.or_else(|_| value.decode_as::<PrintableStringRef<'_>>().map(|text| text.as_str().to_owned()));
    let name = name.map_err(|_| CertificateError::Name)?;
    check_name(&name)?;
    Ok(name)
}
