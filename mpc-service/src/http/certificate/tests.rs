use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ED25519};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;
use x509_cert::der::Document;
use x509_cert::der::pem::LineEnding;

use super::super::tests::with_server_of;
use super::*;
use crate::at_rest::private_file::write_private;

const DAY: Duration = Duration::from_secs(86_400);
const SHORT: Duration = Duration::from_millis(200);
const HOST: &str = "north.example";

fn pem(label: &'static str, der: &[u8]) -> String {
    Document::try_from(der).unwrap().to_pem(label, LineEnding::LF).unwrap()
}

/// An authority, and the files of a certificate that it has given.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        write_private(&self.path(name), text.as_bytes()).unwrap();
    }

    /// Gives `key` a certificate, and writes both.
    fn give(&self, name: &str, key: &KeyPair, changed: impl FnOnce(&mut CertificateParams)) {
        let mut params = CertificateParams::new([HOST.to_owned()]).unwrap();
        (params.not_before, params.not_after) = ((SystemTime::now() - DAY).into(), (SystemTime::now() + DAY).into());
        changed(&mut params);
        let certificate = params.signed_by(key, &self.issuer).unwrap();
        self.write(&format!("{name}.pem"), &pem("CERTIFICATE", certificate.der()));
        self.write(&format!("{name}.key"), &pem("PRIVATE KEY", &key.serialize_der()));
    }

    fn open(&self, certificate: &str, key: &str) -> Result<PageCertificate, PageCertificateError> {
        PageCertificate::open(&self.path(certificate), &self.path(key))
    }

    /// A certificate of that name.
    fn new_certificate(&self, name: &str) -> PageCertificate {
        self.give(name, &KeyPair::generate().unwrap(), |_| ());
        self.open(&format!("{name}.pem"), &format!("{name}.key")).unwrap()
    }

    /// A client that trusts this authority.
    fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(&[&TLS13]).unwrap();
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

struct Hello;

impl Handler for Hello {
    async fn answer(self: Arc<Self>, _: Request<Incoming>) -> Response<http_body_util::Full<Bytes>> {
        Response::new("hello".into())
    }
}

const LIMITS: HttpLimits = HttpLimits { connections: 4, head: Duration::from_secs(60), time: Duration::from_secs(60) };

fn with_server(certificate: PageCertificate, limits: HttpLimits, test: impl FnOnce(SocketAddr)) {
    with_server_of(Arc::new(Hello), Some(certificate), limits, test);
}

/// All that comes back over TLS to a request, and the certificate that the server has shown.
fn get(at: SocketAddr, client: &Arc<ClientConfig>) -> Result<(String, Vec<u8>), std::io::Error> {
    let connection = ClientConnection::new(Arc::clone(client), HOST.try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(at)?);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: north.example\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let shown = stream.conn.peer_certificates().unwrap()[0].to_vec();
    Ok((answer, shown))
}

/// All that comes back to bytes as they are, until the other side closes.
fn raw(at: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "not closed");
    }
    answer
}

#[test]
fn those_who_trust_the_authority_get_an_answer() {
    let (authority, other) = (Authority::new(), Authority::new());
    with_server(authority.new_certificate("a"), LIMITS, |at| {
        let (answer, _) = get(at, &authority.client()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nhello"), "{answer}");
        let error = get(at, &other.client()).unwrap_err();
        assert!(error.to_string().contains("invalid peer certificate"), "{error}");
        assert!(get(at, &authority.client()).is_ok());
    });
}

#[test]
fn whoever_speaks_no_tls_or_not_this_one_harms_nobody() {
    let authority = Authority::new();
    let client = authority.client();
    with_server(authority.new_certificate("a"), LIMITS, |at| {
        let noise: Vec<u8> = (0..100_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        // The largest length that a record can name, in a handshake that never ends.
        let endless = [&[0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..], &noise].concat();
        for bytes in
            [&b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"[..], &noise, &endless, &[0x16; 5], b"\x16\x03\x01\x00\x00"]
        {
            let answer = raw(at, bytes);
            assert!(!answer.windows(4).any(|bytes| bytes == b"HTTP"), "{answer:?}");
            assert!(get(at, &client).is_ok(), "after {:?}", &bytes[..5]);
        }
        let mut other = ClientConfig::clone(&client);
        other.alpn_protocols = vec![b"h2".to_vec()];
        assert!(get(at, &Arc::new(other)).unwrap_err().to_string().contains("NoApplicationProtocol"));
        assert!(get(at, &client).is_ok());
    });
}

#[test]
fn those_who_are_slow_are_left_and_keep_nobody_out() {
    let authority = Authority::new();
    let client = authority.client();
    with_server(authority.new_certificate("a"), HttpLimits { head: SHORT, ..LIMITS }, |at| {
        for bytes in [&b""[..], b"\x16\x03\x01", &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]] {
            assert!(raw(at, bytes).is_empty());
        }
    });
    with_server(authority.new_certificate("a"), LIMITS, |at| {
        let held: Vec<_> = (0..20).map(|_| TcpStream::connect(at).unwrap()).collect();
        let is_served = || {
            thread::sleep(SHORT);
            get(at, &client).is_ok()
        };
        assert!((0..100).any(|_| is_served()));
        drop(held);
    });
}

#[test]
fn a_certificate_that_is_renewed_is_used_and_one_that_cannot_be_is_not() {
    let authority = Authority::new();
    let client = authority.client();
    let certificate = authority.new_certificate("a");
    let shown = |certificate: &PageCertificate| certificate.current.0.read().unwrap().cert[0].to_vec();
    let first = shown(&certificate);
    certificate.look(SystemTime::now());
    assert_eq!(shown(&certificate), first);
    // A key that is not there yet, a certificate that has expired, none at all: the one before stays.
    let next = KeyPair::generate().unwrap();
    let key = fs::read_to_string(authority.path("a.key")).unwrap();
    authority.give("a", &next, |_| ());
    let new_key = fs::read_to_string(authority.path("a.key")).unwrap();
    authority.write("a.key", &key);
    let fault = |certificate: &PageCertificate| certificate.seen.lock().unwrap().fault.clone().unwrap_or_default();
    certificate.look(SystemTime::now());
    assert_eq!(shown(&certificate), first);
    assert!(fault(&certificate).contains("is not that of the first certificate"), "{}", fault(&certificate));
    fs::remove_file(authority.path("a.pem")).unwrap();
    certificate.look(SystemTime::now());
    assert_eq!(shown(&certificate), first);
    assert!(fault(&certificate).contains("cannot read"), "{}", fault(&certificate));
    authority.give("a", &next, |params| params.not_after = (SystemTime::now() - DAY / 2).into());
    certificate.look(SystemTime::now());
    assert_eq!(shown(&certificate), first);
    assert!(fault(&certificate).contains("expired"), "{}", fault(&certificate));
    assert!(!certificate.is_over(SystemTime::now()));
    assert!(certificate.is_over(SystemTime::now() + 2 * DAY));
    with_server(certificate, LIMITS, |at| {
        assert_eq!(get(at, &client).unwrap().1, first);
        authority.give("a", &next, |_| ());
        authority.write("a.key", &new_key);
        let is_new = || {
            let renewed = get(at, &client).unwrap().1 != first;
            if !renewed {
                thread::sleep(LOOK_PAUSE / 4);
            }
            renewed
        };
        assert!((0..200).any(|_| is_new()));
    });
}

#[test]
fn files_that_cannot_be_used_are_refused_by_name() {
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    authority.give("right", &key, |_| ());
    authority.give("other", &KeyPair::generate().unwrap(), |_| ());
    authority.give("old", &key, |params| params.not_after = (SystemTime::now() - DAY / 2).into());
    authority.give("early", &key, |params| params.not_before = (SystemTime::now() + DAY / 2).into());
    authority.give("nameless", &key, |params| params.subject_alt_names.clear());
    authority.give("participant", &KeyPair::generate_for(&PKCS_ED25519).unwrap(), |_| ());
    authority.write("empty.pem", "");
    authority.write("text.pem", "-----BEGIN CERTIFICATE-----\nno base64!\n-----END CERTIFICATE-----\n");
    authority.write("short.pem", &pem("CERTIFICATE", &[0x30, 3, 2, 1, 5]));
    authority.write("locked.key", &pem("ENCRYPTED PRIVATE KEY", &[0x30, 3, 2, 1, 5]));
    authority.write("no.key", &pem("PRIVATE KEY", &[0x30, 3, 2, 1, 5]));
    authority.write("large.pem", &"x".repeat(MAX_FILE + 1));
    for (certificate, own, words) in [
        ("missing.pem", "right.key", "cannot read"),
        ("large.pem", "right.key", "more than 262144 bytes"),
        ("empty.pem", "right.key", "empty.pem: it has no certificate"),
        ("right.key", "right.key", "right.key: it has no certificate"),
        ("text.pem", "right.key", "text.pem: it has no certificate"),
        ("short.pem", "right.key", "short.pem: the first certificate is malformed"),
        ("right.pem", "missing.key", "cannot read"),
        ("right.pem", "right.pem", "right.pem: it has no private key"),
        ("right.pem", "locked.key", "locked.key: it has no private key that is not encrypted"),
        ("right.pem", "no.key", "no.key: it has no private key"),
        ("right.pem", "other.key", "other.key: the key is not that of the first certificate in"),
        ("old.pem", "old.key", "old.pem: the certificate has expired: it was valid until"),
        ("early.pem", "early.key", "early.pem: the certificate is not valid before"),
        ("nameless.pem", "nameless.key", "nameless.pem: it names no host"),
        ("participant.pem", "participant.key", "participant.pem: it is for Ed25519, which browsers do not accept"),
    ] {
        let error = authority.open(certificate, own).unwrap_err().to_string();
        assert!(error.contains(words), "{certificate}, {own}: {error}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(authority.path("right.key"), fs::Permissions::from_mode(0o640)).unwrap();
        let error = authority.open("right.pem", "right.key").unwrap_err().to_string();
        assert!(error.contains("others may read this secret"), "{error}");
    }
}
