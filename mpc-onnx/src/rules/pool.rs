//! Pooling.

use mpc_nn::Pool;
use mpc_protocols::function::Function;

use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::geometry::Windows;
use crate::rules::{elementwise, reduce};
use crate::value::{Tensor, Value};

fn windows(call: &Call<'_>, x: &Tensor) -> Lowered<Windows> {
    let Some(kernel) = call.sizes("kernel_shape")? else { return invalid("it has no kernel") };
    let Some(input) = x.shape.get(2..).filter(|input| !input.is_empty()) else {
        return invalid("its input has no window");
    };
    Windows::new(call, &kernel, input)
}

impl Windows {
    /// As a pool of the graph, if it can be one.
    fn pool(&self, count_padding: bool) -> Option<Pool> {
        let pair = |list: &[usize]| Some([*list.first()?, *list.get(1)?]);
        let is_small =
            (0..2).all(|i| self.before.get(i) < self.kernel.get(i) && self.after.get(i) < self.kernel.get(i));
        let is_dense = self.dilation.iter().all(|&dilation| dilation == 1);
        let [top, left] = pair(&self.before)?;
        let [bottom, right] = pair(&self.after)?;
        (self.kernel.len() == 2 && is_small && is_dense).then_some(Pool {
            stride: pair(&self.stride)?,
            padding: [top, left, bottom, right],
            count_padding,
            ..Pool::new(pair(&self.kernel)?)
        })
    }
}

pub(super) fn maximum(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    if call.is_used(1) {
        return unsupported("the places of the largest elements are secret");
    }
    let windows = windows(call, x)?;
    if let Some(pool) = windows.pool(false) {
        return Ok([context.max_pool(x, pool)?.into()].into());
    }
    // The largest of a box is the largest along one axis after the other.
    let mut y = x.clone();
    for axis in 0..windows.kernel.len() {
        y = largest_along(context, &y, &windows, axis)?;
    }
    Ok([y.into()].into())
}

/// The largest of each window along one spatial axis.
fn largest_along(context: &mut Context, x: &Tensor, windows: &Windows, axis: usize) -> Lowered<Tensor> {
    let (size, count, kernel) = (x.shape[2 + axis], windows.count[axis], windows.kernel[axis]);
    if kernel == 1 && windows.stride[axis] == 1 && count == size {
        return Ok(x.clone());
    }
    context.charge(count.saturating_mul(kernel))?;
    let mut places = Vec::new();
    for index in 0..count {
        let positions = windows.positions(axis, index, size);
        // Padding never wins: an element of the window stands in for it.
        let Some(&first) = positions.first() else { return invalid("a window has only padding") };
        places.extend(core::iter::repeat_n(first, kernel - positions.len()).chain(positions));
    }
    let spread = context.gather(x, 2 + axis, &places)?;
    let outer: usize = x.shape[..2 + axis].iter().product();
    let inner: usize = x.shape[3 + axis..].iter().product();
    let flat = context.reshape(&spread, &[outer, 1, count * kernel, inner])?;
    let largest = context.max_pool(&flat, Pool::new([kernel, 1]))?;
    let mut shape = x.shape.clone();
    shape[2 + axis] = count;
    context.reshape(&largest, &shape)
}

pub(super) fn average(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let windows = windows(call, x)?;
    let counts_padding = call.int("count_include_pad", 0)? != 0;
    // What a ceiling adds behind the declared padding never counts.
    let is_declared = windows.after.iter().zip(&windows.declared_after).all(|(after, declared)| after <= declared);
    if let Some(pool) = windows.pool(counts_padding).filter(|_| is_declared || !counts_padding) {
        return Ok([context.average_pool(x, pool)?.into()].into());
    }
    // The divisor of a box is the product of those along its axes, and so is the mean.
    let mut y = x.clone();
    for axis in 0..windows.kernel.len() {
        let size = x.shape[2 + axis];
        let rows = rows(context, &windows, axis, size, |index, positions| {
            let end = size + windows.before[axis] + windows.declared_after[axis];
            let inside = |i: &usize| index * windows.stride[axis] + i * windows.dilation[axis] < end;
            let count = if counts_padding { (0..windows.kernel[axis]).filter(inside).count() } else { positions };
            1.0 / count.max(1) as f32
        })?;
        y = context.combine(&y, 2 + axis, &rows)?;
    }
    Ok([y.into()].into())
}

/// The public map that takes an axis to its windows, with one coefficient for each.
fn rows(
    context: &mut Context,
    windows: &Windows,
    axis: usize,
    size: usize,
    coefficient: impl Fn(usize, usize) -> f32,
) -> Lowered<Vec<Vec<(usize, f32)>>> {
    context.charge(windows.count[axis].saturating_mul(windows.kernel[axis]))?;
    let row = |index: usize| {
        let positions = windows.positions(axis, index, size);
        let coefficient = coefficient(index, positions.len());
        positions.into_iter().map(|position| (position, coefficient)).collect()
    };
    Ok((0..windows.count[axis]).map(row).collect())
}

/// The sum of each window.
fn sums(context: &mut Context, x: &Tensor, windows: &Windows) -> Lowered<Tensor> {
    let mut y = x.clone();
    for axis in 0..windows.kernel.len() {
        let rows = rows(context, windows, axis, x.shape[2 + axis], |_, _| 1.0)?;
        y = context.combine(&y, 2 + axis, &rows)?;
    }
    Ok(y)
}

/// (Σ |x|^p)^(1/p) for p of 1 and 2.
fn norm(
    context: &mut Context,
    call: &Call<'_>,
    sum: impl FnOnce(&mut Context, &Tensor) -> Lowered<Tensor>,
) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let y = match call.int("p", 2)? {
        1 => {
            let magnitudes = context.function(x, Function::Abs)?;
            sum(context, &magnitudes)?
        }
        2 => {
            let squares = context.square(x)?;
            let sum = sum(context, &squares)?;
            context.function(&sum, Function::Sqrt)?
        }
        p @ 3..=8 => {
            let magnitudes = context.function(x, Function::Abs)?;
            let powers = elementwise::to_power(context, &magnitudes, p as f32)?;
            let sum = sum(context, &powers)?;
            context.function(&sum, Function::Power { exponent: 1.0 / p as f32 })?
        }
        p => return unsupported(format!("norms of order {p}; 1 to 8 are")),
    };
    Ok([y.into()].into())
}

/// x / (bias + α/size·Σ x²)^β over windows of channels.
pub(super) fn local_response(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let (size, Some(&channels)) = (call.int("size", 0)?, x.shape.get(1)) else { return invalid("it has no channels") };
    let Some(size) = usize::try_from(size).ok().filter(|size| (1..=1 << 16).contains(size)) else {
        return invalid("its size is not a positive small number");
    };
    context.charge(channels.saturating_mul(size.min(channels)))?;
    let window = |c: usize| c.saturating_sub((size - 1) / 2)..(c + size / 2 + 1).min(channels);
    let rows: Vec<Vec<(usize, f32)>> = (0..channels).map(|c| window(c).map(|i| (i, 1.0)).collect()).collect();
    let squares = context.square(x)?;
    let sums = context.combine(&squares, 1, &rows)?;
    let scaled = context.scale(&sums, call.float("alpha", 1e-4)? / size as f32)?;
    let divisor = context.offset(&scaled, call.float("bias", 1.0)?)?;
    let factor = context.function(&divisor, Function::Power { exponent: -call.float("beta", 0.75)? })?;
    Ok([context.multiply(x, &factor)?.into()].into())
}

pub(super) fn lp(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let windows = windows(call, call.tensor(0)?)?;
    norm(context, call, |context, x| sums(context, x, &windows))
}

fn spatial_axes(x: &Tensor) -> Lowered<Vec<usize>> {
    if x.rank() < 3 { invalid("its input has no spatial axis") } else { Ok((2..x.rank()).collect()) }
}

pub(super) fn global_average(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    Ok([context.mean(x, &spatial_axes(x)?)?.into()].into())
}

pub(super) fn global_maximum(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    Ok([reduce::maximum(context, x, &spatial_axes(x)?)?.into()].into())
}

pub(super) fn global_lp(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let axes = spatial_axes(call.tensor(0)?)?;
    norm(context, call, |context, x| context.sum(x, &axes))
}
