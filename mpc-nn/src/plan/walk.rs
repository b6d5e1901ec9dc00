//! The walk over a graph that makes its plan.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::marker::PhantomData;

use mpc_protocols::sign::{SignParameters, SignShape};
use mpc_protocols::truncation::LiftShape;
use mpc_protocols::{Bilinear, Request};
use mpc_ring::{Convolution, Ring};

use super::settings::{PlanError, Settings};
use super::step::{Action, LayerParameters, Step};
use crate::graph::{Graph, Node, NodeId, Op, Pool};

/// The fixed point of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Format {
    /// Whether the scale is 2^{2f} instead of 2^f.
    double: bool,
    /// The real value is what is shared, divided by this.
    divisor: usize,
}

const SINGLE: Format = Format { double: false, divisor: 1 };
const DOUBLE: Format = Format { double: true, divisor: 1 };

/// The steps so far.
pub(super) struct Walk<'a, R: Ring> {
    graph: &'a Graph,
    settings: Settings,
    parameters: SignParameters,
    /// The format of each node's value so far.
    formats: Vec<Format>,
    pub(super) layers: Vec<LayerParameters>,
    pub(super) steps: Vec<Step>,
    ring: PhantomData<R>,
}

impl<'a, R: Ring> Walk<'a, R> {
    pub(super) fn new(graph: &'a Graph, settings: Settings, parameters: SignParameters) -> Self {
        let (formats, layers, steps) = (Vec::new(), Vec::new(), Vec::new());
        Self { graph, settings, parameters, formats, layers, steps, ring: PhantomData }
    }

    pub(super) fn visit(&mut self, id: NodeId, node: &Node) -> Result<(), PlanError> {
        let inputs = node.inputs();
        let (action, format) = match node.op() {
            Op::Input => {
                let input = self.graph.inputs().iter().position(|&input| input == id).unwrap_or_default();
                (Action::Share { input }, SINGLE)
            }
            Op::Convolution { shape, .. } => (self.linear(node, *shape), DOUBLE),
            Op::Linear { input_features, output_features, .. } => {
                (self.linear(node, fully_connected(node.shape()[0], *input_features, *output_features)), DOUBLE)
            }
            Op::Relu => {
                let Format { double, divisor } = self.format(inputs[0]);
                let shift = if double { self.settings.fractional_bits } else { 0 };
                let shape = SignShape { len: node.len(), parameters: self.parameters };
                (Action::Relu { shift, shape }, Format { double: false, divisor })
            }
            Op::MaxPool(pool) => {
                self.need_single(inputs[0]);
                (Action::MaxPool { pool: *pool, parameters: self.parameters }, self.format(inputs[0]))
            }
            Op::AveragePool(pool) => self.average(inputs[0], *pool, node),
            Op::Mean { axes } if axes == &[2, 3] && node.shape().len() == 4 => {
                let input = self.graph.node(inputs[0]).shape();
                self.average(inputs[0], Pool::new([input[2], input[3]]), node)
            }
            Op::Add => {
                let (format, shifts) = self.common(inputs);
                (Action::Add { shifts: [shifts[0], shifts[1]] }, format)
            }
            Op::Concat { axis } => {
                let (format, shifts) = self.common(inputs);
                (Action::Concat { axis: *axis, shifts }, format)
            }
            Op::Reshape => (Action::Reshape, self.format(inputs[0])),
            Op::Pad { before, .. } => (Action::Pad { before: before.clone() }, self.format(inputs[0])),
            Op::Slice { start, stop, step } => {
                let action = Action::Slice { start: start.clone(), stop: stop.clone(), step: step.clone() };
                (action, self.format(inputs[0]))
            }
            _ => {
                let (layer, reason) = (node.name().to_owned(), "not planned yet".to_owned());
                return Err(PlanError::Unsupported { layer, reason });
            }
        };
        self.push(node.name().to_owned(), id, action, node.shape());
        self.formats.push(format);
        Ok(())
    }

    fn format(&self, id: NodeId) -> Format {
        self.formats[id.index()]
    }

    fn push(&mut self, name: String, node: NodeId, action: Action, shape: &[usize]) {
        let elements = shape.iter().product();
        let requests = action.requests(elements);
        let online = (0..self.settings.parties).map(|party| action.online::<R>(elements, &self.settings, party));
        let online = online.collect();
        let preprocessing = requests.iter().map(Request::traffic::<R>).sum();
        self.steps.push(Step { name, node, action, requests, shape: shape.to_vec(), online, preprocessing });
    }

    /// Inserts a truncation if the value is at scale 2^{2f}.
    fn need_single(&mut self, id: NodeId) {
        if !self.format(id).double {
            return;
        }
        let node = self.graph.node(id);
        let shape = LiftShape { len: node.len(), bits: self.settings.comparison_bits };
        let name = format!("{}:truncate", node.name());
        let shape_of_node = node.shape().to_vec();
        self.push(name, id, Action::Truncate(shape), &shape_of_node);
        self.formats[id.index()].double = false;
    }

    /// Applies a divisor that is pending.
    fn need_undivided(&mut self, id: NodeId) {
        let divisor = self.format(id).divisor;
        if divisor == 1 {
            return;
        }
        self.need_single(id);
        let node = self.graph.node(id);
        let name = format!("{}:divide", node.name());
        let shape = node.shape().to_vec();
        self.push(name, id, Action::Divide { divisor }, &shape);
        self.formats[id.index()] = DOUBLE;
    }

    fn linear(&mut self, node: &Node, shape: Convolution) -> Action {
        let input = node.inputs()[0];
        self.need_single(input);
        let bias = node.bias_name();
        let bias_len = if bias.is_some() { shape.output_channels } else { 0 };
        self.layers.push(LayerParameters {
            weight: node.weight_name().unwrap_or_default(),
            weight_len: shape.weight_len(),
            bias,
            bias_len,
            divisor: self.format(input).divisor,
        });
        Action::Linear { layer: self.layers.len() - 1, map: Bilinear::Convolution(shape) }
    }

    fn average(&mut self, input: NodeId, pool: Pool, node: &Node) -> (Action, Format) {
        let shape = self.graph.node(input).shape();
        let size = [shape[2], shape[3]];
        let divisors = (0..node.shape()[2]).flat_map(|y| (0..node.shape()[3]).map(move |x| [y, x]));
        let mut divisors = divisors.map(|window| pool.divisor(window, size));
        let first = divisors.next().unwrap_or(1);
        if divisors.all(|divisor| divisor == first) {
            let Format { double, divisor } = self.format(input);
            return (Action::SumPool(pool), Format { double, divisor: divisor * first });
        }
        self.need_undivided(input);
        self.need_single(input);
        (Action::MeanPool(pool), DOUBLE)
    }

    /// A format that all the inputs can be shifted to, and the shifts.
    fn common(&mut self, inputs: &[NodeId]) -> (Format, Vec<u32>) {
        let divisor = self.format(inputs[0]).divisor;
        if inputs.iter().any(|&input| self.format(input).divisor != divisor) {
            inputs.iter().for_each(|&input| self.need_undivided(input));
        }
        let double = inputs.iter().any(|&input| self.format(input).double);
        let shift = |&input: &NodeId| {
            if double && !self.format(input).double { self.settings.fractional_bits } else { 0 }
        };
        let divisor = self.format(inputs[0]).divisor;
        (Format { double, divisor }, inputs.iter().map(shift).collect())
    }

    pub(super) fn reveal(&mut self, output: usize, id: NodeId) {
        let Format { double, divisor } = self.format(id);
        let fractional_bits = self.settings.fractional_bits * if double { 2 } else { 1 };
        let node = self.graph.node(id);
        let (name, shape) = (format!("{}:reveal", node.name()), node.shape().to_vec());
        self.push(name, id, Action::Reveal { output, fractional_bits, divisor }, &shape);
    }
}

/// A linear layer as a convolution of images of one pixel.
fn fully_connected(batch: usize, input_channels: usize, output_channels: usize) -> Convolution {
    Convolution {
        batch,
        input_channels,
        output_channels,
        height: 1,
        width: 1,
        kernel: [1, 1],
        stride: [1, 1],
        padding: [0; 4],
        dilation: [1, 1],
        groups: 1,
    }
}
