//! One node with the values of its inputs, and checked access to both.

use ndarray::ArrayD;
use rten_onnx::onnx::{AttributeProto, AttributeType, NodeProto, TensorProto};

use crate::context::Quantisation;
use crate::error::{Lowered, invalid, unsupported};
use crate::norm::Norm;
use crate::value::{Constant, Tensor, Value};

/// A node of no file, for a rule that makes use of another one.
pub(crate) fn node(domain: &str, operator: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    let [domain, op_type] = [domain, operator].map(|text| Some(text.into()));
    NodeProto { op_type, domain, attribute, ..Default::default() }
}

pub(crate) fn int(name: &str, value: i64) -> AttributeProto {
    let (name, r#type) = (Some(name.into()), Some(AttributeType::INT));
    AttributeProto { name, i: Some(value), r#type, ..Default::default() }
}

pub(crate) fn float(name: &str, value: f32) -> AttributeProto {
    let (name, r#type) = (Some(name.into()), Some(AttributeType::FLOAT));
    AttributeProto { name, f: Some(value), r#type, ..Default::default() }
}

/// Numbers in front of a softmax, a maximum or what else makes nothing of them, if they are far enough below all others.
#[derive(Clone, Copy)]
pub(crate) struct Masking {
    /// 1 if large negative constants are such; −1 if the result is subtracted, so that large positive ones are; 0 if none are.
    pub(crate) sign: f32,
    /// The number that −∞ becomes.
    pub(crate) floor: f32,
}

impl Masking {
    pub(crate) const NONE: Self = Self { sign: 0.0, floor: f32::NEG_INFINITY };
}

/// A node of the file with the values of its inputs.
pub(crate) struct Call<'a> {
    pub(crate) node: &'a NodeProto,
    /// Absent optional inputs are `None`.
    pub(crate) inputs: Vec<Option<Value>>,
    /// Which outputs something reads.
    pub(crate) used: Vec<bool>,
    pub(crate) opset: i64,
    /// A batch normalisation behind the node that it takes up.
    pub(crate) norm: Option<Norm>,
    /// The element type of the operand that says one: a zero point, or what a CastLike is like; 0 if it is not known.
    pub(crate) operand_type: i32,
    /// Scale and zero point of the quantised integers that it moves, which stand for their real numbers; one for all elements.
    pub(crate) moved: Option<Quantisation>,
    /// The part of large constants of it in the operators that its result goes into.
    pub(crate) masking: Masking,
    /// Whether all that becomes of the results is to be revealed.
    pub(crate) is_revealed: bool,
    /// Whether a result is an output of the network.
    pub(crate) is_output: bool,
}

impl<'a> Call<'a> {
    /// A node alone.
    pub(crate) fn of(node: &'a NodeProto) -> Self {
        let (inputs, used) = (Vec::new(), Vec::new());
        Self {
            node,
            inputs,
            used,
            opset: 0,
            norm: None,
            operand_type: 0,
            moved: None,
            masking: Masking::NONE,
            is_revealed: false,
            is_output: false,
        }
    }

    /// The node with other operands, for a rule that is part of this call's.
    pub(crate) fn with(&self, inputs: Vec<Option<Value>>) -> Self {
        Self { inputs, used: self.used.clone(), opset: self.opset, ..Self::of(self.node) }
    }
}

impl Call<'_> {
    pub(crate) fn operator(&self) -> &str {
        self.node.op_type.as_deref().unwrap_or_default()
    }

    /// Whether the output of that place is read.
    pub(crate) fn is_used(&self, output: usize) -> bool {
        self.used.get(output).copied().unwrap_or(false)
    }

    pub(crate) fn input(&self, index: usize) -> Option<&Value> {
        self.inputs.get(index)?.as_ref()
    }

    pub(crate) fn required(&self, index: usize) -> Lowered<&Value> {
        self.input(index).map_or_else(|| invalid(format!("it has no input {index}")), Ok)
    }

    /// An input that depends on a private one.
    pub(crate) fn tensor(&self, index: usize) -> Lowered<&Tensor> {
        match self.required(index)? {
            Value::Node(tensor) => Ok(tensor),
            Value::Tokens { .. } => unsupported(
                "it takes a private input of integers; only Gather from a constant table and Cast to floats do",
            ),
            _ => unsupported(format!("its input {index} must depend on the private input")),
        }
    }

    /// A constant input, public or the model owner's.
    pub(crate) fn constant(&self, index: usize) -> Lowered<Constant> {
        self.optional_constant(index)?.map_or_else(|| invalid(format!("it has no input {index}")), Ok)
    }

    pub(crate) fn optional_constant(&self, index: usize) -> Lowered<Option<Constant>> {
        match self.input(index) {
            None => Ok(None),
            Some(Value::Constant(constant)) => Ok(Some(constant.clone())),
            Some(Value::Integer(array)) => Ok(Some(Constant::new(array.mapv(|value| value as f32)))),
            Some(_) => unsupported(format!("its input {index} depends on the private input, but must be a constant")),
        }
    }

    /// The only element of a constant input.
    pub(crate) fn optional_scalar(&self, index: usize) -> Lowered<Option<f32>> {
        let Some(constant) = self.optional_constant(index)? else { return Ok(None) };
        match constant.array().as_slice() {
            Some(&[value]) => Ok(Some(value)),
            _ => invalid(format!("its input {index} must have one element")),
        }
    }

    /// The public integers of an input.
    pub(crate) fn optional_integers(&self, index: usize) -> Lowered<Option<Vec<i64>>> {
        Ok(self.optional_integer_array(index)?.map(|array| array.iter().copied().collect()))
    }

    pub(crate) fn optional_integer_array(&self, index: usize) -> Lowered<Option<&ArrayD<i64>>> {
        match self.input(index) {
            None => Ok(None),
            Some(Value::Integer(array)) => Ok(Some(array)),
            Some(Value::Constant(_)) => invalid(format!("its input {index} must be of integers")),
            Some(_) => unsupported(format!("its input {index} depends on the private input, but must be public")),
        }
    }

    pub(crate) fn integers(&self, index: usize) -> Lowered<Vec<i64>> {
        self.optional_integers(index)?.map_or_else(|| invalid(format!("it has no input {index}")), Ok)
    }

    /// The only integer of an input, 0 if it is absent.
    pub(crate) fn integers_or_zero(&self, index: usize) -> Lowered<i64> {
        match self.optional_integers(index)?.as_deref() {
            None => Ok(0),
            Some(&[value]) => Ok(value),
            Some(_) => invalid(format!("its input {index} must have one element")),
        }
    }

    /// Integers that are an attribute before some opset and an input from then on.
    pub(crate) fn integers_from(&self, attribute: &str, input: usize) -> Lowered<Option<Vec<i64>>> {
        match self.ints(attribute)? {
            Some(values) => Ok(Some(values)),
            None => self.optional_integers(input),
        }
    }

    fn attribute(&self, name: &str, kind: AttributeType) -> Lowered<Option<&AttributeProto>> {
        let found = self.node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name));
        match found {
            // Old files leave the type out.
            Some(attribute) if attribute.r#type.is_some_and(|t| t != kind && t != AttributeType::UNDEFINED) => {
                invalid(format!("attribute `{name}` is of the wrong type"))
            }
            found => Ok(found),
        }
    }

    pub(crate) fn int(&self, name: &str, default: i64) -> Lowered<i64> {
        Ok(self.optional_int(name)?.unwrap_or(default))
    }

    pub(crate) fn optional_int(&self, name: &str) -> Lowered<Option<i64>> {
        Ok(self.attribute(name, AttributeType::INT)?.map(|attribute| attribute.i.unwrap_or(0)))
    }

    pub(crate) fn float(&self, name: &str, default: f32) -> Lowered<f32> {
        let attribute = self.attribute(name, AttributeType::FLOAT)?;
        let value = attribute.map_or(default, |attribute| attribute.f.unwrap_or(0.0));
        if value.is_nan() { invalid(format!("attribute `{name}` is NaN")) } else { Ok(value) }
    }

    /// A real attribute that may be no number.
    pub(crate) fn float_or_nan(&self, name: &str) -> Lowered<Option<f32>> {
        Ok(self.attribute(name, AttributeType::FLOAT)?.map(|attribute| attribute.f.unwrap_or(0.0)))
    }

    pub(crate) fn ints(&self, name: &str) -> Lowered<Option<Vec<i64>>> {
        Ok(self.attribute(name, AttributeType::INTS)?.map(|attribute| attribute.ints.clone()))
    }

    pub(crate) fn floats(&self, name: &str) -> Lowered<Option<Vec<f32>>> {
        Ok(self.attribute(name, AttributeType::FLOATS)?.map(|attribute| attribute.floats.clone()))
    }

    pub(crate) fn strings(&self, name: &str) -> Lowered<Option<Vec<String>>> {
        Ok(self.attribute(name, AttributeType::STRINGS)?.map(|attribute| attribute.strings.clone()))
    }

    pub(crate) fn string(&self, name: &str, default: &str) -> Lowered<String> {
        let attribute = self.attribute(name, AttributeType::STRING)?;
        Ok(attribute.map_or_else(|| default.into(), |attribute| attribute.s.clone().unwrap_or_default()))
    }

    /// The weights of a graph that an attribute is.
    pub(crate) fn graph_attribute(&self, name: &str) -> Lowered<Option<&[TensorProto]>> {
        let attribute = self.attribute(name, AttributeType::GRAPH)?;
        Ok(attribute.and_then(|attribute| attribute.g.as_ref()).map(|graph| graph.initializer.as_slice()))
    }

    pub(crate) fn tensor_attribute(&self, name: &str) -> Lowered<Option<&TensorProto>> {
        Ok(self.attribute(name, AttributeType::TENSOR)?.and_then(|attribute| attribute.t.as_ref()))
    }

    /// The node's public integers of the attribute, not negative.
    pub(crate) fn sizes(&self, name: &str) -> Lowered<Option<Vec<usize>>> {
        let Some(values) = self.ints(name)? else { return Ok(None) };
        let sizes = values.iter().map(|&value| usize::try_from(value).ok());
        sizes.collect::<Option<_>>().map_or_else(|| invalid(format!("attribute `{name}` is negative")), |s| Ok(Some(s)))
    }
}
