//! Resize and Upsample: along each axis a public map from positions to positions.

use crate::arrays;
use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, Problem, invalid, unsupported};
use crate::value::{Tensor, Value};

/// How one axis is resized.
struct Side {
    axis: usize,
    input: usize,
    output: usize,
    /// A factor is an f32 in a file, and ONNX's runtimes compute with it as one: 5 × 1.8 is 9.
    scale: f32,
    /// The region of `tf_crop_and_resize`.
    region: (f64, f64),
}

struct Options {
    coordinates: String,
    mode: String,
    nearest: String,
    cubic: f64,
    excludes_outside: bool,
    is_antialiased: bool,
    /// Whether corners are those of the exact length, input times scale, instead of the whole one of the result.
    is_exact: bool,
    /// The number that `tf_crop_and_resize` puts outside of the input.
    outside: f32,
}

pub(super) fn resize(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let options = options(context, call)?;
    let mut y = x.clone();
    for side in sides(call, x)? {
        if side.input == side.output && side.scale == 1.0 && options.coordinates != "tf_crop_and_resize" {
            continue;
        }
        y = options.along(context, &y, &side)?;
    }
    Ok([y.into()].into())
}

fn options(context: &Context, call: &Call<'_>) -> Lowered<Options> {
    let is_old = call.opset < 11;
    let mode = call.string("mode", "nearest")?;
    let coordinates = match mode.as_str() {
        // Old opsets cannot say how positions are counted: PyTorch means their centres, and runtimes their corners.
        "linear" if is_old && context.is_pytorch => "half_pixel".into(),
        _ if is_old => "asymmetric".into(),
        _ => call.string("coordinate_transformation_mode", "half_pixel")?,
    };
    Ok(Options {
        coordinates,
        mode,
        nearest: if is_old { "floor".into() } else { call.string("nearest_mode", "round_prefer_floor")? },
        cubic: call.float("cubic_coeff_a", -0.75)?.into(),
        excludes_outside: call.int("exclude_outside", 0)? != 0,
        is_antialiased: call.int("antialias", 0)? != 0,
        // ONNX's own cases mean the exact length; its text, PyTorch and onnxruntime mean that of the result.
        is_exact: context.is_unnamed,
        outside: match &call.moved {
            // Of a type of integers, that of the file is one, too.
            Some(moved) => moved.real(call.float("extrapolation_value", 0.0)?.trunc()),
            None => call.float("extrapolation_value", 0.0)?,
        },
    })
}

/// The sizes and scales of the axes that the node resizes.
fn sides(call: &Call<'_>, x: &Tensor) -> Lowered<Vec<Side>> {
    let is_upsample = call.operator() == "Upsample" || call.opset < 11;
    let axes = match call.ints("axes")? {
        Some(axes) => axes.iter().map(|&axis| arrays::axis(axis, x.rank())).collect::<Lowered<Vec<_>>>()?,
        None => (0..x.rank()).collect(),
    };
    let scales = match call.floats("scales")?.or(first_scales(call)?) {
        Some(scales) => scales,
        None => call
            .optional_constant(if is_upsample { 1 } else { 2 })?
            .map_or_else(Vec::new, |scales| scales.array().iter().copied().collect()),
    };
    let sizes = if is_upsample { None } else { call.optional_integers(3)? }.filter(|sizes| !sizes.is_empty());
    let region = if is_upsample { None } else { call.optional_constant(1)? };
    let region: Vec<f64> = region.map_or_else(Vec::new, |region| region.array().iter().map(|&r| r.into()).collect());
    let lists = [scales.len(), sizes.as_ref().map_or(0, Vec::len)];
    if !lists.contains(&axes.len()) || !(region.is_empty() || region.len() == 2 * axes.len()) {
        return invalid("it has not one scale or size for each axis");
    }
    let mut sides = Vec::new();
    for (i, &axis) in axes.iter().enumerate() {
        let input = x.shape[axis];
        let region = if region.is_empty() { (0.0, 1.0) } else { (region[i], region[axes.len() + i]) };
        let (output, scale) = match &sizes {
            Some(sizes) => {
                let output = arrays::size(sizes[i])?;
                (output, output as f32 / input as f32)
            }
            None => {
                let scale = scales[i];
                let is_crop = call.string("coordinate_transformation_mode", "")? == "tf_crop_and_resize";
                let covered = if is_crop { input as f32 * (region.1 - region.0) as f32 } else { input as f32 };
                let output = (covered * scale).floor();
                if !(0.0..1e9).contains(&output) || scale <= 0.0 {
                    return invalid("a scale is not positive, or too large");
                }
                (output as usize, scale)
            }
        };
        if output == 0 {
            return unsupported("its result has no elements");
        }
        sides.push(Side { axis, input, output, scale, region });
    }
    keep_ratio(call, &mut sides)?;
    Ok(sides)
}

/// The two factors of Upsample in the first opset.
fn first_scales(call: &Call<'_>) -> Lowered<Option<Vec<f32>>> {
    let (height, width) = (call.float("height_scale", 0.0)?, call.float("width_scale", 0.0)?);
    Ok((call.opset < 7 && height > 0.0 && width > 0.0).then(|| vec![1.0, 1.0, height, width]))
}

/// Policies that take one scale for all axes.
fn keep_ratio(call: &Call<'_>, sides: &mut [Side]) -> Lowered<()> {
    let scales = sides.iter().map(|side| side.scale);
    let scale = match call.string("keep_aspect_ratio_policy", "stretch")?.as_str() {
        "stretch" => return Ok(()),
        "not_larger" => scales.fold(f32::INFINITY, f32::min),
        "not_smaller" => scales.fold(0.0, f32::max),
        other => return invalid(format!("policy `{other}` is not known")),
    };
    for side in sides {
        side.output = (scale * side.input as f32).round() as usize;
        side.scale = scale;
        if side.output == 0 {
            return unsupported("its result has no elements");
        }
    }
    Ok(())
}

impl Options {
    fn along(&self, context: &mut Context, x: &Tensor, side: &Side) -> Lowered<Tensor> {
        arrays::elements(&[side.output])?;
        // Antialiasing widens the filter by the inverse of the scale.
        let taps = if self.is_antialiased { (8.0 / f64::from(side.scale).min(1.0)).ceil() } else { 4.0 };
        context.charge((side.output as f64 * taps) as usize)?;
        let mut rows = Vec::with_capacity(side.output);
        let mut outside = Vec::new();
        for index in 0..side.output {
            let position = self.position(index, side)?;
            let is_outside =
                self.coordinates == "tf_crop_and_resize" && !(0.0..=side.input as f64 - 1.0).contains(&position);
            if is_outside {
                outside.push(index);
                rows.push(vec![(0, 0.0)]);
            } else {
                rows.push(self.row(position, side)?);
            }
        }
        let y = context.combine(x, side.axis, &rows)?;
        if outside.is_empty() || self.outside == 0.0 {
            return Ok(y);
        }
        let mut shape = vec![1; y.rank()];
        shape[side.axis] = side.output;
        let mut fill = ndarray::ArrayD::zeros(shape);
        outside.iter().for_each(|&index| fill.as_slice_mut().expect("in row-major order")[index] = self.outside);
        context.offset_by(&y, &fill)
    }

    /// The place in the input of a position of the output.
    fn position(&self, index: usize, side: &Side) -> Lowered<f64> {
        let (x, input, output) = (index as f32, side.input as f32, side.output as f32);
        Ok(f64::from(match self.coordinates.as_str() {
            "half_pixel" => (x + 0.5) / side.scale - 0.5,
            "half_pixel_symmetric" => {
                let adjustment = output / (side.scale * input);
                input / 2.0 * (1.0 - adjustment) + (x + 0.5) / side.scale - 0.5
            }
            "pytorch_half_pixel" if side.output > 1 => (x + 0.5) / side.scale - 0.5,
            "pytorch_half_pixel" => 0.0,
            "align_corners" if side.output > 1 => {
                let length = if self.is_exact { side.scale * input } else { output };
                if length <= 1.0 { 0.0 } else { x * (input - 1.0) / (length - 1.0) }
            }
            "align_corners" => 0.0,
            "asymmetric" => x / side.scale,
            "tf_half_pixel_for_nn" => (x + 0.5) / side.scale,
            "tf_crop_and_resize" => {
                let (start, end) = (side.region.0 as f32, side.region.1 as f32);
                if side.output > 1 {
                    start * (input - 1.0) + x * (end - start) * (input - 1.0) / (output - 1.0)
                } else {
                    0.5 * (start + end) * (input - 1.0)
                }
            }
            other => return invalid(format!("coordinate transformation `{other}` is not known")),
        }))
    }

    /// The coefficients of the input's positions around a place.
    fn row(&self, position: f64, side: &Side) -> Lowered<Vec<(usize, f32)>> {
        let last = side.input as i64 - 1;
        if !position.is_finite() || position.abs() > 1e15 {
            return Err(Problem::Invalid("a scale is too small".into()));
        }
        // A filter of antialiasing is stretched where the result is smaller.
        let stretch = if self.is_antialiased { f64::from(side.scale).min(1.0) } else { 1.0 };
        let (reach, filter): (f64, &dyn Fn(f64) -> f64) = match self.mode.as_str() {
            "nearest" => {
                let place = match self.nearest.as_str() {
                    "round_prefer_floor" => (position - 0.5).ceil(),
                    "round_prefer_ceil" => (position + 0.5).floor(),
                    "floor" => position.floor(),
                    "ceil" => position.ceil(),
                    other => return invalid(format!("nearest mode `{other}` is not known")),
                };
                return Ok(vec![((place as i64).clamp(0, last) as usize, 1.0)]);
            }
            "linear" | "bilinear" | "trilinear" => (1.0, &|distance| 1.0 - distance),
            "cubic" => (2.0, &|distance| keys(distance, self.cubic)),
            other => return invalid(format!("mode `{other}` is not known")),
        };
        let (first, end) = ((position - reach / stretch).floor() as i64, (position + reach / stretch).ceil() as i64);
        let mut row: Vec<(usize, f64)> = Vec::new();
        let mut total = 0.0;
        for place in first..=end {
            let distance = (place as f64 - position).abs() * stretch;
            let is_inside = (0..=last).contains(&place);
            if distance >= reach || (!is_inside && self.excludes_outside) {
                continue;
            }
            let coefficient = filter(distance);
            total += coefficient;
            let place = place.clamp(0, last) as usize;
            match row.iter_mut().find(|(other, _)| *other == place) {
                Some((_, sum)) => *sum += coefficient,
                None => row.push((place, coefficient)),
            }
        }
        let normalised = |coefficient: f64| (coefficient / total) as f32;
        row.retain(|&(_, coefficient)| coefficient != 0.0);
        if row.is_empty() || total == 0.0 {
            return invalid("a position has no neighbour");
        }
        Ok(row.into_iter().map(|(place, coefficient)| (place, normalised(coefficient))).collect())
    }
}

/// The cubic convolution of Keys, *Cubic Convolution Interpolation for Digital Image Processing* (1981), equation 15.
fn keys(distance: f64, a: f64) -> f64 {
    let x = distance;
    if x <= 1.0 { ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0 } else { ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a }
}
