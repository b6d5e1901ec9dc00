//! Frames over TLS, however the connection behaves.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::network::{BRIEF, block_on, run, secure_network};
use crate::proxy::{Harm, proxy};
use crate::tls::{PROTOCOL, RawClient, SOON, accept, brief, connect, identity, listen, raw_client, settings};
use mpc_transport::tls::{SecureLink, SecureTransport};
use mpc_transport::{Connection, Peer, TcpSettings, Transport, TransportError, Wait};
use smol::Async;

/// A link to a raw client.
fn with_raw_peer(settings: TcpSettings) -> (SecureLink, RawClient) {
    let (listener, address) = listen();
    let peer = identity("peer");
    let accepting = accept(listener, identity("party"), vec![peer.certificate().clone()], settings);
    let mut raw = raw_client(address, Some(&peer), Some(PROTOCOL));
    let mut welcome = [0; 8];
    raw.read_exact(&mut welcome).unwrap();
    assert_eq!(&welcome, b"MPC-LINK");
    (accepting.join().unwrap().unwrap(), raw)
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
            block_on(party.send(&[9; 50])).unwrap();
            assert_eq!(&block_on(party.receive_bounded(40_000)).unwrap(), message);
        }
        let closed = block_on(party.receive(&mut [0; 8]));
        assert_eq!(closed, Err(TransportError::Closed { peer: Peer::OtherEnd }));
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
    block_on(party.receive(&mut message)).unwrap();
    assert_eq!(message, [7; 50_000]);
    block_on(party.send(&[8; 100])).unwrap();
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
        assert_eq!(block_on(party.receive(&mut [0; 100])), Err(TransportError::Closed { peer: Peer::OtherEnd }));
    }
}

#[test]
fn plaintext_after_the_handshake_is_an_error() {
    let (mut party, mut raw) = with_raw_peer(settings());
    raw.sock.write_all(&frame(&[1; 100])).unwrap();
    let error = block_on(party.receive(&mut [0; 100])).unwrap_err();
    assert!(matches!(error, TransportError::Corrupted { peer: Peer::OtherEnd, .. }), "{error}");
    // The link stays unusable.
    assert_eq!(block_on(party.send(&[1])), Err(error));
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
        let error = block_on(party.receive(&mut [0; 1000])).unwrap_err();
        assert!(
            matches!(error, TransportError::Timeout { peer: Peer::OtherEnd, waiting_for: Wait::Message, .. }),
            "{error}"
        );
        drop(party);
        writer.join().unwrap();
    }
}

#[test]
fn links_outlive_their_network_unless_they_failed() {
    let mut ends = secure_network(3, settings());
    block_on(async {
        assert_eq!(smol::future::poll_once(ends[0].receive(1, &mut [0; 4])).await, None);
        ends[2].send(0, b"before").await.unwrap();
    });
    let links = ends.remove(0).into_links();
    let kept: Vec<_> = links.iter().map(|link| link.as_ref().map(|link| link.peer().name().to_owned())).collect();
    assert_eq!(kept, [None, None, Some("party-2".to_owned())]);
    let mut again = SecureTransport::new(0, links, settings());
    block_on(async {
        assert_eq!(again.receive_bounded(2, 100).await, Ok(b"before".to_vec()));
        let no_such_party = TransportError::NoSuchParty { party: 1, parties: 3 };
        assert_eq!(again.send(1, b"x").await, Err(no_such_party.clone()));
        assert_eq!(again.exchange(b"x", &mut [0; 2]).await, Err(no_such_party));
        let closed = ends[0].receive(0, &mut [0]).await;
        assert_eq!(closed, Err(TransportError::Closed { peer: Peer::Party(0) }));
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
                SecureLink::accept(stream, &identity, &certificates[1..], &settings).await
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
    let accepting = accept(listener, acme, allowed, settings());
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
    let mut party = connect(tapped, &clinic, &peer, settings()).unwrap();
    let mut other = accepting.join().unwrap().unwrap();
    let secret = b"a share of nobody's business";
    block_on(party.send(secret)).unwrap();
    assert_eq!(block_on(other.receive_bounded(100)).unwrap(), secret);
    drop((party, other));
    let heard = recording.join().unwrap();
    for plain in [&secret[..], b"clinic", b"acme"] {
        assert!(!heard.windows(plain.len()).any(|window| window == plain));
    }
}
