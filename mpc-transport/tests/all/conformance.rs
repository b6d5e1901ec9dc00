//! The rules that every network must keep, tested over memory, TCP and TLS with 2 to 8 parties.

use std::time::{Duration, Instant};

use crate::network::{BRIEF, EmulatedMemory, Memory, Network, PATIENT, SleepingTcp, Tcp, block_on, run};
#[cfg(feature = "tls")]
use crate::network::{Secure, SleepingSecure};
use mpc_transport::{Agreement, Metered, Peer, Phase, Traffic, Transport, TransportError, Wait, handshake};

const PARTIES: [usize; 4] = [2, 3, 4, 8];

/// Each network gets every one of the tests below.
macro_rules! conformance {
    ($($(#[$condition:meta])? $network:ident => $module:ident),*; $tests:tt) => {
        $($(#[$condition])? mod $module { conformance!(@tests $network $tests); })*
    };
    (@tests $network:ident [$($test:ident),*]) => {
        $(#[test] fn $test() { super::$test::<super::$network>(); })*
    };
}

conformance!(
    Memory => memory,
    Tcp => tcp,
    SleepingTcp => sleeping_tcp,
    EmulatedMemory => emulated,
    #[cfg(feature = "tls")] Secure => tls,
    #[cfg(feature = "tls")] SleepingSecure => sleeping_tls;
[
    ends_know_their_place,
    exchanges_of_every_size,
    messages_keep_their_order,
    large_exchanges_at_once_do_not_deadlock,
    traffic_is_exact,
    bounded_messages,
    a_wrong_length_is_named,
    a_wrong_length_in_an_exchange_ends_every_party,
    a_closed_party_is_named_by_all,
    what_was_sent_before_closing_arrives,
    a_stalled_party_is_named_by_all,
    a_party_that_never_reads_is_named,
    calls_that_cannot_work_are_refused,
    an_abandoned_operation_breaks_its_link,
    failures_are_not_counted,
    parties_that_agree_shake_hands
]);

/// Recognisable bytes, other ones for each party.
fn message(party: usize, bytes: usize) -> Vec<u8> {
    let byte = |i| (i * 31 + i / 256 + party * 101) as u8;
    let period: Vec<u8> = (0..bytes.min(1 << 16)).map(byte).collect();
    let mut message = period.repeat(bytes.div_ceil(period.len().max(1)));
    message.truncate(bytes);
    message
}

fn others(party: usize, parties: usize) -> impl Iterator<Item = usize> {
    (0..parties).filter(move |&other| other != party)
}

async fn check_exchange(end: &mut impl Transport, bytes: usize) {
    let (party, parties) = (end.party(), end.parties());
    let mut received = vec![0; (parties - 1) * bytes];
    end.exchange(&message(party, bytes), &mut received).await.unwrap();
    let expected: Vec<u8> = others(party, parties).flat_map(|other| message(other, bytes)).collect();
    assert!(received == expected, "party {party} of {parties}, {bytes} bytes");
}

fn ends_know_their_place<N: Network>() {
    for parties in PARTIES {
        for (party, end) in N::build(parties, PATIENT).iter().enumerate() {
            assert_eq!((end.party(), end.parties()), (party, parties));
        }
    }
}

fn exchanges_of_every_size<N: Network>() {
    for parties in PARTIES {
        run(N::build(parties, PATIENT), async |mut end| {
            for bytes in [0, 1, 1000, 65_537, 5_000_000, 3] {
                check_exchange(&mut end, bytes).await;
            }
        });
    }
}

fn messages_keep_their_order<N: Network>() {
    for parties in PARTIES {
        run(N::build(parties, PATIENT), async |mut end| {
            for length in 0..200 {
                if end.party() == 0 {
                    for to in 1..parties {
                        end.send(to, &message(to, length)).await.unwrap();
                    }
                } else {
                    let mut received = vec![0; length];
                    end.receive(0, &mut received).await.unwrap();
                    assert_eq!(received, message(end.party(), length));
                }
            }
            check_exchange(&mut end, 100).await;
        });
    }
}

fn large_exchanges_at_once_do_not_deadlock<N: Network>() {
    run(N::build(2, PATIENT), async |mut end| {
        for _ in 0..2 {
            check_exchange(&mut end, 40_000_000).await;
        }
    });
}

/// The same numbers for every network, so that they are equal among networks.
fn traffic_is_exact<N: Network>() {
    for parties in PARTIES {
        run(N::build(parties, PATIENT), async |end| {
            let mut end = Metered::new(end);
            let (party, next) = (end.party(), (end.party() + 1) % parties);
            let before = (party + parties - 1) % parties;
            end.begin(Phase::Online, "open");
            check_exchange(&mut end, 10).await;
            check_exchange(&mut end, 7).await;
            end.begin(Phase::Preprocessing, "stream");
            for length in [1, 2, 3] {
                end.send(next, &vec![0; length]).await.unwrap();
            }
            for length in [1, 2, 3] {
                end.receive(before, &mut vec![0; length]).await.unwrap();
            }
            let open = Traffic::exchange(10, parties) + Traffic::exchange(7, parties);
            let stream =
                Traffic { payload_sent: 6, payload_received: 6, frames_sent: 3, frames_received: 3, rounds: 1 };
            let entries: Vec<_> = end.meter().entries().collect();
            assert_eq!(entries, [(Phase::Online, "open", open), (Phase::Preprocessing, "stream", stream)]);
            assert_eq!(end.meter().total(Phase::Online).bytes_sent(), (parties as u64 - 1) * (17 + 8));
        });
    }
}

fn bounded_messages<N: Network>() {
    run(N::build(2, PATIENT), async |mut end| {
        if end.party() == 0 {
            for length in [0, 5, 100, 101] {
                end.send(1, &message(0, length)).await.unwrap();
            }
            // Waits for the other to read.
            assert_eq!(end.receive(1, &mut [0]).await, Err(TransportError::Closed { peer: Peer::Party(1) }));
        } else {
            for length in [0, 5, 100] {
                assert_eq!(end.receive_bounded(0, 100).await, Ok(message(0, length)));
            }
            let too_long = TransportError::FrameTooLong { peer: Peer::Party(0), limit: 100, got: 101 };
            assert_eq!(end.receive_bounded(0, 100).await, Err(too_long.clone()));
            // The link stays unusable.
            assert_eq!(end.receive(0, &mut [0]).await, Err(too_long));
        }
    });
}

fn a_wrong_length_is_named<N: Network>() {
    for (sent, expected) in [(5, 4), (4, 5), (0, 1), (1, 0), (1_000_000, 10), (10, 1_000_000)] {
        run(N::build(2, PATIENT), async |mut end| {
            if end.party() == 0 {
                let _ = end.send(1, &message(0, sent)).await;
                let _ = end.receive(1, &mut [0]).await;
            } else {
                let result = end.receive(0, &mut vec![0; expected]).await;
                assert_eq!(result, Err(TransportError::WrongLength { peer: Peer::Party(0), expected, got: sent }));
            }
        });
    }
}

fn a_wrong_length_in_an_exchange_ends_every_party<N: Network>() {
    let results = run(N::build(3, PATIENT), async |mut end| {
        let bytes = if end.party() == 2 { 200_000 } else { 100_000 };
        let first = end.exchange(&message(0, bytes), &mut vec![0; 2 * bytes]).await;
        (first, end)
    });
    for (party, (result, _)) in results.iter().enumerate() {
        let error = result.as_ref().unwrap_err();
        let named = matches!(error, TransportError::WrongLength { .. } | TransportError::Closed { .. });
        assert!(named, "party {party}: {error}");
    }
}

fn a_closed_party_is_named_by_all<N: Network>() {
    for parties in PARTIES {
        let ends = N::build(parties, PATIENT);
        let results = run(ends, async |mut end| {
            let last = parties - 1;
            if end.party() == last {
                return None;
            }
            let result = end.receive(last, &mut [0; 8]).await;
            // Kept until all have seen it.
            Some((result, end))
        });
        for (result, _) in results.into_iter().flatten() {
            assert_eq!(result, Err(TransportError::Closed { peer: Peer::Party(parties - 1) }));
        }
    }
}

fn what_was_sent_before_closing_arrives<N: Network>() {
    run(N::build(2, PATIENT), async |mut end| {
        if end.party() == 0 {
            end.send(1, b"last words").await.unwrap();
        } else {
            std::thread::sleep(BRIEF / 4);
            assert_eq!(end.receive_bounded(0, 100).await, Ok(b"last words".to_vec()));
            assert_eq!(end.receive_bounded(0, 100).await, Err(TransportError::Closed { peer: Peer::Party(0) }));
        }
    });
}

fn a_stalled_party_is_named_by_all<N: Network>() {
    for parties in PARTIES {
        let mut ends = N::build(parties, BRIEF);
        let stalled = ends.pop();
        let started = Instant::now();
        let results = run(ends, async |mut end| {
            let result = end.exchange(&[1; 100], &mut vec![0; 100 * (parties - 1)]).await;
            (result, end)
        });
        for (result, _) in results {
            let Err(TransportError::Timeout { peer, after, waiting_for: Wait::Message }) = result else {
                panic!("{result:?}");
            };
            assert_eq!(peer, Peer::Party(parties - 1));
            assert!(after >= BRIEF);
        }
        assert!(started.elapsed() < Duration::from_secs(10));
        drop(stalled);
    }
}

fn a_party_that_never_reads_is_named<N: Network>() {
    let mut ends = N::build(2, BRIEF);
    let started = Instant::now();
    let error = block_on(async {
        loop {
            if let Err(error) = ends[0].send(1, &message(0, 1_000_000)).await {
                return error;
            }
        }
    });
    assert!(
        matches!(error, TransportError::Timeout { peer: Peer::Party(1), waiting_for: Wait::Delivery, .. }),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(10));
}

fn calls_that_cannot_work_are_refused<N: Network>() {
    let mut ends = N::build(3, PATIENT);
    let end = &mut ends[1];
    block_on(async {
        for party in [1, 3, usize::MAX] {
            let error = TransportError::NoSuchParty { party, parties: 3 };
            assert_eq!(end.send(party, &[1]).await, Err(error.clone()));
            assert_eq!(end.receive(party, &mut [1]).await, Err(error.clone()));
            assert_eq!(end.receive_bounded(party, 1).await, Err(error));
        }
        let buffer = TransportError::BufferLength { expected: 4, got: 3 };
        assert_eq!(end.exchange(&[1, 2], &mut [0; 3]).await, Err(buffer));
    });
}

fn an_abandoned_operation_breaks_its_link<N: Network>() {
    let mut ends = N::build(3, PATIENT);
    block_on(async {
        assert_eq!(smol::future::poll_once(ends[0].receive(1, &mut [0; 4])).await, None);
        ends[1].send(0, &[1; 4]).await.unwrap();
        ends[2].send(0, &[2; 4]).await.unwrap();
        let interrupted = Err(TransportError::Interrupted { peer: Peer::Party(1) });
        assert_eq!(ends[0].receive(1, &mut [0; 4]).await, interrupted);
        assert_eq!(ends[0].receive(2, &mut [0; 4]).await, Ok(()));
        assert_eq!(ends[0].exchange(&[1], &mut [0; 2]).await, interrupted);
    });
}

fn failures_are_not_counted<N: Network>() {
    let mut ends = N::build(2, BRIEF);
    let mut end = Metered::new(&mut ends[0]);
    assert!(block_on(end.exchange(&[1; 8], &mut [0; 8])).is_err());
    assert_eq!(end.meter().entries().count(), 0);
}

fn parties_that_agree_shake_hands<N: Network>() {
    for parties in PARTIES {
        let agreement = Agreement::new([3; 16]).with("ring", "Z_{2^64}").with("digest", "v".repeat(256));
        let results = run(N::build(parties, PATIENT), async |end| {
            let mut end = Metered::new(end);
            let result = handshake(&mut end, &agreement).await;
            check_exchange(&mut end, 8).await;
            (result, end.meter().total(Phase::Setup).rounds)
        });
        assert_eq!(results, vec![(Ok(()), 2); parties]);
    }
}
