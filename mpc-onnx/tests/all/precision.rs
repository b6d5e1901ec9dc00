//! Values of which plain fixed point would keep too few bits, privately and beside their right values.

use mpc_nn::{Op, Plan, Settings, in_process};
use mpc_protocols::function::Function;
use ndarray::{ArrayD, IxDyn};
use rten_onnx::onnx::{DataType, GraphProto, NodeProto, TensorProto};

use crate::models::{floats, graph, imported, info, integers, ints, node, open};

/// A graph of one input x [rows, columns], and its private output among `parties`.
fn private(nodes: &[NodeProto], constants: &[TensorProto], rows: &[Vec<f32>], parties: usize) -> Vec<f64> {
    let (count, columns) = (rows.len(), rows[0].len());
    let input = vec![info("x", DataType::FLOAT, &[Some(count as i64), Some(columns as i64)])];
    let initializer = [vec![integers("last", &[-1])], constants.to_vec()].concat();
    let network =
        imported(GraphProto { input, output: vec![open("y")], ..graph(nodes.to_vec(), initializer) }).unwrap();
    let x = ArrayD::from_shape_vec(IxDyn(&[count, columns]), rows.concat()).unwrap();
    let plan = Plan::<u64>::new(&network.graph, Settings::new(parties)).unwrap();
    in_process::infer(&plan, &network.weights, &[x]).unwrap().remove(0).into_iter().collect()
}

fn assert_near(found: &[f64], right: &[f64], tolerance: f64) {
    assert_eq!(found.len(), right.len());
    for (found, right) in found.iter().zip(right) {
        assert!((found - right).abs() <= tolerance * (1.0 + right.abs()), "{found}, not {right}");
    }
}

/// Numbers from −1 to 1 that look random, with a mean of 0 in the long run.
fn scattered(count: usize, seed: usize) -> Vec<f64> {
    (0..count).map(|place| ((place * place * 7 + place * 31 + seed * 977) as f64 * 0.618_034).sin()).collect()
}

fn rows(factor: f64, offset: f64) -> Vec<Vec<f32>> {
    let row = |seed| scattered(24, seed).iter().map(|x| (factor * x + offset) as f32).collect();
    (0..3).map(row).collect()
}

fn reduced(operator: &str, from: &str, to: &str) -> NodeProto {
    let keep = (operator == "ReduceSum").then_some("last");
    let attribute = if keep.is_some() { vec![] } else { vec![ints("axes", &[-1])] };
    NodeProto { attribute, ..node(operator, &[from].into_iter().chain(keep).collect::<Vec<_>>(), &[to]) }
}

fn mean(x: impl Iterator<Item = f64> + Clone) -> f64 {
    x.clone().sum::<f64>() / x.count() as f64
}

/// The moments about the mean of each row.
fn variances(rows: &[Vec<f32>]) -> Vec<f64> {
    let centred = |row: &Vec<f32>| {
        let row: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
        let middle = mean(row.iter().copied());
        mean(row.iter().map(|x| (x - middle) * (x - middle)))
    };
    rows.iter().map(centred).collect()
}

/// Thousands of exponentials, each next to nothing, are a part of their sum.
#[test]
fn long_rows_of_spread_logits() {
    let row: Vec<f32> = scattered(3000, 1).iter().map(|x| (9.0 * x) as f32).chain([16.0]).collect();
    let sum: f64 = row.iter().map(|&x| f64::from(x - 16.0).exp()).sum();
    let right: Vec<f64> = row.iter().map(|&x| f64::from(x - 16.0).exp() / sum).collect();
    let hand = [
        reduced("ReduceMax", "x", "largest"),
        node("Sub", &["x", "largest"], &["shifted"]),
        node("Exp", &["shifted"], &["e"]),
        reduced("ReduceSum", "e", "sum"),
        node("Div", &["e", "sum"], &["y"]),
    ];
    for parties in [2, 3] {
        assert_near(
            &private(&[node("Softmax", &["x"], &["y"])], &[], std::slice::from_ref(&row), parties),
            &right,
            1e-3,
        );
        assert_near(&private(&hand, &[], std::slice::from_ref(&row), parties), &right, 1e-3);
    }
    let logarithm = private(&[reduced("ReduceLogSumExp", "x", "y")], &[], &[row], 2);
    assert_near(&logarithm, &[16.0 + sum.ln()], 1e-4);
}

/// Kernels of points that are far apart: what is next to 0 is 0, and takes no table of results of any size.
#[test]
fn exponentials_of_what_is_not_positive() {
    let row: Vec<f32> = scattered(400, 2).iter().map(|x| (3.0 + 2.0 * x) as f32).collect();
    let right: f64 = row.iter().map(|&x| (-8.0 * f64::from(x) * f64::from(x)).exp()).sum();
    let nodes = [
        node("Mul", &["x", "x"], &["square"]),
        node("Mul", &["square", "factor"], &["exponent"]),
        node("Exp", &["exponent"], &["e"]),
        reduced("ReduceSum", "e", "y"),
    ];
    let constants = [floats("factor", &[], &[-8.0])];
    assert_near(&private(&nodes, &constants, std::slice::from_ref(&row), 2), &[right], 1e-3);
    let input = vec![info("x", DataType::FLOAT, &[Some(1), Some(400)])];
    let initializer = [constants.to_vec(), vec![integers("last", &[-1])]].concat();
    let network =
        imported(GraphProto { input, output: vec![open("y")], ..graph(nodes.to_vec(), initializer) }).unwrap();
    let is_cheap = |node: &mpc_nn::Node| *node.op() == Op::Function(Function::ExpNonPositive);
    assert!(network.graph.nodes().iter().any(is_cheap));
}

/// The difference of a mean of squares and the square of a mean is far smaller than both.
#[test]
fn variances_that_are_written_as_differences() {
    let rows = rows(0.02, 3.0);
    let right: Vec<f64> = variances(&rows).iter().map(|variance| 100.0 * variance.sqrt()).collect();
    let nodes = [
        node("Mul", &["x", "x"], &["squares"]),
        reduced("ReduceMean", "squares", "of_squares"),
        reduced("ReduceMean", "x", "mean"),
        node("Mul", &["mean", "mean"], &["of_mean"]),
        node("Sub", &["of_squares", "of_mean"], &["variance"]),
        node("Sqrt", &["variance"], &["deviation"]),
        node("Mul", &["deviation", "hundred"], &["y"]),
    ];
    assert_near(&private(&nodes, &[floats("hundred", &[], &[100.0])], &rows, 2), &right, 1e-3);
}

/// Of prices' returns, as a root of a multiple of a variance.
#[test]
fn deviations_of_samples_that_are_made_larger() {
    let rows = rows(0.01, 0.0);
    let right: Vec<f64> = variances(&rows).iter().map(|variance| 200.0 * (variance * 24.0 / 23.0).sqrt()).collect();
    let nodes = [
        reduced("ReduceMean", "x", "mean"),
        node("Sub", &["x", "mean"], &["centred"]),
        node("Mul", &["centred", "centred"], &["squares"]),
        reduced("ReduceMean", "squares", "m"),
        node("Mul", &["m", "part"], &["variance"]),
        node("Sqrt", &["variance"], &["deviation"]),
        node("Mul", &["deviation", "factor"], &["y"]),
    ];
    let constants = [floats("part", &[], &[24.0 / 23.0]), floats("factor", &[], &[200.0])];
    assert_near(&private(&nodes, &constants, &rows, 2), &right, 1e-3);
}

/// As explained variance and a quotient of deviations are written.
#[test]
fn quotients_of_small_sums_of_squares() {
    let rows = rows(0.02, 0.0);
    let squares = |row: &Vec<f32>| row.iter().map(|&x| f64::from(x) * f64::from(x)).collect::<Vec<f64>>();
    let right = |row: &Vec<f32>| {
        let squares = squares(row);
        mean(squares[..12].iter().copied()) / mean(squares.iter().copied())
    };
    let quotients: Vec<f64> = rows.iter().map(right).collect();
    let slice = node("Slice", &["x", "start", "half", "last"], &["first"]);
    let nodes = |end: &[NodeProto]| {
        let front = [
            slice.clone(),
            node("Mul", &["first", "first"], &["s"]),
            reduced("ReduceMean", "s", "part"),
            node("Mul", &["x", "x"], &["t"]),
            reduced("ReduceMean", "t", "whole"),
        ];
        [&front[..], end].concat()
    };
    let constants = [integers("start", &[0]), integers("half", &[12])];
    let plain = nodes(&[node("Div", &["part", "whole"], &["y"])]);
    assert_near(&private(&plain, &constants, &rows, 2), &quotients, 1e-3);
    let roots: Vec<f64> = quotients.iter().map(|quotient| quotient.sqrt()).collect();
    let root = nodes(&[node("Div", &["part", "whole"], &["q"]), node("Sqrt", &["q"], &["y"])]);
    assert_near(&private(&root, &constants, &rows, 2), &roots, 1e-3);
}

#[test]
fn cosines_of_short_vectors() {
    let rows = rows(0.02, 0.0);
    let right = |row: &Vec<f32>| {
        let row: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
        let other: Vec<f64> = row.iter().rev().copied().collect();
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        product(&row, &other) / (product(&row, &row) * product(&other, &other)).sqrt()
    };
    let right: Vec<f64> = rows.iter().map(right).collect();
    let norm =
        |from: &str, to: &str| NodeProto { attribute: vec![ints("axes", &[-1])], ..node("ReduceL2", &[from], &[to]) };
    let nodes = [
        node("Slice", &["x", "end", "before", "last", "back"], &["other"]),
        node("Mul", &["x", "other"], &["products"]),
        reduced("ReduceSum", "products", "dot"),
        norm("x", "a"),
        norm("other", "b"),
        node("Mul", &["a", "b"], &["product"]),
        node("Max", &["product", "least"], &["norms"]),
        node("Div", &["dot", "norms"], &["y"]),
    ];
    let constants =
        [integers("end", &[23]), integers("before", &[-100]), integers("back", &[-1]), floats("least", &[], &[1e-8])];
    assert_near(&private(&nodes, &constants, &rows, 2), &right, 2e-3);
}

/// Squares less a number may be below 0, and so have no root; a product of roots less a number is not the product.
#[test]
fn quotients_of_squares_and_roots_that_numbers_were_taken_off() {
    let rows = rows(1.0, 0.0);
    let square = |x: &f32| f64::from(*x) * f64::from(*x);
    let halves = |row: &Vec<f32>| [&row[..12], &row[12..]].map(|half| mean(half.iter().map(square)));
    let front = [
        node("Slice", &["x", "start", "half", "last"], &["a"]),
        node("Slice", &["x", "half", "end", "last"], &["b"]),
        node("Mul", &["a", "a"], &["s"]),
        reduced("ReduceMean", "s", "of_a"),
        node("Mul", &["b", "b"], &["t"]),
        reduced("ReduceMean", "t", "of_b"),
    ];
    let places = [("start", 0), ("half", 12), ("end", 24)].map(|(name, place)| integers(name, &[place]));
    let constants = [&places[..], &[floats("one", &[], &[1.0])]].concat();
    type Case<'a> = (&'a [NodeProto], fn([f64; 2]) -> f64);
    let cases: [Case; 3] = [
        (&[node("Sub", &["of_a", "one"], &["c"]), node("Div", &["c", "of_b"], &["y"])], |[a, b]| (a - 1.0) / b),
        (&[node("Sub", &["of_b", "one"], &["c"]), node("Div", &["of_a", "c"], &["y"])], |[a, b]| a / (b - 1.0)),
        (
            &[
                node("Sqrt", &["of_a"], &["root"]),
                node("Sqrt", &["of_b"], &["other"]),
                node("Mul", &["root", "other"], &["product"]),
                node("Sub", &["product", "one"], &["c"]),
                node("Div", &["of_a", "c"], &["y"]),
            ],
            |[a, b]| a / (a.sqrt() * b.sqrt() - 1.0),
        ),
    ];
    for (end, right) in cases {
        let right: Vec<f64> = rows.iter().map(|row| right(halves(row))).collect();
        assert_near(&private(&[&front[..], end].concat(), &constants, &rows, 2), &right, 1e-3);
    }
}

/// Columns of thousands beside weights of a hundredth, as tables come.
#[test]
fn linear_layers_of_inputs_that_nobody_scaled() {
    let rows: Vec<Vec<f32>> = rows(3000.0, 500.0);
    let weights: Vec<f32> = scattered(24, 9).iter().map(|x| (0.004 * x) as f32).collect();
    let right = |row: &Vec<f32>| row.iter().zip(&weights).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum();
    let right: Vec<f64> = rows.iter().map(right).collect();
    let constants = [floats("w", &[24, 1], &weights)];
    assert_near(&private(&[node("MatMul", &["x", "w"], &["y"])], &constants, &rows, 2), &right, 1e-3);
}

/// The k-th largest of some is not below itself, though its index was cut off.
#[test]
fn elements_beside_the_least_of_the_largest() {
    let rows = rows(1.0, 0.0);
    let third = |row: &Vec<f32>| {
        let mut row = row.clone();
        row.sort_by(|a, b| b.total_cmp(a));
        row[2]
    };
    let kept =
        |row: &Vec<f32>| row.iter().map(|&x| if x >= third(row) { f64::from(x) } else { 0.0 }).collect::<Vec<_>>();
    let right: Vec<f64> = rows.iter().flat_map(kept).collect();
    let front = [
        node("TopK", &["x", "three"], &["values", "places"]),
        node("Slice", &["values", "two", "three", "last"], &["k"]),
    ];
    let constants = [integers("two", &[2]), integers("three", &[3]), floats("zero", &[], &[0.0])];
    let at_least = [node("GreaterOrEqual", &["x", "k"], &["b"]), node("Where", &["b", "x", "zero"], &["y"])];
    let not_less = [node("Less", &["x", "k"], &["b"]), node("Where", &["b", "zero", "x"], &["y"])];
    for end in [at_least, not_less] {
        let nodes = [front.clone(), end].concat();
        for parties in [2, 3] {
            assert_near(&private(&nodes, &constants, &rows, parties), &right, 1e-3);
        }
    }
}
