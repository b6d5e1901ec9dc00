//! One step of a recurrent layer, as ONNX defines it.

use mpc_protocols::function::Function;

use super::{Activation, Kind};
use crate::context::Context;
use crate::error::{Lowered, unsupported};
use crate::value::{Tensor, Value};

/// One direction of a layer.
pub(super) struct Cell {
    pub(super) kind: Kind,
    pub(super) hidden: usize,
    pub(super) name: String,
    /// [gates·hidden, inputs], the model owner's or private, as all parameters.
    pub(super) weight: Value,
    /// [gates·hidden, hidden], of the gates that are computed from the state itself: in a GRU the first two.
    pub(super) recurrence: Value,
    /// A GRU's last gate.
    pub(super) candidate: Option<Value>,
    /// [gates·hidden]
    pub(super) bias: Value,
    /// Of a GRU whose reset gate applies behind the recurrent product: the bias of that product.
    pub(super) reset_bias: Option<Value>,
    /// Of the gates i, o and f.
    pub(super) peepholes: Option<[Value; 3]>,
    pub(super) activations: Vec<Activation>,
    pub(super) clip: Option<f32>,
    pub(super) is_coupled: bool,
}

/// The state that a step hands to the next; `None` is 0.
pub(super) struct State {
    pub(super) hidden: Option<Tensor>,
    pub(super) cell: Option<Tensor>,
}

/// x·weightᵀ + bias: a layer, whose parameters other nodes may share, or a product with a private weight.
fn layer(
    context: &mut Context,
    name: &str,
    x: &Tensor,
    [weight, bias]: [Option<&Value>; 2],
    tied: Option<&str>,
) -> Lowered<Tensor> {
    let (y, missing) = match (weight, bias) {
        (Some(Value::Constant(weight)), Some(Value::Constant(bias))) => {
            let bias = bias.array().iter().copied().collect();
            (context.linear_named(name, x, weight.array().clone(), Some(bias), tied)?, None)
        }
        (Some(Value::Constant(weight)), bias) => {
            (context.linear_named(name, x, weight.array().clone(), None, tied)?, bias)
        }
        (Some(Value::Node(weight)), bias) => {
            let weight = context.transpose(weight, &[1, 0])?;
            (context.matrix_product(x, &weight)?, bias)
        }
        _ => return unsupported("its weights are integers"),
    };
    match missing {
        Some(bias) => context.offset_by_value(&y, bias),
        None => Ok(y),
    }
}

/// The ends of the sequences.
pub(super) enum Lengths {
    Public(Vec<usize>),
    /// [steps, batch]: 1 for the steps that a sequence has, else 0.
    Private(Tensor),
}

impl Lengths {
    /// A step shows its new values and hands them on; behind the end of a sequence it shows nothing and hands on the old ones.
    fn ended(
        &self,
        context: &mut Context,
        step: usize,
        new: Tensor,
        old: Option<&Tensor>,
    ) -> Lowered<(Tensor, Tensor)> {
        match self {
            Self::Public(lengths) => {
                let is_seen: Vec<bool> = lengths.iter().map(|&length| step < length).collect();
                Ok((rows_where(context, &is_seen, &new, None)?, rows_where(context, &is_seen, &new, old)?))
            }
            Self::Private(seen) => {
                let seen = context.slice(seen, 0, step, step + 1)?;
                let seen = context.reshape(&seen, &[new.shape[0], 1])?;
                let shown = context.multiply(&new, &seen)?;
                let Some(old) = old else { return Ok((shown.clone(), shown)) };
                let left = context.multiply(old, &seen)?;
                let stays = context.subtract(old, &left)?;
                let next = context.add(&shown, &stays)?;
                Ok((shown, next))
            }
        }
    }
}

/// The new rows where the sequence goes on, the old ones elsewhere; none are zeros.
fn rows_where(context: &mut Context, is_seen: &[bool], new: &Tensor, old: Option<&Tensor>) -> Lowered<Tensor> {
    if is_seen.iter().all(|&is_seen| is_seen) {
        return Ok(new.clone());
    }
    let batch = is_seen.len();
    let both = match old {
        Some(old) => context.join(&[new.clone(), old.clone()], 0)?,
        None => context.pad(new, &[0, 0], &[batch, 0])?,
    };
    let places: Vec<usize> =
        is_seen.iter().enumerate().map(|(row, &is_seen)| if is_seen { row } else { batch + row }).collect();
    context.gather(&both, 0, &places)
}

impl Cell {
    /// All steps of [steps, batch, inputs]: the hidden state of each, in the order of the input, and the last state.
    pub(super) fn unroll(
        &self,
        context: &mut Context,
        x: &Tensor,
        is_reverse: bool,
        lengths: &Lengths,
        mut state: State,
    ) -> Lowered<(Vec<Tensor>, State)> {
        let (steps, batch) = (x.shape[0], x.shape[1]);
        // The products with the input do not wait for a state: one layer for all steps.
        let name = context.unique(format!("{}/input", self.name));
        let projected = layer(context, &name, x, [Some(&self.weight), Some(&self.bias)], None)?;
        let mut hidden = Vec::new();
        for index in 0..steps {
            let step = if is_reverse { steps - 1 - index } else { index };
            let gates = context.slice(&projected, 0, step, step + 1)?;
            let gates = context.reshape(&gates, &[batch, self.kind.gates() * self.hidden])?;
            let next = match self.kind {
                Kind::Lstm => self.lstm(context, &gates, &state)?,
                Kind::Gru => self.gru(context, &gates, &state)?,
                Kind::Rnn => self.rnn(context, &gates, &state)?,
            };
            if let Some(new) = next.hidden {
                let (shown, next) = lengths.ended(context, step, new, state.hidden.as_ref())?;
                hidden.push(shown);
                state.hidden = Some(next);
            }
            if let Some(new) = next.cell {
                state.cell = Some(lengths.ended(context, step, new, state.cell.as_ref())?.1);
            }
        }
        if is_reverse {
            hidden.reverse();
        }
        Ok((hidden, state))
    }

    /// x·weightᵀ + bias in a step, with parameters that all steps share.
    fn recurrent(
        &self,
        context: &mut Context,
        x: &Tensor,
        part: &str,
        [weight, bias]: [Option<&Value>; 2],
    ) -> Lowered<Tensor> {
        let parameters = format!("{}/{part}", self.name);
        let name = context.unique(format!("{parameters}/step"));
        layer(context, &name, x, [weight, bias], Some(&parameters))
    }

    /// The part of the gates that comes from the state itself.
    fn of_state(&self, context: &mut Context, hidden: &Tensor) -> Lowered<Tensor> {
        self.recurrent(context, hidden, "recurrent", [Some(&self.recurrence), None])
    }

    /// Block `gate` of the gates.
    fn gate(&self, context: &mut Context, gates: &Tensor, gate: usize) -> Lowered<Tensor> {
        context.slice(gates, 1, gate * self.hidden, (gate + 1) * self.hidden)
    }

    fn activate(&self, context: &mut Context, x: &Tensor, activation: usize) -> Lowered<Tensor> {
        let x = match self.clip {
            Some(limit) => context.function(x, Function::Clip { low: -limit, high: limit })?,
            None => x.clone(),
        };
        self.activations[activation].apply(context, &x)
    }

    fn peep(&self, context: &mut Context, x: Tensor, cell: Option<&Tensor>, place: usize) -> Lowered<Tensor> {
        let (Some(peepholes), Some(cell)) = (&self.peepholes, cell) else { return Ok(x) };
        let term = context.scale_by_value(cell, &peepholes[place])?;
        context.add(&x, &term)
    }

    /// Gates i, o, f, c.
    fn lstm(&self, context: &mut Context, gates: &Tensor, state: &State) -> Lowered<State> {
        let mut gates = gates.clone();
        if let Some(hidden) = &state.hidden {
            let product = self.of_state(context, hidden)?;
            gates = context.add(&gates, &product)?;
        }
        let old = state.cell.as_ref();
        let input = self.gate(context, &gates, 0)?;
        let input = self.peep(context, input, old, 0)?;
        let input = self.activate(context, &input, 0)?;
        let candidate = self.gate(context, &gates, 3)?;
        let candidate = self.activate(context, &candidate, 1)?;
        let mut cell = context.multiply(&input, &candidate)?;
        if let Some(old) = old {
            let forget = if self.is_coupled {
                let negative = context.scale(&input, -1.0)?;
                context.offset(&negative, 1.0)?
            } else {
                let forget = self.gate(context, &gates, 2)?;
                let forget = self.peep(context, forget, Some(old), 2)?;
                self.activate(context, &forget, 0)?
            };
            let kept = context.multiply(&forget, old)?;
            cell = context.add(&kept, &cell)?;
        }
        let output = self.gate(context, &gates, 1)?;
        let output = self.peep(context, output, Some(&cell), 1)?;
        let output = self.activate(context, &output, 0)?;
        let shown = self.activations[2].apply(context, &cell)?;
        let hidden = context.multiply(&output, &shown)?;
        Ok(State { hidden: Some(hidden), cell: Some(cell) })
    }

    /// Gates z, r, h: H = (1 − z)·h + z·H'.
    fn gru(&self, context: &mut Context, gates: &Tensor, state: &State) -> Lowered<State> {
        let size = self.hidden;
        let mut candidate = self.gate(context, gates, 2)?;
        let mut both = context.slice(gates, 1, 0, 2 * size)?;
        if let Some(hidden) = &state.hidden {
            let product = self.of_state(context, hidden)?;
            both = context.add(&both, &product)?;
        }
        let both = self.activate(context, &both, 0)?;
        let (update, reset) = (self.gate(context, &both, 0)?, self.gate(context, &both, 1)?);
        let weight = self.candidate.as_ref();
        if let Some(bias) = &self.reset_bias {
            let term = match &state.hidden {
                Some(hidden) => {
                    let product = self.recurrent(context, hidden, "candidate", [weight, Some(bias)])?;
                    context.multiply(&product, &reset)?
                }
                None => context.scale_by_value(&reset, bias)?,
            };
            candidate = context.add(&candidate, &term)?;
        } else if let Some(hidden) = &state.hidden {
            let remembered = context.multiply(hidden, &reset)?;
            let product = self.recurrent(context, &remembered, "candidate", [weight, None])?;
            candidate = context.add(&candidate, &product)?;
        }
        let candidate = self.activate(context, &candidate, 1)?;
        // h + z·(H' − h)
        let negative = context.scale(&candidate, -1.0)?;
        let difference = match &state.hidden {
            Some(hidden) => context.add(hidden, &negative)?,
            None => negative,
        };
        let change = context.multiply(&difference, &update)?;
        let hidden = context.add(&candidate, &change)?;
        Ok(State { hidden: Some(hidden), cell: None })
    }

    fn rnn(&self, context: &mut Context, gates: &Tensor, state: &State) -> Lowered<State> {
        let mut sum = gates.clone();
        if let Some(hidden) = &state.hidden {
            let product = self.of_state(context, hidden)?;
            sum = context.add(&sum, &product)?;
        }
        let hidden = self.activate(context, &sum, 0)?;
        Ok(State { hidden: Some(hidden), cell: None })
    }
}
