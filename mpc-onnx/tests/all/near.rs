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

pub fn real(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), r#type: Some(AttributeType::FLOAT), ..ints(name, &[]) }
}

pub fn with(mut node: NodeProto, attribute: Vec<AttributeProto>) -> NodeProto {
    node.attribute = attribute;
    node
}

pub fn cast(from: &str, to: DataType, name: &str) -> NodeProto {
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

/// Each way to the whole floats 7 and 9 as `f`, and their quotient by 2 and 4: integers are divided without a rest.
#[test]
fn whole_floats_are_no_integers() {
    let floor = || [node("Floor", &["x"], &["f"]), node("Floor", &["z"], &["g"])].to_vec();
    let ranked = || vec![node("TopK", &["f", "k"], &["a", ""]), node("TopK", &["g", "k"], &["b", ""])];
    let also = || vec![cast("f", DataType::INT64, "i"), cast("g", DataType::INT64, "j")];
    let quotient = |names: [&str; 2]| node("Div", &names, &["y"]);
    let inputs: [Input<'_>; 2] = [("x", FLOAT, &[2], &[9.5, 7.2]), ("z", FLOAT, &[2], &[4.1, 2.9])];
    let ways = [
        [floor(), ranked(), vec![quotient(["a", "b"])]].concat(),
        [floor(), also(), vec![quotient(["f", "g"])]].concat(),
    ];
    for nodes in ways {
        near(&result(17, nodes, vec![integers("k", &[2])], &inputs), &[2.25, 3.5]);
    }
    // 1 where x > 8, else 0, as floats, and so 1 + 1 / 2.
    let chosen = vec![
        node("Greater", &["x", "eight"], &["is"]),
        node("Where", &["is", "one", "zero"], &["f"]),
        node("Add", &["f", "f"], &["g"]),
        node("Add", &["g", "one"], &["h"]),
        node("Div", &["f", "h"], &["y"]),
    ];
    let weights = [("eight", 8.0), ("one", 1.0), ("zero", 0.0)].map(|(name, value)| floats(name, &[], &[value]));
    near(&result(17, chosen, weights.to_vec(), &inputs[..1]), &[1.0 / 3.0, 0.0]);
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

/// The first row sees the first value alone. As a mask of numbers it would be one more than the others.
#[test]
fn a_cast_to_booleans_makes_a_mask_of_booleans() {
    let inputs: [Input<'_>; 2] =
        [("x", FLOAT, &[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]), ("seen", DataType::INT64, &[2, 2], &[1.0, 0.0, 0.0, 1.0])];
    let nodes = vec![cast("seen", DataType::BOOL, "mask"), node("Attention", &["x", "x", "x", "mask"], &["y"])];
    near(&result(23, nodes, vec![], &inputs), &[1.0, 2.0, 3.0, 4.0]);
    // And floats of 0 and 1 are no Booleans, though Booleans are made of them as well.
    let nodes = vec![
        node("Greater", &["seen", "half"], &["is"]),
        node("Where", &["is", "one", "zero"], &["mask"]),
        cast("mask", DataType::BOOL, "also"),
        node("Attention", &["x", "x", "x", "mask"], &["y"]),
    ];
    let inputs = [inputs[0], ("seen", FLOAT, &[2, 2], inputs[1].3)];
    let weights = [("half", 0.5), ("one", 1.0), ("zero", 0.0)].map(|(name, value)| floats(name, &[], &[value]));
    let softmax = |a: f32, b: f32| a.exp() / (a.exp() + b.exp());
    let root = 2f32.sqrt();
    let (first, second) = (softmax(11.0 / root, 5.0 / root + 1.0), softmax(25.0 / root + 1.0, 11.0 / root));
    let expected = [3.0 - 2.0 * (1.0 - first), 4.0 - 2.0 * (1.0 - first), 1.0 + 2.0 * second, 2.0 + 2.0 * second];
    near(&result(23, nodes, weights.to_vec(), &inputs), &expected);
}

/// 9 / 2 is 4, also behind a list, and −3 / 2 is −1 behind a branch.
#[test]
fn integers_stay_integers_in_lists_and_branches() {
    let x: Input<'_> = ("x", DataType::INT64, &[2], &[3.0, -3.0]);
    let thrice = || vec![node("Add", &["x", "x"], &["double"]), node("Add", &["double", "x"], &["thrice"])];
    let half = || node("Div", &["h", "two"], &["y"]);
    let two = || vec![integers("two", &[2])];
    let list = vec![
        node("SequenceConstruct", &["thrice", "double"], &["list"]),
        with(node("ConcatFromSequence", &["list"], &["h"]), vec![number("axis", 0)]),
        half(),
    ];
    near(&result(17, [thrice(), list].concat(), two(), &[x]), &[4.0, -4.0, 3.0, -3.0]);
    let branch = |name: &str, from: &str| {
        let graph = GraphProto {
            node: vec![node("Neg", &[from], &[&format!("{name}_result")])],
            output: vec![open(&format!("{name}_result"))],
            ..Default::default()
        };
        AttributeProto { g: Some(graph), r#type: Some(AttributeType::GRAPH), ..ints(name, &[]) }
    };
    let choice = with(node("If", &["is"], &["h"]), vec![branch("then_branch", "thrice"), branch("else_branch", "x")]);
    let nodes = [thrice(), vec![choice, half()]].concat();
    near(&result(17, nodes, two(), &[x, ("is", DataType::BOOL, &[], &[0.0])]), &[-1.0, 1.0]);
}

/// Operators that compute real numbers of integers round them, each runtime in its own way.
#[test]
fn integers_that_would_be_rounded_are_refused() {
    let x: Input<'_> = ("x", DataType::INT32, &[2], &[3.0, 4.0]);
    let (exponent, two) = (floats("exponent", &[], &[0.5]), integers("two", &[2]));
    for (nodes, weights) in [
        (vec![node("ReduceMean", &["x"], &["y"])], vec![]),
        (vec![node("ReduceL2", &["x"], &["y"])], vec![]),
        (vec![node("Pow", &["x", "exponent"], &["y"])], vec![exponent]),
        (vec![node("Pow", &["two", "x"], &["y"])], vec![two]),
    ] {
        let message = refused(17, nodes, weights, &[x]);
        assert!(message.contains("integers as its result, which it rounds; cast its input to floats"), "{message}");
    }
}

/// A sum of exponentials that another axis holds divides rows of another sample.
#[test]
fn a_sum_that_moved_is_not_that_of_the_row() {
    let inputs: [Input<'_>; 1] = [("x", FLOAT, &[1, 2, 2], &[0.0, 0.0, 1.0, 1.0])];
    let nodes = vec![
        node("Exp", &["x"], &["e"]),
        with(node("ReduceSum", &["e", "axis"], &["sum"]), vec![number("keepdims", 1)]),
        with(node("Transpose", &["sum"], &["turned"]), vec![ints("perm", &[1, 0, 2])]),
        node("Div", &["e", "turned"], &["y"]),
    ];
    let e = 1f32.exp();
    let [one, other] = [[0.5, 0.5, e / 2.0, e / 2.0], [0.5 / e, 0.5 / e, 0.5, 0.5]];
    near(&result(17, nodes, vec![integers("axis", &[2])], &inputs), &[one, other].concat());
}

/// A sum of two values is no difference to the largest element: its exponentials are too large without one.
#[test]
fn a_softmax_of_a_sum_is_in_range() {
    let inputs: [Input<'_>; 2] = [("x", FLOAT, &[1, 2], &[60.0, 60.0]), ("z", FLOAT, &[1, 2], &[60.0, 61.0])];
    let nodes = vec![
        node("Add", &["x", "z"], &["h"]),
        node("Exp", &["h"], &["e"]),
        with(node("ReduceSum", &["e", "axis"], &["sum"]), vec![number("keepdims", 1)]),
        node("Div", &["e", "sum"], &["y"]),
    ];
    let odds = 1.0 / (1.0 + 1f32.exp());
    near(&result(17, nodes, vec![integers("axis", &[1])], &inputs), &[odds, 1.0 - odds]);
}

/// Behind a list nothing says that they are integers, and they were their real numbers.
#[test]
fn quantised_integers_in_lists_are_refused() {
    let zero = TensorProto { int32_data: vec![100], data_type: Some(DataType::UINT8), ..integers("zero", &[]) };
    let zero = TensorProto { dims: vec![], ..zero };
    let nodes = vec![
        node("QuantizeLinear", &["x", "step", "zero"], &["q"]),
        node("SequenceConstruct", &["q", "q"], &["list"]),
        with(node("ConcatFromSequence", &["list"], &["h"]), vec![number("axis", 0)]),
        cast("h", FLOAT, "y"),
    ];
    let message = refused(17, nodes, vec![floats("step", &[], &[0.5]), zero], &[X]);
    assert!(message.contains("quantised integers in a list, branch or loop"), "{message}");
}
