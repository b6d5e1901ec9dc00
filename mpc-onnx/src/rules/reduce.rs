//! Reductions over axes.

use mpc_protocols::function::Function;
use ndarray::{ArrayD, Axis};

use crate::arrays;
use crate::call::Call;
use crate::context::{Context, reduced};
use crate::error::{Lowered, Problem, invalid, unsupported};
use crate::rules::choice;
use crate::rules::elementwise::leaves_some;
use crate::value::{Tensor, Value};

/// The most private factors of one product.
const MAX_FACTORS: usize = 64;

/// The axes of a reduction, and the shape of its result.
struct Reduction {
    axes: Vec<usize>,
    shape: Vec<usize>,
    /// Nothing is reduced.
    is_identity: bool,
}

fn reduction(call: &Call<'_>) -> Lowered<Reduction> {
    let shape = call.required(0)?.shape();
    let listed = call.integers_from("axes", 1)?.unwrap_or_default();
    let is_identity = listed.is_empty() && call.int("noop_with_empty_axes", 0)? != 0;
    let axes = match listed.as_slice() {
        _ if is_identity => Vec::new(),
        [] => (0..shape.len()).collect(),
        listed => arrays::axes(listed, shape.len())?,
    };
    let keep = call.int("keepdims", 1)? != 0;
    let shape = if keep {
        reduced(shape, &axes)
    } else {
        (0..shape.len()).filter(|axis| !axes.contains(axis)).map(|axis| shape[axis]).collect()
    };
    Ok(Reduction { axes, shape, is_identity })
}

/// ReduceSum, ReduceMean, ReduceMax, ReduceMin and ReduceProd.
pub(super) fn reduce(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let reduction = reduction(call)?;
    if reduction.is_identity {
        return Ok([call.required(0)?.clone()].into());
    }
    let value = match call.required(0)? {
        Value::Integer(array) => Value::integer(integers(call.operator(), array, &reduction.axes)?),
        Value::Constant(constant) => Value::constant(reals(call.operator(), constant.array(), &reduction.axes)?),
        Value::Node(x) => private(context, call.operator(), x, &reduction.axes)?.into(),
        Value::Tokens { .. } => return unsupported("it takes a private input of integers; cast it to floats first"),
    };
    Ok([context.reshape_value(&value, &reduction.shape)?].into())
}

fn private(context: &mut Context, operator: &str, x: &Tensor, axes: &[usize]) -> Lowered<Tensor> {
    match operator {
        "ReduceSum" => context.sum(x, axes),
        "ReduceMean" => context.mean(x, axes),
        "ReduceMax" => {
            leaves_some(context, x, axes)?;
            maximum(context, x, axes)
        }
        "ReduceMin" => {
            leaves_some(context, x, axes)?;
            let negative = context.scale(x, -1.0)?;
            let largest = maximum(context, &negative, axes)?;
            context.scale(&largest, -1.0)
        }
        _ => product(context, x, axes),
    }
}

/// The reduced axes behind the others, as one.
fn together(context: &mut Context, x: &Tensor, axes: &[usize]) -> Lowered<Tensor> {
    let kept = (0..x.rank()).filter(|axis| !axes.contains(axis));
    let permutation: Vec<usize> = kept.chain(axes.iter().copied()).collect();
    let moved = context.transpose(x, &permutation)?;
    let count: usize = axes.iter().map(|&axis| x.shape[axis]).product();
    context.reshape(&moved, &[x.len() / count.max(1), count])
}

/// The largest elements over axes, which stay with size 1.
pub(super) fn maximum(context: &mut Context, x: &Tensor, axes: &[usize]) -> Lowered<Tensor> {
    let rows = together(context, x, axes)?;
    let largest = context.maximum_of_last(&rows)?;
    let largest = context.reshape(&largest, &reduced(&x.shape, axes))?;
    context.note_maximum(&largest, x, axes);
    Ok(largest)
}

/// A tree of products.
pub(super) fn product(context: &mut Context, x: &Tensor, axes: &[usize]) -> Lowered<Tensor> {
    let mut rows = together(context, x, axes)?;
    if rows.shape[1] > MAX_FACTORS {
        return unsupported(format!("products of more than {MAX_FACTORS} private factors"));
    }
    while rows.shape[1] > 1 {
        let (count, half) = (rows.shape[1], rows.shape[1] / 2);
        let (left, right) = (context.slice(&rows, 1, 0, half)?, context.slice(&rows, 1, half, 2 * half)?);
        let mut parts = [context.multiply(&left, &right)?].to_vec();
        if count % 2 == 1 {
            parts.push(context.slice(&rows, 1, count - 1, count)?);
        }
        rows = context.join(&parts, 1)?;
    }
    context.reshape(&rows, &reduced(&x.shape, axes))
}

fn fold_axes<T: Copy>(array: &ArrayD<T>, axes: &[usize], start: T, fold: impl Fn(T, T) -> T) -> ArrayD<T> {
    axes.iter().fold(array.clone(), |array, &axis| {
        array.fold_axis(Axis(axis), start, |&a, &b| fold(a, b)).insert_axis(Axis(axis))
    })
}

fn integers(operator: &str, array: &ArrayD<i64>, axes: &[usize]) -> Lowered<ArrayD<i64>> {
    if array.is_empty() && matches!(operator, "ReduceMax" | "ReduceMin" | "ReduceMean") {
        return invalid("it reduces no elements");
    }
    Ok(match operator {
        "ReduceSum" => fold_axes(array, axes, 0, i64::wrapping_add),
        "ReduceProd" => fold_axes(array, axes, 1, i64::wrapping_mul),
        "ReduceMax" => fold_axes(array, axes, i64::MIN, i64::max),
        "ReduceMin" => fold_axes(array, axes, i64::MAX, i64::min),
        _ => {
            let count: usize = axes.iter().map(|&axis| array.shape()[axis]).product();
            fold_axes(array, axes, 0, i64::wrapping_add).mapv(|sum| sum / count as i64)
        }
    })
}

fn reals(operator: &str, array: &ArrayD<f32>, axes: &[usize]) -> Lowered<ArrayD<f32>> {
    if array.is_empty() && matches!(operator, "ReduceMax" | "ReduceMin" | "ReduceMean") {
        return invalid("it reduces no elements");
    }
    let wide = array.mapv(f64::from);
    let result = match operator {
        "ReduceSum" => fold_axes(&wide, axes, 0.0, |a, b| a + b),
        "ReduceProd" => fold_axes(&wide, axes, 1.0, |a, b| a * b),
        "ReduceMax" => fold_axes(&wide, axes, f64::NEG_INFINITY, f64::max),
        "ReduceMin" => fold_axes(&wide, axes, f64::INFINITY, f64::min),
        _ => {
            let count: usize = axes.iter().map(|&axis| array.shape()[axis]).product();
            fold_axes(&wide, axes, 0.0, |a, b| a + b).mapv(|sum| sum / count as f64)
        }
    };
    if result.iter().any(|value| value.is_nan()) {
        return Err(Problem::Range);
    }
    Ok(result.mapv(|value| value as f32))
}

/// ReduceL1, ReduceL2, ReduceSumSquare, ReduceLogSum and ReduceLogSumExp.
pub(super) fn norm(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let reduction = reduction(call)?;
    let (x, axes) = (call.tensor(0)?, &reduction.axes);
    let y = match call.operator() {
        "ReduceL1" => {
            let magnitudes = context.function(x, Function::Abs)?;
            context.sum(&magnitudes, axes)?
        }
        "ReduceL2" if axes.is_empty() => context.function(x, Function::Abs)?,
        "ReduceL2" | "ReduceSumSquare" => {
            let squares = context.square(x)?;
            let sum = context.sum(&squares, axes)?;
            if call.operator() == "ReduceL2" { context.function(&sum, Function::Sqrt)? } else { sum }
        }
        "ReduceLogSum" => {
            let sum = context.sum(x, axes)?;
            context.function(&sum, Function::Log)?
        }
        _ => {
            leaves_some(context, x, axes)?;
            log_sum_exp(context, x, axes)?
        }
    };
    Ok([context.reshape(&y, &reduction.shape)?.into()].into())
}

/// m + log Σ e^(x−m), m the largest: every exponent is at most 0 and the sum at least 1.
pub(super) fn log_sum_exp(context: &mut Context, x: &Tensor, axes: &[usize]) -> Lowered<Tensor> {
    let largest = maximum(context, x, axes)?;
    let shifted = context.subtract(x, &largest)?;
    let exponentials = context.function(&shifted, Function::ExpNonPositive)?;
    let sum = context.sum(&exponentials, axes)?;
    let log = context.function(&sum, Function::Log)?;
    context.add(&log, &largest)
}

pub(super) fn arg_max(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let axis = arrays::axis(call.int("axis", 0)?, x.rank())?;
    leaves_some(context, x, &[axis])?;
    let moved = if call.operator() == "ArgMin" { context.scale(x, -1.0)? } else { x.clone() };
    let is_last = call.int("select_last_index", 0)? != 0;
    // The last of equals is the first when counted from behind.
    let size = x.shape[axis];
    let moved = if is_last {
        context.charge(size)?;
        context.gather(&moved, axis, &(0..size).rev().collect::<Vec<_>>())?
    } else {
        moved
    };
    let mut permutation: Vec<usize> = (0..x.rank()).filter(|&other| other != axis).collect();
    permutation.push(axis);
    let moved = context.transpose(&moved, &permutation)?;
    let mut result = x.shape.clone();
    if call.int("keepdims", 1)? != 0 {
        result[axis] = 1;
    } else {
        result.remove(axis);
    }
    if !call.is_revealed {
        // Something is computed from the index: it comes from rows with a single 1.
        let mut rows = choice::largest(context, &moved)?;
        if is_last {
            context.charge(size)?;
            rows = context.gather(&rows, x.rank() - 1, &(0..size).rev().collect::<Vec<_>>())?;
        }
        let y = choice::places(context, &rows)?;
        return Ok([context.reshape(&y, &result)?.into()].into());
    }
    let mut shape = moved.shape.clone();
    shape[x.rank() - 1] = 1;
    let mut y = context.emit("arg_max", &shape, |builder, name| builder.arg_max(name, moved.id))?;
    if is_last {
        y = context.scale(&y, -1.0)?;
        y = context.offset(&y, (size - 1) as f32)?;
    }
    Ok([context.reshape(&y, &result)?.into()].into())
}

/// Running sums along an axis; for a private value a public triangle of ones.
pub(super) fn cumulative_sum(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let axis = arrays::axis(call.integers_or_zero(1)?, call.required(0)?.shape().len())?;
    let (is_exclusive, is_reverse) = (call.int("exclusive", 0)? != 0, call.int("reverse", 0)? != 0);
    Ok([match call.required(0)? {
        Value::Integer(array) => Value::integer(running(array, axis, is_exclusive, is_reverse, i64::wrapping_add)),
        Value::Constant(constant) => {
            Value::constant(running(constant.array(), axis, is_exclusive, is_reverse, |a, b| a + b))
        }
        _ => context.cumulative_sum(call.tensor(0)?, axis, is_exclusive, is_reverse)?.into(),
    }]
    .into())
}

/// Running products along an axis: after each step those of twice as many factors.
pub(super) fn cumulative_product(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let axis = arrays::axis(call.integers_or_zero(1)?, x.rank())?;
    let size = x.shape[axis];
    if size > MAX_FACTORS {
        return unsupported(format!("products of more than {MAX_FACTORS} private factors"));
    }
    let is_reverse = call.int("reverse", 0)? != 0;
    let backwards: Vec<usize> = (0..size).rev().collect();
    let mut y = if is_reverse { context.gather(x, axis, &backwards)? } else { x.clone() };
    let mut step = 1;
    while step < size {
        let (start, first) = (context.slice(&y, axis, 0, step)?, context.slice(&y, axis, 0, size - step)?);
        let others = context.slice(&y, axis, step, size)?;
        let products = context.multiply(&others, &first)?;
        y = context.join(&[start, products], axis)?;
        step *= 2;
    }
    if call.int("exclusive", 0)? != 0 {
        let none = context.slice(&y, axis, 0, 1)?;
        let none = context.scale(&none, 0.0)?;
        let mut parts = vec![context.offset(&none, 1.0)?];
        if size > 1 {
            parts.push(context.slice(&y, axis, 0, size - 1)?);
        }
        y = context.join(&parts, axis)?;
    }
    Ok([if is_reverse { context.gather(&y, axis, &backwards)? } else { y }.into()].into())
}

fn running<T: Copy + Default>(
    array: &ArrayD<T>,
    axis: usize,
    is_exclusive: bool,
    is_reverse: bool,
    add: impl Fn(T, T) -> T,
) -> ArrayD<T> {
    let mut sums = array.clone();
    if is_reverse {
        sums.invert_axis(Axis(axis));
    }
    for mut lane in sums.lanes_mut(Axis(axis)) {
        let mut sum = T::default();
        for element in &mut lane {
            let next = add(sum, *element);
            *element = if is_exclusive { sum } else { next };
            sum = next;
        }
    }
    if is_reverse {
        sums.invert_axis(Axis(axis));
    }
    sums
}
