//! An identity: a private key, and the certificate that peers know.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hkdf::Hkdf;
use pkcs8::der::Decode;
use pkcs8::spki::AlgorithmIdentifierRef;
use pkcs8::{LineEnding, PrivateKeyInfo, SecretDocument};
use rcgen::{CertificateParams, DnType, KeyUsagePurpose, PublicKeyData, SignatureAlgorithm};
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_eddsa_type;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::certificate::{ED25519, check_name, check_pem};
use super::{Certificate, CertificateError};

/// Longest validity of a certificate, in days (a hundred years).
pub const MAX_VALID_DAYS: u32 = 36_500;

const LABEL: &str = "PRIVATE KEY";

/// How long before its generation a certificate is valid already, as clocks differ.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(3600);

/// The start of an Ed25519 private key within PKCS#8: an octet string of 32 bytes.
const SEED_HEADER: [u8; 2] = [4, 32];

/// Separates the keys derived here from any other use of the private key.
const DERIVATION: &[u8] = b"mpc-transport key derivation 1";

/// A private key (Ed25519) and its self-signed [`Certificate`].
///
/// The key is zeroised when this is dropped, except for the copy that the TLS library signs with, and never shown.
///
/// ```
/// use mpc_transport::tls::Identity;
///
/// let acme = Identity::generate("acme", 365)?;
/// println!("give this to your peers, and compare {}:", acme.certificate().fingerprint());
/// println!("{}", acme.certificate_pem());
/// let again = Identity::from_pem(&acme.certificate_pem(), &acme.key_pem())?;
/// assert_eq!(again.certificate(), acme.certificate());
/// # Ok::<(), mpc_transport::tls::CertificateError>(())
/// ```
pub struct Identity {
    certificate: Certificate,
    seed: Zeroizing<[u8; 32]>,
    certified: Arc<CertifiedKey>,
}

impl Identity {
    /// A new key, and a certificate for `days` from now.
    ///
    /// # Errors
    /// [`CertificateError::Name`] unless `name` is 1 to 64 letters, digits, dots, dashes and underscores;
    /// [`CertificateError::Validity`] unless `days` is 1 to 36,500; [`CertificateError::Randomness`] where the operating
    /// system gives none.
    pub fn generate(name: &str, days: u32) -> Result<Self, CertificateError> {
        check_name(name)?;
        if !(1..=MAX_VALID_DAYS).contains(&days) {
            return Err(CertificateError::Validity { days });
        }
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut seed[..]).map_err(|error| CertificateError::Randomness { reason: error.to_string() })?;
        let now = SystemTime::now();
        let validity = [now - CLOCK_DIFFERENCE, now + Duration::from_secs(u64::from(days) * 24 * 3600)];
        let certificate = self_signed(name, validity, &*signing_key(&seed)?)?;
        Self::new(certificate, seed)
    }

    /// Reads a certificate and its private key (PKCS#8), as they were written by
    /// [`certificate_pem`](Self::certificate_pem) and [`key_pem`](Self::key_pem).
    ///
    /// # Errors
    /// [`CertificateError::KeyMismatch`] where the key is another certificate's, [`CertificateError::Key`] where it is no
    /// Ed25519 key; otherwise as for [`Certificate::from_pem`].
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, CertificateError> {
        let certificate = Certificate::from_pem(certificate)?;
        check_pem(key, LABEL)?;
        let (label, key) = SecretDocument::from_pem(key).map_err(|_| CertificateError::Key)?;
        if label != LABEL {
            return Err(CertificateError::Key);
        }
        let key = PrivateKeyInfo::from_der(key.as_bytes()).map_err(|_| CertificateError::Key)?;
        let seed = key.private_key.strip_prefix(&SEED_HEADER).and_then(|seed| seed.try_into().ok());
        let seed = seed.filter(|_| key.algorithm.oid == ED25519).ok_or(CertificateError::Key)?;
        Self::new(certificate, Zeroizing::new(seed))
    }

    fn new(certificate: Certificate, seed: Zeroizing<[u8; 32]>) -> Result<Self, CertificateError> {
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let certified = CertifiedKey::new(chain, signing_key(&seed)?);
        certified.keys_match().map_err(|_| CertificateError::KeyMismatch)?;
        Ok(Self { certificate, seed, certified: Arc::new(certified) })
    }

    /// The certificate, which peers know.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The certificate as text, to be given to peers.
    pub fn certificate_pem(&self) -> String {
        self.certificate.to_pem()
    }

    /// The private key as text, to be kept where only its owner can read it.
    pub fn key_pem(&self) -> Zeroizing<String> {
        let document = key_document(&self.seed).expect("a key of 32 bytes always encodes");
        document.to_pem(LABEL, LineEnding::LF).expect("a key of 32 bytes always encodes")
    }

    /// A key for one `purpose`, for instance to encrypt files at rest that only the owner of this identity shall read.
    ///
    /// The same private key gives the same key for the same purpose, under any certificate; keys for other purposes tell
    /// nothing about it.
    ///
    /// # Security
    /// HKDF-SHA256 over the private key. Use each purpose with one algorithm only.
    pub fn derive_key(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        let derivation = Hkdf::<Sha256>::new(Some(DERIVATION), &self.seed[..]);
        derivation.expand(purpose.as_bytes(), &mut key[..]).expect("32 bytes are within what HKDF gives");
        key
    }

    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// The key in PKCS#8.
fn key_document(seed: &[u8; 32]) -> Result<SecretDocument, CertificateError> {
    let mut private_key = Zeroizing::new([0; SEED_HEADER.len() + 32]);
    private_key[..SEED_HEADER.len()].copy_from_slice(&SEED_HEADER);
    private_key[SEED_HEADER.len()..].copy_from_slice(seed);
    let algorithm = AlgorithmIdentifierRef { oid: ED25519, parameters: None };
    SecretDocument::try_from(PrivateKeyInfo::new(algorithm, &private_key[..])).map_err(|_| CertificateError::Key)
}

fn signing_key(seed: &[u8; 32]) -> Result<Arc<dyn SigningKey>, CertificateError> {
    let document = key_document(seed)?;
    any_eddsa_type(&PrivatePkcs8KeyDer::from(document.as_bytes())).map_err(|_| CertificateError::Key)
}

fn self_signed(name: &str, validity: [SystemTime; 2], key: &dyn SigningKey) -> Result<Certificate, CertificateError> {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    [params.not_before, params.not_after] = validity.map(Into::into);
    let certificate = params.self_signed(&Signer::new(key)?).map_err(CertificateError::malformed)?;
    Certificate::from_der(certificate.der())
}

/// Signs certificates with the key that signs handshakes, so that no second copy of it is made.
struct Signer<'a> {
    key: &'a dyn SigningKey,
    public_key: Vec<u8>,
}

impl<'a> Signer<'a> {
    fn new(key: &'a dyn SigningKey) -> Result<Self, CertificateError> {
        let info = key.public_key().ok_or(CertificateError::Key)?;
        let info = pkcs8::spki::SubjectPublicKeyInfoRef::from_der(&info).map_err(CertificateError::malformed)?;
        Ok(Self { key, public_key: info.subject_public_key.raw_bytes().to_vec() })
    }
}

impl PublicKeyData for Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.public_key
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl rcgen::SigningKey for Signer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signer = self.key.choose_scheme(&[SignatureScheme::ED25519]).ok_or(rcgen::Error::RemoteKeyError)?;
        signer.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}
