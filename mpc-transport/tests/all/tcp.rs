//! Connecting, and hostile peers on raw sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::network::{BRIEF, PATIENT, block_on, listeners, run, tcp_network};
use mpc_transport::{PROTOCOL_VERSION, Peer, TcpSettings, TcpTransport, Transport, TransportError, Wait};

const HELLO: u16 = 0;
const WELCOME: u16 = 1;

/// A greeting, as its documentation lays it out.
fn greeting(version: u16, parties: u16, party: u16, kind: u16) -> Vec<u8> {
    let numbers = [version, parties, party, kind];
    b"MPC-LINK".iter().copied().chain(numbers.iter().flat_map(|number| number.to_le_bytes())).collect()
}

fn settings(connect_deadline: Duration, deadline: Duration) -> TcpSettings {
    TcpSettings { connect_deadline, deadline, ..TcpSettings::default() }
}

fn connect_in_thread(
    party: usize,
    listener: Option<TcpListener>,
    addresses: &[SocketAddr],
    settings: TcpSettings,
) -> JoinHandle<Result<TcpTransport, TransportError>> {
    let addresses = addresses.to_vec();
    thread::spawn(move || block_on(TcpTransport::connect(party, listener, &addresses, settings)))
}

/// Party 0 of two, and the raw socket that it takes for party 1.
fn with_raw_peer(settings: TcpSettings) -> (TcpTransport, TcpStream) {
    let (mut listeners, addresses) = listeners(2);
    let party = connect_in_thread(0, Some(listeners.remove(0)), &addresses, settings);
    let mut peer = TcpStream::connect(addresses[0]).unwrap();
    peer.write_all(&greeting(PROTOCOL_VERSION, 2, 1, HELLO)).unwrap();
    let mut answer = [0; 16];
    peer.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..], greeting(PROTOCOL_VERSION, 2, 0, WELCOME));
    (party.join().unwrap().unwrap(), peer)
}

#[test]
fn a_huge_length_is_refused_before_anything_is_allocated() {
    let (mut party, mut peer) = with_raw_peer(settings(PATIENT, PATIENT));
    peer.write_all(&[0xff; 4]).unwrap();
    let expected = TransportError::WrongLength { peer: Peer::Party(1), expected: 8, got: u32::MAX as usize };
    assert_eq!(block_on(party.receive(1, &mut [0; 8])), Err(expected));

    let (mut party, mut peer) = with_raw_peer(settings(PATIENT, PATIENT));
    peer.write_all(&[0xff; 4]).unwrap();
    let expected = TransportError::FrameTooLong { peer: Peer::Party(1), limit: 8, got: u32::MAX as usize };
    assert_eq!(block_on(party.receive_bounded(1, 8)), Err(expected));
}

#[test]
fn an_end_within_a_frame_is_closed() {
    for sent in [&[][..], &[8, 0][..], &[8, 0, 0, 0][..], &[8, 0, 0, 0, 1, 2, 3][..]] {
        let (mut party, mut peer) = with_raw_peer(settings(PATIENT, PATIENT));
        peer.write_all(sent).unwrap();
        drop(peer);
        assert_eq!(block_on(party.receive(1, &mut [0; 8])), Err(TransportError::Closed { peer: Peer::Party(1) }));
    }
}

#[test]
fn a_frame_in_single_bytes_is_whole() {
    let (mut party, mut peer) = with_raw_peer(settings(PATIENT, PATIENT));
    peer.set_nodelay(true).unwrap();
    let writer = thread::spawn(move || {
        for byte in [3, 0, 0, 0, 7, 8, 9, 2, 0, 0, 0, 5, 6] {
            peer.write_all(&[byte]).unwrap();
            thread::sleep(Duration::from_millis(2));
        }
        peer
    });
    let mut message = [0; 3];
    block_on(party.receive(1, &mut message)).unwrap();
    assert_eq!(message, [7, 8, 9]);
    assert_eq!(block_on(party.receive_bounded(1, 9)), Ok(vec![5, 6]));
    drop(writer.join().unwrap());
}

fn hold_out_against_a_trickle(poll: Duration) {
    let (mut party, mut peer) = with_raw_peer(TcpSettings { poll, ..settings(PATIENT, BRIEF) });
    let writer = thread::spawn(move || {
        // Each byte is in time, the frame is not.
        for byte in [200, 0, 0, 0].into_iter().chain([1; 200]) {
            if peer.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(BRIEF / 4);
        }
    });
    let started = Instant::now();
    let error = block_on(party.receive(1, &mut [0; 200])).unwrap_err();
    assert!(
        matches!(error, TransportError::Timeout { peer: Peer::Party(1), waiting_for: Wait::Message, .. }),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(5));
    drop(party);
    writer.join().unwrap();
}

#[test]
fn a_trickling_peer_does_not_hold_us_for_ever() {
    hold_out_against_a_trickle(Duration::ZERO);
}

#[test]
fn a_trickle_within_the_polling_time_does_not_either() {
    hold_out_against_a_trickle(BRIEF);
}

#[test]
fn strangers_do_not_disturb_the_mesh() {
    let (listeners, addresses) = listeners(3);
    let stalled: Vec<_> = (0..100).map(|_| TcpStream::connect(addresses[0]).unwrap()).collect();
    let others = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        greeting(PROTOCOL_VERSION, 3, 0, HELLO),
        greeting(PROTOCOL_VERSION, 3, 7, HELLO),
        greeting(PROTOCOL_VERSION, 3, 1, WELCOME),
        greeting(PROTOCOL_VERSION, 3, 1, 99),
        greeting(PROTOCOL_VERSION + 1, 3, 1, HELLO),
        greeting(PROTOCOL_VERSION, 4, 1, HELLO),
        greeting(PROTOCOL_VERSION, 3, 1, HELLO)[..9].to_vec(),
    ];
    let talking: Vec<_> = others
        .iter()
        .map(|bytes| {
            let mut stranger = TcpStream::connect(addresses[0]).unwrap();
            stranger.write_all(bytes).unwrap();
            stranger
        })
        .collect();
    let ends = (0..3).zip(listeners).collect();
    let sums = run(ends, async |(party, listener)| {
        let mut end = TcpTransport::connect(party, listener, &addresses, settings(PATIENT, PATIENT)).await.unwrap();
        let mut received = [0; 2];
        end.exchange(&[party as u8 + 1], &mut received).await.unwrap();
        received[0] + received[1] + party as u8 + 1
    });
    assert_eq!(sums, [6, 6, 6]);
    drop((stalled, talking));
}

#[test]
fn a_second_party_of_the_same_index_is_refused() {
    let (mut listeners, addresses) = listeners(3);
    let zero = connect_in_thread(0, Some(listeners.remove(0)), &addresses, settings(PATIENT, PATIENT));
    let mut first = TcpStream::connect(addresses[0]).unwrap();
    first.write_all(&greeting(PROTOCOL_VERSION, 3, 2, HELLO)).unwrap();
    let mut answer = [0; 16];
    first.read_exact(&mut answer).unwrap();
    let second = connect_in_thread(2, None, &addresses, settings(BRIEF, PATIENT)).join().unwrap();
    let error = second.err().unwrap();
    assert!(matches!(error, TransportError::Connect { .. }), "{error}");
    let mut one = TcpStream::connect(addresses[0]).unwrap();
    one.write_all(&greeting(PROTOCOL_VERSION, 3, 1, HELLO)).unwrap();
    assert!(zero.join().unwrap().is_ok());
}

#[test]
fn parties_may_start_before_their_peers_listen() {
    let (listeners, addresses) = listeners(3);
    drop(listeners);
    let start = |party: usize| {
        let listener = TcpListener::bind(addresses[party]).unwrap();
        connect_in_thread(party, Some(listener), &addresses, settings(PATIENT, PATIENT))
    };
    let threads: Vec<_> = [2, 1, 0]
        .into_iter()
        .map(|party| {
            thread::sleep(BRIEF / 4);
            start(party)
        })
        .collect();
    for thread in threads {
        assert!(thread.join().unwrap().is_ok());
    }
}

#[test]
fn a_party_that_is_not_there_is_named() {
    let (mut listeners, addresses) = listeners(3);
    let started = Instant::now();
    // Party 2 never comes, party 0 never listens.
    drop(listeners.remove(0));
    let one = connect_in_thread(1, Some(listeners.remove(0)), &addresses, settings(BRIEF, PATIENT)).join().unwrap();
    let error = one.err().unwrap();
    let named = matches!(
        error,
        TransportError::Connect { peer: Peer::Party(0), .. }
            | TransportError::Timeout { peer: Peer::Party(2), waiting_for: Wait::Connection, .. }
    );
    assert!(named, "{error}");
    // A listener that never answers.
    let (silent, addresses) = crate::network::listeners(2);
    let one = connect_in_thread(1, None, &addresses, settings(BRIEF, PATIENT)).join().unwrap();
    let error = one.err().unwrap();
    assert!(matches!(error, TransportError::Connect { peer: Peer::Party(0), .. }), "{error}");
    drop(silent);
    // Nobody connects.
    let (mut listeners, addresses) = crate::network::listeners(2);
    let zero = connect_in_thread(0, Some(listeners.remove(0)), &addresses, settings(BRIEF, PATIENT)).join().unwrap();
    let error = zero.err().unwrap();
    assert!(
        matches!(error, TransportError::Timeout { peer: Peer::Party(1), waiting_for: Wait::Connection, .. }),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn another_number_of_parties_is_named_on_both_sides() {
    let (mut listeners, addresses) = listeners(3);
    let zero = connect_in_thread(0, Some(listeners.remove(0)), &addresses[..2], settings(BRIEF, PATIENT));
    let one = connect_in_thread(1, Some(listeners.remove(0)), &addresses, settings(PATIENT, PATIENT));
    for (thread, party, [ours, theirs]) in [(zero, 1, ["2", "3"]), (one, 0, ["3", "2"])] {
        let [field, ours, theirs] = ["parties", ours, theirs].map(str::to_owned);
        let expected = TransportError::HandshakeMismatch { peer: Peer::Party(party), field, ours, theirs };
        assert_eq!(thread.join().unwrap().err(), Some(expected));
    }
}

#[test]
fn another_party_at_the_address_is_named() {
    let (mut listeners, addresses) = listeners(3);
    let zero = connect_in_thread(0, Some(listeners.remove(0)), &addresses, settings(PATIENT, PATIENT));
    // Party 2 takes party 0's address for party 1's.
    let swapped = [addresses[1], addresses[0], addresses[2]];
    drop(listeners.remove(0));
    let two = connect_in_thread(2, None, &swapped, settings(PATIENT, PATIENT)).join().unwrap();
    assert!(
        matches!(two.err(), Some(TransportError::HandshakeMismatch { peer: Peer::Party(1), field, .. }) if field == "party index")
    );
    drop(connect_in_thread(1, Some(listeners.remove(0)), &addresses, settings(BRIEF, PATIENT)).join().unwrap());
    drop(connect_in_thread(2, None, &addresses, settings(BRIEF, PATIENT)).join().unwrap());
    drop(zero);
}

#[test]
fn impossible_settings_are_errors() {
    let (_, addresses) = listeners(2);
    let connect = |party| block_on(TcpTransport::connect(party, None, &addresses, TcpSettings::default()));
    assert_eq!(connect(2).err(), Some(TransportError::NoSuchParty { party: 2, parties: 2 }));
    assert!(matches!(connect(0).err(), Some(TransportError::Listen { .. })));
}

#[test]
fn extreme_settings_work() {
    let settings = TcpSettings {
        deadline: Duration::MAX,
        connect_deadline: Duration::MAX,
        poll: Duration::from_micros(1),
        chunk_bytes: 0,
    };
    run(tcp_network(2, settings), async |mut end| {
        end.exchange(&[5; 100], &mut [0; 100]).await.unwrap();
    });
}

#[test]
fn a_party_alone_needs_no_network() {
    let address = "127.0.0.1:1".parse().unwrap();
    block_on(async {
        let mut end = TcpTransport::connect(0, None, &[address], TcpSettings::default()).await.unwrap();
        end.exchange(&[1, 2, 3], &mut []).await.unwrap();
    });
}
