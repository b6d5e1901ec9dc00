use crate::common::{chi_square, generator};
use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, MAX_PARTIES, MIN_PARTIES, Seed, ShareError, check_parties};
use proptest::prelude::*;

fn split<R: Ring>(secret: &[R], parties: usize, seed: u8) -> Vec<ArithmeticShares<R>> {
    ArithmeticShares::split(&[secret.len()], secret, parties, &mut generator(seed)).unwrap()
}

fn reconstructs<R: Ring>(secret: &[R], seed: u8) {
    for parties in MIN_PARTIES..=MAX_PARTIES {
        let shares = split(secret, parties, seed);
        assert_eq!(shares.len(), parties);
        assert_eq!(ArithmeticShares::reconstruct(&shares).unwrap(), secret, "{parties} parties");
    }
}

/// Applies one party's operation to every party's shares of x and y, and reconstructs.
fn locally(
    x: &[u64],
    y: &[u64],
    parties: usize,
    operation: impl Fn(usize, ArithmeticShares<u64>, &ArithmeticShares<u64>) -> ArithmeticShares<u64>,
) -> Vec<u64> {
    let pairs = split(x, parties, 1).into_iter().zip(split(y, parties, 2)).enumerate();
    let shares: Vec<_> = pairs.map(|(party, (x, y))| operation(party, x, &y)).collect();
    ArithmeticShares::reconstruct(&shares).unwrap()
}

proptest! {
    #[test]
    fn what_is_split_reconstructs(
        small: Vec<u32>, words in prop::collection::vec(any::<u64>(), 0..100), wide: Vec<u128>, seed: u8,
    ) {
        reconstructs(&small, seed);
        reconstructs(&words, seed);
        reconstructs(&wide, seed);
    }

    #[test]
    fn what_is_split_by_seeds_reconstructs(secret: Vec<u64>, parties in MIN_PARTIES..=MAX_PARTIES) {
        let seeds = || (1..parties).map(|party| Seed::from_bytes([party as u8; 32]));
        let shape = [secret.len()];
        let mut shares = vec![ArithmeticShares::split_by_seeds(&shape, &secret, seeds().collect()).unwrap()];
        shares.extend(seeds().map(|seed| ArithmeticShares::from_seed(&shape, seed).unwrap()));
        prop_assert_eq!(ArithmeticShares::reconstruct(&shares).unwrap(), secret);
    }

    #[test]
    fn local_operations_are_those_of_the_ring(
        pairs in prop::collection::vec(any::<(u64, u64)>(), 1..50), factor: u64, parties in MIN_PARTIES..=MAX_PARTIES,
    ) {
        let (x, y): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
        let expect = |operation: fn(u64, u64) -> u64| pairs.iter().map(|&(x, y)| operation(x, y)).collect::<Vec<_>>();
        let sum = locally(&x, &y, parties, |_, mut x, y| { x.add(y).unwrap(); x });
        prop_assert_eq!(sum, expect(u64::wrapping_add));
        let difference = locally(&x, &y, parties, |_, mut x, y| { x.subtract(y).unwrap(); x });
        prop_assert_eq!(difference, expect(u64::wrapping_sub));
        let negated = locally(&x, &y, parties, |_, x, _| x.negate());
        prop_assert_eq!(negated, expect(|x, _| x.wrapping_neg()));
        let with_constants = locally(&x, &y, parties, |party, mut x, _| {
            x.add_public(party, &expect(|_, y| y)).unwrap();
            x
        });
        prop_assert_eq!(with_constants, expect(u64::wrapping_add));
        let scaled = locally(&x, &y, parties, |_, x, _| x.scale(factor));
        prop_assert_eq!(scaled, x.iter().map(|x| x.wrapping_mul(factor)).collect::<Vec<_>>());
    }

    #[test]
    fn equality_is_that_of_shape_and_elements(x: Vec<u32>, y: Vec<u32>) {
        let (left, right) = (ArithmeticShares::from_elements(x.clone()), ArithmeticShares::from_elements(y.clone()));
        prop_assert_eq!(left == right, x == y);
        prop_assert!(left == ArithmeticShares::from_elements(x));
    }
}

#[test]
fn elements_of_other_shapes_are_not_equal() {
    let flat = ArithmeticShares::from_elements(vec![1u64, 2]);
    assert!(flat != ArithmeticShares::new(&[2, 1], vec![1, 2]).unwrap());
}

#[test]
fn shapes_are_kept_and_checked() {
    let shares = ArithmeticShares::new(&[2, 3], vec![0u64; 6]).unwrap();
    assert_eq!((shares.shape(), shares.len(), shares.is_empty()), (&[2, 3][..], 6, false));
    let shares = shares.reshape(&[3, 1, 2]).unwrap();
    assert_eq!(shares.shape(), [3, 1, 2]);
    assert_eq!(shares.reshape(&[7]).unwrap_err(), ShareError::Length { shape: vec![7], elements: 6 });
    assert!(ArithmeticShares::<u64>::new(&[], vec![]).is_err());
    assert!(ArithmeticShares::new(&[], vec![1u64]).is_ok());
    assert!(ArithmeticShares::<u64>::new(&[0, usize::MAX], vec![]).unwrap().is_empty());
    assert!(ArithmeticShares::<u64>::new(&[usize::MAX, 2], vec![]).is_err());
    assert!(ArithmeticShares::<u64>::from_seed(&[usize::MAX, 2], Seed::from_bytes([0; 32])).is_err());
}

#[test]
fn operands_that_do_not_fit_are_refused_unchanged() {
    let mut x = ArithmeticShares::from_elements(vec![1u64, 2]);
    let y = ArithmeticShares::from_elements(vec![1u64]);
    let differ = ShareError::ShapesDiffer { left: vec![2], right: vec![1] };
    assert_eq!(x.add(&y), Err(differ.clone()));
    assert_eq!(x.subtract(&y), Err(differ.clone()));
    assert_eq!(x.add_public(0, &[1]), Err(ShareError::Length { shape: vec![2], elements: 1 }));
    assert_eq!(x.elements(), [1, 2]);
    assert_eq!(ArithmeticShares::reconstruct(&[x, y]), Err(differ));
}

#[test]
fn one_or_nine_parties_are_refused() {
    for parties in [0, 1, 9, usize::MAX] {
        let error = ShareError::Parties { parties };
        assert_eq!(check_parties(parties), Err(error.clone()));
        assert_eq!(ArithmeticShares::split(&[1], &[1u64], parties, &mut generator(0)).unwrap_err(), error);
    }
    assert_eq!(ArithmeticShares::<u64>::reconstruct(&[]), Err(ShareError::Parties { parties: 0 }));
}

#[test]
fn debug_shows_no_element() {
    let shares = ArithmeticShares::new(&[2], vec![0xdead_beef_u64, 77]).unwrap();
    assert_eq!(format!("{shares:?}"), "ArithmeticShares { shape: [2], .. }");
}

#[test]
fn errors_say_what_is_wrong() {
    let cases = [
        (ShareError::Parties { parties: 9 }, "9 parties are not supported: use 2 to 8"),
        (ShareError::Length { shape: vec![2, 3], elements: 5 }, "shape [2, 3] does not hold 5 elements"),
        (ShareError::ShapesDiffer { left: vec![1], right: vec![2] }, "shapes differ: [1] and [2]"),
        (ShareError::Width { width: 65, limit: 64 }, "a binary sharing of 65 bits does not fit: at most 64 bits here"),
        (ShareError::Malformed { reason: "why" }, "malformed encoding of shares: why"),
        (ShareError::TooLarge { declared: 3, limit: 2 }, "encoding declares 3 elements, at most 2 are accepted"),
        (ShareError::Randomness { reason: "none".into() }, "the operating system gave no randomness: none"),
    ];
    for (error, message) in cases {
        assert_eq!(error.to_string(), message);
    }
}

/// Every share of one fixed secret, and the sum of all but one, are uniform in each byte.
#[test]
fn the_shares_of_a_fixed_secret_are_uniform() {
    let (parties, samples) = (3, 100_000);
    let mut generator = generator(5);
    let shares = ArithmeticShares::split(&[samples], &vec![42u64; samples], parties, &mut generator).unwrap();
    let all_but_first = shares[1].elements().iter().zip(shares[2].elements()).map(|(&x, &y)| x.wrapping_add(y));
    let views = shares.iter().map(|share| share.elements().to_vec()).chain([all_but_first.collect()]);
    for (view, elements) in views.enumerate() {
        for byte in 0..8 {
            let mut counts = [0; 256];
            elements.iter().for_each(|x| counts[usize::from(x.to_le_bytes()[byte])] += 1);
            let statistic = chi_square(&counts);
            assert!((0.6..1.5).contains(&statistic), "view {view}, byte {byte}: {statistic}");
        }
    }
}
