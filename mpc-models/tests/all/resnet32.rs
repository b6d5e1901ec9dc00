//! The shape of ResNet-32, and what its loader refuses.

use std::collections::BTreeMap;

#[cfg(feature = "bundled")]
use mpc_models::Model;
use mpc_models::{BatchNorm, FoldError, LoadError, file_limit, fold_batch_norm, load_folded, load_resnet32, resnet32};
#[cfg(feature = "bundled")]
use mpc_nn::Calibration;
use mpc_nn::{ConvolutionOptions, Graph, GraphBuilder, Op, Plan, Settings, Weights, WeightsError};
use proptest::prelude::*;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};

/// The bytes of two parties; every run is checked against its plan.
#[test]
fn costs() {
    let plan = Plan::<u64>::new(&resnet32(1, 10).unwrap(), Settings::new(2)).unwrap();
    let sent = [0, 1].map(|party| plan.online(party).bytes_sent());
    assert!(sent.iter().all(|&sent| sent <= 3_500_000), "{sent:?}");
    assert!((0..2).all(|party| plan.online(party).rounds <= 126));
    let dealt = plan.preprocessing(1).bytes_received();
    assert!(dealt <= 19_800_000, "{dealt}");
    // Of values that a ReLU truncates by 16 bits to 32, of those on a shortcut that joins them later, of those that are revealed,
    // and of the last one, which no step reads.
    let widths: Vec<_> = plan.steps().iter().map(|step| step.width).collect();
    assert!(widths.iter().all(|width| [1, 32, 48, 64].contains(width)), "{widths:?}");
}

/// The memory of correlations that are drawn ahead: corrections as they came, and 48 bits for each output of a layer.
#[test]
fn correlations_at_rest() {
    for (parties, batch) in [(2, 1), (2, 16), (4, 16)] {
        let plan = Plan::<u64>::new(&resnet32(batch, 10).unwrap(), Settings::new(parties)).unwrap();
        let last = plan.correlation_bytes(parties - 1);
        assert_eq!(last, plan.preprocessing(parties - 1).payload_received - 64);
        let (other, images) = (plan.correlation_bytes(0), batch as u64);
        assert!(last <= 25_000_000 * images && other <= 2_000_000 * images, "{parties}: {last}, {other}");
    }
}

/// As [`costs`], with the bounds that come with the network.
#[test]
#[cfg(feature = "bundled")]
fn calibrated_costs() {
    let calibration = Model::by_name("resnet32").unwrap().bundled_calibration().unwrap();
    let graph = resnet32(1, 10).unwrap().with_bounds(&serde_json::from_slice(calibration).unwrap()).unwrap();
    let plan = Plan::<u64>::new(&graph, Settings::new(2)).unwrap();
    let sent = [0, 1].map(|party| plan.online(party).bytes_sent());
    assert!(sent.iter().all(|&sent| sent <= 2_900_000), "{sent:?}");
    let dealt = plan.preprocessing(1).bytes_received();
    assert!(dealt <= 15_000_000, "{dealt}");
    assert_eq!(plan.online(1).rounds, 126);
}

/// The calibration of every network that has one is its own, and samples that it has not seen are within its bounds.
#[test]
#[cfg(feature = "bundled")]
fn calibrations_hold_for_bundled_samples() {
    for model in Model::all() {
        let Some(calibration) = model.bundled_calibration() else { continue };
        let count = model.sample_count().unwrap().min(4);
        let graph = model.graph(count).unwrap();
        let weights = model.default_weights(&graph).unwrap();
        let graph = graph.with_bounds(&serde_json::from_slice(calibration).unwrap()).unwrap();
        let mut seen = Calibration::new(&graph, 0);
        seen.observe(&graph, &weights, &model.samples(0..count).unwrap().inputs).unwrap();
        for (name, largest) in seen.largest {
            let bound = graph.node(graph.find(&name).unwrap()).bound();
            assert!(bound.is_some_and(|bound| largest < bound), "`{name}` of {}: {largest}", model.name());
        }
    }
}

#[test]
fn counts() {
    let graph = resnet32(1, 10).unwrap();
    assert_eq!(graph.relu_count(), 303_104);
    assert_eq!(graph.multiplications(), 68_862_592);
    let convolutions = graph.nodes().iter().filter(|node| matches!(node.op(), Op::Convolution { bias: true, .. }));
    assert_eq!(convolutions.count(), 31);
    assert_eq!(graph.parameters().len(), 64);
    assert_eq!(graph.node(graph.outputs()[0]).shape(), [1, 10]);
    assert_eq!(resnet32(7, 10).unwrap().relu_count(), 7 * 303_104);
    assert!(resnet32(0, 10).is_err());
    assert!(resnet32(usize::MAX, 10).is_err());
}

#[test]
fn names_and_shapes() {
    let graph = resnet32(2, 10).unwrap();
    let shape = |name: &str| graph.node(graph.find(name).unwrap()).shape().to_vec();
    assert_eq!(shape("relu1"), [2, 16, 32, 32]);
    assert_eq!(shape("layer1.4.relu2"), [2, 16, 32, 32]);
    assert_eq!(shape("layer2.0.conv1"), [2, 32, 16, 16]);
    assert_eq!(shape("layer2.0.shortcut.slice"), [2, 16, 16, 16]);
    assert_eq!(shape("layer2.0.add"), [2, 32, 16, 16]);
    assert_eq!(shape("layer3.4.relu1"), [2, 64, 8, 8]);
    assert_eq!(shape("pool"), [2, 64, 1, 1]);
    let pad = graph.node(graph.find("layer3.0.shortcut.pad").unwrap()).op().clone();
    assert_eq!(pad, Op::Pad { before: vec![0, 16, 0, 0], after: vec![0, 16, 0, 0] });
}

/// A tensor of a file: type, shape and bytes.
type Stored = (Dtype, Vec<usize>, Vec<u8>);
type File = BTreeMap<String, Stored>;

fn f32s(shape: &[usize], values: impl IntoIterator<Item = f32>) -> Stored {
    (Dtype::F32, shape.to_vec(), values.into_iter().flat_map(f32::to_le_bytes).collect())
}

fn bytes(file: &File) -> Vec<u8> {
    let view = |(dtype, shape, data)| TensorView::new(dtype, shape, data).unwrap();
    serialize(file.iter().map(|(name, (dtype, shape, data))| (name, view((*dtype, shape.clone(), data)))), None)
        .unwrap()
}

/// A convolution of two channels with batch normalisation, and a linear layer.
fn small_graph(bias: bool) -> Graph {
    let mut builder = GraphBuilder::new();
    let x = builder.input("x", &[1, 1, 2, 2]).unwrap();
    let x = builder.convolution("conv1", x, ConvolutionOptions { bias, ..ConvolutionOptions::new(2, [1, 2]) }).unwrap();
    let x = builder.flatten("flatten", x).unwrap();
    let y = builder.linear("linear", x, 1, true).unwrap();
    builder.finish(&[y]).unwrap()
}

fn small_file() -> File {
    let entries = [
        ("conv1.weight", f32s(&[2, 1, 1, 2], [1.0, 2.0, 3.0, 4.0])),
        ("bn1.weight", f32s(&[2], [2.0, 1.0])),
        ("bn1.bias", f32s(&[2], [0.5, -0.5])),
        ("bn1.running_mean", f32s(&[2], [1.0, 0.0])),
        ("bn1.running_var", f32s(&[2], [4.0, 0.25])),
        ("linear.weight", f32s(&[1, 4], [0.0, -1.0, 2.0, 3.0])),
        ("linear.bias", f32s(&[1], [7.0])),
    ];
    entries.map(|(name, tensor)| (name.to_owned(), tensor)).into()
}

fn load(bytes: &[u8]) -> Result<Weights, LoadError> {
    load_folded(bytes, &small_graph(true), |name| name.starts_with("conv").then(|| name.replace("conv", "bn")))
}

/// The error that loading gives after a change to the file.
fn error_after(change: impl FnOnce(&mut File)) -> LoadError {
    let mut file = small_file();
    change(&mut file);
    load(&bytes(&file)).unwrap_err()
}

fn values(weights: &Weights, name: &str) -> Vec<f32> {
    weights.get(name).unwrap().iter().copied().collect()
}

fn assert_close(left: &[f32], right: &[f32]) {
    assert!(left.len() == right.len() && left.iter().zip(right).all(|(x, y)| (x - y).abs() < 1e-3), "{left:?}");
}

#[test]
fn batch_normalisation_is_folded() {
    let weights = load(&bytes(&small_file())).unwrap();
    assert_close(&values(&weights, "conv1.weight"), &[1.0, 2.0, 6.0, 8.0]);
    assert_close(&values(&weights, "conv1.bias"), &[-0.5, -0.5]);
    assert_eq!(values(&weights, "linear.weight"), [0.0, -1.0, 2.0, 3.0]);
    assert_eq!(values(&weights, "linear.bias"), [7.0]);
}

/// A convolution with a bias of its own in front of the normalisation, as VGG's files have them.
#[test]
fn a_bias_is_folded_too() {
    let mut file = small_file();
    file.insert("conv1.bias".into(), f32s(&[2], [3.0, 0.25]));
    let weights = load(&bytes(&file)).unwrap();
    assert_close(&values(&weights, "conv1.weight"), &[1.0, 2.0, 6.0, 8.0]);
    assert_close(&values(&weights, "conv1.bias"), &[2.5, 0.0]);
    let shape = error_after(|file| drop(file.insert("conv1.bias".into(), f32s(&[3], [0.0; 3]))));
    assert_eq!(shape, LoadError::Shape { name: "conv1.bias".into(), expected: vec![2], found: vec![3] });
}

#[test]
fn every_float_type_is_read() {
    let encoded: [(Dtype, Vec<u8>); 4] = [
        (Dtype::F16, half::f16::from_f32(-1.5).to_le_bytes().to_vec()),
        (Dtype::BF16, half::bf16::from_f32(-1.5).to_le_bytes().to_vec()),
        (Dtype::F32, (-1.5f32).to_le_bytes().to_vec()),
        (Dtype::F64, (-1.5f64).to_le_bytes().to_vec()),
    ];
    for (dtype, data) in encoded {
        let mut file = small_file();
        file.insert("linear.bias".into(), (dtype, vec![1], data));
        assert_eq!(values(&load(&bytes(&file)).unwrap(), "linear.bias"), [-1.5]);
    }
}

#[test]
fn a_counter_of_batches_is_passed_over() {
    let mut file = small_file();
    file.insert("bn1.num_batches_tracked".into(), (Dtype::I64, vec![], vec![0; 8]));
    assert!(load(&bytes(&file)).is_ok());
}

#[test]
fn unfit_tensors_are_named() {
    let missing = error_after(|file| drop(file.remove("bn1.running_mean")));
    assert_eq!(missing, LoadError::Missing { name: "bn1.running_mean".into(), expected: vec![2] });

    let shape = error_after(|file| drop(file.insert("linear.weight".into(), f32s(&[4, 1], [0.0; 4]))));
    let (expected, found) = (vec![1, 4], vec![4, 1]);
    assert_eq!(shape, LoadError::Shape { name: "linear.weight".into(), expected, found });

    let dtype = error_after(|file| drop(file.insert("linear.bias".into(), (Dtype::I32, vec![1], vec![0; 4]))));
    assert_eq!(dtype, LoadError::Type { name: "linear.bias".into(), found: "I32".into() });

    let unknown = error_after(|file| drop(file.insert("fc.weight".into(), f32s(&[1], [0.0]))));
    assert_eq!(unknown, LoadError::Unknown { name: "fc.weight".into() });

    for value in [f32::NAN, f32::INFINITY] {
        let tensor = f32s(&[2, 1, 1, 2], [0.0, 0.0, 0.0, value]);
        let not_finite = error_after(|file| drop(file.insert("conv1.weight".into(), tensor)));
        assert_eq!(not_finite, LoadError::NotFinite { name: "conv1.weight".into(), index: vec![1, 0, 0, 1] });
    }

    let variance = error_after(|file| drop(file.insert("bn1.running_var".into(), f32s(&[2], [1.0, -0.25]))));
    assert_eq!(variance, LoadError::NegativeVariance { name: "bn1.running_var".into(), channel: 1 });

    let range = error_after(|file| drop(file.insert("bn1.weight".into(), f32s(&[2], [1.0, 1e6]))));
    let (name, index) = ("conv1.weight".into(), vec![1, 0, 0, 0]);
    assert_eq!(range, LoadError::Weights(WeightsError::OutOfRange { name, index }));

    let no_bias = load_folded(&bytes(&small_file()), &small_graph(false), |_| Some("bn1".into())).unwrap_err();
    assert_eq!(no_bias, LoadError::NoBias { name: "conv1".into() });
}

#[test]
fn damaged_files() {
    let whole = bytes(&small_file());
    for length in 0..whole.len() {
        assert!(matches!(load(&whole[..length]), Err(LoadError::Format { .. })), "cut to {length} bytes");
    }
    let longer = [whole.as_slice(), &[0]].concat();
    assert!(matches!(load(&longer), Err(LoadError::Format { .. })));
    let limit = file_limit(&small_graph(true));
    assert_eq!(load(&vec![0; limit + 1]).unwrap_err(), LoadError::TooLarge { found: limit + 1, limit });
    assert!(matches!(load(&vec![0; limit]), Err(LoadError::Format { .. })));
}

/// Offsets that add up to more than 2^64 must not wrap to the size of the file.
#[test]
fn sizes_that_overflow_are_refused() {
    let quarter = 1u64 << 61;
    let tensors = (0..8u64).map(|i| {
        let (start, end) = (i * (quarter - 1), (i + 1) * (quarter - 1));
        format!(r#""t{i}":{{"dtype":"U8","shape":[{}],"data_offsets":[{start},{end}]}}"#, quarter - 1)
    });
    let header = format!("{{{}}}", tensors.collect::<Vec<_>>().join(","));
    let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    assert!(matches!(load(&file), Err(LoadError::Format { .. })));
}

#[test]
fn folding_checks_its_arguments() {
    let norm = |variance, epsilon| BatchNorm { scale: &[1.0], shift: &[0.0], mean: &[0.0], variance, epsilon };
    let fold = |norm: BatchNorm<'_>| fold_batch_norm(&mut [1.0, 2.0], &mut [0.0], &norm);
    assert_eq!(fold(norm(&[1.0, 1.0], 1e-5)), Err(FoldError::Lengths));
    assert_eq!(fold(norm(&[0.0], 1e-5)), Ok(()));
    assert_eq!(fold(norm(&[0.0], 0.0)), Err(FoldError::Variance { channel: 0 }));
    assert_eq!(fold(norm(&[f64::NAN], 1e-5)), Err(FoldError::Variance { channel: 0 }));
    assert_eq!(fold_batch_norm(&mut [], &mut [], &norm(&[], 1e-5)), Err(FoldError::Lengths));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(load(&bytes).is_err());
        prop_assert!(load_resnet32(&bytes, &resnet32(1, 10).unwrap()).is_err());
    }

    #[test]
    fn arbitrary_headers_never_panic(header in "[{}\\[\\]\",:a-z0-9]{0,200}", data in prop::collection::vec(any::<u8>(), 0..50)) {
        let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
        prop_assert!(load(&file).is_err());
    }

    #[test]
    fn damaged_bytes_never_panic(place in any::<prop::sample::Index>(), byte: u8, second in any::<prop::sample::Index>()) {
        let mut file = bytes(&small_file());
        let (place, second) = (place.index(file.len()), second.index(file.len()));
        file[place] = byte;
        file[second] ^= 1;
        let _ = load(&file);
    }
}
