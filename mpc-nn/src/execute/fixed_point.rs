//! Weights and inputs into fixed point, outputs out of it: at their owners.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use mpc_ring::{FixedPoint, Ring};
use mpc_shares::SecretVec;
use ndarray::{ArrayD, IxDyn};

use crate::error::InferenceError;
use crate::plain::check_inputs;
use crate::plan::{LayerParameters, Plan};
use crate::weights::Weights;

/// All weights and biases in fixed point, in the order of the plan's layers.
pub(super) fn encode_weights<R: Ring>(
    plan: &Plan<R>,
    weights: Option<&Weights>,
) -> Result<SecretVec<R>, InferenceError> {
    let single = FixedPoint::new(plan.settings().fractional_bits);
    let double = FixedPoint::new(2 * plan.settings().fractional_bits);
    let mut encoded = Vec::with_capacity(plan.layers().iter().map(|layer| layer.weight_len + layer.bias_len).sum());
    let mut append = |name: &str, len: usize, fixed: FixedPoint, divisor: usize| -> Result<(), InferenceError> {
        let missing = || InferenceError::Weights { tensor: name.to_owned(), expected: len };
        let tensor = weights.and_then(|weights| weights.get(name)).filter(|tensor| tensor.len() == len);
        for &value in tensor.ok_or_else(missing)? {
            let element = fixed.encode(f64::from(value) / divisor as f64);
            encoded.push(element.map_err(|source| InferenceError::Range { tensor: name.to_owned(), source })?);
        }
        Ok(())
    };
    for LayerParameters { weight, weight_len, bias, bias_len, divisor } in plan.layers() {
        append(weight, *weight_len, single, *divisor)?;
        if let Some(bias) = bias {
            append(bias, *bias_len, double, 1)?;
        }
    }
    Ok(encoded.into())
}

/// The inputs in fixed point, checked against the graph and the plan's bound.
pub(super) fn encode_inputs<R: Ring>(
    plan: &Plan<R>,
    inputs: &[ArrayD<f32>],
) -> Result<Vec<SecretVec<R>>, InferenceError> {
    check_inputs(plan.graph(), inputs)?;
    let fixed = FixedPoint::new(plan.settings().fractional_bits);
    let bound = plan.settings().bound();
    let names = plan.graph().inputs().iter().map(|&id| plan.graph().node(id).name());
    let encode = |(input, name): (&ArrayD<f32>, &str)| {
        if let Some(index) = input.iter().position(|value| f64::from(value.abs()) >= bound) {
            return Err(InferenceError::Bound { input: name.to_owned(), index, bound });
        }
        let range = |source| InferenceError::Range { tensor: name.to_owned(), source };
        let mut elements = Vec::with_capacity(input.len());
        for &value in input {
            elements.push(fixed.encode(f64::from(value)).map_err(range)?);
        }
        Ok(SecretVec::from(elements))
    };
    inputs.iter().zip(names).map(encode).collect()
}

/// Revealed elements as real numbers.
pub(super) fn decode<R: Ring>(
    elements: SecretVec<R>,
    fractional_bits: u32,
    divisor: usize,
    shape: &[usize],
) -> ArrayD<f64> {
    let fixed = FixedPoint::new(fractional_bits);
    let values: Vec<f64> = elements.iter().map(|&x| fixed.decode(x) / divisor as f64).collect();
    ArrayD::from_shape_vec(IxDyn(shape), values).expect("a step has as many elements as its shape")
}
