//! Softmax and LogSoftmax.

use std::vec::Vec;

use mpc_protocols::function::Function;

use super::reduce;
use crate::onnx::arrays;
use crate::onnx::call::Call;
use crate::onnx::error::Lowered;
use crate::onnx::lowering::Lowering;
use crate::onnx::value::{Tensor, Value};

pub(super) fn softmax(lowering: &mut Lowering, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let is_log = call.operator() == "LogSoftmax";
    if call.opset >= 13 {
        let axis = arrays::axis(call.int("axis", -1)?, x.rank())?;
        return Ok([along(lowering, x, axis, is_log)?.into()].into());
    }
    // Before opset 13, all axes from the named one on are one.
    let axis = arrays::axis(call.int("axis", 1)?, x.rank())?;
    let outer: usize = x.shape[..axis].iter().product();
    let flat = lowering.reshape(x, &[outer, x.len() / outer])?;
    let y = along(lowering, &flat, 1, is_log)?;
    Ok([lowering.reshape(&y, &x.shape)?.into()].into())
}

pub(super) fn along(lowering: &mut Lowering, x: &Tensor, axis: usize, is_log: bool) -> Lowered<Tensor> {
    if is_log {
        let norm = reduce::log_sum_exp(lowering, x, &[axis])?;
        return lowering.subtract(x, &norm);
    }
    let largest = reduce::maximum(lowering, x, &[axis])?;
    let shifted = lowering.subtract(x, &largest)?;
    let exponentials = lowering.function(&shifted, Function::ExpNonPositive)?;
    let sum = lowering.sum(&exponentials, &[axis])?;
    let reciprocal = lowering.function(&sum, Function::PositiveReciprocal)?;
    lowering.multiply(&exponentials, &reciprocal)
}
