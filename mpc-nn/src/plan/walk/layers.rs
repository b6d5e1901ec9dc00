//! The layers that need more than a line.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use mpc_protocols::Bilinear;
use mpc_protocols::function::{Function, FunctionPlan, FunctionShape};
use mpc_protocols::sign::SignParameters;
use mpc_protocols::truncation::LiftShape;
use mpc_ring::{Convolution, Ring};

use super::{Walk, unsupported};
use crate::graph::{Channels, Node, NodeId, Op, Pool};
use crate::plan::format::{Format, Index, Integers, Number, ceil_log2};
use crate::plan::settings::PlanError;
use crate::plan::step::{Action, MaskedWeight, SharedConstant};

/// The bits of a weight beyond f: enough that its rounding is far below the truncations' errors.
const EXTRA_WEIGHT_BITS: u32 = 8;
/// The bits of the reciprocals of window sizes.
const RECIPROCAL_BITS: u32 = 24;

impl<R: Ring> Walk<'_, R> {
    /// A layer with weights, as a bilinear map with the weights on the right.
    pub(super) fn linear(&mut self, node: &Node) -> Result<(Action, Format), PlanError> {
        let shape = as_convolution(node);
        let Number { scale, divisor } = self.need_single(node.inputs()[0])?;
        let room = self.finest() - scale;
        let fractional_bits = (self.settings.fractional_bits + EXTRA_WEIGHT_BITS + ceil_log2(divisor)).min(room);
        let name = node.weight_name().unwrap_or_default();
        let weight = self.masked_weight(MaskedWeight { name, len: shape.weight_len(), fractional_bits, divisor });
        let scale = scale + fractional_bits;
        let bias = match node.op() {
            Op::ScaleChannels(_) => None,
            _ => node.bias_name().map(|name| {
                let (channels, inner) = (shape.output_channels, shape.output_height() * shape.output_width());
                (self.shared_constant(name, channels, scale, 1.0), Channels { channels, inner })
            }),
        };
        Ok((Action::Linear { weight, bias, map: Bilinear::Convolution(shape) }, Number { scale, divisor: 1.0 }.into()))
    }

    /// The index of a weight and of its mask: tied weights of one fixed point share them.
    fn masked_weight(&mut self, weight: MaskedWeight) -> usize {
        let known = self.weights.iter().position(|other| *other == weight);
        known.unwrap_or_else(|| {
            self.weights.push(weight);
            self.weights.len() - 1
        })
    }

    fn shared_constant(&mut self, name: String, len: usize, fractional_bits: u32, factor: f64) -> usize {
        let constant = SharedConstant { name, len, fractional_bits, factor };
        let known = self.constants.iter().position(|other| *other == constant);
        known.unwrap_or_else(|| {
            self.constants.push(constant);
            self.constants.len() - 1
        })
    }

    /// A parameter as a value.
    pub(super) fn constant(&mut self, node: &Node) -> (Action, Format) {
        let name = node.value_name().unwrap_or_default();
        let constant = self.shared_constant(name, node.len(), self.settings.fractional_bits, 1.0);
        (Action::Constant { constant }, self.single())
    }

    pub(super) fn offset_channels(&mut self, node: &Node, map: Channels) -> Result<(Action, Format), PlanError> {
        let number = self.number(node.inputs()[0])?;
        let name = node.bias_name().unwrap_or_default();
        let constant = self.shared_constant(name, map.channels, number.scale, number.divisor);
        Ok((Action::AddConstant { constant, map }, number.into()))
    }

    pub(super) fn multiply(&mut self, node: &Node) -> Result<(Action, Format), PlanError> {
        let &[left, right] = node.inputs() else { return Err(unsupported(node, "a product has two factors")) };
        self.need_plain(left)?;
        self.need_plain(right)?;
        let factors = self.graph.node(right).len();
        let map = if factors == node.len() {
            Bilinear::Elementwise { len: factors }
        } else {
            Bilinear::Convolution(channelwise(1, factors, node.len() / factors))
        };
        Ok((Action::Multiply { map }, self.double()))
    }

    pub(super) fn matrix_product(&mut self, node: &Node) -> Result<(Action, Format), PlanError> {
        let &[left, right] = node.inputs() else { return Err(unsupported(node, "a product has two factors")) };
        self.need_plain(left)?;
        self.need_plain(right)?;
        let (batch, rows, columns) = (node.shape()[0], node.shape()[1], node.shape()[2]);
        let inner = self.graph.node(left).shape()[2];
        Ok((Action::Multiply { map: Bilinear::BatchedMatrixProduct { batch, rows, inner, columns } }, self.double()))
    }

    pub(super) fn function(&mut self, node: &Node, function: Function) -> Result<(Action, Format), PlanError> {
        let fractional_bits = self.settings.fractional_bits;
        let shift = self.need_undivided(node.inputs()[0])?.scale - fractional_bits;
        let shape = FunctionShape { function, len: node.len(), fractional_bits, shift, parameters: self.parameters };
        let plan = FunctionPlan::new::<R>(shape).map_err(|error| unsupported(node, &error.to_string()))?;
        Ok((Action::Function(plan), self.single()))
    }

    pub(super) fn combine(
        &mut self,
        input: NodeId,
        axis: usize,
        rows: &[Vec<(usize, f32)>],
    ) -> Result<(Action, Format), PlanError> {
        let coefficients: Vec<f64> = rows.iter().flatten().map(|&(_, coefficient)| f64::from(coefficient)).collect();
        let Integers { bits, integers } = self.public_factors(input, &coefficients)?;
        let mut integers = integers.into_iter();
        let with_integers =
            |row: &Vec<(usize, f32)>| row.iter().map(|&(position, _)| position).zip(integers.by_ref()).collect();
        let rows = rows.iter().map(with_integers).collect();
        Ok((Action::Combine { axis, rows }, self.number(input)?.finer(bits).into()))
    }

    pub(super) fn average(&mut self, input: NodeId, pool: Pool, node: &Node) -> Result<(Action, Format), PlanError> {
        let shape = self.graph.node(input).shape();
        let size = [shape[2], shape[3]];
        let windows = (0..node.shape()[2]).flat_map(|y| (0..node.shape()[3]).map(move |x| [y, x]));
        let mut divisors = windows.map(|window| pool.divisor(window, size));
        let first = divisors.next().unwrap_or(1);
        if divisors.all(|divisor| divisor == first) {
            let Number { scale, divisor } = self.number(input)?;
            return Ok((Action::SumPool(pool), Number { scale, divisor: divisor * first as f64 }.into()));
        }
        self.need_plain(input)?;
        let bits = RECIPROCAL_BITS.min(R::BITS - self.settings.comparison_bits);
        Ok((Action::MeanPool { pool, bits }, self.number(input)?.finer(bits).into()))
    }

    /// The index goes below the value's bits, so that a maximum carries it along.
    pub(super) fn arg_max(&mut self, node: &Node) -> Result<(Action, Format), PlanError> {
        let (count, index, parameters) = self.indexed(node)?;
        let index_bits = index.bits;
        Ok((Action::ArgMax { count, index_bits, parameters }, Format::Index(index)))
    }

    /// As for a maximum, so for a sort.
    pub(super) fn rank(&mut self, node: &Node) -> Result<(Action, Format), PlanError> {
        let (count, index, parameters) = self.indexed(node)?;
        let index_bits = index.bits;
        let rows = self.graph.node(node.inputs()[0]).len() / count;
        Ok((Action::Rank { count, rows, index_bits, parameters }, Format::Ranked(index)))
    }

    pub(super) fn ranked_value(&mut self, node: &Node) -> Result<(Action, Format), PlanError> {
        let Index { bits, .. } = self.ranked(node)?;
        let shape = LiftShape { len: node.len(), bits: self.settings.comparison_bits };
        let action = if bits == 0 { Action::Reshape } else { Action::WithoutIndex { shift: bits, shape } };
        Ok((action, self.single()))
    }

    pub(super) fn ranked_index(&mut self, node: &Node) -> Result<(Action, Format), PlanError> {
        Ok((Action::Reshape, Format::Index(self.ranked(node)?)))
    }

    fn ranked(&self, node: &Node) -> Result<Index, PlanError> {
        match self.format(node.inputs()[0]) {
            Format::Ranked(index) => Ok(index),
            _ => Err(unsupported(node, "what it takes is not ranked")),
        }
    }

    /// The number of elements along the last axis, their index, and comparisons of both together.
    fn indexed(&mut self, node: &Node) -> Result<(usize, Index, SignParameters), PlanError> {
        let input = node.inputs()[0];
        self.need_plain(input)?;
        let count = self.graph.node(input).shape().last().copied().unwrap_or(1);
        let index_bits = ceil_log2(count as f64);
        let index = Index { bits: index_bits, origin: count as i64 - 1, step: -1 };
        let bits = self.settings.comparison_bits + index_bits;
        let parameters = SignParameters::new(bits).ok().filter(|_| bits <= R::BITS);
        let parameters = parameters.ok_or_else(|| {
            unsupported(node, "k and the bits of the index are more than a comparison may have; use a smaller k")
        })?;
        Ok((count, index, parameters))
    }
}

/// The convolution that a layer with weights is.
fn as_convolution(node: &Node) -> Convolution {
    match node.op() {
        Op::Convolution { shape, .. } => *shape,
        Op::Linear { input_features, output_features, .. } => Convolution {
            input_channels: *input_features,
            output_channels: *output_features,
            groups: 1,
            ..channelwise(node.shape()[0], 1, 1)
        },
        Op::ScaleChannels(Channels { channels, inner }) => {
            channelwise(node.len() / (channels * inner), *channels, *inner)
        }
        _ => unreachable!("only layers with weights are asked for theirs"),
    }
}

/// One factor for each of `channels` lines of `width` elements.
fn channelwise(batch: usize, channels: usize, width: usize) -> Convolution {
    Convolution {
        batch,
        input_channels: channels,
        output_channels: channels,
        height: 1,
        width,
        kernel: [1, 1],
        stride: [1, 1],
        padding: [0; 4],
        dilation: [1, 1],
        groups: channels,
    }
}
