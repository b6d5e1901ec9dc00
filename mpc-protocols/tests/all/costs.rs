//! The table of costs in the documentation of `function`, literally.

use mpc_protocols::Request;
use mpc_protocols::fourier::{self, Series, SeriesShape};
use mpc_protocols::function::{Dividends, Function, FunctionPlan, FunctionShape};
use mpc_protocols::lookup::{self, LookupShape, Table};
use mpc_protocols::sign::SignParameters;

/// Rounds, bits sent to each other party and bytes dealt, per element.
fn costs(function: Function) -> (u64, f64, f64) {
    planned(function, 32, None)
}

fn planned(function: Function, k: u32, dividends: Option<Dividends>) -> (u64, f64, f64) {
    let len = 640;
    let parameters = SignParameters::new(k).unwrap();
    let shape = FunctionShape { function, len, fractional_bits: 16, shift: 16, parameters, argument: None, dividends };
    let plan = FunctionPlan::new::<u64>(shape).unwrap();
    let per_element = |bytes: u64| bytes as f64 / len as f64;
    let dealt = plan.requests().iter().map(|request| request.traffic::<u64>().payload_received).sum();
    for parties in [3, 8] {
        assert_eq!(plan.traffic(parties).rounds, plan.traffic(2).rounds);
        assert_eq!(plan.traffic(parties).payload_sent, (parties as u64 - 1) * plan.traffic(2).payload_sent);
    }
    (plan.traffic(2).rounds, 8.0 * per_element(plan.traffic(2).payload_sent), per_element(dealt))
}

#[test]
fn costs_are_those_of_the_documentation() {
    for (function, expected) in [
        (Function::Abs, (3, 44.0, 66.5)),
        (Function::Step, (3, 44.0, 66.5)),
        (Function::Clip { low: 0.0, high: 6.0 }, (3, 56.0, 96.875)),
        (Function::LeakyRelu { slope: 0.01 }, (4, 76.0, 76.625)),
        (Function::HardSigmoid { alpha: 0.2, beta: 0.5 }, (4, 76.0, 92.375)),
        (Function::HardSwish, (5, 96.0, 166.625)),
        (Function::Sigmoid, (5, 96.0, 249.25)),
        (Function::Tanh, (5, 95.0, 264.5)),
        (Function::Erf, (5, 95.0, 191.75)),
        (Function::Gelu, (5, 104.0, 196.25)),
        (Function::GeluTanh, (5, 104.0, 196.25)),
        (Function::Silu, (5, 107.0, 243.0)),
        (Function::Softplus, (5, 107.0, 210.0)),
        (Function::Mish, (5, 101.0, 409.125)),
        (Function::Elu { alpha: 1.0 }, (5, 96.0, 187.0)),
        (Function::Celu { alpha: 0.5 }, (5, 94.0, 184.125)),
        (Function::Selu { alpha: 1.673_263_2, gamma: 1.050_701 }, (6, 129.0, 198.125)),
        (Function::Exp, (5, 110.0, 6215.875)),
        (Function::ExpNonPositive, (5, 96.0, 149.5)),
        (Function::Log, (5, 441.0, 1002.125)),
        (Function::Sqrt, (7, 578.0, 860.125)),
        (Function::Power { exponent: -0.5 }, (7, 576.0, 860.5)),
        (Function::PositiveReciprocal, (7, 576.0, 861.5)),
        (Function::Reciprocal, (7, 911.0, 1565.0)),
    ] {
        assert_eq!(costs(function), expected, "{function:?}");
    }
}

/// Of quotients with as many divisors as dividends.
#[test]
fn costs_of_quotients_are_those_of_the_documentation() {
    let dividends = Some(Dividends { len: 640, bits: 32 });
    assert_eq!(planned(Function::PositiveReciprocal, 32, dividends), (8, 728.0, 1023.75));
    assert_eq!(planned(Function::Reciprocal, 33, dividends), (8, 1209.0, 2625.125));
}

/// The row of the README.
#[test]
fn the_cost_of_a_lookup() {
    let table = Table { function: Function::Gelu, input_bits: 16, output_bits: 16, limit_bits: 30 };
    let shape = LookupShape { len: 640, table };
    let sent = lookup::traffic(shape, 64, 2).unwrap();
    assert_eq!((sent.rounds, 8 * sent.payload_sent), (2, 37 * 640));
    assert_eq!(Request::Lookup { len: 640, table }.traffic::<u64>().payload_received, 1_166 * 640);
}

/// The row of the README.
#[test]
fn the_cost_of_a_series() {
    let table = Table { function: Function::Gelu, input_bits: 16, output_bits: 16, limit_bits: 30 };
    let series = Series::of(table, 64).unwrap().unwrap();
    let sent = fourier::traffic(SeriesShape { len: 640, series }, 2);
    assert_eq!((sent.rounds, 8 * sent.payload_sent), (2, 36 * 640));
    assert_eq!(Request::Series { len: 640, series }.traffic::<u64>().payload_received, 69 * 640);
}

/// A plan that is stored is the same again, and one that cannot be is refused.
#[test]
fn plans_are_stored_by_their_settings() {
    let parameters = SignParameters::new(32).unwrap();
    let shape = FunctionShape {
        function: Function::Gelu,
        len: 3,
        fractional_bits: 16,
        shift: 16,
        parameters,
        argument: None,
        dividends: None,
    };
    let plan = FunctionPlan::new::<u64>(shape).unwrap();
    let bytes = postcard::to_allocvec(&plan).unwrap();
    let again: FunctionPlan = postcard::from_bytes(&bytes).unwrap();
    assert_eq!((&again, again.requests()), (&plan, plan.requests()));
    // 64 bits of the ring become 63; and the last byte, the means of evaluation, one that there is not.
    for (from_the_end, byte) in [(2, 63), (1, 2)] {
        let mut wrong = bytes.clone();
        let place = wrong.len() - from_the_end;
        wrong[place] = byte;
        assert!(postcard::from_bytes::<FunctionPlan>(&wrong).is_err());
    }
}
