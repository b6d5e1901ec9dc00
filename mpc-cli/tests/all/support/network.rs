//! A network and its inputs.

use std::collections::BTreeMap;

use mpc_nn::{GraphBuilder, Network, Weights};
use ndarray::ArrayD;

pub const INPUTS: usize = 8;
const OUTPUTS: usize = 4;

/// The small network of the tests, and its weights.
pub fn network() -> Network {
    let mut builder = GraphBuilder::new();
    let x = builder.input("x", &[1, INPUTS]).unwrap();
    let first = builder.linear("first", x, 2 * INPUTS, true).unwrap();
    let relu = builder.relu("relu", first).unwrap();
    let second = builder.linear("second", relu, OUTPUTS, true).unwrap();
    let graph = builder.finish(&[second]).unwrap();
    let weight = |index: usize| ((index * 37 % 101) as f32 / 101.0) - 0.5;
    let tensors: BTreeMap<_, _> = graph
        .parameters()
        .into_iter()
        .map(|tensor| {
            let values = (0..tensor.shape.iter().product()).map(weight).collect();
            (tensor.name, ArrayD::from_shape_vec(tensor.shape, values).unwrap())
        })
        .collect();
    let weights = Weights::for_graph(&graph, tensors).unwrap();
    let mut network = Network::new(graph, weights);
    network.outputs[0].name = "y".into();
    network
}

/// An input whose digits are found nowhere by chance.
pub fn sample(seed: usize) -> ArrayD<f32> {
    ArrayD::from_shape_fn(vec![1, INPUTS], |index| ((index[1] * 7919 + seed * 104_729) % 10_007) as f32 / 5003.5 - 1.0)
}
