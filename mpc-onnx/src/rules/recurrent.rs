//! LSTM, GRU and RNN, unrolled; all steps share their parameters.

mod cells;
mod directions;

use ndarray::ArrayD;

use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, invalid, unsupported};
use crate::rules::activation;
use crate::value::{Tensor, Value};
use cells::Cell;

pub(super) fn lstm(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    directions::run(context, call, Kind::Lstm)
}

pub(super) fn gru(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    directions::run(context, call, Kind::Gru)
}

pub(super) fn rnn(context: &mut Context, call: &Call<'_>) -> Lowered<Vec<Value>> {
    directions::run(context, call, Kind::Rnn)
}

/// The kinds of recurrent layers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lstm,
    Gru,
    Rnn,
}

impl Kind {
    /// The number of gates.
    fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
            Self::Rnn => 1,
        }
    }

    fn activations(self) -> &'static [&'static str] {
        match self {
            Self::Lstm => &["Sigmoid", "Tanh", "Tanh"],
            Self::Gru => &["Sigmoid", "Tanh"],
            Self::Rnn => &["Tanh"],
        }
    }
}

/// An activation of a gate: its name, alpha and beta.
#[derive(Clone, Copy)]
struct Activation {
    name: &'static str,
    numbers: [Option<f32>; 2],
}

impl Activation {
    fn apply(self, context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
        activation::named(context, self.name, self.numbers, x)
    }
}

/// The activations of gates, and the numbers that each takes of the lists of the file: alpha, or alpha and beta.
const ACTIVATIONS: [(&str, usize); 11] = [
    ("Relu", 0),
    ("Tanh", 0),
    ("Sigmoid", 0),
    ("Softsign", 0),
    ("Softplus", 0),
    ("LeakyRelu", 1),
    ("ThresholdedRelu", 1),
    ("Elu", 1),
    ("Affine", 2),
    ("ScaledTanh", 2),
    ("HardSigmoid", 2),
];

/// The activations of one direction.
fn activations(call: &Call<'_>, kind: Kind, direction: usize, directions: usize) -> Lowered<Vec<Activation>> {
    let defaults = kind.activations();
    let count = defaults.len();
    let names: Vec<String> = match call.strings("activations")? {
        Some(names) if names.len() == count * directions => names,
        Some(_) => return invalid("it has not one activation for each gate and direction"),
        None => defaults.iter().cycle().take(count * directions).map(|&name| name.into()).collect(),
    };
    // Values are listed for those activations only that take one.
    let (alphas, betas) = (call.floats("activation_alpha")?, call.floats("activation_beta")?);
    let mut alphas = alphas.unwrap_or_default().into_iter();
    let mut betas = betas.unwrap_or_default().into_iter();
    let mut all = Vec::new();
    for name in &names {
        let known = ACTIVATIONS.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let Some((name, taken)) = known else {
            return unsupported(format!("activation `{name}`; use Sigmoid, Tanh or Relu"));
        };
        let alpha = if taken > 0 { alphas.next() } else { None };
        let beta = if taken > 1 { betas.next() } else { None };
        all.push(Activation { name, numbers: [alpha, beta] });
    }
    Ok(all[direction * count..(direction + 1) * count].to_vec())
}

/// The part of a parameter that belongs to one direction, without its first axis.
fn of_direction(
    context: &mut Context,
    call: &Call<'_>,
    input: usize,
    direction: usize,
    shape: &[usize],
) -> Lowered<Option<Value>> {
    let Some(value) = call.input(input) else { return Ok(None) };
    let found = value.shape();
    if found.len() != shape.len() + 1 || found[1..] != *shape || direction >= found[0] {
        return invalid(format!("its input {input} has shape {found:?}, not [directions, {shape:?}]"));
    }
    let own = context.gather_value(value, 0, &[direction])?;
    context.reshape_value(&own, shape).map(Some)
}

/// Rows `gates` of blocks of `hidden` rows.
fn rows(context: &mut Context, value: &Value, hidden: usize, gates: core::ops::Range<usize>) -> Lowered<Value> {
    let indices = context.range(gates.start * hidden, gates.end * hidden)?;
    context.gather_value(value, 0, &indices)
}

impl Cell {
    /// Reads the parameters of one direction.
    fn new(
        context: &mut Context,
        call: &Call<'_>,
        kind: Kind,
        direction: usize,
        [directions, inputs, hidden]: [usize; 3],
    ) -> Lowered<Self> {
        let gates = kind.gates();
        let Some(weight) = of_direction(context, call, 1, direction, &[gates * hidden, inputs])? else {
            return invalid("it has no weight");
        };
        let Some(recurrence) = of_direction(context, call, 2, direction, &[gates * hidden, hidden])? else {
            return invalid("it has no recurrence weight");
        };
        let resets_after = call.int("linear_before_reset", 0)? != 0;
        let bias = of_direction(context, call, 3, direction, &[2 * gates * hidden])?;
        let (bias, reset_bias) = biases(context, bias, hidden, gates, kind == Kind::Gru && resets_after)?;
        // A GRU's candidate has a product of its own.
        let (recurrence, candidate) = if kind == Kind::Gru {
            (rows(context, &recurrence, hidden, 0..2)?, Some(rows(context, &recurrence, hidden, 2..3)?))
        } else {
            (recurrence, None)
        };
        let clip = call.float("clip", 0.0)?;
        Ok(Self {
            kind,
            hidden,
            name: context.name(""),
            weight,
            recurrence,
            candidate,
            bias,
            reset_bias,
            peepholes: peepholes(context, call, kind, direction, hidden)?,
            activations: activations(call, kind, direction, directions)?,
            clip: (clip > 0.0).then_some(clip),
            is_coupled: call.int("input_forget", 0)? != 0,
        })
    }
}

/// The bias that is added before any gate, the sum of both; and apart from it, if that is so, the one of the product that a
/// GRU's reset gate takes a part of.
fn biases(
    context: &mut Context,
    both: Option<Value>,
    hidden: usize,
    gates: usize,
    is_apart: bool,
) -> Lowered<(Value, Option<Value>)> {
    let size = gates * hidden;
    let both = both.unwrap_or_else(|| Value::constant(ArrayD::zeros([2 * size].as_slice())));
    let own = rows(context, &both, size, 0..1)?;
    let recurrent = rows(context, &both, size, 1..2)?;
    if !is_apart {
        return Ok((sum(context, &own, &recurrent)?, None));
    }
    let apart = rows(context, &recurrent, hidden, gates - 1..gates)?;
    let joined = rows(context, &recurrent, hidden, 0..gates - 1)?;
    let joined = context.pad_value(&joined, &[0], &[hidden])?;
    Ok((sum(context, &own, &joined)?, Some(apart)))
}

fn sum(context: &mut Context, left: &Value, right: &Value) -> Lowered<Value> {
    if let (Value::Constant(left), Value::Constant(right)) = (left, right) {
        return Ok(Value::constant(left.array() + right.array()));
    }
    let (left, right) = (context.tensor_of(left)?, context.tensor_of(right)?);
    context.add(&left, &right).map(Value::Node)
}

/// The weights of the gates i, o and f for the cell's state.
fn peepholes(
    context: &mut Context,
    call: &Call<'_>,
    kind: Kind,
    direction: usize,
    hidden: usize,
) -> Lowered<Option<[Value; 3]>> {
    if kind != Kind::Lstm {
        return Ok(None);
    }
    let Some(all) = of_direction(context, call, 7, direction, &[3 * hidden])? else { return Ok(None) };
    let mut gate = |gate: usize| rows(context, &all, hidden, gate..gate + 1);
    Ok(Some([gate(0)?, gate(1)?, gate(2)?]))
}
