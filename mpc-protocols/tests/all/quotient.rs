use mpc_protocols::function::{Dividends, Function, FunctionPlan, FunctionShape};
use mpc_protocols::sign::SignParameters;
use mpc_protocols::{Place, ProtocolError};
use mpc_ring::Ring;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::{block_on, elements, run_shared, signed, split};

/// A plan's settings, besides its numbers of elements.
#[derive(Clone, Copy, Debug)]
struct Setting {
    function: Function,
    f: u32,
    shift: u32,
    k: u32,
    parties: usize,
}

const USUAL: Setting = Setting { function: Function::Reciprocal, f: 16, shift: 0, k: 32, parties: 2 };

impl Setting {
    fn shape(self, dividends: usize, divisors: usize) -> FunctionShape {
        FunctionShape {
            function: self.function,
            len: divisors,
            fractional_bits: self.f,
            shift: self.shift,
            parameters: SignParameters::new(self.k + u32::from(self.function == Function::Reciprocal)).unwrap(),
            argument: None,
            dividends: Some(Dividends { len: dividends, bits: self.k }),
        }
    }

    fn plan<R: Ring>(self, dividends: usize, divisors: usize) -> FunctionPlan {
        FunctionPlan::new::<R>(self.shape(dividends, divisors)).unwrap()
    }

    /// The private quotients of integers at scale f and at scale f + shift, as integers at scale f; the meter has the plan's
    /// bytes and rounds.
    fn private<R: Ring>(self, x: &[i64], y: &[i64]) -> Vec<i128> {
        let plan = self.plan::<R>(x.len(), y.len());
        let (x, y) = (split(&elements::<R>(x), self.parties), split(&elements::<R>(y), self.parties));
        let traffic = plan.traffic(self.parties);
        let z = run_shared::<R>(self.parties, &plan.requests(), traffic, async |party, source| {
            let material = plan.draw(source).await?;
            plan.divide(party, &x[party.index()], &y[party.index()], material).await
        });
        signed(&z)
    }

    /// Every quotient is within the bound, of the divisor as it is and as it may have been rounded.
    fn check<R: Ring>(self, x: &[i64], y: &[i64]) {
        let bound = self.plan::<R>(x.len(), y.len()).error_bound(self.parties).unwrap();
        let unit = (-f64::from(self.f)).exp2();
        let around = if self.shift > 0 { self.parties as f64 / 2.0 * unit } else { 0.0 };
        let block = x.len() / y.len();
        for (place, (&x, z)) in x.iter().zip(self.private::<R>(x, y)).enumerate() {
            let y = y[place / block] as f64 * (-f64::from(self.f + self.shift)).exp2();
            let (x, z) = (x as f64 * unit, z as f64 * unit);
            let ends = [x / (y - around), x / (y + around)];
            let (low, high) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
            let error = (low - z).max(z - high);
            let limit = bound.of_quotient(low.abs().max(high.abs()), y.abs() - around);
            assert!(error <= limit, "{self:?}: {x} / {y} gave {z}, off by {error}, not {limit}");
        }
    }
}

/// Divisors at the ends of each octave and between them, and for each of them dividends of all sizes whose quotients are within
/// range; with both signs of divisors where the function has both.
fn pairs(setting: Setting) -> (Vec<i64>, Vec<i64>) {
    let Setting { function, f, shift, k, parties } = setting;
    let octaves = if shift > 0 { f - 8..k - 2 } else { 0..k - 2 };
    let ends = octaves.flat_map(|j| [0, 1, 2, 5, 7].map(|eighths| (1i64 << j) + ((eighths << j) >> 3)));
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for (place, divisor) in ends.enumerate() {
        let divisor = (divisor << shift) + if shift > 0 { place as i64 * 37 % (1 << shift) } else { 0 };
        let signs = if function == Function::Reciprocal { vec![1, -1] } else { vec![1] };
        let real = divisor as f64 * (-f64::from(f + shift)).exp2();
        let most = 0.98 * f64::from(k - 2).exp2() * real.min(1.0);
        let shrinking = |j: u32| (most * (-f64::from(j)).exp2()) as i64 - i64::from(j).min(most as i64);
        for (sign, dividend) in signs.iter().flat_map(|sign| (0..k - 2).step_by(3).map(move |j| (sign, shrinking(j)))) {
            x.push(if (dividend + parties as i64) % 2 == 0 { dividend } else { -dividend });
            y.push(sign * divisor);
        }
    }
    (x, y)
}

#[test]
fn quotients_are_near_for_divisors_and_dividends_of_all_sizes() {
    for function in [Function::Reciprocal, Function::PositiveReciprocal] {
        for parties in 2..=4 {
            for shift in [0, 16] {
                let setting = Setting { function, shift, parties, ..USUAL };
                let bound = setting.plan::<u64>(1, 1).error_bound(parties).unwrap();
                // As the documentation has it, and nothing for small divisors.
                assert!(bound.absolute <= (parties as f64 / 2.0 + 0.001) / 65_536.0, "{bound:?}");
                assert!(bound.relative <= (-13f64).exp2() && bound.of_inverse == 0.0, "{bound:?}");
                let (x, y) = pairs(setting);
                setting.check::<u64>(&x, &y);
            }
        }
        Setting { function, parties: 8, ..USUAL }.check::<u64>(&[1 << 28, 3 << 13, 5], &[700 << 16, 3, 12 << 16]);
    }
}

/// As the product with a rounded reciprocal would not have it: it would be off by a tenth.
#[test]
fn a_quotient_of_large_numbers_is_as_near_as_one_of_small_ones() {
    let large = [12_000i64 << 16, 16_000 << 16, -9_999 << 16];
    let divisors = [11_999i64 << 16, -5_000 << 16, 16_383 << 16];
    for parties in [2, 3] {
        let quotients = Setting { parties, ..USUAL }.private::<u64>(&large, &divisors);
        for ((x, y), z) in large.iter().zip(divisors).zip(quotients) {
            let exact = *x as f64 / y as f64;
            assert!((z as f64 / 65_536.0 - exact).abs() <= 0.000_1 + 0.000_12 * exact.abs(), "{exact}");
        }
    }
}

/// The ring has no room for the products of the wider ones: their error grows with the inverse of the divisor.
#[test]
fn other_rings_and_settings_divide() {
    for function in [Function::Reciprocal, Function::PositiveReciprocal] {
        for (f, k) in [(8, 14), (12, 20), (12, 24), (16, 20), (16, 40), (20, 36)] {
            let setting = Setting { function, f, k, parties: 3, ..USUAL };
            let bound = setting.plan::<u64>(1, 1).error_bound(3).unwrap();
            assert_eq!(bound.of_inverse > 0.0, k > 32, "{setting:?}");
            let (x, y) = pairs(setting);
            setting.check::<u64>(&x, &y);
        }
        let narrow = Setting { function, f: 8, k: 20, ..USUAL };
        let (x, y) = pairs(narrow);
        narrow.check::<u32>(&x, &y);
        let wide = Setting { function, f: 20, k: 42, parties: 3, ..USUAL };
        let (x, y) = pairs(wide);
        wide.check::<u128>(&x, &y);
    }
}

#[test]
fn division_by_zero_gives_zero() {
    for function in [Function::Reciprocal, Function::PositiveReciprocal] {
        let setting = Setting { function, ..USUAL };
        let quotients = setting.private::<u64>(&[5 << 16, -(1 << 29), 0, 0], &[0, 0, 0, 7]);
        assert!(quotients.iter().all(|quotient| quotient.abs() <= 2), "{quotients:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn blocks_of_dividends_are_divided(
        parties in 2usize..=5,
        shift in prop_oneof![Just(0u32), Just(16)],
        block in 1usize..=4,
        divisors in vec((8u32..29, any::<u32>(), any::<bool>()), 1..=6),
        dividends in vec(any::<i32>(), 24),
    ) {
        let setting = Setting { parties, shift, ..USUAL };
        let y: Vec<i64> = divisors.iter().map(|&(octave, rest, is_below)| {
            let size = (1i64 << octave) + (i64::from(rest) & ((1 << octave) - 1));
            (if is_below { -size } else { size }) << shift
        }).collect();
        let x: Vec<i64> = dividends[..block * y.len()].iter().enumerate().map(|(place, &x)| {
            let divisor = (y[place / block] >> shift).abs() as f64 / 65_536.0;
            (f64::from(x) / 8.1 * divisor.min(1.0)) as i64
        }).collect();
        setting.check::<u64>(&x, &y);
    }
}

#[test]
fn what_no_quotient_is_planned_for_is_refused() {
    let refused = |shape: FunctionShape| {
        let plan = FunctionPlan::new::<u64>(shape);
        assert!(matches!(plan, Err(ProtocolError::Parameter { .. })), "{shape:?}: {plan:?}");
    };
    refused(Setting { function: Function::Sqrt, ..USUAL }.shape(4, 2));
    refused(USUAL.shape(5, 2));
    refused(USUAL.shape(0, 2));
    refused(USUAL.shape(1, 0));
    refused(Setting { k: 18, ..USUAL }.shape(1, 1));
    refused(Setting { k: 46, ..USUAL }.shape(1, 1));
    let none = USUAL.plan::<u64>(0, 0);
    assert!(none.requests().iter().all(|request| request.traffic::<u64>().payload_received == 0));
}

#[test]
fn a_quotient_takes_its_dividends_and_nothing_else_does() {
    let (quotient, plain) = (USUAL.plan::<u64>(2, 2), FunctionShape { dividends: None, ..USUAL.shape(2, 2) });
    let plain = FunctionPlan::new::<u64>(plain).unwrap();
    let x = split(&[1u64, 2], 2);
    for (plan, is_divided) in [(&quotient, false), (&plain, true)] {
        let result = mpc_protocols::in_process::run_planned::<u64, _>(2, &plan.requests(), async |party, source| {
            let (material, x) = (plan.draw(source).await?, &x[party.index()]);
            if is_divided { plan.divide(party, x, x, material).await } else { plan.apply(party, x, material).await }
        });
        assert!(matches!(result, Err(ProtocolError::Parameter { .. })), "{result:?}");
    }
    let other = split(&[1u64, 2, 3], 2);
    let result = mpc_protocols::in_process::run_planned::<u64, _>(2, &quotient.requests(), async |party, source| {
        let material = quotient.draw(source).await?;
        quotient.divide(party, &other[party.index()], &x[party.index()], material).await
    });
    assert!(matches!(result, Err(ProtocolError::OperandLength { .. })), "{result:?}");
    let dry = mpc_protocols::session::plan(Place { party: 0, parties: 2 }, async |party, source| {
        let material = quotient.draw(source).await?;
        quotient.divide(party, &x[party.index()], &x[party.index()], material).await
    });
    assert_eq!(block_on(dry).unwrap(), quotient.requests());
}
