use crate::common::{elements, parties, run_shared, signed, split};
use mpc_protocols::Request;
use mpc_protocols::truncation::{self, LiftShape, truncate};
use mpc_ring::Ring;
use proptest::collection::vec;
use proptest::prelude::*;

/// Truncates, and checks the error against both the exact and the rounded quotient.
fn truncates<R: Ring>(values: &[i64], bits: u32, shift: u32, parties: usize) {
    let (x, shape) = (split(&elements::<R>(values), parties), LiftShape { len: values.len(), bits });
    let plan = [Request::Lift { len: shape.len, bits }];
    let y = run_shared::<R>(parties, &plan, truncation::traffic(shape, parties), async |party, source| {
        truncate(party, &x[party.index()], shift, source.next(shape).await?).await
    });
    for (&x, y) in values.iter().zip(signed(&y)) {
        check(x.into(), y, shift, parties);
    }
}

fn check(x: i128, y: i128, shift: u32, parties: usize) {
    if shift == 0 {
        return assert_eq!(y, x);
    }
    // |y − x / 2^f| ≤ n/2, without fractions.
    let error = (y << shift) - x;
    assert!(2 * error.abs() <= (parties as i128) << shift, "{x} >> {shift} gave {y} among {parties}");
    let rounded = (x + (1 << (shift - 1))) >> shift;
    assert!((y - rounded).abs() < parties as i128, "{x} >> {shift}, rounded {rounded}, gave {y} among {parties}");
}

/// The largest |x| that is allowed: |x / 2^f| < 2^{k−2} − n.
fn bound(bits: u32, shift: u32, parties: usize) -> i64 {
    let quotients = (1i128 << (bits - 2)) - parties as i128;
    i64::try_from(((quotients << shift) - 1).max(0)).unwrap_or(i64::MAX)
}

/// k and f such that they fit a ring of `ring` bits.
fn sizes(ring: u32) -> impl Strategy<Value = (u32, u32)> {
    (0..ring - 8).prop_flat_map(move |shift| {
        let bits = prop_oneof![6..=ring - shift, Just(ring - shift), Just((ring - shift).min(32))];
        (bits, Just(shift))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_error_is_bounded(
        (bits, shift) in sizes(64), parties in parties(), seeds in vec(any::<i64>(), 1..30), near in vec(0..100i64, 1..30),
    ) {
        let bound = bound(bits, shift, parties);
        let inside = seeds.iter().map(|x| x % bound.max(1));
        let near_the_bound = near.iter().flat_map(|&d| [(bound - d).max(0), -(bound - d).max(0), d.min(bound)]);
        let values: Vec<_> = inside.chain(near_the_bound).collect();
        truncates::<u64>(&values, bits, shift, parties);
    }

    #[test]
    fn the_error_is_bounded_in_other_rings(
        (bits, shift) in sizes(32), wide_bits in 60..=100u32, parties in parties(), seeds in vec(any::<i64>(), 1..30),
    ) {
        let narrow = bound(bits, shift, parties);
        truncates::<u32>(&seeds.iter().map(|x| x % narrow.max(1)).collect::<Vec<_>>(), bits, shift, parties);
        truncates::<u128>(&seeds.iter().map(|x| x >> 8).collect::<Vec<_>>(), wide_bits, 128 - wide_bits, parties);
    }
}

#[test]
fn the_full_ring_is_kept_where_nothing_is_cut_off() {
    for parties in [2, 3, 8] {
        let bound = 1 << 62;
        truncates::<u64>(&[0, 1, -1, bound - 1, -bound], 64, 0, parties);
        truncates::<u128>(&[0, 1, -1, i64::MAX, i64::MIN], 128, 0, parties);
        truncates::<u32>(&[0, 1, -1, (1 << 30) - 1, -(1 << 30)], 32, 0, parties);
    }
}

/// 200,000 values near the bounds and all over the range, for each number of parties: local truncation would fail now
/// and then by a huge error.
#[test]
fn no_value_of_200_000_fails() {
    for parties in [2, 3, 4] {
        let (bits, shift) = (32, 16);
        let bound = bound(bits, shift, parties);
        let spread = |i: i64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64)) % (bound + 1);
        let values: Vec<_> = (0..50_000).flat_map(|i| [bound - i, i - bound, spread(i), spread(-i) / 65_536]).collect();
        truncates::<u64>(&values, bits, shift, parties);
    }
}

#[test]
fn the_rounding_is_centred() {
    let (len, parties) = (10_000, 3);
    let values = vec![12_345_678; len];
    let (x, shape) = (split(&elements::<u64>(&values), parties), LiftShape { len, bits: 32 });
    let traffic = truncation::traffic(shape, parties);
    let y = run_shared::<u64>(parties, &[Request::Lift { len, bits: 32 }], traffic, async |party, source| {
        truncate(party, &x[party.index()], 16, source.next(shape).await?).await
    });
    let mean = y.iter().sum::<u64>() as f64 / len as f64 - 12_345_678.0 / 65_536.0;
    assert!(mean.abs() < 0.05, "the mean error is {mean} units");
}
