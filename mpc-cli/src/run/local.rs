//! A network that a program holds, run between threads of this process.

use std::ops::ControlFlow;
use std::sync::Arc;

use mpc_nn::{Network, Plan};
use mpc_ring::{Ring, in_ring};
use mpc_transport::Phase;
use ndarray::ArrayD;

use super::arguments::RunArguments;
use super::error::InputError;
use super::event::{Event, Node};
use super::job::Job;
use super::samples::Samples;
use super::subject::{About, Meaning};
use super::summary::{Summary, summarise};
use super::watch::Watch;
use super::{check_range, compared, departure, memory, reference};
use crate::failure::Failure;

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Local {
    /// The cost, and how the results compare with those in the clear.
    pub summary: Summary,
    /// The private outputs in the order of the graph's, those of all inferences one after the other along the first axis.
    pub outputs: Vec<ArrayD<f64>>,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The steps that are done, of all inferences together.
    pub done: usize,
    /// All of them.
    pub all: usize,
    /// The layer that begins.
    pub layer: String,
}

/// Runs a network privately: a thread for each party and the dealer. The arguments give the name, the terms, threads, link
/// and deadline; nothing else of them counts.
///
/// `inputs` are those of each inference, in the order of the graph's. `watch` is told of each step, and may stop the run.
///
/// # Security
/// This process sees everything: there is no privacy in it.
///
/// # Errors
/// [`Failure`]: as [`run`](super::run); [`RunError::Stopped`](super::RunError::Stopped) where `watch` stops it.
pub fn run_local(
    arguments: &RunArguments,
    network: &Arc<Network>,
    inputs: Vec<Vec<ArrayD<f32>>>,
    watch: &mut dyn FnMut(Position) -> ControlFlow<()>,
) -> Result<Local, Failure> {
    in_ring!(arguments.terms.ring, R => run_in::<R>(arguments, network, inputs, watch))
}

fn run_in<R: Ring>(
    arguments: &RunArguments,
    network: &Arc<Network>,
    inputs: Vec<Vec<ArrayD<f32>>>,
    watch: &mut dyn FnMut(Position) -> ControlFlow<()>,
) -> Result<Local, Failure> {
    let mut job = Job::new(arguments, network.graph.clone())?;
    let plan = job.plan::<R>()?;
    let inferences = inputs.into_iter().map(|inputs| inputs.into_iter().map(Some).collect()).collect();
    let samples = Samples { inferences, targets: None, first: 0 };
    check_range(&plan, &samples)?;
    job.inferences = samples.inferences.len();
    let plain = reference::plain_outputs(&plan, &network.weights, &samples, |_| ())?;
    job.start_threads().map_err(|error| InputError::Named(error.to_string()))?;
    let mut observer = Observer { steps: steps(&plan), inferences: job.inferences, watch };
    let inputs = Arc::new(samples.inferences.clone());
    let run = memory::run(&job, &plan.input_owners(), Arc::clone(network), inputs, &mut observer)?;
    let results = compared(&plan, &network.weights, &samples, &run, &plain)?;
    let names: Vec<_> = network.outputs.iter().map(|output| output.name.clone()).collect();
    let about = About { outputs: &names, meaning: Meaning::Values, is_trained: true };
    let mut summary = summarise(arguments, about, &plan, &samples, &results, &run, plain.time)?;
    summary.departure = departure(&plan, &network.weights, &samples, &results, &summary);
    Ok(Local { summary, outputs: results.into_private() })
}

fn steps(plan: &Plan<impl Ring>) -> Vec<String> {
    plan.steps().iter().map(|step| step.name.clone()).collect()
}

/// Tells how far the data owner is.
struct Observer<'a> {
    steps: Vec<String>,
    inferences: usize,
    watch: &'a mut dyn FnMut(Position) -> ControlFlow<()>,
}

impl Watch for Observer<'_> {
    fn event(&mut self, node: Node, event: &Event, is_last: bool) -> ControlFlow<()> {
        let (inference, step, phase) = match event {
            Event::Step { inference, phase, step } if node == Node::Party(1) => (*inference, *step, *phase),
            Event::Inferred(inferred) if is_last => (inferred.inference + 1, 0, Phase::Online),
            _ => return ControlFlow::Continue(()),
        };
        // What is drawn ahead of time is not yet done.
        let step = if phase == Phase::Online { step } else { 0 };
        let layer = self.steps.get(step).cloned().unwrap_or_default();
        let all = self.steps.len() * self.inferences;
        (self.watch)(Position { done: self.steps.len() * inference + step, all, layer })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use mpc_nn::{GraphBuilder, Weights};
    use mpc_ring::RingBits;
    use ndarray::array;

    use super::*;
    use crate::run::{InputError, RunError};

    /// A network of two layers, the second of that name.
    pub(crate) fn network(name: &str) -> Arc<Network> {
        let mut builder = GraphBuilder::new();
        let x = builder.input("x", &[1, 3]).unwrap();
        let y = builder.square("square", x).unwrap();
        let y = builder.relu(name, y).unwrap();
        let graph = builder.finish(&[y]).unwrap();
        let weights = Weights::for_graph(&graph, Default::default()).unwrap();
        Arc::new(Network::new(graph, weights))
    }

    fn inputs(count: usize) -> Vec<Vec<ArrayD<f32>>> {
        vec![vec![array![[0.5, -2.0, 0.0]].into_dyn()]; count]
    }

    #[test]
    fn a_run_gives_results_and_tells_how_far_it_is() {
        let mut positions = Vec::new();
        let mut watch = |position: Position| {
            positions.push((position.done, position.all));
            ControlFlow::Continue(())
        };
        let local = run_local(&RunArguments::default(), &network("relu"), inputs(2), &mut watch).unwrap();
        let squares = [0.25, 4.0, 0.0, 0.25, 4.0, 0.0];
        assert!(local.outputs[0].iter().zip(squares).all(|(private, plain)| (private - plain).abs() < 1e-3));
        assert!(local.summary.agree && local.summary.matches_plan && local.summary.count == 2);
        let all = 2 * local.summary.per_layer.len();
        assert_eq!(positions.last(), Some(&(all, all)));
        assert!(positions.is_sorted());
    }

    #[test]
    fn what_is_compared_may_not_differ_by_more_than_the_bound() {
        let mut builder = GraphBuilder::new();
        let x = builder.input("x", &[1, 1, 1, 2]).unwrap();
        let y = builder.max_pool("largest", x, mpc_nn::Pool::new([1, 2])).unwrap();
        let graph = builder.finish(&[y]).unwrap();
        let weights = Weights::for_graph(&graph, Default::default()).unwrap();
        let network = Arc::new(Network::new(graph, weights));
        let run = |values: [f32; 2]| {
            let inputs = vec![vec![ArrayD::from_shape_vec(vec![1, 1, 1, 2], values.to_vec()).unwrap()]];
            run_local(&RunArguments::default(), &network, inputs, &mut |_| ControlFlow::Continue(()))
        };
        for values in [[8_000.0, -8_000.0], [-16_000.0, 100.0], [16_000.0, 15_000.0]] {
            let largest = run(values).unwrap().outputs[0][[0, 0, 0, 0]];
            assert!((largest - f64::from(values[0].max(values[1]))).abs() < 1e-3, "{values:?}: {largest}");
        }
        // Each of them is below the bound, but a maximum would be the smaller one.
        let refused = run([-9_000.0, 9_000.0]);
        assert!(matches!(refused, Err(Failure::Input(InputError::Spread { .. }))));
    }

    /// It was an error of the network in the clear, and the run gave no results.
    #[test]
    fn inputs_that_are_rounded_to_where_there_is_no_value_depart() {
        let mut builder = GraphBuilder::new();
        let x = builder.input("x", &[1, 1, 1, 2]).unwrap();
        let y = builder.function("y", x, mpc_protocols::function::Function::Log).unwrap();
        let graph = builder.finish(&[y]).unwrap();
        let weights = Weights::for_graph(&graph, Default::default()).unwrap();
        let inputs = vec![vec![ArrayD::from_shape_vec(vec![1, 1, 1, 2], vec![1e-6, 1.0]).unwrap()]];
        let network = Arc::new(Network::new(graph, weights));
        let run = run_local(&RunArguments::default(), &network, inputs, &mut |_| ControlFlow::Continue(()));
        let Summary { agree, departure, .. } = run.unwrap().summary;
        assert!(!agree && departure.is_some_and(|departure| departure.layer == "y"));
    }

    #[test]
    fn a_run_that_is_stopped_gives_no_result() {
        let mut seen = 0;
        let mut watch = |_: Position| {
            seen += 1;
            ControlFlow::Break(())
        };
        let stopped = run_local(&RunArguments::default(), &network("relu"), inputs(1000), &mut watch);
        assert!(matches!(stopped, Err(Failure::Run(RunError::Stopped))));
        assert_eq!(seen, 1);
    }

    /// The part of each of three values, and their sum with weights.
    fn ran(values: [f32; 3], weight: f32) -> Local {
        ran_with(&RunArguments::default(), values, weight)
    }

    fn ran_with(arguments: &RunArguments, values: [f32; 3], weight: f32) -> Local {
        let mut builder = GraphBuilder::new();
        let x = builder.input("x", &[1, 3]).unwrap();
        let sum = builder.sum("sum", x, &[1]).unwrap();
        let parts = builder.divide("parts", x, sum, true).unwrap();
        let twice = builder.scale("twice", x, 2.0).unwrap();
        let weighted = builder.linear("weighted", twice, 1, false).unwrap();
        let graph = builder.finish(&[parts, weighted]).unwrap();
        let weights = [("weighted.weight".to_owned(), ArrayD::from_elem(vec![1, 3], weight))];
        let weights = Weights::for_graph(&graph, BTreeMap::from(weights)).unwrap();
        let network = Arc::new(Network::new(graph, weights));
        let inputs = vec![vec![ArrayD::from_shape_vec(vec![1, 3], values.to_vec()).unwrap()]];
        run_local(arguments, &network, inputs, &mut |_| ControlFlow::Continue(())).unwrap()
    }

    #[test]
    fn inputs_that_keep_few_bits_are_named() {
        let local = ran([0.0001, 0.0002, 0.00013], 0.5);
        let departure = local.summary.departure.expect("a quotient departs");
        let coarse = departure.coarse.as_ref().unwrap();
        assert_eq!((&*departure.layer, &*coarse.values), ("parts", "x"));
        assert!((3.0..4.0).contains(&coarse.bits) && departure.error > 0.002, "{departure:?}");
        let told = departure.to_string();
        let enough = departure.enough.expect("more bits keep enough");
        assert!(told.contains("values of `x` about 0.00015 keep 3.3 bits at f = 16"), "{told}");
        assert!(told.contains(&format!("--fractional-bits {enough} keeps enough")), "{told}");
        // What rounding the inputs makes of them is no fault of the run.
        assert!(local.summary.agree);
    }

    #[test]
    fn weights_that_keep_few_bits_are_named() {
        let departure = ran([3000.0, 2000.0, 1500.0], 0.000_12).summary.departure.expect("a layer departs");
        let coarse = departure.coarse.unwrap();
        assert_eq!((&*departure.layer, &*coarse.values), ("weighted", "weighted.weight"));
        assert!(departure.enough.is_some());
    }

    #[test]
    fn a_ring_that_has_room_for_enough_bits_is_named() {
        let mut arguments = RunArguments::default();
        arguments.terms.ring = RingBits::Bits32;
        let departure = ran_with(&arguments, [0.03, 0.02, 0.01], 0.5).summary.departure.expect("a quotient departs");
        assert!(departure.to_string().ends_with("; --ring 64 --fractional-bits 16 keeps enough"), "{departure}");
    }

    #[test]
    fn what_keeps_enough_is_not_named() {
        for values in [[0.5, 2.0, 1.0], [3000.0, 2000.0, 1500.0], [0.03, 0.02, 0.01]] {
            assert_eq!(ran(values, 0.5).summary.departure, None, "{values:?}");
        }
    }
}
