//! The values of the file during import.

use std::rc::Rc;

use mpc_nn::{NodeId, weights};
use ndarray::{ArrayD, IxDyn};

/// A value of the file at the time of import.
#[derive(Clone)]
pub(crate) enum Value {
    /// Public integers, Booleans and shapes.
    Integer(Rc<ArrayD<i64>>),
    /// Real numbers of the model owner's.
    Constant(Constant),
    /// A value that depends on a private input.
    Node(Tensor),
    /// Elements of a private input of integers that is not encoded yet, by their places in it.
    Tokens { input: usize, places: Rc<ArrayD<i64>> },
}

impl Value {
    pub(crate) fn integer(array: ArrayD<i64>) -> Self {
        Self::Integer(Rc::new(standard(array)))
    }

    pub(crate) fn integers(values: Vec<i64>) -> Self {
        Self::integer(vector(values))
    }

    pub(crate) fn scalar(value: i64) -> Self {
        Self::integer(ArrayD::from_elem(IxDyn(&[]), value))
    }

    pub(crate) fn constant(array: ArrayD<f32>) -> Self {
        Self::Constant(Constant::new(array))
    }

    /// Elements of a private input of integers, moved.
    pub(crate) fn tokens(input: usize, places: ArrayD<i64>) -> Self {
        Self::Tokens { input, places: Rc::new(standard(places)) }
    }

    pub(crate) fn shape(&self) -> &[usize] {
        match self {
            Self::Integer(array) => array.shape(),
            Self::Constant(constant) => constant.array().shape(),
            Self::Node(tensor) => &tensor.shape,
            Self::Tokens { places, .. } => places.shape(),
        }
    }

    pub(crate) fn is_private(&self) -> bool {
        matches!(self, Self::Node(_) | Self::Tokens { .. })
    }
}

impl From<Tensor> for Value {
    fn from(tensor: Tensor) -> Self {
        Self::Node(tensor)
    }
}

/// A node of the graph with the shape that the file gives it: scalars have no axes there, but one of size 1 in a graph.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) id: NodeId,
    pub(crate) shape: Vec<usize>,
}

impl Tensor {
    /// The value of another node, of the same shape.
    pub(crate) fn with_id(&self, id: NodeId) -> Self {
        Self { id, shape: self.shape.clone() }
    }

    pub(crate) fn rank(&self) -> usize {
        self.shape.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// An array of the model owner's, in row-major order, zeroised when nothing refers to it any more.
#[derive(Clone)]
pub(crate) struct Constant(Rc<Secret>);

struct Secret(ArrayD<f32>);

impl Constant {
    pub(crate) fn new(array: ArrayD<f32>) -> Self {
        Self(Rc::new(Secret(standard(array))))
    }

    pub(crate) fn array(&self) -> &ArrayD<f32> {
        &self.0.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        weights::zeroize(core::mem::take(&mut self.0));
    }
}

/// Brings an array into row-major order.
pub(crate) fn standard<T: Clone>(array: ArrayD<T>) -> ArrayD<T> {
    if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() }
}

/// An array of one axis.
pub(crate) fn vector<T>(values: Vec<T>) -> ArrayD<T> {
    ndarray::Array1::from_vec(values).into_dyn()
}
