//! An ONNX file becomes a network, which is evaluated in the clear.
//!
//! `cargo run -p mpc-onnx --example import [FILE.onnx]`

use std::error::Error;

use mpc_nn::evaluate;
use ndarray::ArrayD;

/// A small network as PyTorch exports it, with its weights in a file beside.
pub const SMALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/external/model.onnx");

fn main() -> Result<(), Box<dyn Error>> {
    show(&std::env::args().nth(1).unwrap_or_else(|| SMALL.to_owned()))
}

/// Prints a file's inputs and outputs, and its value on inputs of 0.5.
pub fn show(path: &str) -> Result<(), Box<dyn Error>> {
    let network = mpc_onnx::import(path)?;
    let input = |&id| ArrayD::from_elem(network.graph.node(id).shape(), 0.5f32);
    let inputs: Vec<_> = network.graph.inputs().iter().map(input).collect();
    for input in &network.inputs {
        println!("input {}: {:?}", input.name, input.shape);
    }
    let outputs = evaluate(&network.graph, &network.weights, &inputs)?;
    for (output, value) in network.outputs.iter().zip(outputs) {
        println!("output {}: {:?}\n{value:.4}", output.name, output.shape);
        if value.iter().any(|value| !value.is_finite()) {
            return Err("the network overflows".into());
        }
    }
    Ok(())
}
