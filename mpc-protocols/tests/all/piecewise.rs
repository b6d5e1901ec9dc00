use crate::common::{elements, parties, run, run_shared, signed, split};
use mpc_protocols::piecewise::{self, PiecewiseLinear, PiecewiseShape, Step, compare};
use mpc_protocols::sign::{SignParameters, SignShape, Variant};
use mpc_protocols::{ProtocolError, Request};
use mpc_ring::Ring;
use mpc_transport::Traffic;
use proptest::collection::vec;
use proptest::prelude::*;

fn shape(len: usize, bits: u32, thresholds: usize) -> PiecewiseShape {
    PiecewiseShape { sign: SignShape { len, parameters: SignParameters::new(bits).unwrap() }, thresholds }
}

fn few_bytes(shape: PiecewiseShape) -> PiecewiseShape {
    let SignShape { len, parameters } = shape.sign;
    PiecewiseShape { sign: SignShape { len, parameters: parameters.with_variant(Variant::FewBytes) }, ..shape }
}

fn request(shape: PiecewiseShape) -> Request {
    Request::Piecewise { len: shape.sign.len, thresholds: shape.thresholds, parameters: shape.sign.parameters }
}

/// A function in plain arithmetic.
#[derive(Clone, Debug)]
struct Plain {
    constant: i64,
    slope: i64,
    steps: Vec<(i64, i64)>,
}

impl Plain {
    fn at<R: Ring>(&self, y: i128, thresholds: &[i64]) -> R {
        let ring = |x: i64| R::from_i128(x.into());
        let y_ring = R::from_i128(y);
        let base = ring(self.constant).wrapping_add(ring(self.slope).wrapping_mul(y_ring));
        let reached = self.steps.iter().zip(thresholds).filter(|&(_, &t)| y >= i128::from(t));
        reached.fold(base, |sum, (&(offset, slope), _)| {
            sum.wrapping_add(ring(offset)).wrapping_add(ring(slope).wrapping_mul(y_ring))
        })
    }

    fn in_ring<R: Ring>(&self) -> PiecewiseLinear<R> {
        let ring = |x: i64| R::from_i128(x.into());
        let steps =
            self.steps.iter().map(|&(offset, slope)| Step { offset: ring(offset), slope: ring(slope) }).collect();
        PiecewiseLinear { constant: ring(self.constant), slope: ring(self.slope), steps }
    }
}

/// y itself, and several functions of it; all of the y that the protocol found.
fn agrees<R: Ring>(values: &[i64], bits: u32, shift: u32, thresholds: &[i64], functions: &[Plain], parties: usize) {
    let shape = shape(values.len(), bits, thresholds.len());
    agrees_in::<R>(values, shape, shift, thresholds, functions, parties);
    agrees_in::<R>(values, few_bytes(shape), shift, thresholds, functions, parties);
}

fn agrees_in<R: Ring>(
    values: &[i64],
    shape: PiecewiseShape,
    shift: u32,
    thresholds: &[i64],
    functions: &[Plain],
    parties: usize,
) {
    let x = split(&elements::<R>(values), parties);
    let identity = Plain { constant: 0, slope: 1, steps: vec![] };
    let traffic = piecewise::traffic(shape, parties);
    let mut outputs = run::<R, _>(parties, &[request(shape)], traffic, async |party, source| {
        let pieces = compare(party, &x[party.index()], shift, &elements(thresholds), source.next(shape).await?).await?;
        [&identity].into_iter().chain(functions).map(|f| pieces.linear(&f.in_ring())).collect::<Result<Vec<_>, _>>()
    });
    let mut results = (0..=functions.len()).map(|_| {
        let shares: Vec<_> = outputs.iter_mut().map(|of_party| of_party.remove(0)).collect();
        mpc_shares::ArithmeticShares::reconstruct(&shares).unwrap()
    });
    let y = signed(&results.next().unwrap());
    for (&x, &y) in values.iter().zip(&y) {
        let error = (y << shift) - i128::from(x);
        let limit = if shift == 0 { 0 } else { (parties as i128) << shift };
        assert!(2 * error.abs() <= limit, "{x} >> {shift} gave {y}, {shape:?}, {parties} parties");
    }
    for (function, result) in functions.iter().zip(results) {
        let expected: Vec<R> = y.iter().map(|&y| function.at(y, thresholds)).collect();
        assert_eq!(result, expected, "{function:?} of {y:?} at {thresholds:?}");
    }
}

fn plain(thresholds: usize) -> impl Strategy<Value = Plain> {
    let coefficient = || prop_oneof![-1000..1000i64, Just(0), any::<i64>()];
    let steps = vec((coefficient(), coefficient()), 0..=thresholds);
    (coefficient(), coefficient(), steps).prop_map(|(constant, slope, steps)| Plain { constant, slope, steps })
}

/// Values and thresholds that keep |y − t| < 2^{k−2} − n, values next to thresholds among them.
fn inside(bits: u32, shift: u32, parties: usize, values: &[i64], thresholds: &[i64]) -> (Vec<i64>, Vec<i64>) {
    let margin = if shift == 0 { 1 } else { parties as i64 + 1 };
    let half = (((1i64 << (bits - 2)) - margin) / 2).max(0);
    let thresholds: Vec<_> = thresholds.iter().map(|t| t % (half + 1)).collect();
    let near = thresholds.iter().flat_map(|&t| [t - 1, t, t + 1]).map(|y| y.clamp(-half, half) << shift);
    let spread = values.iter().map(|x| x % ((half << shift) + 1));
    let edges = [0, -1, 1, half, -half].map(|y| y.clamp(-half, half) << shift);
    (near.chain(spread).chain(edges).collect(), thresholds)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn functions_are_those_of_plain_arithmetic(
        bits in 7..=42u32, shift in 0..=20u32, parties in parties(), values in vec(any::<i64>(), 0..70),
        (thresholds, functions) in (0..6usize).prop_flat_map(|s| (vec(any::<i64>(), s), vec(plain(s), 1..4))),
    ) {
        let (values_64, t) = inside(bits, shift, parties, &values, &thresholds);
        agrees::<u64>(&values_64, bits, shift, &t, &functions, parties);
        agrees::<u128>(&values_64, bits, shift, &t, &functions, parties);
        let (bits, shift) = (bits.min(20), shift.min(12));
        let (values_32, t) = inside(bits, shift, parties, &values, &thresholds);
        agrees::<u32>(&values_32, bits, shift, &t, &functions, parties);
    }
}

#[test]
fn all_numbers_of_parties_and_the_full_ring() {
    let clip = Plain { constant: -50, slope: 0, steps: vec![(50, 1), (100, -1)] };
    let values: Vec<_> = (-200..200).collect();
    for parties in 2..=8 {
        agrees::<u64>(&values, 32, 0, &[-50, 100], std::slice::from_ref(&clip), parties);
        agrees::<u32>(&values, 32, 0, &[-50, 100], std::slice::from_ref(&clip), parties);
    }
    // Every value and every threshold of a small comparison.
    for threshold in -8..8 {
        let bit = Plain { constant: 0, slope: 0, steps: vec![(1, 0)] };
        let values: Vec<_> = (threshold - 31..=threshold + 31).filter(|y| (-31..=31).contains(y)).collect();
        agrees::<u64>(&values, 7, 0, &[threshold], &[bit], 3);
    }
}

#[test]
fn another_number_of_thresholds_is_refused() {
    let shape = shape(1, 32, 2);
    let x = split(&[1u64], 2);
    for given in [1, 3] {
        let result = mpc_protocols::in_process::run_planned::<u64, _>(2, &[request(shape)], async |party, source| {
            let thresholds = vec![0; given];
            compare(party, &x[party.index()], 0, &thresholds, source.next(shape).await?).await.map(drop)
        });
        assert!(matches!(result, Err(ProtocolError::OperandLength { expected: 2, .. })), "{result:?}");
    }
    let steps = vec![Step { offset: 1, slope: 0 }; 3];
    let outputs = run::<u64, _>(2, &[request(shape)], piecewise::traffic(shape, 2), async |party, source| {
        let pieces = compare(party, &x[party.index()], 0, &[0, 1], source.next(shape).await?).await?;
        Ok(pieces.linear(&PiecewiseLinear { constant: 0, slope: 0, steps: steps.clone() }).is_err())
    });
    assert_eq!(outputs, [true, true]);
}

#[test]
fn an_empty_tensor_and_no_thresholds() {
    agrees::<u64>(&[], 32, 16, &[0, 5], &[], 2);
    agrees::<u64>(&[5, -5], 32, 0, &[], &[Plain { constant: 3, slope: 2, steps: vec![] }], 3);
}

#[test]
fn bytes_and_rounds() {
    let len = 800;
    for thresholds in [1, 2, 3, 30] {
        let shape = shape(len, 32, thresholds);
        let sent = piecewise::traffic(shape, 3);
        // 32 + 12·s bits an element to each of two others.
        assert_eq!((sent.payload_sent, sent.rounds), (2 * 100 * (32 + 12 * thresholds as u64), 3));
        // 36 1/8 bytes, and 30 3/8 for each threshold; words of 64 elements.
        let dealt = request(PiecewiseShape { sign: SignShape { len: 640, ..shape.sign }, ..shape }).traffic::<u64>();
        assert_eq!(dealt.payload_received as f64 / 640.0, 36.125 + 30.375 * thresholds as f64);
    }
    // One round more, 32 + 25·s bits; 17 bytes, and 24.5 for each threshold.
    for thresholds in [1, 2, 3, 30] {
        let shape = few_bytes(shape(len, 32, thresholds));
        let sent = piecewise::traffic(shape, 3);
        assert_eq!((sent.payload_sent, sent.rounds), (2 * 100 * (32 + 25 * thresholds as u64), 4));
        let dealt = request(PiecewiseShape { sign: SignShape { len: 640, ..shape.sign }, ..shape }).traffic::<u64>();
        assert_eq!(dealt.payload_received as f64 / 640.0, 17.0 + 24.5 * thresholds as f64);
    }
    assert_eq!(piecewise::traffic(shape(0, 32, 2), 2), Traffic { rounds: 1, ..piecewise::traffic(shape(0, 32, 2), 2) });
}

/// The shape of x is that of the result.
#[test]
fn the_result_has_the_shape_of_x() {
    let shape = shape(6, 32, 1);
    let z = run_shared::<u64>(2, &[request(shape)], piecewise::traffic(shape, 2), async |party, source| {
        let x = mpc_shares::ArithmeticShares::new(&[2, 3], vec![1u64; 6])?;
        let pieces = compare(party, &x, 0, &[0], source.next(shape).await?).await?;
        let y = pieces.linear(&PiecewiseLinear { constant: 0, slope: 1, steps: vec![] })?;
        assert_eq!(y.shape(), [2, 3]);
        Ok(y)
    });
    assert_eq!(z, [2; 6]);
}
