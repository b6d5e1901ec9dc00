//! Sums and products of tensors and constants of different shapes.

use mpc_nn::weights::MAX_WEIGHT;
use ndarray::ArrayD;

use super::{Context, Origin};
use crate::arrays;
use crate::error::{Lowered, unsupported};
use crate::value::{Constant, Tensor, Value};

/// A public value or a constant as real numbers.
pub(crate) fn real(value: &Value) -> Lowered<Constant> {
    match value {
        Value::Integer(array) => Ok(Constant::new(array.mapv(|value| value as f32))),
        Value::Constant(constant) => Ok(constant.clone()),
        _ => unsupported("an input depends on the private input, but must be a constant"),
    }
}

/// A constant that broadcasts to a tensor.
fn broadcast_to(value: &Value, x: &Tensor) -> Lowered<Constant> {
    let constant = real(value)?;
    arrays::broadcast(constant.array(), &x.shape)?;
    Ok(constant)
}

/// A constant, laid out for each element or channel of a tensor.
struct Channels {
    entries: ArrayD<f32>,
    channels: usize,
    inner: usize,
}

impl Context {
    /// Makes `constant`, which broadcasts to `shape`, one run of channels of a tensor of that shape.
    fn channels(&mut self, constant: &ArrayD<f32>, shape: &[usize]) -> Lowered<Channels> {
        let sizes = arrays::aligned(constant.shape(), shape.len());
        let constant = arrays::reshape(constant, &sizes)?;
        let Some(first) = sizes.iter().position(|&size| size > 1) else {
            let entries = arrays::reshape(&constant, &[1])?;
            return Ok(Channels { entries, channels: 1, inner: 1 });
        };
        let last = sizes.iter().rposition(|&size| size > 1).unwrap_or(first);
        // Gaps of size 1 within the run are filled by repetition.
        let full: Vec<usize> =
            (0..sizes.len()).map(|i| if (first..=last).contains(&i) { shape[i] } else { 1 }).collect();
        let channels = arrays::elements(&full)?;
        self.charge(channels)?;
        let entries = arrays::reshape(&arrays::broadcast(&constant, &full)?, &[channels])?;
        Ok(Channels { entries, channels, inner: shape[last + 1..].iter().product() })
    }

    /// x ⊙ c with broadcasting. One element is a public factor, more are private.
    pub(crate) fn scale_by(&mut self, x: &Tensor, c: &ArrayD<f32>) -> Lowered<Tensor> {
        let shape = arrays::broadcast_shape(&x.shape, c.shape())?;
        let x = self.expand(x, &shape)?;
        match only_element(c) {
            Some(factor) => self.scale(&x, factor),
            None => match self.origin(x.id) {
                // A multiple of another value: both factors at once.
                Some(Origin::Scaled(source, first)) if c.iter().all(|&value| (value * first).abs() <= MAX_WEIGHT) => {
                    let source = x.with_id(source);
                    self.scale_privately(&source, &c.mapv(|value| value * first))
                }
                _ => self.scale_privately(&x, c),
            },
        }
    }

    /// x ⊙ c for c that broadcasts to x, always private.
    pub(crate) fn scale_privately(&mut self, x: &Tensor, c: &ArrayD<f32>) -> Lowered<Tensor> {
        let Channels { entries, channels, inner } = self.channels(c, &x.shape)?;
        let name = self.name("scale");
        let y =
            self.emit_named(&name, &x.shape, |builder, name| builder.scale_channels(name, x.id, channels, inner))?;
        self.weight(format!("{name}.weight"), entries)?;
        Ok(y)
    }

    /// x + c with broadcasting. One element is a public value, more are private.
    pub(crate) fn offset_by(&mut self, x: &Tensor, c: &ArrayD<f32>) -> Lowered<Tensor> {
        let shape = arrays::broadcast_shape(&x.shape, c.shape())?;
        let x = self.expand(x, &shape)?;
        match only_element(c) {
            Some(value) => self.offset(&x, value),
            None => self.offset_privately(&x, c),
        }
    }

    /// x + c for c that broadcasts to x, always private.
    pub(crate) fn offset_privately(&mut self, x: &Tensor, c: &ArrayD<f32>) -> Lowered<Tensor> {
        let Channels { entries, channels, inner } = self.channels(c, &x.shape)?;
        let name = self.name("offset");
        let y =
            self.emit_named(&name, &x.shape, |builder, name| builder.offset_channels(name, x.id, channels, inner))?;
        self.weight(format!("{name}.bias"), entries)?;
        Ok(y)
    }

    /// x ⊙ factor with broadcasting, for a factor that is private, or the model owner's and broadcasts to x.
    pub(crate) fn scale_by_value(&mut self, x: &Tensor, factor: &Value) -> Lowered<Tensor> {
        match factor {
            Value::Node(factor) => self.multiply(x, factor),
            factor => self.scale_privately(x, broadcast_to(factor, x)?.array()),
        }
    }

    /// x + addend, as [`scale_by_value`](Self::scale_by_value).
    pub(crate) fn offset_by_value(&mut self, x: &Tensor, addend: &Value) -> Lowered<Tensor> {
        match addend {
            Value::Node(addend) => self.add(x, addend),
            addend => self.offset_privately(x, broadcast_to(addend, x)?.array()),
        }
    }

    /// x + y with broadcasting.
    pub(crate) fn add(&mut self, x: &Tensor, y: &Tensor) -> Lowered<Tensor> {
        let shape = arrays::broadcast_shape(&x.shape, &y.shape)?;
        let (x, y) = (self.expand(x, &shape)?, self.expand(y, &shape)?);
        if x.id == y.id {
            return self.scale(&x, 2.0);
        }
        let sum = self.emit("add", &shape, |builder, name| builder.add(name, x.id, y.id))?;
        self.note(sum.id, Origin::Sum(x.id, y.id));
        Ok(sum)
    }

    /// x − y with broadcasting.
    pub(crate) fn subtract(&mut self, x: &Tensor, y: &Tensor) -> Lowered<Tensor> {
        if let Some(variance) = self.written_variance(x, y)? {
            return Ok(variance);
        }
        let negative = self.scale(y, -1.0)?;
        self.add(x, &negative)
    }

    /// x ⊙ y with broadcasting, both private; products that are a known function of x become it.
    pub(crate) fn multiply(&mut self, x: &Tensor, y: &Tensor) -> Lowered<Tensor> {
        if x.id == y.id && x.shape == y.shape {
            return self.square(x);
        }
        for (x, y) in [(x, y), (y, x)] {
            if let Some(z) = self.recognised_norm(x, y)? {
                return Ok(z);
            }
        }
        if x.shape == y.shape {
            for (x, y) in [(x, y), (y, x)] {
                if let Some(z) = self.recognised(x, y)? {
                    return Ok(z);
                }
            }
            let (left, right) = (self.source(x), self.source(y));
            if left.shape == right.shape && left.shape != x.shape {
                let product = self.multiply(&left, &right)?;
                return self.expand(&product, &x.shape);
            }
        }
        let shape = arrays::broadcast_shape(&x.shape, &y.shape)?;
        let (x, y) = if x.shape == shape || y.shape != shape { (x, y) } else { (y, x) };
        let x = self.expand(x, &shape)?;
        let sizes = arrays::aligned(&y.shape, shape.len());
        // The factor needs no repetition behind its last axis that is not 1: one element of it is for a block.
        let kept = sizes.iter().rposition(|&size| size > 1).map_or(0, |last| last + 1);
        let full: Vec<usize> = (0..shape.len()).map(|i| if i < kept { shape[i] } else { 1 }).collect();
        let y = self.expand(y, &full)?;
        let product = self.emit("mul", &shape, |builder, name| builder.multiply(name, x.id, y.id))?;
        if x.shape == y.shape {
            self.note(product.id, Origin::Product(x.id, y.id));
        }
        Ok(product)
    }

    /// x / y with broadcasting, both private.
    pub(crate) fn divide(&mut self, x: &Tensor, y: &Tensor) -> Lowered<Tensor> {
        let shape = arrays::broadcast_shape(&x.shape, &y.shape)?;
        // Each divisor once.
        let y = &self.source(y);
        let z = if self.has_inverse(y) {
            let reciprocal = self.reciprocal(y)?;
            self.multiply(x, &reciprocal)?
        } else if let Some(quotient) = self.divided_by_roots(x, y)? {
            quotient
        } else {
            self.quotient(x, y, self.is_positive(y.id))?
        };
        self.expand(&z, &shape)
    }

    /// c / y with broadcasting, for private y.
    pub(crate) fn divide_constant(&mut self, c: &ArrayD<f32>, y: &Tensor) -> Lowered<Tensor> {
        let shape = arrays::broadcast_shape(c.shape(), &y.shape)?;
        let y = &self.source(y);
        // The rounding of a reciprocal is no more than that of the result, unless it is made larger.
        let z = if self.has_inverse(y) || c.iter().all(|value| value.abs() <= 1.0) {
            let reciprocal = self.reciprocal(y)?;
            self.scale_by(&reciprocal, c)?
        } else {
            let x = self.parameter(c)?;
            self.quotient(&x, y, self.is_positive(y.id))?
        };
        self.expand(&z, &shape)
    }

    /// x / y with broadcasting, at half the cost where y is known to be positive.
    pub(crate) fn quotient(&mut self, x: &Tensor, y: &Tensor, positive: bool) -> Lowered<Tensor> {
        let shape = arrays::broadcast_shape(&x.shape, &y.shape)?;
        let x = self.expand(x, &shape)?;
        // The axes along which divisors differ come first, so that each divisor is that of a block.
        let sizes = arrays::aligned(&y.shape, shape.len());
        let (own, others): (Vec<usize>, Vec<usize>) = (0..shape.len()).partition(|&axis| sizes[axis] > 1);
        let permutation = [own, others].concat();
        let x = self.transpose(&x, &permutation)?;
        let z = self.emit("div", &x.shape, |builder, name| builder.divide(name, x.id, y.id, positive))?;
        self.transpose(&z, &arrays::inverse(&permutation))
    }
}

fn only_element(array: &ArrayD<f32>) -> Option<f32> {
    if array.len() == 1 { array.first().copied() } else { None }
}
