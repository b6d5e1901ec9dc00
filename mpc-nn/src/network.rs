//! A network with its weights, and the names and shapes that its user knows its inputs and outputs by.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::graph::{Graph, NodeId};
use crate::weights::Weights;

/// How the data owner writes an input down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Each element as a number.
    Plain,
    /// Each element, an integer below the number of classes, as such a row: the graph's input has an axis more, and is of whole
    /// numbers. A negative number counts from the end, if they are [taken](OneHot::takes_negative).
    OneHot(OneHot),
}

impl Encoding {
    /// The rows of a one-hot encoding.
    #[must_use]
    pub const fn rows(self) -> Option<OneHot> {
        match self {
            Self::OneHot(rows) => Some(rows),
            Self::Plain => None,
        }
    }
}

/// The places that an integer below a number of classes is shared as: a row of zeros with a 1 at its own, or two such rows, one
/// behind the other, of its quotient by `low` and of the remainder.
///
/// From a table of N rows of h numbers, a row chooses by a product of which N places are opened. Of two rows, the first chooses
/// `low` neighbouring rows of the table, of which the second chooses one: N / `low` places are opened, and in the round behind it
/// `low` rows and as many places.
///
/// ```
/// use mpc_nn::OneHot;
/// let tokens = OneHot::for_table(30_522, 384);
/// assert_eq!((tokens.low(), tokens.high(), tokens.len()), (7, 4361, 4368));
/// let mut row = [0.0; 5];
/// OneHot::whole(5).write(3, &mut row);
/// assert_eq!(row, [0.0, 0.0, 0.0, 1.0, 0.0]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OneHot {
    classes: usize,
    low: NonZeroUsize,
    negative: bool,
}

impl OneHot {
    /// One row.
    #[must_use]
    pub const fn whole(classes: usize) -> Self {
        Self { classes, low: NonZeroUsize::MIN, negative: true }
    }

    /// The rows that choose from a table of `classes` rows of `features` numbers for the fewest bytes between two parties and a
    /// dealer. Two rows take a round more, so there is one unless they save half. Two parties without a dealer make the product
    /// of secrets by transfers, which for a small table is more than they save.
    #[must_use]
    pub fn for_table(classes: usize, features: usize) -> Self {
        let (rows, features) = (classes as u128, features as u128);
        // All elements that both parties open, and those of products, which are dealt.
        let one = 2 * rows + features;
        let two = |low: u128| 2 * (rows.div_ceil(low) + low * (features + 1)) + (low + 1) * features;
        let fewest = (2..=classes.isqrt()).min_by_key(|&low| two(low as u128));
        let low = fewest.filter(|&low| 2 * two(low as u128) <= one).and_then(NonZeroUsize::new);
        Self { classes, low: low.unwrap_or(NonZeroUsize::MIN), negative: true }
    }

    /// The same for integers that are not negative: where they have several readers, a negative one is another place for each.
    #[must_use]
    pub const fn without_negative(self) -> Self {
        Self { negative: false, ..self }
    }

    /// Whether a negative number counts from the end.
    #[must_use]
    pub const fn takes_negative(&self) -> bool {
        self.negative
    }

    /// The number of classes.
    #[must_use]
    pub const fn classes(&self) -> usize {
        self.classes
    }

    /// The places of the second row, and 1 if there is none.
    #[must_use]
    pub const fn low(&self) -> usize {
        self.low.get()
    }

    /// The places of the first row.
    #[must_use]
    pub const fn high(&self) -> usize {
        self.classes.div_ceil(self.low.get())
    }

    /// All places.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a number of places, which nothing iterates over")]
    pub const fn len(&self) -> usize {
        if self.low() == 1 { self.classes } else { self.high().saturating_add(self.low()) }
    }

    /// Writes the 1s of a class into places that are 0.
    ///
    /// # Panics
    /// If there is no such class, or another number of places.
    pub fn write(&self, class: usize, places: &mut [f32]) {
        assert!(class < self.classes && places.len() == self.len(), "a class and its places");
        places[class / self.low()] = 1.0;
        if self.low() > 1 {
            places[self.high() + class % self.low()] = 1.0;
        }
    }
}

/// An input of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkInput {
    /// The name, that of its node in the graph.
    pub name: String,
    /// The shape before encoding, as the model's own file has it. The graph's has an axis of places more if the encoding is
    /// one-hot, and one axis of size 1 for a scalar.
    pub shape: Vec<usize>,
    /// How its elements are given to the graph.
    pub encoding: Encoding,
    /// Of a one-hot input that several tables are read by, for each element the number of rows of the smallest table that
    /// it chooses from: it must be below that. Empty for others.
    pub limits: Vec<usize>,
}

/// An output of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkOutput {
    /// The name in the model's own file.
    pub name: String,
    /// The shape in the model's own file; the graph's is the same, but one axis of size 1 for a scalar.
    pub shape: Vec<usize>,
}

/// A network that can be planned and run: of the zoo, of an imported file, of a packed model.
#[derive(Debug)]
pub struct Network {
    /// The architecture, public.
    pub graph: Graph,
    /// The model owner's weights.
    pub weights: Weights,
    /// The inputs, in the order of the graph's, which may differ from the file's. Inputs of a file that no output depends on
    /// are missing.
    pub inputs: Vec<NetworkInput>,
    /// The outputs, in the order of the graph's and of the file's.
    pub outputs: Vec<NetworkOutput>,
}

impl AsRef<Weights> for Network {
    fn as_ref(&self) -> &Weights {
        &self.weights
    }
}

impl Network {
    /// A network whose inputs are plain numbers, and whose inputs and outputs have the names and shapes of their nodes.
    #[must_use]
    pub fn new(graph: Graph, weights: Weights) -> Self {
        let of = |&id: &NodeId| (graph.node(id).name().to_owned(), graph.node(id).shape().to_vec());
        let input = |(name, shape)| NetworkInput { name, shape, encoding: Encoding::Plain, limits: Vec::new() };
        let inputs = graph.inputs().iter().map(of).map(input).collect();
        let outputs = graph.outputs().iter().map(of).map(|(name, shape)| NetworkOutput { name, shape }).collect();
        Self { graph, weights, inputs, outputs }
    }
}
