//! Bytes either are the weights of a network, or are refused, in memory bounded by the file.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mpc_models::{file_limit, load_folded};
use mpc_nn::{ConvolutionOptions, Graph, GraphBuilder};

/// A convolution with batch normalisation, and one without.
static GRAPH: LazyLock<Graph> = LazyLock::new(|| {
    let mut builder = GraphBuilder::new();
    let input = builder.input("input", &[1, 1, 2, 2]).expect("a valid input");
    let hidden = builder.convolution("conv1", input, ConvolutionOptions::new(2, [1, 1])).expect("a valid layer");
    let output = builder.convolution("last", hidden, ConvolutionOptions::new(1, [1, 1])).expect("a valid layer");
    builder.finish(&[output]).expect("a valid graph")
});

fuzz_target!(|bytes: &[u8]| {
    let norm = |name: &str| (name == "conv1").then(|| "bn1".to_owned());
    if load_folded(bytes, &GRAPH, norm).is_ok() {
        assert!(bytes.len() <= file_limit(&GRAPH));
    }
});
