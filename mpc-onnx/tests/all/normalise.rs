//! Normalisations of values with deviations from 2^-10 to 2^6, privately.

use mpc_nn::{Network, Plan, Settings, WeightKnowledge, evaluate, in_process};
use ndarray::{ArrayD, IxDyn};
use proptest::prelude::*;
use rten_onnx::onnx::{AttributeProto, AttributeType, DataType, GraphProto, NodeProto};

use crate::models::{floats, graph, imported, info, integers, ints, node, open};

const OPERATORS: [&str; 5] = [
    "LayerNormalization",
    "InstanceNormalization",
    "GroupNormalization",
    "RMSNormalization",
    "SkipSimplifiedLayerNormalization",
];

/// A network of one node, which normalises rows of `count` elements of x, and how many rows there are.
fn network(operator: &str, count: usize, epsilon: f32) -> (Network, usize) {
    let (shape, channels) = match operator {
        "InstanceNormalization" => (vec![1, 3, count], 3),
        "GroupNormalization" => (vec![1, 4, count / 2], 4),
        _ => (vec![2, count], count),
    };
    let inputs: &[&str] = match operator {
        "RMSNormalization" => &["x", "scale"],
        "SkipSimplifiedLayerNormalization" => &["x", "skip", "scale"],
        _ => &["x", "scale", "shift"],
    };
    let mut normalise = node(operator, inputs, &["y"]);
    if operator.starts_with("Skip") {
        normalise.domain = Some("com.microsoft".into());
    }
    let (float, int) = (Some(AttributeType::FLOAT), Some(AttributeType::INT));
    let name = |name: &str| Some(name.to_owned());
    normalise.attribute =
        vec![AttributeProto { name: name("epsilon"), f: Some(epsilon), r#type: float, ..Default::default() }];
    if operator == "GroupNormalization" {
        let groups = AttributeProto { name: name("num_groups"), i: Some(2), r#type: int, ..Default::default() };
        normalise.attribute.push(groups);
    }
    let sizes: Vec<_> = shape.iter().map(|&size| size as i64).collect();
    let input = vec![info("x", DataType::FLOAT, &sizes.iter().copied().map(Some).collect::<Vec<_>>())];
    let skip = vec![0.0; shape.iter().product()];
    let initializer = vec![
        floats("scale", &[channels as i64], &vec![1.0; channels]),
        floats("shift", &[channels as i64], &vec![0.0; channels]),
        floats("skip", &sizes, &skip),
    ];
    let graph = GraphProto { input, ..graph(vec![normalise], initializer) };
    (imported(graph).unwrap(), shape.iter().product::<usize>() / count)
}

fn is_centred(operator: &str) -> bool {
    !operator.contains("RMS") && !operator.contains("Simplified")
}

/// The largest error over rows of whole units.
fn error(operator: &str, rows: &[Vec<f64>], epsilon: f32, settings: Settings) -> f64 {
    let (network, _) = network(operator, rows[0].len(), epsilon);
    let shape = network.graph.node(network.graph.inputs()[0]).shape().to_vec();
    let x = rows.iter().flatten().map(|&x| x as f32).collect();
    let x = ArrayD::from_shape_vec(IxDyn(&shape), x).unwrap();
    let plan = Plan::<u64>::new(&network.graph, settings).unwrap();
    let y = in_process::infer(&plan, &network.weights, &[x]).unwrap().remove(0);
    let is_centred = is_centred(operator);
    let expected = rows.iter().flat_map(|row| {
        let count = row.len() as f64;
        let mean = if is_centred { row.iter().sum::<f64>() / count } else { 0.0 };
        let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
        let root = (variance + f64::from(epsilon)).sqrt();
        row.iter().map(move |x| (x - mean) / root).collect::<Vec<_>>()
    });
    y.iter().zip(expected).map(|(y, expected)| (y - expected).abs()).fold(0.0, f64::max)
}

/// Rows of deviation 1 about, each with a mean, times the deviation: in whole units.
fn rows(noise: &[f64], count: usize, rows: usize, mean: f64, deviation: f64, unit: f64) -> Vec<Vec<f64>> {
    let whole = |x: f64| (x * deviation / unit).round() * unit;
    let element =
        |row: usize, at: usize| whole(mean * (row as f64 - 0.5) + noise[(row * count + at * 7) % noise.len()]);
    (0..rows).map(|row| (0..count).map(|at| element(row, at)).collect()).collect()
}

/// The smallest deviation, as a power of two: 2^6 units, and none that the range of a larger k leaves too few bits.
fn smallest(f: i32, k: i32) -> i32 {
    let of_range = (k - f - 36).div_euclid(2) + (k - f - 36).rem_euclid(2);
    (6 - f).max(of_range).max(-10)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_normalisation_is_right_over_sixteen_octaves_of_deviations(
        operator in prop::sample::select(OPERATORS.to_vec()),
        count in prop::sample::select(vec![8usize, 12, 16, 30, 64, 384]),
        noise in prop::collection::vec(prop_oneof![-1.5..-0.5f64, 0.5..1.5f64], 61),
        mean in -3.0..3.0f64,
        exponent in -10..=6i32,
        epsilon in prop::sample::select(vec![1e-5f32, 1e-12]),
        (f, k) in prop::sample::select(vec![(16, 32), (16, 32), (16, 32), (16, 36), (18, 34), (14, 30), (12, 27)]),
        parties in 2usize..=4,
        weights in prop::sample::select(vec![WeightKnowledge::Shared, WeightKnowledge::Owner]),
    ) {
        let (_, number) = network(operator, count, epsilon);
        let (exponent, unit) = (exponent.max(smallest(f, k)), f64::from(-f).exp2());
        // What is not centred has its mean in the squares.
        let mean = if is_centred(operator) { mean } else { 0.0 };
        let rows = rows(&noise, count, number, mean, f64::from(exponent).exp2(), unit);
        let (fractional_bits, comparison_bits) = (f as u32, k as u32);
        let settings = Settings { fractional_bits, comparison_bits, weights, ..Settings::new(parties) };
        let error = error(operator, &rows, epsilon, settings);
        // Each party more rounds by half a unit more.
        let allowed = (2f64.powi(-9) + 2.0 * unit) * (parties as f64 / 2.0);
        prop_assert!(error <= allowed, "{operator}, {count}, 2^{exponent}, f = {f}, k = {k}, {parties} parties: {error}");
    }
}

/// The squares of its differences reach 50,000, and no value is larger than 230.
#[test]
fn a_few_large_values_are_no_reason_to_refuse_a_row() {
    let row: Vec<f64> = (0..384).map(|at| if at == 100 { 226.0 } else { f64::from(at % 7) / 8.0 }).collect();
    let error = error("LayerNormalization", &[row.clone(), row], 1e-12, Settings::new(2));
    assert!(error <= 2f64.powi(-9), "{error}");
}

/// A variance up to 2^(k − 2 − f) is in range whatever the number of elements.
#[test]
fn the_largest_variances_of_a_plan_are_in_range() {
    for (count, k) in [(8, 32), (30, 32), (384, 32), (511, 32), (12, 40), (384, 36)] {
        let largest = f64::from(k - 18).exp2();
        let side = (largest * 0.98).sqrt().floor();
        let row: Vec<f64> = (0..count).map(|at| if at % 2 == 0 { side } else { -side }).collect();
        let settings = Settings { comparison_bits: k as u32, ..Settings::new(3) };
        let (network, _) = network("LayerNormalization", count, 1e-5);
        let plan = Plan::<u64>::new(&network.graph, settings).unwrap();
        let bounds = plan.graph().iter().filter(|(_, node)| node.name().contains("mean")).map(|(id, _)| plan.bound(id));
        assert!(bounds.fold(f64::INFINITY, f64::min) >= largest * 0.999);
        let error = error("LayerNormalization", &[row.clone(), row], 1e-5, settings);
        // The root has 19 fractional bits at least, and three parties round it by three halves of a unit.
        assert!(error <= 2f64.powi(-9) + side * 1.5 * 2f64.powi(-19), "{count}, {k}: {error}");
    }
}

/// Rounds: one for rounding what is centred, one for its squares, seven of the root, one for the product, one for rounding that, and
/// one for the result. The scale takes its round beside the squares and the root.
#[test]
fn the_rounds_of_a_normalisation() {
    let (network, _) = network("LayerNormalization", 384, 1e-5);
    let plan = Plan::<u64>::new(&network.graph, Settings::new(2)).unwrap();
    assert!(plan.steps().iter().any(|step| step.name.contains("scale#6") && step.way > Some(0)));
    assert_eq!(plan.online(1).rounds, 1 + 1 + 7 + 1 + 1 + 1);
}

/// A mean over rows, whose axis goes.
fn row_means(input: &str, output: &str) -> NodeProto {
    let (name, r#type) = (Some("keepdims".into()), Some(AttributeType::INT));
    let dropped = AttributeProto { name, i: Some(0), r#type, ..Default::default() };
    NodeProto { attribute: vec![ints("axes", &[1]), dropped], ..node("ReduceMean", &[input], &[output]) }
}

/// (x − mean) / deviation of [4, 4], written out, with the nodes that give the mean `m`, the variance `v` and the deviation `d` of each
/// row its axis back.
fn written_out(back: [&str; 3]) -> Network {
    let [mean, variance, deviation] = back;
    let nodes = vec![
        row_means("x", "m0"),
        node(mean, &["m0", "axis"][..1 + usize::from(mean == "Unsqueeze")], &["m"]),
        node("Sub", &["x", "m"], &["centred"]),
        node("Mul", &["centred", "centred"], &["squares"]),
        row_means("squares", "v0"),
        node("Mul", &["v0", "count"], &["v1"]),
        node("Div", &["v1", "less"], &["v2"]),
        node(variance, &["v2", "axis"][..1 + usize::from(variance == "Unsqueeze")], &["v"]),
        node("Sqrt", &["v"], &["d0"]),
        node(deviation, &["d0", "axis"][..1 + usize::from(deviation == "Unsqueeze")], &["d"]),
        node("Div", &["centred", "d"], &["y"]),
    ];
    let initializer = vec![floats("count", &[], &[4.0]), floats("less", &[], &[3.0]), integers("axis", &[1])];
    let input = vec![info("x", DataType::FLOAT, &[Some(4), Some(4)])];
    imported(GraphProto { input, output: vec![open("y")], ..graph(nodes, initializer) }).unwrap()
}

/// As PyTorch exports `(x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)`, and as people write `x.std(1)[:, None]`.
#[test]
fn statistics_may_lose_their_axis_before_they_normalise() {
    let unit = 2f32.powi(-10);
    let x: Vec<f32> = (0..16).map(|at| 3.0 + unit * ((at * 7 % 5) as f32 + (at / 4) as f32)).collect();
    let x = ArrayD::from_shape_vec(IxDyn(&[4, 4]), x).unwrap();
    for back in [["Unsqueeze", "Unsqueeze", "Identity"], ["Unsqueeze", "Identity", "Unsqueeze"]] {
        let network = written_out(back);
        let expected = evaluate(&network.graph, &network.weights, std::slice::from_ref(&x)).unwrap().remove(0);
        let plan = Plan::<u64>::new(&network.graph, Settings::new(2)).unwrap();
        let y = in_process::infer(&plan, &network.weights, std::slice::from_ref(&x)).unwrap().remove(0);
        let apart = y.iter().zip(&expected).map(|(y, expected)| (y - f64::from(*expected)).abs()).fold(0.0, f64::max);
        assert!(apart < 0.01, "{back:?}: {apart}");
    }
}

/// As people normalise a recording: `(x - x.mean()) / x.std()`, whose statistics are scalars.
#[test]
fn statistics_of_all_elements_normalise() {
    let mean = |input: &str, output: &str| NodeProto {
        attribute: row_means("", "").attribute.split_off(1),
        ..node("ReduceMean", &[input], &[output])
    };
    let nodes = vec![
        mean("x", "m"),
        node("Sub", &["x", "m"], &["centred"]),
        node("Mul", &["centred", "centred"], &["squares"]),
        mean("squares", "v"),
        node("Sqrt", &["v"], &["d"]),
        node("Div", &["centred", "d"], &["y"]),
    ];
    let input = vec![info("x", DataType::FLOAT, &[Some(4), Some(4)])];
    let network = imported(GraphProto { input, output: vec![open("y")], ..graph(nodes, vec![]) }).unwrap();
    let x: Vec<f32> = (0..16).map(|at| 3.0 + 2f32.powi(-10) * (at * 7 % 5) as f32).collect();
    let x = ArrayD::from_shape_vec(IxDyn(&[4, 4]), x).unwrap();
    let expected = evaluate(&network.graph, &network.weights, std::slice::from_ref(&x)).unwrap().remove(0);
    let plan = Plan::<u64>::new(&network.graph, Settings::new(2)).unwrap();
    let y = in_process::infer(&plan, &network.weights, &[x]).unwrap().remove(0);
    let apart = y.iter().zip(&expected).map(|(y, expected)| (y - f64::from(*expected)).abs()).fold(0.0, f64::max);
    assert!(apart < 0.01, "{apart}");
}

/// Statistics of rows that are taken off columns make no norm of rows.
#[test]
fn statistics_without_their_axis_belong_to_columns() {
    let x: Vec<f32> = (0..16).map(|at| (at * 7 % 5) as f32 + (at / 4) as f32).collect();
    let rows: Vec<&[f32]> = x.chunks(4).collect();
    let means: Vec<f32> = rows.iter().map(|row| row.iter().sum::<f32>() / 4.0).collect();
    let network = written_out(["Identity", "Identity", "Identity"]);
    let input = ArrayD::from_shape_vec(IxDyn(&[4, 4]), x.clone()).unwrap();
    let y = evaluate(&network.graph, &network.weights, &[input]).unwrap().remove(0);
    let centred = |row: usize, column: usize| rows[row][column] - means[column];
    for (at, y) in y.iter().enumerate() {
        let (row, column) = (at / 4, at % 4);
        let variance = (0..4).map(|other| centred(column, other).powi(2)).sum::<f32>() / 3.0;
        assert!((y - centred(row, column) / variance.sqrt()).abs() < 1e-4, "{at}");
    }
}
