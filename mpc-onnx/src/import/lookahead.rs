//! Later nodes' bearing on a node: a batch normalisation to take up, a softmax that makes a mask of a constant.

use std::collections::BTreeSet;

use mpc_nn::weights::MAX_WEIGHT;
use rten_onnx::onnx::{GraphProto, NodeProto};

use super::Importer;
use crate::call::Call;
use crate::error::Lowered;
use crate::norm::Norm;
use crate::rules::{self, norm_of};
use crate::tensor;
use crate::topology::Order;
use crate::value::Value;

/// How many values may lie between a mask and its softmax.
const MAX_VALUES: usize = 128;
/// Operators that leave a mask one.
const PASSING: [&str; 18] = [
    "Add",
    "Sum",
    "Identity",
    "Cast",
    "Reshape",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Expand",
    "Slice",
    "Concat",
    "Where",
    "Max",
    "QuantizeLinear",
    "DequantizeLinear",
    "QLinearAdd",
    "QLinearConcat",
    "QLinearWhere",
];
/// By what a mask may be scaled in front of its softmax, so that it stays far below all scores and in range.
const SCALES: core::ops::RangeInclusive<f32> = 1.0 / 16.0..=8.0;
/// Operators that leave an index one, which can only be revealed.
const MOVING: [&str; 8] =
    ["Identity", "Cast", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "ArrayFeatureExtractor"];

/// Whether an operator may leave a mask one.
pub(super) fn is_passing(operator: &str) -> bool {
    matches!(operator, "Sub" | "Neg" | "Mul" | "Div") || PASSING.contains(&operator)
}

/// Whether all that depends on the outputs is an output of the graph, through nothing but movements.
pub(super) fn is_revealed(graph: &GraphProto, order: &Order<'_>, node: &NodeProto) -> bool {
    let place = match node.op_type.as_deref().unwrap_or_default() {
        "ArgMax" | "ArgMin" | "LinearClassifier" | "TreeEnsembleClassifier" | "SVMClassifier" => 0,
        "TopK" => 1,
        _ => return false,
    };
    let mut open: Vec<&str> = node.output.get(place).map(String::as_str).into_iter().collect();
    let mut seen = BTreeSet::new();
    while let Some(value) = open.pop() {
        if seen.len() > MAX_VALUES {
            return false;
        }
        if !seen.insert(value) {
            continue;
        }
        for &reader in order.readers.get(value).into_iter().flatten().filter(|&&reader| reader != usize::MAX) {
            let Some(node) = graph.node.get(reader) else { return false };
            let is_moved = node.op_type.as_deref().is_some_and(|operator| MOVING.contains(&operator));
            if !is_moved || node.input.first().map(String::as_str) != Some(value) {
                return false;
            }
            open.extend(node.output.first().map(String::as_str));
        }
    }
    true
}

impl<'a> Importer<'a> {
    /// The batch normalisation that alone reads the output of a linear node, if its parameters are constants, with the
    /// name of its output.
    pub(super) fn norm_behind(
        &mut self,
        graph: &'a GraphProto,
        order: &Order<'a>,
        node: &NodeProto,
    ) -> Lowered<Option<(&'a str, Norm)>> {
        if !matches!(node.op_type.as_deref(), Some("Conv" | "ConvTranspose" | "Gemm")) {
            return Ok(None);
        }
        let readers = node.output.first().and_then(|output| order.readers.get(output.as_str()));
        let Some([reader]) = readers.map(Vec::as_slice) else { return Ok(None) };
        let Some(norm) = graph.node.get(*reader) else { return Ok(None) };
        let is_input = norm.input.first() == node.output.first() && norm.input.len() == 5;
        if norm.op_type.as_deref() != Some("BatchNormalization") || !is_input || norm.output.is_empty() {
            return Ok(None);
        }
        let mut inputs = Vec::from([None]);
        for name in &norm.input[1..] {
            if !self.initializers.contains_key(name.as_str()) && !self.values.contains_key(name.as_str()) {
                return Ok(None);
            }
            inputs.push(Some(self.value(name)?));
        }
        let call = Call { inputs, opset: self.file.opset, ..Call::of(norm) };
        // A norm that cannot be taken up is reported when its own turn comes.
        Ok(norm_of(&call).ok().map(|scales| (norm.output[0].as_str(), scales)))
    }
}

/// Whether constants of an operator are far below all values, or not masks. A softmax takes its largest element off, an exponential
/// does not: what is far below may be far below what is added later.
fn is_far(call: &Call<'_>) -> bool {
    let is_far = |&value: &f32| value.abs() <= -rules::MASK || value.abs() > MAX_WEIGHT;
    let of = |value: &Value| !matches!(value, Value::Constant(constant) if !constant.array().iter().all(is_far));
    matches!(call.operator(), "Add" | "Sub" | "Where" | "Sum" | "Max") && call.inputs.iter().flatten().all(of)
}

/// The number that a name of the graph stands for, if it is a constant of equal elements.
fn number(graph: &GraphProto, order: &Order<'_>, name: &str) -> Option<f32> {
    let weight = graph.initializer.iter().find(|weight| weight.name.as_deref() == Some(name));
    let is_given = |node: &&NodeProto| node.output.first().is_some_and(|output| output == name);
    let constant = || {
        let makers = order.nodes.iter().filter_map(|&place| graph.node.get(place));
        let node = makers.filter(|node| node.op_type.as_deref() == Some("Constant")).find(is_given)?;
        node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some("value"))?.t.as_ref()
    };
    let tensor = weight.or_else(constant).filter(|tensor| tensor.dims.iter().all(|&size| size == 1))?;
    match tensor::decode(tensor, None) {
        Ok(Value::Constant(value)) => value.array().first().copied(),
        _ => None,
    }
}

/// The factor of a product with a public number, or of a quotient by one.
fn scale(graph: &GraphProto, order: &Order<'_>, node: &NodeProto, value: &str) -> Option<f32> {
    let [left, right] = node.input.as_slice() else { return None };
    match node.op_type.as_deref()? {
        "Mul" => number(graph, order, if left == value { right } else { left }),
        "Div" if left == value => number(graph, order, right).map(f32::recip),
        _ => None,
    }
}

/// The sign with which all that depends on the output goes into a softmax or an exponential, through nothing but sums, movements and
/// products with a public number, if it does; the results of a graph that is a scorer do.
pub(super) fn sign_in_softmax(graph: &GraphProto, order: &Order<'_>, call: &Call<'_>, is_scorer: bool) -> Option<f32> {
    let node = call.node;
    let operator = node.op_type.as_deref().unwrap_or_default();
    if !matches!(operator, "Add" | "Sub" | "Where" | "Sum" | "Mul" | "Max") && !rules::is_quantiser(operator) {
        return None;
    }
    let mut open: Vec<(&str, f32)> = node.output.first().map(|output| (output.as_str(), 1.0)).into_iter().collect();
    let mut seen = BTreeSet::new();
    let mut ends = BTreeSet::new();
    while let Some((value, sign)) = open.pop() {
        if seen.len() > MAX_VALUES {
            return None;
        }
        if !seen.insert((value, sign > 0.0)) {
            continue;
        }
        for &reader in order.readers.get(value)? {
            let Some(node) = graph.node.get(reader) else {
                ends.insert(sign > 0.0);
                if is_scorer { continue } else { return None }
            };
            let next = node.output.first().map(String::as_str)?;
            let is_second = node.input.get(1).is_some_and(|input| input == value);
            match node.op_type.as_deref()? {
                "Softmax" | "QLinearSoftmax" | "IsInf" => drop(ends.insert(sign > 0.0)),
                "Exp" if sign > 0.0 && is_far(call) => drop(ends.insert(true)),
                // As what IsInf finds out.
                "Equal" if node.input.iter().any(|input| number(graph, order, input) == Some(f32::NEG_INFINITY)) => {
                    ends.insert(sign > 0.0);
                }
                "Max" | "Where" if sign < 0.0 => return None,
                "Sub" if is_second => open.push((next, -sign)),
                "Neg" => open.push((next, -sign)),
                "Sub" => open.push((next, sign)),
                "Mul" | "Div" => {
                    let scaled = sign * scale(graph, order, node, value).filter(|scale| *scale > 0.0)?;
                    if !SCALES.contains(&scaled.abs()) {
                        return None;
                    }
                    open.push((next, scaled));
                }
                operator if PASSING.contains(&operator) => open.push((next, sign)),
                _ => return None,
            }
        }
    }
    match (ends.contains(&true), ends.contains(&false)) {
        (true, false) => Some(1.0),
        (false, true) => Some(-1.0),
        _ => None,
    }
}
