//! Normalisations by a root of squares, which make small values larger: these keep more bits than others before they are.

use mpc_nn::NodeId;
use mpc_protocols::function::Function;

use super::formulas::NEXT_TO_PRODUCT;
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

/// A divisor that is larger than this keeps enough bits.
const LARGE: f32 = 1.0 / 64.0;

/// c·(x − mean), and 1 / (c·√(variance + ε)) for a c from 1/2 to 1.
pub(crate) struct Standardised {
    pub(crate) centred: Tensor,
    pub(crate) root: Tensor,
    pub(crate) part: f32,
}

/// One value of many.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    Sum,
    Mean,
    Maximum,
}

/// A sum, a mean or the largest over axes.
#[derive(Clone)]
pub(super) struct Reduction {
    source: Tensor,
    axes: Vec<usize>,
    fold: Fold,
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

    pub(super) fn note_reduction(&mut self, y: &Tensor, source: &Tensor, axes: &[usize], fold: Fold) {
        if matches!(self.origin(source.id), Some(Origin::Product(left, right)) if left == right) {
            self.note(y.id, Origin::SquaredNorm);
        }
        let (source, axes) = (source.clone(), axes.to_vec());
        self.reductions.insert(y.id, Reduction { source, axes, fold });
    }

    /// Notes that y has the largest elements of x over axes.
    pub(crate) fn note_maximum(&mut self, y: &Tensor, x: &Tensor, axes: &[usize]) {
        let (largest, source, axes) = (self.unshaped(y).id, x.clone(), axes.to_vec());
        if largest != self.unshaped(x).id {
            self.reductions.entry(largest).or_insert(Reduction { source, axes, fold: Fold::Maximum });
        }
    }

    /// Whether a value is a sum or mean of squares, which is never below 0.
    pub(crate) fn is_squared_norm(&self, x: &Tensor) -> bool {
        self.origin(x.id) == Some(Origin::SquaredNorm)
    }

    /// Notes that a sum over its number of elements is a mean.
    pub(super) fn note_mean(&mut self, y: &Tensor, x: &Tensor, factor: f32) {
        let Some(sum) = self.reductions.get(&x.id).filter(|sum| sum.fold == Fold::Sum) else { return };
        let count: usize = sum.axes.iter().map(|&axis| sum.source.shape[axis]).product();
        if (factor * count as f32 - 1.0).abs() < 1e-6 {
            let mean = Reduction { fold: Fold::Mean, ..sum.clone() };
            self.reductions.insert(y.id, mean);
        }
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
        let Reduction { axes, fold, .. } = reduction;
        let is_mean = fold == Fold::Mean;
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
        let Some(Origin::Function(below, Function::Power { exponent: -0.5 })) = self.origin(root.id) else {
            return None;
        };
        let (below, offset, mut factor) = self.below_constants(&root.with_id(below));
        let mut reduction = self.reductions.get(&below.id).filter(|reduction| reduction.fold != Fold::Maximum)?.clone();
        let Reduction { source, axes, fold } = &mut reduction;
        if *fold == Fold::Sum && factor != 1.0 {
            factor *= axes.iter().map(|&axis| source.shape[axis]).product::<usize>() as f32;
            *fold = Fold::Mean;
        }
        Some((reduction, offset / factor, factor))
    }

    /// The value y that x = c·y + b is made of, b and c.
    fn below_constants(&self, x: &Tensor) -> (Tensor, f32, f32) {
        let (mut below, mut offset, mut factor) = (self.unshaped(x), 0.0, 1.0);
        for _ in 0..MAX_CONSTANTS {
            let source = match self.origin(below.id) {
                Some(Origin::Offset(source, value)) => {
                    offset += factor * value;
                    source
                }
                Some(Origin::Scaled(source, value)) if value > 0.0 => {
                    factor *= value;
                    source
                }
                _ => break,
            };
            below = self.unshaped(&below.with_id(source));
        }
        (below, offset, factor)
    }

    /// √x or 1/√x for x = c·(mean or sum of squares) + b, with c behind the root: what is below it is not rounded.
    pub(super) fn root_of_squares(&mut self, x: &Tensor, function: Function) -> Lowered<Option<Tensor>> {
        let (squares, offset, factor) = self.below_constants(x);
        if self.origin(squares.id) != Some(Origin::SquaredNorm) {
            return Ok(None);
        }
        let squares = self.offset(&squares, offset / factor)?;
        let root = self.function(&squares, function)?;
        let root = self.reshape(&root, &x.shape)?;
        let factor = if function == Function::Sqrt { factor.sqrt() } else { factor.sqrt().recip() };
        self.scale(&root, factor).map(Some)
    }

    /// x / y for values of which fixed point would keep too few bits: for means or sums of squares by their roots, and for a product
    /// of two roots, as below a cosine, by the inverse of each.
    pub(super) fn divided_by_roots(&mut self, x: &Tensor, y: &Tensor) -> Lowered<Option<Tensor>> {
        if let Some([left, right]) = self.product_of_roots(y) {
            let (left, right) = (self.reciprocal(&left)?, self.reciprocal(&right)?);
            let x = self.rounded(x, FINER)?;
            let x = self.multiply(&x, &left)?;
            let x = self.rounded(&x, FINER)?;
            return self.multiply(&x, &right).map(Some);
        }
        // Less a number they may be below 0.
        let are_squares_and = |z: &Tensor, most: f32| {
            let (squares, offset, _) = self.below_constants(z);
            self.origin(squares.id) == Some(Origin::SquaredNorm) && (0.0..=most).contains(&offset)
        };
        if !are_squares_and(x, f32::MAX) || !are_squares_and(y, LARGE) {
            return Ok(None);
        }
        let root = self.root_of_squares(x, Function::Sqrt)?;
        let inverse = self.root_of_squares(y, Function::Power { exponent: -0.5 })?;
        let Some((root, inverse)) = root.zip(inverse) else { return Ok(None) };
        let root = self.multiply(&root, &inverse)?;
        let root = self.rounded(&root, FINER_SQUARE)?;
        self.square(&root).map(Some)
    }

    /// The factors of a product of two roots that is next to nothing larger.
    fn product_of_roots(&self, y: &Tensor) -> Option<[Tensor; 2]> {
        let product = match self.origin(y.id) {
            Some(Origin::Function(source, Function::Clip { low, high: f32::INFINITY })) if low <= NEXT_TO_PRODUCT => {
                source
            }
            _ => self.product_next_to(y.id),
        };
        let Some(Origin::Product(left, right)) = self.origin(product) else { return None };
        let factors = [left, right].map(|id| y.with_id(id));
        (left != right && factors.iter().all(|factor| self.is_root(factor))).then_some(factors)
    }

    /// The value that the mean over axes was taken off.
    fn centred_of(&self, id: NodeId, axes: &[usize]) -> Option<NodeId> {
        let reduction = self.taken_off(id)?;
        (reduction.fold == Fold::Mean && reduction.axes == axes).then_some(reduction.source.id)
    }

    /// Whether a value is another one that its largest element was taken off.
    pub(crate) fn is_less_maximum(&self, id: NodeId) -> bool {
        self.taken_off(id).is_some_and(|reduction| reduction.fold == Fold::Maximum)
    }

    /// The reduction of a value that was taken off itself.
    fn taken_off(&self, id: NodeId) -> Option<&Reduction> {
        let Some(Origin::Sum(whole, negative)) = self.origin(id) else { return None };
        let negative = self.repeats.get(&negative)?;
        let Some(Origin::Scaled(of, -1.0)) = self.origin(self.unshaped(negative).id) else { return None };
        let reduction = self.reductions.get(&self.unshaped(&negative.with_id(of)).id)?;
        (reduction.source.id == whole && reduction.is_beside(&negative.shape)).then_some(reduction)
    }

    /// The variance or covariance over axes, where x − y is written out as the mean of products less the product of means: their
    /// difference is far smaller than what both are rounded by.
    pub(super) fn written_variance(&mut self, x: &Tensor, y: &Tensor) -> Lowered<Option<Tensor>> {
        let (products, of_means) = (self.unshaped(x), self.unshaped(y));
        let Some(Reduction { source, axes, fold: Fold::Mean }) = self.reductions.get(&products.id).cloned() else {
            return Ok(None);
        };
        let (Some(Origin::Product(left, right)), Some(Origin::Product(mean, other))) =
            (self.origin(source.id), self.origin(of_means.id))
        else {
            return Ok(None);
        };
        let is_mean_of = |mean: NodeId, whole: NodeId| {
            let of = self.reductions.get(&self.unshaped(&of_means.with_id(mean)).id);
            of.is_some_and(|of| of.fold == Fold::Mean && of.source.id == whole && of.axes == axes)
        };
        let [mean, other] = if is_mean_of(mean, left) { [mean, other] } else { [other, mean] };
        if !is_mean_of(mean, left) || !is_mean_of(other, right) || x.shape != y.shape {
            return Ok(None);
        }
        let shape = reduced(&source.shape, &axes);
        let mut centred = Vec::new();
        for (whole, mean) in [(left, mean), (right, other)] {
            let mean = self.reshape(&of_means.with_id(mean), &shape)?;
            centred.push(self.subtract(&source.with_id(whole), &mean)?);
        }
        let products = if left == right { self.square(&centred[0])? } else { self.multiply(&centred[0], &centred[1])? };
        let variance = self.mean(&products, &axes)?;
        self.reshape(&variance, &x.shape).map(Some)
    }
}
