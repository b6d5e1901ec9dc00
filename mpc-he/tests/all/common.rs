//! Layers in the clear, and one encrypted inference of a layer.

use mpc_he::{Ciphertext, Encryption, Evaluation, Hint, Layout, Modulus, OPENING_BYTES, PublicSeed, Weights};
use mpc_ring::{Convolution, Ring, convolution};
use mpc_shares::{Prg, Seed};

/// The largest number of a modulus.
pub fn mask(modulus: Modulus) -> u64 {
    u64::MAX >> (64 - modulus.bits())
}

/// A square convolution without padding; the rest is set by the caller.
pub fn square(channels: [usize; 2], size: usize, kernel: usize) -> Convolution {
    Convolution::valid(channels, [size; 2], [kernel; 2])
}

pub fn generator(seed: u64) -> Prg {
    Prg::new(Seed::from_bytes(core::array::from_fn(|i| seed.to_le_bytes()[i % 8] ^ i as u8)))
}

/// Elements of a modulus: uniform, or signed ones of `bits` bits.
pub fn elements(len: usize, modulus: Modulus, bits: u32, generator: &mut Prg) -> Vec<u64> {
    let mut elements = vec![0u64; len];
    u64::fill_random(&mut elements, generator);
    elements.into_iter().map(|element| (((element as i64) >> (64 - bits)) as u64) & mask(modulus)).collect()
}

pub fn plain_convolution(shape: &Convolution, modulus: Modulus, input: &[u64], weights: &[u64]) -> Vec<u64> {
    let (mut output, mut scratch) = (vec![0; shape.output_len()], vec![0; shape.scratch_len()]);
    convolution(shape, input, weights, &mut output, &mut scratch);
    output.into_iter().map(|value| value & mask(modulus)).collect()
}

/// One inference: the mask, and the sum of both shares. Lengths are those of the plan.
pub fn infer(layout: &Layout, weights: &[u64], weight_bits: u32, given: Option<&[u64]>, seed: u64) -> [Vec<u64>; 2] {
    let [mut owner, mut holder] = [generator(seed), generator(!seed)];
    let public = PublicSeed::random(&mut owner);
    let (weights, hint) = Weights::new(layout, weights, weight_bits, &public, 3, &mut owner).unwrap();
    assert_eq!(hint.len(), layout.hint_bytes());
    let hint = Hint::from_bytes(layout, &public, 3, &hint).unwrap();
    let (mut encryption, opening) = Encryption::begin(&public, &mut holder);
    assert_eq!(opening.len(), OPENING_BYTES);
    let encrypted = encryption.layer(&hint, given, &mut holder).unwrap();
    assert_eq!(encrypted.message.len(), layout.message_bytes());
    let message = Ciphertext::from_bytes(layout, &encrypted.message).unwrap();
    let share = Evaluation::from_bytes(&opening).unwrap().layer(&weights, &message, &mut owner).unwrap();
    let sum = share.iter().zip(&*encrypted.share).map(|(a, b)| a.wrapping_add(*b) & mask(layout.modulus())).collect();
    [encrypted.mask.to_vec(), sum]
}

/// The largest difference between values of a modulus, as signed.
pub fn distance(modulus: Modulus, left: &[u64], right: &[u64]) -> u64 {
    assert_eq!(left.len(), right.len());
    let difference = |(left, right): (&u64, &u64)| {
        let unused = 64 - modulus.bits();
        ((left.wrapping_sub(*right) << unused) as i64 >> unused).unsigned_abs()
    };
    left.iter().zip(right).map(difference).max().unwrap()
}
