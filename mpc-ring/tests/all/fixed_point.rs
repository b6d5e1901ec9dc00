//! Fixed-point encoding: round trips, rounding and the exact edges of every ring.

use mpc_ring::{FixedPoint, RangeErrorReason, Ring};
use proptest::prelude::*;

/// The largest `f64` below `value` > 0.
fn below(value: f64) -> f64 {
    f64::from_bits(value.to_bits() - 1)
}

fn check_edges<R: Ring>(fractional_bits: u32) {
    let format = FixedPoint::new(fractional_bits);
    let limit = 2f64.powi(R::BITS as i32 - 1 - fractional_bits as i32);
    let lowest = R::ONE << (R::BITS - 1);
    assert_eq!(format.encode::<R>(-limit), Ok(lowest));
    assert_eq!(format.decode(lowest), -limit);
    let error = format.encode::<R>(limit).unwrap_err();
    assert_eq!((error.index, error.reason), (0, RangeErrorReason::OutOfRange { limit }));
    assert!(format.encode::<R>(limit * -1.5).is_err());
    assert!(format.encode::<R>(f64::MAX).is_err() && format.encode::<R>(f64::MIN).is_err());
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(format.encode::<R>(value).unwrap_err().reason, RangeErrorReason::NotFinite);
    }
    assert_eq!(format.encode::<R>(-0.0), Ok(R::ZERO));
    assert_eq!(format.encode::<R>(f64::MIN_POSITIVE), Ok(R::ZERO));
}

fn check_round_trip<R: Ring>(integer: i64, fractional_bits: u32) {
    let format = FixedPoint::new(fractional_bits);
    let value = integer as f64 / 2f64.powi(fractional_bits as i32);
    let element: R = format.encode(value).unwrap();
    assert_eq!(element.to_i128(), i128::from(integer));
    assert_eq!(format.decode(element), value);
}

#[test]
fn the_edges_are_exact_in_every_ring() {
    for fractional_bits in [0, 1, 16, 31] {
        check_edges::<u32>(fractional_bits);
        check_edges::<u64>(fractional_bits);
        check_edges::<u128>(fractional_bits);
    }
    check_edges::<u64>(63);
    check_edges::<u128>(127);
}

#[test]
fn the_largest_representable_numbers() {
    assert_eq!(FixedPoint::new(64).encode::<u128>(below(2f64.powi(63))), Ok(((1u128 << 53) - 1) << 74));
    assert_eq!(FixedPoint::new(0).encode::<u64>(below(2f64.powi(63))), Ok(((1u64 << 53) - 1) << 10));
    assert_eq!(FixedPoint::new(0).encode::<u32>(2147483647.4), Ok(i32::MAX as u32));
    // Rounded, it reaches the limit.
    assert!(FixedPoint::new(0).encode::<u32>(2147483647.5).is_err());
    assert_eq!(FixedPoint::new(0).encode::<u32>(-2147483648.4), Ok(i32::MIN as u32));
    assert!(FixedPoint::new(0).encode::<u32>(-2147483648.5).is_err());
}

#[test]
fn halves_are_rounded_away_from_zero() {
    let format = FixedPoint::new(4);
    for (value, expected) in [
        (0.5, 1),
        (1.5, 2),
        (2.5, 3),
        (-0.5, -1),
        (-2.5, -3),
        (below(0.5), 0),
        (0.75, 1),
        (-0.25, 0),
        (1e6 + 0.5, 1_000_001),
    ] {
        assert_eq!(format.encode::<u64>(value / 16.0).unwrap() as i64, expected, "{value}");
    }
}

#[test]
fn slices_name_the_position_but_not_the_number() {
    let format = FixedPoint::new(16);
    let mut elements = [7u32; 4];
    let error = format.encode_slice(&[1.0, -1.0, 123_456.0, 0.0], &mut elements).unwrap_err();
    assert_eq!((error.index, error.reason), (2, RangeErrorReason::OutOfRange { limit: 32_768.0 }));
    assert_eq!(elements, [65_536, 65_536u32.wrapping_neg(), 7, 7]);
    assert!(!format!("{error} {error:?}").contains("123"));
    let error = format.encode_f32_slice(&[0.5, f32::NAN], &mut elements[..2]).unwrap_err();
    assert_eq!((error.index, error.reason), (1, RangeErrorReason::NotFinite));
}

#[test]
#[should_panic(expected = "at most 127")]
fn too_many_fractional_bits() {
    let _ = FixedPoint::new(128);
}

proptest! {
    #[test]
    fn integers_survive_a_round_trip(integer in -(1i64 << 53)..1 << 53, fractional_bits in 0u32..128) {
        check_round_trip::<u32>(integer >> 23, fractional_bits);
        check_round_trip::<u64>(integer, fractional_bits);
        check_round_trip::<u128>(integer, fractional_bits);
    }

    #[test]
    fn numbers_come_back_within_half_an_ulp(values in prop::collection::vec(-1e4..1e4, 0..50), f in 0u32..17) {
        let format = FixedPoint::new(f);
        let (mut elements, mut decoded) = (vec![0u32; values.len()], vec![0.0; values.len()]);
        format.encode_slice(&values, &mut elements).unwrap();
        format.decode_slice(&elements, &mut decoded);
        for (value, decoded) in values.iter().zip(decoded) {
            prop_assert!((value - decoded).abs() <= 0.5f64.powi(f as i32 + 1));
        }
    }

    #[test]
    fn single_precision_is_exact(value in -1e4f32..1e4) {
        let format = FixedPoint::new(40);
        let mut element = [0u128];
        format.encode_f32_slice(&[value], &mut element).unwrap();
        prop_assert_eq!(Ok(element[0]), format.encode(f64::from(value)));
    }
}
