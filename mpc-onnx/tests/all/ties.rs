//! Values that are exactly where a rounding or a comparison jumps, and private masks that leave nothing.

use mpc_nn::{Network, Plan, Settings, in_process};
use mpc_onnx::{InputShapes, OnnxFile};
use ndarray::{ArrayD, IxDyn};
use rten_onnx::onnx::{AttributeProto, AttributeType, DataType, GraphProto, NodeProto, TensorProto};

use crate::models::{bytes, floats, info, integers, node, open};
use crate::near::{FLOAT, Input, cast, number, with};

/// The outputs of some parties, each of which a cast makes floats.
fn private(
    parties: usize,
    mut nodes: Vec<NodeProto>,
    weights: Vec<TensorProto>,
    inputs: &[Input<'_>],
    outputs: &[&str],
) -> Vec<Vec<f64>> {
    nodes.extend(outputs.iter().map(|name| cast(name, FLOAT, &format!("{name}_y"))));
    let input = |&(name, kind, shape, _): &Input<'_>| {
        info(name, kind, &shape.iter().map(|&size| Some(size as i64)).collect::<Vec<_>>())
    };
    let graph = GraphProto {
        node: nodes,
        initializer: weights,
        input: inputs.iter().map(input).collect(),
        output: outputs.iter().map(|name| open(&format!("{name}_y"))).collect(),
        ..Default::default()
    };
    let network: Network = OnnxFile::from_bytes(&bytes(graph, 18)).unwrap().import(&InputShapes::new()).unwrap();
    let plan = Plan::<u64>::new(&network.graph, Settings::new(parties)).unwrap();
    let given = network.inputs.iter().map(|input| {
        let (_, _, shape, values) = inputs.iter().find(|given| given.0 == input.name).unwrap();
        ArrayD::from_shape_vec(IxDyn(shape), values.to_vec()).unwrap()
    });
    let found = in_process::infer(&plan, &network.weights, &given.collect::<Vec<_>>()).unwrap();
    found.into_iter().map(|output| output.into_iter().collect()).collect()
}

fn assert_equal(found: &[f64], expected: impl Iterator<Item = f64>, what: &str) {
    let expected: Vec<_> = expected.collect();
    let is_near = |(found, expected): (&f64, &f64)| (found - expected).abs() < 0.01;
    assert!(
        found.len() == expected.len() && found.iter().zip(&expected).all(is_near),
        "{what}: {found:?} {expected:?}"
    );
}

/// Multiples of their divisors and what lies between, of all magnitudes.
fn dividends() -> Vec<f32> {
    (-24..24).chain((-3276..3276).step_by(409).map(|x| 5 * x)).map(|x| x as f32).collect()
}

#[test]
fn quotients_of_whole_floats_are_rounded_as_they_are() {
    let x = dividends();
    let y: Vec<f32> = (0..x.len()).map(|place| [3.0, -5.0, 7.0, -2.0][place % 4]).collect();
    let inputs: [Input<'_>; 2] = [("x", FLOAT, &[x.len()], &x), ("d", FLOAT, &[y.len()], &y)];
    let weights = vec![floats("five", &[], &[5.0]), floats("fifth", &[], &[0.2]), floats("four", &[], &[-4.0])];
    let nodes = vec![
        node("Div", &["x", "five"], &["fifths"]),
        node("Mul", &["x", "fifth"], &["times"]),
        node("Div", &["x", "four"], &["fourths"]),
        node("Div", &["x", "d"], &["quotient"]),
        node("Floor", &["fifths"], &["floor"]),
        node("Floor", &["times"], &["of_product"]),
        node("Ceil", &["fifths"], &["ceil"]),
        node("Round", &["fourths"], &["round"]),
        cast("fifths", DataType::INT64, "cut"),
        node("Floor", &["quotient"], &["private"]),
        node("Ceil", &["quotient"], &["upper"]),
    ];
    let names = ["floor", "of_product", "ceil", "round", "cut", "private", "upper"];
    for parties in [2, 3, 5] {
        let found = private(parties, nodes.clone(), weights.clone(), &inputs, &names);
        let expected = |function: fn(f64) -> f64, by: f64| x.iter().map(move |&x| function(f64::from(x) / by));
        let pairs =
            |function: fn(f64) -> f64| x.iter().zip(&y).map(move |(&x, &y)| function(f64::from(x) / f64::from(y)));
        assert_equal(&found[0], expected(f64::floor, 5.0), "floor");
        assert_equal(&found[1], expected(f64::floor, 5.0), "floor of a product");
        assert_equal(&found[2], expected(f64::ceil, 5.0), "ceil");
        assert_equal(&found[3], expected(f64::round_ties_even, -4.0), "round");
        assert_equal(&found[4], expected(f64::trunc, 5.0), "cast");
        assert_equal(&found[5], pairs(f64::floor), "floor of a private quotient");
        assert_equal(&found[6], pairs(f64::ceil), "ceil of a private quotient");
    }
}

/// A rounding in front of a remainder takes a unit from a multiple of the divisor.
#[test]
fn remainders_of_products_are_none_at_multiples() {
    let x: Vec<f32> = (-30..30).map(|x| x as f32).collect();
    let y = vec![1.5f32; x.len()];
    let inputs: [Input<'_>; 2] = [("x", FLOAT, &[x.len()], &x), ("d", FLOAT, &[y.len()], &y)];
    let nodes = vec![
        node("Mul", &["x", "half"], &["product"]),
        with(node("Mod", &["product", "d"], &["rest"]), vec![number("fmod", 1)]),
    ];
    for parties in [2, 3] {
        let found = private(parties, nodes.clone(), vec![floats("half", &[], &[0.5])], &inputs, &["rest"]);
        assert_equal(&found[0], x.iter().map(|&x| f64::from(x * 0.5 % 1.5)), "rest");
    }
}

/// Products of whole numbers are rounded among more than two parties.
#[test]
fn sums_of_products_are_whole_where_they_are() {
    let x: Vec<f32> = (-40..40).map(|x| x as f32 / 2.0).collect();
    let inputs: [Input<'_>; 1] = [("x", FLOAT, &[x.len()], &x)];
    let nodes = vec![
        node("Mul", &["x", "x"], &["square"]),
        node("Floor", &["square"], &["floor"]),
        node("Ceil", &["square"], &["ceil"]),
    ];
    for parties in [2, 3, 4, 7] {
        let found = private(parties, nodes.clone(), vec![], &inputs, &["floor", "ceil"]);
        assert_equal(&found[0], x.iter().map(|&x| f64::from((x * x).floor())), "floor");
        assert_equal(&found[1], x.iter().map(|&x| f64::from((x * x).ceil())), "ceil");
    }
}

/// The larger of a ranked value and a limit is that value where it is.
#[test]
fn thresholds_made_of_ranked_values_are_met_by_these() {
    let x: Vec<f32> = (0..32).map(|x| ((x * 37 % 101) as f32 - 50.0) / 32.0).collect();
    let inputs: [Input<'_>; 1] = [("x", FLOAT, &[1, 32], &x)];
    let weights = vec![
        integers("k", &[5]),
        integers("from", &[4]),
        integers("to", &[5]),
        integers("axis", &[1]),
        floats("low", &[], &[-1.0]),
        floats("high", &[], &[100.0]),
    ];
    let mut nodes = vec![
        node("TopK", &["x", "k"], &["values", "places"]),
        node("Slice", &["values", "from", "to", "axis"], &["fifth"]),
        node("Max", &["fifth", "low"], &["max"]),
        node("Min", &["fifth", "high"], &["min"]),
        node("Clip", &["fifth", "low", "high"], &["clip"]),
        node("Relu", &["fifth"], &["relu"]),
        node("ReduceMin", &["values", "axis"], &["least"]),
    ];
    let ways = ["max", "min", "clip", "relu", "least"];
    let names: Vec<_> = ways.iter().flat_map(|way| [format!("{way}_less"), format!("{way}_seen")]).collect();
    for way in ways {
        nodes.push(node("Less", &["x", way], &[&format!("{way}_less")]));
        nodes.push(node("GreaterOrEqual", &["x", way], &[&format!("{way}_seen")]));
    }
    let mut sorted = x.clone();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for parties in [2, 3] {
        let found = private(parties, nodes.clone(), weights.clone(), &inputs, &names);
        for (found, name) in found.iter().zip(&names) {
            let is_less = name.ends_with("less");
            assert_equal(found, x.iter().map(|&x| f64::from(u8::from((x < sorted[4]) == is_less))), name);
        }
    }
}

#[test]
fn parts_are_equal_to_what_they_are() {
    let x: Vec<f32> = (-30..60).map(|x| (5 * x) as f32).collect();
    let z: Vec<f32> = (-30..60).map(|x| x as f32).collect();
    let shape = [x.len()];
    let inputs: [Input<'_>; 2] = [("x", FLOAT, &shape, &x), ("z", FLOAT, &shape, &z)];
    let names = ["Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"];
    let mut nodes = vec![node("Div", &["x", "five"], &["q"])];
    nodes.extend(names.iter().map(|name| node(name, &["q", "z"], &[name])));
    for parties in [2, 3] {
        for (found, name) in
            private(parties, nodes.clone(), vec![floats("five", &[], &[5.0])], &inputs, &names).iter().zip(names)
        {
            let is = f64::from(u8::from(name.contains("Equal")));
            assert_equal(found, x.iter().map(|_| is), name);
        }
    }
}

/// Rows of scores: under the first the mask leaves two, under the second one, under the last nothing.
const SCORES: [f32; 9] = [1.0, 2.0, 3.0, 0.5, -1.0, 2.0, 0.0, 1.0, 1.0];
const SEEN: [f32; 9] = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0];

#[test]
fn rows_that_a_private_mask_hides_whole_are_no_numbers() {
    let inputs: [Input<'_>; 2] = [("x", FLOAT, &[3, 3], &SCORES), ("seen", DataType::BOOL, &[3, 3], &SEEN)];
    let weights = || {
        vec![
            floats("far", &[], &[f32::NEG_INFINITY]),
            floats("zero", &[], &[0.0]),
            integers("last", &[1]),
            integers("first", &[0]),
        ]
    };
    let masked = || vec![node("Where", &["seen", "x", "far"], &["h"]), node("Softmax", &["h"], &["s"])];
    let added = || {
        vec![
            node("Where", &["seen", "zero", "far"], &["mask"]),
            node("Unsqueeze", &["mask", "first"], &["wide"]),
            node("Squeeze", &["wide", "first"], &["m"]),
            node("Add", &["x", "m"], &["h"]),
            node("Softmax", &["h"], &["s"]),
        ]
    };
    let all = |name: &str| {
        vec![
            cast(name, FLOAT, "numbers"),
            with(node("ReduceMin", &["numbers", "last"], &["all"]), vec![number("keepdims", 1)]),
            cast("all", DataType::BOOL, "bad"),
        ]
    };
    let asked = [
        vec![node("IsNaN", &["s"], &["bad"])],
        vec![node("Equal", &["s", "s"], &["good"]), node("Not", &["good"], &["bad"])],
        [vec![node("IsInf", &["h"], &["is"])], all("is")].concat(),
        [vec![node("Equal", &["h", "far"], &["is"])], all("is")].concat(),
    ];
    let odds = 1.0 / (1.0 + 2f64.exp());
    let expected = [odds, 0.0, 1.0 - odds, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0];
    for (way, asked) in
        [masked(), added()].into_iter().flat_map(|way| asked.iter().map(move |asked| (way.clone(), asked)))
    {
        let nodes = [way, asked.clone(), vec![node("Where", &["bad", "zero", "s"], &["y"])]].concat();
        let found = private(2, nodes, weights(), &inputs, &["y"]);
        assert_equal(&found[0], expected.into_iter(), &asked[0].op_type.clone().unwrap());
    }
}

/// A product of what a private mask has left is not followed.
#[test]
fn infinities_that_are_not_followed_are_refused() {
    let inputs: [Input<'_>; 2] = [("x", FLOAT, &[3, 3], &SCORES), ("seen", DataType::BOOL, &[3, 3], &SEEN)];
    let weights =
        vec![floats("far", &[], &[f32::NEG_INFINITY]), floats("two", &[], &[2.0]), floats("zero", &[], &[0.0])];
    let nodes = vec![
        node("Where", &["seen", "x", "far"], &["h"]),
        node("Mul", &["h", "two"], &["t"]),
        node("Softmax", &["t"], &["s"]),
        node("IsNaN", &["s"], &["bad"]),
        node("Where", &["bad", "zero", "s"], &["y"]),
    ];
    let message = crate::near::refused(18, nodes, weights, &inputs);
    assert!(message.contains("what a private mask has left is not known here"), "{message}");
}

/// Of onnxruntime's masks all that is above 0 is seen.
#[test]
fn masks_of_other_integers_than_one_are_masks() {
    let x: Vec<f32> = (0..12).map(|x| (x % 5) as f32 / 4.0 - 0.5).collect();
    let attention = |mask: &str| NodeProto {
        domain: Some("com.microsoft".into()),
        ..with(node("MultiHeadAttention", &["x", "x", "x", "", mask], &["y"]), vec![number("num_heads", 2)])
    };
    let shape = [1, 3, 4];
    let run = |values: [f32; 3]| {
        let inputs: [Input<'_>; 2] = [("x", FLOAT, &shape, &x), ("mask", DataType::INT32, &[1, 3], &values)];
        private(2, vec![attention("mask")], vec![], &inputs, &["y"]).remove(0)
    };
    assert_equal(&run([5.0, -1.0, 2.0]), run([1.0, 0.0, 1.0]).into_iter(), "of a private mask");
    let public = |values: &[i64]| {
        let mask = vec![TensorProto { dims: vec![1, 3], ..integers("mask", values) }];
        private(2, vec![attention("mask")], mask, &[("x", FLOAT, &shape, &x)], &["y"]).remove(0)
    };
    assert_equal(&public(&[5, -1, 2]), run([1.0, 0.0, 1.0]).into_iter(), "of a public mask");
}

/// A ReLU truncates, and what reads it has no bits left to round.
#[test]
fn what_is_rounded_already_is_still_whole() {
    let x: Vec<f32> = (-40..40).map(|x| x as f32 / 2.0).collect();
    let inputs: [Input<'_>; 1] = [("x", FLOAT, &[x.len()], &x)];
    let nodes = vec![
        node("Mul", &["x", "x"], &["square"]),
        node("Relu", &["square"], &["relu"]),
        node("Floor", &["relu"], &["floor"]),
        node("Ceil", &["relu"], &["ceil"]),
        node("GreaterOrEqual", &["relu", "limit"], &["seen"]),
        node("Greater", &["relu", "limit"], &["above"]),
        node("Sub", &["relu", "square"], &["none"]),
        node("Relu", &["none"], &["nothing"]),
        node("Sign", &["nothing"], &["sign"]),
    ];
    for parties in [2, 3, 4] {
        let names = ["floor", "ceil", "seen", "above", "sign"];
        let found = private(parties, nodes.clone(), vec![floats("limit", &[], &[6.25])], &inputs, &names);
        assert_equal(&found[0], x.iter().map(|&x| f64::from((x * x).floor())), "floor");
        assert_equal(&found[1], x.iter().map(|&x| f64::from((x * x).ceil())), "ceil");
        assert_equal(&found[2], x.iter().map(|&x| f64::from(u8::from(x * x >= 6.25))), "at the limit");
        assert_equal(&found[3], x.iter().map(|&x| f64::from(u8::from(x * x > 6.25))), "above it");
        assert_equal(&found[4], x.iter().map(|_| 0.0), "sign");
    }
}

/// A mask of onnxruntime's lowers what it hides by a number of its own, and what comes later is further below.
#[test]
fn masks_hide_as_much_as_they_say() {
    let value: Vec<f32> = (0..12).map(|x| (x * x % 7) as f32 - 3.0).collect();
    let shape = [1, 3, 4];
    let run = |mask: [f32; 3], attributes| {
        let attention = NodeProto {
            domain: Some("com.microsoft".into()),
            ..with(node("MultiHeadAttention", &["q", "v", "v", "", "mask"], &["y"]), attributes)
        };
        let zeros = [0.0; 12];
        let inputs: [Input<'_>; 3] =
            [("q", FLOAT, &shape, &zeros), ("v", FLOAT, &shape, &value), ("mask", DataType::INT32, &[1, 3], &mask)];
        private(2, vec![attention], vec![], &inputs, &["y"]).remove(0)
    };
    let filter = AttributeProto {
        name: Some("mask_filter_value".into()),
        f: Some(0.5f32.ln()),
        r#type: Some(AttributeType::FLOAT),
        ..Default::default()
    };
    let row = |row: usize, column: usize| f64::from(value[4 * row + column]);
    let mean = |column: usize| (row(0, column) + 0.5 * row(1, column) + row(2, column)) / 2.5;
    let found = run([1.0, 0.0, 1.0], vec![number("num_heads", 2), filter]);
    assert_equal(&found, (0..12).map(|place| mean(place % 4)), "half of a key");
    let found = run([0.0, 1.0, 1.0], vec![number("num_heads", 2), number("unidirectional", 1)]);
    let rows = [row(0, 0), row(1, 0), 0.5 * (row(1, 0) + row(2, 0))];
    assert_equal(&found.iter().copied().step_by(4).collect::<Vec<_>>(), rows.into_iter(), "causal");
}
