//! The executor in every ring, compiled with this crate for all programs: why, `mpc_protocols::instances` says.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::error::Error;

use mpc_ring::{Ring, RingBits, in_ring};
use ndarray::ArrayD;

use crate::graph::{Graph, GraphBuilder, GraphError};
use crate::plan::{Owner, Plan, Roles, Settings};
use crate::weights::Weights;
use crate::{evaluate, ideal, in_process};

/// Runs a small network: its weights and inputs at two parties, and outside; and the ideal.
///
/// # Errors
/// Those of the runs.
pub fn run(ring: RingBits, parties: usize) -> Result<(), Box<dyn Error>> {
    in_ring!(ring, R => run_in::<R>(parties))
}

/// Precise enough, and small enough for the smallest ring.
const FRACTIONAL_BITS: u32 = 6;
const COMPARISON_BITS: u32 = 18;
const TOLERANCE: f64 = 0.25;

fn run_in<R: Ring>(parties: usize) -> Result<(), Box<dyn Error>> {
    let graph = network()?;
    let tensors: BTreeMap<_, _> = graph
        .parameters()
        .into_iter()
        .map(|parameter| (parameter.name, ArrayD::from_elem(parameter.shape, 0.5)))
        .collect();
    let weights = Weights::for_graph(&graph, tensors)?;
    let inputs = [ArrayD::from_elem([1, 2].as_slice(), 1.5)];
    let clear = evaluate(&graph, &weights, &inputs)?;
    for roles in [Roles::default(), Roles::new(Owner::Outside, Owner::Outside)] {
        let settings = Settings::new(parties);
        let settings =
            Settings { fractional_bits: FRACTIONAL_BITS, comparison_bits: COMPARISON_BITS, roles, ..settings };
        let plan = Plan::<R>::new(&graph, settings)?;
        let private = in_process::infer(&plan, &weights, &inputs)?;
        let ideal = ideal::evaluate(&plan, &weights, &inputs, |_, _| ())?;
        for (found, clear) in private.iter().chain(&ideal).zip(clear.iter().cycle()) {
            let near = |(found, &clear): (&f64, &f32)| (found - f64::from(clear)).abs() < TOLERANCE;
            if !found.iter().zip(clear).all(near) {
                return Err("a result differs from that in the clear".into());
            }
        }
    }
    Ok(())
}

fn network() -> Result<Graph, GraphError> {
    let mut builder = GraphBuilder::new();
    let x = builder.input("x", &[1, 2])?;
    let x = builder.linear("linear", x, 2, true)?;
    let x = builder.relu("relu", x)?;
    builder.finish(&[x])
}
