//! Fourier transforms, which are public linear maps, and the windows before them.

use core::f64::consts::TAU;

use ndarray::ArrayD;

use crate::arrays;
use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, invalid, unsupported};
use crate::value::{Tensor, Value, vector};

/// The cosine and the sine of the k-th of n parts of a turn, times i.
fn angle(k: usize, i: usize, n: usize) -> (f64, f64) {
    let (sine, cosine) = (TAU * ((k * i) % n) as f64 / n as f64).sin_cos();
    (cosine, sine)
}

/// The coefficients of a public linear map, row by row.
type Rows = Vec<Vec<(usize, f32)>>;

/// The first `count` numbers of a transform of `known` ones that zeros fill up to a length.
fn full(length: usize, [count, known]: [usize; 2], parts: usize, is_inverse: bool) -> Rows {
    let norm = if is_inverse { 1.0 / length as f64 } else { 1.0 };
    let mut map = Vec::new();
    for k in 0..count {
        for is_imaginary in [false, true] {
            let mut row = Vec::new();
            for i in 0..known {
                let (cosine, sine) = angle(k, i, length);
                let sine = if is_inverse { sine } else { -sine };
                // (c + i·s)·(a + i·b)
                let pair = if is_imaginary { [sine, cosine] } else { [cosine, -sine] };
                row.extend((0..parts).map(|part| (i * parts + part, (pair[part] * norm) as f32)));
            }
            map.push(row);
        }
    }
    map
}

/// The real signal of that length whose spectrum has these numbers on one side; the other side mirrors them.
fn half_inverse(length: usize, known: usize, parts: usize) -> Rows {
    let row = |t: usize| {
        let of_bin = |k: usize| {
            let (cosine, sine) = angle(k, t, length);
            // The first bin and the middle one are their own mirrors.
            let weight = if k == 0 || 2 * k == length { 1.0 } else { 2.0 } / length as f64;
            let pair = [cosine * weight, -sine * weight];
            (0..parts).map(move |part| (k * parts + part, pair[part] as f32))
        };
        (0..known).flat_map(of_bin).collect()
    };
    (0..length).map(row).collect()
}

/// DFT along an axis of numbers that are real, or pairs in the last axis.
pub(super) fn dft(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let rank = x.rank();
    let axis = if call.opset < 20 {
        call.int("axis", 1)?
    } else {
        call.optional_integers(2)?.and_then(|axes| axes.first().copied()).unwrap_or(-2)
    };
    let axis = arrays::axis(axis, rank)?;
    let parts = x.shape.last().copied().unwrap_or(0);
    let (is_inverse, is_onesided) = (call.int("inverse", 0)? != 0, call.int("onesided", 0)? != 0);
    if axis + 1 == rank || !(1..=2).contains(&parts) {
        return invalid("its last axis is not one of one or two parts of a number");
    }
    // One side of a spectrum, of which a real signal is made.
    let is_half = is_inverse && is_onesided;
    let length = match call.optional_integers(1)?.as_deref() {
        Some(&[length]) => arrays::size(length)?,
        _ if is_half => 2 * x.shape[axis].saturating_sub(1),
        _ => x.shape[axis],
    };
    if length == 0 {
        return invalid("its length is 0");
    }
    let mut order: Vec<usize> = (0..rank - 1).filter(|&other| other != axis).collect();
    order.extend([axis, rank - 1]);
    let moved = context.transpose(x, &order)?;
    let outer: Vec<usize> = order[..rank - 2].iter().map(|&axis| x.shape[axis]).collect();
    let rows = context.reshape(&moved, &[outer.iter().product(), x.shape[axis] * parts])?;
    let count = if is_onesided && !is_inverse { length / 2 + 1 } else { length };
    let known = x.shape[axis].min(if is_half { length / 2 + 1 } else { length });
    context.charge(count.saturating_mul(known).saturating_mul(4 * parts))?;
    let map =
        if is_half { half_inverse(length, known, parts) } else { full(length, [count, known], parts, is_inverse) };
    let y = context.combine(&rows, 1, &map)?;
    let shape: Vec<usize> = outer.iter().copied().chain([count, if is_half { 1 } else { 2 }]).collect();
    let y = context.reshape(&y, &shape)?;
    Ok([context.transpose(&y, &arrays::inverse(&order))?.into()].into())
}

/// The transforms of windows of a signal; the window stays the model owner's.
pub(super) fn stft(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let steps = match x.shape.as_slice() {
        &[_, steps] | &[_, steps, 1] => steps,
        _ => return unsupported("a signal of complex numbers"),
    };
    let batch = x.shape[0];
    let one = |index: usize| -> Lowered<Option<usize>> {
        match call.optional_integers(index)?.as_deref() {
            Some(&[value]) => Ok(Some(arrays::size(value)?)),
            _ => Ok(None),
        }
    };
    let window = call.optional_constant(2)?;
    let length = match (one(3)?, &window) {
        (Some(length), _) => length,
        (None, Some(window)) => window.array().len(),
        (None, None) => steps,
    };
    let Some(step) = one(1)?.filter(|&step| step > 0) else { return invalid("it has no positive step") };
    if length == 0 || length > steps || window.as_ref().is_some_and(|window| window.array().len() != length) {
        return invalid("its frames do not fit its signal or its window");
    }
    let frames = (steps - length) / step + 1;
    let bins = if call.int("onesided", 1)? != 0 { length / 2 + 1 } else { length };
    context.charge(frames.saturating_mul(length).saturating_add(bins.saturating_mul(2 * length)))?;
    let signal = context.reshape(x, &[batch, steps])?;
    let places: Vec<usize> = (0..frames).flat_map(|frame| (0..length).map(move |i| frame * step + i)).collect();
    let framed = context.gather(&signal, 1, &places)?;
    let framed = context.reshape(&framed, &[batch, frames, length])?;
    let factor = |i: usize| window.as_ref().map_or(1.0, |window| f64::from(window.array()[[i]]));
    let weight = |row: usize, i: usize| {
        let (cosine, sine) = angle(row / 2, i, length);
        (factor(i) * if row.is_multiple_of(2) { cosine } else { -sine }) as f32
    };
    let weights = (0..2 * bins).flat_map(|row| (0..length).map(move |i| (row, i))).map(|(row, i)| weight(row, i));
    let weights = arrays::from_elements(&[2 * bins, length], weights.collect())?;
    let y = context.linear(&framed, weights, None)?;
    Ok([context.reshape(&y, &[batch, frames, bins, 2])?.into()].into())
}

/// HannWindow, HammingWindow and BlackmanWindow of a public size.
pub(super) fn window(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let &[size] = call.integers(0)?.as_slice() else { return invalid("its size is not one number") };
    let size = arrays::size(size)?;
    context.charge(size)?;
    let coefficients = match call.operator() {
        "HannWindow" => [0.5, 0.5, 0.0],
        "HammingWindow" => [25.0 / 46.0, 21.0 / 46.0, 0.0],
        _ => [0.42, 0.5, 0.08],
    };
    let period = if call.int("periodic", 1)? != 0 { size } else { size.saturating_sub(1) }.max(1) as f64;
    let value = |i: usize| {
        let angle = TAU * i as f64 / period;
        (coefficients[0] - coefficients[1] * angle.cos() + coefficients[2] * (2.0 * angle).cos()) as f32
    };
    Ok([Value::constant(vector((0..size).map(value).collect()))].into())
}

/// The weights from frequencies to mel bands.
pub(super) fn mel_weights(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let one = |index: usize| call.optional_scalar(index)?.map_or_else(|| invalid("a parameter is missing"), Ok);
    let (bands, length, rate, low, high) = (one(0)?, one(1)?, one(2)?, one(3)?, one(4)?);
    if !(0.0..=4096.0).contains(&bands) || !(0.0..=1e6).contains(&length) || rate <= 0.0 {
        return invalid("a parameter is out of range");
    }
    let (bands, bins) = (bands as usize, length as usize / 2 + 1);
    context.charge(bins.saturating_mul(bands))?;
    let mel = |hertz: f64| 2595.0 * (1.0 + hertz / 700.0).log10();
    let (low, high) = (mel(low.into()), mel(high.into()));
    let edge = |i: usize| {
        let mel = low + i as f64 * (high - low) / (bands + 2) as f64;
        let hertz = 700.0 * (10f64.powf(mel / 2595.0) - 1.0);
        ((f64::from(length) + 1.0) * hertz / f64::from(rate)).floor() as usize
    };
    let mut weights = ArrayD::zeros([bins, bands].as_slice());
    for band in 0..bands {
        let (left, centre, right) = (edge(band), edge(band + 1), edge(band + 2));
        if centre == left && centre < bins {
            weights[[centre, band]] = 1.0;
        } else {
            for bin in left..=centre.min(bins - 1) {
                weights[[bin, band]] = (bin - left) as f32 / (centre - left) as f32;
            }
        }
        for bin in centre..right.min(bins) {
            if right > centre {
                weights[[bin, band]] = (right - bin) as f32 / (right - centre) as f32;
            }
        }
    }
    Ok([Value::constant(weights)].into())
}

/// The determinants of small matrices, by their first rows.
pub(super) fn determinant(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    /// The largest matrix: its determinant has this factorial of products.
    const MAX_SIZE: usize = 4;
    let x = call.tensor(0)?;
    let Some(&[rows, columns]) = x.shape.last_chunk() else { return invalid("its input is not a matrix") };
    if rows != columns || rows == 0 {
        return invalid("its matrices are not square");
    }
    if rows > MAX_SIZE {
        return unsupported(format!("matrices of more than {MAX_SIZE} rows"));
    }
    let outer: Vec<usize> = x.shape[..x.rank() - 2].to_vec();
    let flat = context.reshape(x, &[outer.iter().product(), rows, rows])?;
    let y = minor(context, &flat)?;
    Ok([context.reshape(&y, &outer)?.into()].into())
}

/// The determinants of [batch, n, n] as [batch, 1, 1].
pub(super) fn minor(context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
    let size = x.shape[1];
    if size == 1 {
        return Ok(x.clone());
    }
    let (first, others) = (context.slice(x, 1, 0, 1)?, context.slice(x, 1, 1, size)?);
    let mut sum: Option<Tensor> = None;
    for column in 0..size {
        let kept: Vec<usize> = (0..size).filter(|&other| other != column).collect();
        let rest = context.gather(&others, 2, &kept)?;
        let rest = minor(context, &rest)?;
        let factor = context.slice(&first, 2, column, column + 1)?;
        let product = context.multiply(&factor, &rest)?;
        sum = Some(match sum {
            None => product,
            Some(sum) if column % 2 == 1 => context.subtract(&sum, &product)?,
            Some(sum) => context.add(&sum, &product)?,
        });
    }
    sum.map_or_else(|| invalid("a matrix of no columns"), Ok)
}
