//! Directions, layouts and initial states of recurrent layers.

use std::format;
use std::vec;
use std::vec::Vec;

use super::Kind;
use super::cells::{Cell, State};
use crate::onnx::arrays;
use crate::onnx::call::Call;
use crate::onnx::error::{Lowered, invalid, unsupported};
use crate::onnx::lowering::Lowering;
use crate::onnx::value::{Tensor, Value};

/// The most steps that are unrolled.
const MAX_STEPS: usize = 4096;

pub(super) fn run(lowering: &mut Lowering, call: &Call<'_>, kind: Kind) -> Lowered<Vec<Value>> {
    let x = call.tensor(0)?;
    let is_batch_first = call.int("layout", 0)? != 0;
    let x = if is_batch_first { turned(lowering, x)? } else { x.clone() };
    let &[steps, batch, inputs] = x.shape.as_slice() else { return invalid("its input is not a sequence") };
    if steps > MAX_STEPS {
        return unsupported(format!("more than {MAX_STEPS} steps; shorten the sequence"));
    }
    if let Some(lengths) = call.optional_integers(4)?
        && lengths.iter().any(|&length| usize::try_from(length) != Ok(steps))
    {
        return unsupported("sequences shorter than the input; pad them and leave sequence_lens out");
    }
    let directions: &[bool] = match call.string("direction", "forward")?.as_str() {
        "forward" => &[false],
        "reverse" => &[true],
        "bidirectional" => &[false, true],
        other => return invalid(format!("direction `{other}` is not known")),
    };
    let recurrence = call.required(2)?.shape();
    let Some(&hidden) = recurrence.get(2) else { return invalid("its recurrence weight has not three axes") };
    if recurrence[0] != directions.len() || hidden == 0 {
        return invalid("its recurrence weight has not one entry for each direction");
    }
    let mut all = Vec::new();
    for (place, &is_reverse) in directions.iter().enumerate() {
        let cell = Cell::new(lowering, call, kind, place, [directions.len(), inputs, hidden])?;
        let initial = |lowering: &mut Lowering, index: usize| -> Lowered<Option<Tensor>> {
            state(lowering, call, index, place, is_batch_first, [directions.len(), batch, hidden])
        };
        let start = State { hidden: initial(lowering, 5)?, cell: initial_cell(kind, lowering, initial)? };
        all.push(cell.unroll(lowering, &x, is_reverse, start)?);
    }
    outputs(lowering, kind, &all, is_batch_first)
}

fn initial_cell(
    kind: Kind,
    lowering: &mut Lowering,
    initial: impl Fn(&mut Lowering, usize) -> Lowered<Option<Tensor>>,
) -> Lowered<Option<Tensor>> {
    if kind == Kind::Lstm { initial(lowering, 6) } else { Ok(None) }
}

/// [batch, steps, …] ↔ [steps, batch, …]
fn turned(lowering: &mut Lowering, x: &Tensor) -> Lowered<Tensor> {
    let mut permutation: Vec<usize> = (0..x.rank()).collect();
    if x.rank() < 2 {
        return invalid("its input is not a sequence");
    }
    permutation.swap(0, 1);
    lowering.transpose(x, &permutation)
}

/// An initial state of one direction, [batch, hidden]; none if it is 0.
fn state(
    lowering: &mut Lowering,
    call: &Call<'_>,
    index: usize,
    direction: usize,
    is_batch_first: bool,
    [directions, batch, hidden]: [usize; 3],
) -> Lowered<Option<Tensor>> {
    let Some(value) = call.input(index) else { return Ok(None) };
    let expected = if is_batch_first { [batch, directions, hidden] } else { [directions, batch, hidden] };
    if value.shape() != expected {
        let found = value.shape();
        let hint = "a projection, as PyTorch's proj_size, is not part of ONNX";
        return invalid(std::format!("its initial state has shape {found:?}, not {expected:?}; {hint}"));
    }
    let is_zero = |value: &Value| match value {
        Value::Constant(constant) => constant.array().iter().all(|&element| element == 0.0),
        Value::Integer(array) => array.iter().all(|&element| element == 0),
        _ => false,
    };
    if is_zero(value) {
        return Ok(None);
    }
    let value = if is_batch_first { lowering.transpose_value(value, &[1, 0, 2])? } else { value.clone() };
    let state = lowering.gather_value(&value, 0, &[direction])?;
    let state = lowering.tensor_of(&state)?;
    lowering.reshape(&state, &[batch, hidden]).map(Some)
}

/// Y of shape [steps, directions, batch, hidden], and the last states of shape [directions, batch, hidden].
fn outputs(
    lowering: &mut Lowering,
    kind: Kind,
    all: &[(Vec<Tensor>, State)],
    is_batch_first: bool,
) -> Lowered<Vec<Value>> {
    let steps = all.first().map_or(0, |(hidden, _)| hidden.len());
    let mut rows = Vec::new();
    for step in 0..steps {
        for (hidden, _) in all {
            let row = &hidden[step];
            rows.push(lowering.reshape(row, &arrays::aligned(&row.shape, 4))?);
        }
    }
    let y = lowering.join(&rows, 0)?;
    let (batch, hidden) = (y.shape[2], y.shape[3]);
    let y = lowering.reshape(&y, &[steps, all.len(), batch, hidden])?;
    let mut last = |of: fn(&State) -> &Option<Tensor>| -> Lowered<Option<Tensor>> {
        let states: Option<Vec<&Tensor>> = all.iter().map(|(_, state)| of(state).as_ref()).collect();
        let Some(states) = states else { return Ok(None) };
        let mut parts = Vec::new();
        for state in states {
            parts.push(lowering.reshape(state, &[1, batch, hidden])?);
        }
        lowering.join(&parts, 0).map(Some)
    };
    let (mut hidden, mut cell) = (last(|state| &state.hidden)?, last(|state| &state.cell)?);
    let mut y = y;
    if is_batch_first {
        y = lowering.transpose(&y, &[2, 0, 1, 3])?;
        for state in [&mut hidden, &mut cell].into_iter().flatten() {
            *state = turned(lowering, state)?;
        }
    }
    let mut values = vec![y.into()];
    values.extend(hidden.map(Value::from));
    values.extend(cell.filter(|_| kind == Kind::Lstm).map(Value::from));
    Ok(values)
}
