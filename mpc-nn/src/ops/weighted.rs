//! The common part of layers with weights: each is a convolution with the weights on the right, opened under masks
//! beforehand.

use mpc_protocols::Bilinear;
use mpc_protocols::fixed_weights::{self, FixedWeightShape, OpenedInput, PreparedProduct};
use mpc_ring::Convolution;

use super::prelude::*;
use crate::graph::{Channels, Graph};
use crate::plan::Correlations;
use crate::plan::format::ceil_log2;
use crate::plan::step::MaskedWeight;

/// A weight has f fractional bits, and this many at least. Each one more makes every opened input a bit wider.
const LEAST_WEIGHT_BITS: u32 = 16;
/// A result of one product alone has as many more bits: no other product's rounding makes up for its own.
const BITS_OF_ONE_PRODUCT: u32 = 8;

/// A linear layer of an input has as many more: its owner's values may be thousands, and weights then a hundredth.
const BITS_OF_INPUT: u32 = 6;

/// The plan of a layer that is this convolution.
pub(super) fn plan<R: Ring>(
    walk: &mut Walk<'_, R>,
    node: &Node,
    shape: Convolution,
) -> Result<(Action, Format), PlanError> {
    let is_one_product = shape.groups == shape.input_channels && shape.kernel == [1, 1];
    let Number { scale, divisor } = walk.need_factor(node.inputs()[0], is_one_product)?;
    let room = walk.finest() - scale;
    let extra = if is_one_product { BITS_OF_ONE_PRODUCT } else { 0 };
    let single = walk.settings.fractional_bits;
    let of_input = matches!(node.op(), Op::Linear { .. }) && is_input(walk.graph, node.inputs()[0]);
    let bits = match walk.settings.correlations {
        // Of whole numbers the products have f fractional bits at once, and nothing is truncated.
        Correlations::Dealt if scale == 0 => single,
        Correlations::Dealt if of_input => single.max(LEAST_WEIGHT_BITS) + BITS_OF_INPUT,
        // The noise of an encryption is below what is truncated.
        Correlations::Own { .. } if scale == 0 => single + single.max(LEAST_WEIGHT_BITS),
        _ => single.max(LEAST_WEIGHT_BITS) + extra,
    };
    let fractional_bits = (bits + ceil_log2(divisor)).min(room);
    let name = node.weight_name().unwrap_or_default();
    let weight = walk.masked_weight(MaskedWeight { name, len: shape.weight_len(), fractional_bits, divisor, width: 0 });
    let scale = scale + fractional_bits;
    let bias = node.bias_name().map(|name| {
        let (channels, inner) = (shape.output_channels, shape.output_height() * shape.output_width());
        (walk.shared_constant(name, channels, scale, 1.0), Channels { channels, inner })
    });
    Ok((Action::Linear { weight, bias, map: Bilinear::Convolution(shape) }, Number { scale, divisor: 1.0 }.into()))
}

/// Whether a value is an input of the graph, in whatever shape.
fn is_input(graph: &Graph, mut id: NodeId) -> bool {
    while let Op::Reshape = graph.node(id).op() {
        id = graph.node(id).inputs()[0];
    }
    graph.node(id).op().is_input()
}

/// One factor for each of `channels` lines of `width` elements.
pub(super) fn channelwise(batch: usize, channels: usize, width: usize) -> Convolution {
    Convolution { batch, groups: channels, ..Convolution::valid([channels; 2], [1, width], [1, 1]) }
}

pub(super) struct LinearStep<'a> {
    pub(super) weight: usize,
    pub(super) bias: Option<(usize, Channels)>,
    pub(super) map: &'a Bilinear,
}

impl Protocol for LinearStep<'_> {
    fn kind(&self) -> &'static str {
        "linear"
    }

    fn reads<R: Ring>(&self, step: &Step, _operand: usize) -> u32 {
        step.width
    }

    fn needs(&self, _elements: usize) -> Needs {
        Needs::Layers(FixedWeightShape { mask: self.weight, map: *self.map }, vec![])
    }

    fn online<R: Ring>(&self, _elements: usize, width: u32, settings: &Settings, party: usize) -> Traffic {
        match settings.clear_owner() {
            None => fixed_weights::traffic(self.map, width, settings.parties),
            Some(owner) => fixed_weights::traffic_at_owner(self.map, width, party, owner, settings.parties),
        }
    }

    fn workspace(&self, operands: usize, _elements: usize) -> usize {
        2 * operands + self.map.scratch_len()
    }

    /// Opens the input once, for this layer and all that have the same one.
    async fn run<R: Ring>(
        &self,
        run: &mut Run<'_, R>,
        step: &Step,
        material: Material<R>,
    ) -> Result<ArithmeticShares<R>, Failure> {
        let Material::Layers(layer, products) = material else { return Err(Failure::NoValue) };
        let owner = run.settings.clear_owner();
        let (own, opened) = layer.open(run.party, owner, run.values.operand(step, 0)?).await?;
        for (&branch, product) in step.branches.iter().zip(products) {
            let branch = &run.steps[branch];
            let Action::Linear { weight, bias, .. } = branch.action else { return Err(Failure::NoValue) };
            let value = multiplied(run, branch, weight, bias, &opened, product)?;
            run.set(branch, value);
        }
        multiplied(run, step, self.weight, self.bias, &opened, own)
    }

    fn ideal<R: Ring>(&self, ideal: Ideal<'_, R>, _step: &Step) -> Result<Vec<R>, Failure> {
        let mut output = vec![R::ZERO; self.map.output_len()];
        self.map.accumulate(ideal.elements(0)?, ideal.weights[self.weight], &mut output);
        if let Some((constant, map)) = self.bias {
            add_channels(&mut output, ideal.operands.constant(constant)?, map);
        }
        Ok(output)
    }
}

/// The value of a layer whose input has been opened.
fn multiplied<R: Ring>(
    run: &Run<'_, R>,
    step: &Step,
    weight: usize,
    bias: Option<(usize, Channels)>,
    opened: &OpenedInput<R>,
    product: PreparedProduct<R>,
) -> Result<ArithmeticShares<R>, Failure> {
    let mut y = run.weights[weight].multiply(opened, product)?;
    if let Some((constant, map)) = bias {
        add_channels(y.elements_mut(), &run.constants[constant], map);
    }
    Ok(y.reshape(&step.shape)?)
}

/// Adds entry (i / inner) mod channels of a constant to element i.
pub(super) fn add_channels<R: Ring>(x: &mut [R], constant: &ArithmeticShares<R>, map: Channels) {
    for (block, values) in x.chunks_exact_mut(map.inner).enumerate() {
        let entry = constant.elements()[block % map.channels];
        values.iter_mut().for_each(|x| *x = x.wrapping_add(entry));
    }
}
