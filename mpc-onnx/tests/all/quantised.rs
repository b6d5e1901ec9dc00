//! Masks in front of a softmax that are quantised, where no runtime's values are needed to tell what is right.

use mpc_nn::evaluate;
use ndarray::ArrayD;
use rten_onnx::onnx::{DataType, NodeProto, TensorProto};

use crate::hostile::refused;
use crate::models::{floats, graph, imported, integers, node};
use crate::refusals::number;

fn bytes(name: &str, value: i32) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        data_type: Some(DataType::UINT8),
        int32_data: vec![value],
        ..Default::default()
    }
}

/// A quantisation of a value with steps of a size, and its inverse.
fn pair(from: &str, to: &str, steps: &str) -> [NodeProto; 2] {
    let quantised = format!("{to}_q");
    let begin = node("QuantizeLinear", &[from, steps, "zero"], &[&quantised]);
    [begin, node("DequantizeLinear", &[&quantised, steps, "zero"], &[to])]
}

/// Scores 3 and 1 with −10^9 at the second one, in steps of 2^22, as `between` hands them to a softmax.
fn masked(between: Vec<NodeProto>, last: &str) -> (Vec<NodeProto>, Vec<TensorProto>) {
    let mut nodes = vec![node("Add", &["x", "mask"], &["sum"])];
    nodes.extend(between);
    nodes.extend(pair(last, "near", "steps"));
    nodes.push(node("Softmax", &["near"], &["y"]));
    let steps = floats("steps", &[], &[(1 << 22) as f32]);
    let weights = [floats("mask", &[2], &[0.0, -1e9]), steps, floats("inf", &[], &[f32::INFINITY]), bytes("zero", 255)];
    (nodes, weights.into())
}

fn value(nodes: Vec<NodeProto>, weights: Vec<TensorProto>) -> Vec<f32> {
    let network = imported(graph(nodes, weights)).unwrap();
    let x = ArrayD::from_shape_vec(vec![1, 2], vec![3.0, 1.0]).unwrap();
    evaluate(&network.graph, &network.weights, &[x]).unwrap().remove(0).into_iter().collect()
}

#[test]
fn a_mask_is_one_however_many_nodes_are_between_it_and_the_softmax() {
    let names: Vec<String> = (0..40).map(|place| format!("v{place}")).collect();
    let mut between = vec![node("Identity", &["sum"], &[&names[0]])];
    between.extend(names.windows(2).map(|pair| node("Identity", &[&pair[0]], &[&pair[1]])));
    let (nodes, weights) = masked(between, &names[39]);
    assert_eq!(value(nodes, weights), [1.0, 0.0]);
}

#[test]
fn masks_that_are_lost_in_coarse_steps_are_refused() {
    let between = vec![node("Reshape", &["sum", "shape"], &["flat"]), node("Reshape", &["flat", "back"], &["again"])];
    let (nodes, mut weights) = masked(between, "again");
    weights.extend([integers("shape", &[2]), integers("back", &[1, 2])]);
    let reason = refused(graph(nodes, weights))[0].to_string();
    assert!(reason.contains("quantise nothing between its masks and it"), "{reason}");
}

#[test]
fn a_step_that_is_infinite_is_refused_by_its_cause() {
    let (_, weights) = masked(vec![], "sum");
    let reason = refused(graph(pair("x", "y", "inf").into(), weights))[0].to_string();
    assert!(reason.contains("as of a mask of −∞"), "{reason}");
}

/// Scores are lowered where a private condition hides them, without a product.
#[test]
fn a_private_condition_before_a_mask_costs_no_product() {
    let choice = |inputs: &[&str]| {
        let mut nodes = vec![node("Less", &["x", "two"], &["c"]), node("Where", inputs, &["w"])];
        nodes.extend([node("Softmax", &["w"], &["y"])]);
        let weights = vec![floats("two", &[], &[2.0]), floats("far", &[], &[-1e9])];
        let network = imported(graph(nodes.clone(), weights.clone())).unwrap();
        let products = network.graph.nodes().iter().filter(|node| node.name().starts_with("Where_w/mul")).count();
        (value(nodes, weights), products)
    };
    assert_eq!(choice(&["c", "far", "x"]), (vec![1.0, 0.0], 0));
    assert_eq!(choice(&["c", "x", "far"]), (vec![0.0, 1.0], 0));
}

#[test]
fn a_zero_point_other_than_zero_is_no_threshold() {
    let through = |zero: i32| {
        let mut nodes = pair("x", "near", "s").to_vec();
        nodes.insert(1, node("Relu", &["near_q"], &["positive"]));
        nodes[2] = node("DequantizeLinear", &["positive", "s", "zero"], &["y"]);
        graph(
            nodes,
            vec![floats("s", &[], &[0.5]), TensorProto { data_type: Some(DataType::INT8), ..bytes("zero", zero) }],
        )
    };
    let network = imported(through(0)).unwrap();
    let x = ArrayD::from_shape_vec(vec![1, 2], vec![3.0, -1.0]).unwrap();
    let y = evaluate(&network.graph, &network.weights, &[x]).unwrap().remove(0);
    assert_eq!(y.into_iter().collect::<Vec<_>>(), [3.0, 0.0]);
    assert!(refused(through(3))[0].to_string().contains("computes with quantised integers"));
}

/// Their steps are not known, but by what the file computes of them.
#[test]
fn constants_beside_dynamically_quantised_integers_are_refused() {
    let one = |middle: NodeProto, weights: Vec<TensorProto>| {
        let begin = node("DynamicQuantizeLinear", &["x"], &["q", "s", "zero"]);
        let end = node("DequantizeLinear", &["a", "s", "zero"], &["y"]);
        refused(graph(vec![begin, middle, end], weights))[0].to_string()
    };
    let reason = one(node("Max", &["q", "k"], &["a"]), vec![bytes("k", 7)]);
    assert!(reason.contains("whose scale the file finds when it runs"), "{reason}");
    let reason = one(node("Pad", &["q", "p"], &["a"]), vec![integers("p", &[0, 1, 0, 0])]);
    assert!(reason.contains("whose scale the file finds when it runs"), "{reason}");
}

#[test]
fn integers_beyond_the_range_are_refused_as_such() {
    let kinds = [DataType::UINT8, DataType::INT8, DataType::UINT16, DataType::INT16];
    let cast = || NodeProto { attribute: vec![number("to", DataType::FLOAT.0.into())], ..node("Cast", &["q"], &["y"]) };
    for (kind, is_wide) in kinds.into_iter().zip([false, false, true, true]) {
        let weights = || vec![floats("s", &[], &[0.5]), TensorProto { data_type: Some(kind), ..bytes("zero", 3) }];
        for nodes in [
            vec![node("QuantizeLinear", &["x", "s", "zero"], &["y"])],
            vec![node("QuantizeLinear", &["x", "s", "zero"], &["q"]), cast()],
        ] {
            let reason = imported(graph(nodes, weights())).err().map(|reasons| reasons[0].to_string());
            assert_eq!(reason.is_some(), is_wide, "{reason:?}");
            assert!(reason.is_none_or(|reason| reason.contains("beyond the range of ±16384")));
        }
        assert!(imported(graph(pair("x", "y", "s").into(), weights())).is_ok());
    }
}

#[test]
fn integers_with_a_scale_for_each_channel_stand_beside_no_others() {
    let one = |middle: NodeProto, more: Vec<TensorProto>| {
        let axis = || vec![number("axis", 1)];
        let begin = NodeProto { attribute: axis(), ..node("QuantizeLinear", &["x", "steps", "zeros"], &["q"]) };
        let mut weights = vec![floats("steps", &[2], &[0.5, 0.25]), integers("zeros", &[0, 0])];
        weights[1] = TensorProto {
            data_type: Some(DataType::INT8),
            int32_data: vec![1, 2],
            int64_data: vec![],
            ..weights[1].clone()
        };
        weights.extend(more);
        let end = NodeProto { attribute: axis(), ..node("DequantizeLinear", &["a", "steps", "zeros"], &["y"]) };
        imported(graph(vec![begin, middle, end], weights)).err().map(|reasons| reasons[0].to_string())
    };
    assert_eq!(one(node("Identity", &["q"], &["a"]), vec![]), None);
    let byte = || TensorProto { data_type: Some(DataType::INT8), ..bytes("k", 7) };
    for (middle, more) in [
        (node("Max", &["q", "k"], &["a"]), vec![byte()]),
        (node("Pad", &["q", "p"], &["a"]), vec![integers("p", &[0, 0, 1, 0])]),
        (node("ReduceMax", &["q"], &["a"]), vec![]),
    ] {
        let reason = one(middle, more).unwrap_or_default();
        assert!(reason.contains("a scale for each channel; put it behind"), "{reason}");
    }
}

/// A constant is what the file rounds it to, however near a half it is.
#[test]
fn constants_next_to_a_half_are_rounded_as_they_are() {
    let product = node("QLinearMatMul", &["one", "near", "none", "one", "unit", "none", "unit", "none"], &["q"]);
    let added = [node("DequantizeLinear", &["q", "unit", "none"], &["d"]), node("Add", &["x", "d"], &["y"])];
    let one = TensorProto { dims: vec![1, 1], ..bytes("one", 1) };
    let weights = vec![one, bytes("none", 0), floats("near", &[], &[1.499_98]), floats("unit", &[], &[1.0])];
    assert_eq!(value([vec![product], added.to_vec()].concat(), weights), [4.0, 2.0]);
}
