//! Random networks' weights and links for the tests.
#![allow(missing_docs, dead_code)]

use std::collections::BTreeMap;
use std::time::Duration;

use mpc_nn::{
    ConvolutionOptions, DealerSession, Graph, GraphBuilder, InferenceError, NodeId, Op, Plan, Pool, SessionOptions,
    Weights,
};
use mpc_protocols::function::Function;
pub use mpc_protocols::in_process::{block_on, on_threads};
use mpc_ring::Ring;
use mpc_shares::Seed;
use mpc_transport::{Link, MemoryTransport, memory_link, memory_network};
use ndarray::{ArrayD, IxDyn};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;

pub const DEADLINE: Duration = Duration::from_secs(20);

pub fn random_tensor(shape: &[usize], scale: f32, generator: &mut ChaCha20Rng) -> ArrayD<f32> {
    ArrayD::from_shape_simple_fn(IxDyn(shape), || (generator.next_u32() as f32 / u32::MAX as f32 * 2.0 - 1.0) * scale)
}

pub fn random_weights(graph: &Graph, generator: &mut ChaCha20Rng) -> Weights {
    let tensors: BTreeMap<_, _> = graph
        .parameters()
        .into_iter()
        .map(|parameter| (parameter.name, random_tensor(&parameter.shape, 0.4, generator)))
        .collect();
    Weights::for_graph(graph, tensors).unwrap()
}

/// The parties' and the dealer's ends of their links.
pub fn dealer_links(parties: usize, deadline: Duration) -> (Vec<Link>, Vec<Link>) {
    (0..parties).map(|_| memory_link(deadline)).unzip()
}

/// The options of a participant's session, its seed being made of `seed`.
pub fn options(seed: u8) -> SessionOptions {
    SessionOptions::new([1; 16], Seed::from_bytes([seed; 32]))
}

/// Runs `party` for every party, each on a thread of its own, and a dealer that deals `inferences` times.
pub fn run_parties<R: Ring, O: Send>(
    plan: &Plan<R>,
    inferences: usize,
    party: impl AsyncFn(MemoryTransport, Link) -> O + Sync,
) -> Vec<O> {
    let deal = async |dealer: &mut DealerSession<'_, R>| {
        for _ in 0..inferences {
            dealer.deal(&mut |_| ()).await?;
        }
        Ok(())
    };
    run_with_dealer(plan, deal, party)
}

/// As [`run_parties`], with a dealer that is audited.
pub fn run_audited<R: Ring, O: Send>(
    plan: &Plan<R>,
    count: u32,
    audited: u32,
    party: impl AsyncFn(MemoryTransport, Link) -> O + Sync,
) -> Vec<O> {
    let deal = async |dealer: &mut DealerSession<'_, R>| {
        let seeds = dealer.commit(count).await?;
        for place in 0..count {
            dealer.deal_committed(&seeds, place, &mut |_| ()).await?;
        }
        dealer.tell_seeds(seeds, audited).await
    };
    run_with_dealer(plan, deal, party)
}

fn run_with_dealer<R: Ring, O: Send>(
    plan: &Plan<R>,
    deal: impl AsyncFnOnce(&mut DealerSession<'_, R>) -> Result<(), InferenceError> + Send,
    party: impl AsyncFn(MemoryTransport, Link) -> O + Sync,
) -> Vec<O> {
    let parties = plan.settings().parties;
    let (party_links, dealer_links) = dealer_links(parties, DEADLINE);
    let dealing = || {
        block_on(async {
            let mut dealer = DealerSession::open(dealer_links, plan, options(99)).await?;
            deal(&mut dealer).await
        })
    };
    let party = &party;
    let ends = memory_network(parties, DEADLINE).into_iter().zip(party_links);
    let running = ends.map(|(transport, link)| move || block_on(party(transport, link)));
    // Where the dealer failed, a party has, and says why.
    on_threads(running, dealing).0
}

/// Runs `party` for every party of a session without a dealer.
pub fn run_without_dealer<R: Ring, O: Send>(
    plan: &Plan<R>,
    party: impl AsyncFn(MemoryTransport) -> O + Sync,
) -> Vec<O> {
    let party = &party;
    let transports = memory_network(plan.settings().parties, DEADLINE).into_iter();
    on_threads(transports.map(|transport| move || block_on(party(transport))), || ()).0
}

/// Random inputs of a graph.
pub fn random_inputs(graph: &Graph, generator: &mut ChaCha20Rng) -> Vec<ArrayD<f32>> {
    let input = |&id: &NodeId| match graph.node(id).op() {
        Op::WholeInput => random_tensor(graph.node(id).shape(), 3.4, generator).mapv(f32::round),
        _ => random_tensor(graph.node(id).shape(), 1.0, generator),
    };
    graph.inputs().iter().map(input).collect()
}

/// The largest difference of private outputs from those in the clear.
pub fn largest_error(private: &[ArrayD<f64>], plain: &[ArrayD<f32>]) -> f64 {
    assert_eq!(private.len(), plain.len());
    let differences = private.iter().zip(plain).flat_map(|(private, plain)| {
        assert_eq!(private.shape(), plain.shape());
        private.iter().zip(plain).map(|(p, &q)| (p - f64::from(q)).abs())
    });
    differences.fold(0.0, f64::max)
}

/// A small classifier with two inputs: a convolution, pools, a residual sum, a product and linear layers.
pub fn classifier() -> Graph {
    let mut b = GraphBuilder::new();
    let image = b.input("image", &[2, 1, 6, 6]).unwrap();
    let features = b.input("features", &[2, 3]).unwrap();
    let options = ConvolutionOptions { padding: [1; 4], bias: true, ..ConvolutionOptions::new(2, [3, 3]) };
    let x = b.convolution("stem", image, options).unwrap();
    let x = b.relu("relu", x).unwrap();
    let x = b.max_pool("pool", x, Pool::new([2, 2])).unwrap();
    let x = b.flatten("flat", x).unwrap();
    let x = b.linear("narrow", x, 3, true).unwrap();
    let gate = b.multiply("gate", x, features).unwrap();
    let x = b.add("sum", x, gate).unwrap();
    let scores = b.linear("scores", x, 5, true).unwrap();
    b.finish(&[scores]).unwrap()
}

/// A random network of layers on [rows, features], made of the bytes: some of every kind, with one or two outputs.
pub fn random_graph(choices: &[u8]) -> Graph {
    let mut b = GraphBuilder::new();
    let mut values = vec![b.input("x", &[2, 4]).unwrap(), b.input("y", &[2, 3]).unwrap()];
    let joined = b.concat("joined", &values, 1).unwrap();
    values.push(joined);
    for (index, &choice) in choices.iter().enumerate() {
        let name = format!("layer {index}");
        let x = values[values.len() - 1 - usize::from(choice >> 6) % values.len()];
        let features = b.shape(x).unwrap()[1];
        let value = match choice % 8 {
            0 | 1 => b.linear(&name, x, 1 + usize::from(choice >> 4) % 5, choice & 8 == 0),
            2 => b.relu(&name, x),
            3 => b.function(&name, x, Function::Sigmoid),
            4 => b.scale(&name, x, -0.5),
            5 => b.add(&name, x, x),
            6 => b.sum(&name, x, &[1]),
            _ => b.gather(&name, x, 1, &[features - 1, 0]),
        };
        values.push(value.unwrap());
    }
    let last = values[values.len() - 1];
    let outputs = if last == joined { vec![joined] } else { vec![last, joined] };
    b.finish(&outputs).unwrap()
}
