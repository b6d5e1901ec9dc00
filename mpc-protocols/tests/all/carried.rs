//! Truncations that open one bit of each element, between two parties, or none at all.

use crate::common::{elements, parties, run_shared, split};
use mpc_protocols::conversion::DaBits;
use mpc_protocols::truncation::{carry_traffic, carry_width, reduce, truncate_between_two};
use mpc_protocols::{Correlation, ProtocolError};
use mpc_ring::Ring;
use mpc_transport::Traffic;
use proptest::collection::vec;
use proptest::prelude::*;

/// Of shares of x modulo 2^`width`: as signed numbers, with garbage above in every share.
fn low<R: Ring>(y: &[R], width: u32) -> Vec<i128> {
    let above = R::BITS - width;
    y.iter().map(|&y| (y << above).shift_right_signed(above).to_i128()).collect()
}

fn is_near(x: i128, y: i128, shift: u32, parties: usize) {
    let error = (y << shift) - x;
    assert!(2 * error.abs() <= (parties as i128) << shift, "{x} >> {shift} gave {y} among {parties}");
}

/// Truncates to k bits, for results that are read in `read` bits, k or more.
fn carries<R: Ring>(values: &[i64], bits: u32, shift: u32, read: u32) {
    let x = split(&elements::<R>(values), 2);
    let plan = [DaBits::<R>::request(&values.len()).modulo::<R>(carry_width(bits, read))];
    let y = run_shared::<R>(2, &plan, carry_traffic(values.len()), async |party, source| {
        let correlation = source.next_modulo(carry_width(bits, read), values.len()).await?;
        truncate_between_two(party, &x[party.index()], shift, bits, correlation).await
    });
    for (&x, y) in values.iter().zip(low(&y, read)) {
        if shift == 0 { assert_eq!(y, x.into()) } else { is_near(x.into(), y, shift, 2) }
    }
}

/// Reduces values below 2^{w−1} by `shift` bits, for results that are read in w − `shift` bits.
fn reduces<R: Ring>(values: &[i64], shift: u32, width: u32, parties: usize) {
    let mut x = split(&elements::<R>(values), parties);
    // Above w bits shares mean nothing.
    for share in x.iter_mut().flat_map(|x| x.elements_mut()) {
        *share = *share ^ (R::from_u64(0x9E37_79B9_7F4A_7C15) << (width - 1) << 1);
    }
    let y = run_shared::<R>(parties, &[], Traffic::default(), async |party, _| {
        let own = x[party.index()].elements().to_vec();
        Ok::<_, ProtocolError>(reduce(party, mpc_shares::ArithmeticShares::from_elements(own), shift))
    });
    for (&x, y) in values.iter().zip(low(&y, width - shift)) {
        is_near(x.into(), y, shift, parties);
    }
}

/// The largest |x| that is allowed: |x / 2^f| < 2^{k−2} − 2.
fn bound(bits: u32, shift: u32) -> i64 {
    i64::try_from(((((1i128 << (bits - 2)) - 2) << shift) - 1).max(0)).unwrap_or(i64::MAX)
}

fn sizes(ring: u32) -> impl Strategy<Value = (u32, u32, u32)> {
    (0..ring - 8).prop_flat_map(move |shift| {
        let bits = prop_oneof![6..=ring - shift, Just(ring - shift), Just((ring - shift).min(32))];
        bits.prop_flat_map(move |bits| (Just(bits), Just(shift), prop_oneof![bits..=ring, Just(ring)]))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn one_bit_lifts_a_truncated_value(
        (bits, shift, read) in sizes(64), seeds in vec(any::<i64>(), 1..80), near in vec(0..100i64, 1..30),
    ) {
        let bound = bound(bits, shift);
        let inside = seeds.iter().map(|x| x % bound.max(1));
        let near_the_bound = near.iter().flat_map(|&d| [(bound - d).max(0), -(bound - d).max(0), d.min(bound)]);
        carries::<u64>(&inside.chain(near_the_bound).collect::<Vec<_>>(), bits, shift, read);
    }

    #[test]
    fn one_bit_lifts_a_truncated_value_in_other_rings(
        (bits, shift, read) in sizes(32), wide in 60..=100u32, seeds in vec(any::<i64>(), 1..30),
    ) {
        let narrow = bound(bits, shift);
        carries::<u32>(&seeds.iter().map(|x| x % narrow.max(1)).collect::<Vec<_>>(), bits, shift, read);
        carries::<u128>(&seeds.iter().map(|x| x >> 8).collect::<Vec<_>>(), wide, 128 - wide, 128);
    }

    #[test]
    fn what_is_read_narrow_needs_no_message(
        parties in parties(), width in 10..=64u32, part in 1..9u32, seeds in vec(any::<i64>(), 1..40),
    ) {
        let shift = width * part / 10;
        let room = 1i64 << (width - shift - 2).min(60);
        prop_assume!(shift > 0 && room > parties as i64);
        let of = |room: i64| seeds.iter().map(move |x| x % (((room - parties as i64) << shift) - 1).max(1));
        reduces::<u64>(&of(room).collect::<Vec<_>>(), shift, width, parties);
        reduces::<u128>(&of(room).collect::<Vec<_>>(), shift, width, parties);
    }
}

/// As for masks: 200,000 values near the bounds and all over the range.
#[test]
fn no_value_of_200_000_fails() {
    let (bits, shift) = (32, 16);
    let bound = bound(bits, shift);
    let spread = |i: i64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64)) % (bound + 1);
    let values: Vec<_> = (0..50_000).flat_map(|i| [bound - i, i - bound, spread(i), spread(-i) / 65_536]).collect();
    for read in [32, 33, 48, 64] {
        carries::<u64>(&values, bits, shift, read);
    }
}

#[test]
fn three_parties_have_no_carry_of_one_bit() {
    let x = split(&elements::<u64>(&[1, 2]), 3);
    let plan = [DaBits::<u64>::request(&2)];
    let result = mpc_protocols::in_process::run_planned::<u64, _>(3, &plan, async |party, source| {
        truncate_between_two(party, &x[party.index()], 1, 32, source.next(2).await?).await
    });
    assert!(matches!(result, Err(ProtocolError::Parameter { parameter: "parties", .. })), "{result:?}");
}
