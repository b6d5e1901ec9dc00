//! Random networks' weights and links for the tests.
#![allow(missing_docs, dead_code)]

use std::collections::BTreeMap;
use std::time::Duration;

use mpc_nn::{Graph, Weights};
use mpc_transport::{MemoryTransport, memory_network};
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
pub fn dealer_links(parties: usize, deadline: Duration) -> (Vec<MemoryTransport>, Vec<MemoryTransport>) {
    (0..parties)
        .map(|_| {
            let mut ends = memory_network(2, deadline);
            let dealer = ends.pop().unwrap();
            (ends.pop().unwrap(), dealer)
        })
        .unzip()
}
