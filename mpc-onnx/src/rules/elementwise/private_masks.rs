//! Where a private mask puts −∞, for nodes that ask for it and for rows of nothing else, of which a softmax is no number; and where it
//! puts a number far below all scores, for rows of nothing else, of which a softmax is uniform.

use mpc_protocols::function::Function;
use ndarray::ArrayD;

use super::private_comparison::{compare, holds, not};
use crate::arrays;
use crate::call::Call;
use crate::context::{Context, Mark, Number, Swallowed, Whole};
use crate::error::{Lowered, unsupported};
use crate::rules::elementwise::masks::{MASK, SWALLOWING};
use crate::value::{Tensor, Value};

/// An operand, as far as it is such a number.
enum Side {
    Nowhere,
    Everywhere,
    /// Where this private Boolean is 1.
    At(Tensor),
    Unknown,
}

impl Number {
    pub(super) fn is(self, number: f32) -> bool {
        match self {
            Self::Infinite => number == f32::NEG_INFINITY,
            Self::Swallowing => number.is_finite() && number <= -SWALLOWING,
            Self::Replacing => number > -SWALLOWING && number <= MASK,
        }
    }
}

fn side(context: &Context, number: Number, value: &Value) -> Lowered<Side> {
    Ok(match value {
        Value::Node(x) => match context.hidden.get(&(x.id, number)) {
            None => Side::Nowhere,
            Some(None) => Side::Unknown,
            Some(Some(places)) => Side::At(places.clone()),
        },
        Value::Constant(constant) => {
            let array = constant.array();
            match array.iter().filter(|&&value| number.is(value)).count() {
                0 if number == Number::Infinite && array.iter().any(|value| value.is_infinite()) => Side::Unknown,
                0 => Side::Nowhere,
                count if count == array.len() && arrays::compact(array).len() == 1 => Side::Everywhere,
                _ => Side::Unknown,
            }
        }
        _ => Side::Nowhere,
    })
}

/// Notes where the result of a choice by a private condition is such a number.
pub(super) fn note_chosen(context: &mut Context, call: &Call<'_>, condition: &Tensor, y: &Tensor) -> Lowered<()> {
    for number in Number::ALL {
        let (yes, no) = (side(context, number, call.required(1)?)?, side(context, number, call.required(2)?)?);
        if !matches!((&yes, &no), (Side::Nowhere, Side::Nowhere)) {
            let places = chosen_privately(context, condition, &yes, &no)?;
            let places = match places {
                Some(places) if number != Number::Infinite => Some(beside_public(context, call, &places)?),
                other => other,
            };
            context.hidden.insert((y.id, number), places);
        }
    }
    Ok(())
}

/// Places without those of a public mask, beside whose numbers a choice and a maximum put the same ones and no sums.
fn beside_public(context: &mut Context, call: &Call<'_>, places: &Tensor) -> Lowered<Tensor> {
    let mut marks = call.inputs.iter().flatten().filter_map(|value| match value {
        Value::Node(x) => context.mark(x.id, Mark::Hidden),
        _ => None,
    });
    match marks.next().cloned() {
        Some(numbers) => context.scale_by(places, &numbers.mapv(|number| f32::from(u8::from(number == 0.0)))),
        None => Ok(places.clone()),
    }
}

fn chosen_privately(context: &mut Context, condition: &Tensor, yes: &Side, no: &Side) -> Lowered<Option<Tensor>> {
    let opposite = not(context, condition)?;
    let at = |context: &mut Context, side: &Side, own: &Tensor| match side {
        Side::At(places) => compare(context, "And", places, own).map(Some),
        Side::Everywhere => Ok(Some(own.clone())),
        Side::Nowhere | Side::Unknown => Ok(None),
    };
    let (of_yes, of_no) = (at(context, yes, condition)?, at(context, no, &opposite)?);
    Ok(match (of_yes, of_no) {
        (Some(yes), Some(no)) => Some(context.add(&yes, &no)?),
        (Some(places), None) if matches!(no, Side::Nowhere) => Some(places),
        (None, Some(places)) if matches!(yes, Side::Nowhere) => Some(places),
        _ => None,
    })
}

/// Notes where a result is such a number that is no choice by a private condition. `moved` applies the operator to other values in
/// place of its first operand.
pub(crate) fn note(
    context: &mut Context,
    call: &Call<'_>,
    results: &[Value],
    mut moved: impl FnMut(&mut Context, &Tensor) -> Lowered<Option<Vec<Value>>>,
) -> Lowered<()> {
    for number in Number::ALL {
        note_one(context, call, results, number, &mut moved)?;
    }
    Ok(())
}

fn note_one(
    context: &mut Context,
    call: &Call<'_>,
    results: &[Value],
    number: Number,
    moved: impl FnOnce(&mut Context, &Tensor) -> Lowered<Option<Vec<Value>>>,
) -> Lowered<()> {
    let is_noted = |value: &Value| matches!(value, Value::Node(x) if context.hidden.contains_key(&(x.id, number)));
    if !call.inputs.iter().flatten().any(is_noted) {
        return Ok(());
    }
    let places = match (call.operator(), call.inputs.as_slice()) {
        (operator @ ("Add" | "Sum" | "Sub"), [Some(left), Some(right)])
            if operator != "Sub" || number == Number::Swallowing =>
        {
            [added(context, number, left, right)?].into()
        }
        ("Max", [Some(Value::Node(x)), Some(limit)] | [Some(limit), Some(Value::Node(x))])
            if number == Number::Swallowing && matches!(side(context, number, limit)?, Side::Everywhere) =>
        {
            let places = context.hidden.get(&(x.id, number)).cloned().flatten();
            [places.map(|places| beside_public(context, call, &places)).transpose()?].into()
        }
        ("Where", [Some(Value::Integer(condition)), Some(yes), Some(no)]) => {
            [chosen(context, number, condition, [yes, no])?].into()
        }
        ("Where", _) => return Ok(()),
        ("Cast" | "CastLike", [Some(Value::Node(x)), ..]) => {
            [context.hidden.get(&(x.id, number)).cloned().flatten()].into()
        }
        (_, [Some(Value::Node(x)), ..]) => match context.hidden.get(&(x.id, number)).cloned().flatten() {
            None => Vec::new(),
            Some(places) => {
                let places = context.expand(&places, &x.shape)?;
                let moved = moved(context, &places)?.unwrap_or_default();
                moved.into_iter().map(|value| if let Value::Node(x) = value { Some(x) } else { None }).collect()
            }
        },
        _ => Vec::new(),
    };
    for (place, result) in results.iter().enumerate() {
        let Value::Node(y) = result else { continue };
        // A softmax has no infinite result, but what is no number may be one.
        let is_known = context.softmaxes.contains_key(&y.id) || context.is_typed(y.id);
        if !is_known && !context.hidden.contains_key(&(y.id, number)) {
            context.hidden.insert((y.id, number), places.get(place).cloned().flatten());
        }
    }
    Ok(())
}

fn added(context: &mut Context, number: Number, left: &Value, right: &Value) -> Lowered<Option<Tensor>> {
    // Of public addends the marks say it.
    let of = |value: &Value| if value.is_private() { side(context, number, value) } else { Ok(Side::Nowhere) };
    Ok(match (of(left)?, of(right)?) {
        // Where both swallow, the sum is another number.
        (Side::At(left), Side::At(right)) if number == Number::Infinite => Some(compare(context, "Or", &left, &right)?),
        (Side::At(places), Side::Nowhere) | (Side::Nowhere, Side::At(places)) if number != Number::Replacing => {
            Some(places)
        }
        _ => None,
    })
}

/// By a public condition: of one side alone, as the marks say it of a constant.
fn chosen(
    context: &mut Context,
    number: Number,
    condition: &ArrayD<i64>,
    [yes, no]: [&Value; 2],
) -> Lowered<Option<Tensor>> {
    let (own, other, taken) =
        if matches!(side(context, number, yes)?, Side::At(_)) { (yes, no, 1) } else { (no, yes, 0) };
    let is_other = matches!(other, Value::Node(x) if context.hidden.contains_key(&(x.id, number)));
    match side(context, number, own)? {
        Side::At(places) if !is_other => {
            let kept = condition.mapv(|is| f32::from(u8::from(i64::from(is != 0) == taken)));
            context.scale_by(&places, &kept).map(Some)
        }
        _ => Ok(None),
    }
}

/// Where a value is −∞ that a private mask may have made so, by this and public masks; none if none has.
pub(crate) fn infinities(context: &mut Context, x: &Tensor) -> Lowered<Option<Tensor>> {
    let places = match context.hidden.get(&(x.id, Number::Infinite)) {
        None => return Ok(None),
        Some(None) => {
            return unsupported(
                "what a private mask has left is not known here; ask right behind it, or behind the softmax",
            );
        }
        Some(Some(places)) => places.clone(),
    };
    let places = match context.mark(x.id, Mark::Hidden).cloned() {
        Some(numbers) if numbers.iter().any(|number| number.is_nan()) => {
            return unsupported("what a public mask has left is not known here; ask right behind it");
        }
        Some(numbers) => {
            let public = numbers.mapv(|number| f32::from(u8::from(number == f32::NEG_INFINITY)));
            let kept = context.scale_by(&places, &public.mapv(|is| 1.0 - is))?;
            context.offset_by(&kept, &public)?
        }
        None => places,
    };
    let places = context.expand(&places, &x.shape)?;
    Ok(Some(boolean(context, &places)))
}

/// Where a softmax is no number, as private masks have left nothing of its rows; none if none has.
pub(crate) fn undefined(context: &mut Context, y: &Tensor) -> Lowered<Option<Tensor>> {
    let Some((x, axis)) = context.softmaxes.get(&y.id).cloned() else { return Ok(None) };
    let Some(places) = infinities(context, &x)? else { return Ok(None) };
    let rows = full_rows(context, &places, axis)?;
    let rows = context.expand(&rows, &x.shape)?;
    let rows = context.reshape(&rows, &y.shape)?;
    Ok(Some(boolean(context, &rows)))
}

/// The rows of scores along an axis of which masks, a private one among them, leave nothing but their numbers; none if no mask does, as far
/// as it is known.
pub(crate) fn swallowed(context: &mut Context, x: &Tensor, axis: usize) -> Lowered<Option<Swallowed>> {
    let of = |number| context.hidden.get(&(x.id, number)).cloned().flatten();
    let Some(places) = of(Number::Swallowing).or_else(|| of(Number::Replacing)) else { return Ok(None) };
    let places = context.source(&places);
    let places = context.reshape(&places, &arrays::aligned(&places.shape, x.rank()))?;
    let Some(numbers) = context.mark(x.id, Mark::Hidden).cloned() else {
        let rows = full_rows(context, &places, axis)?;
        let weights = context.scale(&rows, 1.0 / x.shape[axis] as f32)?;
        return Ok(Some(Swallowed { rows, weights }));
    };
    if numbers.iter().any(|number| number.is_nan()) {
        return Ok(None);
    }
    let public = arrays::reshape(&numbers, &arrays::aligned(numbers.shape(), x.rank()))?;
    with_public(context, &places, public.mapv(|number| f32::from(u8::from(number != 0.0))), axis).map(Some)
}

/// Rows that a private and a public mask hide together: the places that only one of them has lowered are left.
fn with_public(context: &mut Context, places: &Tensor, public: ArrayD<f32>, axis: usize) -> Lowered<Swallowed> {
    if let Some((known, swallowed)) = context.swallowed.get(&(places.id, axis))
        && *known == public
    {
        return Ok(swallowed.clone());
    }
    let either = |context: &mut Context, both: f32| {
        let own = context.scale_by(places, &public.mapv(|is| 1.0 - (2.0 - both) * is))?;
        context.offset_by(&own, &public)
    };
    let (any, one) = (either(context, 1.0)?, either(context, 0.0)?);
    let rows = full_rows(context, &any, axis)?;
    // Of other rows nothing is taken, and the count may be 0.
    let count = context.sum(&one, &[axis])?;
    let count = context.subtract(&count, &rows)?;
    let count = context.offset(&count, 1.0)?;
    let part = context.function(&count, Function::PositiveReciprocal)?;
    let part = context.multiply(&part, &rows)?;
    let weights = context.multiply(&one, &part)?;
    let swallowed = Swallowed { rows, weights };
    context.swallowed.insert((places.id, axis), (public, swallowed.clone()));
    Ok(swallowed)
}

/// 1 for the rows along an axis of which each place is 1, else 0.
pub(crate) fn full_rows(context: &mut Context, places: &Tensor, axis: usize) -> Lowered<Tensor> {
    let places = context.source(places);
    if let Some(rows) = context.full_rows.get(&(places.id, axis)) {
        return Ok(rows.clone());
    }
    let count = context.sum(&places, &[axis])?;
    let above = context.offset(&count, 0.5 - places.shape[axis] as f32)?;
    let rows = context.function(&above, Function::Step)?;
    context.full_rows.insert((places.id, axis), rows.clone());
    Ok(rows)
}

fn boolean(context: &mut Context, x: &Tensor) -> Tensor {
    context.note_whole(x.id, Whole::Boolean);
    context.note_typed(x.id);
    x.clone()
}

/// The comparison of a value, −∞ in places, with constants, of which `seen` is that of what is finite.
pub(super) fn compared(
    context: &mut Context,
    operator: &str,
    x: &Tensor,
    limits: &ArrayD<f32>,
    seen: &ArrayD<i64>,
) -> Lowered<Option<Tensor>> {
    let Some(places) = infinities(context, x)? else { return Ok(None) };
    let hidden = limits.mapv(|limit| i64::from(holds(operator, f32::NEG_INFINITY, limit)));
    let change = arrays::zip(&hidden, seen, |&hidden, &seen| Ok((hidden - seen) as f32))?;
    let y = context.scale_by(&places, &arrays::compact(&change))?;
    let y = context.offset_by(&y, &arrays::compact(&seen.mapv(|is| is as f32)))?;
    Ok(Some(boolean(context, &y)))
}
