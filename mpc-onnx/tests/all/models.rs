//! Models made by hand.

use std::cell::RefCell;

use mpc_nn::Network;
use mpc_onnx::{InputShapes, OnnxFile, Reason};
use rten_onnx::onnx::{
    AttributeProto, AttributeType, DataType, Dimension as Size, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TypeProto, TypeProtoTensor, ValueInfoProto,
};

pub fn info(name: &str, data_type: DataType, sizes: &[Option<i64>]) -> ValueInfoProto {
    let size = |size: &Option<i64>| Size { dim_value: *size, dim_param: size.is_none().then(|| "N".into()) };
    let shape = TensorShapeProto { dim: sizes.iter().map(size).collect() };
    let tensor_type = Some(TypeProtoTensor { elem_type: Some(data_type), shape: Some(shape) });
    ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type, ..Default::default() }) }
}

/// An output of a shape that the file does not say.
pub fn open(name: &str) -> ValueInfoProto {
    let tensor_type = Some(TypeProtoTensor { elem_type: Some(DataType::FLOAT), shape: None });
    ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type, ..Default::default() }) }
}

pub fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    TensorProto {
        name: Some(name.into()),
        dims: dims.to_vec(),
        data_type: Some(DataType::FLOAT),
        raw_data: Some(RefCell::new(raw)),
        ..Default::default()
    }
}

pub fn integers(name: &str, values: &[i64]) -> TensorProto {
    let dims = vec![values.len() as i64];
    let data_type = Some(DataType::INT64);
    TensorProto { name: Some(name.into()), dims, data_type, int64_data: values.to_vec(), ..Default::default() }
}

pub fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        op_type: Some(operator.into()),
        name: Some(format!("{operator}_{}", outputs.first().unwrap_or(&""))),
        input: inputs.iter().map(|&name| name.into()).collect(),
        output: outputs.iter().map(|&name| name.into()).collect(),
        ..Default::default()
    }
}

pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    let r#type = Some(AttributeType::INTS);
    AttributeProto { name: Some(name.into()), ints: values.to_vec(), r#type, ..Default::default() }
}

pub fn bytes(graph: GraphProto, opset: i64) -> Vec<u8> {
    let set = OperatorSetIdProto { domain: Some(String::new()), version: Some(opset) };
    let model = ModelProto {
        ir_version: Some(8),
        graph: Some(graph),
        opset_import: vec![set],
        producer_name: Some("test".into()),
        ..Default::default()
    };
    model.write_buf().unwrap()
}

pub fn graph(nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> GraphProto {
    GraphProto {
        node: nodes,
        initializer,
        input: vec![info("x", DataType::FLOAT, &[None, Some(2)])],
        output: vec![open("y")],
        ..Default::default()
    }
}

pub fn imported(graph: GraphProto) -> Result<Network, Vec<Reason>> {
    let file = OnnxFile::from_bytes(&bytes(graph, 17)).unwrap();
    file.import(&InputShapes::new()).map_err(|error| error.reasons)
}
