//! A relay that has the keys of all sides, and so stands within TLS: it passes frames on, and spoils one of them.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use mpc_transport::frame::announced;
use mpc_transport::tls::Identity;
use pkcs8::SecretDocument;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::{default_provider, sign::any_eddsa_type};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{
    ClientConfig, ClientConnection, Connection, DigitallySignedStruct, DistinguishedName, ServerConfig,
    ServerConnection, SignatureScheme,
};

/// The protocol that both sides name.
const PROTOCOL: &[u8] = b"mpc-link/1";
/// The length of the first words of the accepting side, which are no frame.
const WELCOME: usize = 8;

/// Bytes of one direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// Those of the side that connected.
    Forth,
    /// Those of the side that it connected to.
    Back,
}

/// A frame: of the nth connection of a caller, in a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The caller, by its place among the identities.
    pub caller: usize,
    pub connection: usize,
    pub direction: Direction,
    pub frame: usize,
}

/// The damage that is done to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// One bit is changed.
    Flip,
    /// All of it is changed.
    Random,
    /// It ends early, and says so.
    Cut,
    /// It ends early, and the connection with it.
    Broken,
    /// There is nothing in it.
    Empty,
    /// It comes twice.
    Repeat,
    /// It comes after the next one.
    Reorder,
    /// It does not come.
    Omit,
    /// It goes on.
    Enlarge,
    /// It says that it is of 1 GiB.
    Announce,
    /// It says that it is of 4 GiB.
    AnnounceMore,
}

pub const FAULTS: [Fault; 11] = [
    Fault::Flip,
    Fault::Random,
    Fault::Cut,
    Fault::Broken,
    Fault::Empty,
    Fault::Repeat,
    Fault::Reorder,
    Fault::Omit,
    Fault::Enlarge,
    Fault::Announce,
    Fault::AnnounceMore,
];

#[derive(Debug, Default)]
struct State {
    plan: Option<(Place, Fault)>,
    /// The connections of each caller so far.
    connections: HashMap<usize, usize>,
    /// The frames that have passed, and their lengths.
    seen: Vec<(Place, usize)>,
}

/// A relay before one service.
pub struct Relay {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Relay {
    /// Before the service at `target`, which has the identity of that place; `identities` are of all who call.
    pub fn new(target: SocketAddr, service: usize, identities: Arc<Vec<Arc<Identity>>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let (state, identities) = (Arc::clone(&shared), Arc::clone(&identities));
                thread::spawn(move || relay(near, target, service, &identities, &state));
            }
        });
        Self { address, state }
    }

    /// Spoils a frame from now on, and counts connections anew.
    pub fn spoil(&self, plan: Option<(Place, Fault)>) {
        *self.state.lock().unwrap() = State { plan, ..State::default() };
    }

    /// The frames that have passed since then, and their lengths.
    pub fn seen(&self) -> Vec<(Place, usize)> {
        self.state.lock().unwrap().seen.clone()
    }
}

/// Believes whatever it is shown: the two ends check.
#[derive(Debug)]
struct Credulous;

impl Credulous {
    fn schemes() -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

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
        Self::schemes()
    }
}

impl ClientCertVerifier for Credulous {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
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
        Self::schemes()
    }
}

fn certified(identity: &Identity) -> Arc<SingleCertAndKey> {
    let der = |pem: &str| SecretDocument::from_pem(pem).unwrap().1.as_bytes().to_vec();
    let key = any_eddsa_type(&PrivatePkcs8KeyDer::from(der(&identity.key_pem()))).unwrap();
    let chain = vec![CertificateDer::from(der(&identity.certificate_pem()))];
    Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)))
}

fn accepting(identity: &Identity) -> Connection {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_client_cert_verifier(Arc::new(Credulous))
        .with_cert_resolver(certified(identity));
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    ServerConnection::new(Arc::new(config)).unwrap().into()
}

fn connecting(identity: &Identity) -> Connection {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_client_cert_resolver(certified(identity));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.enable_sni = false;
    ClientConnection::new(Arc::new(config), "peer.invalid".try_into().unwrap()).unwrap().into()
}

/// One side of a relayed connection.
struct Side {
    tls: Mutex<Connection>,
    socket: TcpStream,
}

impl Side {
    fn new(mut tls: Connection, mut socket: TcpStream) -> Option<Self> {
        socket.set_nodelay(true).ok()?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).ok()?;
        }
        Some(Self { tls: Mutex::new(tls), socket })
    }

    fn send(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut tls = self.tls.lock().unwrap();
        for part in bytes.chunks(16 << 10) {
            tls.writer().write_all(part)?;
            while tls.wants_write() {
                tls.write_tls(&mut &self.socket)?;
            }
        }
        Ok(())
    }

    /// The bytes that have come, once some have; none at the end.
    fn receive(&self) -> std::io::Result<Vec<u8>> {
        let mut raw = vec![0; 16 << 10];
        loop {
            // What came with the handshake is there already.
            let mut plain = Vec::new();
            take_plain(&mut self.tls.lock().unwrap(), &mut plain)?;
            if !plain.is_empty() {
                return Ok(plain);
            }
            // Without the lock: the other direction goes on meanwhile.
            let count = (&self.socket).read(&mut raw)?;
            let mut tls = self.tls.lock().unwrap();
            let mut arrived = &raw[..count];
            while !arrived.is_empty() {
                tls.read_tls(&mut arrived)?;
                take_plain(&mut tls, &mut plain)?;
            }
            if count == 0 || !plain.is_empty() {
                return Ok(plain);
            }
        }
    }

    /// Says that nothing follows.
    fn end(&self) {
        let mut tls = self.tls.lock().unwrap();
        tls.send_close_notify();
        while tls.wants_write() && tls.write_tls(&mut &self.socket).is_ok() {}
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    fn cut(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// Adds what is decrypted.
fn take_plain(tls: &mut Connection, plain: &mut Vec<u8>) -> std::io::Result<()> {
    let state = tls.process_new_packets().map_err(std::io::Error::other)?;
    let from = plain.len();
    plain.resize(from + state.plaintext_bytes_to_read(), 0);
    tls.reader().read_exact(&mut plain[from..])
}

fn relay(
    near: TcpStream,
    target: SocketAddr,
    service: usize,
    identities: &[Arc<Identity>],
    state: &Mutex<State>,
) -> Option<()> {
    let near = Side::new(accepting(&identities[service]), near)?;
    let presented = near.tls.lock().unwrap().peer_certificates()?.first()?.to_vec();
    let is_presented = |identity: &Arc<Identity>| {
        SecretDocument::from_pem(&identity.certificate_pem()).unwrap().1.as_bytes() == presented
    };
    let caller = identities.iter().position(is_presented)?;
    let far = Side::new(connecting(&identities[caller]), TcpStream::connect(target).ok()?)?;
    let connection = {
        let mut state = state.lock().unwrap();
        let count = state.connections.entry(caller).or_default();
        *count += 1;
        *count - 1
    };
    let place = |direction| Place { caller, connection, direction, frame: 0 };
    thread::scope(|scope| {
        scope.spawn(|| pass(&near, &far, place(Direction::Forth), state));
        pass(&far, &near, place(Direction::Back), state);
    });
    Some(())
}

/// Passes one direction on to its end.
fn pass(from: &Side, to: &Side, mut place: Place, state: &Mutex<State>) {
    let mut arrived = Vec::new();
    let mut held: Option<Vec<u8>> = None;
    let mut welcome = if place.direction == Direction::Back { WELCOME } else { 0 };
    while let Ok(bytes @ [_, ..]) = from.receive().as_deref() {
        arrived.extend_from_slice(bytes);
        while let Some(length) = next(&arrived, welcome) {
            let piece: Vec<u8> = arrived.drain(..length).collect();
            if welcome > 0 {
                welcome = 0;
                if to.send(&piece).is_err() {
                    return [from, to].into_iter().for_each(Side::cut);
                }
                continue;
            }
            let fault = {
                let mut state = state.lock().unwrap();
                state.seen.push((place, piece.len() - 4));
                state.plan.filter(|(spoilt, _)| *spoilt == place).map(|(_, fault)| fault)
            };
            place.frame += 1;
            let sent = match fault {
                None => to.send(&piece).and_then(|()| held.take().map_or(Ok(()), |held| to.send(&held))),
                Some(Fault::Reorder) => {
                    held = Some(piece);
                    Ok(())
                }
                Some(Fault::Broken) => {
                    let _ = to.send(&piece[..piece.len() / 2]);
                    return [from, to].into_iter().for_each(Side::cut);
                }
                Some(fault) => to.send(&spoil(&piece[4..], fault, place.frame as u64)),
            };
            if sent.is_err() {
                return [from, to].into_iter().for_each(Side::cut);
            }
        }
    }
    to.end();
}

/// The length of what comes next, once it is there: the welcome, or a frame.
fn next(arrived: &[u8], welcome: usize) -> Option<usize> {
    if welcome > 0 {
        return (arrived.len() >= welcome).then_some(welcome);
    }
    let length = 4 + announced(*arrived.first_chunk()?);
    (arrived.len() >= length).then_some(length)
}

/// A frame with that content.
fn framed(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32).to_le_bytes(), content].concat()
}

fn spoil(content: &[u8], fault: Fault, seed: u64) -> Vec<u8> {
    let mut random = seed;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize
    };
    let mut changed = content.to_vec();
    match fault {
        Fault::Flip if !content.is_empty() => {
            let place = next() % content.len();
            changed[place] ^= 1 << (next() % 8);
        }
        Fault::Random => changed.iter_mut().for_each(|byte| *byte = next() as u8),
        Fault::Cut => changed.truncate(content.len() / 2),
        Fault::Empty => changed.clear(),
        Fault::Repeat => return framed(content).repeat(2),
        Fault::Omit => return Vec::new(),
        Fault::Enlarge => changed.extend((0..1 + content.len()).map(|_| next() as u8)),
        Fault::Announce => return [&(1u32 << 30).to_le_bytes(), content].concat(),
        Fault::AnnounceMore => return [&u32::MAX.to_le_bytes(), content].concat(),
        Fault::Flip | Fault::Broken | Fault::Reorder => {}
    }
    framed(&changed)
}
