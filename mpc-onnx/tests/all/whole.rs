//! Whole numbers that are computed: products of them are rounded to next to one, and are taken for it.

use mpc_nn::{Network, Plan, Settings, in_process};
use mpc_onnx::{InputShapes, OnnxFile};
use ndarray::ArrayD;
use rten_onnx::onnx::{DataType, GraphProto, NodeProto, TensorProto};

use crate::models::{bytes, info, integers, node, open};
use crate::refusals::number;

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
fn results(kind: DataType, mut nodes: Vec<NodeProto>, outputs: &[&str]) -> Vec<Vec<f64>> {
    nodes.extend(outputs.iter().map(|name| cast(name, DataType::FLOAT, &format!("{name}_y"))));
    let graph = GraphProto {
        node: nodes,
        initializer: vec![integers("zero", &[0]), integers("three", &[3]), conditions("public")],
        input: vec![info("x", kind, &[Some(8)])],
        output: outputs.iter().map(|name| open(&format!("{name}_y"))).collect(),
        ..Default::default()
    };
    let network: Network = OnnxFile::from_bytes(&bytes(graph, 17)).unwrap().import(&InputShapes::new()).unwrap();
    let plan = Plan::<u64>::new(&network.graph, Settings::new(3)).unwrap();
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
