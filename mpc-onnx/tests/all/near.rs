//! Files that come near to what an import knows, and are something else.

use mpc_nn::evaluate;
use mpc_onnx::{InputShapes, OnnxFile};
use ndarray::{ArrayD, IxDyn};
use rten_onnx::onnx::{AttributeProto, AttributeType, DataType, GraphProto, NodeProto, TensorProto};

use crate::models::{bytes, floats, info, integers, ints, node, open};

/// An input's name, element type, shape and values.
pub type Input<'a> = (&'a str, DataType, &'a [usize], &'a [f32]);

pub fn number(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), r#type: Some(AttributeType::INT), ..ints(name, &[]) }
}

fn real(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), r#type: Some(AttributeType::FLOAT), ..ints(name, &[]) }
}

pub fn with(mut node: NodeProto, attribute: Vec<AttributeProto>) -> NodeProto {
    node.attribute = attribute;
    node
}

fn cast(from: &str, to: DataType, name: &str) -> NodeProto {
    with(node("Cast", &[from], &[name]), vec![number("to", to.0.into())])
}

fn file(nodes: Vec<NodeProto>, weights: Vec<TensorProto>, inputs: &[Input<'_>]) -> GraphProto {
    let input = |&(name, kind, shape, _): &Input<'_>| {
        info(name, kind, &shape.iter().map(|&size| Some(size as i64)).collect::<Vec<_>>())
    };
    GraphProto {
        node: nodes,
        initializer: weights,
        input: inputs.iter().map(input).collect(),
        output: vec![open("y")],
        ..Default::default()
    }
}

/// The output `y` of a network, in the clear.
pub fn result(opset: i64, nodes: Vec<NodeProto>, weights: Vec<TensorProto>, inputs: &[Input<'_>]) -> Vec<f32> {
    let file = OnnxFile::from_bytes(&bytes(file(nodes, weights, inputs), opset)).unwrap();
    let network = file.import(&InputShapes::new()).unwrap();
    let values = |name: &str| inputs.iter().find(|input| input.0 == name).map(|input| (input.2, input.3)).unwrap();
    let given: Vec<_> = network.inputs.iter().map(|input| values(&input.name)).collect();
    let array = |(shape, values): (&[usize], &[f32])| {
        ArrayD::from_shape_vec(IxDyn(if shape.is_empty() { &[1] } else { shape }), values.to_vec()).unwrap()
    };
    let given: Vec<_> = given.into_iter().map(array).collect();
    evaluate(&network.graph, &network.weights, &given).unwrap().remove(0).into_iter().collect()
}

pub fn refused(opset: i64, nodes: Vec<NodeProto>, weights: Vec<TensorProto>, inputs: &[Input<'_>]) -> String {
    let file = OnnxFile::from_bytes(&bytes(file(nodes, weights, inputs), opset)).unwrap();
    file.import(&InputShapes::new()).unwrap_err().to_string()
}

pub fn near(found: &[f32], expected: &[f32]) {
    let is_near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-3;
    assert!(found.len() == expected.len() && found.iter().zip(expected).all(is_near), "{found:?} {expected:?}");
}

pub const FLOAT: DataType = DataType::FLOAT;
const X: Input<'_> = ("x", FLOAT, &[2, 3], &[3.0, -4.0, 1.0, 2.0, 0.5, -1.0]);

/// x / √max(x²) is none by the root of a sum.
#[test]
fn a_largest_square_is_no_sum_of_squares() {
    let nodes = vec![
        node("Mul", &["x", "x"], &["squares"]),
        with(node("ReduceMax", &["squares"], &["largest"]), vec![ints("axes", &[1])]),
        node("Sqrt", &["largest"], &["root"]),
        node("Div", &["x", "root"], &["y"]),
    ];
    near(&result(17, nodes, vec![], &[X]), &[0.75, -1.0, 0.25, 1.0, 0.25, -0.5]);
}

/// From opset 7 on a slope broadcasts as every operand does; before, there was one for each channel.
#[test]
fn slopes_are_those_of_the_last_axis() {
    let inputs: [Input<'_>; 1] = [("x", FLOAT, &[1, 2, 2], &[-1.0, -1.0, -1.0, 2.0])];
    let slopes = || vec![floats("slope", &[2], &[0.25, 0.5])];
    let nodes = || vec![node("PRelu", &["x", "slope"], &["y"])];
    near(&result(16, nodes(), slopes(), &inputs), &[-0.25, -0.5, -0.25, 2.0]);
    near(&result(6, nodes(), slopes(), &inputs), &[-0.25, -0.25, -0.5, 2.0]);
}

/// A batch normalisation of 2x + 1 behind x·W + C for a C that is no row.
#[test]
fn a_normalisation_behind_a_sum_with_a_matrix_stays() {
    let root = (3.0f32 / 4.0).sqrt();
    let weights = || {
        let row = |name: &str, value: f32| floats(name, &[2], &[value; 2]);
        let identity = floats("w", &[3, 2], &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        vec![identity, row("scale", 2.0 * root), row("shift", 1.0), row("mean", 0.0), row("variance", 0.75)]
    };
    let nodes = || {
        let norm = node("BatchNormalization", &["h", "scale", "shift", "mean", "variance"], &["y"]);
        vec![node("Gemm", &["x", "w", "c"], &["h"]), with(norm, vec![real("epsilon", 0.0)])]
    };
    let c = [0.5, 1.0, 1.5, 2.0];
    let expected = [8.0, -5.0, 8.0, 6.0];
    near(&result(15, nodes(), [weights(), vec![floats("c", &[2, 2], &c)]].concat(), &[X]), &expected);
    near(&result(15, nodes(), weights(), &[X, ("c", FLOAT, &[2, 2], &c)]), &expected);
    let column = floats("c", &[2, 1], &[1.0, 2.0]);
    near(&result(15, nodes(), [weights(), vec![column]].concat(), &[X]), &[9.0, -5.0, 9.0, 6.0]);
}

/// Limits and fillings of old files are attributes.
#[test]
fn what_an_attribute_makes_fractional_is_not_whole() {
    let whole = node("Floor", &["x"], &["f"]);
    let inputs: [Input<'_>; 1] = [("x", FLOAT, &[2], &[7.5, -3.0])];
    let clip = with(node("Clip", &["f"], &["g"]), vec![real("min", -1.5), real("max", 2.5)]);
    let nodes = vec![whole.clone(), clip, node("Floor", &["g"], &["y"])];
    near(&result(10, nodes, vec![], &inputs), &[2.0, -2.0]);
    let pad = with(node("Pad", &["f"], &["g"]), vec![ints("pads", &[1, 0]), real("value", 0.5)]);
    let nodes = vec![whole, pad, node("Floor", &["g"], &["y"])];
    near(&result(10, nodes, vec![], &inputs), &[0.0, 7.0, -3.0]);
}
