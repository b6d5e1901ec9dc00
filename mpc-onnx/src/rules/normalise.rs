//! Normalisations.

use mpc_protocols::function::Function;

use crate::arrays;
use crate::call::Call;
use crate::context::{Context, FINER, Standardised, real};
use crate::error::{Lowered, invalid, unsupported};
use crate::norm::Norm;
use crate::value::{Constant, Tensor, Value, vector};

/// The constants of a BatchNormalization node as a scale and an offset for each channel.
pub(crate) fn norm_of(call: &Call<'_>) -> Lowered<Norm> {
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
    Ok(Norm {
        shift: Constant::new(vector(shifts.collect())),
        scale: Constant::new(vector(scales.iter().map(|&scale| scale as f32).collect())),
    })
}

pub(super) fn batch(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let is_private = (1..5).any(|place| call.input(place).is_some_and(Value::is_private));
    let is_training = call.int("training_mode", 0)? != 0;
    if (is_private || is_training) && x.rank() >= 2 && call.int("spatial", 1)? != 0 {
        return private_batch(context, call, x, is_training);
    }
    let norm = norm_of(call)?;
    if (1..5).any(|output| call.is_used(output)) {
        return unsupported("the statistics of a batch normalisation");
    }
    if x.shape.get(1) != Some(&norm.scale.array().len()) {
        return invalid("it has another number of channels than its input");
    }
    let y = for_channels(context, x, &norm.scale, Some(&norm.shift))?;
    Ok([y.into()].into())
}

/// A batch normalisation by parameters that depend on a private input, or by the statistics of the batch itself. Then the second
/// and third result are the running ones.
fn private_batch(context: &mut Context, call: &Call<'_>, x: &Tensor, is_training: bool) -> Lowered<Vec<Value>> {
    let epsilon = call.float("epsilon", 1e-5)?;
    let mut shape = vec![1; x.rank() - 1];
    shape[0] = x.shape[1];
    let mut parameters = Vec::new();
    for place in 1..5 {
        let value = call.required(place)?.clone();
        if value.shape() != &shape[..1] {
            return invalid("it has another number of channels than its input");
        }
        parameters.push(context.reshape_value(&value, &shape)?);
    }
    let [scale, shift, mean, variance] = parameters.as_slice() else { return invalid("it has not four parameters") };
    let mut results = Vec::new();
    let y = if is_training {
        let axes: Vec<usize> = (0..x.rank()).filter(|&axis| axis != 1).collect();
        for (place, old) in [(1, mean), (2, variance)] {
            results.push(match call.is_used(place) {
                true => running(context, call, x, &axes, place == 2, old)?,
                false => Value::scalar(0),
            });
        }
        normalised(context, x, &axes, epsilon)?
    } else {
        let centred = match mean {
            Value::Node(mean) => context.subtract(x, mean)?,
            mean => context.offset_privately(x, &real(mean)?.array().mapv(|mean| -mean))?,
        };
        match variance {
            Value::Node(variance) => {
                let variance = context.offset(variance, epsilon)?;
                let root = context.function(&variance, Function::Power { exponent: -0.5 })?;
                context.multiply(&centred, &root)?
            }
            variance => {
                let variance = real(variance)?;
                if !variance.array().iter().all(|&variance| variance + epsilon > 0.0) {
                    return invalid("a variance is not positive");
                }
                let roots = variance.array().mapv(|variance| (variance + epsilon).sqrt().recip());
                context.scale_privately(&centred, &roots)?
            }
        }
    };
    let y = context.scale_by_value(&y, scale)?;
    results.insert(0, context.offset_by_value(&y, shift)?.into());
    Ok(results)
}

/// momentum·old + (1 − momentum)·new, for the mean or the variance of each channel.
fn running(
    context: &mut Context,
    call: &Call<'_>,
    x: &Tensor,
    axes: &[usize],
    is_variance: bool,
    old: &Value,
) -> Lowered<Value> {
    let momentum = call.float("momentum", 0.9)?;
    let mut new = context.mean(x, axes)?;
    if is_variance {
        let centred = context.subtract(x, &new)?;
        let squares = context.square(&centred)?;
        new = context.mean(&squares, axes)?;
    }
    let new = context.scale(&new, 1.0 - momentum)?;
    let new = context.reshape(&new, &[x.shape[1]])?;
    let old = context.reshape_value(old, &[x.shape[1]])?;
    let y = match old {
        Value::Node(old) => {
            let old = context.scale(&old, momentum)?;
            context.add(&new, &old)?
        }
        old => context.offset_privately(&new, &real(&old)?.array().mapv(|old| old * momentum))?,
    };
    Ok(y.into())
}

/// scale ⊙ x + shift for each entry of axis 1.
fn for_channels(context: &mut Context, x: &Tensor, scale: &Constant, shift: Option<&Constant>) -> Lowered<Tensor> {
    let mut shape = vec![1; x.rank() - 1];
    shape[0] = x.shape[1];
    if scale.array().len() != shape[0] || shift.is_some_and(|shift| shift.array().len() != shape[0]) {
        return invalid("it has another number of channels than its input");
    }
    let y = context.scale_privately(x, &arrays::reshape(scale.array(), &shape)?)?;
    match shift {
        Some(shift) => context.offset_privately(&y, &arrays::reshape(shift.array(), &shape)?),
        None => Ok(y),
    }
}

/// (x − mean) / √(variance + ε) over axes.
fn normalised(context: &mut Context, x: &Tensor, axes: &[usize], epsilon: f32) -> Lowered<Tensor> {
    let Standardised { centred, root, .. } = context.standardised(x, axes, epsilon)?;
    context.multiply(&centred, &root)
}

pub(super) fn instance(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    if x.rank() < 3 {
        return invalid("its input has no spatial axis");
    }
    let axes: Vec<usize> = (2..x.rank()).collect();
    let y = normalised(context, x, &axes, call.float("epsilon", 1e-5)?)?;
    if let Some(y) = with_private_parameters(context, call, &y)? {
        return Ok([y.into()].into());
    }
    let (scale, shift) = (call.constant(1)?, call.constant(2)?);
    Ok([for_channels(context, &y, &scale, Some(&shift))?.into()].into())
}

/// scale ⊙ y + shift for each channel, where both depend on a private input.
fn with_private_parameters(context: &mut Context, call: &Call<'_>, y: &Tensor) -> Lowered<Option<Tensor>> {
    let (Some(Value::Node(scale)), Some(Value::Node(shift))) = (call.input(1), call.input(2)) else { return Ok(None) };
    let mut shape = vec![1; y.rank() - 1];
    shape[0] = y.shape[1];
    if scale.shape != shape[..1] || shift.shape != shape[..1] {
        return invalid("it has another number of channels than its input");
    }
    let (scale, shift) = (context.reshape(scale, &shape)?, context.reshape(shift, &shape)?);
    let y = context.multiply(y, &scale)?;
    context.add(&y, &shift).map(Some)
}

pub(super) fn group(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let groups = arrays::size(call.int("num_groups", 0)?)?;
    let &[n, channels, ref spatial @ ..] = x.shape.as_slice() else { return invalid("its input has no channels") };
    if groups == 0 || channels % groups != 0 {
        return invalid("its groups do not divide its channels");
    }
    let inner = channels / groups * spatial.iter().product::<usize>();
    let flat = context.reshape(x, &[n, groups, inner])?;
    let y = normalised(context, &flat, &[2], call.float("epsilon", 1e-5)?)?;
    let y = context.reshape(&y, &x.shape)?;
    if let Some(y) = with_private_parameters(context, call, &y)? {
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
    Ok([for_channels(context, &y, &scale, Some(&shift))?.into()].into())
}

/// The last axes, from the one that the attribute names.
fn last_axes(call: &Call<'_>, x: &Tensor) -> Lowered<Vec<usize>> {
    Ok((arrays::axis(call.int("axis", -1)?, x.rank())?..x.rank()).collect())
}

/// x ⊙ root ⊙ scale + shift.
fn scaled(context: &mut Context, call: &Call<'_>, x: &Tensor, root: &Tensor) -> Lowered<Tensor> {
    let y = match call.required(1)? {
        Value::Node(scale) => {
            let y = context.multiply(x, root)?;
            context.multiply(&y, scale)?
        }
        // The model owner's factors do not wait for the root, which takes the most rounds.
        scale => {
            let x = context.scale_by_value(x, scale)?;
            let x = context.rounded(&x, FINER)?;
            context.multiply(&x, root)?
        }
    };
    match call.input(2) {
        None => Ok(y),
        Some(shift) => context.offset_by_value(&y, shift),
    }
}

pub(super) fn layer(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let (axes, epsilon) = (last_axes(call, x)?, call.float("epsilon", 1e-5)?);
    standardised_and_scaled(context, call, x, &axes, epsilon)
}

/// The normalised values, the mean and 1 / √(variance + ε).
fn standardised_and_scaled(
    context: &mut Context,
    call: &Call<'_>,
    x: &Tensor,
    axes: &[usize],
    epsilon: f32,
) -> Lowered<Vec<Value>> {
    let Standardised { centred, root, part } = context.standardised(x, axes, epsilon)?;
    let (mean, own) = (context.mean(x, axes)?, context.scale(&root, part)?);
    // Rounded once for all that read it, among them a residual sum, whose own mean has then room for its divisor.
    let y = scaled(context, call, &centred, &root)?;
    Ok([context.rounded(&y, 0)?.into(), mean.into(), own.into()].into())
}

/// Layer normalisation over the last axis, or one without means.
pub(super) fn last_axis(
    context: &mut Context,
    call: &Call<'_>,
    epsilon: f32,
    is_root_mean_square: bool,
) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let axes = [x.rank().saturating_sub(1)];
    if is_root_mean_square {
        let [wide, root] = context.by_root_of_squares(x, &axes, epsilon, true)?;
        return Ok([scaled(context, call, &wide, &root)?.into()].into());
    }
    standardised_and_scaled(context, call, x, &axes, epsilon)
}

pub(super) fn root_mean_square(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let (axes, epsilon) = (last_axes(call, x)?, call.float("epsilon", 1e-5)?);
    let [wide, root] = context.by_root_of_squares(x, &axes, epsilon, true)?;
    Ok([scaled(context, call, &wide, &root)?.into()].into())
}

pub(super) fn lp(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let axis = arrays::axis(call.int("axis", -1)?, x.rank())?;
    let y = match call.int("p", 2)? {
        1 => {
            let magnitudes = context.function(x, Function::Abs)?;
            let sum = context.sum(&magnitudes, &[axis])?;
            context.quotient(x, &sum, true)?
        }
        2 => {
            // Far below the last place of fixed point; in floats it keeps 0 / 0 from being infinite.
            let [wide, root] = context.by_root_of_squares(x, &[axis], 1e-12, false)?;
            context.multiply(&wide, &root)?
        }
        p => return unsupported(format!("norms of order {p}; 1 and 2 are")),
    };
    Ok([y.into()].into())
}

pub(super) fn mean_variance(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let axes = arrays::axes(&call.ints("axes")?.unwrap_or_else(|| [0, 2, 3].to_vec()), x.rank())?;
    // ONNX adds 1e-9 to the standard deviation, far below what the private run can tell from 0.
    Ok([normalised(context, x, &axes, 1e-9)?.into()].into())
}
