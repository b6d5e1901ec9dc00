//! Files that must be refused, with what the refusal says: operators of later families.

use mpc_onnx::{InputShapes, OnnxFile};
use rten_onnx::onnx::{AttributeProto, AttributeType, DataType, GraphProto, NodeProto};

use crate::hostile::{refused, small};
use crate::models::{bytes, floats, graph, imported, info, integers, ints, node, open};

pub fn text(name: &str, values: &[&str]) -> AttributeProto {
    let strings = values.iter().map(|&value| value.into()).collect();
    AttributeProto { name: Some(name.into()), strings, r#type: Some(AttributeType::STRINGS), ..Default::default() }
}

pub fn reals(name: &str, values: &[f32]) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        floats: values.to_vec(),
        r#type: Some(AttributeType::FLOATS),
        ..Default::default()
    }
}

/// A tree of one comparison whose children are these nodes.
fn tree(children: [i64; 2]) -> GraphProto {
    let mut tree = node("TreeEnsembleRegressor", &["x"], &["y"]);
    tree.domain = Some("ai.onnx.ml".into());
    tree.attribute = vec![
        ints("nodes_treeids", &[0, 0, 0]),
        ints("nodes_nodeids", &[0, 1, 2]),
        ints("nodes_featureids", &[0, 0, 0]),
        ints("nodes_truenodeids", &[children[0], 0, 0]),
        ints("nodes_falsenodeids", &[children[1], 0, 0]),
        text("nodes_modes", &["BRANCH_LEQ", "LEAF", "LEAF"]),
        reals("nodes_values", &[0.5, 0.0, 0.0]),
        ints("target_treeids", &[0, 0]),
        ints("target_nodeids", &[1, 2]),
        ints("target_ids", &[0, 0]),
        reals("target_weights", &[1.0, 2.0]),
    ];
    graph(vec![tree], vec![])
}

#[test]
fn trees_that_are_none_are_refused() {
    assert!(imported(tree([1, 2])).is_ok());
    for (children, reason) in
        [([0, 2], "a child that is not there"), ([1, 1], "a tree has two roots"), ([1, 7], "a child that is not there")]
    {
        let reasons = refused(tree(children));
        assert!(reasons[0].to_string().contains(reason), "{}", reasons[0]);
    }
}

pub fn number(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), r#type: Some(AttributeType::INT), ..ints(name, &[]) }
}

fn tensor(name: &str, values: &[f32]) -> AttributeProto {
    let tensor = floats(name, &[values.len() as i64], values);
    AttributeProto {
        name: Some(name.into()),
        t: Some(tensor),
        r#type: Some(AttributeType::TENSOR),
        ..Default::default()
    }
}

/// Two comparisons and three leaves, with other lists in place of these.
fn ensemble(others: &[AttributeProto]) -> GraphProto {
    let mut trees = node("TreeEnsemble", &["x"], &["y"]);
    trees.domain = Some("ai.onnx.ml".into());
    trees.attribute = vec![
        number("n_targets", 1),
        ints("tree_roots", &[0]),
        tensor("nodes_modes", &[0.0, 6.0]),
        tensor("nodes_splits", &[0.5, 0.0]),
        ints("nodes_featureids", &[0, 1]),
        ints("nodes_truenodeids", &[1, 1]),
        ints("nodes_trueleafs", &[0, 1]),
        ints("nodes_falsenodeids", &[0, 2]),
        ints("nodes_falseleafs", &[1, 1]),
        ints("leaf_targetids", &[0, 0, 0]),
        tensor("leaf_weights", &[1.0, 2.0, 3.0]),
        tensor("membership_values", &[1.0, 2.0, f32::NAN]),
    ];
    for other in others {
        trees.attribute.retain(|attribute| attribute.name != other.name);
        trees.attribute.push(other.clone());
    }
    graph(vec![trees], vec![])
}

#[test]
fn ensembles_that_are_none_are_refused() {
    assert!(imported(ensemble(&[])).is_ok());
    let child = "a child that is not there, or is the root of a tree";
    for (other, reason) in [
        (ints("tree_roots", &[]), "it has no tree"),
        (ints("tree_roots", &[2]), "a root of a tree is not there"),
        (ints("tree_roots", &[0, 1]), child),
        (ints("nodes_truenodeids", &[0, 1]), child),
        (ints("nodes_truenodeids", &[7, 1]), child),
        (ints("nodes_truenodeids", &[1, 7]), "a leaf that is not there"),
        (ints("nodes_falsenodeids", &[0]), "lists of nodes differ in length"),
        (ints("nodes_featureids", &[0, 2]), "a feature that is not there"),
        (ints("leaf_targetids", &[0, 0]), "lists of leaves differ in length"),
        (ints("leaf_targetids", &[0, 0, 1]), "not that of a leaf and an output"),
        (tensor("nodes_modes", &[0.0, 7.0]), "mode 7"),
        (tensor("nodes_splits", &[f32::NAN, 0.0]), "compares with NaN"),
        (tensor("membership_values", &[]), "0 sets of members for 1 nodes"),
        (tensor("membership_values", &[f32::NAN]), "a set without members"),
        (tensor("leaf_weights", &[1.0, 2.0, f32::NAN]), "NaN"),
        (number("aggregate_function", 4), "aggregate function 4 is not known"),
        (number("post_transform", 1), "onnxruntime reads otherwise"),
        (number("n_targets", -1), "a negative size"),
        (number("n_targets", i64::MAX), "more elements of constants"),
    ] {
        let reasons = refused(ensemble(std::slice::from_ref(&other)));
        assert!(reasons[0].to_string().contains(reason), "{:?}: {}", other.name, reasons[0]);
    }
}

#[test]
fn extremes_that_some_leaves_do_not_give_are_refused() {
    let two = [number("n_targets", 2), number("aggregate_function", 3), ints("leaf_targetids", &[0, 1, 0])];
    let reasons = refused(ensemble(&two));
    assert!(reasons[0].to_string().contains("at some leaves only"), "{}", reasons[0]);
    let none = [number("n_targets", 2), number("aggregate_function", 2)];
    let reasons = refused(ensemble(&none));
    assert!(reasons[0].to_string().contains("an output that no tree gives a number"), "{}", reasons[0]);
}

#[test]
fn what_must_be_public_is_refused_where_it_is_private() {
    for (operator, inputs, reason) in [
        ("GridSample", &["w", "x"][..], "its grid does not fit its input"),
        ("RoiAlign", &["w", "x", "b"], "its boxes depend on the private input"),
        ("DequantizeLinear", &["w", "x"], "its input 1 depends on the private input"),
        ("DynamicQuantizeLinear", &["x"], "quantised integers, or their scale, as an output"),
        ("STFT", &["x"], "it has no positive step"),
    ] {
        let weights = vec![floats("w", &[1, 1, 2, 2], &[1.0; 4]), integers("b", &[0])];
        let reasons = refused(graph(vec![node(operator, inputs, &["y"])], weights));
        assert!(reasons[0].to_string().contains(reason), "{operator}: {}", reasons[0]);
    }
}

#[test]
fn what_has_no_private_form_is_refused() {
    let one = |node, initializer| refused(graph(vec![reshaped(), node], initializer))[0].to_string();
    let mode = AttributeProto { s: Some("cubic".into()), r#type: Some(AttributeType::STRING), ..ints("mode", &[]) };
    let sample = NodeProto { attribute: vec![mode], ..node("GridSample", &["w", "x4"], &["y"]) };
    let weights = || vec![integers("shape", &[1, 1, 1, 2]), floats("w", &[1, 1, 2, 2], &[1.0; 4])];
    assert!(one(sample, weights()).contains("its mode is cubic"));
    let mut power = graph(vec![node("Cast", &["x"], &["i"]), node("Pow", &["i", "x"], &["y"])], vec![]);
    power.node[0].attribute.push(number("to", DataType::INT64.0.into()));
    assert!(refused(power)[0].to_string().contains("cast the base to floats first"));
}

/// The input as a tensor of four axes.
fn reshaped() -> NodeProto {
    node("Reshape", &["x", "shape"], &["x4"])
}

#[test]
fn attention_whose_graphs_change_its_shape_is_refused() {
    for (body, reason) in [
        (vec![node("Relu", &["s"], &["t"])], None),
        (vec![node("Reshape", &["s", "flat"], &["t"])], Some("its score_mod changes the shape [1, 1, 1, 1] to [1]")),
    ] {
        let inner = GraphProto {
            node: body,
            initializer: vec![integers("flat", &[-1])],
            input: vec![open("s")],
            output: vec![open("t")],
            ..Default::default()
        };
        let graph_attribute = AttributeProto {
            name: Some("score_mod".into()),
            g: Some(inner),
            r#type: Some(AttributeType::GRAPH),
            ..Default::default()
        };
        let attention = NodeProto {
            domain: Some("ai.onnx.preview".into()),
            attribute: vec![graph_attribute],
            ..node("FlexAttention", &["x4", "x4", "x4"], &["y"])
        };
        let result = imported(graph(vec![reshaped(), attention], vec![integers("shape", &[1, 1, 1, 2])]));
        let found = result.err().map(|reasons| reasons[0].to_string());
        assert_eq!(found.is_some(), reason.is_some(), "{found:?}");
        assert!(found.is_none_or(|found| found.contains(reason.unwrap_or_default())));
    }
}

#[test]
fn an_output_of_another_shape_than_declared_is_refused() {
    let mut graph = small();
    graph.output = vec![info("y", DataType::FLOAT, &[None, Some(3)])];
    let reasons = refused(graph);
    assert!(reasons[0].to_string().contains("its shape is [1, 1], but the file declares [?, 3]"), "{}", reasons[0]);
}

/// The reason was that a node depends on no private input.
#[test]
fn inputs_without_elements_are_refused_by_name() {
    let file = OnnxFile::from_bytes(&bytes(small(), 17)).unwrap();
    let reasons = file.import(&InputShapes::new().with("x", &[0, 2])).unwrap_err().reasons;
    let expected = "input `x`: its shape [0, 2] has no elements; give at least one sample";
    assert_eq!(reasons.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
}

/// A terminal obeys what is no text, and names are shown.
#[test]
fn names_of_nodes_have_nothing_but_text() {
    let mut graph = small();
    for node in &mut graph.node {
        node.name = node.name.as_ref().map(|name| format!("\u{1b}[31m{name}\n"));
    }
    let network = imported(graph.clone()).unwrap();
    assert!(network.graph.nodes().iter().all(|node| !node.name().contains(char::is_control)));
    graph.node[2].op_type = Some("Nothing".into());
    assert_eq!(refused(graph)[0].to_string().split('`').nth(1), Some("[31mRelu_y"));
}

/// A loop of that many steps, and in each of its steps one of the next number; it hands one number on. In the innermost are so many
/// nodes that nothing reads.
fn nested(steps: &[&str], idle: usize, number: &str, result: &str) -> NodeProto {
    let [step, goes_on, carried] = ["i", "c", "k"].map(|name| format!("{name}{}", steps.len()));
    let inner = format!("r{}", steps.len());
    let (nodes, given) = match steps {
        [_, rest @ ..] if !rest.is_empty() => (vec![nested(rest, idle, &carried, &inner)], &inner),
        _ => ((0..idle).map(|place| node("Identity", &[&carried], &[&format!("d{place}")])).collect(), &carried),
    };
    let body = GraphProto {
        node: nodes,
        input: [&step, &goes_on, &carried].map(|name| open(name)).to_vec(),
        output: [&goes_on, given].map(|name| open(name)).to_vec(),
        ..Default::default()
    };
    let body = AttributeProto {
        name: Some("body".into()),
        g: Some(body),
        r#type: Some(AttributeType::GRAPH),
        ..Default::default()
    };
    NodeProto { attribute: vec![body], ..node("Loop", &[steps[0], "", number], &[result]) }
}

/// Their bodies make no constants, which are counted elsewhere, and each within another one takes thousands of times as long.
#[test]
fn loops_within_loops_of_too_many_steps_in_all_are_refused() {
    let network = |loops: NodeProto| {
        let cast = NodeProto { attribute: vec![number("to", 1)], ..node("Cast", &["r"], &["f"]) };
        let counts = [("few", 10), ("many", 110), ("zero", 0)].map(|(name, count)| integers(name, &[count]));
        graph(vec![loops, cast, node("Add", &["x", "f"], &["y"])], counts.to_vec())
    };
    assert!(imported(network(nested(&["many", "few"], 900, "zero", "r"))).is_ok());
    let reasons = refused(network(nested(&["many", "few"], 1000, "zero", "r")));
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].to_string().contains("more than 1048576 nodes in all their steps"), "{}", reasons[0]);
}

/// A model's bytes with a function of the domain `own` behind it.
fn with_function(graph: GraphProto, function: &[u8]) -> Vec<u8> {
    let mut bytes = bytes(graph, 17);
    // Field 25 of a model, with its length.
    bytes.extend([0xca, 0x01]);
    bytes.extend(with_length(function));
    bytes
}

/// Bytes behind their number, which takes four bytes.
fn with_length(bytes: &[u8]) -> Vec<u8> {
    let [low, second, third, high] = [0, 7, 14, 21].map(|shift| (bytes.len() >> shift & 0x7f) as u8);
    [&[low | 0x80, second | 0x80, third | 0x80, high], bytes].concat()
}

/// A field of a message.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &with_length(content)].concat()
}

/// Calls of a function of the domain `own`, each of what the one before gives.
fn calls(count: usize) -> Vec<NodeProto> {
    let name = |place: usize| if place == count { "y".to_owned() } else { format!("x{place}") };
    let call = |place: usize| {
        let input = if place == 0 { "x".to_owned() } else { name(place) };
        NodeProto { domain: Some("own".into()), ..node("F", &[&input], &[&name(place + 1)]) }
    };
    (0..count).map(call).collect()
}

/// Each copy of a function's constants and names takes memory, and its file has one.
#[test]
fn functions_that_take_too_much_memory_in_place_of_their_calls_are_refused() {
    let function =
        |nodes: &[u8]| [&field(1, b"F"), &field(4, b"a"), &field(5, b"b"), nodes, &field(10, b"own")].concat();
    let refused = |calls: Vec<NodeProto>, function: &[u8]| {
        let error = OnnxFile::from_bytes(&with_function(graph(calls, vec![]), function)).unwrap_err().to_string();
        assert!(error.contains("its functions in place of their calls have more than 536870912 bytes"), "{error}");
    };
    let identity = field(7, &[field(1, b"a"), field(2, b"b"), field(4, b"Identity")].concat());
    // A constant of a megabyte; its attribute has the type of tensors.
    let value = [field(1, b"value"), field(5, &field(9, &[0; 1 << 20])), vec![0xa0, 0x01, 4]].concat();
    let constant = field(7, &[field(2, b"c"), field(4, b"Constant"), field(5, &value)].concat());
    let large = function(&[constant, identity.clone()].concat());
    assert!(OnnxFile::from_bytes(&with_function(graph(calls(10), vec![]), &large)).is_ok());
    refused(calls(600), &large);
    // Many nodes, which have the call's name before their own.
    let mut call = calls(1);
    call[0].name = Some("n".repeat(1 << 20));
    refused(call, &function(&identity.repeat(600)));
}

#[test]
fn functions_that_call_themselves_are_refused() {
    let inner = [field(1, b"a"), field(2, b"b"), field(4, b"F"), field(7, b"own")].concat();
    let function = [field(1, b"F"), field(4, b"a"), field(5, b"b"), field(7, &inner), field(10, b"own")].concat();
    let file = OnnxFile::from_bytes(&with_function(graph(calls(1), vec![]), &function));
    assert!(file.is_err_and(|error| error.to_string().contains("call each other without end")));
}
