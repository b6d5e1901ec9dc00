//! HTTPS with a certificate that browsers accept, which is read again when it is renewed.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use futures_rustls::TlsAcceptor;
use futures_rustls::server::TlsStream;
use mpc_nn::file::{FileError, read_file};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use smol::Timer;
use smol::net::TcpStream;
use x509_cert::der::Decode;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

use super::security::{Plain, Security, Unsecured};
use super::{Handler, HttpLimits, serve};
use crate::at_rest::private_file::{DiskError, check_private};
use crate::error::ServiceError;

/// The largest file of certificates or of a key, in bytes.
const MAX_FILE: usize = 256 << 10;
/// How often the files are looked at.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Ed25519 (RFC 8410), which browsers do not know.
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// The one protocol that is spoken within TLS.
const PROTOCOL: &[u8] = b"http/1.1";
/// The most characters of a fault of TLS in the log.
const MAX_REASON: usize = 200;

/// Why files are not a certificate for pages and its key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PageCertificateError {
    /// A file that cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key that others may read.
    #[error(transparent)]
    Exposed(#[from] DiskError),
    /// No certificate in PEM.
    #[error("{file}: it has no certificate (PEM, `BEGIN CERTIFICATE`){reason}")]
    NoCertificate {
        /// The file.
        file: String,
        /// More about it, if there is more to say.
        reason: String,
    },
    /// No key in PEM, or one that is encrypted.
    #[error("{file}: it has no private key that is not encrypted (PEM, `BEGIN PRIVATE KEY`){reason}")]
    NoKey {
        /// The file.
        file: String,
        /// More about it, if there is more to say.
        reason: String,
    },
    /// A certificate that is cut short or changed.
    #[error("{file}: the first certificate is malformed: {reason}")]
    Malformed {
        /// The file.
        file: String,
        /// The fault.
        reason: String,
    },
    /// A key of another certificate.
    #[error("{key}: the key is not that of the first certificate in {certificate}")]
    KeyMismatch {
        /// The certificate's file.
        certificate: String,
        /// The key's.
        key: String,
    },
    /// A certificate of a kind that browsers do not know, such as those that participants have.
    #[error(
        "{file}: it is for Ed25519, which browsers do not accept, as the certificates of `mpc keygen` are: pages need one of \
         an authority that browsers trust, for ECDSA or RSA"
    )]
    NotForBrowsers {
        /// The file.
        file: String,
    },
    /// A certificate that names no host.
    #[error("{file}: it names no host (subjectAltName), and browsers accept none without")]
    Nameless {
        /// The file.
        file: String,
    },
    /// It is over.
    #[error("{file}: the certificate has expired: it was valid until {until}")]
    Expired {
        /// The file.
        file: String,
        /// Its end, in UTC.
        until: String,
    },
    /// It has not begun.
    #[error("{file}: the certificate is not valid before {from}; check the clock of this machine")]
    NotYetValid {
        /// The file.
        file: String,
        /// Its beginning, in UTC.
        from: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// A certificate that browsers accept, with those that vouch for it, and its key, in two files in PEM. When these are replaced,
/// connections from then on have the new one; one that cannot be used is logged, and the one before stays.
#[derive(Debug)]
pub struct PageCertificate {
    files: Files,
    current: Arc<Current>,
    configuration: Arc<ServerConfig>,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// When each file was written, and its length.
type Stamp = [Option<(SystemTime, u64)>; 2];

#[derive(Debug)]
struct Seen {
    stamp: Stamp,
    until: SystemTime,
    /// The fault that was logged last, until there is none.
    fault: Option<String>,
}

/// The certificate that new connections have.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

/// Files that were read.
struct Read {
    certified: CertifiedKey,
    names: Vec<String>,
    until: Time,
}

impl PageCertificate {
    /// Reads a file of certificates, the server's first, and that of its key, to which nobody else may have access.
    ///
    /// # Errors
    /// [`PageCertificateError`].
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, PageCertificateError> {
        let files = Files { certificate: certificate.to_owned(), key: key.to_owned() };
        let stamp = files.stamp();
        let Read { certified, names, until } = files.read(SystemTime::now())?;
        tracing::info!(names = names.join(" "), %until, "has a certificate for pages");
        let current = Arc::new(Current(RwLock::new(Arc::new(certified))));
        let configuration = configuration(Arc::clone(&current) as _);
        let configuration = configuration.map_err(|error| PageCertificateError::Tls(error.to_string()))?;
        let seen = Mutex::new(Seen { stamp, until: until.to_system_time(), fault: None });
        Ok(Self { files, current, configuration: Arc::new(configuration), seen })
    }

    /// Reads files that have changed, and logs what is wrong with them.
    fn look(&self, now: SystemTime) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = self.files.stamp();
        // A file that was half written may be whole under the same stamp.
        if stamp == seen.stamp && seen.fault.is_none() {
            return;
        }
        let fault = match self.files.read(now) {
            Ok(Read { certified, names, until }) => {
                seen.until = until.to_system_time();
                *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
                tracing::info!(names = names.join(" "), %until, "has a new certificate for pages");
                None
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(fault) = fault.as_ref().filter(|fault| seen.fault.as_ref() != Some(fault)) {
            tracing::error!(error = fault, "the new certificate for pages cannot be used: the one before stays");
        }
        *seen = Seen { stamp, until: seen.until, fault };
    }

    fn is_over(&self, now: SystemTime) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).until < now
    }
}

/// TLS as pages have it: version 1.3, HTTP/1.1 within, and nobody asked for a certificate.
fn configuration(certificates: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(&[&TLS13])?.with_no_client_auth();
    let mut configuration = builder.with_cert_resolver(certificates);
    configuration.alpn_protocols = vec![PROTOCOL.to_vec()];
    // Each handshake is whole: one that were resumed would go on with a certificate that was replaced.
    configuration.session_storage = Arc::new(NoServerSessionStorage {});
    configuration.send_tls13_tickets = 0;
    Ok(configuration)
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Files {
    fn stamp(&self) -> Stamp {
        [&self.certificate, &self.key].map(|file| {
            let data = fs::metadata(file).ok()?;
            Some((data.modified().ok()?, data.len()))
        })
    }

    fn read(&self, now: SystemTime) -> Result<Read, PageCertificateError> {
        check_private(&self.key)?;
        let (file, key_file) = (self.certificate.display().to_string(), self.key.display().to_string());
        let text = read_file(&self.certificate, MAX_FILE)?;
        let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
        let chain =
            chain.map_err(|error| PageCertificateError::NoCertificate { file: file.clone(), reason: shown(&error) })?;
        let Some(first) = chain.first() else {
            return Err(PageCertificateError::NoCertificate { file, reason: String::new() });
        };
        let (names, until) = checked(first, &file, now)?;
        let no_key = |reason: String| PageCertificateError::NoKey { file: key_file.clone(), reason };
        let key =
            PrivateKeyDer::from_pem_slice(&read_file(&self.key, MAX_FILE)?).map_err(|error| no_key(shown(&error)))?;
        let key = ring::sign::any_supported_type(&key).map_err(|error| no_key(format!(": {error}")))?;
        let certified = CertifiedKey::new(chain, key);
        let mismatch = |_| PageCertificateError::KeyMismatch { certificate: file, key: key_file.clone() };
        certified.keys_match().map_err(mismatch)?;
        Ok(Read { certified, names, until })
    }
}

/// The hosts that a certificate is for and when it ends, if browsers may accept it now.
fn checked(der: &[u8], file: &str, now: SystemTime) -> Result<(Vec<String>, Time), PageCertificateError> {
    let file = || file.to_owned();
    let malformed =
        |error: x509_cert::der::Error| PageCertificateError::Malformed { file: file(), reason: error.to_string() };
    let contents = x509_cert::Certificate::from_der(der).map_err(malformed)?.tbs_certificate;
    if contents.subject_public_key_info.algorithm.oid == ED25519 {
        return Err(PageCertificateError::NotForBrowsers { file: file() });
    }
    let names = contents.get::<SubjectAltName>().map_err(malformed)?.map(|(_, names)| names.0).unwrap_or_default();
    let (from, until) = (contents.validity.not_before, contents.validity.not_after);
    if now < from.to_system_time() {
        return Err(PageCertificateError::NotYetValid { file: file(), from: from.to_string() });
    }
    if now > until.to_system_time() {
        return Err(PageCertificateError::Expired { file: file(), until: until.to_string() });
    }
    let host = |name: &GeneralName| match name {
        GeneralName::DnsName(name) => Some(name.as_str().escape_debug().to_string()),
        GeneralName::IpAddress(bytes) => address(bytes.as_bytes()),
        _ => None,
    };
    match names.iter().filter_map(host).collect::<Vec<_>>() {
        names if names.is_empty() => Err(PageCertificateError::Nameless { file: file() }),
        names => Ok((names, until)),
    }
}

/// An address of the Internet from its bytes.
fn address(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string())).ok()
}

/// A fault of PEM, behind a sentence that says what is missing.
fn shown(error: &pem::Error) -> String {
    if matches!(error, pem::Error::NoItemsFound) { String::new() } else { format!(": {error}") }
}

impl Security for Arc<PageCertificate> {
    type Stream = TlsStream<TcpStream>;

    const HANDSHAKE: Option<&'static str> = Some("TLS");

    async fn secure(&self, stream: TcpStream) -> Result<Self::Stream, Unsecured> {
        TlsAcceptor::from(Arc::clone(&self.configuration)).accept(stream).await.map_err(|error| {
            let of_tls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
            let reason = match of_tls {
                Some(rustls::Error::InvalidMessage(_)) => {
                    "it does not speak TLS, as over http:// or through a proxy that is not told to".to_owned()
                }
                Some(error) => error.to_string(),
                None => error.to_string(),
            };
            match error.kind() {
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Unsecured::Gone,
                // A caller has a say in it.
                _ => Unsecured::Fault(reason.chars().take(MAX_REASON).flat_map(char::escape_debug).collect()),
            }
        })
    }

    async fn keep_up(&self) {
        let mut is_over = false;
        loop {
            Timer::after(LOOK_PAUSE).await;
            let certificate = Arc::clone(self);
            let over = smol::unblock(move || {
                let now = SystemTime::now();
                certificate.look(now);
                certificate.is_over(now)
            });
            let was_over = std::mem::replace(&mut is_over, over.await);
            if is_over && !was_over {
                tracing::error!("the certificate for pages has expired: browsers refuse it until it is renewed");
            }
        }
    }
}

/// Answers until `stop` is complete, over HTTPS where there is a certificate.
pub(crate) async fn serve_pages<H: Handler>(
    handler: Arc<H>,
    (listener, certificate): (TcpListener, Option<PageCertificate>),
    limits: HttpLimits,
    stop: impl Future<Output = ()>,
) -> Result<(), ServiceError> {
    match certificate {
        Some(certificate) => serve(handler, listener, Arc::new(certificate), limits, stop).await,
        None => serve(handler, listener, Plain, limits, stop).await,
    }
}

#[cfg(test)]
mod tests;
