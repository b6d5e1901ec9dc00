//! A plan in the clear: the same fixed point and the same steps, on plain ring elements.
//!
//! What a private run gives but for its own errors, a few units in the last place for each truncation. Between the result
//! in floating point and this one lies the error of rounding; between this one and the private run that of the protocols.

use alloc::vec;
use alloc::vec::Vec;

use mpc_protocols::ProtocolError;
use mpc_ring::{FixedPoint, Ring};
use mpc_shares::{ArithmeticShares, ShareError};
use ndarray::ArrayD;

use crate::error::InferenceError;
use crate::execute::fixed_point::{decode, encode_input, encode_weights, split_parameters};
use crate::local;
use crate::plain::check_inputs;
use crate::plan::{Action, Plan, Step};
use crate::weights::Weights;

/// Runs a plan in the clear, with all inputs in the order of the graph's; `observe` is called with the value that each
/// step leaves. Gives the outputs.
///
/// ```
/// use mpc_nn::{GraphBuilder, Plan, Settings, Weights, ideal};
/// use ndarray::array;
/// let mut builder = GraphBuilder::new();
/// let x = builder.input("x", &[1, 2])?;
/// let y = builder.square("y", x)?;
/// let graph = builder.finish(&[y])?;
/// let plan = Plan::<u64>::new(&graph, Settings::new(2))?;
/// let weights = Weights::for_graph(&graph, Default::default())?;
/// let outputs = ideal::evaluate(&plan, &weights, &[array![[1.5, -0.1]].into_dyn()], |_, _| ())?;
/// assert!((outputs[0][[0, 0]] - 2.25).abs() < 1e-9 && (outputs[0][[0, 1]] - 0.01).abs() < 1e-5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As for a private run, apart from those of its messages.
pub fn evaluate<R: Ring>(
    plan: &Plan<R>,
    weights: &Weights,
    inputs: &[ArrayD<f32>],
    mut observe: impl FnMut(usize, &ArrayD<f64>),
) -> Result<Vec<ArrayD<f64>>, InferenceError> {
    check_inputs(plan.graph(), plan.graph().inputs(), inputs)?;
    let secrets = encode_weights(plan, Some(weights))?;
    let parameters = Parameters::new(plan, &secrets);
    let last_readers = plan.graph().last_readers();
    let mut values: Vec<Option<ArithmeticShares<R>>> = plan.graph().nodes().iter().map(|_| None).collect();
    let mut outputs = Vec::new();
    for (index, step) in plan.steps().iter().enumerate() {
        let own = values[step.node.index()].take();
        let value = run(plan, step, own, &values, &parameters, inputs)?;
        let real = decode(value.elements(), step.format, &step.shape);
        observe(index, &real);
        if let Action::Reveal { .. } = step.action {
            outputs.push(real);
        }
        values[step.node.index()] = Some(value);
        plan.graph().free_inputs(step.node, &last_readers, &mut values);
    }
    Ok(outputs)
}

/// The model's parameters in fixed point.
struct Parameters<'a, R: Ring> {
    weights: Vec<&'a [R]>,
    constants: Vec<ArithmeticShares<R>>,
}

impl<'a, R: Ring> Parameters<'a, R> {
    fn new(plan: &Plan<R>, secrets: &'a [R]) -> Self {
        let [weights, constants] = split_parameters(plan, secrets);
        let constants = constants.into_iter().map(|constant| ArithmeticShares::from_elements(constant.to_vec()));
        Self { weights, constants: constants.collect() }
    }
}

fn run<R: Ring>(
    plan: &Plan<R>,
    step: &Step,
    own: Option<ArithmeticShares<R>>,
    values: &[Option<ArithmeticShares<R>>],
    parameters: &Parameters<'_, R>,
    inputs: &[ArrayD<f32>],
) -> Result<ArithmeticShares<R>, InferenceError> {
    let no_value = || InferenceError::NoValue { step: step.name.clone() };
    let failed =
        |source: ShareError| InferenceError::Step { step: step.name.clone(), source: ProtocolError::Share(source) };
    let node = plan.graph().node(step.node);
    let operands: Vec<_> = node.inputs().iter().filter_map(|input| values[input.index()].as_ref()).collect();
    let operand = |at: usize| operands.get(at).copied().ok_or_else(no_value);
    let elements = match &step.action {
        Action::Share { input } => {
            let input = inputs.get(*input).ok_or_else(no_value)?;
            encode_input(plan, node.name(), input)?.into_vec()
        }
        Action::Linear { weight, bias, map } => {
            let mut output = vec![R::ZERO; map.output_len()];
            map.accumulate(operand(0)?.elements(), parameters.weights[*weight], &mut output);
            let mut output = ArithmeticShares::from_elements(output);
            if let Some((constant, channels)) = bias {
                local::add_channels(&mut output, &parameters.constants[*constant], *channels);
            }
            output.into_elements()
        }
        Action::Truncate { shift, .. } => map(&own.ok_or_else(no_value)?, |x| shifted(x, *shift)),
        Action::Relu { shift, .. } => map(operand(0)?, |x| shifted(x, *shift).max(0)),
        Action::Function(function) => {
            let shape = function.shape();
            let fixed = FixedPoint::new(shape.fractional_bits);
            let apply = |&x: &R| {
                let argument = fixed.decode(R::from_i128(shifted(x.to_i128(), shape.shift)));
                fixed.encode(shape.function.evaluate(argument)).unwrap_or(R::ZERO)
            };
            operand(0)?.elements().iter().map(apply).collect()
        }
        Action::MaxPool { pool, .. } => {
            largest(&local::window_candidates(operand(0)?, pool, &step.shape).map_err(failed)?)
        }
        Action::ArgMax { count, index_bits, .. } => {
            let candidates = local::indexed_candidates(operand(0)?, *count, *index_bits, 0, &step.shape);
            largest(&candidates.map_err(failed)?)
        }
        Action::Rank { count, rows, index_bits, .. } => {
            let candidates = local::indexed_candidates(operand(0)?, *count, *index_bits, 0, &[*rows]);
            ranked(&candidates.map_err(failed)?, step.shape.last().copied().unwrap_or_default())
        }
        Action::WithoutIndex { shift, .. } => map(operand(0)?, |x| x >> shift),
        Action::Multiply { map } => {
            let mut output = vec![R::ZERO; map.output_len()];
            map.accumulate(operand(0)?.elements(), operand(1)?.elements(), &mut output);
            output
        }
        Action::Square => operand(0)?.elements().iter().map(|x| x.wrapping_mul(*x)).collect(),
        Action::Rescale { factor } => own.ok_or_else(no_value)?.scale(R::from_i128((*factor).into())).into_elements(),
        Action::Reveal { .. } => own.ok_or_else(no_value)?.into_elements(),
        action => {
            let result = local::apply(action, &operands, &parameters.constants, 0, &step.shape);
            result.ok_or_else(no_value)?.map_err(failed)?.into_elements()
        }
    };
    ArithmeticShares::new(&step.shape, elements).map_err(failed)
}

fn map<R: Ring>(x: &ArithmeticShares<R>, apply: impl Fn(i128) -> i128) -> Vec<R> {
    x.elements().iter().map(|x| R::from_i128(apply(x.to_i128()))).collect()
}

/// x / 2^shift to the nearest integer.
fn shifted(x: i128, shift: u32) -> i128 {
    if shift == 0 { x } else { ((x >> (shift - 1)) + 1) >> 1 }
}

/// The largest element at each position.
fn largest<R: Ring>(candidates: &[ArithmeticShares<R>]) -> Vec<R> {
    let len = candidates.first().map_or(0, ArithmeticShares::len);
    let at = |position: usize| candidates.iter().map(|c| c.elements()[position].to_i128()).max().unwrap_or(0);
    (0..len).map(|position| R::from_i128(at(position))).collect()
}

/// The largest elements at each position, in falling order.
fn ranked<R: Ring>(candidates: &[ArithmeticShares<R>], kept: usize) -> Vec<R> {
    let len = candidates.first().map_or(0, ArithmeticShares::len);
    let at = |position: usize| {
        let mut elements: Vec<i128> = candidates.iter().map(|c| c.elements()[position].to_i128()).collect();
        elements.sort_unstable_by(|x, y| y.cmp(x));
        elements.into_iter().take(kept).map(R::from_i128)
    };
    (0..len).flat_map(at).collect()
}
