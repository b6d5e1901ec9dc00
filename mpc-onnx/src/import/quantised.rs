//! Quantised integers: their element types, and their scales behind movements.

use ndarray::ArrayD;
use rten_onnx::onnx::{AttributeProto, DataType, NodeProto};

use super::inputs::FLOATS;
use super::{Importer, constants};
use crate::arrays;
use crate::call::Call;
use crate::context::{Quantisation, Whole, real};
use crate::error::{Lowered, unsupported};
use crate::rules;
use crate::value::{Tensor, Value};

/// Operators that put each element of their first input somewhere, or leave it out.
pub(super) const EXACT: [&str; 18] = [
    "Compress",
    "DepthToSpace",
    "Dropout",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "Identity",
    "Reshape",
    "ReverseSequence",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
];

/// Operators whose results are elements of one or several inputs, of the same type, or lie between them.
const MIXING: [&str; 16] = [
    "Clip",
    "Concat",
    "GlobalMaxPool",
    "Max",
    "MaxPool",
    "Min",
    "NhwcMaxPool",
    "Pad",
    "ReduceMax",
    "ReduceMin",
    "Relu",
    "Resize",
    "ScatterElements",
    "ScatterND",
    "TopK",
    "Where",
];

fn is_movement(operator: &str) -> bool {
    EXACT.contains(&operator) || MIXING.contains(&operator)
}

/// Whether a movement leaves each element in its place along the axes on which the scale differs, and takes others from the same
/// place of these: then its result has the same scales.
fn keeps_scales(operator: &str, own: &Quantisation) -> bool {
    let differs =
        |axis: usize| [&own.scale, &own.zero].iter().any(|array| array.shape().get(axis).is_some_and(|&n| n > 1));
    match operator {
        "MaxPool" | "GlobalMaxPool" => (2..own.scale.ndim().max(own.zero.ndim())).all(|axis| !differs(axis)),
        "Relu" => true,
        _ => false,
    }
}

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
const CHANNELS: &str = "it moves integers with a scale for each channel; put it behind their DequantizeLinear";
const UNKNOWN_STEPS: &str = "it puts constants beside integers whose scale the file finds when it runs";
const WIDE: &str = "quantised integers of 16 bits as such, which may be beyond the range of ±16384; put it behind their DequantizeLinear";

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
            operator if is_movement(operator) => of_input(usize::from(operator == "Where")),
            _ => None,
        };
        if let Some(kind) = kind.filter(|kind| !FLOATS.contains(kind)) {
            self.types.extend(node.output.iter().map(|output| (output.as_str(), kind)));
        }
    }

    /// A table of which private places choose: not of private integers with a scale for each channel.
    pub(super) fn table(&mut self, table: Value) -> Lowered<Value> {
        match self.plain(table)? {
            Value::Node(x) if self.context.quantisation(x.id).is_some_and(|own| !own.is_uniform()) => {
                unsupported(CHANNELS)
            }
            table => Ok(table),
        }
    }

    /// The scale and zero point of the private integers that a node moves, if it reads any; all that it moves becomes real numbers
    /// of these.
    pub(super) fn moved_quantisation(&mut self, call: &mut Call<'_>) -> Lowered<Option<Quantisation>> {
        let named = call.node.input.iter().zip(&call.inputs);
        let mut quantised = named.filter_map(|(name, value)| match value {
            Some(Value::Node(x)) => self.types.get(name.as_str()).zip(self.context.quantisation(x.id)),
            _ => None,
        });
        let Some((&kind, first)) = quantised.next() else { return Ok(None) };
        let first = first.clone();
        let operator = call.operator().to_string();
        match operator.as_str() {
            "DequantizeLinear" => return Ok(None),
            operator if COMPUTING.contains(&operator) => return Ok(None),
            "Cast" if rules::is_wide(kind.0.into()) => return unsupported(WIDE),
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
            operator if !is_movement(operator) => return unsupported(COMPUTED),
            operator if !first.is_uniform() => {
                if EXACT.contains(&operator) || keeps_scales(operator, &first) {
                    return Ok(Some(first));
                }
                return unsupported(CHANNELS);
            }
            "Resize" if call.string("coordinate_transformation_mode", "")? == "tf_crop_and_resize" => {
                if first.is_dynamic {
                    return unsupported(UNKNOWN_STEPS);
                }
                call.moved = Some(first.clone());
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
                    return unsupported(UNKNOWN_STEPS);
                }
                *value = rules::dequantised(&mut self.context, value, first.clone())?;
            }
        }
        Ok(Some(first))
    }

    /// An output as the file has it: the integers of what was quantised, and not the real numbers that they stand for.
    pub(super) fn as_quantised(&mut self, name: &str, x: Tensor) -> Lowered<Tensor> {
        match (self.context.quantisation(x.id).cloned(), self.types.get(name)) {
            (Some(_), Some(kind)) if rules::is_wide(kind.0.into()) => unsupported(WIDE),
            (Some(parameters), Some(_)) => rules::in_steps(&mut self.context, &x, parameters),
            _ => Ok(x),
        }
    }

    /// Notes the quantisation of what was moved; where the elements of a TopK or MaxPool are is no element.
    pub(super) fn note_moved(
        &mut self,
        quantisation: Option<Quantisation>,
        rule: rules::Rule,
        call: &Call<'_>,
        results: &[Value],
    ) -> Lowered<()> {
        let Some(quantisation) = quantisation else { return Ok(()) };
        let moved = if matches!(call.operator(), "TopK" | "MaxPool") { 1 } else { results.len() };
        let is_moved = !quantisation.is_uniform() && EXACT.contains(&call.operator());
        let all = if is_moved { self.scales_moved(&quantisation, rule, call)? } else { vec![quantisation; moved] };
        for (result, own) in results.iter().take(moved).zip(all) {
            if let Value::Node(x) = result {
                self.context.note_quantisation(x.id, own);
            }
        }
        Ok(())
    }

    /// The scale and zero point of each element of the results of a movement: moved as the elements are.
    fn scales_moved(&mut self, own: &Quantisation, rule: rules::Rule, call: &Call<'_>) -> Lowered<Vec<Quantisation>> {
        let shape = call.required(0)?.shape().to_vec();
        let mut moved = |array: &ArrayD<f32>| -> Lowered<Vec<ArrayD<f32>>> {
            self.context.charge(arrays::elements(&shape)?)?;
            let mut inputs = call.inputs.clone();
            inputs[0] = Some(Value::constant(arrays::broadcast(array, &shape)?));
            let results = constants::apply(&mut self.context, rule, &call.with(inputs))?;
            let array = |value: &Value| real(value).map(|array| arrays::compact(array.array()));
            results.iter().map(array).collect()
        };
        let (scales, zeros) = (moved(&own.scale)?, moved(&own.zero)?);
        let each = |(scale, zero)| Quantisation { scale, zero, is_dynamic: own.is_dynamic };
        Ok(scales.into_iter().zip(zeros).map(each).collect())
    }
}
