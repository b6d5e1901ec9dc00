//! Weights that are transformed each time are summed on several threads as on one.

use std::num::NonZeroUsize;

use mpc_he::{Ciphertext, Encryption, Evaluation, Hint, Layout, Linear, Modulus, PublicSeed, Weights};
use mpc_ring::{Convolution, threads};
use mpc_shares::{Prg, Seed};

fn generator(seed: u8) -> Prg {
    Prg::new(Seed::from_bytes([seed; 32]))
}

/// The hint and the evaluated share of a layer, always from the same seeds.
fn made(layout: &Layout) -> (Vec<u8>, Vec<u64>) {
    let [mut owner, mut holder] = [generator(1), generator(2)];
    let elements: Vec<u64> = (0..layout.layer().weight_len() as u64).map(|i| i * i % 1_000).collect();
    let seed = PublicSeed::random(&mut owner);
    let (weights, sent) = Weights::new(layout, &elements, 20, &seed, 0, &mut owner).unwrap();
    let hint = Hint::from_bytes(layout, &seed, 0, &sent).unwrap();
    let (mut encryption, opening) = Encryption::begin(&seed, &mut holder);
    let encrypted = encryption.layer(&hint, None, &mut holder).unwrap();
    let message = Ciphertext::from_bytes(layout, &encrypted.message).unwrap();
    let share = Evaluation::from_bytes(&opening).unwrap().layer(&weights, &message, &mut owner).unwrap();
    (sent, share.to_vec())
}

/// Of polynomials of one weight, and of nine.
#[test]
fn layers_of_many_weights_are_the_same_on_three_threads() {
    let layout = |kernel| {
        let layer = Linear::convolution(&Convolution::valid([32, 70], [60; 2], kernel)).unwrap();
        Layout::search(&layer, Modulus::SMALLEST, 1, false).unwrap()
    };
    let layouts = [[1; 2], [3; 2]].map(layout);
    let alone = layouts.each_ref().map(made);
    let before = layouts.map(|layout| [layout.weight_bytes(), layout.working_bytes()]);
    threads::set(NonZeroUsize::new(3).unwrap()).unwrap();
    assert!(layouts.each_ref().map(made) == alone);
    for (layout, before) in layouts.iter().zip(before) {
        // It keeps no transforms, and has some sums more in hand.
        assert!(layout.weight_bytes() == before[0] && before[0] < (32 * 70) << 16);
        assert!(layout.working_bytes() > before[1]);
    }
}
