use crate::common::{chi_square, generator};
use mpc_ring::Ring;
use mpc_shares::{BinaryShares, MAX_PARTIES, MIN_PARTIES, ShareError};
use proptest::prelude::*;

fn reconstructs<R: Ring>(secret: &[R], width: u32, parties: usize) {
    let shares = BinaryShares::split(secret, width, parties, &mut generator(3)).unwrap();
    let low = R::low_mask(width);
    let expected: Vec<R> = secret.iter().map(|&x| x & low).collect();
    assert_eq!(BinaryShares::reconstruct::<R>(&shares).unwrap(), expected);
    shares.iter().for_each(padding_is_zero);
}

fn padding_is_zero(shares: &BinaryShares) {
    let unused = if shares.len().is_multiple_of(64) { 0 } else { u64::MAX << (shares.len() % 64) };
    for bit in 0..shares.width() {
        assert_eq!(shares.plane(bit).last().copied().unwrap_or_default() & unused, 0);
    }
}

proptest! {
    #[test]
    fn what_is_split_reconstructs(
        secret in prop::collection::vec(any::<u128>(), 0..150), width in 1..=128u32, parties in MIN_PARTIES..=MAX_PARTIES,
    ) {
        reconstructs(&secret, width, parties);
        let words: Vec<u64> = secret.iter().map(|&x| x as u64).collect();
        reconstructs(&words, width.min(64), parties);
        let small: Vec<u32> = secret.iter().map(|&x| x as u32).collect();
        reconstructs(&small, width.min(32), parties);
    }

    #[test]
    fn local_operations_are_those_of_bits(
        pairs in prop::collection::vec(any::<(u64, u64)>(), 1..150), parties in MIN_PARTIES..=MAX_PARTIES,
    ) {
        let (x, y): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
        let split = |secret: &[u64], seed| BinaryShares::split(secret, 64, parties, &mut generator(seed)).unwrap();
        let mut sum = split(&x, 1);
        sum.iter_mut().zip(split(&y, 2)).for_each(|(x, y)| x.xor(&y).unwrap());
        let expected: Vec<_> = pairs.iter().map(|(x, y)| x ^ y).collect();
        prop_assert_eq!(BinaryShares::reconstruct::<u64>(&sum).unwrap(), expected);
        let mut negated = split(&x, 3);
        negated.iter_mut().enumerate().for_each(|(party, share)| share.negate(party));
        negated.iter().for_each(padding_is_zero);
        let expected: Vec<_> = x.iter().map(|x| !x).collect();
        prop_assert_eq!(BinaryShares::reconstruct::<u64>(&negated).unwrap(), expected);
    }

    #[test]
    fn planes_are_the_bits_between(
        secret in prop::collection::vec(any::<u64>(), 1..150), start in 0..64u32, count in 0..64u32,
    ) {
        let end = (start + count).min(64);
        let shares = BinaryShares::split(&secret, 64, 2, &mut generator(4)).unwrap();
        let cut: Vec<_> = shares.iter().map(|share| share.planes(start..end).unwrap()).collect();
        let expected: Vec<_> = secret.iter().map(|x| (x >> start) & u64::low_mask(end - start)).collect();
        prop_assert_eq!(BinaryShares::reconstruct::<u64>(&cut).unwrap(), expected);
    }

    #[test]
    fn padding_given_is_cleared(words in prop::collection::vec(any::<u64>(), 6..=6), len in 65..=127usize) {
        padding_is_zero(&BinaryShares::new(3, len, words).unwrap());
    }
}

#[test]
fn widths_beyond_the_ring_are_refused() {
    let refused = ShareError::Width { width: 33, limit: 32 };
    assert_eq!(BinaryShares::from_elements(&[1u32], 33).unwrap_err(), refused);
    assert_eq!(BinaryShares::zeros(33, 1).to_elements::<u32>().unwrap_err(), refused);
    assert_eq!(BinaryShares::split(&[1u32], 33, 2, &mut generator(0)).unwrap_err(), refused);
    let three = BinaryShares::zeros(3, 1);
    assert_eq!(three.planes(1..4).unwrap_err(), ShareError::Width { width: 4, limit: 3 });
    #[allow(clippy::reversed_empty_ranges)]
    let reversed = three.planes(2..1);
    assert!(reversed.is_err());
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let refused = ShareError::Length { shape: vec![2, 65], elements: 3 };
    assert_eq!(BinaryShares::new(2, 65, vec![0; 3]).unwrap_err(), refused);
    assert!(BinaryShares::new(u32::MAX, usize::MAX, vec![]).is_err());
    let mut x = BinaryShares::zeros(1, 64);
    let differ = ShareError::ShapesDiffer { left: vec![1, 64], right: vec![1, 63] };
    assert_eq!(x.xor(&BinaryShares::zeros(1, 63)), Err(differ));
    assert!(x.xor(&BinaryShares::zeros(2, 64)).is_err());
    assert_eq!(BinaryShares::reconstruct::<u64>(&[x]), Err(ShareError::Parties { parties: 1 }));
}

#[test]
fn equality_is_that_of_width_length_and_bits() {
    assert!(BinaryShares::zeros(2, 5) == BinaryShares::zeros(2, 5));
    assert!(BinaryShares::zeros(2, 5) != BinaryShares::zeros(2, 6));
    assert!(BinaryShares::zeros(1, 5) != BinaryShares::new(1, 5, vec![4]).unwrap());
    assert!(BinaryShares::zeros(0, 0).is_empty());
}

#[test]
fn debug_shows_no_bit() {
    let shares = BinaryShares::new(1, 3, vec![5]).unwrap();
    assert_eq!(format!("{shares:?}"), "BinaryShares { width: 1, len: 3, .. }");
}

#[test]
fn the_shares_of_a_fixed_secret_are_uniform() {
    let samples = 64_000;
    let shares = BinaryShares::split(&vec![0xa5u64; samples], 8, 3, &mut generator(6)).unwrap();
    for share in &shares {
        let mut counts = [0; 256];
        share.to_elements::<u64>().unwrap().iter().for_each(|&x| counts[x as usize] += 1);
        let statistic = chi_square(&counts);
        assert!((0.6..1.5).contains(&statistic), "{statistic}");
    }
}
