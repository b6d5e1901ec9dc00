//! Formulas that exporters write out: what they become, and that the values stay.

use mpc_nn::{Graph, Op, evaluate};
use mpc_protocols::function::Function;
use ndarray::{ArrayD, IxDyn};
use rten_onnx::onnx::{DataType, GraphProto, NodeProto, TensorProto};

use crate::cases;
use crate::models::{floats, graph, imported, info, integers, ints, node, open};

const ROOT: f32 = core::f32::consts::FRAC_1_SQRT_2;

/// The graph of one input [2, 3] and its output for values from −2.5 to 2.5.
fn made(nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> (Graph, Vec<f32>) {
    let input = vec![info("x", DataType::FLOAT, &[Some(2), Some(3)])];
    let network = imported(GraphProto { input, output: vec![open("y")], ..graph(nodes, initializer) }).unwrap();
    let x = ArrayD::from_shape_vec(IxDyn(&[2, 3]), inputs()).unwrap();
    let y = evaluate(&network.graph, &network.weights, &[x]).unwrap().remove(0);
    (network.graph, y.into_iter().collect())
}

fn inputs() -> Vec<f32> {
    (0..6).map(|place| place as f32 - 2.5).collect()
}

/// The functions of a graph, each with its number of elements.
fn functions(graph: &Graph) -> Vec<(Function, usize)> {
    let function = |node: &mpc_nn::Node| match node.op() {
        Op::Function(function) => Some((*function, node.len())),
        _ => None,
    };
    graph.nodes().iter().filter_map(function).collect()
}

fn near(left: &[f32], right: impl IntoIterator<Item = f64>) {
    let right: Vec<f64> = right.into_iter().collect();
    assert_eq!(left.len(), right.len());
    let apart = left.iter().zip(&right).map(|(left, right)| (f64::from(*left) - right).abs()).fold(0.0, f64::max);
    assert!(apart < 1e-5, "{left:?} {right:?}");
}

fn constants() -> Vec<TensorProto> {
    let scalar = |name: &str, value: f32| floats(name, &[], &[value]);
    vec![
        scalar("root", ROOT),
        scalar("one", 1.0),
        scalar("half", 0.5),
        scalar("three", 3.0),
        scalar("small", 0.044_715),
        scalar("outer", 0.797_884_6),
        scalar("alpha", 1.702),
    ]
}

/// 1 + erf(x/√2), as `bent`.
fn error_function() -> Vec<NodeProto> {
    vec![
        node("Mul", &["x", "root"], &["inner"]),
        node("Erf", &["inner"], &["erf"]),
        node("Add", &["erf", "one"], &["bent"]),
    ]
}

/// 1 + tanh √(2/π)·(x + 0.044715·x³), as `bent`.
fn tangent(cube: Vec<NodeProto>) -> Vec<NodeProto> {
    let rest = vec![
        node("Mul", &["cubic", "outer"], &["inner"]),
        node("Tanh", &["inner"], &["tanh"]),
        node("Add", &["tanh", "one"], &["bent"]),
    ];
    [cube, rest].concat()
}

#[test]
fn every_way_to_write_a_gelu_is_one_function() {
    let products = [
        vec![node("Mul", &["x", "bent"], &["both"]), node("Mul", &["both", "half"], &["y"])],
        vec![node("Mul", &["half", "bent"], &["both"]), node("Mul", &["x", "both"], &["y"])],
        vec![node("Mul", &["half", "x"], &["both"]), node("Mul", &["both", "bent"], &["y"])],
    ];
    let power = vec![
        node("Pow", &["x", "three"], &["cube"]),
        node("Mul", &["cube", "small"], &["scaled"]),
        node("Add", &["x", "scaled"], &["cubic"]),
    ];
    let factored = vec![
        node("Mul", &["x", "x"], &["square"]),
        node("Mul", &["square", "small"], &["scaled"]),
        node("Add", &["one", "scaled"], &["factor"]),
        node("Mul", &["x", "factor"], &["cubic"]),
    ];
    for product in products {
        for (bent, expected) in [
            (error_function(), Function::Gelu),
            (tangent(power.clone()), Function::GeluTanh),
            (tangent(factored.clone()), Function::GeluTanh),
        ] {
            let (graph, y) = made([bent, product.clone()].concat(), constants());
            assert_eq!(functions(&graph), [(expected, 6)]);
            near(&y, inputs().iter().map(|&x| expected.evaluate(x.into())));
        }
    }
}

/// Another cubic is none.
#[test]
fn a_formula_with_other_numbers_is_computed_as_it_is_written() {
    let cubic = vec![node("Pow", &["x", "three"], &["cube"]), node("Add", &["x", "cube"], &["cubic"])];
    let product = vec![node("Mul", &["x", "bent"], &["y"])];
    let (graph, y) = made([tangent(cubic), product].concat(), constants());
    assert_eq!(functions(&graph), [(Function::Tanh, 6)]);
    let exact = |x: f64| x * (1.0 + (0.797_884_6 * (x + x * x * x)).tanh());
    near(&y, inputs().iter().map(|&x| exact(x.into())));
}

#[test]
fn a_product_with_the_sigmoid_of_a_multiple_is_one_function() {
    let nodes = vec![
        node("Mul", &["x", "alpha"], &["scaled"]),
        node("Sigmoid", &["scaled"], &["gate"]),
        node("Mul", &["x", "gate"], &["y"]),
    ];
    let (graph, y) = made(nodes, constants());
    assert_eq!(functions(&graph), [(Function::Silu, 6)]);
    near(&y, inputs().iter().map(|&x| f64::from(x) / (1.0 + (-1.702 * f64::from(x)).exp())));
}

/// A sum over rows, expanded to all elements as PyTorch exports a mean over a mask, then |sum| + 1/2 and its reciprocal.
#[test]
fn a_function_of_what_is_repeated_is_computed_once() {
    let initializer = [constants(), vec![integers("shape", &[2, 3]), integers("axis", &[0])]].concat();
    let nodes = vec![
        node("ReduceSum", &["x", "axis"], &["sum"]),
        node("Expand", &["sum", "shape"], &["wide"]),
        node("Abs", &["wide"], &["magnitude"]),
        node("Add", &["magnitude", "half"], &["divisor"]),
        node("Div", &["one", "divisor"], &["reciprocal"]),
        node("Mul", &["reciprocal", "magnitude"], &["y"]),
    ];
    let (graph, y) = made(nodes, initializer);
    assert_eq!(functions(&graph), [(Function::Abs, 3), (Function::PositiveReciprocal, 3)]);
    let expected = [0usize, 1, 2].map(|column| {
        let sum = f64::from(inputs()[column] + inputs()[column + 3]).abs();
        sum / (sum + 0.5)
    });
    near(&y, [expected, expected].concat());
}

/// The divisors are one row that is repeated, and the dividend is one row.
#[test]
fn a_quotient_by_what_is_repeated_is_repeated() {
    let initializer = [constants(), vec![integers("shape", &[2, 3]), integers("axis", &[0])]].concat();
    let nodes = vec![
        node("ReduceSum", &["x", "axis"], &["sum"]),
        node("Expand", &["sum", "shape"], &["wide"]),
        node("Abs", &["wide"], &["magnitude"]),
        node("Add", &["magnitude", "half"], &["divisor"]),
        node("Div", &["sum", "divisor"], &["y"]),
    ];
    let (_, y) = made(nodes, initializer);
    let expected = [0usize, 1, 2].map(|column| {
        let sum = f64::from(inputs()[column] + inputs()[column + 3]);
        sum / (sum.abs() + 0.5)
    });
    near(&y, [expected, expected].concat());
}

/// A sum that doubles at each of many steps has as many parts as 2 to the power of them.
#[test]
fn a_long_formula_is_not_followed_to_its_end() {
    let mut nodes = vec![node("Exp", &["x"], &["s0"])];
    for step in 0..200 {
        let [from, half, to] = [format!("s{step}"), format!("h{step}"), format!("s{}", step + 1)];
        nodes.push(node("Mul", &[&from, "half"], &[&half]));
        nodes.push(node("Add", &[&from, &half], &[&to]));
    }
    nodes.push(node("Div", &["one", "s200"], &["reciprocal"]));
    nodes.push(node("Mul", &["x", "reciprocal"], &["y"]));
    let (graph, _) = made(nodes, constants());
    assert_eq!(functions(&graph), [(Function::Exp, 6), (Function::Reciprocal, 6)]);
}

/// The private results of a formula of an input [1, 4] from −20 to 20, as `y`.
fn private(nodes: Vec<NodeProto>) -> Vec<f64> {
    let constants = vec![
        floats("one", &[], &[1.0]),
        floats("small", &[], &[1e-7]),
        integers("last", &[-1]),
        floats("two", &[], &[2.0]),
        floats("three", &[], &[3.0]),
        floats("four", &[], &[4.0]),
        floats("thousandth", &[], &[0.001]),
        floats("epsilon", &[], &[1e-6]),
    ];
    let input = vec![info("x", DataType::FLOAT, &[Some(1), Some(4)])];
    let network = imported(GraphProto { input, output: vec![open("y")], ..graph(nodes, constants) }).unwrap();
    let x = ArrayD::from_shape_vec(IxDyn(&[1, 4]), WIDE.map(|x| x as f32).to_vec()).unwrap();
    cases::infer(&network, &[x]).unwrap().remove(0)
}

const WIDE: [f64; 4] = [-20.0, -3.0, 1.5, 20.0];

fn assert_private(nodes: Vec<NodeProto>, expected: impl Fn(f64) -> f64, bound: f64) {
    let name = nodes.iter().map(|node| node.op_type.clone().unwrap_or_default()).collect::<Vec<_>>().join(" ");
    for (found, x) in private(nodes).into_iter().zip(WIDE) {
        assert!((found - expected(x)).abs() < bound, "{name} at {x}: {found}, not {}", expected(x));
    }
}

/// In fixed point a probability of e^−20 is 0.
#[test]
fn logarithms_of_small_probabilities_are_right() {
    let sum = WIDE.iter().map(|x| x.exp()).sum::<f64>();
    let probability = |x: f64| x.exp() / sum;
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let of_softmax = || vec![node("Softmax", &["x"], &["p"])];
    let of_sigmoid = || vec![node("Sigmoid", &["x"], &["p"])];
    let opposite = || [of_sigmoid(), vec![node("Sub", &["one", "p"], &["q"])]].concat();
    let log = |from: &str| vec![node("Log", &[from], &["y"])];
    let beside = |from: &str| vec![node("Add", &[from, "small"], &["s"]), node("Log", &["s"], &["y"])];
    let limited = vec![node("Clip", &["p", "small"], &["s"]), node("Log", &["s"], &["y"])];
    assert_private([of_softmax(), log("p")].concat(), |x| probability(x).ln(), 0.01);
    assert_private([of_softmax(), beside("p")].concat(), |x| (probability(x) + 1e-7).ln(), 0.01);
    assert_private([of_softmax(), limited].concat(), |x| probability(x).max(1e-7).ln(), 0.01);
    assert_private([of_sigmoid(), log("p")].concat(), |x| sigmoid(x).ln(), 0.01);
    assert_private([of_sigmoid(), beside("p")].concat(), |x| (sigmoid(x) + 1e-7).ln(), 0.01);
    assert_private([opposite(), log("q")].concat(), |x| sigmoid(-x).ln(), 0.01);
    assert_private([opposite(), beside("q")].concat(), |x| (sigmoid(-x) + 1e-7).ln(), 0.01);
}

/// e^20 is far beyond the range.
#[test]
fn quotients_of_exponentials_are_the_functions_that_they_are() {
    let sum = WIDE.iter().map(|x| x.exp()).sum::<f64>();
    let exponential = || node("Exp", &["x"], &["e"]);
    let sum_of = node("ReduceSum", &["e", "last"], &["s"]);
    assert_private(vec![exponential(), sum_of, node("Div", &["e", "s"], &["y"])], |x| x.exp() / sum, 0.001);
    let beside = node("Add", &["e", "one"], &["s"]);
    assert_private(vec![exponential(), beside, node("Div", &["e", "s"], &["y"])], |x| 1.0 / (1.0 + (-x).exp()), 0.001);
    let falling = [node("Neg", &["x"], &["n"]), node("Exp", &["n"], &["f"])];
    let ends = [node("Sub", &["e", "f"], &["a"]), node("Add", &["e", "f"], &["b"]), node("Div", &["a", "b"], &["y"])];
    assert_private([vec![exponential()], falling.to_vec(), ends.to_vec()].concat(), f64::tanh, 0.001);
    let twice = vec![
        node("Mul", &["x", "two"], &["d"]),
        node("Exp", &["d"], &["e"]),
        node("Sub", &["e", "one"], &["a"]),
        node("Add", &["e", "one"], &["b"]),
        node("Div", &["a", "b"], &["y"]),
    ];
    assert_private(twice, f64::tanh, 0.001);
}

/// As a cosine written out divides by it: the product of the squares is 2.6 million, or less than the last place.
#[test]
fn a_root_of_a_product_of_squared_norms_is_right() {
    let norm = WIDE.iter().map(|x| x * x).sum::<f64>();
    let squared = |from: &str, to: &str| {
        let squares = format!("{from}{to}");
        [node("Mul", &[from, from], &[&squares]), node("ReduceSum", &[&squares, "last"], &[to])]
    };
    let root = |epsilon: bool| match epsilon {
        true => vec![node("Add", &["p", "small"], &["q"]), node("Sqrt", &["q"], &["y"])],
        false => vec![node("Sqrt", &["p"], &["y"])],
    };
    for (first, factor) in [("x", 1.0), ("little", 0.001)] {
        for epsilon in [false, true] {
            let mut nodes = vec![node("Mul", &["x", "thousandth"], &["little"]), node("Mul", &[first, "two"], &["b"])];
            nodes.extend(squared(first, "s").into_iter().chain(squared("b", "t")));
            nodes.push(node("Mul", &["s", "t"], &["p"]));
            nodes.extend(root(epsilon));
            let (found, expected) = (private(nodes)[0], 2.0 * factor * factor * norm);
            assert!((found - expected).abs() < 0.02 * expected, "{found}, not {expected}");
        }
    }
}

/// As layer normalisations are written by hand, by a deviation as PyTorch has it.
#[test]
fn quotients_by_small_deviations_are_right() {
    let mean = WIDE.iter().sum::<f64>() / 4.0;
    let deviation = (WIDE.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 3.0).sqrt();
    let reduced = |from: &str, to: &str| {
        let attribute = vec![ints("axes", &[-1])];
        NodeProto { attribute, ..node("ReduceMean", &[from], &[to]) }
    };
    let variances = [
        vec![reduced("squares", "m"), node("Mul", &["m", "four"], &["s"]), node("Div", &["s", "three"], &["variance"])],
        vec![node("ReduceSum", &["squares", "last"], &["s"]), node("Div", &["s", "three"], &["variance"])],
    ];
    let divisors = [
        vec![node("Sqrt", &["variance"], &["deviation"]), node("Add", &["deviation", "epsilon"], &["divisor"])],
        vec![node("Add", &["variance", "small"], &["above"]), node("Sqrt", &["above"], &["divisor"])],
    ];
    for (variance, divisor) in variances.iter().flat_map(|variance| divisors.iter().map(move |by| (variance, by))) {
        let mut nodes = vec![
            node("Mul", &["x", "thousandth"], &["little"]),
            reduced("little", "mean"),
            node("Sub", &["little", "mean"], &["centred"]),
            node("Mul", &["centred", "centred"], &["squares"]),
        ];
        nodes.extend(variance.iter().chain(divisor).cloned());
        nodes.push(node("Div", &["centred", "divisor"], &["y"]));
        assert_private(nodes, |x| (x - mean) / deviation, 0.002);
    }
}
