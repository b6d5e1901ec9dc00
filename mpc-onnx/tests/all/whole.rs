//! Whole numbers that are computed: products of them are rounded to next to one, and are taken for it.

use mpc_nn::{Network, Plan, Settings, in_process};
use mpc_onnx::{InputShapes, OnnxFile};
use ndarray::ArrayD;
use rten_onnx::onnx::{DataType, GraphProto, NodeProto, TensorProto};

use crate::models::{bytes, floats, info, integers, ints, node, open};
use crate::refusals::{number, reals, text};

const NUMBERS: [i64; 8] = [3, 1, 7, 0, 5, 2, 9, 4];

/// Public Booleans.
fn conditions(name: &str) -> TensorProto {
    let int32_data = vec![1, 0, 1, 1, 0, 0, 1, 0];
    let (dims, data_type) = (vec![8], Some(DataType::BOOL));
    TensorProto { name: Some(name.into()), dims, data_type, int32_data, ..Default::default() }
}

fn cast(from: &str, to: DataType, name: &str) -> NodeProto {
    NodeProto { attribute: vec![number("to", to.0.into())], ..node("Cast", &[from], &[name]) }
}

/// The results of three parties for a network of an input `x` of those numbers.
fn results(kind: DataType, nodes: Vec<NodeProto>, outputs: &[&str]) -> Vec<Vec<f64>> {
    results_of(3, kind, nodes, vec![], outputs)
}

/// The results of some parties, for nodes with more constants.
fn results_of(
    parties: usize,
    kind: DataType,
    mut nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    outputs: &[&str],
) -> Vec<Vec<f64>> {
    let mut initializer = vec![integers("zero", &[0]), integers("three", &[3]), conditions("public")];
    initializer.extend(constants);
    nodes.extend(outputs.iter().map(|name| cast(name, DataType::FLOAT, &format!("{name}_y"))));
    let graph = GraphProto {
        node: nodes,
        initializer,
        input: vec![info("x", kind, &[Some(8)])],
        output: outputs.iter().map(|name| open(&format!("{name}_y"))).collect(),
        ..Default::default()
    };
    let network: Network = OnnxFile::from_bytes(&bytes(graph, 17)).unwrap().import(&InputShapes::new()).unwrap();
    let plan = Plan::<u64>::new(&network.graph, Settings::new(parties)).unwrap();
    let x = ArrayD::from_shape_vec(vec![8], NUMBERS.map(|x| x as f32).to_vec()).unwrap();
    let found = in_process::infer(&plan, &network.weights, &[x]).unwrap();
    found.into_iter().map(|output| output.into_iter().collect()).collect()
}

fn assert_near(found: &[f64], expected: impl Iterator<Item = i64>) {
    let expected: Vec<_> = expected.collect();
    let is_near = |(found, &expected): (&f64, &i64)| (found - expected as f64).abs() < 0.01;
    assert!(found.iter().zip(&expected).all(is_near), "{found:?}, expected {expected:?}");
}

#[test]
fn products_of_integers_are_the_integers_that_they_are() {
    let mut sum = 0;
    let products = NUMBERS.map(|x| {
        sum += x;
        x * sum
    });
    let nodes = vec![
        node("CumSum", &["x", "zero"], &["sum"]),
        node("Mul", &["x", "sum"], &["product"]),
        cast("product", DataType::INT32, "same"),
        node("Div", &["product", "three"], &["quotient"]),
        node("Mod", &["product", "three"], &["rest"]),
        node("Mul", &["three", "x"], &["thrice"]),
        node("Sub", &["product", "product"], &["none"]),
        node("Sign", &["none"], &["sign"]),
        node("Less", &["product", "thrice"], &["less"]),
        node("GreaterOrEqual", &["product", "thrice"], &["not_less"]),
        node("Greater", &["product", "thrice"], &["more"]),
        node("LessOrEqual", &["product", "thrice"], &["not_more"]),
    ];
    let names = ["same", "quotient", "rest", "sign", "less", "not_less", "more", "not_more"];
    // Rounding is random.
    for _ in 0..3 {
        let found = results(DataType::INT64, nodes.clone(), &names);
        let pairs = || products.iter().zip(NUMBERS.map(|x| 3 * x));
        assert_near(&found[0], products.into_iter());
        assert_near(&found[1], products.iter().map(|x| x / 3));
        assert_near(&found[2], products.iter().map(|x| x % 3));
        assert_near(&found[3], products.iter().map(|_| 0));
        assert_near(&found[4], pairs().map(|(x, y)| i64::from(*x < y)));
        assert_near(&found[5], pairs().map(|(x, y)| i64::from(*x >= y)));
        assert_near(&found[6], pairs().map(|(x, y)| i64::from(*x > y)));
        assert_near(&found[7], pairs().map(|(x, y)| i64::from(*x <= y)));
    }
}

#[test]
fn a_cast_of_a_product_of_floats_that_are_whole_is_not_one_less() {
    let nodes = vec![node("Mul", &["x", "x"], &["square"]), cast("square", DataType::INT64, "whole")];
    for _ in 0..3 {
        assert_near(&results(DataType::FLOAT, nodes.clone(), &["whole"])[0], NUMBERS.iter().map(|x| x * x));
    }
}

#[test]
fn conditions_beside_public_ones_stay_exactly_0_and_1() {
    let nodes = vec![
        node("Less", &["x", "three"], &["less"]),
        node("And", &["less", "public"], &["both"]),
        node("Or", &["less", "public"], &["either"]),
        node("Xor", &["less", "public"], &["one"]),
    ];
    let public = [true, false, true, true, false, false, true, false];
    let found = results(DataType::INT64, nodes, &["both", "either", "one"]);
    let pairs = || NUMBERS.iter().map(|&x| x < 3).zip(public);
    assert_eq!(found[0], pairs().map(|(a, b)| f64::from(u8::from(a && b))).collect::<Vec<_>>());
    assert_eq!(found[1], pairs().map(|(a, b)| f64::from(u8::from(a || b))).collect::<Vec<_>>());
    assert_eq!(found[2], pairs().map(|(a, b)| f64::from(u8::from(a != b))).collect::<Vec<_>>());
}

/// Each name's values and what they are.
fn equalities(values: &[(&str, Vec<i64>)]) -> (Vec<NodeProto>, Vec<TensorProto>) {
    let compared = |name: &str| node("Equal", &[name, &format!("{name}_is")], &[&format!("{name}_equal")]);
    let expected = |name: &str, values: &[i64]| {
        floats(&format!("{name}_is"), &[values.len() as i64], &values.iter().map(|&x| x as f32).collect::<Vec<_>>())
    };
    values.iter().map(|(name, values)| (compared(name), expected(name, values))).unzip()
}

const PLACES: [i64; 3] = [5, 0, 6];

/// Movements of whole numbers and products of them.
fn moved_and_multiplied() -> (Vec<NodeProto>, Vec<TensorProto>) {
    let extracted = NodeProto {
        domain: Some("ai.onnx.ml".into()),
        ..node("ArrayFeatureExtractor", &["product", "places"], &["extracted_row"])
    };
    let nodes = vec![
        node("CumSum", &["x", "zero"], &["sum"]),
        node("Mul", &["x", "sum"], &["whole"]),
        cast("whole", DataType::FLOAT, "product"),
        extracted,
        node("Reshape", &["extracted_row", "minus_one"], &["extracted"]),
        cast("x", DataType::FLOAT, "real"),
        node("Pow", &["real", "three"], &["cube"]),
        node("Dropout", &["product"], &["kept"]),
        NodeProto { attribute: vec![number("fmod", 1)], ..node("Mod", &["product", "seven"], &["rest"]) },
        node("Where", &["public", "product", "seven"], &["chosen"]),
        node("Max", &["product", "seven"], &["larger"]),
        node("Sub", &["product", "seven"], &["difference"]),
        node("Mul", &["difference", "real"], &["times"]),
        node("Reshape", &["product", "image"], &["pixels"]),
        node("Resize", &["pixels", "", "scales"], &["resized_image"]),
        node("Reshape", &["resized_image", "minus_one"], &["resized"]),
        node("Conv", &["pixels", "window"], &["windows"]),
        node("Reshape", &["windows", "minus_one"], &["summed"]),
        node("Reshape", &["product", "matrix"], &["rows"]),
        node("Gemm", &["rows", "column"], &["sums"]),
        node("Reshape", &["sums", "minus_one"], &["added"]),
    ];
    let constants = vec![
        integers("places", &PLACES),
        integers("minus_one", &[-1]),
        integers("image", &[1, 1, 8]),
        integers("matrix", &[4, 2]),
        floats("seven", &[], &[7.0]),
        floats("scales", &[3], &[1.0, 1.0, 2.0]),
        floats("window", &[1, 1, 2], &[1.0, 2.0]),
        floats("column", &[2, 1], &[1.0, 1.0]),
    ];
    (nodes, constants)
}

#[test]
fn what_moves_or_multiplies_whole_numbers_gives_whole_numbers() {
    let (mut nodes, constants) = moved_and_multiplied();
    let mut sum = 0;
    let products = NUMBERS.map(|x| {
        sum += x;
        x * sum
    });
    let conditions = [true, false, true, true, false, false, true, false];
    let chosen = products.iter().zip(conditions).map(|(&x, kept)| if kept { x } else { 7 });
    let values = [
        ("extracted", PLACES.map(|place| products[place as usize]).to_vec()),
        ("cube", NUMBERS.map(|x| x * x * x).to_vec()),
        ("kept", products.to_vec()),
        ("rest", products.map(|x| x % 7).to_vec()),
        ("chosen", chosen.collect()),
        ("larger", products.map(|x| x.max(7)).to_vec()),
        ("times", products.iter().zip(NUMBERS).map(|(product, x)| (product - 7) * x).collect()),
        ("resized", products.iter().flat_map(|&x| [x, x]).collect()),
        ("summed", products.windows(2).map(|pair| pair[0] + 2 * pair[1]).collect()),
        ("added", products.chunks(2).map(|pair| pair[0] + pair[1]).collect()),
    ];
    let (compared, expected) = equalities(&values);
    nodes.extend(compared);
    let names: Vec<String> = values.iter().map(|(name, _)| format!("{name}_equal")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    // Rounding is random, and goes farther with more parties.
    for _ in 0..3 {
        let constants = constants.iter().chain(&expected).cloned().collect();
        let found = results_of(5, DataType::INT64, nodes.clone(), constants, &names);
        for (found, name) in found.iter().zip(&names) {
            assert!(found.iter().all(|equal| (equal - 1.0).abs() < 0.01), "{name}: {found:?}");
        }
    }
}

/// As a forest of isolation has it, whose trees say which leaf it is.
#[test]
fn numbers_of_leaves_are_whole() {
    // A chain of comparisons, each with a leaf of its own: what is rounded of products adds up.
    let nodes: Vec<i64> = (0..17).collect();
    let leaves: Vec<i64> = nodes.iter().map(|&node| if node < 8 { 8 + node } else { 0 }).collect();
    let next: Vec<i64> =
        nodes.iter().map(|&node| if node < 7 { node + 1 } else { 16 * i64::from(node == 7) }).collect();
    let values: Vec<f32> = nodes.iter().map(|&node| 7.5 - node as f32).collect();
    let modes: Vec<&str> = nodes.iter().map(|&node| if node < 8 { "BRANCH_LEQ" } else { "LEAF" }).collect();
    // Of both signs, so that what the other leaves leave makes some numbers smaller.
    let weights = [15.0, 900.0, 2.0, -1000.0, 7.0, 1000.0, -3.0, 900.0, -900.0];
    let leaf = |x: i64| weights[8 - x.min(8) as usize] as i64;
    let tree = NodeProto {
        domain: Some("ai.onnx.ml".into()),
        attribute: vec![
            ints("nodes_treeids", &[0; 17]),
            ints("nodes_nodeids", &nodes),
            ints("nodes_featureids", &[0; 17]),
            ints("nodes_truenodeids", &next),
            ints("nodes_falsenodeids", &leaves),
            text("nodes_modes", &modes),
            reals("nodes_values", &values),
            ints("target_treeids", &[0; 9]),
            ints("target_nodeids", &nodes[8..]),
            ints("target_ids", &[0; 9]),
            reals("target_weights", &weights),
        ],
        ..node("TreeEnsembleRegressor", &["row"], &["sums"])
    };
    let mut nodes = vec![
        node("Reshape", &["x", "column"], &["row"]),
        tree,
        node("Reshape", &["sums", "minus_one"], &["numbers"]),
        cast("numbers", DataType::INT64, "whole"),
        cast("whole", DataType::FLOAT, "leaf"),
    ];
    let (compared, expected) = equalities(&[("leaf", NUMBERS.map(leaf).to_vec())]);
    nodes.extend(compared);
    let constants = [vec![integers("column", &[8, 1]), integers("minus_one", &[-1])], expected].concat();
    for _ in 0..3 {
        let found = results_of(3, DataType::FLOAT, nodes.clone(), constants.clone(), &["leaf_equal"]);
        assert!(found[0].iter().all(|equal| (equal - 1.0).abs() < 0.01), "{found:?}");
    }
}
