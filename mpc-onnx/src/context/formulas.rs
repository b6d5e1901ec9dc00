//! Formulas that exporters write out, and that have a protocol of their own.

use core::f32::consts::FRAC_1_SQRT_2;

use mpc_nn::NodeId;
use mpc_protocols::function::Function;

use super::{Context, Origin};
use crate::error::Lowered;
use crate::value::Tensor;

/// √(2/π)·(x + 0.044715·x³), of whose hyperbolic tangent an approximation of GELU is made, by powers of x.
const INNER: [f64; 4] = [0.0, 0.797_884_56, 0.0, 0.797_884_56 * 0.044_715];
/// How far a coefficient of a formula may be from that of its definition.
const NEAR: f64 = 1e-5;
/// The last place of a root that is not 0.
const NEXT_TO_0: f32 = 1.0 / 65_536.0;
/// The most that is added to a product of squared norms so that it is not 0.
pub(super) const NEXT_TO_PRODUCT: f32 = 1e-7;
/// Multiples of 1 over this are exact in fixed point.
const FEW_BITS: f32 = 65536.0;
/// The longest way back from a value to those that its formula begins with: a file may make one that doubles at every step.
const MAX_DEPTH: usize = 6;

impl Context {
    /// 1/x, at half the cost where x is known to be positive.
    pub(crate) fn reciprocal(&mut self, x: &Tensor) -> Lowered<Tensor> {
        self.once(x, |context, x| {
            if let Some(source) = context.exponent_beside_one(x) {
                let source = context.scale(&source, -1.0)?;
                return context.function(&source, Function::Sigmoid);
            }
            if let Some((source, least)) = context.below_root(x) {
                let source = context.offset(&source, least * least)?;
                let y = context.function(&source, Function::Power { exponent: -0.5 })?;
                return context.reshape(&y, &x.shape);
            }
            let is_positive = context.is_positive(x.id);
            context.function(x, if is_positive { Function::PositiveReciprocal } else { Function::Reciprocal })
        })
    }

    /// Whether x is a root, or next to one.
    pub(super) fn is_root(&self, x: &Tensor) -> bool {
        self.below_root(x).is_some()
    }

    /// Whether the reciprocal of x is another function of what x was made of.
    pub(super) fn has_inverse(&self, x: &Tensor) -> bool {
        self.is_root(x) || self.exponent_beside_one(x).is_some()
    }

    /// The value whose root it is, and the number next to 0, or 0, that the root is kept above or moved by: to a root that is not 0
    /// that makes as much difference as its square beside what is below the root.
    fn below_root(&self, x: &Tensor) -> Option<(Tensor, f32)> {
        let x = self.unshaped(x);
        let (root, least) = match self.origin(x.id)? {
            Origin::Function(root, Function::Clip { low, high: f32::INFINITY }) if low > 0.0 && low < NEXT_TO_0 => {
                (root, low)
            }
            // As in (x − mean) / (deviation + ε).
            Origin::Offset(root, least) if least > 0.0 && least < NEXT_TO_0 => (root, least),
            _ => (x.id, 0.0),
        };
        let root = self.unshaped(&x.with_id(root));
        match self.origin(root.id)? {
            Origin::Function(source, Function::Sqrt) => Some((root.with_id(source), least)),
            _ => None,
        }
    }

    /// Whether a value is known not to be below 0.
    pub(crate) fn is_positive(&self, id: NodeId) -> bool {
        self.is_positive_within(id, MAX_DEPTH)
    }

    fn is_positive_within(&self, id: NodeId, depth: usize) -> bool {
        let Some(left) = depth.checked_sub(1) else { return false };
        let part = |id| self.is_positive_within(id, left);
        match self.origin(id) {
            Some(Origin::SumOfExponentials) => true,
            Some(Origin::Function(_, function)) => match function {
                Function::Clip { low, .. } => low >= 0.0,
                _ => matches!(
                    function,
                    Function::Exp | Function::ExpNonPositive | Function::Abs | Function::Sigmoid | Function::Softplus
                ),
            },
            Some(Origin::Scaled(source, factor)) => factor > 0.0 && part(source),
            Some(Origin::Offset(source, value)) => value >= 0.0 && part(source),
            Some(Origin::Sum(left, right)) => part(left) && part(right),
            Some(Origin::Product(left, right)) => left == right,
            Some(Origin::SquaredNorm) => true,
            None => false,
        }
    }

    /// A function, as one that does the same where its argument is known not to be above 0: e^x at a small part of the cost, and 0
    /// where it is next to that.
    pub(super) fn known_below_zero(&self, id: NodeId, function: Function) -> Function {
        let is_known = function == Function::Exp && self.is_below_zero(id, MAX_DEPTH);
        if is_known { Function::ExpNonPositive } else { function }
    }

    fn is_below_zero(&self, id: NodeId, depth: usize) -> bool {
        let Some(left) = depth.checked_sub(1) else { return false };
        let part = |id| self.is_below_zero(id, left);
        match self.origin(id) {
            Some(Origin::Scaled(source, factor)) if factor < 0.0 => self.is_positive(source),
            Some(Origin::Scaled(source, _)) => part(source),
            Some(Origin::Offset(source, value)) => value <= 0.0 && part(source),
            Some(Origin::Sum(left, right)) => self.is_less_maximum(id) || part(left) && part(right),
            _ => false,
        }
    }

    /// Whether a value is what it is in the file but for the rounding of inputs: sums and multiples of these are, whatever fixed point
    /// they have.
    pub(crate) fn is_exact(&self, id: NodeId) -> bool {
        self.is_public || self.is_exact_within(id, MAX_DEPTH)
    }

    fn is_exact_within(&self, id: NodeId, depth: usize) -> bool {
        let Some(left) = depth.checked_sub(1) else { return false };
        let part = |id| self.is_exact_within(id, left);
        self.exact.contains(&id)
            || match self.origin(id) {
                Some(Origin::Scaled(source, factor)) => (factor * FEW_BITS).fract() == 0.0 && part(source),
                Some(Origin::Offset(source, _) | Origin::Function(source, Function::Abs)) => part(source),
                Some(Origin::Sum(left, right)) => part(left) && part(right),
                _ => false,
            }
    }

    /// √x; of a product of two squared norms, as cosines are written out, the product of the norms, which is neither as large nor as
    /// small.
    pub(crate) fn root(&mut self, x: &Tensor) -> Lowered<Tensor> {
        self.once(x, |context, x| {
            let product = context.product_next_to(x.id);
            let is_norm = |id| context.origin(id) == Some(Origin::SquaredNorm);
            match context.origin(product) {
                Some(Origin::Product(left, right)) if left != right && is_norm(left) && is_norm(right) => {
                    let left = context.function(&x.with_id(left), Function::Sqrt)?;
                    let right = context.function(&x.with_id(right), Function::Sqrt)?;
                    context.multiply(&left, &right)
                }
                Some(Origin::Product(left, right)) if product == x.id && left == right => {
                    context.function(&x.with_id(left), Function::Abs)
                }
                _ => match context.root_of_squares(x, Function::Sqrt)? {
                    Some(root) => {
                        // What divides by it looks for a root of x, not for a multiple of another one.
                        context.note(root.id, Origin::Function(x.id, Function::Sqrt));
                        Ok(root)
                    }
                    None => context.function(x, Function::Sqrt),
                },
            }
        })
    }

    /// x, or what next to nothing was added to.
    pub(super) fn product_next_to(&self, x: NodeId) -> NodeId {
        match self.origin(x) {
            Some(Origin::Offset(source, least)) if least > 0.0 && least <= NEXT_TO_PRODUCT => source,
            _ => x,
        }
    }

    /// ln x, without the large exponential where x is 1 + e^y.
    pub(crate) fn logarithm(&mut self, x: &Tensor) -> Lowered<Tensor> {
        self.once(x, |context, x| match context.exponent_beside_one(x) {
            Some(source) => context.function(&source, Function::Softplus),
            None => context.function(x, Function::Log),
        })
    }

    /// y, where x was made as 1 + e^y.
    fn exponent_beside_one(&self, x: &Tensor) -> Option<Tensor> {
        let Some(Origin::Offset(exponential, 1.0)) = self.origin(x.id) else { return None };
        let Some(Origin::Function(id, Function::Exp)) = self.origin(exponential) else { return None };
        Some(x.with_id(id))
    }

    /// x·y where y is such a function of x that the product has a name.
    pub(super) fn recognised(&mut self, x: &Tensor, y: &Tensor) -> Lowered<Option<Tensor>> {
        let product = match self.origin(y.id) {
            Some(Origin::Scaled(source, factor)) => {
                let source = Tensor { id: source, shape: y.shape.clone() };
                let Some(product) = self.recognised(x, &source)? else { return Ok(None) };
                return self.scale(&product, factor).map(Some);
            }
            Some(Origin::Function(source, Function::Sigmoid)) if source == x.id => Function::Silu,
            Some(Origin::Function(source, Function::Sigmoid)) => return self.recognised_swish(x, source),
            Some(Origin::Function(source, Function::HardSigmoid { alpha, beta }))
                if source == x.id && (alpha - 1.0 / 6.0).abs() < 1e-6 && beta == 0.5 =>
            {
                Function::HardSwish
            }
            Some(Origin::Function(source, Function::Tanh))
                if self.origin(source) == Some(Origin::Function(x.id, Function::Softplus)) =>
            {
                Function::Mish
            }
            Some(Origin::Offset(bent, 1.0)) => return self.recognised_gelu(x, bent),
            _ => return Ok(None),
        };
        self.function(x, product).map(Some)
    }

    /// x·sigmoid(y) where y is a multiple of x.
    fn recognised_swish(&mut self, x: &Tensor, y: NodeId) -> Lowered<Option<Tensor>> {
        match self.origin(y) {
            Some(Origin::Scaled(source, alpha)) if source == x.id => self.swish(x, alpha).map(Some),
            _ => Ok(None),
        }
    }

    /// x·sigmoid(α·x) = silu(α·x)/α.
    pub(crate) fn swish(&mut self, x: &Tensor, alpha: f32) -> Lowered<Tensor> {
        if alpha == 0.0 {
            return self.scale(x, 0.5);
        }
        let scaled = self.scale(x, alpha)?;
        let silu = self.function(&scaled, Function::Silu)?;
        self.scale(&silu, 1.0 / alpha)
    }

    /// x·(1 + b) = 2·gelu(x) where b is erf(x/√2), or a hyperbolic tangent near it; also for a multiple of x as the first factor.
    fn recognised_gelu(&mut self, x: &Tensor, bent: NodeId) -> Lowered<Option<Tensor>> {
        let Some(Origin::Function(inner, bend)) = self.origin(bent) else { return Ok(None) };
        let (gelu, polynomial) = match bend {
            Function::Erf => (Function::Gelu, [0.0, FRAC_1_SQRT_2.into(), 0.0, 0.0]),
            Function::Tanh => (Function::GeluTanh, INNER),
            _ => return Ok(None),
        };
        let scaled = match self.origin(x.id) {
            Some(Origin::Scaled(source, factor)) => Some((source, factor)),
            _ => None,
        };
        for (source, multiple) in [(x.id, 1.0)].into_iter().chain(scaled) {
            if self.is_polynomial(inner, source, polynomial) {
                let source = x.with_id(source);
                let gelu = self.function(&source, gelu)?;
                return self.scale(&gelu, 2.0 * multiple).map(Some);
            }
        }
        Ok(None)
    }

    fn is_polynomial(&self, id: NodeId, variable: NodeId, expected: [f64; 4]) -> bool {
        let found = self.polynomial(id, variable, MAX_DEPTH);
        found.is_some_and(|found| found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < NEAR))
    }

    /// The coefficients of a value as a polynomial of another one, of degree 3 at most; `depth` steps back at most.
    fn polynomial(&self, id: NodeId, variable: NodeId, depth: usize) -> Option<[f64; 4]> {
        if id == variable {
            return Some([0.0, 1.0, 0.0, 0.0]);
        }
        let part = |id| self.polynomial(id, variable, depth.checked_sub(1)?);
        match self.origin(id)? {
            Origin::Scaled(source, factor) => Some(part(source)?.map(|c| c * f64::from(factor))),
            Origin::Offset(source, value) => {
                let mut sum = part(source)?;
                sum[0] += f64::from(value);
                Some(sum)
            }
            Origin::Sum(left, right) => {
                let (left, right) = (part(left)?, part(right)?);
                Some(core::array::from_fn(|power| left[power] + right[power]))
            }
            Origin::Product(left, right) => product(part(left)?, part(right)?),
            Origin::Function(..) | Origin::SumOfExponentials | Origin::SquaredNorm => None,
        }
    }
}

/// The product of two polynomials, if its degree is 3 at most.
fn product(left: [f64; 4], right: [f64; 4]) -> Option<[f64; 4]> {
    let mut product = [0.0; 4];
    for (i, left) in left.into_iter().enumerate() {
        for (j, right) in right.into_iter().enumerate() {
            match product.get_mut(i + j) {
                Some(sum) => *sum += left * right,
                None if left * right == 0.0 => {}
                None => return None,
            }
        }
    }
    Some(product)
}
