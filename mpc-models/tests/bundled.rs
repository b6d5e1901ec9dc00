//! The bundled network on the bundled digits, against the logits that PyTorch gave.

use mpc_models::{Digits, Model};
use mpc_nn::evaluate;
use ndarray::{Array2, ArrayD, Axis, Ix2};
use ndarray_npy::ReadNpyExt;

/// Digits at a time: 50 activations of 16×32×32 take little memory.
const BATCH: usize = 50;

fn logits() -> Array2<f32> {
    let model = Model::by_name("resnet32").unwrap();
    let graph = model.graph(BATCH).unwrap();
    let weights = model.load(model.bundled_weights().unwrap(), &graph).unwrap();
    let digits = Digits::bundled().unwrap();
    let batches = (0..digits.len()).step_by(BATCH).map(|start| digits.batch(start..start + BATCH).unwrap());
    let logits: Vec<ArrayD<f32>> =
        batches.map(|images| evaluate(&graph, &weights, &[images]).unwrap().remove(0)).collect();
    let views: Vec<_> = logits.iter().map(|logits| logits.view()).collect();
    ndarray::concatenate(Axis(0), &views).unwrap().into_dimensionality::<Ix2>().unwrap()
}

fn classes(logits: &Array2<f32>) -> Vec<usize> {
    let class = |row: ndarray::ArrayView1<'_, f32>| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    logits.outer_iter().map(class).collect()
}

#[test]
fn logits_and_classes() {
    let expected = include_bytes!("../data/resnet32_expected_logits.npy");
    let expected = Array2::<f32>::read_npy(expected.as_slice()).unwrap();
    let logits = logits();
    assert_eq!(logits.dim(), expected.dim());
    for (index, (x, y)) in logits.iter().zip(&expected).enumerate() {
        assert!((x - y).abs() <= 2e-3 * (1.0 + y.abs()), "digit {}: {x} is not {y}", index / 10);
    }
    let classes = classes(&logits);
    assert_eq!(classes, self::classes(&expected));

    let digits = Digits::bundled().unwrap();
    let correct = digits.labels().zip(&classes).filter(|&(label, &class)| usize::from(label) == class).count();
    assert!(correct as f64 >= 0.97 * digits.len() as f64, "{correct} of {} are right", digits.len());
}
