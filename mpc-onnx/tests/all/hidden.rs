//! Rows that a public mask hides whole: what the file has of them, wherever it is read.

use rten_onnx::onnx::{DataType, NodeProto, TensorProto};

use crate::models::{floats, ints, node};
use crate::near::{FLOAT, Input, cast, near, number, refused, result, with};

const X: Input<'_> = ("x", FLOAT, &[2, 2], &[3.0, 1.0, 2.0, 0.5]);

/// A mask of the second row and of the last place of the first one, and what is put for no number.
fn weights(far: f32) -> Vec<TensorProto> {
    let numbers = [("far", far), ("zero", 0.0), ("one", 1.0), ("two", 2.0), ("least", f32::NEG_INFINITY)];
    let mut weights: Vec<_> = numbers.iter().map(|&(name, value)| floats(name, &[], &[value])).collect();
    weights.push(floats("mask", &[2, 2], &[0.0, far, far, far]));
    weights.push(floats("opposite", &[2, 2], &[0.0, -far, -far, -far]));
    let (dims, data_type) = (vec![2, 2], Some(DataType::BOOL));
    weights.push(TensorProto {
        name: Some("seen".into()),
        dims,
        data_type,
        int32_data: vec![1, 0, 0, 0],
        ..Default::default()
    });
    weights
}

fn along(node: NodeProto, axis: i64) -> NodeProto {
    with(node, vec![number("axis", axis)])
}

fn turned(from: &str, to: &str) -> NodeProto {
    with(node("Transpose", &[from], &[to]), vec![ints("perm", &[1, 0])])
}

fn masked() -> NodeProto {
    node("Add", &["x", "mask"], &["h"])
}

/// The nodes that put 0 in place of what is no number.
fn guarded(from: &str, to: &str) -> [NodeProto; 2] {
    [node("IsNaN", &[from], &["bad"]), node("Where", &["bad", "zero", from], &[to])]
}

#[test]
fn a_row_of_equal_numbers_is_uniform() {
    for far in [-1e9, f32::MIN] {
        for first in [masked(), node("Where", &["seen", "x", "far"], &["h"]), node("Sub", &["x", "opposite"], &["h"])] {
            let nodes = vec![first, along(node("Softmax", &["h"], &["y"]), -1)];
            near(&result(17, nodes, weights(far), &[X]), &[1.0, 0.0, 0.5, 0.5]);
        }
    }
    // What takes the place of values is equal whatever its size; what is added only if it swallows them.
    let replaced = vec![node("Where", &["seen", "x", "far"], &["h"]), along(node("Softmax", &["h"], &["y"]), -1)];
    near(&result(17, replaced, weights(-5000.0), &[X]), &[1.0, 0.0, 0.5, 0.5]);
    let odds = 1.0 / (1.0 + (-1.5f32).exp());
    let added = vec![masked(), along(node("Softmax", &["h"], &["y"]), -1)];
    near(&result(17, added, weights(-5000.0), &[X]), &[1.0, 0.0, odds, 1.0 - odds]);
}

/// Where nothing but −∞ is left, a file asks for NaN and puts 0.
#[test]
fn a_row_of_infinities_is_no_number() {
    let softmax = |from: &str, to: &str, axis| along(node("Softmax", &[from], &[to]), axis);
    let ways: Vec<Vec<NodeProto>> = vec![
        vec![masked(), turned("h", "t"), softmax("t", "s", 0), turned("s", "u")],
        vec![masked(), softmax("h", "s", -1), turned("s", "v"), turned("v", "w"), node("Identity", &["w"], &["u"])],
        vec![masked(), node("Add", &["h", "x"], &["t"]), softmax("t", "u", -1)],
        vec![masked(), node("Mul", &["h", "two"], &["t"]), softmax("t", "s", -1), node("Mul", &["s", "one"], &["u"])],
        vec![node("Sub", &["opposite", "x"], &["n"]), node("Neg", &["n"], &["h"]), softmax("h", "u", -1)],
        vec![
            masked(),
            along(node("Concat", &["h", "x"], &["t"]), 0),
            softmax("t", "s", -1),
            node("Slice", &["s", "from", "to"], &["u"]),
        ],
    ];
    let places = || [crate::models::integers("from", &[0]), crate::models::integers("to", &[2])];
    for mut nodes in ways {
        nodes.extend(guarded("u", "y"));
        let weights = [weights(f32::NEG_INFINITY), places().to_vec()].concat();
        near(&result(17, nodes, weights, &[X]), &[1.0, 0.0, 0.0, 0.0]);
    }
    let old = [vec![masked(), along(node("Softmax", &["h"], &["u"]), 1)], guarded("u", "y").to_vec()].concat();
    near(&result(12, old, weights(f32::NEG_INFINITY), &[X]), &[1.0, 0.0, 0.0, 0.0]);
    // A number that is no number is not equal to itself.
    let nodes = vec![
        masked(),
        softmax("h", "u", -1),
        node("Equal", &["u", "u"], &["good"]),
        node("Where", &["good", "u", "zero"], &["y"]),
    ];
    near(&result(17, nodes, weights(f32::NEG_INFINITY), &[X]), &[1.0, 0.0, 0.0, 0.0]);
}

/// Infinities are found behind movements.
#[test]
fn infinities_are_found_where_they_are_moved_to() {
    let nodes = vec![
        masked(),
        turned("h", "t"),
        node("IsInf", &["t"], &["is"]),
        along(node("Softmax", &["t"], &["s"]), 0),
        node("Where", &["is", "one", "s"], &["u"]),
        turned("u", "y"),
    ];
    near(&result(17, nodes, weights(f32::NEG_INFINITY), &[X]), &[1.0; 4]);
}

/// A product makes other values of them, in which nobody knows the places.
#[test]
fn what_is_not_known_any_more_is_refused() {
    let nodes = vec![
        masked(),
        along(node("Softmax", &["h"], &["s"]), -1),
        node("MatMul", &["x", "s"], &["u"]),
        node("IsNaN", &["u"], &["bad"]),
        node("Where", &["bad", "zero", "u"], &["y"]),
    ];
    let message = refused(17, nodes, weights(f32::NEG_INFINITY), &[X]);
    assert!(message.contains("what a public mask has left is not known here"), "{message}");
}

/// A later Where takes other values in all places of a mask only if these are where they were, and the condition is the same.
#[test]
fn a_mask_that_shows_elsewhere_is_refused() {
    let softmax = || along(node("Softmax", &["h"], &["s"]), -1);
    let masked = |condition: &str| node("Where", &[condition, "x", "far"], &["h"]);
    let both = |nodes: Vec<NodeProto>, from: &str| {
        let chosen = |condition: &str| node("Where", &[condition, from, "zero"], &["u"]);
        let condition = if from == "h" { "also" } else { "seen" };
        [nodes, vec![softmax(), chosen(condition), node("Add", &["u", "s"], &["y"])]].concat()
    };
    let message = refused(17, both(vec![masked("seen"), turned("h", "t")], "t"), weights(-1e9), &[X]);
    assert!(message.contains("larger than 32768"), "{message}");
    let casts = vec![
        cast("x", DataType::INT64, "whole"),
        cast("whole", DataType::BOOL, "is"),
        cast("x", DataType::BOOL, "also"),
        masked("is"),
    ];
    let message = refused(17, both(casts, "h"), weights(-1e9), &[X]);
    assert!(message.contains("larger than 2^15"), "{message}");
}

/// A negative number times one far below 0 is far above it.
#[test]
fn factors_that_differ_are_no_masks() {
    let nodes =
        vec![node("Mul", &["x", "mask"], &["h"]), with(node("ReduceMax", &["h"], &["y"]), vec![ints("axes", &[1])])];
    let message = refused(17, nodes, weights(-1e9), &[X]);
    assert!(message.contains("larger than 32768"), "{message}");
}

/// A softmax of distances times −2000 chooses the nearest: no distance is a mask.
#[test]
fn a_large_multiple_is_no_mask_of_itself() {
    let x: Input<'_> = ("x", FLOAT, &[2, 2], &[1.0, 2.0, 3.0, 2.5]);
    let scaled = |rest: Vec<NodeProto>| [vec![node("Mul", &["x", "steep"], &["h"])], rest].concat();
    let weights = || vec![floats("steep", &[], &[-2000.0])];
    let softmax = scaled(vec![along(node("Softmax", &["h"], &["y"]), -1)]);
    near(&result(17, softmax, weights(), &[x]), &[1.0, 0.0, 0.0, 1.0]);
    let largest = scaled(vec![with(node("ReduceMax", &["h"], &["y"]), vec![ints("axes", &[1])])]);
    near(&result(17, largest, weights(), &[x]), &[-2000.0, -5000.0]);
    // Beside scores it is one.
    let masked = scaled(vec![node("Add", &["x", "h"], &["s"]), along(node("Softmax", &["s"], &["y"]), -1)]);
    let seen: Input<'_> = ("x", FLOAT, &[2, 2], &[0.0, 1.0, 1.0, 0.0]);
    near(&result(17, masked, weights(), &[seen]), &[1.0, 0.0, 0.0, 1.0]);
}

/// Each of many movements would keep a mask of a million elements.
#[test]
fn marks_that_move_are_counted_as_memory() {
    let size = 1024;
    let x: Input<'_> = ("x", FLOAT, &[size, size], &[]);
    let diagonal = |to: &str| with(node("EyeLike", &["x"], &[to]), vec![number("dtype", DataType::BOOL.0.into())]);
    let mut nodes = vec![diagonal("own"), node("Where", &["own", "x", "far"], &["0"])];
    nodes.extend((0..64).map(|step| turned(&step.to_string(), &(step + 1).to_string())));
    nodes.push(along(node("Softmax", &["64"], &["y"]), -1));
    let message = refused(17, nodes, weights(-1e9), &[x]);
    assert!(message.contains("more elements of constants than the file accounts for"), "{message}");
}
