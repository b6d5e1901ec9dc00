//! Who may connect to whom, and hostile peers and networks.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use crate::network::{BRIEF, PATIENT, run, secure_network};
use crate::proxy::{Harm, proxy};
use mpc_transport::tls::{Certificate, CertificateError, Identity, SecureError, SecureLink, SecureTransport};
use mpc_transport::{TcpSettings, Transport, TransportError, Wait};
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
const SOON: Duration = Duration::from_secs(20);

fn identity(name: &str) -> Identity {
    Identity::generate(name, 1).unwrap()
}

fn settings() -> TcpSettings {
    TcpSettings { connect_deadline: PATIENT, deadline: PATIENT, ..TcpSettings::default() }
}

fn brief() -> TcpSettings {
    TcpSettings { connect_deadline: BRIEF, deadline: BRIEF, ..TcpSettings::default() }
}

/// Accepts one connection on a thread.
fn accept(
    listener: TcpListener,
    identity: Identity,
    allowed: Vec<Certificate>,
    deadline: Duration,
) -> JoinHandle<Result<SecureLink, SecureError>> {
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        smol::block_on(SecureLink::accept(Async::new(stream).unwrap(), &identity, &allowed, deadline))
    })
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn connect(
    address: SocketAddr,
    identity: &Identity,
    peer: &Certificate,
    settings: TcpSettings,
) -> Result<SecureLink, SecureError> {
    smol::block_on(SecureLink::connect(&address.to_string(), identity, peer, &settings))
}

/// Both ends of an attempt in which `client` expects `expected`, and `server` allows `allowed`.
fn attempt(
    client: &Identity,
    expected: &Certificate,
    server: Identity,
    allowed: &[&Certificate],
) -> (Result<SecureLink, SecureError>, Result<SecureLink, SecureError>) {
    let started = Instant::now();
    let (listener, address) = listen();
    let accepting = accept(listener, server, allowed.iter().copied().cloned().collect(), PATIENT);
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
        let accepting = SecureLink::accept(Async::new(stream).unwrap(), &wrong, &allowed, PATIENT);
        assert_dates(&smol::block_on(accepting).unwrap_err(), &wrong, expired);
        drop(client);
    }
}

/// Accepts whatever it is shown, as no client of this crate does.
#[derive(Debug)]
struct Credulous;

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
fn parts(identity: &Identity) -> (Vec<CertificateDer<'static>>, PrivatePkcs8KeyDer<'static>) {
    let (_, certificate) = Document::from_pem(&identity.certificate_pem()).unwrap();
    let (_, key) = SecretDocument::from_pem(&identity.key_pem()).unwrap();
    (vec![certificate.into_vec().into()], PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()))
}

type RawClient = StreamOwned<ClientConnection, TcpStream>;

/// A client of the TLS library alone, which says what it is told to.
fn raw_client(address: SocketAddr, identity: Option<&Identity>, protocol: Option<&[u8]>) -> RawClient {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous));
    let mut config = match identity.map(parts) {
        Some((chain, key)) => config.with_client_auth_cert(chain, key.into()).unwrap(),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = protocol.into_iter().map(<[u8]>::to_vec).collect();
    let connection = ClientConnection::new(Arc::new(config), "peer.invalid".try_into().unwrap()).unwrap();
    let socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    StreamOwned::new(connection, socket)
}

const PROTOCOL: &[u8] = b"mpc-link/1";

/// What `accept` says about a raw client, and what that client reads.
fn accept_raw(client: Option<&Identity>, allowed: &Identity, protocol: Option<&[u8]>) -> (SecureError, std::io::Error) {
    let (listener, address) = listen();
    let accepting = accept(listener, identity("acme"), vec![allowed.certificate().clone()], PATIENT);
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
    let (error, _) = accept_raw(Some(&clinic), &clinic, Some(b"http/1.1"));
    assert!(matches!(error, SecureError::Handshake { .. }), "{error}");
}

/// A server of the TLS library alone; `talk` has the connection after the handshake.
fn raw_server(
    identity: &Identity,
    talk: impl FnOnce(&mut StreamOwned<ServerConnection, TcpStream>) + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let (listener, address) = listen();
    let (chain, key) = parts(identity);
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key.into())
        .unwrap();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
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
        let accepting = accept(listener, identity("clinic"), vec![peer.certificate().clone()], PATIENT);
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
    let accepting = accept(listener, identity("acme"), vec![clinic.certificate().clone()], BRIEF);
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
    let accepting = accept(listener, identity("acme"), vec![clinic.certificate().clone()], PATIENT);
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
        let accepting = accept(listener, acme, vec![clinic.certificate().clone()], PATIENT);
        smol::block_on(SecureLink::connect(&address, &clinic, &peer, &settings())).unwrap();
        accepting.join().unwrap().unwrap();
    }
}

#[test]
fn addresses_that_lead_nowhere_are_named() {
    let (peer, clinic) = (identity("acme"), identity("clinic"));
    let settings = brief();
    for address in ["", "localhost", "localhost:x", "[::1", "no-such-host.invalid:7700", "\u{1b}[31m:1"] {
        let connecting = SecureLink::connect(address, &clinic, peer.certificate(), &settings);
        let error = smol::block_on(connecting).unwrap_err();
        assert!(matches!(error, SecureError::Connect { .. }), "{error}");
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
    let accepting = accept(TcpListener::bind(address).unwrap(), acme, allowed, PATIENT);
    connecting.join().unwrap().unwrap();
    accepting.join().unwrap().unwrap();
}

/// A party whose peer, node 1 of two, is a raw client.
fn with_raw_peer(settings: TcpSettings) -> (SecureTransport, RawClient) {
    let (listener, address) = listen();
    let peer = identity("peer");
    let accepting = accept(listener, identity("party"), vec![peer.certificate().clone()], PATIENT);
    let mut raw = raw_client(address, Some(&peer), Some(PROTOCOL));
    let mut welcome = [0; 8];
    raw.read_exact(&mut welcome).unwrap();
    assert_eq!(&welcome, b"MPC-LINK");
    let link = accepting.join().unwrap().unwrap();
    (SecureTransport::new(0, vec![None, Some(link)], settings), raw)
}

fn frame(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_le_bytes()[..], message].concat()
}

#[test]
fn frames_do_not_depend_on_how_they_are_cut_into_records() {
    let messages: Vec<Vec<u8>> =
        vec![0usize, 1, 3, 100, 20_000, 0, 40_000].into_iter().map(|length| vec![length as u8; length]).collect();
    let bytes: Vec<u8> = messages.iter().flat_map(|message| frame(message)).collect();
    for piece in [1, 3, 4, 5, 104, 16_384, 70_000] {
        let (mut party, mut raw) = with_raw_peer(settings());
        let pieces: Vec<Vec<u8>> =
            if piece == 1 { &bytes[..120] } else { &bytes[..] }.chunks(piece).map(Vec::from).collect();
        let writer = thread::spawn(move || {
            for piece in pieces {
                raw.write_all(&piece).unwrap();
            }
            raw.conn.send_close_notify();
            raw.flush().unwrap();
            raw
        });
        let whole = if piece == 1 { 4 } else { messages.len() };
        for message in &messages[..whole] {
            // Sending in between must not disturb what has arrived already.
            smol::block_on(party.send(1, &[9; 50])).unwrap();
            assert_eq!(&smol::block_on(party.receive_bounded(1, 40_000)).unwrap(), message);
        }
        let closed = smol::block_on(party.receive(1, &mut [0; 8]));
        assert_eq!(closed, Err(TransportError::Closed { party: 1 }));
        drop(writer.join().unwrap());
    }
}

#[test]
fn keys_may_change_within_a_frame() {
    let (mut party, mut raw) = with_raw_peer(settings());
    let writer = thread::spawn(move || {
        let bytes = frame(&[7; 50_000]);
        for piece in bytes.chunks(9_000) {
            raw.write_all(piece).unwrap();
            raw.conn.refresh_traffic_keys().unwrap();
        }
        raw.flush().unwrap();
        let mut answer = vec![0; 104];
        raw.read_exact(&mut answer).unwrap();
        answer
    });
    let mut message = vec![0; 50_000];
    smol::block_on(party.receive(1, &mut message)).unwrap();
    assert_eq!(message, [7; 50_000]);
    smol::block_on(party.send(1, &[8; 100])).unwrap();
    assert_eq!(writer.join().unwrap(), frame(&[8; 100]));
}

#[test]
fn an_end_within_a_frame_is_closed() {
    for (sent, properly) in [(0, true), (2, true), (4, true), (50, true), (0, false), (50, false)] {
        let (mut party, mut raw) = with_raw_peer(settings());
        raw.write_all(&frame(&[1; 100])[..sent]).unwrap();
        if properly {
            raw.conn.send_close_notify();
        }
        raw.flush().unwrap();
        drop(raw);
        assert_eq!(smol::block_on(party.receive(1, &mut [0; 100])), Err(TransportError::Closed { party: 1 }));
    }
}

#[test]
fn plaintext_after_the_handshake_is_an_error() {
    let (mut party, mut raw) = with_raw_peer(settings());
    raw.sock.write_all(&frame(&[1; 100])).unwrap();
    let error = smol::block_on(party.receive(1, &mut [0; 100])).unwrap_err();
    assert!(matches!(error, TransportError::Corrupted { party: 1, .. }), "{error}");
    // The link stays unusable.
    assert_eq!(smol::block_on(party.send(1, &[1])), Err(error));
}

#[test]
fn a_dropped_link_tells_its_peer() {
    let (party, mut raw) = with_raw_peer(settings());
    drop(party);
    // With a proper end: a cut connection is an error here.
    assert_eq!(raw.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn a_trickle_ends_with_the_deadline() {
    for poll in [mpc_transport::DEFAULT_POLL, Duration::ZERO] {
        let (mut party, mut raw) = with_raw_peer(TcpSettings { poll, ..brief() });
        let writer = thread::spawn(move || {
            // Each byte is in time, the frame is not.
            for byte in frame(&[1; 1000]) {
                if raw.write_all(&[byte]).is_err() {
                    return;
                }
                thread::sleep(BRIEF / 10);
            }
        });
        let error = smol::block_on(party.receive(1, &mut [0; 1000])).unwrap_err();
        assert!(matches!(error, TransportError::Timeout { party: 1, waiting_for: Wait::Message, .. }), "{error}");
        drop(party);
        writer.join().unwrap();
    }
}

#[test]
fn links_outlive_their_network_unless_they_failed() {
    let mut ends = secure_network(3, settings());
    smol::block_on(async {
        assert_eq!(smol::future::poll_once(ends[0].receive(1, &mut [0; 4])).await, None);
        ends[2].send(0, b"before").await.unwrap();
    });
    let links = ends.remove(0).into_links();
    let kept: Vec<_> = links.iter().map(|link| link.as_ref().map(|link| link.peer().name().to_owned())).collect();
    assert_eq!(kept, [None, None, Some("party-2".to_owned())]);
    let mut again = SecureTransport::new(0, links, settings());
    smol::block_on(async {
        assert_eq!(again.receive_bounded(2, 100).await, Ok(b"before".to_vec()));
        let no_such_party = TransportError::NoSuchParty { party: 1, parties: 3 };
        assert_eq!(again.send(1, b"x").await, Err(no_such_party.clone()));
        assert_eq!(again.exchange(b"x", &mut [0; 2]).await, Err(no_such_party));
        let closed = ends[0].receive(0, &mut [0]).await;
        assert_eq!(closed, Err(TransportError::Closed { party: 0 }));
    });
}

/// Bytes that each end sends to the other, in both directions at once.
const EXCHANGED: usize = 200_000;

/// Both parties of two, linked through a proxy, exchange messages. Returns what each of them says, and checks that what
/// arrived is what was sent.
fn exchange_through(forth: Harm, back: Harm, settings: TcpSettings) -> Vec<Result<(), String>> {
    let (listener, address) = listen();
    let identities = [identity("zero"), identity("one")];
    let certificates = identities.each_ref().map(|identity| identity.certificate().clone());
    let proxied = proxy(address, forth, back);
    let ends = identities.into_iter().zip([Some(listener), None]).enumerate().collect();
    run(ends, async |(party, (identity, listener))| {
        let link = match listener {
            Some(listener) => {
                let (stream, _) = Async::new(listener).unwrap().accept().await.unwrap();
                SecureLink::accept(stream, &identity, &certificates[1..], settings.connect_deadline).await
            }
            None => SecureLink::connect(&proxied.to_string(), &identity, &certificates[0], &settings).await,
        };
        let mut links = [None, None];
        links[1 - party] = Some(link.map_err(|error| error.to_string())?);
        let mut end = SecureTransport::new(party, links.into(), settings);
        for round in 0..2u8 {
            let message = vec![party as u8 + 10 * round; EXCHANGED];
            let mut received = vec![0; EXCHANGED];
            end.exchange(&message, &mut received).await.map_err(|error| error.to_string())?;
            assert_eq!(received, vec![1 - party as u8 + 10 * round; EXCHANGED]);
        }
        Ok(())
    })
}

/// Places in a direction's bytes: in each message of the handshake, at the edges of records, in and after the exchange.
fn places() -> impl Iterator<Item = usize> {
    [0, 1, 4, 5, 80, 200, 300, 500, 700, 900, 1000, 2000, 17_000, 50_000, 210_000, 400_000].into_iter()
}

#[test]
fn a_cut_connection_never_gives_wrong_data() {
    for at in places() {
        for (forth, back) in [(Harm::Truncate(at), Harm::Nothing), (Harm::Nothing, Harm::Truncate(at))] {
            let started = Instant::now();
            let results = exchange_through(forth, back, settings());
            assert!(results.iter().any(Result::is_err), "{forth:?} {back:?}: {results:?}");
            assert!(started.elapsed() < SOON, "{forth:?} {back:?}: {results:?}");
        }
    }
}

#[test]
fn a_changed_byte_never_gives_wrong_data() {
    for at in places() {
        for (forth, back) in [(Harm::Corrupt(at), Harm::Nothing), (Harm::Nothing, Harm::Corrupt(at))] {
            // A changed length can make the other side wait for more: then the deadline ends it.
            let results = exchange_through(forth, back, brief());
            assert!(results.iter().any(Result::is_err), "{forth:?} {back:?}: {results:?}");
        }
    }
}

#[test]
fn a_stalled_connection_ends_with_the_deadline() {
    for at in places().step_by(3) {
        for (forth, back) in [(Harm::Stall(at), Harm::Nothing), (Harm::Nothing, Harm::Stall(at))] {
            let started = Instant::now();
            let results = exchange_through(forth, back, brief());
            assert!(results.iter().any(Result::is_err), "{forth:?} {back:?}: {results:?}");
            assert!(started.elapsed() < SOON, "{forth:?} {back:?}: {results:?}");
        }
    }
}

#[test]
fn a_slow_connection_works() {
    let results = exchange_through(Harm::Trickle(3000), Harm::Trickle(3000), settings());
    assert_eq!(results, [Ok(()), Ok(())]);
}

#[test]
fn what_is_on_the_wire_is_not_what_was_sent() {
    let (listener, address) = listen();
    let (acme, clinic) = (identity("acme"), identity("clinic"));
    let (allowed, peer) = (vec![clinic.certificate().clone()], acme.certificate().clone());
    let accepting = accept(listener, acme, allowed, PATIENT);
    // In the middle stands somebody who listens.
    let (tap, tapped) = listen();
    let recording = thread::spawn(move || {
        let (mut client, _) = tap.accept().unwrap();
        let mut server = TcpStream::connect(address).unwrap();
        let (mut back, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let returning = thread::spawn(move || std::io::copy(&mut back, &mut to_client));
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = client.read(&mut buffer) {
            heard.extend_from_slice(&buffer[..read]);
            server.write_all(&buffer[..read]).unwrap();
        }
        drop(server.shutdown(std::net::Shutdown::Write));
        let _ = returning.join();
        heard
    });
    let link = connect(tapped, &clinic, &peer, settings()).unwrap();
    let mut other = SecureTransport::new(0, vec![None, Some(accepting.join().unwrap().unwrap())], settings());
    let mut party = SecureTransport::new(1, vec![Some(link), None], settings());
    let secret = b"a share of nobody's business";
    smol::block_on(party.send(0, secret)).unwrap();
    assert_eq!(smol::block_on(other.receive_bounded(1, 100)).unwrap(), secret);
    drop((party, other));
    let heard = recording.join().unwrap();
    for plain in [&secret[..], b"clinic", b"acme"] {
        assert!(!heard.windows(plain.len()).any(|window| window == plain));
    }
}
