//! Normalisations.

use std::vec::Vec;

use mpc_protocols::function::Function;
use ndarray::ArrayD;

use crate::onnx::arrays;
use crate::onnx::call::Call;
use crate::onnx::error::{Lowered, Problem, invalid, unsupported};
use crate::onnx::lowering::Lowering;
use crate::onnx::value::{Constant, Tensor, Value, vector};

/// A batch normalisation as y = scale·x + shift for each channel.
#[derive(Clone)]
pub(in crate::onnx) struct Norm {
    scale: Constant,
    shift: Constant,
}

impl Norm {
    /// From the constants of a BatchNormalization node.
    pub(in crate::onnx) fn of(call: &Call<'_>) -> Lowered<Self> {
        if call.int("training_mode", 0)? != 0 {
            return unsupported("batch normalisation in training mode; export the model for inference");
        }
        if call.int("spatial", 1)? == 0 {
            return unsupported("batch normalisation of each element by itself");
        }
        let epsilon = f64::from(call.float("epsilon", 1e-5)?);
        let [scale, bias, mean, variance] = [1, 2, 3, 4].map(|index| call.constant(index));
        let (scale, bias, mean, variance) = (scale?, bias?, mean?, variance?);
        let channels = scale.array().len();
        if [&bias, &mean, &variance].iter().any(|constant| constant.array().len() != channels) {
            return invalid("its parameters differ in length");
        }
        let roots = variance.array().mapv(|variance| (f64::from(variance) + epsilon).sqrt());
        // A comparison with NaN is false.
        if !roots.iter().all(|&root| root > 0.0) {
            return invalid("a variance is not positive");
        }
        let scales: Vec<f64> = scale.array().iter().zip(&roots).map(|(&scale, root)| f64::from(scale) / root).collect();
        let offset = bias.array().iter().zip(mean.array()).zip(&scales);
        let shifts = offset.map(|((&bias, &mean), scale)| (f64::from(bias) - f64::from(mean) * scale) as f32);
        Ok(Self {
            shift: Constant::new(vector(shifts.collect())),
            scale: Constant::new(vector(scales.iter().map(|&scale| scale as f32).collect())),
        })
    }

    /// Scales a weight, whose element belongs to the output channel `channel(place, shape)`, and gives the new bias.
    pub(super) fn fold(
        &self,
        weight: &mut ArrayD<f32>,
        bias: Option<Vec<f32>>,
        channel: impl Fn(usize, &[usize]) -> usize,
    ) -> Lowered<Vec<f32>> {
        let (scale, shift) = (self.scale.array(), self.shift.array());
        let shape = weight.shape().to_vec();
        for (place, element) in weight.iter_mut().enumerate() {
            let Some(factor) = scale.get([channel(place, &shape)].as_slice()) else {
                return Err(Problem::Invalid(
                    "the batch normalisation behind it has another number of channels".into(),
                ));
            };
            *element *= factor;
        }
        let old = bias.unwrap_or_else(|| std::vec![0.0; scale.len()]);
        if old.len() != scale.len() {
            return invalid("the batch normalisation behind it has another number of channels");
        }
        Ok(old.iter().zip(scale.iter().zip(shift)).map(|(old, (scale, shift))| old * scale + shift).collect())
    }
}

pub(super) fn batch(lowering: &mut Lowering, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    if let Some(y) = with_private_statistics(lowering, call, x)? {
        return Ok([y.into()].into());
    }
    let norm = Norm::of(call)?;
    if (1..5).any(|output| call.is_used(output)) {
        return unsupported("the statistics of a batch normalisation");
    }
    if x.shape.get(1) != Some(&norm.scale.array().len()) {
        return invalid("it has another number of channels than its input");
    }
    let y = for_channels(lowering, x, &norm.scale, Some(&norm.shift))?;
    Ok([y.into()].into())
}

/// A batch normalisation by the statistics of the batch itself, as without running ones; `None` if it has constants.
fn with_private_statistics(lowering: &mut Lowering, call: &Call<'_>, x: &Tensor) -> Lowered<Option<Tensor>> {
    let epsilon = call.float("epsilon", 1e-5)?;
    let is_training = call.int("training_mode", 0)? != 0;
    if x.rank() < 2 || (1..5).any(|output| call.is_used(output)) {
        return Ok(None);
    }
    let y = match (call.input(3), call.input(4)) {
        _ if is_training => {
            let axes: Vec<usize> = (0..x.rank()).filter(|&axis| axis != 1).collect();
            normalised(lowering, x, &axes, epsilon)?
        }
        (Some(Value::Node(mean)), Some(Value::Node(variance))) => {
            let mut shape = std::vec![1; x.rank() - 1];
            shape[0] = x.shape[1];
            if mean.shape != shape[..1] || variance.shape != shape[..1] {
                return invalid("it has another number of channels than its input");
            }
            let (mean, variance) = (lowering.reshape(mean, &shape)?, lowering.reshape(variance, &shape)?);
            let centred = lowering.subtract(x, &mean)?;
            let variance = lowering.offset(&variance, epsilon)?;
            let root = lowering.function(&variance, Function::Power { exponent: -0.5 })?;
            lowering.multiply(&centred, &root)?
        }
        _ => return Ok(None),
    };
    let (scale, shift) = (call.constant(1)?, call.constant(2)?);
    for_channels(lowering, &y, &scale, Some(&shift)).map(Some)
}

/// scale ⊙ x + shift for each entry of axis 1.
fn for_channels(lowering: &mut Lowering, x: &Tensor, scale: &Constant, shift: Option<&Constant>) -> Lowered<Tensor> {
    let mut shape = std::vec![1; x.rank() - 1];
    shape[0] = x.shape[1];
    if scale.array().len() != shape[0] || shift.is_some_and(|shift| shift.array().len() != shape[0]) {
        return invalid("it has another number of channels than its input");
    }
    let y = lowering.scale_privately(x, &arrays::reshape(scale.array(), &shape)?)?;
    match shift {
        Some(shift) => lowering.offset_privately(&y, &arrays::reshape(shift.array(), &shape)?),
        None => Ok(y),
    }
}

/// (x − mean) / √(variance + ε) over axes.
fn normalised(lowering: &mut Lowering, x: &Tensor, axes: &[usize], epsilon: f32) -> Lowered<Tensor> {
    let mean = lowering.mean(x, axes)?;
    let centred = lowering.subtract(x, &mean)?;
    let root = inverse_root_mean_square(lowering, &centred, axes, epsilon)?;
    lowering.multiply(&centred, &root)
}

/// 1 / √(mean of x² + ε) over axes.
fn inverse_root_mean_square(lowering: &mut Lowering, x: &Tensor, axes: &[usize], epsilon: f32) -> Lowered<Tensor> {
    let squares = lowering.square(x)?;
    let variance = lowering.mean(&squares, axes)?;
    let variance = lowering.offset(&variance, epsilon)?;
    lowering.function(&variance, Function::Power { exponent: -0.5 })
}

pub(super) fn instance(lowering: &mut Lowering, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    if x.rank() < 3 {
        return invalid("its input has no spatial axis");
    }
    let axes: Vec<usize> = (2..x.rank()).collect();
    let y = normalised(lowering, x, &axes, call.float("epsilon", 1e-5)?)?;
    if let Some(y) = with_private_parameters(lowering, call, &y)? {
        return Ok([y.into()].into());
    }
    let (scale, shift) = (call.constant(1)?, call.constant(2)?);
    Ok([for_channels(lowering, &y, &scale, Some(&shift))?.into()].into())
}

/// scale ⊙ y + shift for each channel, where both depend on a private input.
fn with_private_parameters(lowering: &mut Lowering, call: &Call<'_>, y: &Tensor) -> Lowered<Option<Tensor>> {
    let (Some(Value::Node(scale)), Some(Value::Node(shift))) = (call.input(1), call.input(2)) else { return Ok(None) };
    let mut shape = std::vec![1; y.rank() - 1];
    shape[0] = y.shape[1];
    if scale.shape != shape[..1] || shift.shape != shape[..1] {
        return invalid("it has another number of channels than its input");
    }
    let (scale, shift) = (lowering.reshape(scale, &shape)?, lowering.reshape(shift, &shape)?);
    let y = lowering.multiply(y, &scale)?;
    lowering.add(&y, &shift).map(Some)
}

pub(super) fn group(lowering: &mut Lowering, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let groups = arrays::size(call.int("num_groups", 0)?)?;
    let &[n, channels, ref spatial @ ..] = x.shape.as_slice() else { return invalid("its input has no channels") };
    if groups == 0 || channels % groups != 0 {
        return invalid("its groups do not divide its channels");
    }
    let inner = channels / groups * spatial.iter().product::<usize>();
    let flat = lowering.reshape(x, &[n, groups, inner])?;
    let y = normalised(lowering, &flat, &[2], call.float("epsilon", 1e-5)?)?;
    let y = lowering.reshape(&y, &x.shape)?;
    if let Some(y) = with_private_parameters(lowering, call, &y)? {
        return Ok([y.into()].into());
    }
    let per_channel = |constant: Constant| -> Lowered<Constant> {
        // Before opset 21 there is an entry for each group.
        if constant.array().len() != groups || groups == channels {
            return Ok(constant);
        }
        let column = arrays::reshape(constant.array(), &[groups, 1])?;
        let spread = arrays::broadcast(&column, &[groups, channels / groups])?;
        Ok(Constant::new(arrays::reshape(&spread, &[channels])?))
    };
    let (scale, shift) = (per_channel(call.constant(1)?)?, per_channel(call.constant(2)?)?);
    Ok([for_channels(lowering, &y, &scale, Some(&shift))?.into()].into())
}

/// The last axes, from the one that the attribute names.
fn last_axes(call: &Call<'_>, x: &Tensor) -> Lowered<Vec<usize>> {
    Ok((arrays::axis(call.int("axis", -1)?, x.rank())?..x.rank()).collect())
}

fn scaled(lowering: &mut Lowering, call: &Call<'_>, y: Tensor) -> Lowered<Tensor> {
    let y = match call.input(1) {
        Some(Value::Node(scale)) => lowering.multiply(&y, scale)?,
        _ => {
            let scale = call.constant(1)?;
            arrays::broadcast(scale.array(), &y.shape)?;
            lowering.scale_privately(&y, scale.array())?
        }
    };
    match call.input(2) {
        None => Ok(y),
        Some(Value::Node(shift)) => lowering.add(&y, shift),
        Some(_) => {
            let shift = call.constant(2)?;
            arrays::broadcast(shift.array(), &y.shape)?;
            lowering.offset_privately(&y, shift.array())
        }
    }
}

pub(super) fn layer(lowering: &mut Lowering, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let (axes, epsilon) = (last_axes(call, x)?, call.float("epsilon", 1e-5)?);
    let mean = lowering.mean(x, &axes)?;
    let centred = lowering.subtract(x, &mean)?;
    let root = inverse_root_mean_square(lowering, &centred, &axes, epsilon)?;
    let y = lowering.multiply(&centred, &root)?;
    Ok([scaled(lowering, call, y)?.into(), mean.into(), root.into()].into())
}

pub(super) fn root_mean_square(lowering: &mut Lowering, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let root = inverse_root_mean_square(lowering, x, &last_axes(call, x)?, call.float("epsilon", 1e-5)?)?;
    let y = lowering.multiply(x, &root)?;
    Ok([scaled(lowering, call, y)?.into()].into())
}

pub(super) fn lp(lowering: &mut Lowering, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let axis = arrays::axis(call.int("axis", -1)?, x.rank())?;
    let y = match call.int("p", 2)? {
        1 => {
            let magnitudes = lowering.function(x, Function::Abs)?;
            let sum = lowering.sum(&magnitudes, &[axis])?;
            let reciprocal = lowering.function(&sum, Function::PositiveReciprocal)?;
            lowering.multiply(x, &reciprocal)?
        }
        2 => {
            let squares = lowering.square(x)?;
            let sum = lowering.sum(&squares, &[axis])?;
            // Far below the last place of fixed point; in floats it keeps 0 / 0 from being infinite.
            let sum = lowering.offset(&sum, 1e-12)?;
            let root = lowering.function(&sum, Function::Power { exponent: -0.5 })?;
            lowering.multiply(x, &root)?
        }
        p => return unsupported(std::format!("norms of order {p}; 1 and 2 are")),
    };
    Ok([y.into()].into())
}

pub(super) fn mean_variance(lowering: &mut Lowering, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let axes = arrays::axes(&call.ints("axes")?.unwrap_or_else(|| [0, 2, 3].to_vec()), x.rank())?;
    // ONNX adds 1e-9 to the standard deviation, far below what the private run can tell from 0.
    Ok([normalised(lowering, x, &axes, 1e-9)?.into()].into())
}
