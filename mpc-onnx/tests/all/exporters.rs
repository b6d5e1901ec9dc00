//! Files in the manner of exporters and optimisers other than PyTorch's own, and their near relatives.

use mpc_nn::{Plan, Settings, evaluate, in_process};
use mpc_onnx::{InputShapes, OnnxFile};
use ndarray::{ArrayD, IxDyn};
use rten_onnx::onnx::{AttributeProto, AttributeType, DataType, GraphProto, ModelProto, NodeProto, TensorProto};

use crate::cases;
use crate::models::{bytes, floats, graph, imported, info, integers, ints, node, open};
use crate::near::{FLOAT, Input, near, number, real, refused, result, with};

fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: Some(value.into()), r#type: Some(AttributeType::STRING), ..ints(name, &[]) }
}

fn body(name: &str, nodes: Vec<NodeProto>, inputs: &[&str]) -> AttributeProto {
    let output = vec![open(nodes.last().and_then(|node| node.output.first()).unwrap())];
    let input = inputs.iter().map(|name| open(name)).collect();
    let g = Some(GraphProto { node: nodes, input, output, ..Default::default() });
    AttributeProto { g, r#type: Some(AttributeType::GRAPH), ..ints(name, &[]) }
}

const X: Input<'_> = ("x", FLOAT, &[2, 2], &[1.0, 2.0, 3.0, 4.0]);

/// PyTorch's `hstack`: a branch concatenates the sequence of the graph around it.
#[test]
fn a_branch_reads_a_sequence_of_the_graph_around_it() {
    let concat = |output: &str, axis| with(node("ConcatFromSequence", &["all"], &[output]), vec![number("axis", axis)]);
    let branches = vec![body("then_branch", vec![concat("a", 0)], &[]), body("else_branch", vec![concat("b", 1)], &[])];
    let nodes = vec![
        node("SequenceConstruct", &["x", "x"], &["all"]),
        node("Shape", &["x"], &["shape"]),
        node("Size", &["shape"], &["rank"]),
        node("Equal", &["rank", "one"], &["is"]),
        with(node("If", &["is"], &["y"]), branches),
    ];
    near(&result(17, nodes, vec![integers("one", &[1])], &[X]), &[1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0, 4.0]);
}

/// The same of its newer exporter: a body for each value of a sequence, and a value that all of them share.
#[test]
fn a_body_maps_the_values_of_a_sequence() {
    let add = vec![node("Mul", &["one", "both"], &["product"])];
    let nodes = vec![
        node("Neg", &["x"], &["opposite"]),
        node("SequenceConstruct", &["x", "opposite"], &["all"]),
        with(node("SequenceMap", &["all", "factor"], &["mapped"]), vec![body("body", add, &["one", "both"])]),
        with(node("ConcatFromSequence", &["mapped"], &["y"]), vec![number("axis", 0)]),
    ];
    let found = result(17, nodes, vec![floats("factor", &[], &[2.0])], &[X]);
    near(&found, &[2.0, 4.0, 6.0, 8.0, -2.0, -4.0, -6.0, -8.0]);
}

/// Segments of a graph, as tf2onnx writes a sum over them: their order by `TopK`, and their numbers by `Unique`.
#[test]
fn public_integers_have_unique_elements() {
    let top = vec![number("axis", 0), number("largest", 0)];
    let nodes = vec![
        with(node("TopK", &["segments", "five"], &["sorted", "order"]), top),
        with(node("Unique", &["sorted"], &["kinds", "first", "inverse", "counts"]), vec![number("axis", 0)]),
        node("Unique", &["segments"], &["", "places"]),
        with(node("Unique", &["segments"], &["found", "", "which"]), vec![number("sorted", 0)]),
        with(
            node("Concat", &["kinds", "first", "inverse", "counts", "places", "found", "which"], &["all"]),
            vec![number("axis", 0)],
        ),
        node("Gather", &["x", "all"], &["y"]),
    ];
    let x: Input<'_> = ("x", FLOAT, &[8], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    let weights = vec![integers("segments", &[7, 2, 7, 4, 2]), integers("five", &[5])];
    let kinds = [2.0, 4.0, 7.0, 0.0, 2.0, 3.0, 0.0, 0.0, 1.0, 2.0, 2.0, 2.0, 1.0, 2.0];
    let unsorted = [1.0, 3.0, 0.0, 7.0, 2.0, 4.0, 0.0, 1.0, 0.0, 2.0, 1.0];
    near(&result(17, nodes, weights, &[x]), &[kinds.as_slice(), &unsorted].concat());
}

/// Aligned corners are those of the result, of 4 elements, but in a file without a producer, where they are those of 4.5.
#[test]
fn aligned_corners_are_those_of_the_whole_result() {
    let attributes = vec![text("mode", "linear"), text("coordinate_transformation_mode", "align_corners")];
    let resize = with(node("Resize", &["x", "", "scales"], &["y"]), attributes);
    let graph = GraphProto {
        input: vec![info("x", FLOAT, &[Some(1), Some(3)])],
        ..graph(vec![resize], vec![floats("scales", &[2], &[1.0, 1.5])])
    };
    let named = bytes(graph, 13);
    let mut unnamed = ModelProto::parse_buf(&named).unwrap();
    unnamed.producer_name = None;
    let found = |file: &[u8]| {
        let network = OnnxFile::from_bytes(file).unwrap().import(&InputShapes::new()).unwrap();
        let x = ArrayD::from_shape_vec(IxDyn(&[1, 3]), vec![0.0, 7.0, 14.0]).unwrap();
        evaluate(&network.graph, &network.weights, &[x]).unwrap().remove(0).into_iter().collect::<Vec<_>>()
    };
    near(&found(&named), &[0.0, 14.0 / 3.0, 28.0 / 3.0, 14.0]);
    near(&found(&unnamed.write_buf().unwrap()), &[0.0, 4.0, 8.0, 12.0]);
}

fn spread(shape: &[usize], seed: usize) -> Vec<f32> {
    (0..shape.iter().product()).map(|at| ((at * 37 + seed * 11) % 29) as f32 / 20.0 - 0.7).collect()
}

/// The outputs `y` and `last` with lengths of sequences that are weights, which are those with private ones.
fn same_by_private_lengths(nodes: Vec<NodeProto>, weights: &[(&str, &[usize])], lengths: &[f32], x: &[usize]) {
    let sizes = |shape: &[usize]| shape.iter().map(|&size| Some(size as i64)).collect::<Vec<_>>();
    let dims = |shape: &[usize]| shape.iter().map(|&size| size as i64).collect::<Vec<_>>();
    let own =
        || weights.iter().enumerate().map(|(seed, (name, shape))| floats(name, &dims(shape), &spread(shape, seed)));
    let output = || vec![open("y"), open("last")];
    let fixed = integers("lengths", &lengths.iter().map(|&length| length as i64).collect::<Vec<_>>());
    let float = || info("x", FLOAT, &sizes(x));
    let private = info("lengths", DataType::INT64, &[Some(lengths.len() as i64)]);
    let public =
        GraphProto { input: vec![float()], output: output(), ..graph(nodes.clone(), own().chain([fixed]).collect()) };
    let private = GraphProto { input: vec![float(), private], output: output(), ..graph(nodes, own().collect()) };
    let (public, private) = (imported(public).unwrap(), imported(private).unwrap());
    let x = ArrayD::from_shape_vec(IxDyn(x), spread(x, 9)).unwrap();
    let both = [x.clone(), ArrayD::from_shape_vec(IxDyn(&[lengths.len()]), lengths.to_vec()).unwrap()];
    let both = if private.inputs[0].name == "x" {
        both
    } else {
        let [x, lengths] = both;
        [lengths, x]
    };
    let expected = cases::evaluate(&public, &[x]).unwrap();
    let (clear, run) = (cases::evaluate(&private, &both).unwrap(), cases::infer(&private, &both).unwrap());
    for ((expected, clear), run) in expected.iter().zip(&clear).zip(&run) {
        let is_near = |(one, other): (&f64, &f64)| (one - other).abs() < 2e-3;
        assert!(expected.len() == clear.len() && expected.len() == run.len());
        assert!(
            expected.iter().zip(clear).all(is_near) && expected.iter().zip(run).all(is_near),
            "{expected:?} {run:?}"
        );
    }
}

/// Packed sequences of PyTorch: lengths are an input of the data owner's.
#[test]
fn recurrent_layers_take_private_lengths() {
    for (operator, gates, results) in
        [("LSTM", 4, ["all", "last"]), ("GRU", 3, ["all", "last"]), ("RNN", 1, ["all", "last"])]
    {
        for (direction, count) in [("forward", 1), ("reverse", 1), ("bidirectional", 2)] {
            let attributes = vec![text("direction", direction), number("hidden_size", 2)];
            let layer = node(operator, &["x", "w", "r", "b", "lengths", "h"], &results);
            let nodes = vec![with(layer, attributes), node("Neg", &["all"], &["y"])];
            let weights: [(&str, &[usize]); 4] = [
                ("w", &[count, gates * 2, 3]),
                ("r", &[count, gates * 2, 2]),
                ("b", &[count, gates * 4]),
                ("h", &[count, 3, 2]),
            ];
            same_by_private_lengths(nodes, &weights, &[4.0, 1.0, 3.0], &[4, 3, 3]);
        }
    }
}

fn contributed(operator: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto { domain: Some("com.microsoft".into()), attribute, ..node(operator, inputs, outputs) }
}

/// Lengths of sequences as an operand of an attention of onnxruntime's.
#[test]
fn attention_of_onnxruntime_takes_private_lengths() {
    let attention = contributed("Attention", &["x", "w", "b", "lengths"], &["y"], vec![number("num_heads", 2)]);
    let nodes = vec![attention, node("Neg", &["y"], &["last"])];
    same_by_private_lengths(nodes, &[("w", &[4, 12]), ("b", &[12])], &[3.0, 1.0], &[2, 3, 4]);
}

/// The mask of a transformer that onnxruntime's optimiser has made smaller: the embedding counts the words that it shows.
#[test]
fn an_embedding_counts_the_words_of_a_private_mask() {
    let operands = ["ids", "", "words", "places", "", "gamma", "beta", "mask"];
    let embedding = contributed("EmbedLayerNormalization", &operands, &["e", "counts"], vec![]);
    let attention = |mask| contributed("Attention", &["e", "w", "b", mask], &["y"], vec![number("num_heads", 1)]);
    let words = info("ids", DataType::INT32, &[Some(2), Some(3)]);
    let mask = info("mask", DataType::INT32, &[Some(2), Some(3)]);
    let of = |name: &str, shape: [usize; 2]| floats(name, &shape.map(|size| size as i64), &spread(&shape, name.len()));
    let weights = || {
        let norm =
            [floats("gamma", &[2], &[1.0, 0.5]), floats("beta", &[2], &[0.0, 0.1]), floats("b", &[6], &[0.1; 6])];
        [of("words", [5, 2]), of("places", [3, 2]), of("w", [2, 6])].into_iter().chain(norm).collect()
    };
    let file = |mask_of| GraphProto {
        input: vec![words.clone(), mask.clone()],
        ..graph(vec![embedding.clone(), attention(mask_of)], weights())
    };
    let run = |graph| {
        let network = imported(graph).unwrap();
        let given = |name: &str| match name {
            "ids" => [3.0f32, 1.0, 4.0, 0.0, 2.0, 2.0],
            _ => [1.0, 1.0, 0.0, 1.0, 1.0, 1.0],
        };
        let rows = network.inputs.iter().zip(network.graph.inputs()).map(|(input, &id)| {
            let shape = network.graph.node(id).shape();
            ArrayD::from_shape_vec(shape, cases::encode(&given(&input.name), input.encoding)).unwrap()
        });
        cases::infer(&network, &rows.collect::<Vec<_>>()).unwrap().remove(0)
    };
    let (found, expected) = (run(file("counts")), run(file("mask")));
    assert!(found.iter().zip(&expected).all(|(one, other)| (one - other).abs() < 2e-3), "{found:?} {expected:?}");
}

/// Layers of Flax: a variance as the mean of squares less the square of the mean, both as sums over a count, and no less than 0.
#[test]
fn a_variance_of_sums_that_is_limited_at_zero_keeps_its_bits() {
    let nodes = vec![
        node("ReduceSum", &["x", "axis"], &["sum"]),
        node("Div", &["sum", "count"], &["mean"]),
        node("Mul", &["x", "x"], &["squares"]),
        node("ReduceSum", &["squares", "axis"], &["total"]),
        node("Div", &["total", "count"], &["products"]),
        node("Mul", &["mean", "mean"], &["of_means"]),
        node("Sub", &["products", "of_means"], &["difference"]),
        node("Max", &["zero", "difference"], &["variance"]),
        node("Add", &["variance", "epsilon"], &["above"]),
        node("Sqrt", &["above"], &["root"]),
        node("Sub", &["x", "mean"], &["centred"]),
        node("Div", &["centred", "root"], &["y"]),
    ];
    let scalar = |name: &str, value: f32| floats(name, &[], &[value]);
    let weights = vec![integers("axis", &[1]), scalar("count", 4.0), scalar("zero", 0.0), scalar("epsilon", 1e-6)];
    let network = imported(GraphProto { input: vec![info("x", FLOAT, &[Some(1), Some(4)])], ..graph(nodes, weights) });
    let x = ArrayD::from_shape_vec(IxDyn(&[1, 4]), vec![3.004, 2.996, 3.008, 2.992]).unwrap();
    let found = cases::infer(&network.unwrap(), &[x]).unwrap().remove(0);
    let expected = [0.625, -0.625, 1.249, -1.249];
    assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 0.02), "{found:?}");
}

/// Distances between rows, as scikit-learn's converter writes nearest neighbours on demand.
#[test]
fn distances_between_rows_are_one_operator() {
    for (metric, expected) in
        [("sqeuclidean", [5.0, 0.0, 1.0, 8.0]), ("euclidean", [5.0f32.sqrt(), 0.0, 1.0, 8.0f32.sqrt()])]
    {
        let nodes = vec![contributed("CDist", &["x", "rows"], &["y"], vec![text("metric", metric)])];
        near(&result(17, nodes, vec![floats("rows", &[2, 2], &[2.0, 4.0, 1.0, 2.0])], &[X]), &expected);
    }
}

fn strings(name: &str, values: &[&str]) -> AttributeProto {
    let strings = values.iter().map(|&value| value.into()).collect();
    AttributeProto { strings, r#type: Some(AttributeType::STRINGS), ..ints(name, &[]) }
}

fn reals(name: &str, values: &[f32]) -> AttributeProto {
    AttributeProto { floats: values.to_vec(), r#type: Some(AttributeType::FLOATS), ..ints(name, &[]) }
}

fn learned(operator: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto { domain: Some("ai.onnx.ml".into()), attribute, ..node(operator, &["x"], &["y", "scores"]) }
}

/// A decision of 0.05 is for the first class, though Platt's probability of the second one is 0.51 there.
#[test]
fn the_label_of_two_classes_is_that_of_their_decision() {
    let machine = vec![
        text("kernel_type", "LINEAR"),
        reals("support_vectors", &[1.0, 0.0]),
        ints("vectors_per_class", &[1, 1]),
        reals("coefficients", &[1.0, 1.0]),
        reals("rho", &[0.0]),
        reals("prob_a", &[-1.0]),
        reals("prob_b", &[0.1]),
        ints("classlabels_ints", &[3, 5]),
    ];
    let x: Input<'_> = ("x", FLOAT, &[3, 1], &[0.05, -0.05, 2.0]);
    near(&result(17, vec![learned("SVMClassifier", machine)], vec![], &[x]), &[3.0, 5.0, 3.0]);
}

/// The softmax of one score is 1, which no writer of such a file means.
#[test]
fn a_softmax_of_one_score_is_refused() {
    let line = |transform: &str| {
        learned(
            "LinearClassifier",
            vec![reals("coefficients", &[1.0]), ints("classlabels_ints", &[0, 1]), text("post_transform", transform)],
        )
    };
    let x: Input<'_> = ("x", FLOAT, &[2, 1], &[-2.0, 1.0]);
    near(&result(17, vec![line("LOGISTIC")], vec![], &[x]), &[0.0, 1.0]);
    assert!(refused(17, vec![line("SOFTMAX")], vec![], &[x]).contains("softmax of one score"));
}

/// The name that the operator had until opset 10: 5 and 6 go to places 3 and 0.
#[test]
fn the_first_scatter_takes_private_places() {
    let scatter = vec![node("Scatter", &["x", "places", "updates"], &["y"])];
    let network = imported(GraphProto {
        input: vec![info("x", FLOAT, &[Some(4)]), info("places", DataType::INT64, &[Some(2)])],
        ..graph(scatter, vec![floats("updates", &[2], &[5.0, 6.0])])
    });
    let network = network.unwrap();
    let x = ArrayD::from_shape_vec(IxDyn(&[4]), vec![1.0, 2.0, 3.0, 4.0]).unwrap();
    let rows = ArrayD::from_shape_vec(IxDyn(&[2, 4]), vec![0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]).unwrap();
    let inputs = if network.inputs[0].name == "x" { [x, rows] } else { [rows, x] };
    let found = evaluate(&network.graph, &network.weights, &inputs).unwrap().remove(0);
    near(&found.into_iter().collect::<Vec<_>>(), &[6.0, 2.0, 3.0, 5.0]);
}

/// As PyTorch exports `x[torch.arange(2), places] = rows`, with places that may count from the end: of 2 samples with 3 rows each.
fn scattered_rows(reduction: &str, places: [f32; 2], rows: &[f32; 4]) -> Vec<f32> {
    let nodes = vec![
        node("Unsqueeze", &["places", "axis"], &["column"]),
        with(node("Concat", &["samples", "column"], &["at"]), vec![number("axis", 1)]),
        with(node("ScatterND", &["x", "at", "rows"], &["y"]), vec![text("reduction", reduction)]),
    ];
    let samples = TensorProto { dims: vec![2, 1], ..integers("samples", &[0, 1]) };
    let network = imported(GraphProto {
        input: vec![info("x", FLOAT, &[Some(2), Some(3), Some(2)]), info("places", DataType::INT64, &[Some(2)])],
        ..graph(nodes, vec![samples, integers("axis", &[1]), floats("rows", &[2, 2], rows)])
    });
    let network = network.unwrap();
    let x = ArrayD::from_shape_vec(IxDyn(&[2, 3, 2]), (0..12).map(|at| at as f32).collect()).unwrap();
    let places = ArrayD::from_shape_vec(IxDyn(&[2]), places.to_vec()).unwrap();
    let inputs = if network.inputs[0].name == "x" { [x, places] } else { [places, x] };
    let plan = Plan::<u64>::new(&network.graph, Settings::new(3)).unwrap();
    let found = in_process::infer(&plan, &network.weights, &inputs).unwrap().remove(0);
    found.into_iter().map(|value| value as f32).collect()
}

#[test]
fn rows_go_to_private_places_of_several_axes() {
    let rows = &[50.0, 60.0, 70.0, 80.0];
    let x = |at: [f32; 4]| [0.0, 1.0, 2.0, 3.0, at[0], at[1], at[2], at[3], 8.0, 9.0, 10.0, 11.0];
    near(&scattered_rows("none", [2.0, 0.0], rows), &x(*rows));
    near(&scattered_rows("none", [-1.0, -3.0], rows), &x(*rows));
    near(&scattered_rows("add", [2.0, 0.0], rows), &x([54.0, 65.0, 76.0, 87.0]));
}

/// One step of a recurrent layer of one element, without a state, is its activation.
#[test]
fn recurrent_layers_take_the_rarer_activations() {
    let of = |name: &str, alpha: &[f32], beta: &[f32]| {
        let mut attributes = vec![number("hidden_size", 1), strings("activations", &[name])];
        attributes.extend([reals("activation_alpha", alpha), reals("activation_beta", beta)]);
        let layer = with(node("RNN", &["x", "w", "w"], &["y"]), attributes);
        let x: Input<'_> = ("x", FLOAT, &[1, 3, 1], &[-2.0, 0.5, 1.5]);
        result(14, vec![layer], vec![floats("w", &[1, 1, 1], &[1.0])], &[x])
    };
    near(&of("Softsign", &[], &[]), &[-2.0 / 3.0, 1.0 / 3.0, 0.6]);
    near(&of("ThresholdedRelu", &[1.2], &[]), &[0.0, 0.0, 1.5]);
    near(&of("ScaledTanh", &[2.0], &[0.5]), &[-2.0, 0.5, 1.5].map(|x: f32| 2.0 * (x / 2.0).tanh()));
}

/// Layers of a perceptron as onnxruntime's optimiser fuses them.
#[test]
fn fused_layers_take_the_rarer_activations() {
    let of = |name: &str, alpha: Option<f32>| {
        let mut attributes = vec![text("activation", name)];
        attributes.extend(alpha.map(|alpha| real("activation_alpha", alpha)));
        let nodes = vec![contributed("FusedGemm", &["x", "w"], &["y"], attributes)];
        let x: Input<'_> = ("x", FLOAT, &[3, 1], &[-2.0, 0.5, 1.5]);
        result(13, nodes, vec![floats("w", &[1, 1], &[1.0])], &[x])
    };
    near(&of("Elu", Some(0.5)), &[0.5 * (-2f32).exp_m1(), 0.5, 1.5]);
    near(&of("Softplus", None), &[-2.0, 0.5, 1.5].map(|x: f32| x.exp().ln_1p()));
    near(&of("Softsign", None), &[-2.0 / 3.0, 1.0 / 3.0, 0.6]);
    near(&of("ThresholdedRelu", Some(1.2)), &[0.0, 0.0, 1.5]);
}
