//! Masks in front of a softmax: numbers so far below the others that a softmax makes 0 of them.

use mpc_nn::weights::MAX_WEIGHT;
use ndarray::{ArrayD, Axis};

use super::with_constant;
use crate::arrays;
use crate::call::{Call, Masking};
use crate::context::{Context, Number, Whole, real};
use crate::error::{Lowered, unsupported};
use crate::rules::rounding;
use crate::value::{Constant, Tensor, Value};

/// The number that −∞ in front of a softmax becomes.
pub(crate) const MASK: f32 = -1024.0;
/// The same in front of a maximum, whose values may be further apart than the scores of a softmax: there is room for a few of them.
pub(crate) const DEEP_MASK: f32 = -4096.0;
/// Numbers of this magnitude swallow what they are added to: 32-bit floats of it are 32 apart.
pub(crate) const SWALLOWING: f32 = (1u64 << 28) as f32;
/// The largest step of a quantisation that need not be rounded to in front of a softmax.
const FINE: f32 = 0.5;
/// The most masks that a value keeps apart from its scores.
const MAX_MASKS: usize = 8;

impl Masking {
    /// Whether a number hides what it is added to or takes the place of.
    pub(crate) fn hides(self, value: f32) -> bool {
        self.sign != 0.0 && self.sign * value <= self.floor
    }

    /// Whether masks take the place of values, which may be further apart than scores are, instead of lowering them.
    fn is_deep(self) -> bool {
        self.floor == DEEP_MASK
    }
}

/// −∞ and other entries of a mask that are large and negative, with its sign in a softmax, become what that takes to 0 all the
/// same; a sign of 0 is that of no mask.
pub(crate) fn masked(Masking { sign, floor }: Masking, constant: Constant) -> Constant {
    if sign != 0.0 && constant.array().iter().any(|&value| sign * value < floor) {
        return Constant::new(constant.array().mapv(|value| sign * (sign * value).max(floor)));
    }
    constant
}

/// The factor that makes a mask of what is 0 or more, as in (1 − m)·min, with the sign of what goes into a softmax.
pub(super) fn mask_factor(constant: &Value, Masking { sign, floor }: Masking) -> Option<f32> {
    let array = real(constant).ok()?;
    let first = array.array().first().map(|first| sign * first).filter(|&first| sign != 0.0 && first < floor)?;
    (array.array().len() == 1).then_some(first)
}

/// A mask made of what is 0 or more.
pub(super) fn product(context: &mut Context, call: &Call<'_>, x: &Tensor, constant: &Value) -> Lowered<Tensor> {
    let factor = mask_factor(constant, call.masking).unwrap_or(1.0);
    let Masking { sign, floor } = call.masking;
    let mask = if Number::Swallowing.is(factor) {
        let places = rounding::above_zero(context, x)?;
        let mask = context.scale(&places, sign * floor)?;
        context.hidden.insert((mask.id, Number::Swallowing), Some(places));
        mask
    } else {
        let mask = rounding::scaled_mask(context, x, factor, floor)?;
        context.scale(&mask, sign)?
    };
    note_alone(context, &mask);
    Ok(mask)
}

/// The operator of a private value and a constant, which may be a mask.
pub(super) fn beside_mask(
    context: &mut Context,
    call: &Call<'_>,
    operator: &str,
    x: &Tensor,
    constant: &Constant,
) -> Lowered<Tensor> {
    let sign = if operator == "Sub" { -call.masking.sign } else { call.masking.sign };
    let masking = Masking { sign, ..call.masking };
    // A factor makes a mask only of what is not below 0: of others it may be the opposite.
    let is_factor = operator == "Mul" && context.whole(x.id) != Some(Whole::Boolean);
    let near = if is_factor { constant.clone() } else { masked(masking, constant.clone()) };
    let has_hidden = || near.array().iter().any(|&value| masking.hides(value));
    let y = if masking.is_deep() && matches!(operator, "Add" | "Sub") && has_hidden() {
        let kept = near.array().mapv(|value| if masking.hides(value) { 0.0 } else { 1.0 });
        let seen = context.scale_by(x, &kept)?;
        with_constant(context, operator, &seen, &near)?
    } else {
        with_constant(context, operator, x, &near)?
    };
    match operator {
        "Add" => note_added(context, call, x, &y, near.array()),
        "Sub" => note_added(context, call, x, &y, &near.array().mapv(|value| -value)),
        _ => {}
    }
    Ok(y)
}

/// kept ⊙ x + rest ⊙ constant
pub(super) fn with_rest(
    context: &mut Context,
    call: &Call<'_>,
    x: &Tensor,
    kept: &ArrayD<f32>,
    rest: &ArrayD<f32>,
    constant: &Value,
) -> Lowered<Tensor> {
    let masking = call.masking;
    let constant = arrays::broadcast(masked(masking, real(constant)?).array(), rest.shape())?;
    // Where nothing of the constant is taken it may be infinite.
    let filled = rest.iter().zip(&constant).map(|(&rest, &value)| if rest > 0.0 { value } else { 0.0 });
    let filled = arrays::from_elements(rest.shape(), filled.collect())?;
    let is_mask = rest.iter().zip(&filled).all(|(&rest, &value)| rest == 0.0 || masking.sign * value == masking.floor);
    // In front of a softmax, what is far below need not be replaced, only lowered.
    let is_lowered = is_mask && masking.sign != 0.0 && !masking.is_deep();
    let y = if is_lowered { context.expand(x, rest.shape())? } else { context.scale_by(x, kept)? };
    let y = if filled.iter().all(|&value| value == 0.0) { y } else { context.offset_by(&y, &filled)? };
    if is_mask {
        note_added(context, call, x, &y, &filled);
    }
    Ok(y)
}

/// Notes the masks of y, a value and an addend: those of the value, and what hides of the addend.
pub(super) fn note_added(context: &mut Context, call: &Call<'_>, x: &Tensor, y: &Tensor, addend: &ArrayD<f32>) {
    let own = addend.mapv(|value| if call.masking.hides(value) { value } else { 0.0 });
    let own = own.iter().any(|&value| value != 0.0).then(|| [Value::constant(own)]);
    note(context, y, &[context.masks(x.id).map(<[_]>::to_vec), own.map(Vec::from)]);
}

/// Notes the masks of a sum of two values.
pub(super) fn note_sum(context: &mut Context, x: &Tensor, y: &Tensor, sum: &Tensor) {
    note(context, sum, &[x, y].map(|part| context.masks(part.id).map(<[_]>::to_vec)));
}

fn note(context: &mut Context, y: &Tensor, parts: &[Option<Vec<Value>>; 2]) {
    let known: Vec<_> = parts.iter().flatten().flatten().cloned().collect();
    let is_known = parts.iter().flatten().all(|part| !part.is_empty()) && known.len() <= MAX_MASKS;
    if parts.iter().any(Option::is_some) {
        context.note_masks(y.id, if is_known { known } else { Vec::new() });
    }
}

/// Checks that a public mask leaves something of all that is compared along axes: the largest of nothing but masks is the file's number
/// for them, which no mask is here.
pub(crate) fn leaves_some(context: &mut Context, x: &Tensor, axes: &[usize]) -> Lowered<()> {
    for mask in context.masks(x.id).unwrap_or_default().to_vec() {
        let Value::Constant(mask) = mask else { continue };
        context.charge(x.len())?;
        let mut hidden = arrays::broadcast(mask.array(), &x.shape)?.mapv(|value| value.abs() >= -DEEP_MASK);
        for &axis in axes {
            hidden = hidden.map_axis(Axis(axis), |row| row.iter().all(|&is| is)).insert_axis(Axis(axis));
        }
        if hidden.iter().any(|&is| is) {
            return unsupported("the largest of nothing but masks; a mask must leave one element of each row");
        }
    }
    Ok(())
}

/// Notes that a value is nothing but a mask.
pub(crate) fn note_alone(context: &mut Context, mask: &Tensor) {
    context.note_masks(mask.id, [mask.clone().into()].into());
}

/// Whether a value is nothing but a mask.
pub(crate) fn is_alone(context: &Context, x: &Tensor) -> bool {
    matches!(context.masks(x.id), Some([Value::Node(mask)]) if mask.id == x.id)
}

/// Notes that the masks of a result of these operands are not known, if they have some and nothing is noted of it.
pub(crate) fn note_unknown(context: &mut Context, call: &Call<'_>, result: &Tensor) {
    let has_masks = |value: &Value| matches!(value, Value::Node(x) if context.masks(x.id).is_some());
    if context.masks(result.id).is_none() && call.inputs.iter().flatten().any(has_masks) {
        context.note_masks(result.id, Vec::new());
    }
}

/// x with a mask where the condition holds, or where it does not; in front of a softmax x is lowered there.
pub(super) fn lowered(
    context: &mut Context,
    call: &Call<'_>,
    condition: &Tensor,
    x: &Tensor,
    where_it_holds: bool,
) -> Lowered<Tensor> {
    let hiding = call.masking.sign * call.masking.floor;
    let mask = context.scale(condition, if where_it_holds { hiding } else { -hiding })?;
    let mask = if where_it_holds { mask } else { context.offset(&mask, hiding)? };
    note_alone(context, &mask);
    let seen = match (call.masking.is_deep(), where_it_holds) {
        (false, _) => x.clone(),
        (true, false) => context.multiply(x, condition)?,
        (true, true) => {
            let negative = context.scale(condition, -1.0)?;
            let kept = context.offset(&negative, 1.0)?;
            context.multiply(x, &kept)?
        }
    };
    let y = context.add(&seen, &mask)?;
    note_sum(context, x, &mask, &y);
    Ok(y)
}

/// Whether a constant hides all that it takes the place of.
pub(super) fn hides(call: &Call<'_>, value: &Value) -> bool {
    let hiding = |constant: Constant| constant.array().iter().all(|&value| call.masking.hides(value));
    !value.is_private() && call.masking.sign != 0.0 && real(value).is_ok_and(hiding)
}

/// A value in front of a softmax as a quantisation with a step leaves it: its scores are multiples of a step that is not fine,
/// its masks remain.
pub(crate) fn in_coarse_steps(context: &mut Context, x: &Tensor, step: f32) -> Lowered<Tensor> {
    if step <= FINE || is_alone(context, x) {
        return Ok(x.clone());
    }
    let masks = match context.masks(x.id) {
        Some([]) if step > -MASK / 2.0 => {
            return unsupported("steps of more than 512 before a softmax; quantise nothing between its masks and it");
        }
        masks => masks.unwrap_or_default().to_vec(),
    };
    let scores = masks.iter().try_fold(x.clone(), |y, mask| match mask {
        Value::Node(mask) => context.subtract(&y, mask),
        mask => context.offset_by(&y, &real(mask)?.array().mapv(|value| -value)),
    })?;
    // No score is as large as half of the largest steps.
    let mut y = context.scale(&scores, if step > MAX_WEIGHT { 0.0 } else { step.recip() })?;
    if step <= MAX_WEIGHT {
        // A third of what a rounding costs that knows which of two equally near numbers is even.
        let above = context.offset(&y, 0.5)?;
        let steps = rounding::floor(context, &above)?;
        y = context.scale(&steps, step)?;
    }
    masks.iter().try_fold(y, |y, mask| match mask {
        Value::Node(mask) => context.add(&y, mask),
        mask => context.offset_by(&y, real(mask)?.array()),
    })
}
