//! Sequences and optional values: lists that are public, of values that need not be.

use rten_onnx::onnx::NodeProto;

use super::{Importer, Item};
use crate::arrays;
use crate::call::Call;
use crate::error::{Lowered, Problem, invalid, unsupported};
use crate::rules::place;
use crate::value::Value;

/// The operators of this file.
pub(super) const OPERATORS: [&str; 11] = [
    "SequenceConstruct",
    "SequenceEmpty",
    "SequenceAt",
    "SequenceInsert",
    "SequenceErase",
    "SequenceLength",
    "SplitToSequence",
    "ConcatFromSequence",
    "Optional",
    "OptionalGetElement",
    "OptionalHasElement",
];

fn sequence(item: Option<&Item>) -> Lowered<&[Value]> {
    match item {
        Some(Item::Sequence(values)) => Ok(values),
        _ => invalid("its input is not a sequence"),
    }
}

fn value(item: Option<&Item>) -> Lowered<Option<&Value>> {
    match item {
        None => Ok(None),
        Some(Item::Value(value)) => Ok(Some(value)),
        Some(Item::Sequence(_)) => invalid("its input is a sequence"),
    }
}

fn position(item: Option<&Item>) -> Lowered<Option<i64>> {
    match value(item)? {
        None => Ok(None),
        Some(Value::Integer(array)) if array.len() == 1 => Ok(array.first().copied()),
        Some(_) => unsupported("its place in a sequence depends on the input"),
    }
}

impl<'a> Importer<'a> {
    /// The results of an operator on sequences; none if it is another one.
    pub(super) fn on_sequences(&mut self, call: &Call<'_>, node: &'a NodeProto) -> Lowered<Option<Vec<Item>>> {
        let operator = call.operator();
        let reads = |name: &String| self.sequences.contains_key(name.as_str());
        if operator == "Identity" && node.input.iter().any(reads) {
            return Ok(Some(vec![self.item(&node.input[0])?]));
        }
        if !OPERATORS.contains(&operator) {
            let is_sequence = node.input.iter().any(reads);
            return if is_sequence { unsupported("it takes a sequence; use SequenceAt first") } else { Ok(None) };
        }
        let mut items = Vec::new();
        for name in &node.input {
            items.push(if name.is_empty() { None } else { Some(self.item(name)?) });
        }
        let at = |place: usize| items.get(place).and_then(Option::as_ref);
        let result = match operator {
            "SequenceConstruct" => {
                let values = items.iter().flatten().map(|item| value(Some(item)));
                Item::Sequence(values.collect::<Lowered<Vec<_>>>()?.into_iter().flatten().cloned().collect())
            }
            "SequenceEmpty" => Item::Sequence(Vec::new()),
            "SequenceLength" => Item::Value(Value::scalar(sequence(at(0))?.len() as i64)),
            "SequenceAt" => {
                let values = sequence(at(0))?;
                let index = position(at(1))?.unwrap_or(0);
                Item::Value(values[place(index, values.len())?].clone())
            }
            "SequenceInsert" => {
                let mut values = sequence(at(0))?.to_vec();
                let Some(new) = value(at(1))? else { return invalid("it inserts nothing") };
                // One place more than there are values.
                let index = position(at(2))?.unwrap_or(values.len() as i64);
                let index = if index < 0 { index.saturating_add(values.len() as i64) } else { index };
                values.insert(place(index, values.len() + 1)?, new.clone());
                Item::Sequence(values)
            }
            "SequenceErase" => {
                let mut values = sequence(at(0))?.to_vec();
                let index = position(at(1))?.unwrap_or(-1);
                values.remove(place(index, values.len())?);
                Item::Sequence(values)
            }
            "ConcatFromSequence" => {
                let values = sequence(at(0))?.to_vec();
                let rank = values.first().map_or(0, |value| value.shape().len());
                let axis = call.int("axis", 0)?;
                Item::Value(if call.int("new_axis", 0)? != 0 {
                    self.stacked(&values, arrays::axis(axis, rank + 1)?)?
                } else {
                    self.context.concat_values(&values, arrays::axis(axis, rank)?)?
                })
            }
            "SplitToSequence" => self.split(call)?,
            "OptionalHasElement" => Item::Value(Value::scalar(at(0).is_some().into())),
            _ => items.into_iter().flatten().next().ok_or_else(|| Problem::Invalid("it has no element".into()))?,
        };
        Ok(Some(vec![result]))
    }

    fn split(&mut self, call: &Call<'_>) -> Lowered<Item> {
        let value = call.required(0)?;
        let axis = arrays::axis(call.int("axis", 0)?, value.shape().len())?;
        let total = value.shape()[axis];
        let parts = match call.optional_integers(1)?.as_deref() {
            None => vec![1; total],
            Some(&[size]) if call.input(1).is_some_and(|split| split.shape().is_empty()) => {
                let size = arrays::size(size)?;
                if size == 0 {
                    return invalid("its parts have no elements");
                }
                (0..total.div_ceil(size)).map(|i| size.min(total - i * size)).collect()
            }
            Some(parts) => parts.iter().map(|&part| arrays::size(part)).collect::<Lowered<Vec<_>>>()?,
        };
        if parts.iter().try_fold(0usize, |sum, &part| sum.checked_add(part)) != Some(total) {
            return invalid("its parts do not make up the axis");
        }
        let keeps = call.input(1).is_some() || call.int("keepdims", 1)? != 0;
        let (mut start, mut values) = (0, Vec::new());
        for part in parts {
            let indices = self.context.range(start, start + part)?;
            let mut piece = self.context.gather_value(value, axis, &indices)?;
            if !keeps {
                let mut shape = piece.shape().to_vec();
                shape.remove(axis);
                piece = self.context.reshape_value(&piece, &shape)?;
            }
            values.push(piece);
            start += part;
        }
        Ok(Item::Sequence(values))
    }
}
