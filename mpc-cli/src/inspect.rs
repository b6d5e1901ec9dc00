//! The contents of an ONNX file, and the cost of a private run of it.

use std::collections::BTreeMap;

use mpc_nn::{Network, Plan, PlanError, Settings};
use mpc_onnx::{Dimension, ImportError, InputShapes, OnnxFile, TensorInfo};
use mpc_transport::Traffic;
use serde::Serialize;

use crate::format::{bytes, count};
use crate::table::table;

/// Why a network cannot run privately.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// It cannot be imported, for all these reasons.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// There is no plan for it.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A shape that is none.
    #[error("--shape {0} is not NAME=SIZExSIZE…, such as image=1x3x32x32")]
    Shape(String),
}

#[derive(Debug, Serialize)]
struct Tensor {
    name: String,
    element_type: String,
    shape: String,
}

/// A magnitude that the values of some steps must stay below.
#[derive(Debug, PartialEq, Serialize)]
struct Bound {
    bound: f64,
    /// Whether a calibration says so; else the default.
    calibrated: bool,
    steps: usize,
}

/// The contents and the cost, for people and as JSON. Bytes are those on the wire, with the headers of frames.
#[derive(Debug, Serialize)]
pub struct Inspection {
    parties: usize,
    producer: String,
    opset: i64,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    operators: BTreeMap<String, usize>,
    parameters: usize,
    multiplications: u64,
    layers: usize,
    /// How many steps of a run have a result of so many bits.
    widths: BTreeMap<u32, usize>,
    /// The bounds of what is compared or truncated, the smallest first.
    bounds: Vec<Bound>,
    online_bytes_sent: u64,
    rounds: u64,
    setup_bytes_sent: u64,
    dealt_bytes: u64,
}

impl Inspection {
    /// Of a file and the network that it was imported as, between so many parties.
    ///
    /// # Errors
    /// [`InspectError`].
    pub fn new(file: &OnnxFile, network: &Network, parties: usize) -> Result<Self, InspectError> {
        let plan = Plan::<u64>::new(&network.graph, Settings::new(parties))?;
        let largest = |traffic: &dyn Fn(usize) -> Traffic, part: fn(&Traffic) -> u64| {
            (0..parties).map(|party| part(&traffic(party))).max().unwrap_or(0)
        };
        let mut widths = BTreeMap::new();
        plan.steps().iter().for_each(|step| *widths.entry(step.width).or_default() += 1);
        Ok(Self {
            parties,
            producer: file.producer().to_owned(),
            opset: file.opset(),
            inputs: file.inputs().into_iter().map(tensor).collect(),
            outputs: file.outputs().into_iter().map(tensor).collect(),
            operators: file.operators(),
            parameters: file.parameter_count(),
            multiplications: network.graph.multiplications(),
            layers: network.graph.nodes().len(),
            widths,
            bounds: bounds(&plan),
            online_bytes_sent: largest(&|party| plan.online(party), Traffic::bytes_sent),
            rounds: largest(&|party| plan.online(party), |traffic| traffic.rounds),
            setup_bytes_sent: largest(&|party| plan.setup(party), Traffic::bytes_sent),
            dealt_bytes: plan.preprocessing(parties - 1).bytes_received(),
        })
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut tensors = table(&["", "name", "type", "shape"], 4);
        for (what, list) in [("input", &self.inputs), ("output", &self.outputs)] {
            for Tensor { name, element_type, shape } in list {
                tensors.add_row([what, name, element_type, shape]);
            }
        }
        let mut operators = table(&["operator", "nodes"], 1);
        for (operator, nodes) in &self.operators {
            operators.add_row([operator.clone(), nodes.to_string()]);
        }
        let bounds = |calibrated: bool| {
            let own = self.bounds.iter().filter(|bound| bound.calibrated == calibrated);
            let bounds: Vec<_> = own.map(|Bound { bound, steps, .. }| format!("{bound} in {steps}")).collect();
            if bounds.is_empty() { "none".to_owned() } else { bounds.join(", ") }
        };
        let widths: Vec<_> = self.widths.iter().map(|(width, steps)| format!("{width} in {steps}")).collect();
        format!(
            "{}, opset {}\n\n{tensors}\n\n{operators}\n\n{} parameters, {} multiplications, {} layers after import\n\
             bits read of the results of steps: {}\n\
             bounds of what is compared, from a calibration: {}; by default: {}\n\
             {} parties, one inference: {} sent by a party in {} rounds, {} dealt to the last party; once for the \
             model: {} sent by a party\n",
            if self.producer.is_empty() { "no producer named" } else { &self.producer },
            self.opset,
            count(self.parameters as u64),
            count(self.multiplications),
            self.layers,
            widths.join(", "),
            bounds(true),
            bounds(false),
            self.parties,
            bytes(self.online_bytes_sent),
            self.rounds,
            bytes(self.dealt_bytes),
            bytes(self.setup_bytes_sent),
        )
    }
}

fn bounds(plan: &Plan<u64>) -> Vec<Bound> {
    let mut bounds = Vec::<Bound>::new();
    for step in plan.steps() {
        let Some(bound) = step.bound(plan.settings()) else { continue };
        let calibrated = step.is_calibrated(plan.graph());
        match bounds.iter_mut().find(|known| known.bound == bound && known.calibrated == calibrated) {
            Some(known) => known.steps += 1,
            None => bounds.push(Bound { bound, calibrated, steps: 1 }),
        }
    }
    bounds.sort_by(|left, right| left.bound.total_cmp(&right.bound));
    bounds
}

/// The shapes of inputs that `NAME=SIZExSIZE…` give.
///
/// # Errors
/// [`InspectError::Shape`].
pub fn named_shapes(named: &[String]) -> Result<Vec<(String, Vec<usize>)>, InspectError> {
    let shape = |argument: &String| {
        let wrong = || InspectError::Shape(argument.clone());
        let (name, sizes) = argument.rsplit_once('=').ok_or_else(wrong)?;
        let sizes: Vec<usize> =
            sizes.split('x').map(|size| size.parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
        Ok((name.to_owned(), sizes))
    };
    named.iter().map(shape).collect()
}

/// Shapes of inputs for an import.
#[must_use]
pub fn input_shapes(shapes: &[(String, Vec<usize>)]) -> InputShapes {
    shapes.iter().fold(InputShapes::new(), |all, (name, shape)| all.with(name, shape))
}

fn tensor(info: TensorInfo) -> Tensor {
    let size = |dimension: &Dimension| match dimension {
        Dimension::Fixed(size) => size.to_string(),
        Dimension::Symbolic(name) if !name.is_empty() => name.clone(),
        _ => "?".to_owned(),
    };
    let shape =
        info.shape.map_or_else(|| "any".to_owned(), |shape| shape.iter().map(size).collect::<Vec<_>>().join("×"));
    Tensor { name: info.name, element_type: info.element_type, shape }
}
