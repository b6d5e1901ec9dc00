//! A private function is within its error bound of plain arithmetic, for every argument within its range.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mpc_fuzz::Input;
use mpc_protocols::function::{Function, FunctionPlan, FunctionShape};
use mpc_protocols::sign::SignParameters;

const FUNCTIONS: [Function; 8] = [
    Function::Sigmoid,
    Function::Tanh,
    Function::Gelu,
    Function::Silu,
    Function::Softplus,
    Function::Erf,
    Function::HardSwish,
    Function::Elu { alpha: 1.0 },
];

fuzz_target!(|input: (u8, u8, u8, Input<i64>)| {
    let (function, fractional_bits, bits, input) = input;
    let function = FUNCTIONS[usize::from(function) % FUNCTIONS.len()];
    let (fractional_bits, bits) = (4 + u32::from(fractional_bits) % 13, 20 + u32::from(bits) % 16);
    let parameters = SignParameters::new(bits).expect("a number of bits that is supported");
    let shape = FunctionShape {
        function,
        len: input.values.len().min(8),
        fractional_bits,
        shift: 0,
        parameters,
        argument: None,
        dividends: None,
    };
    // An interval may be longer than the range.
    let Ok(plan) = FunctionPlan::new::<u64>(shape) else { return };
    let unit = (-f64::from(fractional_bits)).exp2();
    let (low, high) = plan.range();
    let bound = plan.error_bound(input.parties).expect("the plan was made");
    let length = ((high - low) / unit) as i64 - 2;
    // All over the range, and in the middle.
    let place = |&x: &i64| if x & 1 == 0 { (low / unit) as i64 + 1 + (x >> 1).rem_euclid(length) } else { x >> 48 };
    let within = |x: &i64| (*x as f64) * unit > low && (*x as f64) * unit < high;
    let values: Vec<_> = input.values.iter().take(8).map(place).map(|x| if within(&x) { x } else { 0 }).collect();

    let shares = input.split(&values.iter().map(|&x| x as u64).collect::<Vec<_>>());
    let result = input.run(&plan.requests(), async |party, source| {
        let material = plan.draw(source).await?;
        plan.apply(party, &shares[party.index()], material).await
    });
    for (&x, &y) in values.iter().zip(&result) {
        let (exact, private) = (function.evaluate(x as f64 * unit), y as i64 as f64 * unit);
        assert!((exact - private).abs() <= bound.at(exact), "{shape:?} of {x} gave {private}, not {exact}");
    }
});
