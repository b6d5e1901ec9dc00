//! A plan in the clear: the same fixed point and the same steps, on plain ring elements.
//!
//! The result of a private run but for the run's own errors, a few units in the last place for each truncation. Between
//! the result in floating point and this one lies the error of rounding; between this one and the private run that of
//! the protocols.

use alloc::vec::Vec;

use mpc_ring::Ring;
use mpc_shares::ArithmeticShares;
use ndarray::ArrayD;

use crate::clear::check_inputs;
use crate::error::InferenceError;
use crate::ops::values::{Failure, Operands, Values};
use crate::plan::{Action, Plan};
use crate::run::context::Ideal;
use crate::run::fixed_point::{encode_input, encode_weights, split_parameters};
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
    let graph = plan.graph();
    check_inputs(graph, graph.inputs(), inputs)?;
    let secrets = encode_weights(plan, Some(weights))?;
    let [weights, constants] = split_parameters(plan, &secrets);
    let constants = constants.into_iter().map(|constant| ArithmeticShares::from_elements(constant.to_vec()));
    let constants: Vec<_> = constants.collect();
    let encode = |(&id, input)| encode_input(plan, graph.node(id), input).map(Some);
    let mut inputs = graph.inputs().iter().zip(inputs).map(encode).collect::<Result<Vec<_>, _>>()?;
    let mut values = Values::new(graph);
    let mut outputs = Vec::new();
    for (index, step) in plan.steps().iter().enumerate() {
        let failed = |failure: Failure| failure.in_step(step);
        let own = values.take(step).ok();
        // A step that changes a value in place comes when those that it was made of may be gone.
        let operands = values.operands(step).unwrap_or_default();
        let operands = Operands { values: operands, constants: &constants, party: 0 };
        let ideal = Ideal { operands, own, weights: &weights, inputs: &mut inputs };
        let value = step.ideal(ideal).map_err(failed)?;
        let real = step.format.decode(value.elements(), &step.shape);
        observe(index, &real);
        if let Action::Reveal { .. } = step.action {
            outputs.push(real);
        }
        values.set(step, value);
        values.free(step);
    }
    Ok(outputs)
}
