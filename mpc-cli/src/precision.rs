//! Where fixed point keeps too little: the layer that departs from floating point, and the values that are too small for it.

use std::fmt;

use mpc_nn::{Graph, Node, NodeId, Op, Plan, Settings, Weights, evaluate_with, ideal};
use mpc_ring::Ring;
use ndarray::ArrayD;
use serde::Serialize;

/// How far a value may be from the one in floating point, and the part of its magnitude that may come on top.
const TOLERANCE: (f64, f64) = (0.002, 0.001);
/// Values that keep as many bits are not to blame.
const ENOUGH_BITS: f64 = 12.0;
/// The finest fixed point of a function's result.
const MOST_FRACTIONAL_BITS: u32 = 28;
/// The most elements of all layers together that are looked at a second time.
const MOST_ELEMENTS: usize = 1 << 22;

/// Whether a private value is far from the one in floating point.
pub fn departs(float: &ArrayD<f32>, private: &ArrayD<f64>) -> bool {
    let far = |(&x, y): (&f32, &f64)| {
        let x = f64::from(x);
        (x - y).abs() > TOLERANCE.0 + TOLERANCE.1 * x.abs()
    };
    float.iter().zip(private).any(far)
}

/// The largest difference of two elements at one place; no number where one is none.
pub fn largest_difference<'a>(
    private: impl IntoIterator<Item = &'a f64>,
    plain: impl IntoIterator<Item = &'a f32>,
) -> f64 {
    private.into_iter().zip(plain).map(|(x, &y)| (x - f64::from(y)).abs()).fold(0.0, larger)
}

/// The larger one of two differences; no number where one is none.
pub fn larger(one: f64, other: f64) -> f64 {
    if one.is_nan() || other <= one { one } else { other }
}

/// A layer that departs from floating point.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Departure {
    /// Its name.
    pub layer: String,
    /// How far one of its values is.
    pub error: f64,
    /// The values that it reads and that keep too few bits, if it does.
    pub coarse: Option<Coarse>,
    /// f.
    pub fractional_bits: u32,
    /// The f with which no layer departs, if one was found.
    pub enough: Option<u32>,
    /// The bits of the ring that has room for it, where this one has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ring: Option<u32>,
}

/// Values of which fixed point keeps too few bits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Coarse {
    /// The layer, input or weight that they are.
    pub values: String,
    /// The root of the mean of their squares.
    pub magnitude: f64,
    /// The bits that are kept of such a value.
    pub bits: f64,
}

impl fmt::Display for Departure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layer, error, coarse, fractional_bits, enough, ring } = self;
        write!(formatter, "`{layer}` departs from floating point by up to {}", rounded(*error))?;
        if let Some(Coarse { values, magnitude, bits }) = coarse {
            let magnitude = rounded(*magnitude);
            write!(formatter, ": values of `{values}` about {magnitude} keep {bits:.1} bits at f = {fractional_bits}")?;
        }
        match enough {
            Some(enough) => {
                let ring = ring.map(|ring| format!("--ring {ring} ")).unwrap_or_default();
                write!(formatter, "; {ring}--fractional-bits {enough} keeps enough")
            }
            None if coarse.is_some() => write!(formatter, "; make them larger before they are used"),
            None => write!(formatter, "; `mpc check` shows every layer"),
        }
    }
}

/// Two significant digits.
fn rounded(x: f64) -> f64 {
    format!("{x:.1e}").parse().unwrap_or(x)
}

/// The first layer that departs in plain fixed point, or a `known` one with its error, and the reason. `None` where none does.
pub fn departure<R: Ring>(
    plan: &Plan<R>,
    weights: &Weights,
    inputs: &[ArrayD<f32>],
    known: Option<(NodeId, f64)>,
) -> Option<Departure> {
    let graph = plan.graph().with_all_outputs();
    if graph.nodes().iter().map(Node::len).sum::<usize>() > MOST_ELEMENTS {
        return None;
    }
    let mut float = Vec::with_capacity(graph.nodes().len());
    evaluate_with(&graph, weights, inputs, |_, value| float.push(value.clone())).ok()?;
    let fixed = |settings| Fixed::<R>::new(&graph, settings, weights, inputs);
    let settings = *plan.settings();
    let own = fixed(settings)?;
    let first = own.first_departing(&float);
    let (id, error) = known.or_else(|| first.map(|id| (id, own.error(id, &float))))?;
    let finer = |fractional_bits: u32| {
        let comparison_bits = settings.comparison_bits + fractional_bits - settings.fractional_bits;
        Settings { fractional_bits, comparison_bits, ..settings }
    };
    let is_enough = |&bits: &u32| fixed(finer(bits)).is_some_and(|fixed| fixed.first_departing(&float).is_none());
    let enough = (settings.fractional_bits..=MOST_FRACTIONAL_BITS).step_by(2).skip(1);
    let enough = enough.filter(|_| first.is_some()).find(is_enough);
    // A small ring has no room for more bits: the default one may have.
    let in_default_ring = |&bits: &u32| {
        let fixed = Fixed::<u64>::new(&graph, finer(bits), weights, inputs);
        fixed.is_some_and(|fixed| fixed.first_departing(&float).is_none())
    };
    let is_tried = enough.is_none() && first.is_some() && R::BITS < u64::BITS;
    let default = Settings::new(settings.parties).fractional_bits;
    let wider = (default..=MOST_FRACTIONAL_BITS).step_by(2).filter(|_| is_tried).find(in_default_ring);
    Some(Departure {
        layer: graph.node(id).name().to_owned(),
        error,
        // Of the errors of functions and truncations plain fixed point knows nothing.
        coarse: coarsest(&graph, weights, id, &float, settings.fractional_bits).filter(|_| first == Some(id)),
        fractional_bits: settings.fractional_bits,
        enough: enough.or(wider),
        ring: wider.map(|_| u64::BITS),
    })
}

/// A plan in the clear, with the values of all layers.
struct Fixed<R: Ring> {
    plan: Plan<R>,
    values: Vec<ArrayD<f64>>,
}

impl<R: Ring> Fixed<R> {
    fn new(graph: &Graph, settings: Settings, weights: &Weights, inputs: &[ArrayD<f32>]) -> Option<Self> {
        let plan = Plan::new(graph, settings).ok()?;
        let values = ideal::evaluate(&plan, weights, inputs, |_, _| ()).ok()?;
        Some(Self { plan, values })
    }

    fn first_departing(&self, float: &[ArrayD<f32>]) -> Option<NodeId> {
        let mut values = self.plan.graph().outputs().iter().zip(&self.values);
        values.find(|(id, value)| departs(&float[id.index()], value)).map(|(&id, _)| id)
    }

    fn error(&self, id: NodeId, float: &[ArrayD<f32>]) -> f64 {
        let mut values = self.plan.graph().outputs().iter().zip(&self.values);
        values.find(|&(&other, _)| other == id).map_or(0.0, |(_, value)| largest_difference(value, &float[id.index()]))
    }
}

/// Of all that a layer reads the values that keep the fewest bits.
fn coarsest(graph: &Graph, weights: &Weights, id: NodeId, float: &[ArrayD<f32>], f: u32) -> Option<Coarse> {
    let node = graph.node(id);
    let read = node.inputs().iter().map(|&input| {
        let source = unmoved(graph, input);
        (graph.node(source).name().to_owned(), &float[source.index()])
    });
    let own = node.weight_name().and_then(|name| weights.get(&name).map(|weight| (name, weight)));
    let coarse = read.chain(own).filter_map(|(values, value)| {
        let (count, sum) = value
            .iter()
            .filter(|&&x| x != 0.0)
            .fold((0u32, 0.0), |(count, sum), &x| (count + 1, sum + f64::from(x) * f64::from(x)));
        let magnitude = (sum / f64::from(count.max(1))).sqrt();
        let bits = (magnitude * f64::from(f).exp2()).log2().max(0.0);
        (count > 0 && bits < ENOUGH_BITS).then_some(Coarse { values, magnitude, bits })
    });
    coarse.min_by(|a, b| a.bits.total_cmp(&b.bits))
}

/// The value whose elements another one has in other places.
fn unmoved(graph: &Graph, mut id: NodeId) -> NodeId {
    while let Op::Reshape | Op::Transpose { .. } | Op::Gather { .. } | Op::Slice { .. } = graph.node(id).op() {
        id = graph.node(id).inputs()[0];
    }
    id
}
