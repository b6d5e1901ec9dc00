use crate::common::generator;
use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, BinaryShares, ShareError};
use proptest::prelude::*;
use rand_core::Rng;

/// `len` random words.
fn words(len: usize, seed: u8) -> Vec<u64> {
    let mut generator = generator(seed);
    (0..len).map(|_| generator.next_u64()).collect()
}

fn encoding(len: usize) -> Vec<u8> {
    ArithmeticShares::from_elements(words(len, 1)).to_bytes().to_vec()
}

fn round_trips<R: Ring>(elements: Vec<R>) {
    let shares = ArithmeticShares::new(&[1, elements.len()], elements).unwrap();
    let bytes = shares.to_bytes();
    assert!(ArithmeticShares::from_bytes(&bytes, shares.len()).unwrap() == shares);
    // Through serde's own interface the bytes are the same.
    assert_eq!(postcard::to_allocvec(&shares).unwrap(), *bytes);
    assert!(postcard::from_bytes::<ArithmeticShares<R>>(&bytes).unwrap() == shares);
}

proptest! {
    #[test]
    fn arithmetic_shares_round_trip(small: Vec<u32>, words: Vec<u64>, wide: Vec<u128>) {
        round_trips(small);
        round_trips(words);
        round_trips(wide);
    }

    #[test]
    fn binary_shares_round_trip(secret: Vec<u64>, width in 1..=64u32) {
        let shares = BinaryShares::from_elements(&secret, width).unwrap();
        let bytes = shares.to_bytes();
        prop_assert!(BinaryShares::from_bytes(&bytes, shares.words().len()).unwrap() == shares);
        prop_assert!(postcard::from_bytes::<BinaryShares>(&bytes).unwrap() == shares);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, limit in 0..1000usize) {
        let _ = ArithmeticShares::<u32>::from_bytes(&bytes, limit);
        let _ = ArithmeticShares::<u128>::from_bytes(&bytes, limit);
        if let Ok(shares) = ArithmeticShares::<u64>::from_bytes(&bytes, limit) {
            prop_assert!(shares.len() <= limit);
        }
        if let Ok(shares) = BinaryShares::from_bytes(&bytes, limit) {
            prop_assert!(shares.words().len() <= limit);
            // Nothing that follows may need more than what was paid for on the wire.
            let _ = shares.to_elements::<u64>();
        }
    }

    #[test]
    fn arbitrary_heads_never_panic(
        ring_bits in prop::sample::select(vec![0u32, 32, 64, 128]), shape: Vec<u64>, elements: Vec<u8>,
        width: u32, len in prop::sample::select(vec![0u64, 1, 64, 65, 1 << 40, u64::MAX]),
    ) {
        let bytes = postcard::to_allocvec(&(ring_bits, shape, elements.as_slice())).unwrap();
        let _ = ArithmeticShares::<u64>::from_bytes(&bytes, 1000);
        let bytes = postcard::to_allocvec(&(width, len, elements)).unwrap();
        let _ = BinaryShares::from_bytes(&bytes, 1000);
    }
}

/// JSON has no bytes: they are a sequence of numbers there.
#[test]
fn formats_without_bytes_work_too() {
    let shares = ArithmeticShares::new(&[2, 50], words(100, 2)).unwrap();
    let text = serde_json::to_string(&shares).unwrap();
    assert!(serde_json::from_str::<ArithmeticShares<u64>>(&text).unwrap() == shares);
    assert!(serde_json::from_str::<ArithmeticShares<u32>>(&text).is_err());
    let wrong = text.replace("\"elements\":[", "\"elements\":[256,");
    assert!(serde_json::from_str::<ArithmeticShares<u64>>(&wrong).is_err());
    let bits = BinaryShares::from_elements(&words(100, 3), 7).unwrap();
    assert!(serde_json::from_str::<BinaryShares>(&serde_json::to_string(&bits).unwrap()).unwrap() == bits);
}

#[test]
fn every_truncation_and_extension_is_malformed() {
    let mut bytes = encoding(5);
    for end in 0..bytes.len() {
        let error = ArithmeticShares::<u64>::from_bytes(&bytes[..end], 5).unwrap_err();
        assert!(matches!(error, ShareError::Malformed { .. }), "{end} bytes: {error}");
    }
    bytes.push(0);
    let error = ArithmeticShares::<u64>::from_bytes(&bytes, 5).unwrap_err();
    assert_eq!(error, ShareError::Malformed { reason: "bytes follow its end" });
}

#[test]
fn another_ring_is_named() {
    let error = ArithmeticShares::<u32>::from_bytes(&encoding(5), 1000).unwrap_err();
    assert_eq!(error, ShareError::Malformed { reason: "it is of another ring" });
}

#[test]
fn the_limit_is_exact() {
    for len in [1, 2, 100, 1000] {
        assert!(ArithmeticShares::<u64>::from_bytes(&encoding(len), len).is_ok());
        let error = ArithmeticShares::<u64>::from_bytes(&encoding(len), len - 1).unwrap_err();
        assert!(matches!(error, ShareError::TooLarge { .. }), "{error}");
    }
    let bits = BinaryShares::zeros(2, 65).to_bytes();
    assert!(BinaryShares::from_bytes(&bits, 4).is_ok());
    assert_eq!(BinaryShares::from_bytes(&bits, 3).unwrap_err(), ShareError::TooLarge { declared: 4, limit: 3 });
}

#[test]
fn shapes_and_lengths_that_lie_are_refused() {
    let arithmetic = |shape: &[u64], bytes: &[u8]| {
        let encoding = postcard::to_allocvec(&(64u32, shape, bytes)).unwrap();
        ArithmeticShares::<u64>::from_bytes(&encoding, 1000).map(|shares| shares.len())
    };
    assert_eq!(arithmetic(&[1], &[0; 8]), Ok(1));
    assert_eq!(arithmetic(&[1], &[0; 7]), Err(ShareError::Malformed { reason: "it ends within an element" }));
    assert_eq!(arithmetic(&[2], &[0; 8]), Err(ShareError::Length { shape: vec![2], elements: 1 }));
    assert!(matches!(arithmetic(&[u64::MAX, 2], &[]), Err(ShareError::Length { .. })));
    assert_eq!(arithmetic(&[1; 17], &[0; 8]), Err(ShareError::Malformed { reason: "it has too many dimensions" }));

    let binary = |width: u32, len: u64, bytes: &[u8]| {
        let encoding = postcard::to_allocvec(&(width, len, bytes)).unwrap();
        BinaryShares::from_bytes(&encoding, 1000).map(|shares| shares.len())
    };
    assert_eq!(binary(1, 64, &[0; 8]), Ok(64));
    assert_eq!(binary(1, 64, &[0; 9]), Err(ShareError::Malformed { reason: "it ends within a word" }));
    assert!(matches!(binary(1, 65, &[0; 8]), Err(ShareError::Length { .. })));
    assert_eq!(binary(0, u64::MAX, &[]), Err(ShareError::Malformed { reason: "its values have no bits" }));
}

#[test]
fn a_length_beyond_the_bytes_allocates_nothing() {
    // 2^62 elements are declared in a few bytes.
    let mut bytes = postcard::to_allocvec(&(64u32, [1u64].as_slice())).unwrap();
    bytes.extend(postcard::to_allocvec(&(1u64 << 62)).unwrap());
    let error = ArithmeticShares::<u64>::from_bytes(&bytes, usize::MAX).unwrap_err();
    assert!(matches!(error, ShareError::Malformed { .. }));
}
