//! The model owner's weights in the clear.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use ndarray::ArrayD;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::graph::{Graph, Parameter};
use crate::values::{self, Flaw};

/// The largest magnitude that a weight may have: 2^15, well inside what fixed point over Z_{2^64} can multiply.
pub const MAX_WEIGHT: f32 = 32768.0;

/// Why tensors are not the weights of a graph. No message contains a weight.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// A parameter without a tensor.
    #[error("the weights have no tensor `{name}`, which the graph needs with shape {expected:?}")]
    Missing {
        /// The parameter.
        name: String,
        /// The shape that it must have.
        expected: Vec<usize>,
    },
    /// A tensor of another shape.
    #[error("tensor `{name}` has shape {found:?}, but the graph needs {expected:?}; load the weights of this model")]
    Shape {
        /// The tensor.
        name: String,
        /// The shape that it must have.
        expected: Vec<usize>,
        /// The shape that it has.
        found: Vec<usize>,
    },
    /// A tensor that no layer uses.
    #[error("tensor `{name}` belongs to no layer of the graph; load the weights of this model")]
    Unknown {
        /// The tensor.
        name: String,
    },
    /// A weight that is NaN or infinite.
    #[error("tensor `{name}` is NaN or infinite at {index:?}; export the model again")]
    NotFinite {
        /// The tensor.
        name: String,
        /// The first such element.
        index: Vec<usize>,
    },
    /// A weight of a magnitude above [`MAX_WEIGHT`].
    #[error("tensor `{name}` is larger than {MAX_WEIGHT} in magnitude at {index:?}; rescale the model")]
    OutOfRange {
        /// The tensor.
        name: String,
        /// The first such element.
        index: Vec<usize>,
    },
}

/// The tensors of a graph's parameters: the model owner's secret.
///
/// Zeroised on drop; `Debug` shows names and shapes only.
///
/// ```
/// use mpc_nn::{GraphBuilder, Weights};
/// use ndarray::{array, ArrayD};
/// let mut builder = GraphBuilder::new();
/// let x = builder.input("x", &[1, 2])?;
/// let y = builder.linear("linear", x, 1, false)?;
/// let graph = builder.finish(&[y])?;
/// let tensors = [("linear.weight".to_string(), array![[0.5f32, -2.0]].into_dyn())];
/// let weights = Weights::for_graph(&graph, tensors.into())?;
/// assert_eq!(weights.get("linear.weight").map(ArrayD::shape), Some([1, 2].as_slice()));
/// assert_eq!(format!("{weights:?}"), "Weights { linear.weight: [1, 2] }");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Weights {
    tensors: BTreeMap<String, ArrayD<f32>>,
}

impl Weights {
    /// The weights of `graph`, if `tensors` has exactly its [parameters](Graph::parameters), all finite and at most
    /// [`MAX_WEIGHT`] in magnitude. Tensors are brought into row-major order; `tensors` is zeroised on failure.
    ///
    /// # Errors
    /// The first tensor, in the order of the graph, that is missing or has another shape or an unfit element; else
    /// the first that no layer uses.
    pub fn for_graph(graph: &Graph, tensors: BTreeMap<String, ArrayD<f32>>) -> Result<Self, WeightsError> {
        let mut weights = Self { tensors };
        let parameters = graph.parameters();
        parameters.iter().try_for_each(|parameter| weights.check(parameter))?;
        weights.check_names(&parameters)?;
        weights.tensors.values_mut().for_each(make_standard);
        Ok(weights)
    }

    /// Those of a graph without parameters.
    pub(crate) fn none() -> Self {
        Self { tensors: BTreeMap::new() }
    }

    /// The tensor of a parameter, in row-major order.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ArrayD<f32>> {
        self.tensors.get(name)
    }

    /// The tensors with their names, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &ArrayD<f32>)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    fn check(&self, parameter: &Parameter) -> Result<(), WeightsError> {
        let name = || parameter.name.clone();
        let expected = || parameter.shape.clone();
        let missing = || WeightsError::Missing { name: name(), expected: expected() };
        let tensor = self.tensors.get(&parameter.name).ok_or_else(missing)?;
        if tensor.shape() != parameter.shape {
            return Err(WeightsError::Shape { name: name(), expected: expected(), found: tensor.shape().to_vec() });
        }
        values::check(tensor, MAX_WEIGHT).map_err(|flaw| match flaw {
            Flaw::NotFinite(index) => WeightsError::NotFinite { name: name(), index },
            Flaw::OutOfRange(index) => WeightsError::OutOfRange { name: name(), index },
        })
    }

    /// Whether every tensor is a parameter's.
    fn check_names(&self, parameters: &[Parameter]) -> Result<(), WeightsError> {
        let is_unknown = |name: &&String| !parameters.iter().any(|parameter| parameter.name == **name);
        let mut names = self.tensors.keys();
        if self.tensors.len() == parameters.len() {
            return Ok(());
        }
        match names.find(is_unknown) {
            Some(name) => Err(WeightsError::Unknown { name: name.to_owned() }),
            None => Ok(()),
        }
    }
}

/// Brings an array into row-major order; what it held before is zeroised.
pub fn make_standard<T: Clone + Zeroize>(array: &mut ArrayD<T>) {
    if !array.is_standard_layout() {
        let standard = array.as_standard_layout().into_owned();
        zeroize(core::mem::replace(array, standard));
    }
}

/// Zeroises all that an array owns, also what a slice of it no longer shows.
pub fn zeroize<T: Zeroize>(array: ArrayD<T>) {
    array.into_raw_vec_and_offset().0.zeroize();
}

impl AsRef<Self> for Weights {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Drop for Weights {
    fn drop(&mut self) {
        core::mem::take(&mut self.tensors).into_values().for_each(zeroize);
    }
}

impl ZeroizeOnDrop for Weights {}

impl fmt::Debug for Weights {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shapes = formatter.debug_struct("Weights");
        for (name, tensor) in &self.tensors {
            shapes.field(name, &tensor.shape());
        }
        shapes.finish()
    }
}
