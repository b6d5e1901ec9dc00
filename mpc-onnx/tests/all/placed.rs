//! Masks that a file puts beside values, and masks on their way through what moves elements.

use rten_onnx::onnx::{AttributeProto, AttributeType, NodeProto, TensorProto};

use crate::models::{floats, integers, ints, node};
use crate::near::{FLOAT, Input, near, number, refused, result, with};

const X: Input<'_> = ("x", FLOAT, &[2, 2], &[3.0, 1.0, 2.0, 0.5]);

fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: Some(value.into()), r#type: Some(AttributeType::STRING), ..ints(name, &[]) }
}

fn along(node: NodeProto, axis: i64) -> NodeProto {
    with(node, vec![number("axis", axis)])
}

fn places(name: &str, dims: &[i64], values: &[i64]) -> TensorProto {
    TensorProto { dims: dims.to_vec(), ..integers(name, values) }
}

fn softmax(from: &str) -> NodeProto {
    along(node("Softmax", &[from], &["y"]), -1)
}

/// Of two values the first one has this part.
fn part(first: f32, second: f32) -> f32 {
    1.0 / (1.0 + (second - first).exp())
}

/// Ways in which the first column of x is hidden, and as x is widened by two columns.
fn ways(far: f32) -> [(Vec<NodeProto>, Vec<TensorProto>, usize); 4] {
    let fars = |dims: &[i64]| floats("far", dims, &vec![far; dims.iter().product::<i64>() as usize]);
    [
        (
            vec![along(node("ScatterElements", &["x", "at", "far"], &["h"]), 1)],
            vec![places("at", &[2, 1], &[0, 0]), fars(&[2, 1])],
            2,
        ),
        (
            vec![node("ScatterND", &["x", "at", "far"], &["h"])],
            vec![places("at", &[2, 2], &[0, 0, 1, -2]), fars(&[2])],
            2,
        ),
        (vec![along(node("Concat", &["far", "x"], &["h"]), 1)], vec![fars(&[2, 2])], 4),
        (vec![node("Pad", &["x", "at", "far"], &["h"])], vec![integers("at", &[0, 2, 0, 0]), fars(&[])], 4),
    ]
}

/// As PyTorch exports `scores[:, 0] = -inf`, `cat` and `pad`: what is hidden has no part, and is no maximum.
#[test]
fn what_is_put_beside_values_hides() {
    for far in [f32::NEG_INFINITY, f32::MIN, -1e9] {
        for (nodes, weights, columns) in ways(far) {
            let on = |node: NodeProto| result(17, [nodes.clone(), vec![node]].concat(), weights.clone(), &[X]);
            let [first, second] = [part(3.0, 1.0), part(2.0, 0.5)];
            let expected = if columns == 2 {
                vec![0.0, 1.0, 0.0, 1.0]
            } else {
                vec![0.0, 0.0, first, 1.0 - first, 0.0, 0.0, second, 1.0 - second]
            };
            near(&on(softmax("h")), &expected);
            let largest = if columns == 2 { [1.0, 0.5] } else { [3.0, 2.0] };
            near(
                &on(with(node("ReduceMax", &["h"], &["y"]), vec![ints("axes", &[1]), number("keepdims", 0)])),
                &largest,
            );
        }
    }
}

/// As mixtures of experts choose: `full_like(x, -inf).scatter(-1, places, values)`, at places that the data decides.
#[test]
fn values_are_put_into_nothing_but_masks() {
    let nodes = vec![
        along(node("TopK", &["x", "two"], &["values", "at"]), -1),
        along(node("ScatterElements", &["far", "at", "values"], &["h"]), -1),
        softmax("h"),
    ];
    let x: Input<'_> = ("x", FLOAT, &[1, 4], &[3.0, -1.0, 2.0, 0.5]);
    for far in [f32::NEG_INFINITY, f32::MIN, -1e9] {
        let weights = vec![integers("two", &[2]), floats("far", &[1, 4], &[far; 4])];
        let first = part(3.0, 2.0);
        near(&result(17, nodes.clone(), weights, &[x]), &[first, 0.0, 1.0 - first, 0.0]);
    }
}

/// Parts, copies and rows of what is masked: the mask goes with them.
#[test]
fn a_mask_goes_where_its_values_go() {
    let mask = |far: f32| floats("mask", &[2, 2], &[0.0, far, 0.0, far]);
    let masked = node("Add", &["x", "mask"], &["h"]);
    let flat = with(node("Flatten", &["h"], &["g"]), vec![number("axis", 0)]);
    let first = part(3.0, 2.0);
    for far in [f32::NEG_INFINITY, -1e9] {
        let of = |node: NodeProto, weights: Vec<TensorProto>| {
            let weights = [weights, vec![mask(far), floats("far", &[], &[far])]].concat();
            result(17, vec![masked.clone(), node, softmax("g")], weights, &[X])
        };
        near(&of(along(node("Gather", &["h", "at"], &["g"]), 0), vec![integers("at", &[1, 0])]), &[1.0, 0.0, 1.0, 0.0]);
        near(&of(along(node("Split", &["h", "at"], &["g", "rest"]), 0), vec![integers("at", &[1, 1])]), &[1.0, 0.0]);
        let rows = vec![places("at", &[2, 1], &[1, 0])];
        near(&of(node("GatherND", &["h", "at"], &["g"]), rows.clone()), &[1.0, 0.0, 1.0, 0.0]);
        near(&of(along(node("GatherElements", &["h", "at"], &["g"]), 1), rows), &[1.0, 1.0]);
        let tiled = of(node("Tile", &["h", "at"], &["g"]), vec![integers("at", &[2, 1])]);
        near(&tiled, &[1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
        near(&of(flat.clone(), vec![]), &[first, 0.0, 1.0 - first, 0.0]);
        let pads = vec![integers("at", &[0, 1, 0, 0])];
        near(&of(node("Pad", &["h", "at", "far"], &["g"]), pads), &[0.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
    }
}

/// As PyTorch's older exporter writes `flatten` and `chunk`: the shape of what is masked says nothing of the mask.
#[test]
fn the_shape_of_what_is_masked_may_be_asked_for() {
    let nodes = vec![
        node("Add", &["x", "mask"], &["h"]),
        node("Shape", &["h"], &["sizes"]),
        along(node("Concat", &["one", "sizes"], &["shape"]), 0),
        node("Reshape", &["h", "shape"], &["g"]),
        softmax("g"),
    ];
    let weights = vec![floats("mask", &[2], &[0.0, f32::NEG_INFINITY]), integers("one", &[1])];
    near(&result(17, nodes, weights, &[X]), &[1.0, 0.0, 1.0, 0.0]);
}

/// As transformers keep the largest scores alone: `s.masked_fill(s < s.topk(2).values[..., -1:], -inf)` of what a mask has hidden in part.
#[test]
fn the_largest_of_what_is_masked_are_kept() {
    let slice = node("Slice", &["largest", "one", "two", "last"], &["least"]);
    let nodes = vec![
        node("Add", &["x", "mask"], &["h"]),
        along(node("TopK", &["h", "two"], &["largest", "at"]), -1),
        slice,
        node("Less", &["h", "least"], &["is_less"]),
        node("Where", &["is_less", "far", "h"], &["g"]),
        softmax("g"),
    ];
    let x: Input<'_> = ("x", FLOAT, &[2, 4], &[3.0, 9.0, 2.0, 0.5, 1.0, -5.0, -3.0, 7.0]);
    for far in [f32::NEG_INFINITY, -1e9] {
        let mask = [0.0, far, 0.0, 0.0, far, 0.0, far, far];
        let weights = vec![
            floats("mask", &[2, 4], &mask),
            floats("far", &[], &[far]),
            integers("one", &[1]),
            integers("two", &[2]),
            integers("last", &[1]),
        ];
        let first = part(3.0, 2.0);
        near(&result(17, nodes.clone(), weights, &[x]), &[first, 0.0, 1.0 - first, 0.0, 0.0, 1.0, 0.0, 0.0]);
    }
}

/// A sum with what hides, a row of nothing else whose numbers are not followed, and what a file shows of a mask.
#[test]
fn what_does_not_hide_is_refused() {
    let weights = vec![places("at", &[1, 2], &[0, 1]), floats("far", &[1, 2], &[-1e9, -2e9])];
    let scatter = |reduction| {
        let attributes = vec![number("axis", 1), text("reduction", reduction)];
        with(node("ScatterElements", &["x", "at", "far"], &["h"]), attributes)
    };
    let of = |first: NodeProto, last: NodeProto| refused(18, vec![first, last], weights.clone(), &[X]);
    assert!(of(scatter("add"), softmax("h")).contains("larger than"));
    assert!(of(scatter("none"), softmax("h")).contains("nothing but masks"));
    assert!(of(scatter("none"), node("Abs", &["h"], &["y"])).contains("larger than"));
    assert!(of(scatter("none"), node("Mul", &["h", "x"], &["y"])).contains("larger than"));
}

/// Where a place is private, a mask is not followed: a question for it is refused.
#[test]
fn a_question_for_a_mask_at_private_places_is_refused() {
    let nodes = |last: &str| {
        vec![
            along(node("TopK", &["x", "one"], &["values", "at"]), -1),
            along(node("ScatterElements", &["far", "at", "values"], &["h"]), -1),
            node(last, &["h"], &["y"]),
        ]
    };
    let weights = vec![integers("one", &[1]), floats("far", &[2, 2], &[f32::NEG_INFINITY; 4])];
    assert!(refused(17, nodes("IsInf"), weights, &[X]).contains("not known"));
}

/// Rows of nothing but constants are those of the file, whatever follows.
#[test]
fn constants_alone_stay_as_they_are() {
    let weights = vec![floats("far", &[1, 2], &[-1e9, -2e9]), floats("near", &[1, 2], &[-3e9, -2e9])];
    let nodes =
        vec![along(node("Concat", &["far", "near"], &["mask"]), 0), node("Add", &["x", "mask"], &["h"]), softmax("h")];
    near(&result(17, nodes, weights, &[X]), &[1.0, 0.0, 0.0, 1.0]);
}
