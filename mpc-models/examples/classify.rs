//! Classifies the bundled digits with the bundled ResNet-32, in the clear.
//!
//! `cargo run --release -p mpc-models --example classify [first] [last]`

use std::error::Error;
use std::time::Instant;

use mpc_models::{Digits, Model};
use mpc_nn::evaluate;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = std::env::args().skip(1).map(|argument| argument.parse()).collect::<Result<Vec<usize>, _>>()?;
    let first = arguments.first().copied().unwrap_or(0);
    let last = arguments.get(1).copied().unwrap_or(first);
    classify(first, last).map(drop)
}

/// Prints each digit from the first to the last one, and counts those that it classifies as what they show.
pub fn classify(first: usize, last: usize) -> Result<usize, Box<dyn Error>> {
    let mut right = 0;
    let model = Model::by_name("resnet32")?;
    let graph = model.graph(1)?;
    let weights = model.load(model.bundled_weights().ok_or("built without weights")?, &graph)?;
    let digits = Digits::bundled()?;
    for index in first..=last {
        let image = digits.image(index)?;
        let start = Instant::now();
        let logits = evaluate(&graph, &weights, &[image])?.remove(0);
        let class = (0..model.classes()).max_by(|&a, &b| logits[[0, a]].total_cmp(&logits[[0, b]])).unwrap_or(0);
        let label = digits.label(index)?;
        right += usize::from(class == usize::from(label));
        println!("digit {index}: shows {label}, classified as {class} in {:.1?}", start.elapsed());
    }
    Ok(right)
}
