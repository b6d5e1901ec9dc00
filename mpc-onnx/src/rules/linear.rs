//! Products of matrices.

use ndarray::ArrayD;

use crate::arrays;
use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, invalid};
use crate::value::{Tensor, Value};

/// α·A·B + β·C
pub(super) fn gemm(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let (alpha, beta) = (call.float("alpha", 1.0)?, call.float("beta", 1.0)?);
    let (left, right) = (call.required(0)?.clone(), call.required(1)?.clone());
    if left.shape().len() != 2 || right.shape().len() != 2 {
        return invalid("its factors are not matrices");
    }
    let turned = |context: &mut Context, value: Value, name: &str| {
        if call.int(name, 0)? != 0 { context.transpose_value(&value, &[1, 0]) } else { Ok(value) }
    };
    let (left, right) = (turned(context, left, "transA")?, turned(context, right, "transB")?);
    if let Some(empty) = empty_product(&left, &right)? {
        return Ok([empty].into());
    }
    if let (Value::Node(x), Value::Constant(b)) = (&left, &right) {
        let mut weight = arrays::transpose(b.array(), &[1, 0]).mapv(|value| alpha * value);
        let outputs = weight.shape()[0];
        let mut bias = row_bias(call, outputs)?.map(|bias| bias.into_iter().map(|value| beta * value).collect());
        let is_whole = call.input(2).is_none() || bias.is_some();
        if let Some(norm) = call.norm.as_ref().filter(|_| is_whole) {
            bias = Some(norm.fold(&mut weight, bias, |element, shape| element / shape[1])?);
        }
        let has_bias = bias.is_some();
        let y = context.linear(x, weight, bias)?;
        if has_bias || call.input(2).is_none() {
            return Ok([y.into()].into());
        }
        let y = plus(context, call, &y, beta)?;
        return Ok([normed(context, call, y)?.into()].into());
    }
    let product = product(context, &left, &right)?;
    let product = context.scale(&product, alpha)?;
    let y = plus(context, call, &product, beta)?;
    Ok([normed(context, call, y)?.into()].into())
}

/// y behind the batch normalisation that the call takes up, which no weight holds.
fn normed(context: &mut Context, call: &Call<'_>, y: Tensor) -> Lowered<Tensor> {
    let Some(norm) = &call.norm else { return Ok(y) };
    if y.shape.last() != Some(&norm.scale.array().len()) {
        return invalid("the batch normalisation behind it has another number of channels");
    }
    let y = context.scale_privately(&y, norm.scale.array())?;
    context.offset_privately(&y, norm.shift.array())
}

/// The third operand, if it is a constant with one entry for each column or one for all.
fn row_bias(call: &Call<'_>, outputs: usize) -> Lowered<Option<Vec<f32>>> {
    if !matches!(call.input(2), Some(Value::Constant(_) | Value::Integer(_))) {
        return Ok(None);
    }
    let bias = call.constant(2)?;
    let is_row = bias.array().shape().iter().rev().skip(1).all(|&size| size == 1);
    match bias.array().len() {
        1 => Ok(Some(arrays::broadcast(&arrays::reshape(bias.array(), &[1])?, &[outputs])?.into_iter().collect())),
        len if len == outputs && is_row => Ok(Some(bias.array().iter().copied().collect())),
        _ => Ok(None),
    }
}

fn plus(context: &mut Context, call: &Call<'_>, y: &Tensor, beta: f32) -> Lowered<Tensor> {
    match call.input(2) {
        None => Ok(y.clone()),
        Some(Value::Node(c)) => {
            let c = context.scale(c, beta)?;
            context.add(y, &c)
        }
        Some(_) => {
            let c = call.constant(2)?.array().mapv(|value| beta * value);
            if c.len() == 1 { context.offset_privately(y, &c) } else { context.offset_by(y, &c) }
        }
    }
}

pub(super) fn mat_mul(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let (left, right) = (call.required(0)?.clone(), call.required(1)?.clone());
    let (left_rank, right_rank) = (left.shape().len(), right.shape().len());
    if left_rank == 0 || right_rank == 0 {
        return invalid("a factor is a scalar");
    }
    // A vector is a row on the left and a column on the right.
    let left = if left_rank == 1 { context.reshape_value(&left, &[1, left.shape()[0]])? } else { left };
    let right = if right_rank == 1 { context.reshape_value(&right, &[right.shape()[0], 1])? } else { right };
    let y = match empty_product(&left, &right)? {
        Some(empty) => empty,
        None => product(context, &left, &right)?.into(),
    };
    let mut shape = y.shape().to_vec();
    if right_rank == 1 {
        shape.pop();
    }
    if left_rank == 1 {
        shape.remove(y.shape().len() - 2);
    }
    Ok([context.reshape_value(&y, &shape)?].into())
}

/// The product of matrices where it has no elements, as that of a selection of no rows.
fn empty_product(left: &Value, right: &Value) -> Lowered<Option<Value>> {
    let (Some((outer, &[rows, inner])), Some((other, &[own, columns]))) =
        (left.shape().split_last_chunk::<2>(), right.shape().split_last_chunk::<2>())
    else {
        return Ok(None);
    };
    let outer = arrays::broadcast_shape(outer, other)?;
    let shape = [outer.as_slice(), &[rows, columns]].concat();
    if inner != own || !shape.contains(&0) {
        return Ok(None);
    }
    Ok(Some(Value::constant(ArrayD::zeros(shape))))
}

/// The product of matrices in the last two axes.
pub(crate) fn product(context: &mut Context, left: &Value, right: &Value) -> Lowered<Tensor> {
    let (Some(&[_, inner]), Some(&[right_inner, _])) = (left.shape().last_chunk(), right.shape().last_chunk()) else {
        return invalid("a factor has fewer than two axes");
    };
    if inner != right_inner {
        return invalid(format!("shapes {:?} and {:?} do not fit", left.shape(), right.shape()));
    }
    match (left, right) {
        (Value::Node(x), Value::Constant(b)) if is_matrix(b.array()) => {
            let weight = arrays::transpose(&as_matrix(b.array())?, &[1, 0]);
            let y = context.linear(x, weight, None)?;
            with_rank(context, y, b.array().ndim())
        }
        (Value::Constant(a), Value::Node(y)) if is_matrix(a.array()) => {
            // A·Y = (Yᵀ·Aᵀ)ᵀ
            let columns = context.transpose_last(y)?;
            let product = context.linear(&columns, as_matrix(a.array())?, None)?;
            let product = context.transpose_last(&product)?;
            with_rank(context, product, a.array().ndim())
        }
        _ => {
            let (x, y) = (context.tensor_of(left)?, context.tensor_of(right)?);
            context.matrix_product(&x, &y)
        }
    }
}

/// Whether all axes but the last two have size 1.
fn is_matrix(array: &ArrayD<f32>) -> bool {
    array.shape().iter().rev().skip(2).all(|&size| size == 1)
}

fn as_matrix(array: &ArrayD<f32>) -> Lowered<ArrayD<f32>> {
    let shape = array.shape();
    arrays::reshape(array, &shape[shape.len() - 2..])
}

/// Axes of size 1 in front, as broadcasting adds them.
fn with_rank(context: &mut Context, y: Tensor, rank: usize) -> Lowered<Tensor> {
    let shape = arrays::aligned(&y.shape, rank);
    context.reshape(&y, &shape)
}
