use crate::common::{elements, parties, run, run_shared, signed, split};
use mpc_protocols::relu::{self, ReluMask, relu};
use mpc_protocols::sign::{self, SignParameters, SignShape, Variant, is_non_negative};
use mpc_protocols::truncation::{LiftShape, truncate};
use mpc_protocols::{Request, comparison};
use mpc_ring::Ring;
use mpc_shares::ArithmeticShares;
use proptest::collection::vec;
use proptest::prelude::*;

fn shape(len: usize, bits: u32) -> SignShape {
    SignShape { len, parameters: SignParameters::new(bits).unwrap() }
}

/// The same in both variants.
fn variants(len: usize, bits: u32) -> [SignShape; 2] {
    let with = |variant| SignShape { len, parameters: SignParameters::new(bits).unwrap().with_variant(variant) };
    [Variant::FewRounds, Variant::FewBytes].map(with)
}

fn relu_request(shape: SignShape) -> Request {
    Request::Relu { len: shape.len, parameters: shape.parameters }
}

fn finds_the_sign<R: Ring>(values: &[i64], bits: u32, parties: usize) {
    let x = split(&elements::<R>(values), parties);
    for shape in variants(values.len(), bits) {
        let plan = [Request::Sign { len: shape.len, parameters: shape.parameters }];
        let bit = run_shared::<R>(parties, &plan, sign::traffic(shape, parties), async |party, source| {
            is_non_negative(party, &x[party.index()], source.next(shape).await?).await
        });
        let expected: Vec<_> = values.iter().map(|&x| i128::from(x >= 0)).collect();
        assert_eq!(signed(&bit), expected, "{shape:?}, {parties} parties, {values:?}");
    }
}

fn relu_of<R: Ring>(values: &[i64], shape: SignShape, shift: u32, parties: usize) -> Vec<i128> {
    let x = split(&elements::<R>(values), parties);
    let y = run_shared::<R>(parties, &[relu_request(shape)], relu::traffic(shape, parties), async |party, source| {
        relu(party, &x[party.index()], shift, source.next(shape).await?).await
    });
    signed(&y)
}

fn rectifies<R: Ring>(values: &[i64], bits: u32, shift: u32, parties: usize) {
    for shape in variants(values.len(), bits) {
        for (&x, y) in values.iter().zip(relu_of::<R>(values, shape, shift, parties)) {
            let error = (y << shift) - i128::from(x).max(0);
            let limit = if shift == 0 { 0 } else { (parties as i128) << shift };
            assert!(2 * error.abs() <= limit, "relu({x} >> {shift}) gave {y}, {shape:?}, {parties} parties");
        }
    }
}

/// The largest |x| such that |x / 2^f| < 2^{k−2} − n, or |x| < 2^{k−2} where nothing is cut off.
fn bound(bits: u32, shift: u32, parties: usize) -> i64 {
    let margin = if shift == 0 { 0 } else { parties as i64 };
    ((((1i64 << (bits - 2)) - margin) << shift) - 1).max(0)
}

/// Values all over the allowed range, and near its ends and zero.
fn inside(bound: i64, seeds: &[i64]) -> Vec<i64> {
    let spread = seeds.iter().map(|x| x.checked_rem(bound + 1).unwrap_or(0));
    let edges = (0..3).flat_map(|d| [d, -d, bound - d, d - bound]).map(|x| x.clamp(-bound, bound));
    spread.chain(edges).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_sign_is_that_of_the_integer(bits in 3..=42u32, parties in parties(), seeds in vec(any::<i64>(), 0..100)) {
        let values = inside(bound(bits, 0, parties), &seeds);
        finds_the_sign::<u64>(&values, bits, parties);
        finds_the_sign::<u128>(&values, bits, parties);
        let narrow = bits.min(32);
        finds_the_sign::<u32>(&inside(bound(narrow, 0, parties), &seeds), narrow, parties);
    }

    #[test]
    fn the_relu_is_within_half_a_unit_per_party(
        bits in 6..=42u32, shift in 0..=22u32, parties in parties(), seeds in vec(any::<i64>(), 0..100),
    ) {
        rectifies::<u64>(&inside(bound(bits, shift, parties), &seeds), bits, shift, parties);
        rectifies::<u128>(&inside(bound(bits.min(40), shift, parties), &seeds), bits.min(40), shift, parties);
        let (bits, shift) = (bits.min(20), shift.min(12));
        rectifies::<u32>(&inside(bound(bits, shift, parties), &seeds), bits, shift, parties);
    }
}

/// Every width, and so every number of leaves, with every value for the small ones.
#[test]
fn every_width_works() {
    for bits in SignParameters::MIN_BITS..=SignParameters::MAX_BITS {
        let bound = bound(bits, 0, 2);
        let values: Vec<_> = if bits <= 9 {
            (-bound - 1..=bound).collect()
        } else {
            (0..bits - 2).flat_map(|bit| [1 << bit, -(1 << bit), (1 << bit) - 1, -(1 << bit) - 1]).collect()
        };
        let parameters = SignParameters::new(bits).unwrap();
        assert_eq!((parameters.leaves(), parameters.rounds()), ((bits as usize - 2).div_ceil(5), 3));
        let few_bytes = parameters.with_variant(Variant::FewBytes);
        assert_eq!((few_bytes.leaves(), few_bytes.bits()), ((bits as usize - 2).div_ceil(3), bits));
        assert_eq!(few_bytes.rounds(), if bits <= 14 { 3 } else { 4 });
        finds_the_sign::<u64>(&values, bits, 2);
        finds_the_sign::<u64>(&values, bits, 3);
        rectifies::<u64>(&values, bits, 0, 2);
    }
    assert_eq!(SignParameters::new(7).unwrap().leaves(), 1);
}

#[test]
fn no_relu_of_200_000_fails() {
    for parties in [2, 3, 4] {
        let bound = bound(32, 16, parties);
        let spread = |i: i64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64)) % (bound + 1);
        let values: Vec<_> = (0..50_000).flat_map(|i| [bound - i, i - bound, spread(i), i - 25_000]).collect();
        rectifies::<u64>(&values, 32, 16, parties);
    }
}

/// The same shares through the classic ReLU and a truncation.
#[test]
fn the_truncating_relu_agrees_with_the_classic_one() {
    for parties in 2..=4 {
        let (len, shift) = (500, 16);
        let values: Vec<_> = (0..len as i64).map(|i| (i - 250) * 4_000_003).collect();
        let planes = comparison::msb_planes::<u64>(len, parties);
        let mut plan: Vec<_> = planes.iter().map(|p| Request::BitTriples { width: p.width, len: p.len }).collect();
        let map = mpc_protocols::Bilinear::Elementwise { len };
        let lift = LiftShape { len, bits: 32 };
        plan.extend([Request::DaBits { len }, Request::Beaver(map), Request::Lift { len, bits: 32 }]);
        let traffic =
            comparison::classic_relu_traffic::<u64>(len, parties) + mpc_protocols::truncation::traffic(lift, parties);
        let x = split(&elements::<u64>(&values), parties);
        let classic = run::<u64, _>(parties, &plan, traffic, async |party, source| {
            let mut triples = Vec::new();
            for &planes in &planes {
                triples.push(source.next(planes).await?);
            }
            let (dabits, triple) = (source.next(len).await?, source.next(map).await?);
            let y = comparison::classic_relu(party, &x[party.index()], triples, dabits, triple).await?;
            truncate(party, &y, shift, source.next(lift).await?).await
        });
        let classic = signed(&ArithmeticShares::reconstruct(&classic).unwrap());
        for shape in variants(len, 32) {
            for (fast, classic) in relu_of::<u64>(&values, shape, shift, parties).into_iter().zip(&classic) {
                assert!((fast - classic).abs() <= parties as i128, "{fast} and {classic}");
            }
        }
    }
}

#[test]
fn shapes_are_kept() {
    let shape = shape(6, 32);
    let shapes = run::<u64, _>(2, &[relu_request(shape)], relu::traffic(shape, 2), async |party, source| {
        let x = ArithmeticShares::new(&[2, 3], vec![1u64; 6])?;
        let mask: ReluMask<u64> = source.next(shape).await?;
        Ok(relu(party, &x, 0, mask).await?.shape().to_vec())
    });
    assert_eq!(shapes, [[2, 3], [2, 3]]);
}

#[test]
fn an_empty_tensor_takes_one_round() {
    for shape in variants(0, 32) {
        assert_eq!(relu::traffic(shape, 3).rounds, 1);
        assert_eq!(relu_of::<u64>(&[], shape, 16, 3), []);
    }
}

/// A number of parameters is k, or with few bytes 256 more; no other one is any.
#[test]
fn parameters_are_the_same_again_from_their_number() {
    for bits in SignParameters::MIN_BITS..=SignParameters::MAX_BITS {
        for SignShape { parameters, .. } in variants(1, bits) {
            assert_eq!(SignParameters::try_from(u32::from(parameters)).unwrap(), parameters);
        }
    }
    assert_eq!(variants(1, 32).map(|shape| u32::from(shape.parameters)), [32, 288]);
    for number in [0, 2, 48, 255, 256, 258, 304, 512, 512 + 32, u32::MAX] {
        assert!(SignParameters::try_from(number).is_err(), "{number}");
    }
}
