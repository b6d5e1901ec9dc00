//! More of onnxruntime's operators on quantised integers, as its quantiser writes them in operator form.

use super::{dequantised, quantised};
use crate::arrays;
use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, invalid};
use crate::rules::{elementwise, linear};
use crate::value::Value;

/// QLinearConcat: scale and zero point of the result, then each operand with its own.
pub(crate) fn concat(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let operands = call.inputs.len().saturating_sub(2) / 3;
    if operands == 0 || call.inputs.len() != 2 + 3 * operands {
        return invalid("it has not a scale and a zero point for each operand");
    }
    let mut parts = Vec::new();
    for operand in 0..operands {
        let first = 2 + 3 * operand;
        parts.push(dequantised(context, call, [first, first + 1, first + 2], 1)?);
    }
    let Some(axis) = call.optional_int("axis")? else { return invalid("it has no axis") };
    let axis = arrays::axis(axis, parts[0].shape().len())?;
    let all = context.concat_values(&parts, axis)?;
    quantised(context, call, &[all], [0, 1])
}

/// QLinearWhere: a condition, then both operands with scale and zero point, then those of the result.
pub(crate) fn choice(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let (yes, no) = (dequantised(context, call, [1, 2, 3], 1)?, dequantised(context, call, [4, 5, 6], 1)?);
    let inputs = vec![call.input(0).cloned(), Some(yes), Some(no)];
    let inner = Call { masking: call.masking, ..call.with(inputs) };
    let y = elementwise::choose(context, &inner)?;
    quantised(context, call, &y, [7, 8])
}

/// QGemm: both factors with scale and zero point, a bias in units of both scales, and those of the result, if it is quantised.
pub(crate) fn gemm(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let left = dequantised(context, call, [0, 1, 2], 0)?;
    let column = usize::from(call.int("transB", 0)? == 0);
    let right = dequantised(context, call, [3, 4, 5], column)?;
    let bias = match call.optional_constant(6)? {
        None => None,
        Some(bias) => {
            let (own, other) = (call.constant(1)?, call.constant(4)?);
            let Some(&scale) = own.array().first() else { return invalid("its first factor has no scale") };
            let unit = scale * call.float("alpha", 1.0)?;
            let real = arrays::zip(bias.array(), other.array(), |&bias, &other| Ok(bias * other * unit))?;
            Some(Value::constant(real))
        }
    };
    let inner = call.with(vec![Some(left), Some(right), bias]);
    let y = linear::gemm(context, &inner)?;
    if call.input(7).is_none() { Ok(y) } else { quantised(context, call, &y, [7, 8]) }
}

/// The operands of QEmbedLayerNormalization as those of EmbedLayerNormalization: its tables, and what normalises, as real numbers.
pub(crate) fn real_tables(context: &mut Context, call: &mut Call<'_>) -> Lowered<()> {
    for place in 2..7 {
        if call.input(place).is_some() {
            call.inputs[place] = Some(dequantised(context, call, [place, place + 6, place + 11], 0)?);
        }
    }
    call.inputs.truncate(8);
    Ok(())
}
