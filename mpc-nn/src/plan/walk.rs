//! The walk over a graph that makes its plan.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::marker::PhantomData;

use mpc_protocols::function::{FunctionPlan, FunctionShape};
use mpc_protocols::sign::SignParameters;
use mpc_ring::Ring;
use mpc_transport::Traffic;

use super::format::{Format, Integers, Number, ceil_log2, integers, nearest, power_of_two};
use super::functions::Functions;
use super::settings::{PlanError, Settings};
use super::step::{Action, Lifting, MaskedWeight, SharedConstant, Step};
use crate::graph::{Graph, Node, NodeId};

/// The most fractional bits beyond f of a factor of a product.
const FINER_FACTOR: u32 = 6;
/// The most fractional bits beyond f of what is squared.
const FINER_SQUARE: u32 = 2;
/// The fractional bits beyond f of the root of a mean of squares: of one of 64, 2^-14 is lost at f = 16.
const FINER_RESULT: u32 = 4;
/// The most fractional bits of a function's result.
const MAX_FUNCTION_BITS: u32 = 28;
/// The smallest k: room for the roundings of all parties.
const LEAST_BITS: u32 = 8;

/// The steps so far.
pub(crate) struct Walk<'a, R: Ring> {
    pub(crate) graph: &'a Graph,
    pub(crate) settings: Settings,
    pub(crate) parameters: SignParameters,
    /// The format of each node's value so far.
    pub(super) formats: Vec<Format>,
    pub(super) weights: Vec<MaskedWeight>,
    pub(super) constants: Vec<SharedConstant>,
    pub(super) steps: Vec<Step>,
    /// Those that are fitted so far.
    functions: RefCell<Functions>,
    /// For each node how many others read its value.
    readers: Vec<usize>,
    /// For each node how many of its elements are added up.
    pub(super) terms: Vec<usize>,
    /// Those of the steps: a meter counts by name.
    names: BTreeSet<String>,
    /// The magnitude that each node's value must stay below.
    pub(super) bounds: Vec<f64>,
    ring: PhantomData<R>,
}

impl<'a, R: Ring> Walk<'a, R> {
    pub(super) fn new(graph: &'a Graph, settings: Settings, parameters: SignParameters) -> Self {
        let (formats, weights, constants, steps) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (names, functions) = (BTreeSet::new(), RefCell::default());
        let (readers, terms) = (graph.readers(), graph.terms());
        let bound = |node: &Node| node.bound().unwrap_or(f64::INFINITY).min(settings.bound());
        let bounds = graph.nodes().iter().map(bound).collect();
        Self {
            graph,
            settings,
            parameters,
            formats,
            weights,
            constants,
            steps,
            functions,
            readers,
            terms,
            names,
            bounds,
            ring: PhantomData,
        }
    }

    /// Adds what is done for the next node.
    pub(super) fn add(&mut self, id: NodeId, action: Action, format: Format) {
        self.push(self.graph.node(id).name().to_owned(), id, action, format);
        self.formats.push(format);
        if !matches!(format, Format::Number(_)) {
            self.set_bound(id, f64::INFINITY);
        }
    }

    /// Adds a step, whose costs follow when all are there.
    pub(super) fn push(&mut self, name: String, node: NodeId, action: Action, format: Format) {
        let name = self.own_name(name);
        self.steps.push(Step {
            name,
            node,
            action,
            requests: Vec::new(),
            shape: self.graph.node(node).shape().to_vec(),
            format,
            width: 0,
            branches: Vec::new(),
            is_branch: false,
            way: None,
            last_reads: Vec::new(),
            online: Vec::new(),
            preprocessing: Traffic::default(),
        });
    }

    /// The name, or one like it where a step has it already.
    fn own_name(&mut self, name: String) -> String {
        let mut own = name.clone();
        for number in 2.. {
            if self.names.insert(own.clone()) {
                break;
            }
            own = format!("{name}#{number}");
        }
        own
    }

    /// The place of an input of the graph among its inputs.
    pub(crate) fn input_index(&self, node: &Node) -> usize {
        let is_it = |&input: &NodeId| self.graph.node(input).name() == node.name();
        self.graph.inputs().iter().position(is_it).unwrap_or_default()
    }

    /// The index of a weight and of its mask: tied weights of one fixed point share them.
    pub(crate) fn masked_weight(&mut self, weight: MaskedWeight) -> usize {
        index_of(&mut self.weights, weight)
    }

    /// The index of a constant, which all that use it alike share.
    pub(crate) fn shared_constant(&mut self, name: String, len: usize, fractional_bits: u32, factor: f64) -> usize {
        index_of(&mut self.constants, SharedConstant { name, len, fractional_bits, factor })
    }

    /// Inserts a step that changes a node's value in place.
    fn push_behind(&mut self, id: NodeId, what: &str, action: Action, format: Number) {
        let node = self.graph.node(id);
        self.push(format!("{}:{what}", node.name()), id, action, format.into());
        self.formats[id.index()] = format.into();
    }

    /// The plan of a function for those who make the correlations, which is fitted where no equal one was.
    pub(crate) fn function(&self, shape: FunctionShape) -> Result<FunctionPlan, String> {
        self.functions.borrow_mut().plan::<R>(self.settings.correlations, shape)
    }

    /// How many nodes read a node's value.
    pub(crate) fn readers(&self, id: NodeId) -> usize {
        self.readers[id.index()]
    }

    pub(crate) fn format(&self, id: NodeId) -> Format {
        self.formats[id.index()]
    }

    /// Lets a value reach another magnitude than the bound of k bits: one that nothing truncates or compares in k bits.
    pub(crate) fn set_bound(&mut self, id: NodeId, bound: f64) {
        self.bounds[id.index()] = bound;
    }

    /// The fixed point of a value that must be a number.
    pub(crate) fn number(&self, id: NodeId) -> Result<Number, PlanError> {
        match self.format(id) {
            Format::Number(number) => Ok(number),
            Format::Index(_) | Format::Ranked(_) => {
                Err(unsupported(self.graph.node(id), "an index is only revealed, so nothing may be computed from it"))
            }
        }
    }

    /// f fractional bits, nothing pending.
    pub(crate) fn single(&self) -> Format {
        Number { scale: self.settings.fractional_bits, divisor: 1.0 }.into()
    }

    /// The most fractional bits that leave room for a value of k bits behind the truncation.
    pub(crate) fn finest(&self) -> u32 {
        self.settings.fractional_bits + R::BITS - self.settings.comparison_bits
    }

    /// How many fractional bits more than f a factor of a product may have, so that there is room for one with
    /// [`finer_result`](Self::finer_result) more beside it.
    pub(super) fn finer_factor(&self) -> u32 {
        let room = self.finest().saturating_sub(2 * self.settings.fractional_bits + self.finer_result());
        FINER_FACTOR.min(room)
    }

    /// How many fractional bits more than f the root of a mean of squares has.
    pub(crate) fn finer_result(&self) -> u32 {
        let Settings { fractional_bits, comparison_bits, .. } = self.settings;
        // The result and a factor with two bits more than it are multiplied.
        let room = R::BITS.saturating_sub(comparison_bits + fractional_bits + 2) / 2;
        FINER_RESULT.min(room).min(MAX_FUNCTION_BITS.saturating_sub(fractional_bits))
    }

    /// k: the bits in which a node's value is compared or truncated, which has `beyond` more than its own bound says.
    ///
    /// # Errors
    /// A bound that is beyond that of all values.
    pub(crate) fn bits(&self, node: &Node, beyond: u32) -> Result<u32, PlanError> {
        let Settings { fractional_bits, comparison_bits, .. } = self.settings;
        let Some(bound) = node.bound() else { return Ok(comparison_bits) };
        let bits = fractional_bits + 2 + ceil_log2(bound);
        if bits > comparison_bits {
            let reason = format!(
                "by its calibration it needs k = {bits}, and no value has more than k = {comparison_bits}; a larger k will do"
            );
            return Err(unsupported(node, &reason));
        }
        Ok((bits + beyond).max(LEAST_BITS).min(comparison_bits))
    }

    /// As [`bits`](Self::bits), for comparisons.
    pub(crate) fn comparison(&self, node: &Node, beyond: u32) -> Result<SignParameters, PlanError> {
        self.settings.comparison(self.bits(node, beyond)?).map_err(|error| unsupported(node, &error.to_string()))
    }

    /// Brings a value to f fractional bits; a divisor may stay pending.
    pub(crate) fn need_single(&mut self, id: NodeId) -> Result<Number, PlanError> {
        self.need_scale(id, 0)
    }

    /// Brings a value to `finer` fractional bits more than f; a divisor may stay pending.
    fn need_scale(&mut self, id: NodeId, finer: u32) -> Result<Number, PlanError> {
        self.lift(id);
        let number = self.number(id)?;
        let Number { scale, divisor } = number;
        let wanted = self.settings.fractional_bits + finer;
        if scale == wanted {
            return Ok(number);
        }
        let shift = self.bits_beyond_single(number) - finer;
        let extra = shift - (scale - wanted);
        // Where there was no room for all of the divisor, the rest of it makes the value larger.
        let bits = self.bits(self.graph.node(id), ceil_log2(divisor) - extra)? + finer;
        let lifting = if self.settings.parties == 2 { Lifting::Carried } else { Lifting::Masked };
        let truncated = Number { scale: wanted, divisor: divisor / power_of_two(extra) };
        self.push_behind(id, "truncate", Action::Truncate { shift, bits, lifting }, truncated);
        Ok(truncated)
    }

    /// The lowest bits of a number, without which it has f fractional bits. A sum is shifted as far as its mean, so that the
    /// bound of k bits holds for the mean.
    fn bits_beyond_single(&self, Number { scale, divisor }: Number) -> u32 {
        let room = self.finest() - scale;
        scale - self.settings.fractional_bits + ceil_log2(divisor).min(room)
    }

    /// Brings a value to `finer` fractional bits more than f at most, nothing pending.
    pub(crate) fn need_rounded(&mut self, id: NodeId, finer: u32) -> Result<Number, PlanError> {
        let finer = finer.min(self.finer_factor());
        if self.need_undivided(id)?.scale > self.settings.fractional_bits + finer {
            self.need_scale(id, finer)?;
        }
        self.number(id)
    }

    /// Brings a value to f fractional bits, or as many more as a factor of products of its own may have; a divisor may stay pending.
    /// Whole numbers stay as they are.
    pub(crate) fn need_factor(&mut self, id: NodeId, is_one_product: bool) -> Result<Number, PlanError> {
        let number = self.number(id)?;
        let finest = self.settings.fractional_bits + self.finer_factor();
        if number.scale == 0 || is_one_product && number.divisor == 1.0 && number.scale <= finest {
            Ok(number)
        } else {
            self.need_single(id)
        }
    }

    /// Brings a value to f fractional bits, or as many more as there is room for in a sum of its squares along an axis; nothing
    /// pending.
    pub(crate) fn need_squared(&mut self, id: NodeId) -> Result<Number, PlanError> {
        let Settings { fractional_bits, comparison_bits, .. } = self.settings;
        let longest = self.graph.node(id).shape().iter().max().map_or(0, |&len| ceil_log2(len as f64));
        // The sum has a sign, and as many bits before the point as other values.
        let room = R::BITS.saturating_sub(comparison_bits + fractional_bits + longest) / 2;
        let finer = FINER_SQUARE.min(room);
        let number = self.need_undivided(id)?;
        match number.scale - fractional_bits {
            more if more <= finer => Ok(number),
            more if more <= FINER_SQUARE => self.need_scale(id, finer),
            _ => self.need_single(id),
        }
    }

    /// Brings two values to what factors of one product may be.
    pub(crate) fn need_factors(&mut self, [left, right]: [NodeId; 2]) -> Result<Number, PlanError> {
        let mut scales = [0; 2];
        for (scale, id) in scales.iter_mut().zip([left, right]) {
            let whole = self.need_undivided(id)?;
            let finest = self.settings.fractional_bits + self.finer_factor().max(self.finer_result());
            *scale = if whole.scale > finest { self.need_single(id)?.scale } else { whole.scale };
        }
        if scales[0] + scales[1] > self.finest() {
            scales = [self.need_single(left)?.scale, self.need_single(right)?.scale];
        }
        Ok(Number { scale: scales[0] + scales[1], divisor: 1.0 })
    }

    /// Applies a divisor that is pending: as a finer fixed point where it is a power of two, else by its reciprocal.
    pub(crate) fn need_undivided(&mut self, id: NodeId) -> Result<Number, PlanError> {
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
        // The factor takes away what the divisor makes larger.
        let Number { scale, divisor } = self.number(id)?;
        let Integers { bits, integers } = nearest(&[1.0 / divisor], self.finest() - scale);
        let undivided = Number { scale: scale + bits, divisor: 1.0 };
        self.push_behind(id, "divide", Action::Rescale { factor: integers[0] }, undivided);
        Ok(undivided)
    }

    /// Gives a number f fractional bits if it has fewer.
    pub(crate) fn lift(&mut self, id: NodeId) {
        let Format::Number(number @ Number { scale, .. }) = self.format(id) else { return };
        if let Some(missing @ 1..) = self.settings.fractional_bits.checked_sub(scale) {
            self.push_behind(id, "lift", Action::Rescale { factor: 1 << missing }, number.finer(missing));
        }
    }

    /// Brings a value to f fractional bits if it has more, with nothing pending, and tells how many it has.
    pub(crate) fn need_at_most_single(&mut self, id: NodeId) -> Result<u32, PlanError> {
        let Number { scale, divisor } = self.number(id)?;
        if divisor != 1.0 || scale > self.settings.fractional_bits {
            self.need_plain(id)?;
        }
        Ok(self.number(id)?.scale)
    }

    /// Brings a value to f fractional bits, with nothing pending.
    pub(crate) fn need_plain(&mut self, id: NodeId) -> Result<(), PlanError> {
        self.need_undivided(id)?;
        self.need_single(id)?;
        Ok(())
    }

    /// Public factors of a value as integers; the value is truncated first if it leaves too few bits for them.
    pub(crate) fn public_factors(&mut self, id: NodeId, factors: &[f64]) -> Result<Integers, PlanError> {
        let more = self.room(self.number(id)?);
        // A product that two parties encrypt has room for fewer.
        let more = self.encrypted_room(id)?.map_or(more, |room| room.min(more));
        if let Some(integers) = integers(factors, more) {
            return Ok(integers);
        }
        let number = self.need_single(id)?;
        Ok(nearest(factors, self.room(number)))
    }

    /// How many more fractional bits a number may have; one with a divisor pending is larger by that.
    fn room(&self, Number { scale, divisor }: Number) -> u32 {
        self.finest().saturating_sub(scale + ceil_log2(divisor))
    }

    /// The fixed point of sums of so many elements, that is of means whose divisor stays pending.
    pub(crate) fn mean_of(&mut self, id: NodeId, count: usize) -> Result<Number, PlanError> {
        let divided = |number: Number| Number { divisor: number.divisor * count as f64, ..number };
        let mean = divided(self.number(id)?);
        if mean.scale + ceil_log2(mean.divisor) <= self.finest() || mean.scale <= self.settings.fractional_bits {
            return Ok(mean);
        }
        self.need_single(id).map(divided)
    }

    /// Brings a value to a fixed point in which a public number can be added.
    pub(crate) fn need_offset(&mut self, id: NodeId, value: f64, node: &Node) -> Result<Number, PlanError> {
        let fits = |Number { scale, divisor }: Number| ceil_log2((value * divisor).abs()) + scale + 1 < R::BITS;
        let number = self.number(id)?;
        let number = if fits(number) { number } else { self.need_single(id)? };
        if fits(number) { Ok(number) } else { Err(unsupported(node, "the number that is added does not fit the ring")) }
    }

    /// A format that all the inputs can be shifted to, and the shifts.
    pub(crate) fn common(&mut self, inputs: &[NodeId]) -> Result<(Format, Vec<u32>), PlanError> {
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
                self.steps[index].is_branch = true;
                self.steps[first].branches.push(index);
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
        self.lift(id);
        let name = format!("{}:reveal", self.graph.node(id).name());
        let format = self.format(id);
        let drop = match format {
            Format::Number(number) => self.bits_beyond_single(number),
            Format::Index(_) | Format::Ranked(_) => 0,
        };
        self.push(name, id, Action::Reveal { output, drop }, format);
    }
}

/// The index of an entry, which is added if it is not there.
fn index_of<E: PartialEq>(entries: &mut Vec<E>, entry: E) -> usize {
    entries.iter().position(|other| *other == entry).unwrap_or_else(|| {
        entries.push(entry);
        entries.len() - 1
    })
}

/// That there is no plan for a node.
pub(crate) fn unsupported(node: &Node, reason: &str) -> PlanError {
    PlanError::Unsupported { layer: node.name().to_owned(), reason: reason.to_owned() }
}
