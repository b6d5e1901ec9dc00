//! Masks that are put beside values: parts of a concatenation, a border, updates of a scatter and what they are written into.

use mpc_nn::weights::MAX_WEIGHT;
use ndarray::ArrayD;

use super::{Importer, constants};
use crate::arrays;
use crate::call::{Call, Masking};
use crate::context::{Mark, Number, real};
use crate::error::Lowered;
use crate::rules;
use crate::value::{Constant, Value};

/// Whether an input of an operator that puts elements beside others has some of them.
pub(super) fn has_elements(operator: &str, place: usize) -> bool {
    match operator {
        "Concat" => true,
        "Pad" | "Scatter" | "ScatterElements" | "ScatterND" => matches!(place, 0 | 2),
        _ => false,
    }
}

/// Whether an operator puts what may be masks beside values, and no sums or products of them.
pub(super) fn puts_masks(call: &Call<'_>) -> bool {
    let is_large = |constant: &Constant| constant.array().iter().any(|value| value.abs() > MAX_WEIGHT);
    let is_mask = |(place, value): (usize, &Option<Value>)| {
        has_elements(call.operator(), place) && matches!(value, Some(Value::Constant(constant)) if is_large(constant))
    };
    let is_plain = call.string("reduction", "none").is_ok_and(|reduction| reduction == "none");
    is_plain && call.inputs.iter().enumerate().any(is_mask)
}

fn hides(masking: Masking, value: f32) -> bool {
    masking.sign * value < -MAX_WEIGHT
}

impl Importer<'_> {
    /// The inputs with masks that are in range.
    pub(super) fn limited(&mut self, call: &Call<'_>) -> Lowered<Option<Vec<Option<Value>>>> {
        let masking = call.masking;
        let is_private = call.inputs.iter().flatten().any(Value::is_private);
        if masking.sign == 0.0 || !is_private || !puts_masks(call) {
            return Ok(None);
        }
        let mut inputs = call.inputs.clone();
        for (place, input) in inputs.iter_mut().enumerate() {
            if let Some(Value::Constant(constant)) = input
                && has_elements(call.operator(), place)
            {
                self.context.charge(constant.array().len())?;
                let of = |value| if hides(masking, value) { masking.sign * masking.floor } else { value };
                *input = Some(Value::constant(constant.array().mapv(of)));
            }
        }
        Ok(Some(inputs))
    }

    /// Notes the masks of a result: those that were put beside values, if it is public where, and nothing else has some.
    pub(super) fn note_placed(&mut self, call: &Call<'_>, rule: rules::Rule, results: &[Value]) -> Lowered<()> {
        let Some(Value::Node(y)) = results.first() else { return Ok(()) };
        let has_masks = |value: &Value| matches!(value, Value::Node(x) if self.context.masks(x.id).is_some());
        let is_known = !call.inputs.iter().flatten().any(has_masks);
        let own = if is_known { self.placed(call, rule)? } else { None };
        if own.is_none() {
            for number in Number::ALL {
                self.context.hidden.insert((y.id, number), None);
            }
        }
        let mask = call.masking.sign * call.masking.floor;
        self.context.note_masks(y.id, own.map(|own| Value::constant(own * mask)).into_iter().collect());
        Ok(())
    }

    /// Notes the masks of what private places choose or put somewhere, of the inputs that the file has if they were limited.
    pub(super) fn note_chosen(
        &mut self,
        call: &mut Call<'_>,
        rule: rules::Rule,
        of_file: Option<Vec<Option<Value>>>,
        results: &[Value],
    ) -> Lowered<()> {
        if let Some(of_file) = of_file {
            call.inputs = of_file;
            self.note_placed(call, rule, results)?;
        }
        for result in results {
            if let Value::Node(y) = result {
                rules::note_unknown(&mut self.context, call, y);
            }
        }
        self.note_hidden(call, rule, results)?;
        self.note_private_masks(call, rule, results)
    }

    /// 1 where an operator puts a mask or what one has hidden, else 0; none if its places are private.
    pub(super) fn placed(&mut self, call: &Call<'_>, rule: rules::Rule) -> Lowered<Option<ArrayD<f32>>> {
        let mut inputs = call.inputs.clone();
        for (place, input) in inputs.iter_mut().enumerate() {
            let Some(value) = input.as_ref().filter(|value| !matches!(value, Value::Integer(_))) else { continue };
            if !has_elements(call.operator(), place) {
                return Ok(None);
            }
            self.context.charge(arrays::elements(value.shape())?)?;
            let is_hidden = |is: bool| f32::from(u8::from(is));
            let marked = match value {
                Value::Constant(constant) => constant.array().mapv(|value| is_hidden(hides(call.masking, value))),
                Value::Node(x) => match self.context.mark(x.id, Mark::Hidden) {
                    Some(numbers) => arrays::broadcast(&numbers.mapv(|number| is_hidden(number != 0.0)), &x.shape)?,
                    None => ArrayD::zeros(x.shape.as_slice()),
                },
                tokens => ArrayD::zeros(tokens.shape()),
            };
            *input = Some(Value::constant(marked));
        }
        let made = constants::apply(&mut self.context, rule, &call.with(inputs))?;
        made.first().map(|made| real(made).map(|array| array.array().clone())).transpose()
    }
}
