//! Quantised integers: their element types, and their scales behind movements.

use rten_onnx::onnx::{AttributeProto, DataType, NodeProto};

use super::Importer;
use super::inputs::FLOATS;
use crate::call::Call;
use crate::context::{Quantisation, Whole};
use crate::error::{Lowered, unsupported};
use crate::rules;
use crate::value::{Tensor, Value};

/// Operators whose results are elements of their inputs, of the same type, or lie between them.
const MOVEMENTS: [&str; 34] = [
    "Clip",
    "Compress",
    "Concat",
    "DepthToSpace",
    "Dropout",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "GlobalMaxPool",
    "Identity",
    "Max",
    "MaxPool",
    "Min",
    "NhwcMaxPool",
    "Pad",
    "ReduceMax",
    "ReduceMin",
    "Relu",
    "Reshape",
    "Resize",
    "ReverseSequence",
    "ScatterElements",
    "ScatterND",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "TopK",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// Whether the input of a movement at that place has elements of the result.
fn is_moved(operator: &str, place: usize) -> bool {
    match operator {
        "Concat" | "Max" | "Min" | "Clip" => true,
        "Pad" => place != 1 && place != 3,
        "Where" => place > 0,
        "ScatterElements" | "ScatterND" => place != 1,
        _ => place == 0,
    }
}

/// Operators that compute with quantised integers, and know how, or need nothing of them but their order.
const COMPUTING: [&str; 20] = [
    "ArgMax",
    "ArgMin",
    "QAttention",
    "QLinearWhere",
    "MatMulInteger",
    "ConvInteger",
    "QLinearConv",
    "QLinearMatMul",
    "QLinearAdd",
    "QLinearMul",
    "QLinearGlobalAveragePool",
    "QLinearSigmoid",
    "QLinearLeakyRelu",
    "QLinearSoftmax",
    "QLinearAveragePool",
    "QLinearConcat",
    "QGemm",
    "MatMulIntegerToFloat",
    "DynamicQuantizeMatMul",
    "Shape",
];

const COMPUTED: &str = "it computes with quantised integers; put it behind their DequantizeLinear";

/// The place of the zero point of the result among the inputs of an operator on quantised integers.
fn zero_of_result(operator: &str) -> Option<usize> {
    match operator {
        "QLinearConv" | "QLinearMatMul" | "QLinearAdd" | "QLinearMul" => Some(7),
        "QLinearGlobalAveragePool"
        | "QLinearSigmoid"
        | "QLinearLeakyRelu"
        | "QLinearSoftmax"
        | "QLinearAveragePool" => Some(4),
        "QLinearConcat" => Some(1),
        "QLinearWhere" => Some(8),
        "QGemm" => Some(8),
        _ => None,
    }
}

impl<'a> Importer<'a> {
    /// The element type of the zero point of a quantisation, or of what a CastLike is like; 0 if it is not known.
    pub(super) fn operand_type(&self, node: &NodeProto, call: &Call<'_>) -> i32 {
        let place = match node.op_type.as_deref().unwrap_or_default() {
            "CastLike" => return self.liked_type(node, call).0,
            operator => zero_of_result(operator).unwrap_or(2),
        };
        match node.input.get(place).filter(|name| !name.is_empty()) {
            Some(name) => self.type_of(name).map_or(0, |kind| kind.0),
            None => DataType::UINT8.0,
        }
    }

    /// The type of a CastLike's second operand, as far as it can be told.
    fn liked_type(&self, node: &NodeProto, call: &Call<'_>) -> DataType {
        let known = node.input.get(1).and_then(|name| self.type_of(name));
        known.unwrap_or(match call.input(1) {
            Some(Value::Node(x)) if self.context.is_typed(x.id) => match self.context.whole(x.id) {
                Some(Whole::Boolean) => DataType::BOOL,
                _ => DataType::INT64,
            },
            Some(Value::Integer(_) | Value::Tokens { .. }) => DataType::INT64,
            _ => DataType::FLOAT,
        })
    }

    fn type_of(&self, name: &str) -> Option<DataType> {
        let weight = || self.initializers.get(name).and_then(|weight| weight.data_type);
        self.types.get(name).copied().or_else(weight).or_else(|| self.inputs.type_of(name))
    }

    /// Notes the element type of what a node gives, where it is one of integers and plain to see.
    pub(super) fn note_type(&mut self, node: &'a NodeProto) {
        let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name));
        let named = |attribute: &AttributeProto| attribute.i.and_then(|kind| i32::try_from(kind).ok()).map(DataType);
        let of_input = |place: usize| node.input.get(place).and_then(|name| self.type_of(name));
        let kind = match node.op_type.as_deref().unwrap_or_default() {
            "Constant" => attribute("value").and_then(|value| value.t.as_ref()).and_then(|tensor| tensor.data_type),
            "Cast" => attribute("to").and_then(named),
            "CastLike" => of_input(1),
            "DynamicQuantizeLinear" => {
                self.types.extend(node.output.first().map(|output| (output.as_str(), DataType::UINT8)));
                None
            }
            operator if zero_of_result(operator).is_some() => zero_of_result(operator).and_then(of_input),
            "QuantizeLinear" => {
                of_input(2).or_else(|| attribute("output_dtype").and_then(named)).or(Some(DataType::UINT8))
            }
            operator if MOVEMENTS.contains(&operator) => of_input(usize::from(operator == "Where")),
            _ => None,
        };
        if let Some(kind) = kind.filter(|kind| !FLOATS.contains(kind)) {
            self.types.extend(node.output.iter().map(|output| (output.as_str(), kind)));
        }
    }

    /// The scale and zero point of the private integers that a node moves, if it reads any; all that it moves becomes real numbers
    /// of these.
    pub(super) fn moved_quantisation(&mut self, call: &mut Call<'_>) -> Lowered<Option<Quantisation>> {
        let named = call.node.input.iter().zip(&call.inputs);
        let mut quantised = named.filter_map(|(name, value)| match value {
            Some(Value::Node(x)) if self.types.contains_key(name.as_str()) => self.context.quantisation(x.id),
            _ => None,
        });
        let Some(first) = quantised.next().cloned() else { return Ok(None) };
        let operator = call.operator().to_string();
        match operator.as_str() {
            "DequantizeLinear" => return Ok(None),
            operator if COMPUTING.contains(&operator) => return Ok(None),
            // (q − zero)·scale written out.
            "Cast" if rules::target(call).is_ok_and(rules::is_float) && !first.is_dynamic => {
                let x = self.context.scale_by(call.tensor(0)?, &first.scale.mapv(f32::recip))?;
                call.inputs[0] = Some(self.context.offset_by(&x, &first.zero)?.into());
                return Ok(None);
            }
            // Its 0 is no real 0 of theirs.
            "Relu" if first.zero.iter().any(|&zero| zero != 0.0) => return unsupported(COMPUTED),
            "ScatterElements" | "ScatterND" if call.string("reduction", "none")? != "none" => {
                return unsupported(COMPUTED);
            }
            operator if !MOVEMENTS.contains(&operator) => {
                return unsupported(COMPUTED);
            }
            operator if !first.is_uniform() && operator != "Identity" => {
                return unsupported(
                    "it moves integers with a scale for each channel; put it behind their DequantizeLinear",
                );
            }
            "Resize" if call.string("coordinate_transformation_mode", "")? == "tf_crop_and_resize" => {
                return unsupported("it crops quantised integers; put it behind their DequantizeLinear");
            }
            "Pad" if call.input(2).is_none() && call.string("mode", "constant")? == "constant" => {
                call.inputs.resize(call.inputs.len().max(3), None);
                call.inputs[2] = Some(Value::scalar(0));
            }
            _ => {}
        }
        for (_, input) in call.inputs.iter_mut().enumerate().filter(|(place, _)| is_moved(&operator, *place)) {
            if let Some(value) = input {
                if first.is_dynamic && !value.is_private() {
                    return unsupported("it puts constants beside integers whose scale the file finds when it runs");
                }
                *value = rules::dequantised(&mut self.context, value, first.clone())?;
            }
        }
        Ok(Some(first))
    }

    /// An output as the file has it: the integers of what was quantised, and not the real numbers that they stand for.
    pub(super) fn as_quantised(&mut self, name: &str, x: Tensor) -> Lowered<Tensor> {
        match self.context.quantisation(x.id).cloned() {
            Some(parameters) if self.types.contains_key(name) => rules::in_steps(&mut self.context, &x, parameters),
            _ => Ok(x),
        }
    }

    /// Notes the quantisation of what was moved; where the elements of a TopK or MaxPool are is no element.
    pub(super) fn note_moved(&mut self, quantisation: Option<Quantisation>, call: &Call<'_>, results: &[Value]) {
        let Some(quantisation) = quantisation else { return };
        let moved = if matches!(call.operator(), "TopK" | "MaxPool") { 1 } else { results.len() };
        for result in results.iter().take(moved) {
            if let Value::Node(x) = result {
                self.context.note_quantisation(x.id, quantisation.clone());
            }
        }
    }
}
