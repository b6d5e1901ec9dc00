//! Numbers that stand for −∞, or for nothing: in front of maxima and of what saturates, and where no one reads them.

use mpc_nn::{Op, evaluate};
use ndarray::{ArrayD, IxDyn};
use rten_onnx::onnx::{AttributeProto, AttributeType, DataType, GraphProto, NodeProto, TensorProto};

use crate::cases;
use crate::models::{floats, graph, imported, info, ints, node, open};

const X: [f32; 8] = [3.0, 9.0, -1.0, -2.0, -7.0, -4.0, 5.0, -6.0];
/// Where x is seen, in each row.
const SEEN: [bool; 8] = [true, false, true, false, true, true, false, false];

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), r#type: Some(AttributeType::INT), ..ints(name, &[]) }
}

fn with(mut node: NodeProto, attribute: Vec<AttributeProto>) -> NodeProto {
    node.attribute = attribute;
    node
}

fn booleans(name: &str, values: &[bool]) -> TensorProto {
    let (name, data_type) = (Some(name.into()), Some(DataType::BOOL));
    let int32_data = values.iter().map(|&is| i32::from(is)).collect();
    TensorProto { name, data_type, dims: vec![2, values.len() as i64 / 2], int32_data, ..Default::default() }
}

/// A private product added to what is not seen.
fn lowered(from: &str) -> Vec<NodeProto> {
    vec![
        node("Sub", &["one", "seen"], &["hidden"]),
        node("Mul", &["hidden", "far"], &["below"]),
        node("Add", &[from, "below"], &["masked"]),
    ]
}

/// The nodes behind a mask on x as `masked`, of a public condition, a private one, an addend and a product; x and a second row of
/// conditions, 1 where x is seen.
fn files(far: f32, behind: &[NodeProto]) -> Vec<GraphProto> {
    let seen = [info("x", DataType::FLOAT, &[Some(2), Some(4)]), info("seen", DataType::FLOAT, &[Some(2), Some(4)])];
    let addend: Vec<f32> = SEEN.iter().map(|&is| if is { 0.0 } else { far }).collect();
    let weights = vec![
        floats("far", &[], &[far]),
        floats("one", &[], &[1.0]),
        floats("half", &[], &[0.5]),
        floats("addend", &[2, 4], &addend),
        booleans("kept", &SEEN),
    ];
    let private = node("Greater", &["seen", "half"], &["is_seen"]);
    let ways = [
        vec![node("Where", &["kept", "x", "far"], &["masked"])],
        vec![private.clone(), node("Where", &["is_seen", "x", "far"], &["masked"])],
        vec![
            private,
            node("Not", &["is_seen"], &["is_hidden"]),
            node("Where", &["is_hidden", "far", "x"], &["masked"]),
        ],
        vec![node("Add", &["x", "addend"], &["masked"])],
        lowered("x"),
    ];
    let file = |way: Vec<NodeProto>| GraphProto {
        input: seen.to_vec(),
        output: vec![open("y")],
        ..graph([way, behind.to_vec()].concat(), weights.clone())
    };
    ways.into_iter().map(file).collect()
}

/// The results of a file, in the clear and privately.
fn results(file: GraphProto) -> [Vec<f64>; 2] {
    results_of(file, &X)
}

fn results_of(file: GraphProto, x: &[f32]) -> [Vec<f64>; 2] {
    results_where(file, x, SEEN)
}

fn results_where(file: GraphProto, x: &[f32], seen: [bool; 8]) -> [Vec<f64>; 2] {
    let network = imported(file).unwrap();
    let seen = seen.map(|is| f32::from(u8::from(is)));
    let names: Vec<_> = network.inputs.iter().map(|input| input.name.clone()).collect();
    let array = |values: &[f32]| ArrayD::from_shape_vec(IxDyn(&[2, 4]), values.to_vec()).unwrap();
    let inputs: Vec<_> = names.iter().map(|name| array(if name == "x" { x } else { &seen })).collect();
    let clear = evaluate(&network.graph, &network.weights, &inputs).unwrap().remove(0);
    let private = cases::infer(&network, &inputs).unwrap().remove(0);
    [clear.iter().map(|&y| y.into()).collect(), private.into_iter().collect()]
}

/// As people pool what is padded, choose among allowed actions, and normalise by hand.
#[test]
fn what_a_maximum_makes_nothing_of_needs_no_range() {
    let sum = |row: &[usize], power: &dyn Fn(f32) -> f32| row.iter().map(|&at| f64::from(power(X[at]))).sum::<f64>();
    let logarithms = [sum(&[0, 2], &f32::exp).ln(), sum(&[4, 5], &f32::exp).ln()];
    let log = |at: usize| f64::from(X[at]) - logarithms[at / 4];
    let last = || vec![int("axis", -1)];
    let flat = || vec![int("keepdims", 0)];
    let rows = || vec![ints("axes", &[1]), int("keepdims", 0)];
    let softmax: Vec<f64> = (0..8).map(|at| if SEEN[at] { log(at).exp() } else { 0.0 }).collect();
    let entropies = [[0, 2], [4, 5]].map(|row| row.iter().map(|&at| -log(at) * log(at).exp()).sum::<f64>());
    let cases: Vec<(Vec<NodeProto>, Vec<f64>)> = vec![
        (vec![with(node("ReduceMax", &["masked"], &["y"]), rows())], vec![3.0, -4.0]),
        (vec![with(node("ArgMax", &["masked"], &["y"]), [last(), flat()].concat())], vec![0.0, 1.0]),
        (vec![with(node("ReduceLogSumExp", &["masked"], &["y"]), rows())], logarithms.to_vec()),
        (
            vec![node("Sigmoid", &["masked"], &["y"])],
            (0..8).map(|at| if SEEN[at] { 1.0 / (1.0 + f64::from(-X[at]).exp()) } else { 0.0 }).collect(),
        ),
        (
            vec![
                with(node("ReduceMax", &["masked"], &["largest"]), vec![ints("axes", &[1])]),
                node("Sub", &["masked", "largest"], &["shifted"]),
                node("Exp", &["shifted"], &["exponentials"]),
                with(node("ReduceL1", &["exponentials"], &["sum"]), vec![ints("axes", &[1])]),
                node("Div", &["exponentials", "sum"], &["y"]),
            ],
            softmax.clone(),
        ),
        (
            vec![with(node("LogSoftmax", &["masked"], &["logarithms"]), last()), node("Exp", &["logarithms"], &["y"])],
            softmax,
        ),
    ];
    for (behind, expected) in cases {
        for (way, file) in files(-1e9, &behind).into_iter().enumerate() {
            for found in results(file) {
                let apart = found.iter().zip(&expected).map(|(found, expected)| (found - expected).abs());
                assert_eq!(found.len(), expected.len());
                assert!(apart.fold(0.0, f64::max) < 2e-3, "{way}: {found:?}, not {expected:?}");
            }
        }
    }
    // An entropy of allowed actions, where the logarithms of others are replaced.
    let behind = vec![
        with(node("LogSoftmax", &["masked"], &["logarithms"]), last()),
        node("Exp", &["logarithms"], &["chances"]),
        with(node("Cast", &["is_seen"], &["cast"]), vec![int("to", DataType::BOOL.0.into())]),
        node("Sub", &["half", "half"], &["zero"]),
        node("Where", &["cast", "logarithms", "zero"], &["finite"]),
        node("Mul", &["chances", "finite"], &["products"]),
        with(node("ReduceMean", &["products"], &["means"]), rows()),
        node("Sub", &["zero", "means"], &["y"]),
    ];
    for file in files(f32::NEG_INFINITY, &behind).into_iter().skip(1).take(2) {
        for found in results(file) {
            for (found, expected) in found.iter().zip(entropies) {
                assert!((found * 4.0 - expected).abs() < 4e-3, "{found}, not {expected}");
            }
        }
    }
}

/// Checks the softmax of a file's `masked` along its rows where x is seen as it says.
fn check_softmax(file: GraphProto, seen: [bool; 8], expected: &[f64; 8], way: &str) {
    for found in results_where(file, &X, seen) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-3, "{way}: {found}, not {expected}");
        }
    }
}

/// The softmax of both rows, of which nothing is hidden but what has no weight.
fn rows(weights: [f64; 8]) -> [f64; 8] {
    core::array::from_fn(|at| weights[at] / weights[at / 4 * 4..][..4].iter().sum::<f64>())
}

fn last(from: &str, to: &str) -> NodeProto {
    with(node("Softmax", &[from], &[to]), vec![int("axis", -1)])
}

/// A softmax of one number everywhere is uniform, as of the padded words of a DeBERTa and of those in front of a GPT-2's text.
#[test]
fn a_row_that_a_private_mask_hides_whole_is_uniform() {
    let seen = [true, false, true, false, false, false, false, false];
    let weights = |at: usize| if seen[at] || at > 3 { f64::from(X[at]).exp() } else { 0.0 };
    let own = rows(core::array::from_fn(weights));
    let uniform = core::array::from_fn(|at| if at > 3 { 0.25 } else { own[at] });
    let turn = |from: &str, to: &str| with(node("Transpose", &[from], &[to]), vec![ints("perm", &[1, 0])]);
    let private = |far: f32, behind: &[NodeProto]| {
        files(far, behind).into_iter().enumerate().filter(|(way, _)| [1, 2, 4].contains(way))
    };
    let behind = [
        vec![last("masked", "y")],
        vec![node("Add", &["masked", "half"], &["above"]), last("above", "y")],
        vec![turn("masked", "t"), with(node("Softmax", &["t"], &["s"]), vec![int("axis", 0)]), turn("s", "y")],
    ];
    for (place, behind) in behind.iter().enumerate() {
        for far in [-1e9, f32::MIN] {
            for (way, file) in private(far, behind) {
                check_softmax(file, seen, &uniform, &format!("{place}, {way}, {far}"));
            }
        }
    }
    // What takes the place of values is equal whatever its size; what is added only if it swallows them.
    for (way, file) in private(-5000.0, &behind[0]) {
        check_softmax(file, seen, if way == 4 { &own } else { &uniform }, &format!("{way}, replaced"));
    }
    for (far, expected) in [(-1e9, uniform), (-5000.0, own)] {
        let way = vec![
            node("Greater", &["half", "seen"], &["is_hidden"]),
            node("Sub", &["half", "half"], &["zero"]),
            node("Where", &["is_hidden", "far", "zero"], &["below"]),
            node("Unsqueeze", &["below", "axis"], &["mask"]),
            node("Unsqueeze", &["x", "axis"], &["scores"]),
            node("Add", &["scores", "mask"], &["masked"]),
            last("masked", "y"),
        ];
        let base = files(far, &[]).swap_remove(4);
        let initializer = [base.initializer, vec![crate::models::integers("axis", &[1])]].concat();
        let file = GraphProto { node: way, initializer, ..base };
        check_softmax(file, seen, &expected, &format!("alone, {far}"));
    }
    let subtracted = vec![
        node("Neg", &["far"], &["near"]),
        node("Sub", &["one", "seen"], &["hidden"]),
        node("Mul", &["hidden", "near"], &["above"]),
        node("Sub", &["x", "above"], &["masked"]),
        last("masked", "y"),
    ];
    let file = GraphProto { node: subtracted, ..files(-1e9, &[]).swap_remove(4) };
    check_softmax(file, seen, &uniform, "subtracted");
}

/// Beside a public mask of the same number, a sum of both is below what only one of them hides; a choice makes them alike.
#[test]
fn a_row_that_a_private_and_a_public_mask_hide_is_uniform_over_the_largest() {
    // The private one hides what the public one has left of the first row, or all of it.
    let rest = [false, true, false, true, true, true, true, false];
    let all = [false, false, false, false, true, true, true, false];
    let with_first = |first: [f64; 4]| {
        let second = |at: usize| if SEEN[at] && rest[at] { f64::from(X[at]).exp() } else { 0.0 };
        rows(core::array::from_fn(|at| if at < 4 { first[at] } else { second(at) }))
    };
    let (uniform, once) = (with_first([1.0; 4]), with_first([1.0, 0.0, 1.0, 0.0]));
    let condition = node("Greater", &["half", "seen"], &["is_hidden"]);
    let sum = [vec![node("Add", &["x", "addend"], &["first"])], lowered("first")].concat();
    let limited = [sum.clone(), vec![node("Max", &["masked", "far"], &["limited"]), last("limited", "y")]].concat();
    let publicly_first = vec![
        condition.clone(),
        node("Where", &["kept", "x", "far"], &["h"]),
        node("Where", &["is_hidden", "far", "h"], &["masked"]),
        last("masked", "y"),
    ];
    let privately_first = vec![
        condition,
        node("Where", &["is_hidden", "far", "x"], &["h"]),
        node("Where", &["kept", "h", "far"], &["masked"]),
        last("masked", "y"),
    ];
    let sum = [sum, vec![last("masked", "y")]].concat();
    for (way, nodes, seen, expected) in [
        ("a sum", &sum, rest, &uniform),
        ("publicly first", &publicly_first, rest, &uniform),
        ("privately first", &privately_first, rest, &uniform),
        // What both hide is lowered twice, or not.
        ("twice", &sum, all, &once),
        ("limited", &limited, all, &uniform),
    ] {
        let file = GraphProto { node: nodes.clone(), ..files(-1e9, &[]).swap_remove(4) };
        check_softmax(file, seen, expected, way);
    }
}

/// Hidden values may be further above those that are seen than a mask is below them.
#[test]
fn values_may_be_far_apart_in_front_of_a_maximum() {
    let x = [-900.0, 6000.0, 30.0, 15_000.0, -3000.0, -2000.0, 9000.0, 16_000.0];
    let behind = [with(node("ReduceMax", &["masked"], &["y"]), vec![ints("axes", &[1]), int("keepdims", 0)])];
    for (way, file) in files(-1e9, &behind).into_iter().enumerate().take(4) {
        for found in results_of(file, &x) {
            assert!((found[0] - 30.0).abs() + (found[1] + 2000.0).abs() < 1e-2, "{way}: {found:?}");
        }
    }
}

/// The largest of nothing is the number that hides, and so is what an output shows: neither is known here.
#[test]
fn a_mask_that_shows_is_refused() {
    let reason = |file: GraphProto| imported(file).unwrap_err()[0].to_string();
    let rows = vec![ints("axes", &[0]), int("keepdims", 0)];
    let columns = with(node("ReduceMax", &["masked"], &["y"]), rows);
    let files_of = files(-1e9, &[columns]);
    for (way, file) in files_of.into_iter().enumerate().filter(|(way, _)| [0, 3].contains(way)) {
        assert!(reason(file).contains("the largest of nothing but masks"), "{way}");
    }
    for behind in [node("Identity", &["masked"], &["y"]), with(node("LogSoftmax", &["masked"], &["y"]), vec![])] {
        for file in files(-1e9, &[behind]) {
            assert!(imported(file).is_err());
        }
    }
    // What is added everywhere hides nothing.
    let nodes =
        vec![node("Add", &["x", "far"], &["low"]), with(node("ReduceMax", &["low"], &["y"]), vec![ints("axes", &[1])])];
    assert!(imported(graph(nodes, vec![floats("far", &[], &[-40_000.0])])).is_err());
}

/// As `jnp.var` guards against no elements, and `jnp.median` against what is NaN.
#[test]
fn what_no_one_takes_may_be_nan() {
    let nothing = || floats("nothing", &[2, 2], &[f32::NAN; 4]);
    let nodes = vec![
        node("Equal", &["x", "x"], &["same"]),
        node("Not", &["same"], &["is_nan"]),
        node("Where", &["is_nan", "nothing", "x"], &["median"]),
        node("Greater", &["count", "zero"], &["is_some"]),
        node("Where", &["is_some", "median", "nothing"], &["y"]),
    ];
    let weights = || vec![nothing(), floats("count", &[], &[4.0]), floats("zero", &[], &[0.0])];
    let input = || vec![info("x", DataType::FLOAT, &[Some(2), Some(2)])];
    let network = imported(GraphProto { input: input(), ..graph(nodes, weights()) }).unwrap();
    assert!(!network.graph.nodes().iter().any(|node| matches!(node.op(), Op::Function(_))));
    let x = ArrayD::from_shape_vec(IxDyn(&[2, 2]), vec![1.0, -2.0, 3.0, 4.0]).unwrap();
    assert_eq!(evaluate(&network.graph, &network.weights, std::slice::from_ref(&x)).unwrap().remove(0), x);
    let taken =
        vec![node("Less", &["count", "zero"], &["is_none"]), node("Where", &["is_none", "x", "nothing"], &["y"])];
    let reasons = imported(GraphProto { input: input(), ..graph(taken, weights()) }).unwrap_err();
    assert!(reasons[0].to_string().contains("NaN"), "{}", reasons[0]);
}
