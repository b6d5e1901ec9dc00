//! Distances between rows, as nearest neighbours of scikit-learn's converter write them.

use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, invalid, unsupported};
use crate::value::Value;

/// The distance of each row of the first operand from each of the second.
pub(super) fn distances(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    let [left, right] = [call.required(0)?, call.required(1)?];
    let (&[rows, width], &[columns, other]) = (left.shape(), right.shape()) else {
        return invalid("its operands are no matrices");
    };
    if width != other {
        return invalid("its rows are of several lengths");
    }
    let left = context.reshape_value(left, &[rows, 1, width])?;
    let right = context.reshape_value(right, &[1, columns, width])?;
    let (left, right) = (context.tensor_of(&left)?, context.tensor_of(&right)?);
    let difference = context.subtract(&left, &right)?;
    let squares = context.square(&difference)?;
    let sum = context.sum(&squares, &[2])?;
    let y = match call.string("metric", "sqeuclidean")?.as_str() {
        "sqeuclidean" => sum,
        "euclidean" => context.root(&sum)?,
        other => return unsupported(format!("metric `{other}`; use euclidean")),
    };
    Ok([context.reshape(&y, &[rows, columns])?.into()].into())
}
