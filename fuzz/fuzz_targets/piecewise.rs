//! A piecewise linear function of a shared value is that of plain arithmetic, in the ring.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mpc_fuzz::Input;
use mpc_protocols::Request;
use mpc_protocols::piecewise::{PiecewiseLinear, PiecewiseShape, Step, compare};
use mpc_protocols::sign::{SignParameters, SignShape, Variant};

fuzz_target!(|input: (u32, [u64; 2], Vec<(i64, [u64; 2])>, Input<i64>)| {
    let (bits, [constant, slope], steps, input) = input;
    let bits = SignParameters::MIN_BITS + 1 + bits % (SignParameters::MAX_BITS - SignParameters::MIN_BITS);
    let parameters = SignParameters::new(bits).expect("a number of bits that is supported");
    // |y − t| < 2^{k−2}
    let half = 1i64 << (bits - 3);
    let values: Vec<_> = input.values.iter().map(|y| y % half).collect();
    let (thresholds, steps): (Vec<_>, Vec<_>) =
        steps.iter().take(4).map(|&(t, [offset, slope])| (t % half, Step { offset, slope })).unzip();

    let function = PiecewiseLinear { constant, slope, steps };
    let expected: Vec<_> = values
        .iter()
        .map(|&y| {
            let line = |offset: u64, slope: u64| offset.wrapping_add(slope.wrapping_mul(y as u64));
            let reached = function.steps.iter().zip(&thresholds).filter(|&(_, &t)| y >= t);
            reached.fold(line(constant, slope), |sum, (step, _)| sum.wrapping_add(line(step.offset, step.slope)))
        })
        .collect();

    let shares = input.split(&values.iter().map(|&y| y as u64).collect::<Vec<_>>());
    let thresholds: Vec<_> = thresholds.iter().map(|&t| t as u64).collect();
    for variant in [Variant::FewRounds, Variant::FewBytes] {
        let sign = SignShape { len: values.len(), parameters: parameters.with_variant(variant) };
        let shape = PiecewiseShape { sign, thresholds: thresholds.len() };
        let request = Request::Piecewise { len: sign.len, thresholds: shape.thresholds, parameters: sign.parameters };
        let result = input.run(&[request], async |party, source| {
            compare(party, &shares[party.index()], 0, &thresholds, source.next(shape).await?).await?.linear(&function)
        });
        assert_eq!(result, expected);
    }
});
