//! The ONNX import: the models that it takes and those that it refuses.

use std::fs;
use std::path::PathBuf;

use mpc_nn::{Encoding, OneHot, evaluate};
use mpc_onnx::{Dimension, ImportError, InputShapes, OnnxError, OnnxFile, Reason};
use ndarray::{ArrayD, array};
use proptest::prelude::*;
use rten_onnx::onnx::{
    AttributeProto, AttributeType, DataLocation, DataType, GraphProto, NodeProto, StringStringEntryProto, TensorProto,
};

use crate::models::{bytes, floats, graph, imported, info, integers, ints, node};

pub fn refused(graph: GraphProto) -> Vec<Reason> {
    imported(graph).map(|_| ()).unwrap_err()
}

/// relu(x·W + b)
pub fn small() -> GraphProto {
    let nodes =
        vec![node("MatMul", &["x", "w"], &["h"]), node("Add", &["h", "b"], &["s"]), node("Relu", &["s"], &["y"])];
    graph(nodes, vec![floats("w", &[2, 1], &[1.0, -2.0]), floats("b", &[1], &[0.5])])
}

#[test]
fn a_small_network() {
    let file = OnnxFile::from_bytes(&bytes(small(), 17)).unwrap();
    assert_eq!((file.opset(), file.producer(), file.parameter_count()), (17, "test", 3));
    assert_eq!(file.inputs()[0].shape, Some(vec![Dimension::Symbolic("N".into()), Dimension::Fixed(2)]));
    assert_eq!(file.operators()["MatMul"], 1);
    let network = file.import(&InputShapes::new().with("x", &[2, 2])).unwrap();
    let x = array![[3.0, 1.0], [1.0, 3.0]].into_dyn();
    let y = evaluate(&network.graph, &network.weights, &[x]).unwrap();
    assert_eq!(y, [array![[1.5], [0.0]].into_dyn()]);
    assert_eq!((network.outputs[0].name.as_str(), network.outputs[0].shape.as_slice()), ("y", [2, 1].as_slice()));
}

#[test]
fn initial_states_of_another_size_are_refused() {
    // As an exporter writes an LSTM with a projection: hidden states of 1 element, cells of 2.
    let mut lstm = node("LSTM", &["x3", "w", "r", "b", "", "h", "c"], &["", "", "y"]);
    let hidden = AttributeProto { name: Some("hidden_size".into()), i: Some(1), ..ints("hidden_size", &[]) };
    lstm.attribute.push(AttributeProto { r#type: Some(AttributeType::INT), ..hidden });
    let network = |cell: i64| {
        let weights = vec![
            integers("shape", &[1, 1, 2]),
            floats("w", &[1, 4, 2], &[0.5; 8]),
            floats("r", &[1, 4, 1], &[0.5; 4]),
            floats("b", &[1, 8], &[0.0; 8]),
            floats("h", &[1, 1, 1], &[0.0]),
            floats("c", &[1, 1, cell], &vec![0.0; cell as usize]),
        ];
        graph(vec![node("Reshape", &["x", "shape"], &["x3"]), lstm.clone()], weights)
    };
    assert!(imported(network(1)).is_ok());
    let reasons = refused(network(2));
    assert!(matches!(&reasons[..], [Reason::Invalid { node, .. }] if node == "LSTM_"), "{reasons:?}");
    assert!(reasons[0].to_string().contains("[1, 1, 2], not [1, 1, 1]"), "{}", reasons[0]);
}

#[test]
fn tokens_below_the_rows_of_each_table() {
    let column = |place: &str, table: &str, row: &str| {
        let mut select = node("Gather", &["x", place], &[&format!("{row}_id")]);
        select.attribute.push(AttributeProto {
            name: Some("axis".into()),
            i: Some(1),
            r#type: Some(AttributeType::INT),
            ..ints("axis", &[])
        });
        [select, node("Gather", &[table, &format!("{row}_id")], &[row])]
    };
    let nodes = [column("first", "small", "a"), column("second", "large", "b")].concat();
    let weights = vec![
        integers("first", &[0]),
        integers("second", &[1]),
        floats("small", &[2, 1], &[1.0, 2.0]),
        floats("large", &[3, 1], &[10.0, 20.0, 30.0]),
    ];
    let mut model = graph([nodes, vec![node("Add", &["a", "b"], &["y"])]].concat(), weights);
    model.input = vec![info("x", DataType::INT64, &[None, Some(2)])];
    let network = imported(model).unwrap();
    let input = &network.inputs[0];
    assert_eq!((input.encoding, &input.limits[..]), (Encoding::OneHot(OneHot::whole(3)), &[2, 3][..]));
    let x = array![[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]].into_dyn();
    assert_eq!(evaluate(&network.graph, &network.weights, &[x]).unwrap()[0].iter().copied().sum::<f32>(), 32.0);
}

#[test]
fn what_a_check_for_infinity_decides_needs_no_run() {
    // As PyTorch writes nan_to_num: infinities become the largest float, which fixed point has not.
    let nodes = vec![
        node("IsInf", &["x"], &["inf"]),
        node("Greater", &["x", "zero"], &["positive"]),
        node("And", &["inf", "positive"], &["chosen"]),
        node("Where", &["chosen", "largest", "x"], &["y"]),
        node("ReduceSum", &["y"], &["z"]),
    ];
    let mut model = graph(nodes, vec![floats("zero", &[1], &[0.0]), floats("largest", &[1], &[f32::MAX])]);
    model.output = vec![info("z", DataType::FLOAT, &[Some(1), Some(1)])];
    let network = imported(model).unwrap();
    let x = array![[3.0, -1.0]].into_dyn();
    assert_eq!(evaluate(&network.graph, &network.weights, &[x]).unwrap()[0].iter().copied().sum::<f32>(), 2.0);
}

#[test]
fn nodes_in_any_order_and_dead_ones() {
    let mut model = small();
    model.node.reverse();
    model.node.push(node("Unique", &["x"], &["unused"]));
    assert_eq!(imported(model).unwrap().graph.relu_count(), 1);
}

#[test]
fn every_truncation_is_refused() {
    let whole = bytes(small(), 17);
    for length in 0..whole.len() {
        let result = OnnxFile::from_bytes(&whole[..length]).map(|file| file.import(&InputShapes::new()));
        // The file's last field may be cut off as a whole, and what is in front of it be a model of its own.
        if let Ok(Ok(network)) = result {
            panic!("{length} of {} bytes give {:?}", whole.len(), network.graph);
        }
    }
}

#[test]
fn all_reasons_at_once() {
    let nodes = vec![
        node("Unique", &["x"], &["a"]),
        node("Multinomial", &["a"], &["b"]),
        node("NonMaxSuppression", &["x"], &["c"]),
        node("Sum", &["a", "b", "c"], &["y"]),
    ];
    let reasons = refused(graph(nodes, vec![]));
    let operators: Vec<&str> = reasons
        .iter()
        .map(|reason| match reason {
            Reason::Unsupported { operator, .. } => operator.as_str(),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(operators, ["Unique", "Multinomial", "NonMaxSuppression"]);
    let text = ImportError { reasons }.to_string();
    assert!(text.contains("3 reasons") && text.contains("`Unique_a` (Unique)"), "{text}");
}

#[test]
fn contradictory_graphs() {
    let cycle = vec![node("Add", &["x", "b"], &["a"]), node("Relu", &["a"], &["b"]), node("Relu", &["b"], &["y"])];
    assert!(matches!(refused(graph(cycle, vec![])).as_slice(), [Reason::Cycle { .. }]));
    let missing = vec![node("Add", &["x", "nowhere"], &["y"])];
    let reasons = refused(graph(missing, vec![]));
    assert!(matches!(&reasons[..], [Reason::Missing { name, .. }] if name == "nowhere"), "{reasons:?}");
    let twice = vec![node("Relu", &["x"], &["y"]), node("Neg", &["x"], &["y"])];
    assert!(matches!(&refused(graph(twice, vec![]))[..], [Reason::Duplicate { name }] if name == "y"));
    let shadowed = vec![node("Relu", &["x"], &["y"]), node("Neg", &["y"], &["x"])];
    assert!(matches!(&refused(graph(shadowed, vec![]))[..], [Reason::Duplicate { name }] if name == "x"));
    let mut weights = small();
    weights.initializer.push(floats("b", &[1], &[1.0]));
    assert!(matches!(&refused(weights)[..], [Reason::Duplicate { name }] if name == "b"));
    let constant = vec![node("Relu", &["b"], &["y"])];
    let reasons = refused(graph(constant, vec![floats("b", &[1], &[1.0])]));
    assert!(matches!(&reasons[..], [Reason::NothingPrivate]), "{reasons:?}");
}

#[test]
fn bad_constants() {
    let with = |weight: TensorProto| {
        let mut model = small();
        model.initializer[0] = weight;
        refused(model)
    };
    let reason = |weight: TensorProto| match &with(weight)[..] {
        [Reason::Constant { name, reason }] if name == "w" => reason.clone(),
        other => panic!("{other:?}"),
    };
    assert!(reason(floats("w", &[2, 1], &[1.0, f32::NAN])).contains("NaN"));
    assert!(reason(floats("w", &[2, 1], &[1.0])).contains("needs 8 bytes, but it has 4"));
    assert!(reason(floats("w", &[2, -1], &[1.0])).contains("negative"));
    assert!(reason(floats("w", &[1 << 40, 1 << 40], &[1.0])).contains("elements"));
    assert!(reason(floats("w", &[1 << 62, 4, 0], &[])).contains("elements"));
    let text = TensorProto { data_type: Some(DataType::STRING), ..floats("w", &[2, 1], &[1.0, 1.0]) };
    assert!(reason(text).contains("type STRING"));
    for value in [1e30, f32::INFINITY, 32769.0] {
        assert!(matches!(&with(floats("w", &[2, 1], &[1.0, value]))[..], [Reason::Range { .. }]), "{value}");
    }
    assert!(matches!(&with(floats("w", &[3, 1], &[0.0; 3]))[..], [Reason::Invalid { .. }]));
}

#[test]
fn opsets_and_inputs() {
    for opset in [0, -1, 29, i64::MAX] {
        let error = OnnxFile::from_bytes(&bytes(small(), opset)).unwrap().import(&InputShapes::new()).unwrap_err();
        assert!(matches!(&error.reasons[..], [Reason::Opset { found, .. }] if *found == opset));
    }
    let file = OnnxFile::from_bytes(&bytes(small(), 17)).unwrap();
    let reasons = |shapes: InputShapes| file.import(&shapes).unwrap_err().reasons;
    assert!(
        matches!(&reasons(InputShapes::new().with("z", &[1]))[..], [Reason::UnknownInput { name, .. }] if name == "z")
    );
    for shape in [[1, 3].as_slice(), &[1], &[usize::MAX, 2], &[]] {
        let reasons = reasons(InputShapes::new().with("x", shape));
        assert!(matches!(&reasons[..], [Reason::InputShape { .. }]), "{shape:?} {reasons:?}");
    }
    let mut text = small();
    text.input = vec![info("x", DataType::STRING, &[Some(1), Some(2)])];
    assert!(matches!(&refused(text)[..], [Reason::InputShape { .. }]));
    let mut comparison = small();
    comparison.node[2] = node("BitShift", &["s", "b"], &["y"]);
    assert!(matches!(&refused(comparison)[..], [Reason::Unsupported { .. }]));
}

/// Small files that ask for much memory.
#[test]
fn runaway_sizes() {
    let huge = |nodes: Vec<NodeProto>, weights| {
        let reasons = refused(graph(nodes, weights));
        let is_size =
            |reason: &Reason| matches!(reason, Reason::Memory { .. } | Reason::Graph { .. } | Reason::Invalid { .. });
        assert!(reasons.iter().any(is_size), "{reasons:?}");
    };
    let sizes = integers("s", &[1 << 27]);
    huge(vec![node("ConstantOfShape", &["s"], &["c"]), node("Add", &["x", "c"], &["y"])], vec![sizes.clone()]);
    huge(
        vec![node("Expand", &["b", "s"], &["c"]), node("Add", &["x", "c"], &["y"])],
        vec![floats("b", &[1], &[1.0]), sizes],
    );
    huge(vec![node("Expand", &["x", "s"], &["y"])], vec![integers("s", &[i64::MAX, i64::MAX, 1, 2])]);
    huge(vec![node("Tile", &["x", "s"], &["y"])], vec![integers("s", &[1, i64::MAX])]);
    let mut pad = node("Pad", &["x", "s"], &["y"]);
    huge(vec![pad.clone()], vec![integers("s", &[i64::MAX, 0, i64::MAX, 0])]);
    pad.attribute.push(AttributeProto {
        name: Some("mode".into()),
        s: Some("edge".into()),
        r#type: Some(AttributeType::STRING),
        ..Default::default()
    });
    huge(vec![pad], vec![integers("s", &[0, 1 << 40, 0, 0])]);
    let mut doubling: Vec<NodeProto> = (0..64)
        .map(|i| {
            let (from, to) = (format!("c{i}"), format!("c{}", i + 1));
            let mut concat = node("Concat", &[&from, &from], &[&to]);
            concat.attribute.push(AttributeProto {
                name: Some("axis".into()),
                i: Some(0),
                r#type: Some(AttributeType::INT),
                ..Default::default()
            });
            concat
        })
        .collect();
    doubling.push(node("Reshape", &["x", "c64"], &["y"]));
    huge(doubling, vec![integers("c0", &[1])]);
    let mut pool = node("AveragePool", &["x4"], &["y"]);
    pool.attribute.extend([ints("kernel_shape", &[i64::MAX, 1]), ints("pads", &[i64::MAX, 0, i64::MAX, 0])]);
    huge(vec![node("Reshape", &["x", "s"], &["x4"]), pool], vec![integers("s", &[1, 1, 1, 2])]);
}

#[test]
fn deep_nesting_is_refused() {
    let mut inner = GraphProto::default();
    for _ in 0..200 {
        let attribute = AttributeProto { g: Some(inner), ..Default::default() };
        inner = GraphProto {
            node: vec![NodeProto { attribute: vec![attribute], ..Default::default() }],
            ..Default::default()
        };
    }
    assert!(matches!(OnnxFile::from_bytes(&bytes(inner, 17)), Err(OnnxError::Format { .. })));
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("mpc-onnx-{}-{name}", std::process::id()));
    fs::create_dir_all(folder.join("model")).unwrap();
    folder
}

#[test]
fn external_data() {
    let root = folder("external");
    fs::write(root.join("outside.data"), [0; 8]).unwrap();
    fs::write(root.join("model/w.data"), [1.0f32, -2.0].map(f32::to_le_bytes).concat()).unwrap();
    let external = |location: &str, offset: &str, length: &str| {
        let entry =
            |key: &str, value: &str| StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) };
        let mut model = small();
        model.initializer[0] = TensorProto {
            raw_data: None,
            external_data: vec![entry("location", location), entry("offset", offset), entry("length", length)],
            data_location: Some(DataLocation::EXTERNAL),
            ..floats("w", &[2, 1], &[])
        };
        fs::write(root.join("model/net.onnx"), bytes(model, 17)).unwrap();
        mpc_onnx::import(root.join("model/net.onnx"))
    };
    let network = external("w.data", "0", "8").unwrap();
    let y = evaluate(&network.graph, &network.weights, &[array![[3.0, 1.0]].into_dyn()]).unwrap();
    assert_eq!(y, [array![[1.5]].into_dyn()]);
    let outside = root.join("outside.data");
    for (location, offset, length) in [
        ("../outside.data", "0", "8"),
        (outside.to_str().unwrap(), "0", "8"),
        ("w.data/../../outside.data", "0", "8"),
        (".", "0", "8"),
        ("missing.data", "0", "8"),
        ("w.data", "4", "8"),
        ("w.data", "18446744073709551615", "8"),
        ("w.data", "-1", "8"),
        ("w.data", "0", "4"),
        ("w.data", "0", "1e3"),
    ] {
        let error = external(location, offset, length).unwrap_err();
        assert!(matches!(&error.reasons[..], [Reason::Constant { .. }]), "{location} {offset} {length}: {error}");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&outside, root.join("model/link.data")).unwrap();
        let error = external("link.data", "0", "8").unwrap_err();
        assert!(error.to_string().contains("not a file in the model's folder"), "{error}");
    }
    fs::remove_dir_all(root).unwrap();
}

/// A model with movements, integers, a convolution and a softmax, for mutations.
fn varied() -> Vec<u8> {
    let mut conv = node("Conv", &["x4", "w", "b"], &["c"]);
    conv.attribute.extend([ints("pads", &[1, 1, 1, 1]), ints("strides", &[2, 2]), ints("dilations", &[1, 1])]);
    let mut pool = node("MaxPool", &["c"], &["p"]);
    pool.attribute.extend([ints("kernel_shape", &[2, 2]), ints("strides", &[1, 1])]);
    let nodes = vec![
        node("Shape", &["x"], &["n"]),
        node("Concat", &["n", "tail"], &["s"]),
        node("Reshape", &["x", "shape"], &["x4"]),
        conv,
        pool,
        node("Flatten", &["p"], &["f"]),
        node("Slice", &["f", "zero", "tail"], &["g"]),
        node("Softmax", &["g"], &["y"]),
    ];
    let weights = vec![
        floats("w", &[2, 1, 3, 3], &[0.25; 18]),
        floats("b", &[2], &[0.5, -0.5]),
        integers("shape", &[1, 1, 4, 4]),
        integers("tail", &[1]),
        integers("zero", &[0]),
    ];
    let mut model = graph(nodes, weights);
    model.input = vec![info("x", DataType::FLOAT, &[Some(1), Some(16)])];
    bytes(model, 13)
}

#[test]
fn the_varied_model_is_imported() {
    let network = OnnxFile::from_bytes(&varied()).unwrap().import(&InputShapes::new()).unwrap();
    let y = evaluate(&network.graph, &network.weights, &[ArrayD::zeros(vec![1, 16])]).unwrap();
    assert_eq!(y[0].shape(), [1, 2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut file = varied();
        for (place, value) in changes {
            let place = place.index(file.len());
            file[place] = value;
        }
        if let Ok(file) = OnnxFile::from_bytes(&file) {
            let _ = file.import(&InputShapes::new());
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(file) = OnnxFile::from_bytes(&bytes) {
            let _ = file.import(&InputShapes::new());
        }
    }
}
