//! Values that follow from inputs alone: their owner can compare them with the plan's bounds before anybody takes part.

use alloc::borrow::ToOwned;
use alloc::vec;
use alloc::vec::Vec;

use mpc_ring::Ring;
use ndarray::{ArrayD, IxDyn};

use crate::clear::node::Clear;
use crate::clear::{Ranges, value_of};
use crate::error::InferenceError;
use crate::graph::NodeId;
use crate::plan::{Owner, Plan};
use crate::weights::{Weights, zeroize};

/// The values of nodes, zeroised when nothing reads them any more.
struct Values(Vec<ArrayD<f32>>);

impl Values {
    fn forget(&mut self, id: NodeId) {
        zeroize(core::mem::take(&mut self.0[id.index()]));
    }
}

impl Drop for Values {
    fn drop(&mut self) {
        core::mem::take(&mut self.0).into_iter().for_each(zeroize);
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
    let mut ranges = Ranges::default();
    let mut is_known = vec![false; graph.nodes().len()];
    for (id, node) in graph.iter() {
        let given = owned.iter().position(|&input| input == id).map(|input| &inputs[input]);
        let follows = !node.inputs().is_empty() && node.inputs().iter().all(|input| is_known[input.index()]);
        if given.is_some() || (follows && node.parameters(id).is_empty()) {
            let value = value_of(&Clear { node, weights: &weights, values: &values.0, given })?;
            let (magnitude, bound) = (ranges.add(id, &value), plan.bound(id));
            values.0[id.index()] = value;
            let name = || node.name().to_owned();
            if f64::from(magnitude) >= bound {
                return Err(InferenceError::Reach { node: name(), bound });
            }
            let bound = plan.settings().bound();
            if plan.compared(&ranges, id).is_some_and(|compared| compared >= bound) {
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
