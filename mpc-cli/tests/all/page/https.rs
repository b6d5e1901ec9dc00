//! Pages over HTTPS that the server speaks itself: a client that trusts the authority of its certificate, and strangers.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mpc_nn::Correlations;
use mpc_service::PrivateModel;
use mpc_service::at_rest::private_file::write_private;
use rustls::{ClientConnection, StreamOwned};

use super::authority::Authority;
use super::requests::{At, ORIGIN, answers, model};
use super::site::{ANYWHERE, Site};
use crate::support::Process;

/// Servers that speak HTTPS with one certificate of that name.
pub fn secure(authority: &Authority, name: &str, origin: &str, model: &PrivateModel) -> Site {
    let mut site = Site::start_with(model, origin, |command| authority.certify(command, name));
    for server in &mut site.servers {
        server.pages.tls = Some(authority.client());
    }
    site
}

/// All that comes back to bytes as they are, until the other side closes.
fn raw(at: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "not closed");
    }
    answer
}

/// Whether a request is answered; where it is not, some time has passed.
fn is_alive(at: &At) -> bool {
    let client = Arc::clone(at.tls.as_ref().unwrap());
    let connection = ClientConnection::new(client, at.address.ip().into()).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(at.address).unwrap());
    let mut answer = [0; 12];
    let asked = stream.write_all(b"GET /v1/alive HTTP/1.1\r\nHost: here\r\n\r\n");
    let is_alive = asked.and_then(|()| stream.read_exact(&mut answer)).is_ok() && answer == *b"HTTP/1.1 204";
    if !is_alive {
        std::thread::sleep(Duration::from_millis(100));
    }
    is_alive
}

#[test]
fn a_page_gets_its_result_over_https_whatever_strangers_do() {
    let authority = Authority::new();
    authority.give("web", 1);
    let site = secure(&authority, "web", ORIGIN, &model(Correlations::Dealt));
    answers(&site);
    let north = &site.servers[0];
    let at = north.pages.address;
    // Plain HTTP, noise, and callers who say nothing, more than there is room for.
    assert!(!raw(at, b"GET /v1/alive HTTP/1.1\r\nHost: here\r\n\r\n").starts_with(b"HTTP"));
    raw(at, &[0x5a; 4096]);
    north.process.await_log("it does not speak TLS", 2);
    let silent: Vec<_> = (0..100).map(|_| TcpStream::connect(at).unwrap()).collect();
    // Each has its moment before it gives way.
    assert!((0..500).any(|_| is_alive(&north.pages)));
    // Those who wait now came at different times: after this, each of them has had its moment.
    std::thread::sleep(Duration::from_secs(2));
    let mut slow = TcpStream::connect(at).unwrap();
    slow.write_all(&[0x16, 3, 1, 2, 0, 1]).unwrap();
    answers(&site);
    north.process.await_log("too many connections over HTTP: this one, which has waited longest", 1);
    drop(silent);
    // A handshake that is begun and never ended has its time.
    slow.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert!(matches!(slow.read(&mut [0; 64]), Ok(0)), "a slow caller is not left");
    north.process.await_log("a connection over HTTP without TLS after 10 s", 1);

    // The certificate is renewed while it serves; one that cannot be used changes nothing.
    authority.give("web", 2);
    north.process.await_log("has a new certificate for pages", 1);
    answers(&site);
    write_private(&authority.path("web.pem"), b"not yet written").unwrap();
    north.process.await_log("web.pem: it has no certificate", 1);
    answers(&site);
    authority.give("web", -1);
    north.process.await_log("the certificate has expired", 1);
    answers(&site);
}

#[test]
fn a_certificate_that_cannot_be_used_is_an_error_before_anything_is_served() {
    let authority = Authority::new();
    authority.give("web", 1);
    authority.give("other", 1);
    authority.give("old", -1);
    let site = Site::new(&model(Correlations::Dealt), ORIGIN);
    let [web, key, other, old, old_key, missing] =
        ["web.pem", "web.key", "other.key", "old.pem", "old.key", "missing.pem"].map(|name| authority.path(name));
    let (own, own_key) = (site.path("north.crt"), site.path("north.key"));
    for (certificate, secret, words) in [
        (&missing, &key, "missing.pem: No such file"),
        (&web, &missing, "missing.pem: No such file"),
        (&key, &key, "web.key: it has no certificate"),
        (&web, &web, "web.pem: it has no private key"),
        (&web, &other, "other.key: the key is not that of the first certificate in "),
        (&old, &old_key, "old.pem: the certificate has expired: it was valid until "),
        (&own, &own_key, "north.crt: it is for Ed25519, which browsers do not accept"),
    ] {
        let mut serving = site.serve_command(0, ANYWHERE, ANYWHERE);
        serving.arg("--web-cert").arg(certificate).arg("--web-key").arg(secret);
        let (mut process, lines) = Process::with_lines("north", serving, 1);
        let (code, log) = process.end();
        assert_eq!((code, &*lines[0]), (Some(2), ""), "{log}");
        assert!(log.contains(words), "{log}");
    }
    // One without the other, and without pages.
    let refused = |flag: &str, file: &Path| {
        let mut serving = site.serve_command(0, ANYWHERE, ANYWHERE);
        serving.arg(flag).arg(file);
        let (code, log) = Process::with_lines("north", serving, 1).0.end();
        assert_eq!(code, Some(2), "{log}");
        log
    };
    assert!(refused("--web-cert", &web).contains("--web-key <FILE.pem>"));
    assert!(refused("--web-key", &key).contains("--web-cert <FILE.pem>"));
}

#[test]
fn a_configuration_file_names_a_certificate() {
    let authority = Authority::new();
    authority.give("web", 1);
    let site = Site::new(&model(Correlations::Dealt), ORIGIN);
    let file = site.path("serve.toml");
    let text = format!("web-cert = {:?}\nweb-key = {:?}\n", authority.path("web.pem"), authority.path("web.key"));
    fs::write(&file, text).unwrap();
    let mut serving = site.serve_command(0, ANYWHERE, ANYWHERE);
    serving.arg("--config").arg(&file);
    let (_process, lines) = Process::with_lines("north", serving, 2);
    assert!(lines[1].starts_with("pages at https://127.0.0.1:"), "{lines:?}");
}
