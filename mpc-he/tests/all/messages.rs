//! Messages of a peer: refused by name unless they are exactly as planned; and the order of layers.

use mpc_he::{
    Ciphertext, Encryption, Evaluation, HeError, Hint, Layout, Linear, Modulus, OPENING_BYTES, PRIMES, PublicSeed,
    Weights,
};
use mpc_ring::Convolution;
use mpc_ring::packing::{pack, packed_len, unpack};

use super::common::{elements, generator, square};

fn layout(given: bool) -> Layout {
    // 21 masks of 52 bits, or 21 and 11 zeros of 100: some bits of the last byte are unused.
    let shape = Convolution { height: 3, width: 7, padding: [0, 0, 1, 1], kernel: [2, 2], ..square([1, 1], 1, 1) };
    Layout::search(&Linear::convolution(&shape).unwrap(), Modulus::SMALLEST, 1_000, given).unwrap()
}

struct Parties {
    seed: PublicSeed,
    weights: Weights,
    hint: Vec<u8>,
}

fn parties(layout: &Layout) -> Parties {
    let mut generator = generator(1);
    let seed = PublicSeed::random(&mut generator);
    let weights = elements(layout.layer().weight_len(), layout.modulus(), 20, &mut generator);
    let (weights, hint) = Weights::new(layout, &weights, 20, &seed, 0, &mut generator).unwrap();
    Parties { seed, weights, hint }
}

#[test]
fn every_length_but_the_planned_one_is_refused() {
    let layout = layout(false);
    let Parties { seed, hint, .. } = parties(&layout);
    let (_, opening) = Encryption::begin(&seed, &mut generator(2));
    let message = vec![0; layout.message_bytes()];
    for len in [0, 1, layout.hint_bytes() - 1, layout.hint_bytes() + 1] {
        let error = Hint::from_bytes(&layout, &seed, 0, &vec![0; len]).err().unwrap();
        assert_eq!(error, HeError::Length { what: "hint", expected: hint.len(), actual: len });
    }
    for len in [0, OPENING_BYTES - 1, OPENING_BYTES + 1] {
        let error = Evaluation::from_bytes(&vec![0; len]).err().unwrap();
        assert_eq!(error, HeError::Length { what: "begin of an inference", expected: opening.len(), actual: len });
    }
    for len in [0, message.len() - 1, message.len() + 1] {
        let error = Ciphertext::from_bytes(&layout, &vec![0; len]).unwrap_err();
        assert_eq!(error, HeError::Length { what: "message of a layer", expected: message.len(), actual: len });
    }
}

#[test]
fn residues_that_are_not_below_their_primes_are_refused() {
    let layout = layout(true);
    let (_, opening) = Encryption::begin(&parties(&layout).seed, &mut generator(2));
    for (k, prime) in PRIMES.into_iter().enumerate() {
        let half = (OPENING_BYTES - PublicSeed::BYTES) / 2;
        let part = PublicSeed::BYTES + k * half..PublicSeed::BYTES + (k + 1) * half;
        for (value, is_valid) in [(prime - 1, true), (prime, false), ((1 << 50) - 1, false)] {
            let mut opening = opening.clone();
            let mut residues = vec![0u64; 4_096];
            unpack(&opening[part.clone()], 50, &mut residues);
            residues[77] = value;
            pack(&residues, 50, &mut opening[part.clone()]);
            let refused = Evaluation::from_bytes(&opening).err();
            let expected = HeError::Residue { what: "begin of an inference", index: 77 };
            assert_eq!(refused, (!is_valid).then_some(expected));

            let mut residues = vec![0; layout.message_bytes() * 8 / 100 * 2];
            residues[2 * 5 + k] = value;
            let mut message = vec![0; packed_len(residues.len(), 50)];
            pack(&residues, 50, &mut message);
            let refused = Ciphertext::from_bytes(&layout, &message).err();
            assert_eq!(refused, (!is_valid).then_some(HeError::Residue { what: "message of a layer", index: 5 }));
        }
    }
}

#[test]
fn unused_bits_are_zero() {
    // 21 masks take 136 bytes and a half, 11 zeros 137 and a half.
    let layout = layout(false);
    let message = vec![0; layout.message_bytes()];
    assert_eq!(Ciphertext::from_bytes(&layout, &message).unwrap().to_bytes(), message);
    assert_eq!(message.len(), 137 + 138);
    for last in [136, 274] {
        let mut message = message.clone();
        message[last] = 0x10;
        assert_eq!(Ciphertext::from_bytes(&layout, &message), Err(HeError::Padding { what: "message of a layer" }));
    }
}

#[test]
fn a_layer_is_encrypted_once_and_in_order() {
    let layout = layout(false);
    let Parties { seed, hint, .. } = parties(&layout);
    let hints = [0, 1].map(|layer| Hint::from_bytes(&layout, &seed, layer, &hint).unwrap());
    let mut generator = generator(2);
    let (mut encryption, _) = Encryption::begin(&seed, &mut generator);
    assert!(encryption.layer(&hints[1], None, &mut generator).is_ok());
    for hint in &hints {
        let error = encryption.layer(hint, None, &mut generator).err().unwrap();
        assert!(matches!(error, HeError::Order { next: 2, .. }), "{error}");
    }
}

#[test]
fn two_inferences_share_nothing() {
    let layout = layout(false);
    let Parties { seed, hint, .. } = parties(&layout);
    let hint = Hint::from_bytes(&layout, &seed, 0, &hint).unwrap();
    let mut generator = generator(2);
    let [first, second] = [(); 2].map(|()| {
        let (mut encryption, opening) = Encryption::begin(&seed, &mut generator);
        let encrypted = encryption.layer(&hint, None, &mut generator).unwrap();
        (opening, encrypted.message, encrypted.mask.to_vec(), encrypted.share.to_vec())
    });
    assert!(first.0 != second.0 && first.1 != second.1 && first.2 != second.2 && first.3 != second.3);
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let [chosen, known] = [false, true].map(layout);
    let Parties { seed, hint, weights } = parties(&chosen);
    let mut generator = generator(2);
    let (mut encryption, opening) = Encryption::begin(&seed, &mut generator);
    let refused = |layout: &Layout, seed: &PublicSeed, given: Option<&[u64]>, encryption: &mut Encryption| {
        let hint = Hint::from_bytes(layout, seed, 0, &hint).unwrap();
        encryption.layer(&hint, given, &mut super::common::generator(3)).err().unwrap()
    };
    let elements = |expected, actual| HeError::Elements { what: "masks that are known before", expected, actual };
    assert_eq!(refused(&chosen, &seed, Some(&[0; 21]), &mut encryption), elements(0, 21));
    assert_eq!(refused(&known, &seed, None, &mut encryption), elements(21, 0));
    assert_eq!(refused(&known, &seed, Some(&[0; 20]), &mut encryption), elements(21, 20));
    let other = PublicSeed::from_bytes([9; 32]);
    assert!(matches!(refused(&chosen, &other, None, &mut encryption), HeError::Unsupported { .. }));

    let message = Ciphertext::from_bytes(&known, &vec![0; known.message_bytes()]).unwrap();
    let evaluation = Evaluation::from_bytes(&opening).unwrap();
    assert!(matches!(evaluation.layer(&weights, &message, &mut generator), Err(HeError::Elements { .. })));

    for (values, bits, index) in [([0, 8, 0, 0], 4, 1), ([0, 0, (1 << 50) - 9, 0], 4, 2), ([1 << 50, 7, 1, 8], 4, 3)] {
        let error = Weights::new(&chosen, &values, bits, &seed, 0, &mut generator).err().unwrap();
        assert_eq!(error, HeError::Weight { index, bits });
    }
    assert!(Weights::new(&chosen, &[7, (1 << 50) - 8, 0, 0], 4, &seed, 0, &mut generator).is_ok());
    assert!(Weights::new(&chosen, &[0; 3], 4, &seed, 0, &mut generator).is_err());
}
