//! The bundled networks on the bundled digits, against the logits that PyTorch gave.

use mpc_models::{Digits, Model};
use mpc_nn::{Plan, Settings, evaluate, in_process};
use ndarray::{Array2, ArrayD, Axis, Ix2};
use ndarray_npy::ReadNpyExt;

/// Digits at a time: 50 activations of 64×32×32 take little memory.
const BATCH: usize = 50;

fn logits(model: &Model) -> Array2<f32> {
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

/// Compares the logits of all digits with PyTorch's, and the classes with the labels.
fn assert_logits_and_classes(model: &str, expected: &[u8]) {
    let expected = Array2::<f32>::read_npy(expected).unwrap();
    let logits = logits(Model::by_name(model).unwrap());
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

#[test]
fn resnet32() {
    assert_logits_and_classes("resnet32", include_bytes!("../data/resnet32_expected_logits.npy"));
}

#[test]
fn minionn() {
    assert_logits_and_classes("minionn", include_bytes!("../data/minionn_expected_logits.npy"));
}

#[test]
fn minionn_in_private() {
    let model = Model::by_name("minionn").unwrap();
    let graph = model.graph(1).unwrap();
    let weights = model.load(model.bundled_weights().unwrap(), &graph).unwrap();
    let image = [Digits::bundled().unwrap().image(0).unwrap()];
    let expected = evaluate(&graph, &weights, &image).unwrap().remove(0);
    let plan = Plan::<u64>::new(&graph, Settings::new(2)).unwrap();
    let logits = in_process::infer(&plan, &weights, &image).unwrap().remove(0);
    assert_eq!(logits.shape(), expected.shape());
    for (x, &y) in logits.iter().zip(&expected) {
        assert!((x - f64::from(y)).abs() < 0.02, "{x} is not {y}");
    }
}
