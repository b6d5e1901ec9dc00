//! Quotients, rounded, and remainders: of whole numbers they are exact.
//!
//! A quotient is rounded to fixed point, which takes one that is a whole number to next to one. So it is rounded down first, and is
//! one too large or too small where what is left of the dividend is below 0, or as large as the divisor.

use mpc_protocols::function::Function;
use ndarray::ArrayD;

use super::sign_of;
use crate::arrays;
use crate::context::{Context, Origin, real};
use crate::error::{Lowered, invalid};
use crate::rules::choice::are_whole;
use crate::value::{Constant, Tensor, Value};

/// As far below a multiple of the divisor a rest is taken for it: so much of a dividend is lost where it is computed.
const NEAR: f32 = 1.0 / 16384.0;

/// A divisor: public, or private.
pub(in crate::rules) enum Divisor<'a> {
    Constant(&'a ArrayD<f32>),
    Tensor(&'a Tensor),
}

impl Divisor<'_> {
    fn is_whole(&self, context: &Context) -> bool {
        match self {
            Self::Constant(array) => are_whole(array),
            Self::Tensor(y) => context.whole(y.id).is_some(),
        }
    }

    /// Its signs, if it may be below 0, and its magnitude, which must not be 0 if it is public.
    fn parts(&self, context: &mut Context) -> Lowered<(Option<Operand>, Operand)> {
        Ok(match self {
            Self::Constant(array) if array.iter().any(|&y| y == 0.0) => return invalid("it divides by 0"),
            Self::Constant(array) => {
                let signs = array.iter().any(|&y| y < 0.0).then(|| Operand::Constant(array.mapv(f32::signum)));
                (signs, Operand::Constant(array.mapv(f32::abs)))
            }
            Self::Tensor(y) if context.is_positive(y.id) => (None, Operand::Tensor((*y).clone())),
            Self::Tensor(y) => {
                (Some(Operand::Tensor(sign_of(context, y)?)), Operand::Tensor(context.function(y, Function::Abs)?))
            }
        })
    }
}

enum Operand {
    Constant(ArrayD<f32>),
    Tensor(Tensor),
}

impl Operand {
    fn times(&self, context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
        match self {
            Self::Constant(array) => context.scale_by(x, array),
            Self::Tensor(y) => context.multiply(x, y),
        }
    }

    fn below(&self, context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
        match self {
            Self::Constant(array) => context.offset_by(x, &array.mapv(|y| -y)),
            Self::Tensor(y) => context.subtract(x, y),
        }
    }

    /// As far below a multiple of this a rest is taken for it.
    fn near(&self) -> f32 {
        match self {
            Self::Constant(array) => array.iter().fold(NEAR, |near, y| near.min(y / 4.0)),
            Self::Tensor(_) => NEAR,
        }
    }

    /// The quotient of x and this, which is positive.
    fn divides(&self, context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
        match self {
            Self::Constant(array) => context.scale_by(x, &array.mapv(f32::recip)),
            Self::Tensor(y) => context.quotient(x, y, true),
        }
    }
}

/// x with these signs.
fn turned(context: &mut Context, x: &Tensor, signs: Option<&Operand>) -> Lowered<Tensor> {
    signs.map_or_else(|| Ok(x.clone()), |signs| signs.times(context, x))
}

/// The quotient of x and a positive y, rounded down, and the rest.
fn divided(context: &mut Context, x: &Tensor, y: &Operand, is_whole: bool) -> Lowered<(Tensor, Tensor)> {
    let quotient = y.divides(context, x)?;
    rounded_down(context, x, y, &quotient, is_whole)
}

/// The quotient of x and a positive y, which is known but for its rounding, rounded down, and the rest. Whole numbers may be next
/// to one, as products of them are.
fn rounded_down(
    context: &mut Context,
    x: &Tensor,
    y: &Operand,
    quotient: &Tensor,
    is_whole: bool,
) -> Lowered<(Tensor, Tensor)> {
    let quotient = context.floor(quotient)?;
    let product = y.times(context, &quotient)?;
    let rest = context.subtract(x, &product)?;
    let upper = context.offset(&rest, if is_whole { 0.5 } else { y.near() })?;
    let not_below = context.function(&upper, Function::Step)?;
    let above = y.below(context, &upper)?;
    let is_above = context.function(&above, Function::Step)?;
    // 1 for a rest of y or more, −1 for one below 0.
    let sum = context.add(&not_below, &is_above)?;
    let change = context.offset(&sum, -1.0)?;
    let part = y.times(context, &change)?;
    Ok((context.add(&quotient, &change)?, context.subtract(&rest, &part)?))
}

/// The remainder, with the sign of the divisor, or of the dividend as C's `fmod` has it.
pub(in crate::rules) fn remainder(
    context: &mut Context,
    x: &Tensor,
    y: &Divisor<'_>,
    is_fmod: bool,
) -> Lowered<Tensor> {
    let is_whole = context.whole(x.id).is_some() && y.is_whole(context);
    let (signs, magnitude) = y.parts(context)?;
    let (rest, signs) = if is_fmod {
        let own = context.function(x, Function::Abs)?;
        let (_, rest) = divided(context, &own, &magnitude, is_whole)?;
        (rest, Some(Operand::Tensor(sign_of(context, x)?)))
    } else {
        let turned = turned(context, x, signs.as_ref())?;
        let (_, rest) = divided(context, &turned, &magnitude, is_whole)?;
        (rest, signs)
    };
    turned(context, &rest, signs.as_ref())
}

/// The quotient of whole numbers, rounded towards 0.
pub(in crate::rules) fn whole_quotient(context: &mut Context, x: &Tensor, y: &Divisor<'_>) -> Lowered<Tensor> {
    towards_zero(context, x, y, true)
}

fn towards_zero(context: &mut Context, x: &Tensor, y: &Divisor<'_>, is_whole: bool) -> Lowered<Tensor> {
    let (signs, magnitude) = y.parts(context)?;
    let own = context.function(x, Function::Abs)?;
    let (quotient, _) = divided(context, &own, &magnitude, is_whole)?;
    let sign = sign_of(context, x)?;
    let signed = context.multiply(&quotient, &sign)?;
    turned(context, &signed, signs.as_ref())
}

/// A quotient that is to be rounded.
pub(super) struct Quotient {
    dividend: Tensor,
    divisor: Value,
    /// Its value in fixed point.
    value: Tensor,
}

impl Quotient {
    /// A value as a quotient that it is known to be, or as the sum of one and a number.
    pub(super) fn find(context: &mut Context, x: &Tensor) -> Lowered<Option<Self>> {
        let known = |id| context.quotients.get(&id).cloned();
        if let Some((dividend, divisor)) = known(x.id) {
            return Ok(Some(Self { dividend, divisor, value: x.clone() }));
        }
        let Some(Origin::Offset(source, number)) = context.origin(x.id) else { return Ok(None) };
        let Some((dividend, divisor)) = known(source) else { return Ok(None) };
        Self { dividend, divisor, value: x.with_id(source) }.plus(context, number).map(Some)
    }

    /// −q
    pub(super) fn negative(&self, context: &mut Context) -> Lowered<Self> {
        let (dividend, value) = (context.scale(&self.dividend, -1.0)?, context.scale(&self.value, -1.0)?);
        Ok(Self { dividend, divisor: self.divisor.clone(), value })
    }

    /// q + number
    pub(super) fn plus(&self, context: &mut Context, number: f32) -> Lowered<Self> {
        let dividend = match &self.divisor {
            Value::Node(y) => {
                let part = context.scale(y, number)?;
                context.add(&self.dividend, &part)?
            }
            y => context.offset_by(&self.dividend, &real(y)?.array().mapv(|y| y * number))?,
        };
        Ok(Self { dividend, divisor: self.divisor.clone(), value: context.offset(&self.value, number)? })
    }

    pub(super) fn floor(&self, context: &mut Context) -> Lowered<Tensor> {
        self.with_divisor(context, |context, y| {
            let is_whole = context.whole(self.dividend.id).is_some() && y.is_whole(context);
            let (signs, magnitude) = y.parts(context)?;
            let dividend = turned(context, &self.dividend, signs.as_ref())?;
            rounded_down(context, &dividend, &magnitude, &self.value, is_whole).map(|(quotient, _)| quotient)
        })
    }

    pub(super) fn towards_zero(&self, context: &mut Context) -> Lowered<Tensor> {
        self.with_divisor(context, |context, y| {
            let is_whole = context.whole(self.dividend.id).is_some() && y.is_whole(context);
            towards_zero(context, &self.dividend, y, is_whole)
        })
    }

    fn with_divisor(
        &self,
        context: &mut Context,
        make: impl FnOnce(&mut Context, &Divisor<'_>) -> Lowered<Tensor>,
    ) -> Lowered<Tensor> {
        match &self.divisor {
            Value::Node(y) => make(context, &Divisor::Tensor(y)),
            y => make(context, &Divisor::Constant(real(y)?.array())),
        }
    }
}

/// The whole numbers that a product with constants divides by, as 5 for 0.2.
pub(in crate::rules) fn divisors(factors: &ArrayD<f32>) -> Option<Constant> {
    let divisor = |factor: f32| factor.recip().round();
    let is_inverse = |factor: f32| divisor(factor).abs() > 1.0 && factor * divisor(factor) == 1.0;
    arrays::all(factors, is_inverse).then(|| Constant::new(factors.mapv(divisor)))
}
