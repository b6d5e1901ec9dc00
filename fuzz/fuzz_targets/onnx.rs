//! Bytes either are a network whose weights and inputs fit its graph, or are refused, in bounded memory and time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mpc_nn::weights::MAX_WEIGHT;
use mpc_onnx::{InputShapes, OnnxFile};

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = OnnxFile::from_bytes(bytes) else { return };
    match file.import(&InputShapes::new()) {
        Err(error) => assert!(!error.reasons.is_empty() && !error.to_string().is_empty()),
        Ok(network) => {
            let graph = &network.graph;
            assert_eq!(graph.inputs().len(), network.inputs.len());
            assert_eq!(graph.outputs().len(), network.outputs.len());
            for (&id, input) in graph.inputs().iter().zip(&network.inputs) {
                let places = input.encoding.rows().map_or(1, |rows| rows.len());
                assert_eq!(graph.node(id).len(), input.shape.iter().product::<usize>() * places);
            }
            for (&id, output) in graph.outputs().iter().zip(&network.outputs) {
                assert_eq!(graph.node(id).len(), output.shape.iter().product::<usize>());
            }
            assert!(network.weights.iter().all(|(_, weight)| weight.iter().all(|x| x.abs() <= MAX_WEIGHT)));
        }
    }
});
