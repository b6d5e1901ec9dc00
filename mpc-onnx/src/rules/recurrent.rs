//! LSTM, GRU and RNN, unrolled; all steps share their parameters.

mod cells;
mod directions;

use mpc_protocols::function::Function;
use ndarray::{ArrayD, Axis};

use crate::arrays;
use crate::call::Call;
use crate::context::Context;
use crate::error::{Lowered, invalid, unsupported};
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

/// An activation of a gate.
#[derive(Clone, Copy)]
enum Activation {
    Relu,
    Affine { alpha: f32, beta: f32 },
    Function(Function),
}

impl Activation {
    fn new(name: &str, alpha: Option<f32>, beta: Option<f32>) -> Lowered<Self> {
        let or = |value: Option<f32>, default: f32| value.unwrap_or(default);
        Ok(Self::Function(match name.to_ascii_lowercase().as_str() {
            "relu" => return Ok(Self::Relu),
            "affine" => return Ok(Self::Affine { alpha: or(alpha, 1.0), beta: or(beta, 0.0) }),
            "sigmoid" => Function::Sigmoid,
            "tanh" => Function::Tanh,
            "leakyrelu" => Function::LeakyRelu { slope: or(alpha, 0.01) },
            "hardsigmoid" => Function::HardSigmoid { alpha: or(alpha, 0.2), beta: or(beta, 0.5) },
            "elu" => Function::Elu { alpha: or(alpha, 1.0) },
            "softplus" => Function::Softplus,
            _ => return unsupported(format!("activation `{name}`; use Sigmoid, Tanh or Relu")),
        }))
    }

    fn apply(self, context: &mut Context, x: &Tensor) -> Lowered<Tensor> {
        match self {
            Self::Relu => context.relu(x),
            Self::Affine { alpha, beta } => {
                let scaled = context.scale(x, alpha)?;
                context.offset(&scaled, beta)
            }
            Self::Function(function) => context.function(x, function),
        }
    }
}

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
        let lower = name.to_ascii_lowercase();
        let takes_beta = matches!(lower.as_str(), "affine" | "hardsigmoid" | "scaledtanh");
        let takes_alpha = takes_beta || matches!(lower.as_str(), "leakyrelu" | "elu" | "thresholdedrelu");
        let alpha = if takes_alpha { alphas.next() } else { None };
        let beta = if takes_beta { betas.next() } else { None };
        all.push(Activation::new(name, alpha, beta)?);
    }
    Ok(all[direction * count..(direction + 1) * count].to_vec())
}

/// The part of a constant that belongs to one direction, without its first axis.
fn of_direction(call: &Call<'_>, input: usize, direction: usize, shape: &[usize]) -> Lowered<Option<ArrayD<f32>>> {
    let Some(constant) = call.optional_constant(input)? else { return Ok(None) };
    let array = constant.array();
    if array.ndim() != shape.len() + 1 || array.shape()[1..] != *shape || direction >= array.shape()[0] {
        return invalid(format!("its input {input} has shape {:?}, not [directions, {shape:?}]", array.shape()));
    }
    Ok(Some(array.index_axis(Axis(0), direction).as_standard_layout().into_owned()))
}

/// Rows `gates` of blocks of `hidden` rows.
fn rows(array: &ArrayD<f32>, hidden: usize, gates: core::ops::Range<usize>) -> ArrayD<f32> {
    let indices: Vec<usize> = (gates.start * hidden..gates.end * hidden).collect();
    arrays::gather(array, 0, &indices)
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
        let Some(weight) = of_direction(call, 1, direction, &[gates * hidden, inputs])? else {
            return invalid("it has no weight");
        };
        let Some(recurrence) = of_direction(call, 2, direction, &[gates * hidden, hidden])? else {
            return invalid("it has no recurrence weight");
        };
        let bias = of_direction(call, 3, direction, &[2 * gates * hidden])?;
        let bias = bias.unwrap_or_else(|| ArrayD::zeros([2 * gates * hidden].as_slice()));
        let peepholes = if kind == Kind::Lstm { of_direction(call, 7, direction, &[3 * hidden])? } else { None };
        let clip = call.float("clip", 0.0)?;
        let name = context.name("");
        Ok(Self {
            kind,
            hidden,
            name,
            weight,
            recurrence,
            input_bias: rows(&bias, hidden, 0..gates),
            recurrent_bias: rows(&bias, hidden, gates..2 * gates),
            peepholes,
            activations: activations(call, kind, direction, directions)?,
            clip: (clip > 0.0).then_some(clip),
            is_coupled: call.int("input_forget", 0)? != 0,
            resets_after: call.int("linear_before_reset", 0)? != 0,
        })
    }
}
