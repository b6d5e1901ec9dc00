use mpc_ot::OtError;
use mpc_ot::ferret::{FerretReceiver, FerretSender, ParameterSet};
use mpc_shares::SecretVec;
use rand_core::Rng;

use crate::common::generator;

const DELTA: u128 = 0xfedc_ba98_7654_3210_0123_4567_89ab_cdef;

/// Correlated OTs from a dealer: an ideal twin of what an extension begins with.
fn dealt(count: usize) -> (SecretVec<u128>, SecretVec<u128>) {
    let mut generator = generator(9);
    let word =
        |generator: &mut mpc_shares::Prg| u128::from(generator.next_u64()) << 64 | u128::from(generator.next_u64());
    let sent: SecretVec<u128> = (0..count).map(|_| word(&mut generator) & !1).collect();
    let received = sent.iter().map(|&x| x ^ ((word(&mut generator) & 1) * DELTA)).collect();
    (sent, received)
}

fn ends(set: ParameterSet) -> (FerretSender, FerretReceiver) {
    let (sent, received) = dealt(set.base());
    (FerretSender::new(set, 3, DELTA, sent).unwrap(), FerretReceiver::new(set, 3, received).unwrap())
}

fn extend(ends: &mut (FerretSender, FerretReceiver), set: ParameterSet, trees: usize) -> (Vec<u128>, Vec<u128>) {
    let (mut message, mut sent, mut received) = (Vec::new(), Vec::new(), Vec::new());
    ends.0.extend(trees, &mut generator(4), &mut message, |strings| sent.extend_from_slice(strings));
    assert_eq!(message.len(), set.tree_bytes(trees));
    ends.1.extend(trees, &message, |strings| received.extend_from_slice(strings)).unwrap();
    (sent, received)
}

fn check(sent: &[u128], received: &[u128]) {
    assert_eq!(sent.len(), received.len());
    for (x, y) in sent.iter().zip(received) {
        assert_eq!((x & 1, x ^ ((y & 1) * DELTA)), (0, *y));
    }
}

#[test]
fn the_sets_have_the_sizes_of_their_source() {
    let lane = |set: ParameterSet, size: usize| size / set.lanes();
    let sizes = ParameterSet::ALL
        .map(|set| (lane(set, set.round()), lane(set, set.usable()), lane(set, set.tree_bytes(set.trees()))));
    let expected = [
        (870_400, 796_364, 136_000),
        (2_396_160, 2_252_218, 205_920),
        (6_225_920, 5_945_536, 291_840),
        (15_564_800, 15_015_812, 395_200),
    ];
    assert_eq!(sizes, expected);
    // Each set can begin the next ones with one round of the smallest.
    assert!(ParameterSet::ALL.iter().all(|set| set.base() <= ParameterSet::B10.usable()));
}

/// log2 of the cost of pooled Gauss: invert a matrix of k − t rows until none of them has noise, among N − t samples (Esser,
/// Kübler, May, "LPN decoded", CRYPTO 2017, as the estimator in `docs/parameters.md` counts it).
fn cost_of_gauss(set: ParameterSet) -> f64 {
    let [samples, unknowns, noise] =
        [set.round() / set.lanes() - set.trees(), set.dimension() - set.trees(), set.trees()].map(|x| x as f64);
    let without_noise = |i: usize| ((samples - unknowns - i as f64) / (samples - i as f64)).log2();
    2.8 * unknowns.log2() - (0..noise as usize).map(without_noise).sum::<f64>()
}

#[test]
fn the_table_has_the_cost_of_gauss() {
    for (set, expected) in ParameterSet::ALL.into_iter().zip([139.6, 141.7, 144.2, 146.8]) {
        let cost = cost_of_gauss(set);
        assert!((cost - expected).abs() < 0.1, "{set:?}: 2^{cost}");
    }
}

/// Makes a round and some trees of the next one: all strings are correlated, none comes twice, and there are as many as the set says.
/// Those that the receiver has of the second round.
fn two_rounds(set: ParameterSet, trees: usize) -> Vec<u128> {
    let mut ends = ends(set);
    let (first, received) = extend(&mut ends, set, set.trees());
    assert_eq!(first.len(), set.usable());
    check(&first, &received);
    // Across the boundary of two rounds.
    let (second, received) = extend(&mut ends, set, trees);
    check(&second, &received);
    let mut all: Vec<_> = first.into_iter().chain(second).collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "no string comes twice");
    received
}

#[test]
fn two_rounds_give_correlated_strings_and_exactly_the_usable_number() {
    let received = two_rounds(ParameterSet::B10, 80);
    let ones = received.iter().filter(|&x| x & 1 == 1).count() as f64 / received.len() as f64;
    assert!((0.48..0.52).contains(&ones), "{ones} of the choices are 1");
}

#[test]
fn large_sets_give_correlated_strings() {
    for (set, trees) in [(ParameterSet::B11, 80), (ParameterSet::B12, 75), (ParameterSet::B13, 70)] {
        let mut ends = ends(set);
        let (sent, received) = extend(&mut ends, set, trees);
        assert_eq!(sent.len(), trees * set.step() - set.base());
        check(&sent, &received);
    }
}

#[test]
fn lanes_have_secrets_of_their_own_across_rounds() {
    let set = ParameterSet::B11;
    let received = two_rounds(set, 75);
    // Behind what the next round keeps, steps are whole.
    let steps = received.rchunks_exact(set.step()).map(|step| step.split_at(set.leaves()));
    let equal = steps.flat_map(|(first, second)| first.iter().zip(second)).map(|(x, y)| !(x ^ y) & 1);
    let (equal, count) = equal.fold((0, 0), |(sum, count), equal| (sum + equal, count + 1));
    let equal = equal as f64 / f64::from(count);
    assert!((0.47..0.53).contains(&equal), "{equal} of the choices of two lanes are the same");
}

#[test]
fn messages_and_beginnings_of_another_length_are_refused() {
    let (mut sender, mut receiver) = ends(ParameterSet::B10);
    let mut message = Vec::new();
    sender.extend(2, &mut generator(4), &mut message, |_| ());
    for message in [&message[1..], &[], &[&message[..], &[0; 16]].concat()] {
        let error = receiver.extend(2, message, |_| ()).unwrap_err();
        assert!(matches!(error, OtError::MessageLength { expected: 320, .. }), "{error}");
    }
    let error = FerretReceiver::new(ParameterSet::B10, 3, SecretVec::zeros(5)).err();
    assert!(matches!(error, Some(OtError::Size { expected: 74_036, got: 5, .. })));
}
