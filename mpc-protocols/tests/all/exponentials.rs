//! e^x of x ≤ 0 with more fractional bits than its argument: the terms of long sums.

use crate::common::{elements, run_shared, signed, split};
use mpc_protocols::ProtocolError;
use mpc_protocols::function::{ArgumentShape, Function, FunctionPlan, FunctionShape};
use mpc_protocols::sign::SignParameters;

const F: u32 = 16;

fn shape(len: usize, finer: u32, shift: u32, unit: f64) -> FunctionShape {
    FunctionShape {
        function: Function::ExpNonPositive,
        len,
        fractional_bits: F + finer,
        shift,
        parameters: SignParameters::new(32).unwrap(),
        argument: Some(ArgumentShape { unit, result_bits: 32 + finer }),
        dividends: None,
    }
}

#[test]
fn terms_and_their_sums_are_within_the_bound() {
    let unit = (-f64::from(F)).exp2();
    for (finer, shift, parties) in [(1, 0, 2), (3, 16, 2), (6, 0, 2), (6, 16, 3), (4, 16, 4)] {
        let x: Vec<i64> = (0..2000i64).map(|i| (-i * i * 11) << shift).chain([0, -(1 << (29 + shift))]).collect();
        for plan in [FunctionPlan::new::<u64>, FunctionPlan::tabulated::<u64>] {
            // A table has room for a few bits.
            let Ok(plan) = plan(shape(x.len(), finer, shift, unit)) else {
                assert!(finer >= 3);
                continue;
            };
            let bound = plan.error_bound(parties).unwrap();
            assert!(shift > 0 || bound.absolute < (-f64::from(12 + finer)).exp2(), "{bound:?}");
            let shares = split(&elements::<u64>(&x), parties);
            let y = run_shared::<u64>(parties, &plan.requests(), plan.traffic(parties), async |party, source| {
                let material = plan.draw(source).await?;
                plan.apply(party, &shares[party.index()], material).await
            });
            let mut far = 0.0;
            for (&x, y) in x.iter().zip(signed(&y)) {
                let argument = (x >> shift) as f64 * unit;
                let error = y as f64 * (-f64::from(F + finer)).exp2() - argument.exp();
                assert!(error.abs() <= bound.absolute, "e^{argument}, {finer} finer: {error} > {}", bound.absolute);
                if argument < -20.0 {
                    far += error;
                }
            }
            let count = x.iter().filter(|&&x| (x >> shift) as f64 * unit < -20.0).count() as f64;
            assert!(far.abs() <= count * 4.0 * (-f64::from(F + finer)).exp2(), "{far}");
        }
    }
}

#[test]
fn a_unit_that_is_no_power_of_two_is_refused() {
    for unit in [0.3, (-f64::from(F + 7)).exp2(), 1.0, 2.0] {
        let refused = FunctionPlan::new::<u64>(shape(1, 6, 0, unit));
        assert!(matches!(refused, Err(ProtocolError::Parameter { .. })), "{unit}");
    }
}
