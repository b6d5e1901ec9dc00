use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, BinaryShares, Seed, ShareError, ZeroSharing};

/// Every pair of parties has a seed of its own.
fn sharings(parties: usize) -> Vec<ZeroSharing> {
    let seed = |x: usize, y: usize| Seed::from_bytes([(x.min(y) * parties + x.max(y)) as u8; 32]);
    let seeds = |party: usize| (0..parties).filter(move |&peer| peer != party).map(move |peer| seed(party, peer));
    (0..parties).map(|party| ZeroSharing::new(party, seeds(party).collect()).unwrap()).collect()
}

fn arithmetic<R: Ring>(sharings: &mut [ZeroSharing]) -> Vec<ArithmeticShares<R>> {
    sharings.iter_mut().map(|sharing| sharing.arithmetic(&[3, 5]).unwrap()).collect()
}

fn sums_to_zero_and_is_fresh<R: Ring>(parties: usize) {
    let mut sharings = sharings(parties);
    let first = arithmetic::<R>(&mut sharings);
    let second = arithmetic::<R>(&mut sharings);
    for shares in [&first, &second] {
        assert_eq!(shares[0].shape(), [3, 5]);
        assert_eq!(ArithmeticShares::reconstruct(shares).unwrap(), vec![R::ZERO; 15]);
    }
    assert!(first.iter().zip(&second).all(|(x, y)| x != y), "the same sharing twice");
    assert!(first.iter().all(|share| share.elements().iter().any(|&x| x != R::ZERO)));
}

#[test]
fn arithmetic_sharings_sum_to_zero_and_differ_each_time() {
    for parties in 2..=8 {
        sums_to_zero_and_is_fresh::<u32>(parties);
        sums_to_zero_and_is_fresh::<u64>(parties);
        sums_to_zero_and_is_fresh::<u128>(parties);
    }
}

#[test]
fn binary_sharings_sum_to_zero_and_differ_each_time() {
    for parties in 2..=8 {
        let mut sharings = sharings(parties);
        let mut draw = || -> Vec<_> { sharings.iter_mut().map(|sharing| sharing.binary(7, 70).unwrap()).collect() };
        let (first, second) = (draw(), draw());
        assert_eq!(BinaryShares::reconstruct::<u64>(&first).unwrap(), [0; 70]);
        assert_eq!(BinaryShares::reconstruct::<u64>(&second).unwrap(), [0; 70]);
        assert!(first.iter().zip(&second).all(|(x, y)| x != y));
    }
}

#[test]
fn seeds_that_do_not_fit_are_refused() {
    let seeds = |count| (0..count).map(|i| Seed::from_bytes([i; 32])).collect::<Vec<_>>();
    assert_eq!(ZeroSharing::new(0, seeds(0)).unwrap_err(), ShareError::Parties { parties: 1 });
    assert_eq!(ZeroSharing::new(2, seeds(1)).unwrap_err(), ShareError::Parties { parties: 2 });
    assert_eq!(ZeroSharing::new(0, seeds(8)).unwrap_err(), ShareError::Parties { parties: 9 });
}

#[test]
fn a_shape_that_overflows_is_refused() {
    let shares = sharings(2)[0].arithmetic::<u64>(&[usize::MAX, 2]);
    assert!(matches!(shares, Err(ShareError::Length { .. })));
}
