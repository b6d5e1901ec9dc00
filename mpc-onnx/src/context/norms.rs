//! Normalisations by a root of squares, which make small values larger: these keep more bits than others before they are.

use mpc_nn::NodeId;
use mpc_protocols::function::Function;

use super::{Context, Origin, reduced};
use crate::arrays;
use crate::error::Lowered;
use crate::value::Tensor;

/// The fractional bits beyond f of values that are made larger.
pub(crate) const FINER: u32 = 6;
/// The same for what is squared, where there is room for its squares.
const FINER_SQUARE: u32 = 2;
/// The most constants that are added to squares below a root, or scale them.
const MAX_CONSTANTS: usize = 4;

/// c·(x − mean), and 1 / (c·√(variance + ε)) for a c from 1/2 to 1.
pub(crate) struct Standardised {
    pub(crate) centred: Tensor,
    pub(crate) root: Tensor,
    pub(crate) part: f32,
}

/// A sum or mean over axes.
#[derive(Clone)]
pub(super) struct Reduction {
    pub(super) source: Tensor,
    pub(super) axes: Vec<usize>,
    pub(super) is_mean: bool,
}

impl Reduction {
    /// Whether a value of this shape, with the elements of the result, stands beside the elements that each is made of.
    fn is_beside(&self, shape: &[usize]) -> bool {
        let kept = reduced(&self.source.shape, &self.axes);
        shape.len() <= kept.len() && arrays::aligned(shape, kept.len()) == kept
    }
}

impl Context {
    /// The centred values over axes, and the root that they are multiplied by.
    pub(crate) fn standardised(&mut self, x: &Tensor, axes: &[usize], epsilon: f32) -> Lowered<Standardised> {
        let count: usize = axes.iter().map(|&axis| x.shape[axis]).product();
        // With c = count / 2^m, c·x and the sum over 2^m are exact, so that x is rounded once, as it is centred.
        let (power, sum) = (count.next_power_of_two() as f32, self.sum(x, axes)?);
        let part = count as f32 / power;
        let (scaled, mean) = (self.scale(x, part)?, self.scale(&sum, 1.0 / power)?);
        // Squares have no room for the bits of what the root is multiplied by: each is rounded for itself, in one round.
        let [centred, squared] = [FINER, FINER_SQUARE].map(|finer| {
            let centred = self.subtract(&scaled, &mean)?;
            self.rounded(&centred, finer)
        });
        let squares = self.square(&squared?)?;
        let variance = self.mean(&squares, axes)?;
        let root = self.inverse_root(&variance, part * part * epsilon)?;
        Ok(Standardised { centred: centred?, root, part })
    }

    /// x and 1 / √(mean of x² + ε) over axes, or with their sum, which are to be multiplied.
    pub(crate) fn by_root_of_squares(
        &mut self,
        x: &Tensor,
        axes: &[usize],
        epsilon: f32,
        is_mean: bool,
    ) -> Lowered<[Tensor; 2]> {
        let (wide, squared) = (self.rounded(x, FINER)?, self.rounded(x, FINER_SQUARE)?);
        let squares = self.square(&squared)?;
        let squares = if is_mean { self.mean(&squares, axes)? } else { self.sum(&squares, axes)? };
        Ok([wide, self.inverse_root(&squares, epsilon)?])
    }

    pub(super) fn note_reduction(&mut self, y: &Tensor, source: &Tensor, axes: &[usize], is_mean: bool) {
        if matches!(self.origin(source.id), Some(Origin::Product(left, right)) if left == right) {
            self.note(y.id, Origin::SquaredNorm);
        }
        let (source, axes) = (source.clone(), axes.to_vec());
        self.reductions.insert(y.id, Reduction { source, axes, is_mean });
    }

    fn inverse_root(&mut self, x: &Tensor, epsilon: f32) -> Lowered<Tensor> {
        let x = self.offset(x, epsilon)?;
        self.function(&x, Function::Power { exponent: -0.5 })
    }

    /// x·y where y is 1 / √(c·(mean or sum of x² + ε)), written out; x may be what is left of a value without its mean.
    pub(super) fn recognised_norm(&mut self, x: &Tensor, y: &Tensor) -> Lowered<Option<Tensor>> {
        let y = self.source(y);
        let Some((reduction, epsilon, factor)) = self.squares_below(&y) else { return Ok(None) };
        if !reduction.is_beside(&y.shape) {
            return Ok(None);
        }
        let y = self.by_norm(x, reduction, epsilon)?;
        y.map(|y| self.scale(&y, factor.sqrt().recip())).transpose()
    }

    /// x / √(mean or sum of x² + ε)
    fn by_norm(&mut self, x: &Tensor, reduction: Reduction, epsilon: f32) -> Lowered<Option<Tensor>> {
        let Some(Origin::Product(squared, other)) = self.origin(reduction.source.id) else { return Ok(None) };
        if squared != other || reduction.source.shape != x.shape {
            return Ok(None);
        }
        let Reduction { axes, is_mean, .. } = reduction;
        if let Some(whole) = self.centred_of(x.id, &axes).filter(|_| is_mean)
            && (squared == x.id || self.centred_of(squared, &axes) == Some(whole))
        {
            let whole = x.with_id(whole);
            let Standardised { centred, root, .. } = self.standardised(&whole, &axes, epsilon)?;
            return self.multiply(&centred, &root).map(Some);
        }
        if squared != x.id {
            return Ok(None);
        }
        let [wide, root] = self.by_root_of_squares(x, &axes, epsilon, is_mean)?;
        self.multiply(&wide, &root).map(Some)
    }

    /// The sum or mean that a value is the inverse root of, the constant that is added to it, and the factor on both. A variance
    /// with the count less 1 as its divisor is a mean with a factor.
    fn squares_below(&self, x: &Tensor) -> Option<(Reduction, f32, f32)> {
        let root = self.unshaped(x);
        let Some(Origin::Function(mut below, Function::Power { exponent: -0.5 })) = self.origin(root.id) else {
            return None;
        };
        let (mut offset, mut factor) = (0.0, 1.0);
        for _ in 0..MAX_CONSTANTS {
            below = self.unshaped(&root.with_id(below)).id;
            match self.origin(below) {
                Some(Origin::Offset(source, value)) => (below, offset) = (source, offset + factor * value),
                Some(Origin::Scaled(source, value)) if value > 0.0 => (below, factor) = (source, factor * value),
                _ => break,
            }
        }
        let mut reduction = self.reductions.get(&below)?.clone();
        let Reduction { source, axes, is_mean } = &mut reduction;
        if !*is_mean && factor != 1.0 {
            factor *= axes.iter().map(|&axis| source.shape[axis]).product::<usize>() as f32;
            *is_mean = true;
        }
        Some((reduction, offset / factor, factor))
    }

    /// The value that the mean over axes was taken off.
    fn centred_of(&self, id: NodeId, axes: &[usize]) -> Option<NodeId> {
        let Some(Origin::Sum(whole, negative)) = self.origin(id) else { return None };
        let negative = self.repeats.get(&negative)?;
        let Some(Origin::Scaled(mean, -1.0)) = self.origin(self.unshaped(negative).id) else { return None };
        let reduction = self.reductions.get(&self.unshaped(&negative.with_id(mean)).id)?;
        let is_own = reduction.is_mean && reduction.source.id == whole && reduction.axes == axes;
        (is_own && reduction.is_beside(&negative.shape)).then_some(whole)
    }
}
