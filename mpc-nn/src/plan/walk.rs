//! The walk over a graph that makes its plan.

mod layers;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::marker::PhantomData;

use mpc_protocols::Request;
use mpc_protocols::sign::{SignParameters, SignShape};
use mpc_protocols::truncation::LiftShape;
use mpc_ring::Ring;
use mpc_transport::Traffic;

use super::format::{Format, Index, Integers, Number, at_bits, ceil_log2, integers, power_of_two, round};
use super::settings::{PlanError, Settings};
use super::step::{Action, MaskedWeight, SharedConstant, Step};
use crate::graph::{Graph, Node, NodeId, Op};

/// The steps so far.
pub(super) struct Walk<'a, R: Ring> {
    graph: &'a Graph,
    settings: Settings,
    parameters: SignParameters,
    /// The format of each node's value so far.
    formats: Vec<Format>,
    pub(super) weights: Vec<MaskedWeight>,
    pub(super) constants: Vec<SharedConstant>,
    pub(super) steps: Vec<Step>,
    ring: PhantomData<R>,
}

impl<'a, R: Ring> Walk<'a, R> {
    pub(super) fn new(graph: &'a Graph, settings: Settings, parameters: SignParameters) -> Self {
        let (formats, weights, constants, steps) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { graph, settings, parameters, formats, weights, constants, steps, ring: PhantomData }
    }

    pub(super) fn visit(&mut self, id: NodeId, node: &Node) -> Result<(), PlanError> {
        let (action, format) = self.action(id, node)?;
        self.push(node.name().to_owned(), id, action, format);
        self.formats.push(format);
        Ok(())
    }

    /// What a node does, and the format of its value.
    fn action(&mut self, id: NodeId, node: &Node) -> Result<(Action, Format), PlanError> {
        let inputs = node.inputs();
        Ok(match node.op() {
            Op::Input => {
                let input = self.graph.inputs().iter().position(|&input| input == id).unwrap_or_default();
                (Action::Share { input }, self.single())
            }
            Op::Parameter => self.constant(node),
            Op::Convolution { .. } | Op::Linear { .. } | Op::ScaleChannels(_) => self.linear(node)?,
            Op::OffsetChannels(map) => self.offset_channels(node, *map)?,
            Op::Relu => {
                let shift = self.need_undivided(inputs[0])?.scale - self.settings.fractional_bits;
                let shape = SignShape { len: node.len(), parameters: self.parameters };
                (Action::Relu { shift, shape }, self.single())
            }
            Op::Function(function) => self.function(node, *function)?,
            Op::MaxPool(pool) => {
                self.need_plain(inputs[0])?;
                (Action::MaxPool { pool: *pool, parameters: self.parameters }, self.single())
            }
            Op::ArgMax => self.arg_max(node)?,
            Op::Rank { .. } => self.rank(node)?,
            Op::RankedValue => self.ranked_value(node)?,
            Op::RankedIndex => self.ranked_index(node)?,
            Op::AveragePool(pool) => self.average(inputs[0], *pool, node)?,
            Op::Sum { axes } => (Action::Sum { axes: axes.clone() }, self.number(inputs[0])?.into()),
            Op::Mean { axes } => {
                let Number { scale, divisor } = self.number(inputs[0])?;
                let count = self.graph.node(inputs[0]).len() / node.len();
                let divisor = divisor * count as f64;
                (Action::Sum { axes: axes.clone() }, Number { scale, divisor }.into())
            }
            Op::Multiply => self.multiply(node)?,
            Op::Square => {
                self.need_plain(inputs[0])?;
                (Action::Square, self.double())
            }
            Op::MatrixProduct => self.matrix_product(node)?,
            Op::Scale { factor: -1.0 } if let Format::Index(Index { bits, origin, step }) = self.format(inputs[0]) => {
                (Action::Reshape, Format::Index(Index { bits, origin: -origin, step: -step }))
            }
            Op::Offset { value } if let (Format::Index(index), 0.0) = (self.format(inputs[0]), value % 1.0) => {
                (Action::Reshape, Format::Index(Index { origin: index.origin + *value as i64, ..index }))
            }
            Op::Scale { factor } => {
                let Integers { bits, integers } = self.public_factors(inputs[0], &[f64::from(*factor)])?;
                (Action::Scale { factor: integers[0] }, self.number(inputs[0])?.finer(bits).into())
            }
            Op::Offset { value } => {
                let Number { scale, divisor } = self.need_offset(inputs[0], f64::from(*value), node)?;
                let value = round(f64::from(*value) * divisor * power_of_two(scale)) as i128;
                (Action::Offset { value }, Number { scale, divisor }.into())
            }
            Op::Combine { axis, rows } => self.combine(inputs[0], *axis, rows)?,
            Op::Add => {
                let (format, shifts) = self.common(inputs)?;
                (Action::Add { shifts: [shifts[0], shifts[1]] }, format)
            }
            Op::Concat { axis } => {
                let (format, shifts) = self.common(inputs)?;
                (Action::Concat { axis: *axis, shifts }, format)
            }
            Op::Reshape => (Action::Reshape, self.format(inputs[0])),
            Op::Transpose { permutation } => {
                (Action::Transpose { permutation: permutation.clone() }, self.format(inputs[0]))
            }
            Op::Gather { axis, indices } => {
                (Action::Gather { axis: *axis, indices: indices.clone() }, self.format(inputs[0]))
            }
            Op::Pad { before, .. } => {
                let format = self.number(inputs[0])?;
                (Action::Pad { before: before.clone() }, format.into())
            }
            Op::Slice { start, stop, step } => {
                let action = Action::Slice { start: start.clone(), stop: stop.clone(), step: step.clone() };
                (action, self.format(inputs[0]))
            }
        })
    }

    fn push(&mut self, name: String, node: NodeId, action: Action, format: Format) {
        let shape = self.graph.node(node).shape().to_vec();
        let elements = shape.iter().product();
        let requests = action.requests(elements);
        let online = (0..self.settings.parties).map(|party| action.online::<R>(elements, &self.settings, party));
        let online = online.collect();
        let preprocessing = requests.iter().map(Request::traffic::<R>).sum();
        let (branches, is_branch) = (Vec::new(), false);
        self.steps.push(Step {
            name,
            node,
            action,
            requests,
            shape,
            format,
            branches,
            is_branch,
            online,
            preprocessing,
        });
    }

    /// Inserts a step that changes a node's value in place.
    fn push_behind(&mut self, id: NodeId, what: &str, action: Action, format: Number) {
        let node = self.graph.node(id);
        self.push(format!("{}:{what}", node.name()), id, action, format.into());
        self.formats[id.index()] = format.into();
    }

    fn format(&self, id: NodeId) -> Format {
        self.formats[id.index()]
    }

    /// The fixed point of a value that must be a number.
    fn number(&self, id: NodeId) -> Result<Number, PlanError> {
        match self.format(id) {
            Format::Number(number) => Ok(number),
            Format::Index(_) | Format::Ranked(_) => {
                Err(unsupported(self.graph.node(id), "an index is only revealed, so nothing may be computed from it"))
            }
        }
    }

    /// f fractional bits, nothing pending.
    fn single(&self) -> Format {
        Number { scale: self.settings.fractional_bits, divisor: 1.0 }.into()
    }

    /// As the product of two values with f fractional bits.
    fn double(&self) -> Format {
        Number { scale: 2 * self.settings.fractional_bits, divisor: 1.0 }.into()
    }

    /// The most fractional bits that leave room for a value of k bits behind the truncation.
    fn finest(&self) -> u32 {
        self.settings.fractional_bits + R::BITS - self.settings.comparison_bits
    }

    /// Brings a value to f fractional bits; a divisor may stay pending.
    fn need_single(&mut self, id: NodeId) -> Result<Number, PlanError> {
        let Number { scale, divisor } = self.number(id)?;
        let fractional_bits = self.settings.fractional_bits;
        if scale == fractional_bits {
            return Ok(Number { scale, divisor });
        }
        // A sum is shifted as far as its mean, so that the bound of k bits holds for the mean.
        let room = self.finest() - scale;
        let extra = ceil_log2(divisor).min(room);
        let shift = scale - fractional_bits + extra;
        let shape = LiftShape { len: self.graph.node(id).len(), bits: self.settings.comparison_bits };
        let truncated = Number { scale: fractional_bits, divisor: divisor / power_of_two(extra) };
        self.push_behind(id, "truncate", Action::Truncate { shift, shape }, truncated);
        Ok(truncated)
    }

    /// Applies a divisor that is pending: as a finer fixed point where it is a power of two, else by its reciprocal.
    fn need_undivided(&mut self, id: NodeId) -> Result<Number, PlanError> {
        let Number { scale, divisor } = self.number(id)?;
        let bits = ceil_log2(divisor);
        if power_of_two(bits) == divisor && scale + bits <= self.finest() {
            let finer = Number { scale: scale + bits, divisor: 1.0 };
            self.formats[id.index()] = finer.into();
            return Ok(finer);
        }
        if integers(&[1.0 / divisor], self.finest() - scale).is_none() {
            // Takes its part of the divisor.
            self.need_single(id)?;
        }
        let divisor = self.number(id)?.divisor;
        let Integers { bits, integers } = self.public_factors(id, &[1.0 / divisor])?;
        let undivided = Number { divisor: 1.0, ..self.number(id)?.finer(bits) };
        self.push_behind(id, "divide", Action::Rescale { factor: integers[0] }, undivided);
        Ok(undivided)
    }

    /// Brings a value to f fractional bits, with nothing pending.
    fn need_plain(&mut self, id: NodeId) -> Result<(), PlanError> {
        self.need_undivided(id)?;
        self.need_single(id)?;
        Ok(())
    }

    /// Public factors of a value as integers; the value is truncated first if it leaves too few bits for them.
    fn public_factors(&mut self, id: NodeId, factors: &[f64]) -> Result<Integers, PlanError> {
        let available = self.finest() - self.number(id)?.scale;
        if let Some(integers) = integers(factors, available) {
            return Ok(integers);
        }
        let Number { scale, .. } = self.need_single(id)?;
        let available = self.finest() - scale;
        Ok(integers(factors, available).unwrap_or_else(|| at_bits(factors, available)))
    }

    /// Brings a value to a fixed point in which a public number can be added.
    fn need_offset(&mut self, id: NodeId, value: f64, node: &Node) -> Result<Number, PlanError> {
        let fits = |Number { scale, divisor }: Number| ceil_log2((value * divisor).abs()) + scale + 1 < R::BITS;
        let number = self.number(id)?;
        let number = if fits(number) { number } else { self.need_single(id)? };
        if fits(number) { Ok(number) } else { Err(unsupported(node, "the number that is added does not fit the ring")) }
    }

    /// A format that all the inputs can be shifted to, and the shifts.
    fn common(&mut self, inputs: &[NodeId]) -> Result<(Format, Vec<u32>), PlanError> {
        if let Format::Index(_) = self.format(inputs[0])
            && inputs.iter().all(|&input| self.format(input) == self.format(inputs[0]))
        {
            return Ok((self.format(inputs[0]), inputs.iter().map(|_| 0).collect()));
        }
        let divisor = self.number(inputs[0])?.divisor;
        for &input in inputs {
            if self.number(input)?.divisor != divisor {
                inputs.iter().try_for_each(|&input| self.need_undivided(input).map(|_| ()))?;
                break;
            }
        }
        let divisor = self.number(inputs[0])?.divisor;
        let scales: Vec<u32> =
            inputs.iter().map(|&input| Ok(self.number(input)?.scale)).collect::<Result<_, PlanError>>()?;
        let scale = scales.iter().copied().max().unwrap_or_default();
        Ok((Number { scale, divisor }.into(), scales.into_iter().map(|own| scale - own).collect()))
    }

    /// Lets linear steps that have the same input share its opening.
    pub(super) fn merge_branches(&mut self) {
        for index in 0..self.steps.len() {
            if let Some(first) = self.same_input(index) {
                let branch = &mut self.steps[index];
                branch.is_branch = true;
                branch.online.fill(Traffic::default());
                branch.requests.clear();
                let preprocessing = core::mem::take(&mut branch.preprocessing);
                let again = branch.action.request_again();
                let step = &mut self.steps[first];
                step.branches.push(index);
                step.requests.extend(again);
                step.preprocessing += preprocessing;
            }
        }
    }

    /// The first linear step whose input is that of a linear step, in the same format.
    fn same_input(&self, index: usize) -> Option<usize> {
        let input = |step: &Step| match step.action {
            Action::Linear { .. } => self.graph.node(step.node).inputs().first().copied(),
            _ => None,
        };
        let read = input(&self.steps[index])?;
        // Steps of the input's own node change it.
        let unchanged = self.steps[..index].iter().rposition(|step| step.node == read)? + 1;
        (unchanged..index).find(|&earlier| input(&self.steps[earlier]) == Some(read))
    }

    pub(super) fn reveal(&mut self, output: usize, id: NodeId) {
        let name = format!("{}:reveal", self.graph.node(id).name());
        self.push(name, id, Action::Reveal { output }, self.format(id));
    }
}

fn unsupported(node: &Node, reason: &str) -> PlanError {
    PlanError::Unsupported { layer: node.name().to_owned(), reason: reason.to_owned() }
}
