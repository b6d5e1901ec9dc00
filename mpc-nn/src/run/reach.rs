//! Values that follow from inputs alone: their owner can compare them with the plan's bounds before anybody takes part.

use alloc::borrow::ToOwned;
use alloc::vec;
use alloc::vec::Vec;

use mpc_ring::Ring;
use ndarray::{ArrayD, IxDyn};
use zeroize::Zeroize as _;

use crate::clear::EvaluateError;
use crate::clear::node::Clear;
use crate::error::InferenceError;
use crate::graph::NodeId;
use crate::ops;
use crate::plan::{Owner, Plan};
use crate::values::{self, range};
use crate::weights::Weights;

/// The values of nodes, zeroised when nothing reads them any more.
struct Values(Vec<ArrayD<f32>>);

impl Values {
    fn forget(&mut self, id: NodeId) {
        let value = core::mem::replace(&mut self.0[id.index()], ArrayD::default(IxDyn(&[0])));
        value.into_raw_vec_and_offset().0.zeroize();
    }
}

impl Drop for Values {
    fn drop(&mut self) {
        core::mem::take(&mut self.0).into_iter().for_each(|value| value.into_raw_vec_and_offset().0.zeroize());
    }
}

/// Checks each value that depends on no weight and on no input of others, in floating point, against the plan's bounds.
pub(super) fn check_values<R: Ring>(
    plan: &Plan<R>,
    owner: Owner,
    inputs: &[ArrayD<f32>],
) -> Result<(), InferenceError> {
    let graph = plan.graph();
    let owners = plan.input_owners();
    let owned = graph.inputs().iter().zip(owners).filter(|&(_, other)| other == owner).map(|(&id, _)| id);
    let owned: Vec<NodeId> = owned.collect();
    let (weights, last_readers) = (Weights::none(), graph.last_readers());
    let mut values = Values(vec![ArrayD::default(IxDyn(&[0])); graph.nodes().len()]);
    let mut is_known = vec![false; graph.nodes().len()];
    for (id, node) in graph.iter() {
        let given = owned.iter().position(|&input| input == id).map(|input| &inputs[input]);
        let follows = !node.inputs().is_empty() && node.inputs().iter().all(|input| is_known[input.index()]);
        if given.is_some() || (follows && node.parameters(id).is_empty()) {
            let value = ops::clear(node.op(), &Clear { node, weights: &weights, values: &values.0, given });
            let compared = node.inputs().first().filter(|_| node.compares_elements());
            let spread = compared.map(|compared| range(&values.0[compared.index()]));
            values.0[id.index()] = value;
            let value = &values.0[id.index()];
            let name = || node.name().to_owned();
            if values::check(value, f32::MAX).is_err() {
                return Err(EvaluateError::Overflow { name: name() }.into());
            }
            let ([low, high], bound) = (range(value), plan.bound(id));
            if f64::from(high.max(-low)) >= bound {
                return Err(InferenceError::Reach { node: name(), bound });
            }
            let bound = plan.settings().bound();
            if spread.is_some_and(|[low, high]| f64::from(high) - f64::from(low) >= bound) {
                return Err(InferenceError::Spread { node: name(), bound });
            }
            is_known[id.index()] = true;
        }
        for input in node.inputs().iter().filter(|input| last_readers[input.index()] == Some(id)) {
            values.forget(*input);
        }
    }
    Ok(())
}
