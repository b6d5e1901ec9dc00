use std::time::Duration;

use mpc_ot::ferret::ParameterSet;
use mpc_ot::softspoken::FieldBits;
use mpc_ot::{Batch, Method, OtError, Pair, PairSettings, ReceivedBatch, Schedule, SentBatch};
use mpc_shares::Seed;
use mpc_transport::{Phase, Traffic, TransportError, memory_network};

fn settings(party: usize, method: Method) -> PairSettings {
    let indices = [3, 5];
    PairSettings { session: [1; 16], own: indices[party], peer: indices[1 - party], method }
}

/// Runs both parties, each with its settings, and gives their results.
pub fn run<O: Send>(
    settings: [PairSettings; 2],
    party: impl AsyncFn(usize, Result<Pair, OtError>) -> O + Sync,
) -> Vec<O> {
    let party = &party;
    std::thread::scope(|scope| {
        let ends = memory_network(2, Duration::from_secs(60)).into_iter().enumerate();
        let threads: Vec<_> = ends
            .map(|(index, end)| {
                let settings = settings[index];
                scope.spawn(move || {
                    smol::block_on(async {
                        party(index, Pair::open(end, settings, Seed::from_system().unwrap()).await).await
                    })
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

pub fn both(method: Method) -> [PairSettings; 2] {
    [0, 1].map(|party| settings(party, method))
}

/// Checks m_c against m_0 and m_0 ⊕ m_1, that bits are balanced, and that no plane follows from the choices.
fn check(sent: &SentBatch, received: &ReceivedBatch) {
    let Batch { count, bits } = sent.batch();
    assert_eq!(received.batch(), sent.batch());
    let words = count.div_ceil(64);
    let ones = |plane: &[u64]| plane.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
    let balanced = |what: &str, plane: &[u64]| {
        let (ones, count) = (ones(plane) as f64, count as f64);
        let bound = 6.0 * count.sqrt() / 2.0;
        assert!((ones - count / 2.0).abs() <= bound.max(1.0), "{what}: {ones} ones of {count}");
    };
    balanced("choices", received.choices());
    for plane in 0..bits {
        let (zero, difference) = (sent.zero(plane, plane + 1), sent.difference(plane, plane + 1));
        let chosen = received.chosen(plane, plane + 1);
        for word in 0..words {
            assert_eq!(chosen[word], zero[word] ^ (difference[word] & received.choices()[word]));
        }
        let xor = |a: &[u64], b: &[u64]| a.iter().zip(b).map(|(a, b)| a ^ b).collect::<Vec<_>>();
        balanced("zero", zero);
        balanced("difference", difference);
        balanced("choice and zero", &xor(received.choices(), zero));
        balanced("choice and difference", &xor(received.choices(), difference));
        balanced("chosen and choice", &xor(chosen, received.choices()));
        let unused = if count.is_multiple_of(64) { 0 } else { u64::MAX << (count % 64) };
        for plane in [zero, difference, chosen, received.choices()] {
            assert_eq!(plane.last().map_or(0, |last| last & unused), 0);
        }
    }
}

/// Batches of both parties in one call after the other, with the traffic checked against the schedule.
fn check_calls(method: Method, calls: &[(&[Batch], &[Batch])]) {
    let results = run(both(method), async |party, pair| {
        let mut pair = pair.unwrap();
        assert_eq!(pair.transport().meter().traffic(Phase::Setup, "ot opening"), Schedule::opening(method));
        let mut schedule = Schedule::new(method);
        let mut made = Vec::new();
        for (index, (forward, reverse)) in calls.iter().enumerate() {
            let (sends, receives) = if party == 0 { (forward, reverse) } else { (reverse, forward) };
            let expected = schedule.random(sends, receives);
            let label = index.to_string();
            pair.begin(Phase::Preprocessing, &label);
            made.push(pair.random(sends, receives).await.unwrap());
            assert_eq!(pair.transport().meter().traffic(Phase::Preprocessing, &label), expected);
            assert_eq!(pair.schedule(), schedule);
        }
        made
    });
    for (first, second) in results[0].iter().zip(&results[1]) {
        for (sent, received) in first.0.iter().zip(&second.1).chain(second.0.iter().zip(&first.1)) {
            check(sent, received);
        }
        assert_eq!((first.0.len(), second.0.len()), (second.1.len(), first.1.len()));
    }
}

fn batch(count: usize, bits: usize) -> Batch {
    Batch { count, bits }
}

#[test]
fn silent_batches_of_every_size_in_both_directions() {
    let edges: Vec<_> = [0, 1, 63, 64, 65, 127, 128, 129, 1000].map(|count| batch(count, 7)).into();
    let wide: Vec<_> = [1, 4, 5, 64, 65, 128, 129, 300].map(|bits| batch(200, bits)).into();
    check_calls(
        Method::SILENT,
        &[(&edges, &wide), (&[], &[]), (&[], &edges), (&[batch(9000, 1)], &[]), (&wide, &[batch(3, 2)])],
    );
}

#[test]
fn silent_batches_across_a_round_and_to_a_larger_set() {
    check_calls(
        Method::SILENT,
        &[
            (&[batch(790_000, 1)], &[batch(1, 1)]),
            (&[batch(10_000, 1)], &[batch(1_000_000, 1)]),
            (&[batch(2000, 3)], &[batch(500, 130)]),
        ],
    );
}

#[test]
fn silent_batches_out_of_lanes_to_the_largest_set_that_is_allowed() {
    check_calls(
        Method::Silent(ParameterSet::B12),
        &[
            (&[batch(1_000_000, 1)], &[batch(1, 1)]),
            (&[batch(4_600_000, 1)], &[batch(1_000_000, 1)]),
            (&[batch(7_000_000, 1)], &[batch(500, 130)]),
        ],
    );
}

#[test]
fn softspoken_batches_in_both_directions() {
    for field in [FieldBits::Two, FieldBits::Four, FieldBits::Eight] {
        let batches = [0, 1, 64, 129, 5000].map(|count| batch(count, 3));
        check_calls(Method::SoftSpoken(field), &[(&batches, &[batch(77, 200)]), (&[], &batches), (&[], &[])]);
    }
}

#[test]
fn ten_million_transfers_cost_less_than_the_promised_bits() {
    let bits = |method: Method| {
        let mut schedule = Schedule::new(method);
        let batches = [batch(15_000_000, 1)];
        let traffic = schedule.random(&batches, &batches) + schedule.random(&batches, &batches);
        8.0 * traffic.payload_sent as f64 / 30e6
    };
    let [fewest, fastest] = [ParameterSet::B13, ParameterSet::B11].map(|largest| bits(Method::Silent(largest)));
    assert!(fewest <= 0.35 && fastest <= 0.8, "{fewest} and {fastest} bits a transfer");
}

#[test]
fn parties_that_differ_are_told() {
    let silent = both(Method::SILENT);
    let other_method = settings(1, Method::SoftSpoken(FieldBits::Four));
    let other_session = PairSettings { session: [2; 16], ..silent[1] };
    let other_peer = PairSettings { peer: 4, ..silent[1] };
    for other in [other_method, other_session, other_peer] {
        for result in run([silent[0], other], async |_, pair| pair.err()) {
            let error = result.unwrap();
            assert!(matches!(error, OtError::Transport(TransportError::HandshakeMismatch { .. })), "{error}");
        }
    }
    let same_index = PairSettings { peer: 3, ..silent[0] };
    for result in run([same_index; 2], async |_, pair| pair.err()) {
        assert!(matches!(result, Some(OtError::Parameter { .. })));
    }
}

#[test]
fn bad_batches_are_refused_and_a_broken_session_stays_broken() {
    run(both(Method::SoftSpoken(FieldBits::Eight)), async |party, pair| {
        let mut pair = pair.unwrap();
        for bits in [0, 1 << 17] {
            assert!(matches!(pair.random(&[batch(1, bits)], &[]).await, Err(OtError::Parameter { .. })));
        }
        let too_many = pair.random(&[batch(usize::MAX, 1), batch(usize::MAX, 1)], &[]).await;
        assert_eq!(too_many.err(), Some(OtError::Exhausted));
        // The parties ask for different numbers.
        let result = pair.random(&[], &[batch(64 + 64 * party, 1)]).await;
        if result.is_err() {
            assert_eq!(pair.random(&[], &[batch(1, 1)]).await.err(), Some(OtError::Interrupted));
        }
    });
}

#[test]
fn traffic_without_messages_is_none() {
    assert_eq!(Schedule::new(Method::SILENT).random(&[], &[batch(0, 1)]), Traffic::default());
}
