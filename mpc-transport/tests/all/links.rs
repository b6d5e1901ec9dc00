//! Links between two behave alike over memory, TCP and TLS, and name nobody but the other end.

use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::network::{BRIEF, PATIENT, block_on, run};
#[cfg(feature = "tls")]
use mpc_transport::tls::{Identity, SecureLink};
use mpc_transport::{
    Agreement, Connection, Emulated, End, Link, LinkSettings, Peer, Phase, TcpLink, TcpSettings, Traffic,
    TransportError, Wait, handshake_link, memory_link,
};

/// The two ends of one link of each kind.
fn links(deadline: Duration) -> Vec<[Link; 2]> {
    let settings = TcpSettings { deadline, connect_deadline: PATIENT, ..TcpSettings::default() };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let tcp = run(vec![Some(listener), None], async |listener| match listener {
        Some(listener) => Link::new(TcpLink::listen(listener, settings).await.unwrap()),
        None => Link::new(TcpLink::connect(address, settings).await.unwrap()),
    });
    let emulated = <[Link; 2]>::from(memory_link(deadline)).map(|end| Link::new(Emulated::new(end, LinkSettings::LAN)));
    vec![
        memory_link(deadline).into(),
        tcp.try_into().unwrap(),
        emulated,
        #[cfg(feature = "tls")]
        secure(settings).map(Link::new),
    ]
}

#[cfg(feature = "tls")]
fn secure(settings: TcpSettings) -> [SecureLink; 2] {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let identities = ["acme", "clinic"].map(|name| Identity::generate(name, 1).unwrap());
    let [acme, clinic] = identities.each_ref().map(|identity| identity.certificate().clone());
    let stranger = Identity::generate("stranger", 1).unwrap();
    let ends = run(vec![Some(listener), None], async |listener| match listener {
        Some(listener) => SecureLink::listen(listener, &identities[0], &clinic, settings).await.unwrap(),
        None => {
            // Somebody else who comes first is sent away.
            SecureLink::connect(&address, &stranger, &acme, &settings).await.unwrap_err();
            SecureLink::connect(&address, &identities[1], &acme, &settings).await.unwrap()
        }
    });
    assert_eq!(ends[0].peer().name(), "clinic");
    ends.try_into().unwrap()
}

#[test]
fn messages_pass_both_ways_and_are_counted() {
    for [mut ours, mut theirs] in links(PATIENT) {
        ours.begin(Phase::Online, "talk");
        let ends = vec![(true, &mut ours), (false, &mut theirs)];
        run(ends, async |(is_ours, link)| {
            if is_ours {
                link.send(&[5; 100_000]).await.unwrap();
                assert_eq!(link.receive_bounded(100).await.unwrap(), b"answer");
            } else {
                let mut message = vec![0; 100_000];
                link.receive(&mut message).await.unwrap();
                assert_eq!(message, [5; 100_000]);
                link.send(b"answer").await.unwrap();
            }
        });
        assert_eq!(ours.meter().traffic(Phase::Online, "talk"), Traffic::send(100_000) + Traffic::receive(6));
    }
}

#[test]
fn the_ends_agree_or_name_what_differs() {
    let agreement = |bits: u32| Agreement::new([7; 16]).with("fractional bits", bits);
    for ends in links(PATIENT) {
        let ends = ends.into_iter().zip([End::First, End::Second]).collect();
        run(ends, async |(mut link, end)| {
            handshake_link(&mut link, end, &agreement(16)).await.unwrap();
            let bits = if end == End::First { 12 } else { 13 };
            let [ours, theirs] = [bits, 25 - bits].map(|bits| bits.to_string());
            let expected = TransportError::HandshakeMismatch {
                peer: Peer::OtherEnd,
                field: "fractional bits".into(),
                ours,
                theirs,
            };
            assert_eq!(handshake_link(&mut link, end, &agreement(bits)).await, Err(expected));
            // Both take the same part.
            let error = handshake_link(&mut link, End::First, &agreement(16)).await.unwrap_err();
            assert!(error.to_string().starts_with("the other end disagrees on \"party index\""), "{error}");
        });
    }
}

#[test]
fn wrong_lengths_and_ends_are_named() {
    let peer = Peer::OtherEnd;
    for [mut ours, mut theirs] in links(PATIENT) {
        block_on(async {
            theirs.send(&[1; 5]).await.unwrap();
            let wrong = TransportError::WrongLength { peer, expected: 4, got: 5 };
            assert_eq!(ours.receive(&mut [0; 4]).await, Err(wrong.clone()));
            // The link is out of step from then on.
            assert_eq!(ours.send(&[1]).await, Err(wrong));
        });
    }
    for [mut ours, mut theirs] in links(PATIENT) {
        block_on(async {
            theirs.send(&[1; 5]).await.unwrap();
            let long = TransportError::FrameTooLong { peer, limit: 4, got: 5 };
            assert_eq!(ours.receive_bounded(4).await, Err(long));
        });
    }
    for [mut ours, mut theirs] in links(PATIENT) {
        block_on(async {
            theirs.send(b"last").await.unwrap();
            drop(theirs);
            assert_eq!(ours.receive_bounded(4).await.unwrap(), b"last");
            assert_eq!(ours.receive_bounded(4).await, Err(TransportError::Closed { peer }));
        });
    }
}

#[test]
fn a_silent_end_is_told_of_and_ends_with_the_deadline() {
    for [mut ours, _theirs] in links(BRIEF) {
        let error = block_on(ours.receive(&mut [0; 4])).unwrap_err();
        let is_late = matches!(error, TransportError::Timeout { waiting_for: Wait::Message, .. });
        assert!(is_late, "{error}");
        assert!(error.to_string().starts_with("the other end timed out"), "{error}");
    }
}

#[test]
fn somebody_who_waits_is_told_of_silence() {
    let settings = TcpSettings { deadline: BRIEF, connect_deadline: PATIENT, ..TcpSettings::default() };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut ends = run(vec![Some(listener), None], async |listener| match listener {
        Some(listener) => TcpLink::listen(listener, settings).await.unwrap(),
        None => TcpLink::connect(address, settings).await.unwrap(),
    });
    let _theirs = ends.pop();
    let mut ours = ends.pop().unwrap();
    let (told, silences) = channel();
    ours.on_silence(BRIEF / 10, move |silent| told.send(silent).unwrap());
    block_on(ours.receive(&mut [0; 4])).unwrap_err();
    assert!(silences.try_iter().next().is_some_and(|silent| silent >= BRIEF / 10));
}

#[test]
fn connecting_to_nobody_and_waiting_for_nobody_end() {
    let settings = TcpSettings { connect_deadline: BRIEF, ..TcpSettings::default() };
    let started = Instant::now();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = block_on(TcpLink::listen(listener, settings)).unwrap_err();
    let timeout = matches!(error, TransportError::Timeout { peer: Peer::OtherEnd, waiting_for: Wait::Connection, .. });
    assert!(timeout, "{error}");
    // Port 1 of this machine, where nobody listens.
    let error = block_on(TcpLink::connect(([127, 0, 0, 1], 1).into(), settings)).unwrap_err();
    assert!(matches!(error, TransportError::Connect { peer: Peer::OtherEnd, .. }), "{error}");
    assert!(started.elapsed() < PATIENT);
}
