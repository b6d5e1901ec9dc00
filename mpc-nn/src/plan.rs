//! The plan of an inference: steps, correlations, bytes and rounds, from public facts alone.
//!
//! The graph is walked once, here. Every value has a *format*: the scale of its fixed point, 2^f after a truncation and
//! 2^{2f} after a linear layer, and a public divisor that a mean has left pending, which the next linear layer takes into
//! its weights. The walk inserts a truncation only where a layer needs one: a ReLU truncates by itself, a residual sum is
//! formed at scale 2^{2f}, and the result is revealed at the scale it has.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::marker::PhantomData;

use mpc_protocols::fixed_weights::{self, FixedWeightShape};
use mpc_protocols::sign::{self, SignParameters, SignShape};
use mpc_protocols::truncation::{self, LiftShape};
use mpc_protocols::{Bilinear, ProtocolError, Request, correlation, maximum, open, sharing};
use mpc_ring::{Convolution, Ring};
use mpc_shares::ShareError;
use mpc_transport::{Agreement, Traffic};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::graph::{Graph, Node, NodeId, Op, Pool};

/// The public parameters of an inference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// n: the number of parties, 2 to 8.
    pub parties: usize,
    /// f: the fractional bits of a value.
    pub fractional_bits: u32,
    /// k: the bits in which values are truncated and compared; every one must stay below 2^{k−2−f} in magnitude.
    pub comparison_bits: u32,
    /// Who owns what.
    pub roles: Roles,
    /// Who knows the weights.
    pub weights: WeightKnowledge,
}

/// Who knows the weights while the parties compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum WeightKnowledge {
    /// Every party has a share; the model owner, if it computes, treats its own weights as the others do.
    #[default]
    Shared,
    /// The model owner computes with its weights in the clear: only the others send the inputs of linear layers, and
    /// only the owner computes a convolution online. The same is secret from the same parties.
    Owner,
}

impl Settings {
    /// f = 16 and k = 32 (values below 2^14), party 0 owning the model and party 1 the data, weights shared.
    #[must_use]
    pub fn new(parties: usize) -> Self {
        Self {
            parties,
            fractional_bits: 16,
            comparison_bits: 32,
            roles: Roles::default(),
            weights: WeightKnowledge::Shared,
        }
    }

    /// The magnitude that values may not reach: 2^{k−2−f}.
    #[must_use]
    pub fn bound(&self) -> f64 {
        let exponent = self.comparison_bits as i32 - 2 - self.fractional_bits as i32;
        if exponent >= 0 { (1u64 << exponent) as f64 } else { 1.0 / (1u64 << -exponent) as f64 }
    }
}

/// The parties that own the model, and the data and the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Roles {
    /// The party that knows the weights.
    pub model_owner: usize,
    /// The party that knows the inputs and learns the outputs.
    pub data_owner: usize,
}

impl Default for Roles {
    fn default() -> Self {
        Self { model_owner: 0, data_owner: 1 }
    }
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A number of parties that is not supported.
    #[error(transparent)]
    Parties(#[from] ShareError),
    /// A role for a party that does not exist.
    #[error("the {role} is party {party}, but there are {parties} parties, counted from 0")]
    Role {
        /// The role.
        role: &'static str,
        /// The party that was to have it.
        party: usize,
        /// The number of parties.
        parties: usize,
    },
    /// Fixed-point settings that do not fit the ring.
    #[error("f = {fractional_bits} and k = {comparison_bits} do not fit a ring of {ring_bits} bits: {reason}")]
    Precision {
        /// f.
        fractional_bits: u32,
        /// k.
        comparison_bits: u32,
        /// ℓ.
        ring_bits: u32,
        /// What is wrong.
        reason: &'static str,
    },
    /// A layer that has no private version yet.
    #[error("layer `{layer}` cannot run privately: {reason}")]
    Unsupported {
        /// The node.
        layer: String,
        /// Why.
        reason: String,
    },
}

/// A layer's parameters, in the order in which the weights are shared and their masks set up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerParameters {
    /// The weight tensor's name.
    pub weight: String,
    /// Its number of elements.
    pub weight_len: usize,
    /// The bias tensor's name.
    pub bias: Option<String>,
    /// Its number of elements, or 0.
    pub bias_len: usize,
    /// What the weights are divided by before they are encoded: the pending divisor of the layer's input.
    pub divisor: usize,
}

/// What a step does to the value of its node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Action {
    /// The data owner shares an input.
    Share {
        /// The place among the graph's inputs.
        input: usize,
    },
    /// A convolution or linear layer, with the parameters of that index.
    Linear {
        /// The index of the layer's parameters and of its weight mask.
        layer: usize,
        /// The shapes.
        map: Bilinear,
    },
    /// The node's value from scale 2^{2f} to 2^f, in place.
    Truncate(LiftShape),
    /// ReLU, truncating by `shift` bits.
    Relu {
        /// f, or 0 for a value at scale 2^f.
        shift: u32,
        /// The comparison.
        shape: SignShape,
    },
    /// Maximum over windows.
    MaxPool {
        /// The windows.
        pool: Pool,
        /// The bits of the comparisons.
        parameters: SignParameters,
    },
    /// Sums over windows; the divisor stays pending.
    SumPool(Pool),
    /// Means over windows that do not all have the same number of elements: scale 2^f to 2^{2f}.
    MeanPool(Pool),
    /// The pending divisor applied to the node's value, in place: scale 2^f to 2^{2f}.
    Divide {
        /// The divisor.
        divisor: usize,
    },
    /// The sum of two values, each shifted left first.
    Add {
        /// The shifts in bits.
        shifts: [u32; 2],
    },
    /// Values one after the other along an axis, each shifted left first.
    Concat {
        /// The axis.
        axis: usize,
        /// The shifts in bits.
        shifts: Vec<u32>,
    },
    /// The same elements in another shape.
    Reshape,
    /// Zeros around a tensor.
    Pad {
        /// Zeros in front of each axis.
        before: Vec<usize>,
    },
    /// Every `step`-th position from `start` to `stop` of each axis.
    Slice {
        /// First positions.
        start: Vec<usize>,
        /// Ends.
        stop: Vec<usize>,
        /// Distances.
        step: Vec<usize>,
    },
    /// The data owner learns the node's value.
    Reveal {
        /// The place among the graph's outputs.
        output: usize,
        /// The fractional bits of the value.
        fractional_bits: u32,
        /// What is left to divide by.
        divisor: usize,
    },
}

impl Action {
    /// The kind of layer, for tables.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Share { .. } => "input",
            Self::Linear { .. } => "linear",
            Self::Truncate(_) => "truncation",
            Self::Relu { .. } => "relu",
            Self::MaxPool { .. } => "max pool",
            Self::SumPool(_) | Self::MeanPool(_) => "average pool",
            Self::Divide { .. } => "divide",
            Self::Add { .. } => "add",
            Self::Concat { .. } => "concat",
            Self::Reshape => "reshape",
            Self::Pad { .. } => "pad",
            Self::Slice { .. } => "slice",
            Self::Reveal { .. } => "output",
        }
    }

    /// The correlations that the action consumes, in order.
    fn requests(&self, elements: usize) -> Vec<Request> {
        match self {
            Self::Linear { layer, map } => vec![Request::FixedWeights { mask: *layer, map: *map }],
            Self::Truncate(shape) => vec![Request::Lift { len: shape.len, bits: shape.bits }],
            Self::Relu { shape, .. } => vec![relu_request(*shape)],
            Self::MaxPool { pool, parameters } => {
                let candidates = pool.kernel[0] * pool.kernel[1];
                maximum::tournament(candidates, elements, *parameters).into_iter().map(relu_request).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What party `party` sends and receives.
    fn online<R: Ring>(&self, elements: usize, settings: &Settings, party: usize) -> Traffic {
        let parties = settings.parties;
        match self {
            Self::Share { .. } => sharing::traffic(party, settings.roles.data_owner, parties),
            Self::Linear { map, .. } => match settings.weights {
                WeightKnowledge::Shared => fixed_weights::traffic::<R>(map, parties),
                WeightKnowledge::Owner => {
                    fixed_weights::traffic_at_owner::<R>(map, party, settings.roles.model_owner, parties)
                }
            },
            Self::Truncate(shape) => truncation::traffic(*shape, parties),
            Self::Relu { shape, .. } => sign::traffic(*shape, parties),
            Self::MaxPool { pool, parameters } => {
                maximum::traffic(pool.kernel[0] * pool.kernel[1], elements, *parameters, parties)
            }
            Self::Reveal { .. } => sharing::reveal_traffic::<R>(elements, party, settings.roles.data_owner, parties),
            _ => Traffic::default(),
        }
    }
}

fn relu_request(shape: SignShape) -> Request {
    Request::Relu { len: shape.len, parameters: shape.parameters }
}

/// One step of a plan: what is done, and what it costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// A name that no other step has: the node's, with what was inserted behind it.
    pub name: String,
    /// The node whose value the step makes or changes.
    pub node: NodeId,
    /// What is done.
    pub action: Action,
    /// The correlations that it consumes, in order.
    pub requests: Vec<Request>,
    /// The shape of the result, the batch first.
    pub shape: Vec<usize>,
    /// What each party sends and receives online.
    #[serde(skip)]
    pub online: Vec<Traffic>,
    /// What the last party receives from the dealer.
    #[serde(skip)]
    pub preprocessing: Traffic,
}

/// Everything that an inference will do, send and consume, known before it runs.
///
/// ```
/// use mpc_nn::{GraphBuilder, Plan, Settings};
/// let mut builder = GraphBuilder::new();
/// let x = builder.input("x", &[1, 4])?;
/// let hidden = builder.linear("hidden", x, 8, true)?;
/// let relu = builder.relu("relu", hidden)?;
/// let y = builder.linear("out", relu, 2, true)?;
/// let graph = builder.finish(&[y])?;
/// let plan = Plan::<u64>::new(&graph, Settings::new(2))?;
/// // Opening 4 + 8 elements of 8 bytes, 8 ReLUs of 5.5 bytes, and a 32-byte seed from the data owner.
/// assert_eq!(plan.online(1).payload_sent, 32 + 12 * 8 + 44);
/// assert_eq!(plan.online(0).rounds, 1 + 1 + 3 + 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plan<R: Ring> {
    graph: Graph,
    settings: Settings,
    layers: Vec<LayerParameters>,
    steps: Vec<Step>,
    ring: PhantomData<R>,
}

impl<R: Ring> Plan<R> {
    /// Plans a graph.
    ///
    /// # Errors
    /// [`PlanError`], before anything is dealt or sent.
    pub fn new(graph: &Graph, settings: Settings) -> Result<Self, PlanError> {
        let parameters = check_settings::<R>(&settings)?;
        let mut walk = Walk::<R> {
            graph,
            settings,
            parameters,
            formats: Vec::new(),
            layers: Vec::new(),
            steps: Vec::new(),
            ring: PhantomData,
        };
        for (id, node) in graph.iter() {
            walk.visit(id, node)?;
        }
        for (output, &id) in graph.outputs().iter().enumerate() {
            walk.reveal(output, id);
        }
        Ok(Self { graph: graph.clone(), settings, layers: walk.layers, steps: walk.steps, ring: PhantomData })
    }

    /// The graph.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The layers with weights, in the order of their masks.
    #[must_use]
    pub fn layers(&self) -> &[LayerParameters] {
        &self.layers
    }

    /// The steps in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The correlations that loading the model consumes: a mask for the weights of each layer.
    #[must_use]
    pub fn setup_requests(&self) -> Vec<Request> {
        self.layers.iter().map(|layer| Request::WeightMask { len: layer.weight_len }).collect()
    }

    /// The correlations that one inference consumes.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.steps.iter().flat_map(|step| step.requests.iter().cloned()).collect()
    }

    /// What party `party` sends and receives while the model is loaded, apart from handshakes and its seed.
    #[must_use]
    pub fn setup(&self, party: usize) -> Traffic {
        let weights = self.layers.iter().map(|layer| layer.weight_len).sum();
        let Settings { parties, roles, weights: knowledge, .. } = self.settings;
        let shares = match knowledge {
            WeightKnowledge::Shared => sharing::traffic(party, roles.model_owner, parties),
            WeightKnowledge::Owner => Traffic::default(),
        };
        shares + open::traffic(weights, R::BITS, parties)
    }

    /// What party `party` receives from the dealer for one inference.
    #[must_use]
    pub fn preprocessing(&self, party: usize) -> Traffic {
        correlation::traffic::<R>(&self.requests(), party + 1 == self.settings.parties)
    }

    /// What party `party` sends and receives in one inference.
    #[must_use]
    pub fn online(&self, party: usize) -> Traffic {
        self.steps.iter().filter_map(|step| step.online.get(party).copied()).sum()
    }

    /// SHA-256 of the graph: two parties with one digest have one architecture.
    #[must_use]
    pub fn model_digest(&self) -> [u8; 32] {
        digest(&self.graph)
    }

    /// SHA-256 of everything that must agree: graph, ring, settings, every step and its correlations.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        digest(&(&self.graph, R::BITS, &self.settings, &self.layers, &self.steps))
    }

    /// What the handshake of a session compares, field by field.
    #[must_use]
    pub fn agreement(&self, session: [u8; 16]) -> Agreement {
        let settings = &self.settings;
        Agreement::new(session)
            .with("model", hex(&self.model_digest()))
            .with("ring", format!("Z_2^{}", R::BITS))
            .with("fractional bits", settings.fractional_bits)
            .with("comparison bits", settings.comparison_bits)
            .with("parties", settings.parties)
            .with("weights known to", if settings.weights == WeightKnowledge::Owner { "model owner" } else { "nobody" })
            .with("model owner", settings.roles.model_owner)
            .with("data owner", settings.roles.data_owner)
            .with("plan", hex(&self.digest()))
    }
}

fn digest(value: &impl Serialize) -> [u8; 32] {
    let bytes = postcard::to_allocvec(value).expect("plans always encode");
    Sha256::digest(&bytes).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check_settings<R: Ring>(settings: &Settings) -> Result<SignParameters, PlanError> {
    mpc_shares::check_parties(settings.parties)?;
    let Settings { parties, fractional_bits, comparison_bits, roles, .. } = *settings;
    for (role, party) in [("model owner", roles.model_owner), ("data owner", roles.data_owner)] {
        if party >= parties {
            return Err(PlanError::Role { role, party, parties });
        }
    }
    let wrong = |reason| PlanError::Precision { fractional_bits, comparison_bits, ring_bits: R::BITS, reason };
    if fractional_bits == 0 || fractional_bits + 2 >= comparison_bits {
        return Err(wrong("f must be at least 1 and below k − 2"));
    }
    if comparison_bits + fractional_bits > R::BITS {
        return Err(wrong("k + f must not exceed the ring's bits"));
    }
    let unsupported = |_: ProtocolError| wrong("k must be 3 to 42 bits");
    SignParameters::new(comparison_bits).map_err(unsupported)
}

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

struct Walk<'a, R: Ring> {
    graph: &'a Graph,
    settings: Settings,
    parameters: SignParameters,
    /// The format of each node's value so far.
    formats: Vec<Format>,
    layers: Vec<LayerParameters>,
    steps: Vec<Step>,
    ring: PhantomData<R>,
}

impl<R: Ring> Walk<'_, R> {
    fn visit(&mut self, id: NodeId, node: &Node) -> Result<(), PlanError> {
        let inputs = node.inputs();
        let (action, format) = match node.op() {
            Op::Input => {
                let input = self.graph.inputs().iter().position(|&input| input == id).unwrap_or_default();
                (Action::Share { input }, SINGLE)
            }
            Op::Convolution { shape, .. } => (self.linear(node, *shape), DOUBLE),
            Op::Linear { input_features, output_features, .. } => {
                (self.linear(node, fully_connected(self.graph.batch(), *input_features, *output_features)), DOUBLE)
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
            Op::GlobalAveragePool => {
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
            Op::Flatten => (Action::Reshape, self.format(inputs[0])),
            Op::Pad { before, .. } => (Action::Pad { before: before.clone() }, self.format(inputs[0])),
            Op::Slice { start, stop, step } => {
                let action = Action::Slice { start: start.clone(), stop: stop.clone(), step: step.clone() };
                (action, self.format(inputs[0]))
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

    fn reveal(&mut self, output: usize, id: NodeId) {
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

/// The shape that a linear step's correlation is drawn for.
pub(crate) fn pair_shape(layer: usize, map: Bilinear) -> FixedWeightShape {
    FixedWeightShape { mask: layer, map }
}
