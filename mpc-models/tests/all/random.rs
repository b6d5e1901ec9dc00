//! Weights that are made up.

use mpc_models::{Model, mobilenetv2, random_weights, resnet18};
use mpc_nn::{ConvolutionOptions, Graph, GraphBuilder, Weights, evaluate, evaluate_with};
use ndarray::{ArrayD, IxDyn};

fn variance(weights: &Weights, name: &str) -> f32 {
    let tensor = weights.get(name).unwrap();
    tensor.iter().map(|value| value * value).sum::<f32>() / tensor.len() as f32
}

/// A pattern between −1 and 1.
fn image(shape: &[usize]) -> ArrayD<f32> {
    ArrayD::from_shape_fn(IxDyn(shape), |index| ((index[1] + 3 * index[2] + 5 * index[3]) as f32 * 0.37).sin())
}

/// The largest magnitude of each layer's output.
fn magnitudes(graph: &Graph, seed: u64) -> Vec<f32> {
    let weights = random_weights(graph, seed).unwrap();
    let mut largest = Vec::new();
    let input = image(graph.node(graph.inputs()[0]).shape());
    let observe = |_, value: &ArrayD<f32>| largest.push(value.iter().fold(0.0f32, |max, x| max.max(x.abs())));
    evaluate_with(graph, &weights, &[input], observe).unwrap();
    largest
}

#[test]
fn the_variance_is_that_of_he() {
    let graph = resnet18(1, 1000).unwrap();
    let weights = random_weights(&graph, 0).unwrap();
    let near = |name: &str, expected: f32| {
        let found = variance(&weights, name);
        assert!((found / expected - 1.0).abs() < 0.05, "{name}: {found}, not {expected}");
    };
    near("conv1.weight", 2.0 / (3.0 * 49.0));
    near("layer3.1.conv1.weight", 2.0 / (256.0 * 9.0));
    near("fc.weight", 2.0 / 512.0);
    // Added to a shortcut that is no convolution, one of eight sums.
    near("layer3.1.conv2.weight", 2.0 / (256.0 * 9.0) / 8.0);
    // Added to one another.
    near("layer3.0.conv2.weight", 1.0 / (256.0 * 9.0));
    near("layer3.0.downsample.0.weight", 1.0 / 128.0);
    near("fc.bias", 1.0 / 512.0 / 3.0);
    let largest = weights.get("fc.weight").unwrap().iter().fold(0.0f32, |max, x| max.max(x.abs()));
    assert!(largest <= (6.0f32 / 512.0).sqrt() && largest > 0.1);
}

/// The numbers here must never change: results that were published with them could not be had again.
#[test]
fn the_numbers_are_fixed() {
    let mut builder = GraphBuilder::new();
    let x = builder.input("x", &[1, 1, 1, 6]).unwrap();
    let x = builder.convolution("conv", x, ConvolutionOptions::new(1, [1, 6])).unwrap();
    let x = builder.scale_channels("scale", x, 1, 1).unwrap();
    let graph = builder.finish(&[x]).unwrap();
    let weights = random_weights(&graph, 7).unwrap();
    let all: Vec<f32> = ["conv.weight", "conv.bias", "scale.weight"]
        .iter()
        .flat_map(|name| weights.get(name).unwrap().clone())
        .collect();
    let fixed = [-0.693046, -0.95332885, 0.6721064, 0.06921542, 0.43726122, 0.90277207, -0.30035883, 0.9567621];
    assert_eq!(all, fixed);
}

#[test]
fn activations_keep_their_magnitude() {
    for graph in [resnet18(1, 1000).unwrap(), Model::by_name("vgg16").unwrap().graph(1).unwrap()] {
        let largest = magnitudes(&graph, 1);
        assert!(largest.iter().all(|&magnitude| (0.05..100.0).contains(&magnitude)), "{largest:?}");
    }
}

#[test]
fn a_network_without_weights_runs_and_says_so() {
    let model = Model::by_name("mobilenetv2").unwrap();
    assert!(model.bundled_weights().is_none() && model.description().contains("untrained"));
    let graph = mobilenetv2(1, 10).unwrap();
    let weights = model.default_weights(&graph).unwrap();
    let logits = evaluate(&graph, &weights, &[image(&[1, 3, 224, 224])]).unwrap().remove(0);
    assert_eq!(logits.shape(), [1, 10]);
    let (min, max) = logits.iter().fold((f32::MAX, f32::MIN), |(min, max), &x| (min.min(x), max.max(x)));
    assert!(max - min > 0.01 && max < 100.0 && min > -100.0, "{logits}");
}
