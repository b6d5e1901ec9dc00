//! Operators whose values ONNX's definition alone does not make plain, with the values that its runtimes give.

use mpc_nn::{Plan, Settings, evaluate, in_process};
use ndarray::{ArrayD, IxDyn};
use rten_onnx::onnx::{AttributeProto, AttributeType, DataType, GraphProto, NodeProto, TensorProto};

use crate::cases;
use crate::models::{floats, graph, imported, info, integers, ints, node};

/// The only output of a network of one input `x` for the values of the shape.
fn result(nodes: Vec<NodeProto>, initializer: Vec<TensorProto>, shape: &[usize], x: &[f32]) -> ArrayD<f32> {
    let sizes: Vec<_> = shape.iter().map(|&size| Some(size as i64)).collect();
    let graph = GraphProto {
        node: nodes,
        initializer,
        input: vec![info("x", DataType::FLOAT, &sizes)],
        output: vec![info("y", DataType::FLOAT, &[])],
        ..Default::default()
    };
    let network = imported(graph).unwrap();
    let x = ArrayD::from_shape_vec(IxDyn(shape), x.to_vec()).unwrap();
    evaluate(&network.graph, &network.weights, &[x]).unwrap().remove(0)
}

fn text(name: &str, value: &str) -> AttributeProto {
    let r#type = Some(AttributeType::STRING);
    AttributeProto { name: Some(name.into()), s: Some(value.into()), r#type, ..Default::default() }
}

fn resized(factor: f32, coordinates: &str, nearest: &str, x: &[f32]) -> Vec<f32> {
    let mut resize = node("Resize", &["x", "", "scales"], &["y"]);
    resize.attribute = vec![
        text("coordinate_transformation_mode", coordinates),
        text("mode", "nearest"),
        text("nearest_mode", nearest),
    ];
    let y = result(vec![resize], vec![floats("scales", &[2], &[1.0, factor])], &[1, x.len()], x);
    y.into_iter().collect()
}

/// 1.8 is less than 9/5 as a 32-bit number, but 5 times it, as such a number, is 9.
#[test]
fn a_resized_length_is_a_product_of_32_bit_numbers() {
    let y = resized(1.8, "asymmetric", "floor", &[0.0, 1.0, 2.0, 3.0, 4.0]);
    assert_eq!(y, [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0]);
}

/// (4 + 1/2) / 1.8 − 1/2 is 2, and 6 / 1.2 is 5.
#[test]
fn a_place_in_between_is_a_quotient_of_32_bit_numbers() {
    let y = resized(1.8, "half_pixel", "ceil", &[0.0, 1.0, 2.0, 3.0, 4.0]);
    assert_eq!(y, [0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 4.0]);
    let y = resized(1.2, "asymmetric", "floor", &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(y, [0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
}

/// Where a product with a rounded reciprocal would be off by up to a tenth.
/// Within the bound that the crate's documentation states, over bases from 1/9 to 5 and exponents from −3 to 3.
#[test]
fn private_powers_are_within_their_bound() {
    const ROWS: usize = 300;
    let pair = |row: usize| [(row as f32 * 0.0185 - 3.2).exp2(), ((row * 37) % 121) as f32 / 20.0 - 3.0];
    let values: Vec<[f32; 2]> = (0..ROWS).map(pair).collect();
    let nodes = vec![
        node("Gather", &["x", "0"], &["base"]),
        node("Gather", &["x", "1"], &["exponent"]),
        node("Pow", &["base", "exponent"], &["y"]),
    ];
    let mut graph = graph(nodes, vec![integers("0", &[0]), integers("1", &[1])]);
    let axis = AttributeProto { i: Some(1), r#type: Some(AttributeType::INT), ..ints("axis", &[]) };
    graph.node[..2].iter_mut().for_each(|gather| gather.attribute.push(axis.clone()));
    graph.input = vec![info("x", DataType::FLOAT, &[Some(ROWS as i64), Some(2)])];
    let network = imported(graph).unwrap();
    let x = ArrayD::from_shape_vec(IxDyn(&[ROWS, 2]), values.concat()).unwrap();
    let found = cases::infer(&network, &[x]).unwrap().remove(0);
    for ([base, exponent], y) in values.into_iter().zip(found) {
        let expected = f64::from(base).powf(exponent.into());
        let bound = ((1.0 + f64::from(exponent.abs())) * expected + 1.0) / 4096.0;
        assert!((y - expected).abs() <= bound, "{base}^{exponent} is {y}, expected {expected}");
    }
}

#[test]
fn private_quotients_of_large_values_are_right() {
    for (operator, constant, x) in [
        ("Div", None, [9_000.0, 300.0, 12_000.0, 4.0, 7_000.0, 350.0, -11_000.0, -16.0]),
        ("Div", Some(10_000.0), [9_000.0, 3.0, -12_000.0, -4.0, 7_000.0, 350.0, 1_000.0, 16.0]),
        ("Softsign", None, [9_000.0, 300.0, -12_000.0, 4.0, -7_000.0, 350.0, 0.0, 0.125]),
    ] {
        let (mut nodes, mut initializer) = (vec![], vec![]);
        match constant {
            None if operator == "Div" => {
                // Rows by their last elements.
                let slice = node("Slice", &["x", "from", "to", "axes"], &["last"]);
                nodes.extend([slice, node("Div", &["x", "last"], &["y"])]);
                let places = [("from", 3), ("to", 4), ("axes", 1)];
                initializer.extend(places.map(|(name, place)| integers(name, &[place])));
            }
            Some(value) => {
                nodes.push(node("Div", &["c", "x"], &["y"]));
                initializer.push(floats("c", &[1], &[value]));
            }
            None => nodes.push(node(operator, &["x"], &["y"])),
        }
        let graph = GraphProto {
            node: nodes,
            initializer,
            input: vec![info("x", DataType::FLOAT, &[Some(2), Some(4)])],
            output: vec![info("y", DataType::FLOAT, &[])],
            ..Default::default()
        };
        let network = imported(graph).unwrap();
        let x = [ArrayD::from_shape_vec(IxDyn(&[2, 4]), x.to_vec()).unwrap()];
        let (exact, private) = (cases::evaluate(&network, &x).unwrap(), cases::infer(&network, &x).unwrap());
        for (exact, private) in exact[0].iter().zip(&private[0]) {
            assert!((exact - private).abs() <= 0.000_1 + exact.abs() / 8192.0, "{operator}: {private}, not {exact}");
        }
    }
}

fn number(name: &str, kind: DataType, value: i32) -> TensorProto {
    TensorProto { name: Some(name.into()), data_type: Some(kind), int32_data: vec![value], ..Default::default() }
}

fn constant(output: &str, value: TensorProto) -> NodeProto {
    let mut node = node("Constant", &[], &[output]);
    let r#type = Some(AttributeType::TENSOR);
    node.attribute = vec![AttributeProto { name: Some("value".into()), t: Some(value), r#type, ..Default::default() }];
    node
}

fn int(name: &str, value: i64) -> AttributeProto {
    let r#type = Some(AttributeType::INT);
    AttributeProto { name: Some(name.into()), i: Some(value), r#type, ..Default::default() }
}

/// The values of x that come back through 8 bits without sign.
fn through_bytes(mut before: Vec<NodeProto>, zero: &str, initializer: Vec<TensorProto>) -> Vec<f32> {
    before.push(node("QuantizeLinear", &["x", "s", zero], &["q"]));
    before.push(node("DequantizeLinear", &["q", "s", zero], &["y"]));
    result(before, initializer, &[3], &[-10.0, 0.5, 10.0]).into_iter().collect()
}

#[test]
fn what_is_quantised_saturates_wherever_its_zero_point_comes_from() {
    let (kind, scale) = (DataType::UINT8, floats("s", &[], &[0.02]));
    let expected = [(0.0 - 100.0) * 0.02, 0.5, (255.0 - 100.0) * 0.02];
    let weight = through_bytes(vec![], "z", vec![scale.clone(), number("z", kind, 100)]);
    let node_value = through_bytes(vec![constant("z", number("", kind, 100))], "z", vec![scale.clone()]);
    let mut cast = node("Cast", &["z64"], &["z"]);
    cast.attribute = vec![int("to", kind.0.into())];
    let cast = vec![constant("z64", number("", DataType::INT32, 100)), cast, node("Identity", &["z"], &["same"])];
    let cast = through_bytes(cast, "same", vec![scale]);
    assert_eq!([weight, node_value, cast], [expected.to_vec(), expected.to_vec(), expected.to_vec()]);
}

#[test]
fn what_is_quantised_by_channel_saturates_by_channel() {
    let mut zeros = number("z", DataType::UINT8, 0);
    (zeros.dims, zeros.int32_data) = (vec![3], vec![0, 100, 255]);
    let axis = |operator: &str, from: &str, to: &str| {
        let mut node = node(operator, &[from, "s", "z"], &[to]);
        node.attribute = vec![int("axis", 1)];
        node
    };
    let nodes = vec![axis("QuantizeLinear", "x", "q"), axis("DequantizeLinear", "q", "y")];
    let scales = floats("s", &[3], &[0.5, 0.25, 0.125]);
    let y = result(nodes, vec![scales, zeros], &[2, 3], &[-200.0, -200.0, -200.0, 200.0, 200.0, 200.0]);
    assert_eq!(y.into_iter().collect::<Vec<_>>(), [0.0, -25.0, -31.875, 127.5, 38.75, 0.0]);
}

#[test]
fn another_scale_counts_behind_movements() {
    let nodes = |operator: &str, inputs: &[&str]| {
        vec![
            node("QuantizeLinear", &["x", "s", "z"], &["q"]),
            node(operator, inputs, &["t"]),
            node("DequantizeLinear", &["t", "double", "z"], &["y"]),
        ]
    };
    let weights = || {
        let zero = number("z", DataType::UINT8, 100);
        vec![floats("s", &[], &[0.5]), floats("double", &[], &[1.0]), zero, integers("shape", &[4, 1])]
    };
    let x = [1.0, 2.0, -3.0, 0.5];
    let y = result(nodes("Reshape", &["q", "shape"]), weights(), &[2, 2], &x);
    assert_eq!((y.shape(), y.as_slice().unwrap()), (&[4, 1][..], &[2.0, 4.0, -6.0, 1.0][..]));
    let y = result(nodes("Transpose", &["q"]), weights(), &[2, 2], &x);
    assert_eq!(y.iter().copied().collect::<Vec<_>>(), [2.0, -6.0, 4.0, 1.0]);
    let graph = graph(nodes("Add", &["q", "q"]), weights());
    assert!(imported(graph).is_err_and(|reasons| reasons[0].to_string().contains("computes with quantised integers")));
}

/// As PyTorch exports attention: what a mask hides whole gives zeros.
#[test]
fn a_row_that_a_mask_hides_whole_is_zero() {
    let hidden = f32::NEG_INFINITY;
    let mask = floats("m", &[2, 2], &[hidden, hidden, hidden, 0.0]);
    let mut softmax = node("Softmax", &["s", ""], &["p"]);
    softmax.input.truncate(1);
    let nodes = vec![
        node("Add", &["x", "m"], &["s"]),
        softmax,
        node("IsNaN", &["p"], &["n"]),
        node("Where", &["n", "zero", "p"], &["y"]),
    ];
    let y = result(nodes, vec![mask, floats("zero", &[], &[0.0])], &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    assert_eq!(y.into_iter().collect::<Vec<_>>(), [0.0, 0.0, 0.0, 1.0]);
}

/// As newer exporters of PyTorch find the rows that a mask hides whole.
#[test]
fn what_a_mask_makes_infinite_is_equal_to_it() {
    let hidden = f32::NEG_INFINITY;
    let weights = || vec![floats("m", &[2, 2], &[hidden, 0.0, hidden, 0.0]), floats("lowest", &[], &[hidden])];
    let mut softmax = node("Softmax", &["s"], &["p"]);
    softmax.attribute = vec![int("axis", -1)];
    for test in [node("Equal", &["s", "lowest"], &["is"]), node("IsInf", &["s"], &["is"])] {
        let mut cast = node("Cast", &["is"], &["one"]);
        cast.attribute = vec![int("to", DataType::FLOAT.0.into())];
        let nodes =
            vec![node("Add", &["x", "m"], &["s"]), softmax.clone(), test, cast, node("Add", &["p", "one"], &["y"])];
        let y = result(nodes, weights(), &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(y.into_iter().collect::<Vec<_>>(), [1.0, 1.0, 1.0, 1.0]);
    }
}

/// No private value is as large as that: what compares with it is known.
#[test]
fn a_comparison_with_what_is_beyond_every_value_is_public() {
    for (operator, limit, expected) in [
        ("Less", f32::INFINITY, 1.0),
        ("GreaterOrEqual", 3.4e38, 0.0),
        ("Greater", -1e9, 1.0),
        ("LessOrEqual", f32::NEG_INFINITY, 0.0),
        ("Equal", f32::INFINITY, 0.0),
    ] {
        let mut cast = node("Cast", &["is"], &["one"]);
        cast.attribute = vec![int("to", DataType::FLOAT.0.into())];
        let nodes = vec![node(operator, &["x", "c"], &["is"]), cast, node("Mul", &["x", "one"], &["y"])];
        let y = result(nodes, vec![floats("c", &[], &[limit])], &[2], &[-5.0, 7.0]);
        assert_eq!(y.into_iter().collect::<Vec<_>>(), [-5.0 * expected, 7.0 * expected], "{operator} {limit}");
    }
}

#[test]
fn a_private_mask_of_booleans_hides_and_a_row_of_nothing_is_zero() {
    let nodes = vec![node("Less", &["x", "limit"], &["m"]), node("Attention", &["x", "x", "x", "m"], &["y"])];
    let y = result(nodes, vec![floats("limit", &[], &[1.5])], &[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
    assert_eq!(y.into_iter().collect::<Vec<_>>(), [1.0, 2.0, 0.0, 0.0]);
}

#[test]
fn a_cast_to_few_bits_goes_around() {
    for (kind, expected) in [
        (DataType::INT4, [-8.0, 7.0, -1.0, 2.0]),
        (DataType::UINT4, [8.0, 7.0, 15.0, 2.0]),
        (DataType(26), [0.0, -1.0, -1.0, -2.0]),
    ] {
        let mut cast = node("Cast", &["x"], &["q"]);
        cast.attribute = vec![int("to", kind.0.into())];
        let mut back = node("Cast", &["q"], &["y"]);
        back.attribute = vec![int("to", DataType::FLOAT.0.into())];
        let y = result(vec![cast, back], vec![], &[4], &[8.0, -9.3, 15.9, 2.2]);
        assert_eq!(y.into_iter().collect::<Vec<_>>(), expected, "{kind:?}");
    }
}

#[test]
fn a_cast_to_a_float_of_8_bits_is_refused() {
    let mut cast = node("Cast", &["x"], &["y"]);
    cast.attribute = vec![int("to", 17)];
    let refused = imported(graph(vec![cast], vec![]));
    assert!(refused.is_err_and(|reasons| reasons[0].to_string().contains("rounds coarsely")));
}

#[test]
fn a_cast_like_a_boolean_is_a_boolean() {
    let mut like = number("like", DataType::BOOL, 1);
    like.dims = vec![1];
    let mut back = node("Cast", &["is"], &["y"]);
    back.attribute = vec![int("to", DataType::FLOAT.0.into())];
    let y = result(vec![node("CastLike", &["x", "like"], &["is"]), back], vec![like], &[3], &[0.0, 2.5, -1.0]);
    assert_eq!(y.into_iter().collect::<Vec<_>>(), [0.0, 1.0, 1.0]);
}

/// A private number may surround a value.
#[test]
fn a_border_may_be_private() {
    let nodes = vec![node("ReduceSum", &["x"], &["sum"]), node("Pad", &["x", "pads", "sum"], &["y"])];
    let y = result(nodes, vec![integers("pads", &[0, 1, 0, 0])], &[1, 2], &[1.0, 2.0]);
    assert_eq!(y.into_iter().collect::<Vec<_>>(), [3.0, 1.0, 2.0]);
}

/// An output of integers is those integers, also behind a movement, and not what they stand for.
#[test]
fn a_quantised_output_is_of_integers() {
    for last in ["q", "y"] {
        let nodes = vec![
            node("QuantizeLinear", &["x", "s", "z"], &[if last == "q" { "y" } else { "q" }]),
            node("Transpose", &["q"], &["y"]),
        ];
        let nodes = if last == "q" { nodes[..1].to_vec() } else { nodes };
        let weights = vec![floats("s", &[], &[0.5]), number("z", DataType::INT8, -3)];
        let y = result(nodes, weights, &[5, 1], &[0.25, 0.75, -1.1, 100.0, -100.0]);
        assert_eq!(y.into_iter().collect::<Vec<_>>(), [-3.0, -1.0, -5.0, 127.0, -128.0]);
    }
}

/// As exporters write a vector over its length: no root, bound and quotient, but one power; a vector of zeros stays one.
#[test]
fn a_vector_over_its_length_is_one_power() {
    let mut length = node("ReduceL2", &["x"], &["length"]);
    length.attribute = vec![ints("axes", &[1])];
    let nodes = vec![length, node("Clip", &["length", "least"], &["bounded"]), node("Div", &["x", "bounded"], &["y"])];
    let input = vec![info("x", DataType::FLOAT, &[Some(3), Some(4)])];
    let network = imported(GraphProto { input, ..graph(nodes, vec![floats("least", &[], &[1e-12])]) }).unwrap();
    let plan = Plan::<u64>::new(&network.graph, Settings::new(2)).unwrap();
    // The squares, seven of the power, the product, the result.
    assert_eq!(plan.online(1).rounds, 1 + 7 + 1 + 1);
    let rows = [[3.0f32, 0.0, -4.0, 0.0], [0.0; 4], [0.01, 0.02, 0.02, 0.0]];
    let x = ArrayD::from_shape_vec(IxDyn(&[3, 4]), rows.concat()).unwrap();
    let expected = [0.6, 0.0, -0.8, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0, 0.0];
    let clear = evaluate(&network.graph, &network.weights, std::slice::from_ref(&x)).unwrap().remove(0);
    let private = in_process::infer(&plan, &network.weights, &[x]).unwrap().remove(0);
    for ((clear, private), expected) in clear.iter().zip(&private).zip(expected) {
        assert!((f64::from(*clear) - expected).abs() < 1e-6, "{clear} in the clear, not {expected}");
        assert!((private - expected).abs() < 2e-3, "{private} instead of {expected}");
    }
}

/// As DIN and others scale what they have masked, and as RWKV begins its running maximum.
#[test]
fn masks_that_are_scaled_or_only_go_into_an_exponential_need_no_range() {
    let mut softmax = node("Softmax", &["scaled"], &["y"]);
    softmax.attribute = vec![int("axis", -1)];
    let kept = TensorProto { data_type: Some(DataType::BOOL), ..number("kept", DataType::BOOL, 0) };
    let kept = TensorProto { dims: vec![4], int32_data: vec![1, 0, 1, 0], ..kept };
    let weights = || vec![kept.clone(), floats("far", &[], &[-4.3e9]), floats("root", &[], &[2.449_49])];
    let x = [3.0, 9.0, 1.0, -2.0];
    let expected = 1.0 / (1.0 + ((1.0 - 3.0) / 2.449_49_f32).exp());
    for scaled in [node("Div", &["masked", "root"], &["scaled"]), node("Mul", &["root", "masked"], &["scaled"])] {
        let is_quotient = scaled.op_type.as_deref() == Some("Div");
        let nodes = vec![node("Where", &["kept", "x", "far"], &["masked"]), scaled, softmax.clone()];
        let y = result(nodes, weights(), &[4], &x);
        let expected = if is_quotient { expected } else { 1.0 / (1.0 + (-2.0 * 2.449_49_f32).exp()) };
        for (y, expected) in y.iter().zip([expected, 0.0, 1.0 - expected, 0.0]) {
            assert!((y - expected).abs() < 1e-5, "{y}, not {expected}");
        }
    }
    let nodes = vec![
        node("Max", &["least", "x"], &["largest"]),
        node("Sub", &["least", "largest"], &["before"]),
        node("Exp", &["before"], &["y"]),
    ];
    let y = result(nodes, vec![floats("least", &[], &[-1e38])], &[4], &x);
    assert_eq!(y.into_iter().collect::<Vec<_>>(), [0.0; 4]);
    // What is added later counts for an exponential.
    let nodes = vec![
        node("Add", &["x", "below"], &["low"]),
        node("Sub", &["low", "below"], &["same"]),
        node("Exp", &["same"], &["y"]),
    ];
    let y = result(nodes, vec![floats("below", &[], &[-5000.0])], &[4], &[1.0, 0.0, -1.0, 2.0]);
    assert!((y[[0]] - 1_f32.exp()).abs() < 0.01, "{y}");
}

/// As libsvm couples the chances of pairs: with Q of them, Q·p is the same for all classes. The label is that of the votes.
#[test]
fn probabilities_of_three_classes_are_coupled() {
    let reals = |name: &str, values: &[f32]| {
        let (name, r#type) = (Some(name.into()), Some(AttributeType::FLOATS));
        AttributeProto { name, floats: values.to_vec(), r#type, ..Default::default() }
    };
    let mut machine = node("SVMClassifier", &["x"], &["label", "y"]);
    machine.domain = Some("ai.onnx.ml".into());
    machine.attribute = vec![
        text("kernel_type", "LINEAR"),
        reals("support_vectors", &[1.0, 0.0, 0.0, 1.0, -1.0, -1.0]),
        ints("vectors_per_class", &[1, 1, 1]),
        reals("coefficients", &[1.0, 1.0, 0.5, -1.0, -1.0, -0.5]),
        reals("rho", &[0.1, -0.2, 0.3]),
        reals("prob_a", &[-1.5, -1.0, -2.0]),
        reals("prob_b", &[0.1, 0.0, -0.1]),
        ints("classlabels_ints", &[0, 1, 2]),
    ];
    let x = [0.7f32, -0.4, -1.2, 0.3];
    let y = result(vec![machine], vec![], &[2, 2], &x);
    for (row, p) in x.chunks(2).zip(y.rows()) {
        let kernel = [row[0], row[1], -row[0] - row[1]];
        // Of each pair: one coefficient of either class.
        let decisions =
            [kernel[0] + kernel[1] + 0.1, -kernel[0] + kernel[2] * 0.5 - 0.2, -kernel[1] + kernel[2] * -0.5 + 0.3];
        let (a, b) = ([-1.5, -1.0, -2.0], [0.1, 0.0, -0.1]);
        let chance = |pair: usize| 1.0 / (1.0 + (a[pair] * decisions[pair] + b[pair]).exp());
        let mut r = [[0.0f32; 3]; 3];
        for (pair, (i, j)) in [(0, 1), (0, 2), (1, 2)].into_iter().enumerate() {
            (r[i][j], r[j][i]) = (chance(pair), 1.0 - chance(pair));
        }
        let product = |i: usize| {
            let own: f32 = (0..3).filter(|&j| j != i).map(|j| r[j][i] * r[j][i]).sum();
            own * p[i] - (0..3).filter(|&j| j != i).map(|j| r[j][i] * r[i][j] * p[j]).sum::<f32>()
        };
        assert!((p.sum() - 1.0).abs() < 1e-5, "{p}");
        assert!((product(0) - product(1)).abs() < 1e-5 && (product(1) - product(2)).abs() < 1e-5, "{p}, {r:?}");
    }
}

/// Constants are transposed when they are imported, large ones tile by tile.
#[test]
fn a_large_constant_is_transposed_element_by_element() {
    let shapes: [(&[i64], &[i64]); 6] = [
        (&[70, 65], &[1, 0]),
        (&[3, 40, 37], &[2, 0, 1]),
        (&[3, 40, 37], &[1, 2, 0]),
        (&[2, 33, 1, 45], &[3, 2, 1, 0]),
        (&[4, 5, 6], &[2, 1, 0]),
        (&[2000], &[0]),
    ];
    for (shape, order) in shapes {
        let mut turn = node("Transpose", &["c"], &["turned"]);
        turn.attribute = vec![ints("perm", order)];
        let numbers: Vec<_> = (0..shape.iter().product::<i64>()).map(|number| number as f32 / 8.0).collect();
        let y =
            result(vec![turn, node("Add", &["turned", "x"], &["y"])], vec![floats("c", shape, &numbers)], &[1], &[0.0]);
        let sizes: Vec<_> = shape.iter().map(|&size| size as usize).collect();
        let constant = ArrayD::from_shape_vec(IxDyn(&sizes), numbers).unwrap();
        let axes: Vec<_> = order.iter().map(|&axis| axis as usize).collect();
        assert_eq!(y, constant.permuted_axes(axes), "{shape:?} by {order:?}");
    }
}
