//! Directions, layouts and initial states of recurrent layers.

use super::Kind;
use super::cells::{Cell, Lengths, State};
use crate::arrays;
use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::{MAX_STEPS, elementwise};
use crate::value::{Tensor, Value};

pub(super) fn run(context: &mut Context, call: &Call<'_>, kind: Kind) -> Lowered<Vec<Value>> {
    let x = context.tensor_of(call.required(0)?)?;
    let is_batch_first = call.int("layout", 0)? != 0;
    let x = if is_batch_first { turned(context, &x)? } else { x };
    let &[steps, batch, inputs] = x.shape.as_slice() else { return invalid("its input is not a sequence") };
    if steps > MAX_STEPS {
        return unsupported(format!("more than {MAX_STEPS} steps; shorten the sequence"));
    }
    let lengths = lengths(context, call, steps, batch)?;
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
        let cell = Cell::new(context, call, kind, place, [directions.len(), inputs, hidden])?;
        let initial = |context: &mut Context, index: usize| -> Lowered<Option<Tensor>> {
            state(context, call, index, place, is_batch_first, [directions.len(), batch, hidden])
        };
        let start = State { hidden: initial(context, 5)?, cell: initial_cell(kind, context, initial)? };
        all.push(cell.unroll(context, &x, is_reverse, &lengths, start)?);
    }
    outputs(context, kind, &all, is_batch_first)
}

/// The ends of the sequences, by public lengths or by private ones.
fn lengths(context: &mut Context, call: &Call<'_>, steps: usize, batch: usize) -> Lowered<Lengths> {
    if call.input(4).is_some_and(|lengths| lengths.shape() != [batch]) {
        return invalid("it has not one length for each sequence");
    }
    if let Some(Value::Node(lengths)) = call.input(4) {
        let seen = elementwise::before(context, lengths, steps)?;
        return Ok(Lengths::Private(context.transpose(&seen, &[1, 0])?));
    }
    let lengths = match call.optional_integers(4)? {
        Some(lengths) => lengths.into_iter().map(arrays::size).collect::<Lowered<Vec<_>>>()?,
        None => vec![steps; batch],
    };
    if lengths.iter().any(|&length| length > steps) {
        return invalid("a sequence is longer than its input");
    }
    Ok(Lengths::Public(lengths))
}

fn initial_cell(
    kind: Kind,
    context: &mut Context,
    initial: impl Fn(&mut Context, usize) -> Lowered<Option<Tensor>>,
) -> Lowered<Option<Tensor>> {
    if kind == Kind::Lstm { initial(context, 6) } else { Ok(None) }
}

/// [batch, steps, …] ↔ [steps, batch, …]
fn turned(context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
    let mut permutation: Vec<usize> = (0..x.rank()).collect();
    if x.rank() < 2 {
        return invalid("its input is not a sequence");
    }
    permutation.swap(0, 1);
    context.transpose(x, &permutation)
}

/// An initial state of one direction, [batch, hidden]; none if it is 0.
fn state(
    context: &mut Context,
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
        return invalid(format!("its initial state has shape {found:?}, not {expected:?}; {hint}"));
    }
    let is_zero = |value: &Value| match value {
        Value::Constant(constant) => constant.array().iter().all(|&element| element == 0.0),
        Value::Integer(array) => array.iter().all(|&element| element == 0),
        _ => false,
    };
    if is_zero(value) {
        return Ok(None);
    }
    let value = if is_batch_first { context.transpose_value(value, &[1, 0, 2])? } else { value.clone() };
    let state = context.gather_value(&value, 0, &[direction])?;
    let state = context.tensor_of(&state)?;
    context.reshape(&state, &[batch, hidden]).map(Some)
}

/// Y of shape [steps, directions, batch, hidden], and the last states of shape [directions, batch, hidden].
fn outputs(
    context: &mut Context,
    kind: Kind,
    all: &[(Vec<Tensor>, State)],
    is_batch_first: bool,
) -> Lowered<Vec<Value>> {
    let steps = all.first().map_or(0, |(hidden, _)| hidden.len());
    let mut rows = Vec::new();
    for step in 0..steps {
        for (hidden, _) in all {
            let row = &hidden[step];
            rows.push(context.reshape(row, &arrays::aligned(&row.shape, 4))?);
        }
    }
    let y = context.join(&rows, 0)?;
    let (batch, hidden) = (y.shape[2], y.shape[3]);
    let y = context.reshape(&y, &[steps, all.len(), batch, hidden])?;
    let mut last = |of: fn(&State) -> &Option<Tensor>| -> Lowered<Option<Tensor>> {
        let states: Option<Vec<&Tensor>> = all.iter().map(|(_, state)| of(state).as_ref()).collect();
        let Some(states) = states else { return Ok(None) };
        let mut parts = Vec::new();
        for state in states {
            parts.push(context.reshape(state, &[1, batch, hidden])?);
        }
        context.join(&parts, 0).map(Some)
    };
    let (mut hidden, mut cell) = (last(|state| &state.hidden)?, last(|state| &state.cell)?);
    let mut y = y;
    if is_batch_first {
        y = context.transpose(&y, &[2, 0, 1, 3])?;
        for state in [&mut hidden, &mut cell].into_iter().flatten() {
            *state = turned(context, state)?;
        }
    }
    let mut values = vec![y.into()];
    values.extend(hidden.map(Value::from));
    values.extend(cell.filter(|_| kind == Kind::Lstm).map(Value::from));
    Ok(values)
}
