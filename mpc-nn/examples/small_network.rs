//! A small network: planned, run privately by two parties and a dealer in this process, and run in the clear.
//!
//! `cargo run --release -p mpc-nn --example small_network`

use std::collections::BTreeMap;
use std::error::Error;

use mpc_nn::{GraphBuilder, Plan, Settings, Weights, evaluate, in_process};
use ndarray::ArrayD;

/// Runs the network both ways and compares the scores.
///
/// # Errors
/// Those of the graph, the plan and the runs.
pub fn main() -> Result<(), Box<dyn Error>> {
    let mut builder = GraphBuilder::new();
    let features = builder.input("features", &[1, 4])?;
    let hidden = builder.linear("hidden", features, 8, true)?;
    let hidden = builder.relu("relu", hidden)?;
    let scores = builder.linear("scores", hidden, 3, true)?;
    let graph = builder.finish(&[scores])?;

    // Weights of both signs; those of a trained network come from a file.
    let tensors: BTreeMap<_, _> = graph
        .parameters()
        .into_iter()
        .map(|parameter| {
            let mut tensor = ArrayD::zeros(parameter.shape);
            tensor.iter_mut().zip(0u8..).for_each(|(weight, at)| *weight = f32::from(at % 7) / 4.0 - 0.75);
            (parameter.name, tensor)
        })
        .collect();
    let weights = Weights::for_graph(&graph, tensors)?;
    let input = [ArrayD::from_shape_vec(vec![1, 4], vec![0.5, -1.0, 2.0, 0.25])?];

    // The costs are known before anything runs. Party 0 owns the weights, party 1 the input and the result.
    let plan = Plan::<u64>::new(&graph, Settings::new(2))?;
    let online = plan.online(0);
    println!("party 0 sends {} bytes in {} rounds", online.bytes_sent(), online.rounds);

    let private = in_process::infer(&plan, &weights, &input)?;
    let clear = evaluate(&graph, &weights, &input)?;
    for (private, clear) in private[0].iter().zip(&clear[0]) {
        println!("private {private:.4}, in the clear {clear:.4}");
        assert!((private - f64::from(*clear)).abs() < 0.001);
    }
    Ok(())
}
