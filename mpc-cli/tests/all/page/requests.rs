//! Requests as a page sends them, and others: each refusal has its name.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use hpke::aead::AesGcm128;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeS, Serializable, setup_sender_with_rng};
use mpc_nn::delegation::{OutputShare, reconstruct, split_inputs};
use mpc_nn::{Correlations, Transfers, evaluate};
use mpc_service::{PrivateModel, Terms, Topology};
use mpc_shares::{Prg, Seed};
use ndarray::ArrayD;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::site::{SLOW_TOKEN, Site, TOKEN};
use crate::support::network;

pub const ORIGIN: &str = "https://page.example";
/// Where the deposit begins in what is sealed: behind session and ticket.
const DEPOSIT_AT: usize = 16 + 56;
/// Where the dealer's fingerprint begins: behind owner and version.
const DEALER_AT: usize = DEPOSIT_AT + 48;
/// Where the addresses of the servers before begin, and the bytes of each.
const ADDRESS_AT: usize = DEALER_AT + 64;
const ADDRESS_BYTES: usize = 262;
type Suite = X25519HkdfSha256;

/// A response: its status, its headers as text, its body.
pub struct Response {
    pub status: u16,
    pub headers: String,
    pub body: Vec<u8>,
}

impl Response {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }
}

/// Where a server is asked, over HTTPS by whoever trusts some authority.
#[derive(Clone)]
pub struct At {
    pub address: SocketAddr,
    pub tls: Option<Arc<ClientConfig>>,
}

impl From<SocketAddr> for At {
    fn from(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }
}

impl At {
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.address)
    }
}

/// Sends a request in HTTP/1.1 and reads all of the answer.
pub fn send(at: &At, head: &str, body: &[u8]) -> Response {
    let stream = TcpStream::connect(at.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let Some(tls) = &at.tls else { return exchange(stream, head, body) };
    let connection = ClientConnection::new(Arc::clone(tls), at.address.ip().into()).unwrap();
    exchange(StreamOwned::new(connection, stream), head, body)
}

fn exchange(mut stream: impl Read + Write, head: &str, body: &[u8]) -> Response {
    stream.write_all(head.as_bytes()).unwrap();
    // One that refuses a request by its head may not read the rest.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let mut bytes = [0; 1 << 14];
    // Not all servers close behind an answer.
    while !is_whole(&answer) {
        match stream.read(&mut bytes) {
            Ok(count @ 1..) => answer.extend_from_slice(&bytes[..count]),
            _ => break,
        }
    }
    let end = head_length(&answer).expect("an answer has a head");
    let headers = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
    Response { status, headers: headers.to_lowercase(), body: answer[end + 4..].to_vec() }
}

/// The length of an answer's head, if it is there.
fn head_length(answer: &[u8]) -> Option<usize> {
    answer.windows(4).position(|window| window == b"\r\n\r\n")
}

/// Whether an answer that says its length has all of it.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = head_length(answer) else { return false };
    let headers = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let length = headers.lines().find_map(|line| line.strip_prefix("content-length:"));
    length.and_then(|length| length.trim().parse().ok()).is_some_and(|length: usize| answer.len() >= end + 4 + length)
}

fn get(at: &At, path: &str, headers: &str) -> Response {
    send(at, &format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", at.address), &[])
}

fn post(at: &At, path: &str, headers: &str, body: &[u8]) -> Response {
    let (length, host) = (body.len(), at.address);
    send(at, &format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n{headers}\r\n"), body)
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn bytes(digits: &Value) -> Vec<u8> {
    let digits = digits.as_str().unwrap().as_bytes();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// A sealed request, and how its answer is sealed.
pub struct Sealed {
    pub request: Vec<u8>,
    pub key: [u8; 16],
    pub nonce: [u8; 12],
}

/// Seals a request to a server's key, as the module of the page does; the ephemeral key is the generator's.
pub fn seal_with(generator: &mut Prg, key: &[u8], plain: &[u8]) -> Sealed {
    let public = <Suite as Kem>::PublicKey::from_bytes(key).unwrap();
    let sender = setup_sender_with_rng::<AesGcm128, HkdfSha256, Suite>(
        &OpModeS::Base,
        &public,
        b"mpc page request 1",
        generator,
    );
    let (encapsulated, mut context) = sender.unwrap();
    let request = [encapsulated.to_bytes().to_vec(), context.seal(plain, &[]).unwrap()].concat();
    let mut sealed = Sealed { request, key: [0; 16], nonce: [0; 12] };
    context.export(b"mpc page answer key 1", &mut sealed.key).unwrap();
    context.export(b"mpc page answer nonce 1", &mut sealed.nonce).unwrap();
    sealed
}

fn seal(key: &[u8], plain: &[u8]) -> Sealed {
    seal_with(&mut Prg::new(Seed::from_system().unwrap()), key, plain)
}

impl Sealed {
    fn open(&self, answer: &[u8]) -> Vec<u8> {
        let key = ring::aead::UnboundKey::new(&ring::aead::AES_128_GCM, &self.key).unwrap();
        let nonce = ring::aead::Nonce::assume_unique_for_key(self.nonce);
        let mut answer = answer.to_vec();
        let opener = ring::aead::LessSafeKey::new(key);
        opener.open_in_place(nonce, ring::aead::Aad::empty(), &mut answer).unwrap().to_vec()
    }
}

pub fn model(correlations: Correlations) -> PrivateModel {
    let terms = Terms { setting: Topology::Outsourced, correlations, ..Terms::default() };
    PrivateModel::new(network(), terms).unwrap()
}

fn input() -> ArrayD<f32> {
    ArrayD::from_shape_fn(vec![1, 8], |index| index[1] as f32 / 4.0 - 1.0)
}

/// One session as a page has it; `changed` may change what is sealed for a server, before it is.
fn requests(site: &Site, changed: impl Fn(usize, &mut Vec<u8>)) -> Vec<Sealed> {
    let plan = site.model.plan::<u64>().unwrap();
    let mut generator = Prg::new(Seed::from_system().unwrap());
    let shares = split_inputs(&plan, &[input()], &mut generator).unwrap();
    let keys: Vec<u8> = site.keys().iter().flat_map(|key| bytes(&Value::from(key.as_str()))).collect();
    let session: [u8; 16] = generator.seed().expose()[..16].try_into().unwrap();
    let seal_one = |(party, share): (usize, &mpc_nn::InputShare<u64>)| {
        let server = &site.servers[party];
        let offer = get(&server.pages, &format!("/v1/models/{}", site.plan()), &bearer(TOKEN));
        assert_eq!(offer.status, 200, "{}", String::from_utf8_lossy(&offer.body));
        let offer = offer.json();
        assert_eq!((&offer["party"], &offer["key"]), (&Value::from(party), &Value::from(server.key.as_str())));
        let dealer = site.dealer();
        assert_eq!(offer["dealer"].is_null(), dealer.is_none(), "{offer}");
        let dealer = dealer.inspect(|dealer| assert_eq!(bytes(&offer["dealer"]), dealer)).unwrap_or_default();
        let deposit = &offer["deposits"][0];
        let mut plain = [&session[..], &bytes(&offer["ticket"]), &bytes(&deposit["owner"])].concat();
        plain.extend([&bytes(&deposit["version"])[..], &dealer, &Sha256::digest(&keys)].concat());
        plain.extend(vec![0; ADDRESS_BYTES * party]);
        plain.extend_from_slice(&share.to_bytes());
        changed(party, &mut plain);
        seal(&bytes(&offer["key"]), &plain)
    };
    shares.iter().enumerate().map(seal_one).collect()
}

fn begin(site: &Site, party: usize, request: &[u8]) -> Response {
    let path = format!("/v1/models/{}/inferences", site.plan());
    post(&site.servers[party].pages, &path, &(bearer(TOKEN) + "Origin: https://page.example\r\n"), request)
}

/// Asks until an inference has ended.
fn end(site: &Site, party: usize, begun: &Response) -> Response {
    assert_eq!(begun.status, 202, "{}", String::from_utf8_lossy(&begun.body));
    let path = format!("/v1/inferences/{}", begun.json()["inference"].as_str().unwrap());
    let at = &site.servers[party].pages;
    assert_eq!(get(at, &path, &bearer(SLOW_TOKEN)).code(), "no-inference");
    loop {
        let response = get(at, &path, &bearer(TOKEN));
        if response.status != 202 {
            return response;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_page_gets_its_result_and_every_refusal_has_its_name() {
    let site = Site::start(&model(Correlations::Dealt), ORIGIN);
    answers(&site);
    refusals(&site);
    differences(&site);
    rate(&site);
}

#[test]
fn a_page_gets_its_result_of_two_servers_without_a_dealer() {
    let site = Site::start(&model(Correlations::Own { transfers: Transfers::Silent, inferences: 1 }), ORIGIN);
    answers(&site);
    // A page that was made for a dealer says so.
    let sealed = requests(&site, |_, plain| plain[DEALER_AT] ^= 1);
    assert_eq!(begin(&site, 0, &sealed[0].request).code(), "dealer");
}

/// The result of an inference is that of the network in the clear; its requests serve once.
pub fn answers(site: &Site) {
    let sealed = requests(site, |_, _| {});
    let begun: Vec<_> = (0..2).map(|party| begin(site, party, &sealed[party].request)).collect();
    assert!(begun[0].headers.contains("access-control-allow-origin: https://page.example"), "{}", begun[0].headers);
    let plan = site.model.plan::<u64>().unwrap();
    let share = |party: usize| {
        let ended = end(site, party, &begun[party]);
        assert_eq!(ended.status, 200, "{}", String::from_utf8_lossy(&ended.body));
        OutputShare::from_bytes(&plan, party, &sealed[party].open(&ended.body)).unwrap()
    };
    let outputs = reconstruct(&plan, &[share(0), share(1)]).unwrap().remove(0);
    let network = network();
    let plain = evaluate(&network.graph, &network.weights, &[input()]).unwrap().remove(0);
    for (private, plain) in outputs.iter().zip(&plain) {
        assert!((private - f64::from(*plain)).abs() < 0.001, "{private} instead of {plain}");
    }
    let replayed = begin(site, 0, &sealed[0].request);
    assert_eq!((replayed.status, replayed.code().as_str()), (409, "replayed"));
    // What is sealed to one server, the other does not open.
    let swapped = begin(site, 1, &sealed[0].request);
    assert!(matches!((swapped.status, swapped.code().as_str()), (413, "size") | (422, "wrong-key")));
}

fn refusals(site: &Site) {
    let at = &site.servers[0].pages;
    let host = at.address;
    let (offer, ask) = (format!("/v1/models/{}", site.plan()), format!("/v1/models/{}/inferences", site.plan()));
    assert_eq!(get(at, "/v1/alive", "").status, 204);
    for (path, headers, status, code) in [
        (&*offer, String::new(), 401, "no-token"),
        (&offer, bearer("0123456789abcdef0123456789abcdee"), 401, "unknown-token"),
        (&offer, bearer(TOKEN) + "Origin: https://other.example\r\n", 403, "origin"),
        (&ask, bearer(TOKEN), 405, "method"),
        ("/", bearer(TOKEN), 404, "not-found"),
        ("/v1/models/00", bearer(TOKEN), 404, "not-found"),
        (&format!("/v1/models/{}", "0".repeat(64)), bearer(TOKEN), 404, "no-model"),
        (&format!("/v1/inferences/{}", "0".repeat(32)), bearer(TOKEN), 404, "no-inference"),
    ] {
        let refused = get(at, path, &headers);
        assert_eq!((refused.status, refused.code().as_str()), (status, code), "{path}");
        assert!(!refused.headers.contains("access-control-allow-origin"), "{path}");
    }
    let preflight = |origin: &str| {
        let asks = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n";
        send(at, &format!("OPTIONS {ask} HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n{asks}\r\n"), &[])
    };
    let allowed = preflight(ORIGIN);
    assert_eq!(allowed.status, 204);
    assert!(allowed.headers.contains("access-control-allow-headers: authorization, content-type"));
    assert_eq!(preflight("https://other.example").status, 403);
    let sealed = requests(site, |_, _| {}).remove(0).request;
    for length in [0, sealed.len() - 1, sealed.len() + 1, 1 << 20] {
        let refused = post(at, &ask, &bearer(TOKEN), &vec![0; length]);
        assert_eq!((refused.status, refused.code().as_str()), (413, "size"), "{length} bytes");
    }
    let chunked = format!("POST {ask} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n{}\r\n", bearer(TOKEN));
    assert_eq!(send(at, &chunked, b"5\r\nhello\r\n0\r\n\r\n").code(), "no-length");
    let mut changed = sealed.clone();
    changed[40] ^= 1;
    assert_eq!(begin(site, 0, &changed).code(), "wrong-key");
    let other = <Suite as Kem>::derive_keypair(&[3; 32]).1.to_bytes();
    let to_another = seal(&other, &vec![0; sealed.len() - 48]).request;
    assert_eq!((begin(site, 0, &to_another).status, begin(site, 0, &to_another).code().as_str()), (422, "wrong-key"));
}

/// A page that says other things than the servers think, or to one server otherwise than to the other.
fn differences(site: &Site) {
    for (at, code) in [(20, "ticket"), (DEPOSIT_AT, "replaced"), (DEALER_AT, "dealer")] {
        let sealed = requests(site, |_, plain| plain[at] ^= 1);
        assert_eq!(begin(site, 0, &sealed[0].request).code(), code, "byte {at}");
    }
    // The second server is told where the first is, and calls no place that its operator did not name.
    for (said, length, code) in [("evil.example:7700", 17, "differs"), ("", 261, "address"), ("ab", 1, "address")] {
        let sealed = requests(site, |party, plain| {
            if party == 1 {
                plain[ADDRESS_AT..ADDRESS_AT + 2].copy_from_slice(&u16::to_le_bytes(length));
                plain[ADDRESS_AT + 2..][..said.len()].copy_from_slice(said.as_bytes());
            }
        });
        let refused = begin(site, 1, &sealed[1].request);
        assert_eq!(refused.code(), code, "{said}");
        let message = refused.json()["error"]["message"].to_string();
        assert!(
            message.contains(if code == "differs" { "none of the addresses" } else { "is no address" }),
            "{message}"
        );
    }
    // Two servers that are told of other keys find out from one another.
    let sealed = requests(site, |party, plain| plain[DEALER_AT + 32] ^= party as u8);
    let begun: Vec<_> = (0..2).map(|party| begin(site, party, &sealed[party].request)).collect();
    let failed = end(site, 0, &begun[0]);
    assert_eq!(failed.code(), "differs", "{}", failed.json());
    assert!(failed.json()["error"]["message"].as_str().unwrap().contains("servers of the page"), "{}", failed.json());
    // A server that is asked alone waits for the other one as long as its deadline.
    let sealed = requests(site, |_, _| {});
    let failed = end(site, 0, &begin(site, 0, &sealed[0].request));
    assert_eq!((failed.status, failed.code().as_str()), (502, "absent"));
    // Bytes that are no share of this plan end the session without a result.
    let sealed = requests(site, |_, plain| plain[ADDRESS_AT] ^= 1);
    assert_eq!(end(site, 0, &begin(site, 0, &sealed[0].request)).code(), "internal");
}

fn rate(site: &Site) {
    let path = format!("/v1/models/{}/inferences", site.plan());
    let length = requests(site, |_, _| {})[0].request.len();
    let ask = || post(&site.servers[0].pages, &path, &bearer(SLOW_TOKEN), &vec![0; length]);
    assert_eq!([ask().code(), ask().code()], ["wrong-key", "wrong-key"]);
    let refused = ask();
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate"));
    assert!(refused.headers.contains("retry-after: "), "{}", refused.headers);
}
