//! The one rule of trust: a peer's certificate is one of those given, to the byte, and valid now.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme};

use super::{Certificate, CertificateError, Fingerprint, SecureError};

/// Checks the certificate of one peer, and remembers what was wrong with it.
#[derive(Debug)]
pub(super) struct Pin {
    allowed: Vec<Certificate>,
    algorithms: WebPkiSupportedAlgorithms,
    verdict: OnceLock<Verdict>,
}

/// The fault of a peer's certificate.
#[derive(Debug)]
enum Verdict {
    Unknown(Fingerprint),
    Dates(CertificateError),
}

impl Pin {
    pub(super) fn new(allowed: &[Certificate], algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { allowed: allowed.to_vec(), algorithms, verdict: OnceLock::new() }
    }

    /// The certificate among those allowed.
    pub(super) fn find(&self, presented: &[u8]) -> Option<&Certificate> {
        self.allowed.iter().find(|certificate| certificate.der() == presented)
    }

    /// The error that the check found, if it failed.
    pub(super) fn error(&self, peer: &str) -> Option<SecureError> {
        let peer = peer.to_owned();
        Some(match self.verdict.get()? {
            Verdict::Unknown(presented) => {
                let expected = self.allowed.iter().map(Certificate::fingerprint).collect();
                SecureError::WrongCertificate { peer, expected, presented: *presented }
            }
            Verdict::Dates(error) => SecureError::Certificate { peer, error: error.clone() },
        })
    }

    fn check(&self, presented: &[u8], now: UnixTime) -> Result<(), Error> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
        let checked = match self.find(presented) {
            Some(certificate) => certificate.check_dates(now).map_err(Verdict::Dates),
            None => Err(Verdict::Unknown(Fingerprint::of(presented))),
        };
        let Err(verdict) = checked else { return Ok(()) };
        let reason = match verdict {
            Verdict::Unknown(_) => rustls::CertificateError::ApplicationVerificationFailure,
            Verdict::Dates(_) => rustls::CertificateError::Expired,
        };
        let _ = self.verdict.set(verdict);
        Err(reason.into())
    }
}

/// The methods about signatures, which rustls has in the traits of both sides.
macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            // No version before 1.3 is offered, so that this is never asked for.
            Err(PeerIncompatible::Tls12NotOffered.into())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signature, &self.algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        presented: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(presented, now).map(|()| ServerCertVerified::assertion())
    }

    signatures!();
}

impl ClientCertVerifier for Pin {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        presented: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(presented, now).map(|()| ClientCertVerified::assertion())
    }

    signatures!();
}
