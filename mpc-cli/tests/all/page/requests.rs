//! Requests as a page sends them, and others: each refusal has its name.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use hpke::aead::AesGcm128;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeS, Serializable, setup_sender_with_rng};
use mpc_nn::delegation::{OutputShare, reconstruct, split_inputs};
use mpc_nn::evaluate;
use mpc_service::{PrivateModel, Terms, Topology};
use mpc_shares::{Prg, Seed};
use mpc_transport::tls::Certificate;
use ndarray::ArrayD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::site::{SLOW_TOKEN, Site, TOKEN};
use crate::support::network;

const ORIGIN: &str = "https://page.example";
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

/// Sends a request in HTTP/1.1 and reads all of the answer.
pub fn send(at: SocketAddr, head: &str, body: &[u8]) -> Response {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
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

fn get(at: SocketAddr, path: &str, headers: &str) -> Response {
    send(at, &format!("GET {path} HTTP/1.1\r\nHost: {at}\r\n{headers}\r\n"), &[])
}

fn post(at: SocketAddr, path: &str, headers: &str, body: &[u8]) -> Response {
    let length = body.len();
    send(at, &format!("POST {path} HTTP/1.1\r\nHost: {at}\r\nContent-Length: {length}\r\n{headers}\r\n"), body)
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn bytes(digits: &Value) -> Vec<u8> {
    let digits = digits.as_str().unwrap().as_bytes();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

struct Sealed {
    request: Vec<u8>,
    key: [u8; 16],
    nonce: [u8; 12],
}

fn seal(key: &[u8], plain: &[u8]) -> Sealed {
    let public = <Suite as Kem>::PublicKey::from_bytes(key).unwrap();
    let mut generator = Prg::new(Seed::from_system().unwrap());
    let sender = setup_sender_with_rng::<AesGcm128, HkdfSha256, Suite>(
        &OpModeS::Base,
        &public,
        b"mpc page request 1",
        &mut generator,
    );
    let (encapsulated, mut context) = sender.unwrap();
    let request = [encapsulated.to_bytes().to_vec(), context.seal(plain, &[]).unwrap()].concat();
    let mut sealed = Sealed { request, key: [0; 16], nonce: [0; 12] };
    context.export(b"mpc page answer key 1", &mut sealed.key).unwrap();
    context.export(b"mpc page answer nonce 1", &mut sealed.nonce).unwrap();
    sealed
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

fn model() -> PrivateModel {
    PrivateModel::new(network(), Terms { setting: Topology::Outsourced, ..Terms::default() }).unwrap()
}

fn input() -> ArrayD<f32> {
    ArrayD::from_shape_fn(vec![1, 8], |index| index[1] as f32 / 4.0 - 1.0)
}

/// One session as a page has it; `changed` may change what is sealed for a server, before it is.
fn requests(site: &Site, changed: impl Fn(usize, &mut Vec<u8>)) -> Vec<Sealed> {
    let plan = model().public.plan::<u64>().unwrap();
    let mut generator = Prg::new(Seed::from_system().unwrap());
    let shares = split_inputs(&plan, &[input()], &mut generator).unwrap();
    let keys: Vec<u8> = site.keys().iter().flat_map(|key| bytes(&Value::from(key.as_str()))).collect();
    let dealer = std::fs::read_to_string(site.path("dealer.crt")).unwrap();
    let dealer = *Certificate::from_pem(&dealer).unwrap().fingerprint().as_bytes();
    let session: [u8; 16] = generator.seed().expose()[..16].try_into().unwrap();
    let seal_one = |(party, share): (usize, &mpc_nn::InputShare<u64>)| {
        let server = &site.servers[party];
        let offer = get(server.pages, &format!("/v1/models/{}", site.plan), &bearer(TOKEN));
        assert_eq!(offer.status, 200, "{}", String::from_utf8_lossy(&offer.body));
        let offer = offer.json();
        assert_eq!((&offer["party"], &offer["key"]), (&Value::from(party), &Value::from(server.key.as_str())));
        assert_eq!(bytes(&offer["dealer"]), dealer);
        let deposit = &offer["deposits"][0];
        let mut plain = [&session[..], &bytes(&offer["ticket"]), &bytes(&deposit["owner"])].concat();
        plain.extend([&bytes(&deposit["version"])[..], &dealer, &Sha256::digest(&keys)].concat());
        plain.extend_from_slice(&share.to_bytes());
        changed(party, &mut plain);
        seal(&bytes(&offer["key"]), &plain)
    };
    shares.iter().enumerate().map(seal_one).collect()
}

fn begin(site: &Site, party: usize, request: &[u8]) -> Response {
    let path = format!("/v1/models/{}/inferences", site.plan);
    post(site.servers[party].pages, &path, &(bearer(TOKEN) + "Origin: https://page.example\r\n"), request)
}

/// Asks until an inference has ended.
fn end(site: &Site, party: usize, begun: &Response) -> Response {
    assert_eq!(begun.status, 202, "{}", String::from_utf8_lossy(&begun.body));
    let path = format!("/v1/inferences/{}", begun.json()["inference"].as_str().unwrap());
    let at = site.servers[party].pages;
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
    let site = Site::start(&model(), ORIGIN);
    answers(&site);
    refusals(&site);
    differences(&site);
    rate(&site);
}

/// The result of an inference is that of the network in the clear; its requests serve once.
fn answers(site: &Site) {
    let sealed = requests(site, |_, _| {});
    let begun: Vec<_> = (0..2).map(|party| begin(site, party, &sealed[party].request)).collect();
    assert!(begun[0].headers.contains("access-control-allow-origin: https://page.example"), "{}", begun[0].headers);
    let plan = model().public.plan::<u64>().unwrap();
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
    // Sealed anew, the ticket in it serves no second time either.
    let swapped = begin(site, 1, &sealed[0].request);
    assert!(matches!((swapped.status, swapped.code().as_str()), (413, "size") | (422, "wrong-key")));
}

fn refusals(site: &Site) {
    let at = site.servers[0].pages;
    let (offer, ask) = (format!("/v1/models/{}", site.plan), format!("/v1/models/{}/inferences", site.plan));
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
        send(at, &format!("OPTIONS {ask} HTTP/1.1\r\nHost: {at}\r\nOrigin: {origin}\r\n{asks}\r\n"), &[])
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
    let chunked = format!("POST {ask} HTTP/1.1\r\nHost: {at}\r\nTransfer-Encoding: chunked\r\n{}\r\n", bearer(TOKEN));
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
    let header = 16 + 56;
    for (at, code) in [(20, "ticket"), (header, "replaced"), (header + 48, "dealer")] {
        let sealed = requests(site, |_, plain| plain[at] ^= 1);
        assert_eq!(begin(site, 0, &sealed[0].request).code(), code, "byte {at}");
    }
    // Two servers that are told of other keys find out from one another.
    let sealed = requests(site, |party, plain| plain[header + 80] ^= party as u8);
    let begun: Vec<_> = (0..2).map(|party| begin(site, party, &sealed[party].request)).collect();
    let failed = end(site, 0, &begun[0]);
    assert_eq!(failed.code(), "differs", "{}", failed.json());
    assert!(failed.json()["error"]["message"].as_str().unwrap().contains("servers of the page"), "{}", failed.json());
    // A server that is asked alone waits for the other one as long as its deadline.
    let sealed = requests(site, |_, _| {});
    let failed = end(site, 0, &begin(site, 0, &sealed[0].request));
    assert_eq!((failed.status, failed.code().as_str()), (502, "absent"));
    // Bytes that are no share of this plan end the session without a result.
    let sealed = requests(site, |_, plain| plain[header + 112] ^= 1);
    assert_eq!(end(site, 0, &begin(site, 0, &sealed[0].request)).code(), "internal");
}

fn rate(site: &Site) {
    let path = format!("/v1/models/{}/inferences", site.plan);
    let length = requests(site, |_, _| {})[0].request.len();
    let ask = || post(site.servers[0].pages, &path, &bearer(SLOW_TOKEN), &vec![0; length]);
    assert_eq!([ask().code(), ask().code()], ["wrong-key", "wrong-key"]);
    let refused = ask();
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate"));
    assert!(refused.headers.contains("retry-after: "), "{}", refused.headers);
}
