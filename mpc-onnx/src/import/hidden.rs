//! Marks of public masks: the numbers that these put in the place of values, and where they leave no number, from a mask to all that reads
//! it.

use ndarray::{ArrayD, IxDyn};

use super::quantised::EXACT;
use super::{Importer, constants};
use crate::arrays;
use crate::call::Call;
use crate::context::{Mark, real};
use crate::error::Lowered;
use crate::rules;
use crate::value::Value;

/// The most elements of a value whose marks move with it.
const MAX_MOVED: usize = 1 << 22;

/// An element of an operand, as far as an import knows it.
#[derive(Clone, Copy)]
enum Known {
    /// A private number.
    Seen,
    /// The file's number, or NaN for one that is not known.
    Hidden(f32),
    Constant(f32),
}

impl Known {
    /// The mark of a value with this element.
    fn mark(self) -> f32 {
        if let Self::Hidden(number) = self { number } else { 0.0 }
    }

    fn negated(self) -> Self {
        match self {
            Self::Seen => Self::Seen,
            Self::Hidden(number) => Self::Hidden(-number),
            Self::Constant(number) => Self::Constant(-number),
        }
    }

    fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Seen, Self::Hidden(number) | Self::Constant(number))
            | (Self::Hidden(number) | Self::Constant(number), Self::Seen)
                if number.abs() >= rules::SWALLOWING =>
            {
                Self::Hidden(number)
            }
            (Self::Seen, Self::Hidden(_)) | (Self::Hidden(_), Self::Seen) => Self::Hidden(f32::NAN),
            (Self::Seen, _) | (_, Self::Seen) => Self::Seen,
            (Self::Constant(one), Self::Constant(other)) => Self::Constant(one + other),
            (Self::Hidden(one) | Self::Constant(one), Self::Hidden(other) | Self::Constant(other)) => {
                Self::Hidden(one + other)
            }
        }
    }

    fn times(self, other: Self) -> Self {
        match (self, other) {
            (Self::Hidden(number), Self::Constant(factor)) | (Self::Constant(factor), Self::Hidden(number)) => {
                Self::Hidden(number * factor)
            }
            (Self::Hidden(_), _) | (_, Self::Hidden(_)) => Self::Hidden(f32::NAN),
            _ => Self::Seen,
        }
    }

    fn largest(self, other: Self) -> Self {
        match (self, other) {
            (Self::Hidden(one) | Self::Constant(one), Self::Hidden(other) | Self::Constant(other)) => {
                Self::Hidden(if one.is_nan() || other.is_nan() { f32::NAN } else { one.max(other) })
            }
            _ => Self::Seen,
        }
    }

    /// One that is not a number if any of both is.
    fn joined(self, other: Self) -> Self {
        match (self.mark(), other.mark()) {
            (1.0, _) | (_, 1.0) => Self::Hidden(1.0),
            (0.0, 0.0) => Self::Seen,
            _ => Self::Hidden(f32::NAN),
        }
    }
}

impl Importer<'_> {
    /// Notes the marks of a node's results, as those of its operands and its constants make them.
    pub(super) fn note_hidden(&mut self, call: &Call<'_>, rule: rules::Rule, results: &[Value]) -> Lowered<()> {
        for mark in [Mark::Hidden, Mark::Undefined] {
            let is_marked = call.inputs.iter().flatten().any(|value| self.mark_of(value, mark).is_some());
            if !is_marked && (mark == Mark::Undefined || call.masking.sign == 0.0) {
                continue;
            }
            for (place, result) in results.iter().enumerate() {
                let Value::Node(y) = result else { continue };
                if self.context.mark(y.id, mark).is_some() {
                    continue;
                }
                if let Some(numbers) = self.marks(call, rule, mark, (place, &y.shape))?
                    && numbers.iter().any(|&number| number != 0.0)
                {
                    let numbers = arrays::compact(&numbers);
                    self.context.charge(numbers.len())?;
                    self.context.note_mark(y.id, mark, numbers);
                }
            }
        }
        Ok(())
    }

    /// Notes where a node's results are −∞ or swallow, as private masks among its operands make them.
    pub(super) fn note_private_masks(&mut self, call: &Call<'_>, rule: rules::Rule, results: &[Value]) -> Lowered<()> {
        let others = call.inputs.iter().skip(1).flatten();
        let is_moved = EXACT.contains(&call.operator()) && !others.into_iter().any(Value::is_private);
        rules::note_private_masks(&mut self.context, call, results, |context, places| {
            let mut inputs = call.inputs.clone();
            inputs[0] = Some(places.clone().into());
            is_moved.then(|| constants::apply(context, rule, &call.with(inputs))).transpose()
        })
    }

    fn mark_of(&self, value: &Value, mark: Mark) -> Option<&ArrayD<f32>> {
        if let Value::Node(x) = value { self.context.mark(x.id, mark) } else { None }
    }

    /// The marks of a result; none if it has none.
    fn marks(
        &mut self,
        call: &Call<'_>,
        rule: rules::Rule,
        mark: Mark,
        (place, shape): (usize, &[usize]),
    ) -> Lowered<Option<ArrayD<f32>>> {
        let operator = call.operator();
        let binary: Option<fn(Known, Known) -> Known> = match (operator, mark) {
            ("Add" | "Sum" | "Sub", Mark::Hidden) => Some(Known::plus),
            ("Mul" | "Div", Mark::Hidden) => Some(Known::times),
            ("Max", Mark::Hidden) => Some(Known::largest),
            ("Add" | "Sum" | "Sub" | "Mul" | "Div" | "Max" | "Min", Mark::Undefined) => Some(Known::joined),
            _ => None,
        };
        // The first opsets place the axes of the second operand.
        let is_placed = call.opset < 7 && call.optional_int("axis")?.is_some();
        if let Some(join) = binary.filter(|_| !is_placed) {
            return self.joined(call, mark, join).map(Some);
        }
        match operator {
            "Where" => self.chosen_marks(call, mark),
            "Concat" => self.concatenated(call, mark),
            "Pad" | "Scatter" | "ScatterElements" | "ScatterND" if mark == Mark::Hidden => {
                // Which number a mask has put there is not followed.
                let places = self.placed(call, rule)?;
                Ok(places.map(|places| places.mapv(|is| if is == 0.0 { 0.0 } else { f32::NAN })))
            }
            "Cast" | "CastLike" | "Identity" => Ok(self.mark_of(call.required(0)?, mark).cloned()),
            "Neg" if mark == Mark::Hidden => {
                Ok(self.mark_of(call.required(0)?, mark).map(|numbers| numbers.mapv(|n| -n)))
            }
            "Neg" => Ok(self.mark_of(call.required(0)?, mark).cloned()),
            _ if EXACT.contains(&operator) => self.moved_marks(call, rule, mark, place),
            // A quantisation changes numbers, but hides nothing else.
            _ if mark == Mark::Hidden => {
                let numbers = call.inputs.first().and_then(Option::as_ref).and_then(|value| self.mark_of(value, mark));
                let is_kept = matches!(operator, "QuantizeLinear" | "DequantizeLinear" | "QLinearAdd" | "QLinearWhere");
                let is_same = is_kept && call.input(0).is_some_and(|value| value.shape() == shape);
                Ok(numbers.filter(|_| is_same).map(|numbers| numbers.mapv(|n| if n == 0.0 { 0.0 } else { f32::NAN })))
            }
            _ => Ok(Some(ArrayD::from_elem(IxDyn(&[]), f32::NAN))),
        }
    }

    /// An operand, element by element.
    fn known(&self, call: &Call<'_>, value: &Value, mark: Mark) -> Lowered<ArrayD<Known>> {
        Ok(match value {
            Value::Node(x) => match self.context.mark(x.id, mark) {
                Some(numbers) => numbers.mapv(|n| if n == 0.0 { Known::Seen } else { Known::Hidden(n) }),
                None => ArrayD::from_elem(IxDyn(&[]), Known::Seen),
            },
            constant if mark == Mark::Hidden => {
                let hides = |number: f32| matches!(call.operator(), "Where" | "Concat") && call.masking.hides(number);
                let of = |&number: &f32| if hides(number) { Known::Hidden(number) } else { Known::Constant(number) };
                real(constant)?.array().map(of)
            }
            _ => ArrayD::from_elem(IxDyn(&[]), Known::Seen),
        })
    }

    fn joined(&mut self, call: &Call<'_>, mark: Mark, join: fn(Known, Known) -> Known) -> Lowered<ArrayD<f32>> {
        let mut all: Option<ArrayD<Known>> = None;
        for value in call.inputs.iter().flatten() {
            let own = self.known(call, value, mark)?;
            all = Some(match all {
                None => own,
                Some(all) => {
                    let own = match call.operator() {
                        "Sub" if mark == Mark::Hidden => own.mapv(Known::negated),
                        "Div" if mark == Mark::Hidden => own.mapv(|known| match known {
                            Known::Constant(divisor) => Known::Constant(divisor.recip()),
                            other => other,
                        }),
                        _ => own,
                    };
                    self.context.charge(arrays::elements(&arrays::broadcast_shape(all.shape(), own.shape())?)?)?;
                    arrays::zip(&all, &own, |&one, &other| Ok(join(one, other)))?
                }
            });
        }
        Ok(all.map_or_else(|| ArrayD::zeros(IxDyn(&[])), |all| all.mapv(Known::mark)))
    }

    /// A choice by a public condition; of a private one, what is known of both.
    fn chosen_marks(&mut self, call: &Call<'_>, mark: Mark) -> Lowered<Option<ArrayD<f32>>> {
        let (yes, no) = (self.known(call, call.required(1)?, mark)?, self.known(call, call.required(2)?, mark)?);
        let Value::Integer(condition) = call.required(0)? else {
            let both = |yes: &Known, no: &Known| {
                Ok(match (yes.mark(), no.mark()) {
                    (yes, no) if yes == no => yes,
                    (0.0, _) | (_, 0.0) if mark == Mark::Hidden => 0.0,
                    _ => f32::NAN,
                })
            };
            return arrays::zip(&yes, &no, both).map(Some);
        };
        let shape = arrays::broadcast_shape(yes.shape(), no.shape())?;
        let shape = arrays::broadcast_shape(condition.shape(), &shape)?;
        self.context.charge(arrays::elements(&shape)?.saturating_mul(3))?;
        let [yes, no] = [yes, no].map(|side| arrays::broadcast(&side.mapv(Known::mark), &shape));
        let (yes, no, condition) = (yes?, no?, arrays::broadcast(condition, &shape)?);
        let chosen = condition.iter().zip(yes.iter().zip(&no)).map(|(&is, (&yes, &no))| if is != 0 { yes } else { no });
        arrays::from_elements(&shape, chosen.collect()).map(Some)
    }

    fn concatenated(&mut self, call: &Call<'_>, mark: Mark) -> Lowered<Option<ArrayD<f32>>> {
        let mut parts = Vec::new();
        for value in call.inputs.iter().flatten() {
            self.context.charge(arrays::elements(value.shape())?)?;
            let marks = self.known(call, value, mark)?.mapv(Known::mark);
            parts.push(arrays::broadcast(&marks, value.shape())?);
        }
        let rank = parts.first().map_or(0, ArrayD::ndim);
        arrays::concat(arrays::axis(call.int("axis", 0)?, rank)?, &parts).map(Some)
    }

    /// The marks moved as the elements are; one that is not known for all if they are too many.
    fn moved_marks(
        &mut self,
        call: &Call<'_>,
        rule: rules::Rule,
        mark: Mark,
        place: usize,
    ) -> Lowered<Option<ArrayD<f32>>> {
        let value = call.required(0)?.clone();
        let Some(numbers) = self.mark_of(&value, mark).cloned() else { return Ok(None) };
        if arrays::elements(value.shape())? > MAX_MOVED || call.inputs[1..].iter().flatten().any(Value::is_private) {
            return Ok(Some(ArrayD::from_elem(IxDyn(&[]), f32::NAN)));
        }
        let mut inputs = call.inputs.clone();
        inputs[0] = Some(Value::constant(arrays::broadcast(&numbers, value.shape())?));
        // They are no constants of the network's.
        let budget = core::mem::replace(&mut self.context.budget, 4 * MAX_MOVED);
        let moved = constants::apply(&mut self.context, rule, &call.with(inputs));
        self.context.budget = budget;
        moved?.get(place).map(|moved| real(moved).map(|array| array.array().clone())).transpose()
    }
}
