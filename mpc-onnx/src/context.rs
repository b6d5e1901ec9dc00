//! The graph under construction: every node that an import makes is made here.

mod broadcast;
mod formulas;
mod layers;
mod marks;
mod movement;
mod names;
mod norms;
mod sums;

use std::collections::{BTreeMap, BTreeSet};

use mpc_nn::weights::{self, MAX_WEIGHT};
use mpc_nn::{GraphBuilder, GraphError, NodeId};
use mpc_protocols::function::Function;
use ndarray::ArrayD;

use crate::arrays;
use crate::error::{Lowered, Problem};
use crate::value::{Tensor, Value};
pub(crate) use broadcast::real;
pub(crate) use marks::{Mark, Number, Swallowed};
pub(crate) use norms::{FINER, Standardised};

/// The largest number of nodes of an imported graph.
const MAX_NODES: usize = 1 << 16;
/// The nodes of a rounding, but one.
const FLOOR_NODES: usize = 28;

/// The same elements of a node in another order or shape.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Movement {
    /// In row-major order, in this shape.
    Reshape(Vec<usize>),
    /// With axes in this order.
    Transpose(Vec<usize>),
}

/// Where a node comes from, for formulas that are recognised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Origin {
    Scaled(NodeId, f32),
    Offset(NodeId, f32),
    Function(NodeId, Function),
    Sum(NodeId, NodeId),
    /// Of two values of one shape.
    Product(NodeId, NodeId),
    SumOfExponentials,
    /// A sum or mean of squares.
    SquaredNorm,
}

/// The kind of private values that a file has as integers or Booleans: casts of them change nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Whole {
    /// 0 or 1.
    Boolean,
    /// An integer.
    Integer,
}

/// Scale and zero point of a quantisation: one element, or laid out to broadcast over the tensor that they belong to, in the
/// smallest arrays that do.
#[derive(Clone, PartialEq)]
pub(crate) struct Quantisation {
    pub(crate) scale: ArrayD<f32>,
    pub(crate) zero: ArrayD<f32>,
    /// Whether the file finds them when it runs: a step is the real number 1 here, and its constants are of steps not known.
    pub(crate) is_dynamic: bool,
}

impl Quantisation {
    /// Whether all elements of the tensor have one scale and zero point.
    pub(crate) fn is_uniform(&self) -> bool {
        self.scale.len() == 1 && self.zero.len() == 1
    }

    /// The real number of an integer, where all elements have one scale and zero point.
    pub(crate) fn real(&self, integer: f32) -> f32 {
        let [scale, zero] = [&self.scale, &self.zero].map(|array| array.first().copied().unwrap_or(1.0));
        (integer - zero) * scale
    }
}

/// A graph under construction, with its weights.
pub(crate) struct Context {
    pub(crate) builder: GraphBuilder,
    pub(crate) weights: Parameters,
    pub(crate) opset: i64,
    /// Whether PyTorch exported the file.
    pub(crate) is_pytorch: bool,
    /// Whether the file names no producer, as ONNX's own cases.
    pub(crate) is_unnamed: bool,
    /// The name of the node of the file that is being lowered.
    pub(crate) base: String,
    /// The number of elements that may still be made beyond those of the file.
    pub(crate) budget: usize,
    /// The names that are taken, each with the largest number that was put behind it.
    names: BTreeMap<String, usize>,
    nodes: usize,
    origins: BTreeMap<NodeId, Origin>,
    /// The nodes that reshapes and transposes have made: equal ones are one node, so that layers behind them open it once.
    movements: BTreeMap<(NodeId, Movement), NodeId>,
    /// For a value that repeats another one along axes of size 1, that one.
    repeats: BTreeMap<NodeId, Tensor>,
    /// For a value that has the elements of another one in another shape, that one.
    reshaped: BTreeMap<NodeId, Tensor>,
    /// The tensor whose exponentials a sum adds, and the axes of the sum.
    pub(crate) exponents: BTreeMap<NodeId, (Tensor, Vec<usize>)>,
    /// The tensor that a value is the softmax of, and its axis.
    pub(crate) softmaxes: BTreeMap<NodeId, (Tensor, usize)>,
    /// The sums and means over axes.
    reductions: BTreeMap<NodeId, norms::Reduction>,
    /// The values of ranks, which are a unit or two beside those that were ranked.
    ranked: BTreeSet<NodeId>,
    /// The rows with a single 1 that private indices were made of.
    rows: BTreeMap<NodeId, Tensor>,
    /// Private values that are whole numbers.
    whole: BTreeMap<NodeId, Whole>,
    /// Private values that are integers or Booleans in the file.
    typed: BTreeSet<NodeId>,
    /// The marks of private values, each in a shape that broadcasts.
    marks: BTreeMap<(NodeId, Mark), ArrayD<f32>>,
    /// Whether all is computed in floating point, of constants.
    pub(crate) is_public: bool,
    /// Inputs, and what moves their elements: nothing has rounded them.
    pub(crate) exact: BTreeSet<NodeId>,
    /// Where private masks may have made values such numbers, as private Booleans; none if that is not known.
    pub(crate) hidden: BTreeMap<(NodeId, Number), Option<Tensor>>,
    /// The rows along an axis that are 1 everywhere, of private Booleans.
    pub(crate) full_rows: BTreeMap<(NodeId, usize), Tensor>,
    /// Rows that private places and public ones hide together, with these public ones.
    pub(crate) swallowed: BTreeMap<(NodeId, usize), (ArrayD<f32>, Swallowed)>,
    /// The values that are quotients, each with its dividend and its divisor.
    pub(crate) quotients: BTreeMap<NodeId, (Tensor, Value)>,
    /// For a value in front of a softmax with masks, those that it is the sum of scores and; none if they are not known.
    masks: BTreeMap<NodeId, Vec<Value>>,
    /// Scale and zero point of what was quantised.
    quantisations: BTreeMap<NodeId, Quantisation>,
}

/// Weights by name, zeroised on drop.
#[derive(Default)]
pub(crate) struct Parameters(pub(crate) BTreeMap<String, ArrayD<f32>>);

impl Drop for Parameters {
    fn drop(&mut self) {
        core::mem::take(&mut self.0).into_values().for_each(weights::zeroize);
    }
}

impl Context {
    pub(crate) fn new(opset: i64, budget: usize) -> Self {
        Self {
            builder: GraphBuilder::new(),
            weights: Parameters::default(),
            opset,
            is_pytorch: false,
            is_unnamed: false,
            base: String::new(),
            budget,
            names: BTreeMap::new(),
            nodes: 0,
            origins: BTreeMap::new(),
            movements: BTreeMap::new(),
            repeats: BTreeMap::new(),
            reshaped: BTreeMap::new(),
            exponents: BTreeMap::new(),
            softmaxes: BTreeMap::new(),
            reductions: BTreeMap::new(),
            ranked: BTreeSet::new(),
            rows: BTreeMap::new(),
            whole: BTreeMap::new(),
            typed: BTreeSet::new(),
            marks: BTreeMap::new(),
            is_public: false,
            exact: BTreeSet::new(),
            hidden: BTreeMap::new(),
            full_rows: BTreeMap::new(),
            swallowed: BTreeMap::new(),
            quotients: BTreeMap::new(),
            masks: BTreeMap::new(),
            quantisations: BTreeMap::new(),
        }
    }

    /// Takes `elements` from what may be allocated.
    pub(crate) fn charge(&mut self, elements: usize) -> Lowered<()> {
        let more = || Problem::Memory(format!("{elements} more elements of constants than the file accounts for"));
        self.budget = self.budget.checked_sub(elements).ok_or_else(more)?;
        Ok(())
    }

    /// A name of the node's own for a part of it; the node's name itself for the empty part.
    pub(crate) fn name(&mut self, part: &str) -> String {
        let base = if self.base.is_empty() { "node" } else { &self.base };
        let wanted = if part.is_empty() { String::from(base) } else { format!("{base}/{part}") };
        self.unique(wanted)
    }

    /// The name, or one with a number behind it if it is taken.
    pub(crate) fn unique(&mut self, wanted: String) -> String {
        // The search goes on from where the last one for this name ended.
        let mut count = self.names.get(&wanted).copied().unwrap_or(0);
        let mut name = wanted.clone();
        while self.names.contains_key(&name) {
            count += 1;
            name = format!("{wanted}#{}", count + 1);
        }
        self.names.insert(wanted, count);
        self.names.entry(name.clone()).or_insert(0);
        name
    }

    /// Adds a node, named after its part of the file's node, whose result has `shape` in the file.
    pub(crate) fn emit(
        &mut self,
        part: &str,
        shape: &[usize],
        add: impl FnOnce(&mut GraphBuilder, &str) -> Result<NodeId, GraphError>,
    ) -> Lowered<Tensor> {
        let name = self.name(part);
        self.emit_named(&name, shape, add)
    }

    pub(crate) fn emit_named(
        &mut self,
        name: &str,
        shape: &[usize],
        add: impl FnOnce(&mut GraphBuilder, &str) -> Result<NodeId, GraphError>,
    ) -> Lowered<Tensor> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Problem::Memory(format!("the graph would have more than {MAX_NODES} nodes")));
        }
        let id = add(&mut self.builder, name)?;
        Ok(Tensor { id, shape: shape.to_vec() })
    }

    pub(crate) fn origin(&self, id: NodeId) -> Option<Origin> {
        self.origins.get(&id).copied()
    }

    pub(crate) fn note(&mut self, id: NodeId, origin: Origin) {
        self.origins.insert(id, origin);
    }

    pub(crate) fn whole(&self, id: NodeId) -> Option<Whole> {
        self.whole.get(&id).copied()
    }

    pub(crate) fn note_whole(&mut self, id: NodeId, whole: Whole) {
        self.whole.insert(id, whole);
    }

    /// Whether a private value is of integers or Booleans in the file.
    pub(crate) fn is_typed(&self, id: NodeId) -> bool {
        self.typed.contains(&id)
    }

    pub(crate) fn note_typed(&mut self, id: NodeId) {
        self.typed.insert(id);
    }

    /// Notes whether a private value is of integers or Booleans in the file.
    fn set_typed(&mut self, id: NodeId, is_typed: bool) {
        let _ = if is_typed { self.typed.insert(id) } else { self.typed.remove(&id) };
    }

    pub(crate) fn is_ranked(&self, id: NodeId) -> bool {
        self.ranked.contains(&id)
    }

    pub(crate) fn note_ranked(&mut self, id: NodeId) {
        self.ranked.insert(id);
    }

    pub(crate) fn rows(&self, id: NodeId) -> Option<&Tensor> {
        self.rows.get(&id)
    }

    pub(crate) fn note_rows(&mut self, id: NodeId, rows: Tensor) {
        self.rows.insert(id, rows);
    }

    pub(crate) fn mark(&self, id: NodeId, mark: Mark) -> Option<&ArrayD<f32>> {
        self.marks.get(&(id, mark))
    }

    pub(crate) fn note_mark(&mut self, id: NodeId, mark: Mark, places: ArrayD<f32>) {
        self.marks.insert((id, mark), places);
    }

    pub(crate) fn masks(&self, id: NodeId) -> Option<&[Value]> {
        self.masks.get(&id).map(Vec::as_slice)
    }

    pub(crate) fn note_masks(&mut self, id: NodeId, masks: Vec<Value>) {
        self.masks.insert(id, masks);
    }

    /// The scale and zero point that a node was quantised with.
    pub(crate) fn quantisation(&self, id: NodeId) -> Option<&Quantisation> {
        self.quantisations.get(&id)
    }

    pub(crate) fn note_quantisation(&mut self, id: NodeId, parameters: Quantisation) {
        self.quantisations.insert(id, parameters);
    }

    /// The weights of the model owner's under a name of the graph.
    pub(crate) fn weight(&mut self, name: String, array: ArrayD<f32>) -> Lowered<()> {
        // A comparison with NaN is false.
        let fits = arrays::all(&array, |value| value.abs() <= MAX_WEIGHT);
        // Put in also if it does not fit, so that it is zeroised.
        self.weights.0.insert(name, array);
        if fits { Ok(()) } else { Err(Problem::Range) }
    }

    /// A constant of the model owner's as a value of its own.
    pub(crate) fn parameter(&mut self, array: &ArrayD<f32>) -> Lowered<Tensor> {
        let name = self.name("constant");
        let shape = array.shape().to_vec();
        let parameter =
            self.emit_named(&name, &shape, |builder, name| builder.parameter(name, &graph_shape(&shape)))?;
        let array = array.to_shape(graph_shape(&shape)).expect("the same number of elements").into_owned();
        self.weight(format!("{name}.value"), array)?;
        Ok(parameter)
    }

    /// The same values as another node.
    pub(crate) fn copy(&mut self, x: &Tensor) -> Lowered<Tensor> {
        let shape = graph_shape(&x.shape);
        self.emit("copy", &x.shape, |builder, name| builder.reshape(name, x.id, &shape))
    }

    pub(crate) fn function(&mut self, x: &Tensor, function: Function) -> Lowered<Tensor> {
        self.once(x, |context, x| {
            let cheaper = context.known_below_zero(x.id, function);
            let add = |builder: &mut GraphBuilder, name: &str| builder.function(name, x.id, cheaper);
            let y = context.emit(names::function_name(&function), &x.shape, add)?;
            context.note(y.id, Origin::Function(x.id, function));
            Ok(y)
        })
    }

    /// The same elements, with f fractional bits and `finer` more where there is room for them.
    pub(crate) fn rounded(&mut self, x: &Tensor, finer: u32) -> Lowered<Tensor> {
        self.emit("rounded", &x.shape, |builder, name| builder.rounded(name, x.id, finer))
    }

    /// The largest whole number that is not above x.
    pub(crate) fn floor(&mut self, x: &Tensor) -> Lowered<Tensor> {
        // As many nodes as the digits make.
        self.nodes += FLOOR_NODES;
        self.emit("floor", &x.shape, |builder, name| builder.floor(name, x.id))
    }

    pub(crate) fn relu(&mut self, x: &Tensor) -> Lowered<Tensor> {
        self.once(x, |context, x| context.emit("relu", &x.shape, |builder, name| builder.relu(name, x.id)))
    }

    pub(crate) fn square(&mut self, x: &Tensor) -> Lowered<Tensor> {
        self.once(x, |context, x| {
            let y = context.emit("square", &x.shape, |builder, name| builder.square(name, x.id))?;
            context.note(y.id, Origin::Product(x.id, x.id));
            Ok(y)
        })
    }

    /// x·factor, joined with a factor that x has already.
    pub(crate) fn scale(&mut self, x: &Tensor, factor: f32) -> Lowered<Tensor> {
        if factor == 1.0 {
            return Ok(x.clone());
        }
        self.once(x, |context, x| {
            if let Some(Origin::Scaled(source, first)) = context.origin(x.id)
                && (first * factor).abs() <= MAX_WEIGHT
            {
                let source = x.with_id(source);
                return context.scale(&source, first * factor);
            }
            let y = context.emit("scale", &x.shape, |builder, name| builder.scale(name, x.id, factor))?;
            context.note(y.id, Origin::Scaled(x.id, factor));
            context.note_mean(&y, x, factor);
            Ok(y)
        })
    }

    /// x·factor, of which nothing is computed where what reads it is a multiple again.
    pub(crate) fn scale_later(&mut self, x: &Tensor, factor: f32) -> Lowered<Tensor> {
        // In two parts, each of which a graph takes.
        let part = factor.abs().clamp(1.0 / MAX_WEIGHT, MAX_WEIGHT);
        let y = self.emit("unit", &x.shape, |builder, name| builder.scale(name, x.id, factor / part))?;
        let y = self.emit("integers", &x.shape, |builder, name| builder.scale(name, y.id, part))?;
        self.note(y.id, Origin::Scaled(x.id, factor));
        Ok(y)
    }

    pub(crate) fn offset(&mut self, x: &Tensor, value: f32) -> Lowered<Tensor> {
        if value == 0.0 {
            return Ok(x.clone());
        }
        self.once(x, |context, x| {
            let y = context.emit("offset", &x.shape, |builder, name| builder.offset(name, x.id, value))?;
            context.note(y.id, Origin::Offset(x.id, value));
            Ok(y)
        })
    }
}

/// The shape of a node for a shape of the file: scalars have an axis.
pub(crate) fn graph_shape(shape: &[usize]) -> Vec<usize> {
    if shape.is_empty() { [1].into() } else { shape.to_vec() }
}

/// The shape with size 1 at `axes`.
pub(crate) fn reduced(shape: &[usize], axes: &[usize]) -> Vec<usize> {
    shape.iter().enumerate().map(|(axis, &size)| if axes.contains(&axis) { 1 } else { size }).collect()
}
