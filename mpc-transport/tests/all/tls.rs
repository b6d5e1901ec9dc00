//! Tests of who may connect to whom, and of hostile peers and networks.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use crate::network::{BRIEF, PATIENT, block_on};
use mpc_transport::TcpSettings;
use mpc_transport::tls::{Certificate, CertificateError, Identity, SecureError, SecureLink};
use pkcs8::{LineEnding, SecretDocument};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection, SignatureScheme, StreamOwned,
};
use smol::Async;
use x509_cert::der::Document;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Far more than a refusal takes.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) fn identity(name: &str) -> Identity {
    Identity::generate(name, 1).unwrap()
}

pub(crate) fn settings() -> TcpSettings {
    TcpSettings { connect_deadline: PATIENT, deadline: PATIENT, ..TcpSettings::default() }
}

pub(crate) fn brief() -> TcpSettings {
    TcpSettings { connect_deadline: BRIEF, deadline: BRIEF, ..TcpSettings::default() }
}

/// Accepts one connection on a thread.
pub(crate) fn accept(
    listener: TcpListener,
    identity: Identity,
    allowed: Vec<Certificate>,
    settings: TcpSettings,
) -> JoinHandle<Result<SecureLink, SecureError>> {
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        block_on(SecureLink::accept(Async::new(stream).unwrap(), &identity, &allowed, &settings))
    })
}

pub(crate) fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

pub(crate) fn connect(
    address: SocketAddr,
    identity: &Identity,
    peer: &Certificate,
    settings: TcpSettings,
) -> Result<SecureLink, SecureError> {
    block_on(SecureLink::connect(&address.to_string(), identity, peer, &settings))
}

/// Both ends of an attempt in which `client` expects `expected`, and `server` allows `allowed`.
pub(crate) fn attempt(
    client: &Identity,
    expected: &Certificate,
    server: Identity,
    allowed: &[&Certificate],
) -> (Result<SecureLink, SecureError>, Result<SecureLink, SecureError>) {
    let started = Instant::now();
    let (listener, address) = listen();
    let accepting = accept(listener, server, allowed.iter().copied().cloned().collect(), settings());
    let connected = connect(address, client, expected, settings());
    let accepted = accepting.join().unwrap();
    assert!(started.elapsed() < SOON);
    (connected, accepted)
}

#[test]
fn both_sides_learn_who_the_other_is() {
    let (acme, clinic, other) = (identity("acme"), identity("clinic"), identity("other"));
    let [acme_certificate, clinic_certificate] = [&acme, &clinic].map(|identity| identity.certificate().clone());
    let allowed = [other.certificate(), &clinic_certificate];
    let (connected, accepted) = attempt(&clinic, &acme_certificate, acme, &allowed);
    assert_eq!(connected.unwrap().peer(), &acme_certificate);
    let accepted = accepted.unwrap();
    assert_eq!(accepted.peer(), &clinic_certificate);
    assert!(accepted.peer_address().is_some());
    assert!(format!("{accepted:?}").contains("clinic"));
}

#[test]
fn a_server_with_another_certificate_is_named() {
    let (acme, impostor, clinic) = (identity("acme"), identity("acme"), identity("clinic"));
    let expected = vec![acme.certificate().fingerprint()];
    let presented = impostor.certificate().fingerprint();
    let (connected, accepted) = attempt(&clinic, acme.certificate(), impostor, &[clinic.certificate()]);
    let error = connected.unwrap_err();
    assert!(matches!(&error, SecureError::WrongCertificate { expected: e, presented: p, .. }
        if *e == expected && *p == presented));
    assert!(error.to_string().contains(&presented.to_string()) && error.to_string().contains(&expected[0].to_string()));
    assert!(matches!(accepted, Err(SecureError::Refused { .. })), "{accepted:?}");
}

#[test]
fn a_client_with_another_certificate_is_refused_and_told_so() {
    let (acme, clinic, stranger) = (identity("acme"), identity("clinic"), identity("clinic"));
    for allowed in [vec![clinic.certificate()], vec![]] {
        let server = Identity::from_pem(&acme.certificate_pem(), &acme.key_pem()).unwrap();
        let (connected, accepted) = attempt(&stranger, acme.certificate(), server, &allowed);
        assert!(matches!(connected, Err(SecureError::Refused { .. })), "{connected:?}");
        let expected: Vec<_> = allowed.iter().map(|certificate| certificate.fingerprint()).collect();
        assert!(matches!(accepted, Err(SecureError::WrongCertificate { expected: e, presented, .. })
            if e == expected && presented == stranger.certificate().fingerprint()));
    }
}

#[test]
fn of_many_allowed_certificates_only_some_are_listed() {
    let stranger = identity("stranger");
    let acme = identity("acme");
    let allowed: Vec<_> = (0..20).map(|_| identity("clinic").certificate().clone()).collect();
    let certificate = acme.certificate().clone();
    let (_, accepted) = attempt(&stranger, &certificate, acme, &allowed.iter().collect::<Vec<_>>());
    let text = accepted.unwrap_err().to_string();
    assert!(text.contains("16 others") && text.len() < 800, "{text}");
}

/// An identity that is valid from and until so many days from now.
fn dated(name: &str, from: i32, until: i32) -> Identity {
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = SystemTime::now();
    let date = |days: i32| if days < 0 { now - DAY * days.unsigned_abs() } else { now + DAY * days.unsigned_abs() };
    [params.not_before, params.not_after] = [date(from), date(until)].map(Into::into);
    let der = params.self_signed(&key).unwrap();
    let certificate = Document::try_from(&der.der()[..]).unwrap().to_pem("CERTIFICATE", LineEnding::LF).unwrap();
    let key = SecretDocument::try_from(&key.serialize_der()[..]).unwrap().to_pem("PRIVATE KEY", LineEnding::LF);
    Identity::from_pem(&certificate, &key.unwrap()).unwrap()
}

fn assert_dates(error: &SecureError, identity: &Identity, expired: bool) {
    let SecureError::Certificate { error, .. } = error else { panic!("{error}") };
    let (CertificateError::Expired { name, fingerprint, .. } | CertificateError::NotYetValid { name, fingerprint, .. }) =
        error
    else {
        panic!("{error}")
    };
    assert_eq!((name.as_str(), fingerprint), (identity.certificate().name(), &identity.certificate().fingerprint()));
    assert_eq!(matches!(error, CertificateError::Expired { .. }), expired, "{error}");
}

#[test]
fn an_own_certificate_that_is_not_valid_now_is_not_used() {
    for (wrong, expired) in [(dated("acme", -10, -1), true), (dated("acme", 1, 10), false)] {
        let peer = identity("clinic");
        let (listener, address) = listen();
        let error = connect(address, &wrong, peer.certificate(), settings()).unwrap_err();
        assert_dates(&error, &wrong, expired);
        // Nobody has connected.
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err());

        listener.set_nonblocking(false).unwrap();
        let client = TcpStream::connect(address).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let allowed = [peer.certificate().clone()];
        let settings = settings();
        let accepting = SecureLink::accept(Async::new(stream).unwrap(), &wrong, &allowed, &settings);
        assert_dates(&block_on(accepting).unwrap_err(), &wrong, expired);
        drop(client);
    }
}

/// Accepts whatever it is shown, as no client of this crate does.
#[derive(Debug)]
pub(crate) struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        unreachable!("version 1.3 only")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The certificate and private key of an identity, for a TLS library.
pub(crate) fn parts(identity: &Identity) -> (Vec<CertificateDer<'static>>, PrivatePkcs8KeyDer<'static>) {
    let (_, certificate) = Document::from_pem(&identity.certificate_pem()).unwrap();
    let (_, key) = SecretDocument::from_pem(&identity.key_pem()).unwrap();
    (vec![certificate.into_vec().into()], PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()))
}

pub(crate) type RawClient = StreamOwned<ClientConnection, TcpStream>;

/// A client of the TLS library alone, which says what it is told to.
pub(crate) fn raw_client(address: SocketAddr, identity: Option<&Identity>, protocol: Option<&[u8]>) -> RawClient {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous));
    let config = match identity.map(parts) {
        Some((chain, key)) => config.with_client_auth_cert(chain, key.into()).unwrap(),
        None => config.with_no_client_auth(),
    };
    raw_client_with(address, config, protocol)
}

pub(crate) fn raw_client_with(address: SocketAddr, mut config: ClientConfig, protocol: Option<&[u8]>) -> RawClient {
    config.alpn_protocols = protocol.into_iter().map(<[u8]>::to_vec).collect();
    let connection = ClientConnection::new(Arc::new(config), "peer.invalid".try_into().unwrap()).unwrap();
    let socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    StreamOwned::new(connection, socket)
}

pub(crate) const PROTOCOL: &[u8] = b"mpc-link/1";

/// The error of `accept` for a raw client, and the error that this client reads.
fn accept_raw(client: Option<&Identity>, allowed: &Identity, protocol: Option<&[u8]>) -> (SecureError, std::io::Error) {
    let (listener, address) = listen();
    let accepting = accept(listener, identity("acme"), vec![allowed.certificate().clone()], settings());
    let mut raw = raw_client(address, client, protocol);
    let read = raw.read_exact(&mut [0; 8]).unwrap_err();
    (accepting.join().unwrap().unwrap_err(), read)
}

#[test]
fn a_client_whose_certificate_is_not_valid_now_is_refused() {
    for (client, expired) in [(dated("clinic", -10, -1), true), (dated("clinic", 1, 10), false)] {
        let (error, read) = accept_raw(Some(&client), &client, Some(PROTOCOL));
        assert_dates(&error, &client, expired);
        assert!(read.to_string().contains("CertificateExpired"), "{read}");
    }
}

#[test]
fn a_client_without_a_certificate_or_of_another_protocol_is_refused() {
    let clinic = identity("clinic");
    let (error, _) = accept_raw(None, &clinic, Some(PROTOCOL));
    assert!(matches!(error, SecureError::Handshake { .. }), "{error}");
    for protocol in [Some(&b"http/1.1"[..]), None] {
        let (error, _) = accept_raw(Some(&clinic), &clinic, protocol);
        assert!(matches!(error, SecureError::Handshake { .. }), "{error}");
    }
}

/// A server of the TLS library alone; `talk` has the connection after the handshake.
fn raw_server(
    identity: &Identity,
    talk: impl FnOnce(&mut StreamOwned<ServerConnection, TcpStream>) + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let (chain, key) = parts(identity);
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key.into())
        .unwrap();
    raw_server_with(config, Some(PROTOCOL), talk)
}

pub(crate) fn raw_server_with(
    mut config: ServerConfig,
    protocol: Option<&[u8]>,
    talk: impl FnOnce(&mut StreamOwned<ServerConnection, TcpStream>) + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let (listener, address) = listen();
    config.alpn_protocols = protocol.into_iter().map(<[u8]>::to_vec).collect();
    let server = thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        socket.set_nodelay(true).unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), socket);
        talk(&mut stream);
    });
    (address, server)
}

#[test]
fn a_server_whose_certificate_is_not_valid_now_is_not_connected_to() {
    for (server, expired) in [(dated("acme", -10, -1), true), (dated("acme", 1, 10), false)] {
        let (listener, address) = listen();
        let error = connect(address, &identity("clinic"), server.certificate(), settings()).unwrap_err();
        assert_dates(&error, &server, expired);
        // Nobody has connected.
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err());
    }
}

#[test]
fn a_server_that_does_not_confirm_is_not_connected_to() {
    let acme = identity("acme");
    // It has completed the handshake of TLS, and says something else, or nothing.
    let (address, _running) = raw_server(&acme, |stream| stream.write_all(b"HTTP/1.1 200 OK").unwrap());
    let error = connect(address, &identity("clinic"), acme.certificate(), settings()).unwrap_err();
    assert!(matches!(error, SecureError::Handshake { .. }), "{error}");
    let (address, _running) = raw_server(&acme, |stream| {
        let _ = stream.read(&mut [0]);
    });
    let error = connect(address, &identity("clinic"), acme.certificate(), brief()).unwrap_err();
    assert!(matches!(error, SecureError::Timeout { .. }), "{error}");
}

const GARBAGE: &[u8] = &[0xff; 10_000];

/// A server that answers with `answer` and reads on.
fn plain_server(answer: &'static [u8]) -> SocketAddr {
    let (listener, address) = listen();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.write_all(answer).unwrap();
        while matches!(socket.read(&mut [0; 1024]), Ok(1..)) {}
    });
    address
}

#[test]
fn peers_that_do_not_speak_tls_are_named() {
    let peer = identity("acme");
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"MPC-LINK\0\0\0\0\0\0\0\0", GARBAGE] {
        let started = Instant::now();
        let error = connect(plain_server(answer), &identity("clinic"), peer.certificate(), settings()).unwrap_err();
        assert!(matches!(error, SecureError::NotTls { .. }), "{error}");

        let (listener, address) = listen();
        let accepting = accept(listener, identity("clinic"), vec![peer.certificate().clone()], settings());
        let mut socket = TcpStream::connect(address).unwrap();
        socket.write_all(answer).unwrap();
        let error = accepting.join().unwrap().unwrap_err();
        assert!(matches!(error, SecureError::NotTls { .. }), "{error}");
        assert!(started.elapsed() < SOON);
    }
}

#[test]
fn silence_ends_with_the_deadline() {
    let (acme, clinic) = (identity("acme"), identity("clinic"));
    let started = Instant::now();
    // A listener that nobody serves, a client that says nothing, and nobody at all.
    let (_listener, address) = listen();
    let error = connect(address, &clinic, acme.certificate(), brief()).unwrap_err();
    assert!(matches!(error, SecureError::Timeout { after, .. } if after >= BRIEF), "{error}");

    let (listener, address) = listen();
    let accepting = accept(listener, identity("acme"), vec![clinic.certificate().clone()], brief());
    let _silent = TcpStream::connect(address).unwrap();
    let error = accepting.join().unwrap().unwrap_err();
    assert!(matches!(error, SecureError::Timeout { after, .. } if after >= BRIEF), "{error}");

    let (listener, address) = listen();
    drop(listener);
    let error = connect(address, &clinic, acme.certificate(), brief()).unwrap_err();
    assert!(matches!(&error, SecureError::Connect { reason, .. } if reason.contains("refused")), "{error}");
    assert!(started.elapsed() < SOON);
}

#[test]
fn a_peer_that_hangs_up_is_named_at_once() {
    let clinic = identity("clinic");
    let (listener, address) = listen();
    let accepting = accept(listener, identity("acme"), vec![clinic.certificate().clone()], settings());
    drop(TcpStream::connect(address).unwrap());
    assert!(matches!(accepting.join().unwrap(), Err(SecureError::Closed { .. })));

    let (listener, address) = listen();
    let hanging_up = thread::spawn(move || drop(listener.accept().unwrap()));
    let error = connect(address, &clinic, clinic.certificate(), settings()).unwrap_err();
    assert!(matches!(error, SecureError::Closed { .. }), "{error}");
    hanging_up.join().unwrap();
}

#[test]
fn hosts_have_names_and_addresses_of_both_kinds() {
    for (bound, host) in [("127.0.0.1:0", "localhost"), ("[::1]:0", "[::1]"), ("127.0.0.1:0", "127.0.0.1")] {
        // There are machines without IPv6.
        let Ok(listener) = TcpListener::bind(bound) else { continue };
        let address = format!("{host}:{}", listener.local_addr().unwrap().port());
        let (acme, clinic) = (identity("acme"), identity("clinic"));
        let peer = acme.certificate().clone();
        let accepting = accept(listener, acme, vec![clinic.certificate().clone()], settings());
        block_on(SecureLink::connect(&address, &clinic, &peer, &settings())).unwrap();
        accepting.join().unwrap().unwrap();
    }
}

#[test]
fn addresses_that_lead_nowhere_are_named() {
    let (peer, clinic) = (identity("acme"), identity("clinic"));
    let settings = brief();
    let connect = |address| block_on(SecureLink::connect(address, &clinic, peer.certificate(), &settings));
    for address in ["", "localhost", "localhost:x", "[::1"] {
        let error = connect(address).unwrap_err();
        assert!(matches!(error, SecureError::UnknownHost { .. }), "{error}");
    }
    // A resolver that cannot be reached may know them later.
    for address in ["no-such-host.invalid:7700", "\u{1b}[31m:1"] {
        let error = connect(address).unwrap_err();
        assert!(matches!(error, SecureError::UnknownHost { .. } | SecureError::Connect { .. }), "{error}");
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }
}

#[test]
fn a_client_may_come_before_its_server() {
    let (listener, address) = listen();
    drop(listener);
    let (acme, clinic) = (identity("acme"), identity("clinic"));
    let peer = acme.certificate().clone();
    let allowed = vec![clinic.certificate().clone()];
    let connecting = thread::spawn(move || connect(address, &clinic, &peer, settings()));
    thread::sleep(BRIEF / 2);
    let accepting = accept(TcpListener::bind(address).unwrap(), acme, allowed, settings());
    connecting.join().unwrap().unwrap();
    accepting.join().unwrap().unwrap();
}
