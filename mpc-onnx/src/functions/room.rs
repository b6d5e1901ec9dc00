//! The memory that copies of a function's nodes take, counted before they are made: a few calls of a large function would take all.

use core::cell::Cell;

use rten_onnx::onnx::{AttributeProto, GraphProto, NodeProto, TensorProto, TypeProto, ValueInfoProto};

/// The most bytes of all copies.
const MAX_BYTES: usize = 1 << 29;

/// The room that is left.
pub(super) struct Room(Cell<usize>);

impl Room {
    pub(super) fn new() -> Self {
        Self(Cell::new(MAX_BYTES))
    }

    /// Counts what is about to be copied.
    pub(super) fn take(&self, bytes: usize) -> Result<(), String> {
        let left = self.0.get().checked_sub(bytes);
        self.0.set(
            left.ok_or_else(|| format!("its functions in place of their calls have more than {MAX_BYTES} bytes"))?,
        );
        Ok(())
    }
}

/// The bytes of a node with its texts, but for its attributes.
pub(super) fn node(node: &NodeProto) -> usize {
    let names = node.input.iter().chain(&node.output).map(|name| size_of::<String>() + name.len());
    size_of::<NodeProto>() + names.sum::<usize>() + text(&node.domain) + text(&node.name) + text(&node.op_type)
}

pub(super) fn attribute(attribute: &AttributeProto) -> usize {
    let strings = attribute.strings.iter().map(|text| size_of::<String>() + text.len());
    size_of::<AttributeProto>()
        + strings.sum::<usize>()
        + size_of_val(attribute.floats.as_slice())
        + size_of_val(attribute.ints.as_slice())
        + text(&attribute.name)
        + text(&attribute.s)
        + attribute.t.as_ref().map_or(0, tensor)
        + attribute.g.as_ref().map_or(0, graph)
}

fn graph(graph: &GraphProto) -> usize {
    let nodes = graph.node.iter().map(|one| node(one) + one.attribute.iter().map(attribute).sum::<usize>());
    let infos = graph.input.iter().chain(&graph.output).chain(&graph.value_info).map(info);
    nodes.sum::<usize>() + graph.initializer.iter().map(tensor).sum::<usize>() + infos.sum::<usize>()
}

fn tensor(tensor: &TensorProto) -> usize {
    let entries = tensor.external_data.iter().map(|entry| size_of_val(entry) + text(&entry.key) + text(&entry.value));
    size_of::<TensorProto>()
        + entries.sum::<usize>()
        + size_of_val(tensor.dims.as_slice())
        + size_of_val(tensor.float_data.as_slice())
        + size_of_val(tensor.int32_data.as_slice())
        + size_of_val(tensor.int64_data.as_slice())
        + size_of_val(tensor.double_data.as_slice())
        + tensor.raw_data.as_ref().map_or(0, |data| data.borrow().len())
        + text(&tensor.name)
}

fn info(info: &ValueInfoProto) -> usize {
    size_of::<ValueInfoProto>() + text(&info.name) + info.r#type.as_ref().map_or(0, kind)
}

fn kind(kind: &TypeProto) -> usize {
    let shape = kind.tensor_type.as_ref().and_then(|tensor| tensor.shape.as_ref());
    let sizes = shape.map_or(0, |shape| shape.dim.iter().map(|size| size_of_val(size) + text(&size.dim_param)).sum());
    let inner = kind.sequence.as_ref().and_then(|sequence| sequence.elem_type.as_ref());
    size_of::<TypeProto>() + sizes + inner.map_or(0, self::kind)
}

fn text(text: &Option<String>) -> usize {
    text.as_ref().map_or(0, String::len)
}
