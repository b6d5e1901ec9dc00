//! The bundled networks on the bundled samples, against the logits that PyTorch gave.

use mpc_models::{Model, Overlap, Targets};
use mpc_nn::{Plan, Settings, evaluate, in_process};
use ndarray::{Array1, Array2, Array4, ArrayD, ArrayViewD, Axis, Ix2};
use ndarray_npy::ReadNpyExt;

/// Samples at a time: 50 activations of 64×32×32 take little memory.
const BATCH: usize = 50;

/// The outputs for all samples of a model, and their targets, batch by batch.
fn run(model: &Model, mut each: impl FnMut(ArrayD<f32>, Targets)) {
    let count = model.sample_count().unwrap();
    for start in (0..count).step_by(BATCH) {
        let end = count.min(start + BATCH);
        let graph = model.graph(end - start).unwrap();
        let weights = model.load(model.bundled_weights().unwrap(), &graph).unwrap();
        let samples = model.samples(start..end).unwrap();
        each(evaluate(&graph, &weights, &samples.inputs).unwrap().remove(0), samples.targets);
    }
}

fn classes(logits: &Array2<f32>) -> Vec<usize> {
    let class = |row: ndarray::ArrayView1<'_, f32>| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    logits.outer_iter().map(class).collect()
}

fn assert_near<'a>(found: impl IntoIterator<Item = &'a f32>, expected: impl IntoIterator<Item = &'a f32>) {
    for (index, (x, y)) in found.into_iter().zip(expected).enumerate() {
        assert!((x - y).abs() <= 2e-3 * (1.0 + y.abs()), "element {index}: {x} is not {y}");
    }
}

/// Compares the logits of all samples with PyTorch's, and counts how many of their classes are the labels.
fn assert_logits_and_accuracy(model: &str, expected: &[u8], right: usize) {
    let expected = Array2::<f32>::read_npy(expected).unwrap();
    let (mut logits, mut labels) = (Vec::new(), Vec::new());
    run(Model::by_name(model).unwrap(), |output, targets| {
        logits.push(output);
        let Targets::Labels(batch) = targets else { panic!("samples without labels") };
        labels.extend(batch);
    });
    let views: Vec<_> = logits.iter().map(|logits| logits.view()).collect();
    let logits = ndarray::concatenate(Axis(0), &views).unwrap().into_dimensionality::<Ix2>().unwrap();
    assert_eq!(logits.dim(), expected.dim());
    assert_near(&logits, &expected);
    let classes = classes(&logits);
    assert_eq!(classes, self::classes(&expected));
    assert_eq!(labels.iter().zip(&classes).filter(|&(&label, &class)| usize::from(label) == class).count(), right);
}

// The numbers of right samples are those that the training script prints; training/README.md has them.

#[test]
fn resnet32() {
    assert_logits_and_accuracy("resnet32", include_bytes!("../../data/resnet32_expected_logits.npy"), 450);
}

#[test]
fn minionn() {
    assert_logits_and_accuracy("minionn", include_bytes!("../../data/minionn_expected_logits.npy"), 450);
}

#[test]
fn minionn_square() {
    assert_logits_and_accuracy("minionn-square", include_bytes!("../../data/minionn_square_expected_logits.npy"), 450);
}

#[test]
fn lenet() {
    assert_logits_and_accuracy("lenet", include_bytes!("../../data/lenet_expected_logits.npy"), 449);
}

#[test]
fn breast_cancer() {
    assert_logits_and_accuracy("breast-cancer", include_bytes!("../../data/breast_cancer_expected_logits.npy"), 137);
}

/// The masks over the photograph of the training, and over the other one, against what the training script prints.
#[test]
fn unet() {
    /// Every fourth image's logits are in the file.
    const KEPT: usize = 4;
    let expected = Array4::<f32>::read_npy(&include_bytes!("../../data/unet_expected_logits.npy")[..]).unwrap();
    let (mut overlaps, mut compared) = (Vec::new(), 0);
    run(Model::by_name("unet").unwrap(), |logits, targets| {
        let Targets::Masks(masks) = targets else { panic!("samples without masks") };
        for (logits, masks) in logits.outer_iter().zip(masks.outer_iter()) {
            if overlaps.len() % KEPT == 0 {
                assert_near(&logits, expected.index_axis(Axis(0), compared).iter());
                compared += 1;
            }
            let flat = |view: &ArrayViewD<'_, f32>| view.iter().copied().collect::<Array1<f32>>();
            let masks = masks.iter().copied().collect::<Array1<u8>>();
            overlaps.push(Overlap::of(flat(&logits).view(), masks.view()));
        }
    });
    assert_eq!((overlaps.len(), compared), (64, expected.len_of(Axis(0))));
    let total = |overlaps: &[Overlap]| {
        overlaps.iter().fold(Overlap::default(), |sum, overlap| Overlap {
            both: sum.both + overlap.both,
            either: sum.either + overlap.either,
        })
    };
    let mean = |overlaps: &[Overlap]| overlaps.iter().map(|overlap| overlap.iou()).sum::<f64>() / 32.0;
    let (seen, unseen) = overlaps.split_at(32);
    // A logit within rounding of 0 may be a pixel more or less.
    for (part, both, either, mean_iou) in [(seen, 3678, 4193, 0.8755), (unseen, 3696, 4348, 0.8548)] {
        let found = total(part);
        assert!(found.both.abs_diff(both) <= 2 && found.either.abs_diff(either) <= 2, "{found:?}");
        assert!((mean(part) - mean_iou).abs() < 1e-3, "{}", mean(part));
    }
}

/// The outputs of the first samples in private, and in the clear.
fn in_private(model: &str, count: usize) -> (Vec<f64>, Vec<f32>) {
    let model = Model::by_name(model).unwrap();
    let graph = model.graph(count).unwrap();
    let weights = model.load(model.bundled_weights().unwrap(), &graph).unwrap();
    let inputs = model.samples(0..count).unwrap().inputs;
    let expected = evaluate(&graph, &weights, &inputs).unwrap().remove(0);
    let plan = Plan::<u64>::new(&graph, Settings::new(2)).unwrap();
    let found = in_process::infer(&plan, &weights, &inputs).unwrap().remove(0);
    assert_eq!(found.shape(), expected.shape());
    (found.into_iter().collect(), expected.into_iter().collect())
}

fn assert_private_run_is_near(model: &str, count: usize) {
    let (found, expected) = in_private(model, count);
    for (x, y) in found.into_iter().zip(expected) {
        assert!((x - f64::from(y)).abs() < 0.02, "{x} is not {y}");
    }
}

#[test]
fn minionn_in_private() {
    assert_private_run_is_near("minionn", 1);
}

#[test]
fn minionn_square_in_private() {
    assert_private_run_is_near("minionn-square", 1);
}

#[test]
fn lenet_in_private() {
    assert_private_run_is_near("lenet", 5);
}

#[test]
fn breast_cancer_in_private() {
    assert_private_run_is_near("breast-cancer", 143);
}

#[test]
fn unet_in_private() {
    let (found, expected) = in_private("unet", 4);
    let agree = found.iter().zip(&expected).filter(|&(&x, &y)| (x > 0.0) == (y > 0.0)).count();
    assert!(agree as f64 >= 0.999 * expected.len() as f64, "{agree} of {} pixels", expected.len());
}
