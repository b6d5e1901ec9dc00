//! The functions of a plan: equal ones are fitted once.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use mpc_protocols::function::{Dividends, FunctionPlan, FunctionShape};
use mpc_ring::Ring;

use super::format::ceil_log2;
use super::makers::Correlations;
use super::walk::Walk;

/// The most functions that are fitted for a plan, each with its fixed points: a fit takes milliseconds, and a file may ask for
/// hundreds of thousands.
const MOST_FITTED: usize = 1000;

/// So many terms of a sum add up errors of a function's result that are of no account.
const FEW_TERMS: usize = 32;
/// The longest sum whose terms have f fractional bits: the errors of most rows are smaller than their bounds.
const LONGEST: usize = 128;

impl<R: Ring> Walk<'_, R> {
    /// How many fractional bits more than f the terms have that are planned now, so that all errors of their sum are no larger than
    /// those of a few: as many as a factor of a product may have.
    pub(crate) fn finer_terms(&self) -> u32 {
        let terms = self.terms[self.formats.len()];
        if terms <= LONGEST {
            return 0;
        }
        ceil_log2(terms as f64 / FEW_TERMS as f64).min(self.finer_factor().max(self.finer_result()))
    }
}

/// The fitted functions so far, each by all that it follows from.
#[derive(Default)]
pub(crate) struct Functions(BTreeMap<Vec<u8>, Result<FunctionPlan, String>>);

impl Functions {
    /// The plan of a function for those who make correlations.
    ///
    /// # Errors
    /// A function that needs what the settings have not got; too many different ones.
    pub(crate) fn plan<R: Ring>(
        &mut self,
        correlations: Correlations,
        shape: FunctionShape,
    ) -> Result<FunctionPlan, String> {
        let of_one = FunctionShape {
            len: 1,
            dividends: shape.dividends.map(|dividends| Dividends { len: 1, ..dividends }),
            ..shape
        };
        let key = postcard::to_allocvec(&of_one).expect("shapes always encode");
        if self.0.len() >= MOST_FITTED && !self.0.contains_key(&key) {
            return Err(format!("a network has at most {MOST_FITTED} different functions and fixed points of them"));
        }
        let fitted = self.0.entry(key).or_insert_with(|| fit::<R>(correlations, of_one));
        let resized =
            fitted.as_ref().map(|plan| plan.resized(shape.len, shape.dividends.map(|dividends| dividends.len)));
        resized.map_err(String::clone)?.map_err(|error| error.to_string())
    }
}

fn fit<R: Ring>(correlations: Correlations, shape: FunctionShape) -> Result<FunctionPlan, String> {
    let dealt = || FunctionPlan::new::<R>(shape);
    match correlations {
        Correlations::Dealt => dealt().map_err(|error| error.to_string()),
        Correlations::Own { .. } => FunctionPlan::tabulated::<R>(shape).map_err(|error| {
            let fits_a_larger_ring = FunctionPlan::tabulated::<u64>(shape).is_ok();
            if fits_a_larger_ring && dealt().is_ok() { too_small(R::BITS) } else { error.to_string() }
        }),
    }
}

/// The reason why two parties cannot compute a function that a dealer would serve.
fn too_small(ring_bits: u32) -> String {
    format!(
        "two parties without a dealer read it from a table, whose numbers do not fit a ring of {ring_bits} bits; take a larger \
         ring, or add a dealer"
    )
}

#[cfg(test)]
mod tests {
    use mpc_protocols::function::Function;
    use mpc_protocols::sign::SignParameters;

    use super::*;

    fn shape(function: Function, len: usize, dividends: Option<usize>) -> FunctionShape {
        let parameters = SignParameters::new(32).unwrap();
        let dividends = dividends.map(|len| Dividends { len, bits: 32 });
        FunctionShape { function, len, fractional_bits: 16, shift: 0, parameters, argument: None, dividends }
    }

    #[test]
    fn equal_functions_of_any_size_are_fitted_once() {
        let mut functions = Functions::default();
        for len in 1..=1000 {
            for (function, dividends) in
                [(Function::Sigmoid, None), (Function::Reciprocal, None), (Function::PositiveReciprocal, Some(3 * len))]
            {
                let shape = shape(function, len, dividends);
                let plan = functions.plan::<u64>(Correlations::Dealt, shape).unwrap();
                assert_eq!(*plan.shape(), shape);
                if len % 499 == 1 {
                    let own = FunctionPlan::new::<u64>(shape).unwrap();
                    assert_eq!((own.requests(), own.traffic(3)), (plan.requests(), plan.traffic(3)));
                }
            }
        }
        assert_eq!(functions.0.len(), 3);
        let uneven = shape(Function::PositiveReciprocal, 2, Some(3));
        assert!(functions.plan::<u64>(Correlations::Dealt, uneven).is_err());
    }

    #[test]
    fn a_ring_that_holds_no_table_is_named() {
        let own = Correlations::Own { transfers: crate::plan::Transfers::Silent, inferences: 1 };
        let parameters = SignParameters::new(20).unwrap();
        let root = Function::Power { exponent: -0.5 };
        let shape = FunctionShape { fractional_bits: 10, parameters, ..shape(root, 1, None) };
        let mut functions = Functions::default();
        assert!(functions.plan::<u32>(Correlations::Dealt, shape).is_ok());
        let refused = Functions::default().plan::<u32>(own, shape).unwrap_err();
        assert!(refused.contains("do not fit a ring of 32 bits; take a larger ring, or add a dealer"), "{refused}");
        assert!(Functions::default().plan::<u64>(own, shape).is_ok());
    }

    #[test]
    fn no_more_different_functions_are_fitted_than_take_seconds() {
        let mut functions = Functions::default();
        let mut plan = |slope: f32| {
            functions.plan::<u64>(Correlations::Dealt, shape(Function::LeakyRelu { slope }, 1, None)).map(|_| ())
        };
        let slopes = (0..MOST_FITTED).map(|i| i as f32 / 4096.0);
        assert!(slopes.map(&mut plan).all(|plan| plan.is_ok()));
        assert!(plan(0.75).unwrap_err().contains("different functions"));
        // Those that are known go on.
        plan(0.0).unwrap();
    }
}
