//! Weights and inputs into fixed point, outputs out of it: at their owners.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use mpc_ring::{FixedPoint, Ring};
use mpc_shares::SecretVec;
use ndarray::ArrayD;

use crate::clear::check_inputs;
use crate::error::InferenceError;
use crate::graph::{Node, NodeId, Op};
use crate::plan::{Format, Owner, Plan};
use crate::weights::Weights;

/// All weights and constants in fixed point, in the order of the plan.
///
/// The next weight takes what the rounding of one leaves, so that the errors of weights in a row add up to a unit at
/// most: they multiply values that have much in common, such as the pixels under a filter.
pub(crate) fn encode_weights<R: Ring>(
    plan: &Plan<R>,
    weights: Option<&Weights>,
) -> Result<SecretVec<R>, InferenceError> {
    let mut encoded = Vec::with_capacity(plan.parameters_len());
    let mut append = |name: &str, len: usize, fractional_bits: u32, factor: f64, carries: bool| {
        let missing = || InferenceError::Weights { tensor: name.to_owned(), expected: len };
        let tensor = weights.and_then(|weights| weights.get(name)).filter(|tensor| tensor.len() == len);
        let fixed = FixedPoint::new(fractional_bits);
        let mut rest = 0.0;
        for &value in tensor.ok_or_else(missing)? {
            let exact = f64::from(value) * factor + rest;
            let element = fixed.encode(exact);
            let element = element.map_err(|source| InferenceError::Range { tensor: name.to_owned(), source })?;
            rest = if carries { exact - fixed.decode(element) } else { 0.0 };
            encoded.push(element);
        }
        Ok::<_, InferenceError>(())
    };
    for weight in plan.weights() {
        append(&weight.name, weight.len, weight.fractional_bits, 1.0 / weight.divisor, true)?;
    }
    for constant in plan.constants() {
        append(&constant.name, constant.len, constant.fractional_bits, constant.factor, false)?;
    }
    Ok(encoded.into())
}

/// The elements of each weight and of each constant, from those of all in the order of the plan.
pub(crate) fn split_parameters<'a, R: Ring>(plan: &Plan<R>, elements: &'a [R]) -> [Vec<&'a [R]>; 2] {
    let mut rest = elements;
    let mut take = |len: usize| {
        let (taken, others) = rest.split_at(len);
        rest = others;
        taken
    };
    let weights = plan.weights().iter().map(|weight| take(weight.len)).collect();
    [weights, plan.constants().iter().map(|constant| take(constant.len)).collect()]
}

/// The inputs that somebody owns, in fixed point, checked against the graph and the plan's bound; for each input of the
/// graph, `None` where it is another's.
pub(crate) fn encode_inputs<R: Ring>(
    plan: &Plan<R>,
    owner: Owner,
    inputs: &[ArrayD<f32>],
) -> Result<Vec<Option<SecretVec<R>>>, InferenceError> {
    let owners = plan.input_owners();
    let owned = owners.iter().zip(plan.graph().inputs()).filter(|&(&other, _)| other == owner);
    check_inputs(plan.graph(), &owned.map(|(_, &id)| id).collect::<Vec<_>>(), inputs)?;
    let mut inputs = inputs.iter();
    let encode_owned = |(&id, other): (&NodeId, Owner)| {
        let Some(input) = (other == owner).then(|| inputs.next()).flatten() else { return Ok(None) };
        encode_input(plan, plan.graph().node(id), input).map(Some)
    };
    plan.graph().inputs().iter().zip(owners).map(encode_owned).collect()
}

pub(crate) fn encode_input<R: Ring>(
    plan: &Plan<R>,
    node: &Node,
    input: &ArrayD<f32>,
) -> Result<SecretVec<R>, InferenceError> {
    let name = node.name();
    let is_whole = *node.op() == Op::WholeInput;
    let fixed = FixedPoint::new(if is_whole { 0 } else { plan.settings().fractional_bits });
    let bound = plan.settings().bound();
    if let Some(index) = input.iter().position(|value| f64::from(value.abs()) >= bound) {
        return Err(InferenceError::Bound { input: name.to_owned(), index, bound });
    }
    let range = |source| InferenceError::Range { tensor: name.to_owned(), source };
    let mut elements = Vec::with_capacity(input.len());
    for &value in input {
        elements.push(fixed.encode(f64::from(value)).map_err(range)?);
    }
    Ok(elements.into())
}

/// Checks the outputs of a run, in the order of the graph's: numbers against the plan's bound, indices against those that
/// there are.
pub(crate) fn check_outputs<R: Ring>(plan: &Plan<R>, outputs: &[ArrayD<f64>]) -> Result<(), InferenceError> {
    for (step, values) in plan.revealed().zip(outputs) {
        let output = || plan.graph().node(step.node).name().to_owned();
        match step.format {
            Format::Number(_) => {
                let bound = plan.bound(step.node);
                if let Some(index) = values.iter().position(|value| value.abs() >= bound) {
                    return Err(InferenceError::OutputBound { output: output(), index, bound });
                }
            }
            Format::Index(indices) | Format::Ranked(indices) => {
                if let Some(index) = values.iter().position(|&value| !indices.gives(value)) {
                    return Err(InferenceError::IndexRange { output: output(), index, count: indices.count });
                }
            }
        }
    }
    Ok(())
}
