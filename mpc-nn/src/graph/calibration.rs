//! The magnitudes that values stay below, where they were measured.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Graph, GraphError, Node};
use crate::encoding::hex;

/// A bound of 2^0 at least: what is below costs little, and little values do not say much about others.
const SMALLEST_BOUND: u32 = 0;
/// The largest bound, as a power of two.
const LARGEST_BOUND: u32 = 40;

/// Fixed point makes a magnitude at most this many times as large.
const ROUNDED: f64 = 1.0 + 1.0 / 64.0;
/// And larger by this.
const ROUNDINGS: f64 = 1.0 / 256.0;

/// The largest magnitudes of a network's values on inputs like those that it will see.
///
/// ```
/// use mpc_nn::{Calibration, GraphBuilder};
/// let mut builder = GraphBuilder::new();
/// let x = builder.input("x", &[1, 4])?;
/// let y = builder.relu("y", x)?;
/// let graph = builder.finish(&[y])?;
/// let mut calibration = Calibration::new(&graph, 1);
/// calibration.largest.insert("y".to_owned(), 2.9);
/// let graph = graph.with_bounds(&calibration)?;
/// assert_eq!(graph.node(y).bound(), Some(8.0));
/// assert_eq!(graph.node(x).bound(), None);
/// # Ok::<(), mpc_nn::GraphError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// SHA-256 of the names of the network's nodes and parameters, and of the parameters' shapes: no other network may use it.
    pub model: String,
    /// Every value may become 2^margin times as large as the largest that was seen, rounded up to a power of two.
    pub margin: u8,
    /// The largest magnitude of each node's value, by the node's name.
    pub largest: BTreeMap<String, f64>,
}

impl Calibration {
    /// A calibration of a network that has seen no input.
    #[must_use]
    pub fn new(graph: &Graph, margin: u8) -> Self {
        Self { model: graph.names_digest(), margin, largest: BTreeMap::new() }
    }
}

impl Graph {
    /// The same network with the bounds of a calibration: comparisons and truncations of a plan take no more bits than they
    /// need. What is beyond a bound makes results meaningless, as what is beyond the default bound does.
    ///
    /// # Errors
    /// [`GraphError::OtherCalibration`] for that of another network; [`GraphError::Bound`] for a node that the network does not
    /// have, and for a magnitude that is none or too large.
    pub fn with_bounds(mut self, calibration: &Calibration) -> Result<Self, GraphError> {
        if calibration.model != self.names_digest() {
            return Err(GraphError::OtherCalibration);
        }
        let places: BTreeMap<_, _> = self.iter().map(|(id, node)| (node.name().to_owned(), id.index())).collect();
        for (name, &largest) in &calibration.largest {
            let wrong = |reason| GraphError::Bound { name: name.to_owned(), reason };
            let place = *places.get(name).ok_or(wrong("the network has no node of that name"))?;
            let bits =
                (SMALLEST_BOUND..=LARGEST_BOUND).find(|&bits| largest * ROUNDED + ROUNDINGS < power_of_two(bits));
            let bits = bits.filter(|_| largest >= 0.0).map(|bits| bits + u32::from(calibration.margin));
            let bits = bits.filter(|&bits| bits <= LARGEST_BOUND).ok_or(wrong(NO_BOUND))?;
            self.nodes[place].bound_bits = Some(bits as u8);
        }
        Ok(self)
    }

    /// The same network with the default bound for all values.
    #[must_use]
    pub fn without_bounds(mut self) -> Self {
        self.nodes.iter_mut().for_each(|node| node.bound_bits = None);
        self
    }

    /// The same for every size of a batch, and with and without bounds.
    fn names_digest(&self) -> String {
        let parameters = |(id, node): (_, &Node)| {
            let parameters = node.parameters(id).into_iter();
            parameters.map(|parameter| (parameter.name, parameter.shape)).collect::<Vec<_>>()
        };
        let named = |(id, node)| (Node::name(node).to_owned(), parameters((id, node)));
        let all: Vec<_> = self.iter().map(named).collect();
        let digest: [u8; 32] = Sha256::digest(postcard::to_allocvec(&all).expect("names always encode")).into();
        hex(&digest)
    }
}

/// 2^bits. Inlined, it would be computed of the bits that are not there as well, which the check of constant time reports.
#[inline(never)]
fn power_of_two(bits: u32) -> f64 {
    (1u64 << bits) as f64
}

const NO_BOUND: &str = "its bound is no number, negative or beyond 2^40";

impl Node {
    /// The bound that its value stays below in magnitude, if there is one of its own.
    #[must_use]
    pub fn bound(&self) -> Option<f64> {
        self.bound_bits.map(|bits| power_of_two(bits.into()))
    }

    /// Takes the bound of another node, of a graph that may be anybody's.
    pub(crate) fn take_bound(&mut self, other: &Self) -> Result<(), GraphError> {
        self.bound_bits = other.bound_bits;
        match self.bound_bits {
            Some(bits) if u32::from(bits) > LARGEST_BOUND => {
                Err(GraphError::Bound { name: self.name.clone(), reason: NO_BOUND })
            }
            _ => Ok(()),
        }
    }
}
