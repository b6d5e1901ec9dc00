use crate::common::{block_on, elements, run_shared, signed, split};
use mpc_protocols::function::{ArgumentShape, Function, FunctionPlan, FunctionShape};
use mpc_protocols::sign::SignParameters;
use mpc_protocols::{Place, ProtocolError};
use mpc_ring::Ring;

const SELU: Function = Function::Selu { alpha: 1.673_263_2, gamma: 1.050_701 };

pub(super) fn plan<R: Ring>(function: Function, len: usize, f: u32, shift: u32, k: u32) -> FunctionPlan {
    let parameters = SignParameters::new(k).unwrap();
    FunctionPlan::new::<R>(FunctionShape {
        function,
        len,
        fractional_bits: f,
        shift,
        parameters,
        argument: None,
        dividends: None,
    })
    .unwrap()
}

/// The private function of integers at scale f + shift, as integers at scale f.
pub(super) fn private<R: Ring>(plan: &FunctionPlan, x: &[i64], parties: usize) -> Vec<i128> {
    let shares = split(&elements::<R>(x), parties);
    let y = run_shared::<R>(parties, &plan.requests(), plan.traffic(parties), async |party, source| {
        let material = plan.draw(source).await?;
        plan.apply(party, &shares[party.index()], material).await
    });
    signed(&y)
}

/// Every result is within the bound of the function's values at the argument and half a unit per party around it, as the
/// argument is rounded. Gives the largest error in the part of the bound.
fn is_near<R: Ring>(function: Function, f: u32, shift: u32, k: u32, parties: usize, x: &[i64]) -> f64 {
    let plan = plan::<R>(function, x.len(), f, shift, k);
    let unit = (-f64::from(f)).exp2();
    let around = if shift > 0 { parties as f64 / 2.0 * unit } else { 0.0 };
    let bound = plan.error_bound(parties).unwrap();
    let mut largest = 0f64;
    for (&x, y) in x.iter().zip(private::<R>(&plan, x, parties)) {
        let argument = x as f64 * (-f64::from(f + shift)).exp2();
        let value = y as f64 * unit;
        let near = [-around, 0.0, around].map(|d| function.evaluate((argument + d).max(lowest(function, unit))));
        let (low, high) =
            (near.iter().fold(f64::INFINITY, |a, &b| a.min(b)), near.iter().fold(f64::MIN, |a, &b| a.max(b)));
        let error = (low - value).max(value - high);
        let limit = bound.at(near[1]);
        assert!(error <= limit, "{function:?} of {argument} gave {value}, not {}: {error} > {limit}", near[1]);
        largest = largest.max((value - near[1]).abs() - bound.relative * near[1].abs());
    }
    largest
}

/// The smallest argument of functions of positive ones.
fn lowest(function: Function, unit: f64) -> f64 {
    match function {
        Function::Log | Function::Sqrt | Function::Power { .. } | Function::PositiveReciprocal => unit,
        _ => f64::MIN,
    }
}

/// All over the range and dense near 0, with the edges.
pub(super) fn sweep(plan: &FunctionPlan, f: u32, shift: u32, count: i64) -> Vec<i64> {
    let scale = f64::from(f + shift).exp2();
    let (low, high) = plan.range();
    let (low, high) = ((low * scale) as i64 + (16 << shift), (high * scale) as i64 - (16 << shift));
    let everywhere = (0..=count).map(|i| low + ((high - low) as i128 * i as i128 / count as i128) as i64);
    // ±16 in odd steps, so that all fractions occur.
    let near = (-count..=count).map(|i| (16.0 * scale * i as f64 / count as f64) as i64 + i % 7);
    let edges = [low, low + 1, high, high - 1, 0, 1, -1, 1 << shift, -(1 << shift)];
    everywhere.chain(near).chain(edges).filter(|x| (low..=high).contains(x)).collect()
}

fn bounded_functions() -> Vec<Function> {
    vec![
        Function::Clip { low: -1.25, high: 6.0 },
        Function::Clip { low: f32::NEG_INFINITY, high: 6.0 },
        Function::Clip { low: 0.1, high: f32::INFINITY },
        Function::Clip { low: 0.0, high: f32::MAX },
        Function::Abs,
        Function::LeakyRelu { slope: 0.01 },
        Function::LeakyRelu { slope: -0.25 },
        Function::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Function::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 },
        Function::HardSwish,
        Function::Sigmoid,
        Function::Tanh,
        Function::Silu,
        Function::Softplus,
        Function::Elu { alpha: 1.0 },
        SELU,
        Function::Celu { alpha: 0.5 },
        Function::Gelu,
        Function::GeluTanh,
        Function::Mish,
        Function::Erf,
    ]
}

/// 2^−12 over the whole range, with 2, 3 and 4 parties, after a product and without.
#[test]
fn bounded_functions_are_near_over_the_whole_range() {
    for function in bounded_functions() {
        for (parties, shift) in [(2, 16), (3, 16), (4, 16), (2, 0)] {
            let plan = plan::<u64>(function, 0, 16, shift, 32);
            let (low, high) = plan.range();
            // 2^14 less the interval of the table; a slope above 1 takes its part.
            let full = if function == SELU { 16_360.0 / 1.051 } else { 16_360.0 };
            assert!(low <= -full && high >= full, "{function:?}: {low} to {high}");
            let bound = plan.error_bound(parties).unwrap();
            assert_eq!(bound.relative, 0.0);
            assert!(bound.absolute <= (-12f64).exp2(), "{function:?}, {parties} parties: {}", bound.absolute);
            let x = sweep(&plan, 16, shift, 4_000);
            let largest = is_near::<u64>(function, 16, shift, 32, parties, &x);
            println!("{function:?}, {parties} parties, shift {shift}: {largest:e} of {:e}", bound.absolute);
        }
    }
}

#[test]
fn a_step_is_exact_and_after_a_shift_at_zero_and_away_from_it() {
    for (parties, shift) in [(2, 0), (3, 0), (2, 16), (3, 16), (4, 16), (8, 16)] {
        let plan = plan::<u64>(Function::Step, 0, 16, shift, 32);
        let unsure = if shift == 0 { 0 } else { (parties as i64) << shift };
        let x = sweep(&plan, 16, shift, 2_000).into_iter().filter(|x| x.abs() >= unsure);
        let x: Vec<i64> = x.chain([0; 500]).collect();
        let plan = FunctionPlan::new::<u64>(FunctionShape { len: x.len(), ..*plan.shape() }).unwrap();
        for (x, y) in x.iter().zip(private::<u64>(&plan, &x, parties)) {
            assert_eq!(y, if *x >= 0 { 1 << 16 } else { 0 }, "step of {x}");
        }
    }
}

/// Its slope of 2π makes more of a rounded argument than others do.
#[test]
fn a_cosine_of_turns_is_near() {
    for (parties, shift) in [(2, 0), (3, 0), (2, 16)] {
        let plan = plan::<u64>(Function::CosineOfTurns, 0, 16, shift, 32);
        assert!(plan.error_bound(parties).unwrap().absolute <= (-11f64).exp2());
        let x = sweep(&plan, 16, shift, 2_000);
        is_near::<u64>(Function::CosineOfTurns, 16, shift, 32, parties, &x);
    }
}

#[test]
fn a_sigmoid_stays_within_its_limits() {
    let plan = plan::<u64>(Function::Sigmoid, 0, 16, 16, 32);
    let x = sweep(&plan, 16, 16, 5_000);
    let plan = FunctionPlan::new::<u64>(FunctionShape { len: x.len(), ..*plan.shape() }).unwrap();
    let y = private::<u64>(&plan, &x, 3);
    assert!(y.iter().all(|&y| (-16..=65_536 + 16).contains(&y)));
}

#[test]
fn exponentials() {
    for (parties, shift) in [(2, 16), (3, 0), (4, 16)] {
        let (low, high) = (-8_000i64 << (16 + shift), (9.703 * f64::from(16 + shift).exp2()) as i64);
        let wide = (0..4_000).map(|i| low / 4_000 * i);
        let near = (0..8_000).map(|i| high - (high + (12 << (16 + shift))) / 8_000 * i);
        let x: Vec<_> = wide.chain(near).collect();
        let bound = plan::<u64>(Function::Exp, 0, 16, shift, 32).error_bound(parties).unwrap();
        assert!(bound.relative <= (-12f64).exp2() && bound.absolute <= (-12f64).exp2(), "{bound:?}");
        is_near::<u64>(Function::Exp, 16, shift, 32, parties, &x);
        let x: Vec<_> = x.into_iter().filter(|&x| x <= 0).collect();
        let bound = plan::<u64>(Function::ExpNonPositive, 0, 16, shift, 32).error_bound(parties).unwrap();
        assert!(bound.relative == 0.0 && bound.absolute <= (-12f64).exp2(), "{bound:?}");
        is_near::<u64>(Function::ExpNonPositive, 16, shift, 32, parties, &x);
        // What a mask hides has no part in a softmax, however much of it there is.
        let far = plan::<u64>(Function::ExpNonPositive, 1_000, 16, shift, 32);
        let sum: i128 = private::<u64>(&far, &[-30 << (16 + shift); 1_000], parties).iter().sum();
        assert!(sum.abs() < 1_000, "{sum}");
    }
}

/// Positive arguments: all small ones, and in each octave its ends and many between.
fn positive(bits: u32) -> Vec<i64> {
    let octave = |j: u32| (0..=150i64).map(move |i| (1i64 << j) + ((1i64 << j) * i / 150 - i64::from(i == 150)).max(0));
    (1..300).chain((8..bits).flat_map(octave)).collect()
}

#[test]
fn functions_of_positive_numbers() {
    let power = |exponent| Function::Power { exponent };
    for function in [
        Function::Log,
        Function::Sqrt,
        Function::PositiveReciprocal,
        Function::Reciprocal,
        power(-0.5),
        power(2.0),
        power(3.0),
        power(0.0),
        power(-1.5),
        power(1.7),
    ] {
        for parties in [2, 3, 4] {
            let plan = plan::<u64>(function, 0, 16, 0, 32);
            let (_, high) = plan.range();
            let bound = plan.error_bound(parties).unwrap();
            let small = matches!(function, Function::Log | Function::Sqrt);
            assert!(bound.absolute <= if small { -12f64 } else { -13f64 }.exp2(), "{function:?}: {bound:?}");
            assert!(bound.relative <= (-12f64).exp2(), "{function:?}: {bound:?}");
            let within = |&x: &i64| {
                let argument = x as f64 / 65_536.0;
                argument <= high && function.evaluate(argument).abs() < 16_383.0 * (1.0 - bound.relative)
            };
            let mut x: Vec<_> = positive(30).into_iter().filter(within).collect();
            if function == Function::Reciprocal {
                x = x.iter().flat_map(|&x| [x, -x]).collect();
            }
            let largest = is_near::<u64>(function, 16, 0, 32, parties, &x);
            println!("{function:?}, {parties} parties: {largest:e}, {bound:?}");
        }
        // After a product, away from 0.
        let plan = plan::<u64>(function, 0, 16, 16, 32);
        let high = (plan.range().1 * 65_536.0) as i64;
        let result = |x: i64| function.evaluate(x as f64 / 65_536.0).abs();
        let x = positive(30).into_iter().filter(|&x| x > 64 && x < high && result(x) < 15_000.0);
        let x: Vec<_> = x.map(|x| (x << 16) + x * 37 % 65_536).collect();
        is_near::<u64>(function, 16, 16, 32, 3, &x);
    }
}

/// 0, and what is not positive.
#[test]
fn outside_their_domain_results_are_bounded() {
    let x: Vec<_> = [0, -1, -2, -1000, -65_536, -(1 << 27)].into();
    for function in [Function::Sqrt, Function::Power { exponent: -0.5 }, Function::PositiveReciprocal] {
        let plan = plan::<u64>(function, x.len(), 16, 0, 32);
        assert!(private::<u64>(&plan, &x, 3).iter().all(|y| y.abs() <= 2), "{function:?}");
    }
    let y = private::<u64>(&plan::<u64>(Function::Log, x.len(), 16, 0, 32), &x, 3);
    let lowest = (-16.0 * std::f64::consts::LN_2 * 65_536.0) as i128;
    assert!(y.iter().all(|y| (y - lowest).abs() <= 16), "{y:?}");
    let y = private::<u64>(&plan::<u64>(Function::Reciprocal, 1, 16, 0, 32), &[0], 3);
    assert!(y[0].abs() <= 2);
    // Beyond the largest result.
    let y = private::<u64>(&plan::<u64>(Function::PositiveReciprocal, 2, 16, 0, 32), &[1, 2], 2);
    assert!(y.iter().all(|&y| (1 << 28..=1 << 30).contains(&y)), "{y:?}");
}

#[test]
fn more_parties() {
    for parties in 5..=8 {
        for function in [Function::Gelu, Function::Tanh, Function::Log, Function::Sqrt, SELU] {
            let plan = plan::<u64>(function, 0, 16, 0, 32);
            let x: Vec<_> = sweep(&plan, 16, 0, 200);
            let positive = lowest(function, 1.0) > 0.0;
            let x: Vec<_> = x.into_iter().filter(|&x| !positive || x > 0).collect();
            is_near::<u64>(function, 16, 0, 32, parties, &x);
        }
    }
}

#[test]
fn the_material_of_another_plan_is_refused() {
    let (gelu, abs) =
        (plan::<u64>(Function::Gelu, 2, 16, 0, 32), plan::<u64>(Function::Clip { low: 0.0, high: 1.0 }, 2, 16, 0, 32));
    let x = split(&[1u64, 2], 2);
    for (dealt, applied) in [(&abs, &gelu), (&gelu, &abs)] {
        let result = mpc_protocols::in_process::run_planned::<u64, _>(2, &dealt.requests(), async |party, source| {
            let material = dealt.draw(source).await?;
            applied.apply(party, &x[party.index()], material).await
        });
        assert!(matches!(result, Err(ProtocolError::OperandLength { .. })), "{result:?}");
    }
    let result = mpc_protocols::in_process::run_planned::<u64, _>(2, &gelu.requests(), async |party, source| {
        let material = gelu.draw(source).await?;
        gelu.apply(party, &split(&[1u64], 2)[party.index()], material).await
    });
    assert!(matches!(result, Err(ProtocolError::WrongCorrelation { .. })), "{result:?}");
}

#[test]
fn other_rings_and_settings() {
    for function in bounded_functions() {
        for (f, k) in [(8, 20), (10, 20)] {
            let plan = plan::<u32>(function, 0, f, 0, k);
            is_near::<u32>(function, f, 0, k, 2, &sweep(&plan, f, 0, 300));
        }
        let wide = plan::<u128>(function, 0, 20, 20, 40);
        is_near::<u128>(function, 20, 20, 40, 3, &sweep(&wide, 20, 20, 300));
        let wide = plan::<u64>(function, 0, 12, 12, 26);
        is_near::<u64>(function, 12, 12, 26, 5, &sweep(&wide, 12, 12, 300));
        let wide = plan::<u64>(function, 0, 16, 16, 40);
        is_near::<u64>(function, 16, 16, 40, 2, &sweep(&wide, 16, 16, 300));
    }
    is_near::<u64>(Function::Mish, 22, 0, 38, 3, &sweep(&plan::<u64>(Function::Mish, 0, 22, 0, 38), 22, 0, 300));
    for function in [Function::Log, Function::Sqrt, Function::PositiveReciprocal, Function::Power { exponent: -0.5 }] {
        let within = |bits: u32, f: u32| {
            let limit = f64::from(bits - 2 - f).exp2() * 0.99;
            move |&x: &i64| function.evaluate(x as f64 * (-f64::from(f)).exp2()).abs() < limit
        };
        for f in [8, 10] {
            is_near::<u32>(function, f, 0, 20, 2, &positive(18).into_iter().filter(within(20, f)).collect::<Vec<_>>());
        }
        is_near::<u128>(function, 20, 0, 42, 3, &positive(40).into_iter().filter(within(42, 20)).collect::<Vec<_>>());
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let parameters = SignParameters::new(32).unwrap();
    let shape = |function| FunctionShape {
        function,
        len: 1,
        fractional_bits: 16,
        shift: 16,
        parameters,
        argument: None,
        dividends: None,
    };
    for function in [
        Function::Clip { low: f32::NEG_INFINITY, high: f32::INFINITY },
        Function::Clip { low: 2.0, high: 1.0 },
        Function::Clip { low: f32::NAN, high: 1.0 },
        Function::Clip { low: 0.0, high: 16_000.0 },
        Function::LeakyRelu { slope: f32::NAN },
        Function::LeakyRelu { slope: 1e9 },
        Function::HardSigmoid { alpha: -0.2, beta: 0.5 },
        Function::HardSigmoid { alpha: 0.0, beta: 0.5 },
        Function::HardSigmoid { alpha: 1e-9, beta: 0.5 },
        Function::Elu { alpha: f32::INFINITY },
        Function::Celu { alpha: -1.0 },
        Function::Selu { alpha: 1.0, gamma: f32::NAN },
        Function::Power { exponent: 9.0 },
        Function::Power { exponent: f32::NAN },
    ] {
        let refused = FunctionPlan::new::<u64>(shape(function));
        assert!(matches!(refused, Err(ProtocolError::Parameter { .. })), "{function:?}: {refused:?}");
    }
    let sigmoid = shape(Function::Sigmoid);
    assert!(FunctionPlan::new::<u32>(sigmoid).is_err());
    assert!(FunctionPlan::new::<u64>(FunctionShape { fractional_bits: 0, ..sigmoid }).is_err());
    assert!(FunctionPlan::new::<u64>(FunctionShape { shift: 64, ..sigmoid }).is_err());
    let narrow = SignParameters::new(16).unwrap();
    assert!(FunctionPlan::new::<u64>(FunctionShape { parameters: narrow, ..sigmoid }).is_err());
}

#[test]
fn an_empty_tensor_works() {
    for function in [Function::Abs, Function::Gelu, Function::Sqrt] {
        let plan = plan::<u64>(function, 0, 16, 16, 32);
        let empty = split::<u64>(&[], 2);
        let outcomes = mpc_protocols::in_process::run_planned::<u64, _>(2, &plan.requests(), async |party, source| {
            let material = plan.draw(source).await?;
            plan.apply(party, &empty[party.index()], material).await
        });
        assert!(outcomes.unwrap().iter().all(|outcome| outcome.output.is_empty()));
    }
}

#[test]
fn a_dry_run_gives_the_plan() {
    for function in [Function::Abs, Function::Gelu, Function::Sqrt] {
        let plan = plan::<u64>(function, 3, 16, 0, 32);
        let x = split::<u64>(&[1, 2, 3], 2);
        let dry = mpc_protocols::session::plan(Place { party: 0, parties: 2 }, async |party, source| {
            let material = plan.draw(source).await?;
            plan.apply(party, &x[party.index()], material).await
        });
        assert_eq!(block_on(dry).unwrap(), plan.requests(), "{function:?}");
    }
}

/// Roots of sums of squares in all octaves: the argument's unit is that of a mean of `count` squares at scale 2f, of which
/// `shift` bits are cut off, and the result has f fractional bits and a few more.
fn roots_of_squares<R: Ring>(f: u32, k: u32, finer: u32, count: f64, shift: u32, parties: usize) {
    let parameters = SignParameters::new(SignParameters::MAX_BITS.min(R::BITS - shift)).unwrap();
    let unit = (f64::from(shift) - 2.0 * f64::from(f)).exp2() / count;
    let argument = Some(ArgumentShape { unit, result_bits: k + finer });
    for function in [Function::Power { exponent: -0.5 }, Function::Sqrt] {
        let fractional_bits = f + finer;
        let shape =
            |len| FunctionShape { function, len, fractional_bits, shift, parameters, argument, dividends: None };
        let (_, largest) = FunctionPlan::new::<R>(shape(0)).unwrap().range();
        let top = (largest / unit).log2() as u32 + shift;
        let x: Vec<i64> = (shift..top).flat_map(|j| [4, 5, 7].map(|quarters| quarters << j >> 2)).collect();
        let limit = f64::from(k - 2 - f).exp2() * 0.99;
        let value = |x: i64| function.evaluate(x as f64 * unit / f64::from(shift).exp2());
        let x: Vec<i64> = x.into_iter().filter(|&x| value(x) < limit).collect();
        let plan = FunctionPlan::new::<R>(shape(x.len())).unwrap();
        let bound = plan.error_bound(parties).unwrap();
        assert!(bound.relative <= (-f64::from(fractional_bits.min(12))).exp2(), "{bound:?}");
        for (&x, y) in x.iter().zip(private::<R>(&plan, &x, parties)) {
            let around = if shift > 0 { (parties as i64) << shift >> 1 } else { 0 };
            let near = [x - around, x, x + around].map(|x| value(x.max(1 << shift)));
            let y = y as f64 * (-f64::from(fractional_bits)).exp2();
            let error = near.iter().map(|near| (y - near).abs()).fold(f64::INFINITY, f64::min);
            let spread = (near[0] - near[2]).abs();
            assert!(error <= bound.at(near[1]) + spread, "{function:?} of {x}: {y}, not {}", near[1]);
        }
    }
}

#[test]
fn roots_of_squares_that_nothing_has_rounded() {
    for parties in 2..=4 {
        roots_of_squares::<u64>(16, 32, 4, 384.0, 8, parties);
    }
    roots_of_squares::<u64>(16, 32, 4, 1.0, 0, 2);
    roots_of_squares::<u64>(12, 26, 4, 65_536.0, 16, 2);
    // A finer result would need coefficients that this ring has no room for.
    roots_of_squares::<u32>(8, 18, 1, 16.0, 4, 2);
    roots_of_squares::<u128>(20, 40, 6, 768.0, 9, 3);
}

#[test]
fn an_argument_of_its_own_fixed_point_that_cannot_be_is_refused() {
    let parameters = SignParameters::new(40).unwrap();
    let shape = |function, unit, result_bits| {
        let argument = Some(ArgumentShape { unit, result_bits });
        FunctionPlan::new::<u64>(FunctionShape {
            function,
            len: 1,
            fractional_bits: 16,
            shift: 0,
            parameters,
            argument,
            dividends: None,
        })
    };
    assert!(shape(Function::Sqrt, 0.5, 32).is_ok());
    for (function, unit, result_bits) in [
        (Function::Log, 0.5, 32),
        (Function::Sqrt, 0.0, 32),
        (Function::Sqrt, -1.0, 32),
        (Function::Sqrt, f64::NAN, 32),
        (Function::Sqrt, f64::INFINITY, 32),
        (Function::Sqrt, 0.5, 18),
        (Function::Sqrt, 0.5, 65),
    ] {
        let refused = shape(function, unit, result_bits);
        assert!(matches!(refused, Err(ProtocolError::Parameter { .. })), "{function:?}, {unit}, {result_bits}");
    }
}
