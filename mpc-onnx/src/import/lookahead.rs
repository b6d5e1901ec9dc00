//! Later nodes' bearing on a node: a batch normalisation to take up, a softmax that makes a mask of a constant.

use std::collections::BTreeSet;

use mpc_nn::weights::MAX_WEIGHT;
use rten_onnx::onnx::{GraphProto, NodeProto};

use super::Importer;
use super::placed::puts_masks;
use crate::call::{Call, Masking};
use crate::error::Lowered;
use crate::norm::Norm;
use crate::rules::{self, norm_of};
use crate::tensor;
use crate::topology::Order;
use crate::value::Value;

/// How many values may lie between a mask and its softmax.
const MAX_VALUES: usize = 128;
/// Operators that leave a mask one.
const PASSING: [&str; 27] = [
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
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "Pad",
    "ScatterElements",
    "ScatterND",
    "Split",
    "Tile",
];
/// Those of them that put elements elsewhere.
const DISPLACING: [&str; 17] = [
    "Reshape",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Expand",
    "Slice",
    "Concat",
    "QLinearConcat",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "Pad",
    "ScatterElements",
    "ScatterND",
    "Split",
    "Tile",
];
/// The most casts and negations that a condition is followed through.
const MAX_NEGATIONS: usize = 4;
/// The most movements between a ranking and a comparison with what it ranked.
const MAX_MOVES: usize = 8;
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
    let is_known = matches!(call.operator(), "Add" | "Sub" | "Where" | "Sum" | "Max" | "Mul") || puts_masks(call);
    is_known && call.inputs.iter().flatten().all(of)
}

/// Whether constants that are far below all values are there in some places only.
fn is_mask(call: &Call<'_>) -> bool {
    let is_everywhere = |value: &Value| match value {
        Value::Constant(constant) => constant.array().iter().all(|value| value.abs() > MAX_WEIGHT),
        _ => false,
    };
    let is_shifted =
        matches!(call.operator(), "Add" | "Sub" | "Sum") && call.inputs.iter().flatten().any(is_everywhere);
    is_far(call) && !is_shifted
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

/// Whether an operator makes nothing of what is far below all others in a value that goes into it with this sign, or else of what is far
/// above; and whether it tells values apart that a softmax does not.
fn end(node: &NodeProto, sign: f32) -> Option<(bool, bool)> {
    let is_smallest = || node.attribute.iter().any(|one| one.name.as_deref() == Some("largest") && one.i == Some(0));
    match node.op_type.as_deref()? {
        "Softmax" | "QLinearSoftmax" | "IsInf" => Some((sign > 0.0, false)),
        "ReduceMin" | "ArgMin" => Some((sign < 0.0, true)),
        "TopK" if is_smallest() => Some((sign < 0.0, true)),
        "ReduceMax" | "ArgMax" | "TopK" | "MaxPool" | "GlobalMaxPool" | "ReduceLogSumExp" | "Hardmax" | "Sigmoid"
        | "Tanh" | "Relu" => Some((sign > 0.0, true)),
        _ => None,
    }
}

/// Whether a node casts to integers, of which some numbers beside 0 become 0.
fn is_truncation(node: &NodeProto) -> bool {
    let to = node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some("to")).and_then(|to| to.i);
    !to.is_some_and(|to| rules::is_float(to) || rules::is_boolean(to))
}

/// Whether the values of a node are compared with each other there.
fn is_comparing(node: &NodeProto) -> bool {
    let is_one = |operator: &str| {
        !matches!(operator, "Exp" | "IsInf" | "Sigmoid" | "Tanh" | "Relu")
            && (operator == "LogSoftmax" || end(node, 1.0).is_some())
    };
    node.op_type.as_deref().is_some_and(is_one)
}

/// The condition that a name is, without casts and negations, and whether there is an odd number of these.
fn condition<'a>(graph: &'a GraphProto, mut name: &'a str) -> (&'a str, bool) {
    let mut is_negated = false;
    for _ in 0..MAX_NEGATIONS {
        let Some(node) = graph.node.iter().find(|node| node.output.first().is_some_and(|output| output == name)) else {
            break;
        };
        let operator = node.op_type.as_deref().unwrap_or_default();
        let (Some(source), "Not" | "Cast") = (node.input.first(), operator) else { break };
        if operator == "Cast" && is_truncation(node) {
            break;
        }
        (name, is_negated) = (source, is_negated != (operator == "Not"));
    }
    (name, is_negated)
}

/// Whether a scatter puts its updates in the place of others, and makes no sums or products of both.
fn is_unreduced(node: &NodeProto) -> bool {
    let reduction = node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some("reduction"));
    reduction.and_then(|reduction| reduction.s.as_deref()).is_none_or(|reduction| reduction == "none")
}

/// Whether the elements of a value are among those of a result, and say no places or sizes.
fn is_operand(node: &NodeProto, value: &str) -> bool {
    let is_at = |place: usize| node.input.get(place).is_some_and(|input| input == value);
    match node.op_type.as_deref().unwrap_or_default() {
        "Gather" | "GatherElements" | "GatherND" | "Split" | "Tile" => is_at(0),
        "Pad" => is_at(0) || is_at(2),
        "ScatterElements" | "ScatterND" => (is_at(0) || is_at(2)) && is_unreduced(node),
        _ => true,
    }
}

/// Whether a Where takes other values in all places where an earlier one has put a mask.
fn replaces(graph: &GraphProto, call: &Call<'_>, later: &NodeProto, value: &str) -> bool {
    let is_constant = |input: &Option<Value>| matches!(input, Some(Value::Constant(_) | Value::Integer(_)));
    let Some(place) = (1..3).find(|&place| call.inputs.get(place).is_some_and(is_constant)) else { return false };
    let Some(kept) = (1..3).find(|&place| later.input.get(place).is_some_and(|input| input == value)) else {
        return false;
    };
    let side = |node: &NodeProto, place: usize| {
        let (name, is_negated) = condition(graph, node.input.first()?);
        Some((name.to_owned(), is_negated == (place == 1)))
    };
    let (masked, read) = (side(call.node, place), side(later, kept));
    call.operator() == "Where" && masked.zip(read).is_some_and(|((mask, at), (name, on))| mask == name && at != on)
}

/// The ways of a result to where masks end.
struct Ways<'a> {
    graph: &'a GraphProto,
    order: &'a Order<'a>,
    /// Values, each with the factor that it has of the result.
    open: Vec<(&'a str, f32)>,
    /// Those of them whose elements are in other places than those of the result.
    moved: BTreeSet<&'a str>,
    /// Those of them that are sums of the result and something private.
    added: BTreeSet<&'a str>,
    /// The signs with which the result comes to an end.
    ends: BTreeSet<bool>,
    is_deep: bool,
}

impl<'a> Ways<'a> {
    /// Whether a node adds the value to another one that is no constant.
    fn is_sum(&self, node: &NodeProto, value: &str) -> bool {
        let weights = &self.graph.initializer;
        let is_constant = |name: &String| {
            weights.iter().any(|weight| weight.name.as_ref() == Some(name))
                || number(self.graph, self.order, name).is_some()
        };
        let mut others = node.input.iter().filter(|name| *name != value && !name.is_empty());
        matches!(node.op_type.as_deref(), Some("Add" | "Sub" | "Sum" | "QLinearAdd"))
            && others.any(|name| !is_constant(name))
    }

    /// Whether a node compares the value with one of the largest of values, which no mask is below.
    fn is_compared_with_ranked(&self, node: &NodeProto, value: &str) -> bool {
        let operator = node.op_type.as_deref().unwrap_or_default();
        let mut other = node.input.iter().find(|input| *input != value);
        if !matches!(operator, "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual") {
            return false;
        }
        for _ in 0..MAX_MOVES {
            let gives = |node: &&NodeProto| node.output.iter().any(|output| Some(output) == other);
            let Some(maker) = self.graph.node.iter().find(gives) else { return false };
            match maker.op_type.as_deref().unwrap_or_default() {
                "TopK" => return end(maker, 1.0).is_some_and(|(is_low, _)| is_low) && maker.output.first() == other,
                operator if DISPLACING.contains(&operator) => other = maker.input.first(),
                _ => return false,
            }
        }
        false
    }

    /// One step on through an operator; none where a mask would show.
    fn step(&mut self, call: &Call<'_>, node: &'a NodeProto, (value, sign): (&'a str, f32)) -> Option<()> {
        let next = node.output.first().map(String::as_str)?;
        let all = node.output.iter().map(String::as_str);
        if self.moved.contains(value) || node.op_type.as_deref().is_some_and(|operator| DISPLACING.contains(&operator))
        {
            self.moved.extend(all.clone());
        }
        if self.added.contains(value) || self.is_sum(node, value) {
            self.added.extend(all);
        } else if call.operator() == "Mul" && is_comparing(node) {
            // A multiple that nothing is added to is no mask, but all that is compared.
            return None;
        }
        if let Some((is_low, needs_depth)) = end(node, sign) {
            if needs_depth && !is_mask(call) {
                return None;
            }
            self.is_deep |= needs_depth;
            self.ends.insert(is_low);
            return Some(());
        }
        if is_mask(call) && self.is_compared_with_ranked(node, value) {
            self.is_deep = true;
            self.ends.insert(sign > 0.0);
            return Some(());
        }
        let is_second = node.input.get(1).is_some_and(|input| input == value);
        let is_infinite = |input: &String| number(self.graph, self.order, input) == Some(f32::NEG_INFINITY);
        match node.op_type.as_deref()? {
            "Exp" if sign > 0.0 && is_far(call) => drop(self.ends.insert(true)),
            "Shape" | "Size" => {}
            // As what IsInf finds out.
            "Equal" if node.input.iter().any(is_infinite) => drop(self.ends.insert(sign > 0.0)),
            "Where" if !self.moved.contains(value) && replaces(self.graph, call, node, value) => {}
            "Max" | "Where" if sign < 0.0 => return None,
            "Sub" if is_second => self.open.push((next, -sign)),
            "Neg" => self.open.push((next, -sign)),
            "Sub" => self.open.push((next, sign)),
            "Mul" | "Div" => {
                let scaled = sign * scale(self.graph, self.order, node, value).filter(|scale| *scale > 0.0)?;
                if !SCALES.contains(&scaled.abs()) {
                    return None;
                }
                self.open.push((next, scaled));
            }
            "LogSoftmax" if sign > 0.0 && is_mask(call) => {
                self.is_deep = true;
                self.open.push((next, sign));
            }
            operator if PASSING.contains(&operator) && is_operand(node, value) => {
                let read = node.output.iter().filter(|output| self.order.readers.contains_key(output.as_str()));
                self.open.extend(read.map(|output| (output.as_str(), sign)));
            }
            _ => return None,
        }
        Some(())
    }
}

/// The part of large constants in all that depends on the output, if that goes into softmaxes, exponentials and maxima through nothing but
/// sums, movements and products with a public number; the results of a graph that is a scorer go into a softmax.
pub(super) fn masking(graph: &GraphProto, order: &Order<'_>, call: &Call<'_>, is_scorer: bool) -> Option<Masking> {
    let node = call.node;
    let operator = node.op_type.as_deref().unwrap_or_default();
    let is_sum = matches!(operator, "Add" | "Sub" | "Where" | "Sum" | "Mul" | "Max");
    if !is_sum && !puts_masks(call) && !rules::is_quantiser(operator) {
        return None;
    }
    let open = node.output.first().map(|output| (output.as_str(), 1.0)).into_iter().collect();
    let mut ways = Ways {
        graph,
        order,
        open,
        moved: BTreeSet::new(),
        added: BTreeSet::new(),
        ends: BTreeSet::new(),
        is_deep: false,
    };
    let mut seen = BTreeSet::new();
    let mut largest = 1.0f32;
    while let Some((value, sign)) = ways.open.pop() {
        if seen.len() > MAX_VALUES {
            return None;
        }
        if !seen.insert((value, sign > 0.0)) {
            continue;
        }
        largest = largest.max(sign.abs());
        for &reader in order.readers.get(value)? {
            let Some(node) = graph.node.get(reader) else {
                ways.ends.insert(sign > 0.0);
                if is_scorer { continue } else { return None }
            };
            ways.step(call, node, (value, sign))?;
        }
    }
    // A mask that is deep has no room to be made larger.
    if ways.is_deep && largest > 1.0 {
        return None;
    }
    let floor = if ways.is_deep { rules::DEEP_MASK } else { rules::MASK };
    match (ways.ends.contains(&true), ways.ends.contains(&false)) {
        (true, false) => Some(Masking { sign: 1.0, floor }),
        (false, true) => Some(Masking { sign: -1.0, floor }),
        _ => None,
    }
}
