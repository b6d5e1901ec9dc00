//! Emulated links: the same messages and counts as without, and never faster than the link.

use std::time::{Duration, Instant};

use crate::network::{Network, PATIENT, Tcp, run};
use mpc_transport::{Emulated, LinkSettings, Metered, Phase, Traffic, Transport, memory_network};

const LATENCY: Duration = Duration::from_millis(20);

/// 20 ms, and a byte takes a microsecond.
const SLOW: LinkSettings = LinkSettings { latency: LATENCY, bits_per_second: Some(8_000_000) };

fn emulated<T: Transport>(ends: Vec<T>) -> Vec<Emulated<T>> {
    ends.into_iter().map(|end| Emulated::new(end, SLOW)).collect()
}

/// Everything that a transport does: what was received, and what was counted.
async fn everything<T: Transport>(end: T) -> (Vec<u8>, Traffic) {
    let mut end = Metered::new(end);
    end.begin(Phase::Online, "all");
    let (party, parties) = (end.party(), end.parties());
    let mut all = vec![0; 1000 * (parties - 1)];
    end.exchange(&[party as u8 + 1; 1000], &mut all).await.unwrap();
    let (next, before) = ((party + 1) % parties, (party + parties - 1) % parties);
    for length in [1, 200, 30] {
        end.send(next, &vec![party as u8; length]).await.unwrap();
    }
    for length in [1, 200] {
        let mut message = vec![0; length];
        end.receive(before, &mut message).await.unwrap();
        all.extend(message);
    }
    all.extend(end.receive_bounded(before, 30).await.unwrap());
    (all, end.meter().total(Phase::Online))
}

#[test]
fn results_and_counts_are_those_of_the_bare_transport() {
    for parties in [2, 3, 4] {
        let bare = run(memory_network(parties, PATIENT), async |end| everything(end).await);
        let memory = run(emulated(memory_network(parties, PATIENT)), async |end| everything(end).await);
        let tcp = run(emulated(Tcp::build(parties, PATIENT)), async |end| everything(end).await);
        assert_eq!(bare, memory);
        assert_eq!(bare, tcp);
    }
}

#[test]
fn an_exchange_takes_the_latency_and_the_transfer_of_all_that_is_sent() {
    for parties in [2, 3] {
        let times = run(emulated(memory_network(parties, PATIENT)), async |mut end| {
            let (message, mut received) = ([7; 9_996], vec![0; 9_996 * (parties - 1)]);
            let started = Instant::now();
            end.exchange(&message, &mut received).await.unwrap();
            started.elapsed()
        });
        let transfer = Duration::from_millis(10) * (parties as u32 - 1);
        assert!(times.iter().all(|&time| time >= LATENCY + transfer), "{times:?}");
    }
}

#[test]
fn a_request_and_its_answer_take_the_latency_twice() {
    run(emulated(memory_network(2, PATIENT)), async |mut end| {
        let started = Instant::now();
        if end.party() == 0 {
            end.send(1, &[0; 4_996]).await.unwrap();
            end.receive(1, &mut [0]).await.unwrap();
            assert!(started.elapsed() >= 2 * LATENCY + Duration::from_millis(5));
        } else {
            end.receive(0, &mut [0; 4_996]).await.unwrap();
            end.send(0, &[0]).await.unwrap();
        }
    });
}

#[test]
fn a_stream_takes_the_latency_once_and_the_transfer_of_all() {
    let frames = 50;
    run(emulated(memory_network(2, PATIENT)), async |mut end| {
        let started = Instant::now();
        for _ in 0..frames {
            if end.party() == 0 {
                end.send(1, &[0; 996]).await.unwrap();
            } else {
                end.receive(0, &mut [0; 996]).await.unwrap();
            }
        }
        assert!(started.elapsed() >= LATENCY + Duration::from_millis(frames));
    });
}

#[test]
fn transfer_times() {
    assert_eq!(LinkSettings::LAN.transfer_time(125_000_000), Duration::from_secs(1));
    assert_eq!(SLOW.transfer_time(3), Duration::from_micros(3));
    let crawling = LinkSettings { bits_per_second: Some(0), ..SLOW };
    assert_eq!(crawling.transfer_time(u64::MAX), Duration::from_nanos(u64::MAX));
}
