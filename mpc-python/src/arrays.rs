//! Arrays as the inputs of inferences, and back.

use std::path::PathBuf;

use mpc_models::tensors::{InputFile, Pixels};
use mpc_nn::{Graph, OneHot};
use ndarray::{ArrayD, Axis, Slice};
use numpy::{IntoPyArray, PyArrayDyn, PyReadonlyArrayDyn};
use pyo3::prelude::*;

use crate::error::Fault;

/// The arrays of inputs by name, as Python gives them.
pub type Given<'py> = Vec<(String, PyReadonlyArrayDyn<'py, f32>)>;
/// Named outputs, as Python gets them.
pub type Outputs<'py> = Vec<(String, Bound<'py, PyArrayDyn<f64>>)>;
/// The arrays of inputs by name.
pub type Arrays = Vec<(String, ArrayD<f32>)>;
/// Shapes of inputs by name.
pub type Shapes = Vec<(String, Vec<usize>)>;

/// An input as a network declares it; sizes that are none are open.
#[derive(Clone, Debug)]
pub struct Declared {
    /// The name.
    pub name: String,
    /// The sizes, if there are any.
    pub shape: Option<Vec<Option<usize>>>,
}

/// An input of a graph.
#[derive(Clone, Debug)]
pub struct Taken<'a> {
    /// The name.
    pub name: &'a str,
    /// The rows that elements become, of integers.
    pub rows: Option<OneHot>,
    /// The numbers that these must be below, where they differ.
    pub limits: &'a [usize],
}

/// The arrays of one call: the shapes of one inference's inputs, and how many inferences there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrangement {
    /// By name.
    pub shapes: Shapes,
    /// All samples of a network with an open batch are one inference; else there is one for each batch.
    pub inferences: usize,
}

/// Copies what Python may change meanwhile.
pub fn owned(given: &Given<'_>) -> Arrays {
    given.iter().map(|(name, array)| (name.clone(), array.as_array().to_owned())).collect()
}

/// Named outputs as arrays of numpy, not copied.
pub fn to_python(py: Python<'_>, outputs: Arrays64) -> Outputs<'_> {
    outputs.into_iter().map(|(name, array)| (name, array.into_pyarray(py))).collect()
}

/// Named outputs.
pub type Arrays64 = Vec<(String, ArrayD<f64>)>;

/// Finds what the arrays are inputs of.
///
/// # Errors
/// Missing inputs, shapes that the network does not take, different numbers of samples.
pub fn arrange(declared: &[Declared], arrays: &Arrays) -> Result<Arrangement, Fault> {
    let names = || declared.iter().map(|input| format!("`{}`", input.name)).collect::<Vec<_>>().join(", ");
    if let Some((name, _)) = arrays.iter().find(|(name, _)| declared.iter().all(|input| input.name != *name)) {
        return Err(Fault::input(format!("the network has no input `{name}`, but {}", names())));
    }
    let mut shapes = Vec::new();
    let mut inferences = None;
    for input in declared {
        let given = arrays.iter().find(|(name, _)| *name == input.name);
        let (_, array) = given
            .ok_or_else(|| Fault::input(format!("the input `{}` is missing; there are {}", input.name, names())))?;
        let (shape, parts) = input.arrange(array.shape())?;
        if *inferences.get_or_insert(parts) != parts {
            return Err(Fault::input(format!(
                "the input `{}` has another number of samples than those before",
                input.name
            )));
        }
        shapes.push((input.name.clone(), shape));
    }
    Ok(Arrangement { shapes, inferences: inferences.unwrap_or(1) })
}

impl Declared {
    /// The shape for one inference of an array of that shape, and the number of inferences.
    fn arrange(&self, shape: &[usize]) -> Result<(Vec<usize>, usize), Fault> {
        let Some(declared) = &self.shape else { return Ok((shape.to_vec(), 1)) };
        let fits = |shape: &[usize], declared: &[Option<usize>]| {
            shape.len() == declared.len()
                && shape.iter().zip(declared).all(|(size, declared)| declared.is_none_or(|declared| declared == *size))
        };
        if fits(shape, declared) {
            return Ok((shape.to_vec(), 1));
        }
        // A sample without its batch.
        if let [None | Some(1), rest @ ..] = &declared[..]
            && fits(shape, rest)
        {
            return Ok(([&[1], shape].concat(), 1));
        }
        if let ([samples, others @ ..], [Some(batch), rest @ ..]) = (shape, &declared[..])
            && fits(others, rest)
            && *samples > 0
            && samples.checked_rem(*batch) == Some(0)
        {
            return Ok(([&[*batch], others].concat(), samples / batch));
        }
        let sizes: Vec<_> =
            declared.iter().map(|size| size.map_or_else(|| "?".to_owned(), |size| size.to_string())).collect();
        let sizes = sizes.join(", ");
        Err(Fault::input(format!("input `{}` has shape {shape:?}, but the network takes [{sizes}]", self.name)))
    }
}

/// The inputs of each inference in the order of a graph's, encoded as it takes them.
///
/// # Errors
/// Elements that an input of integers does not take.
pub fn encode(
    graph: &Graph,
    taken: &[Taken<'_>],
    arrays: &Arrays,
    inferences: usize,
) -> Result<Vec<Vec<ArrayD<f32>>>, Fault> {
    let mut encoded = vec![Vec::with_capacity(taken.len()); inferences];
    for (place, (taken, &id)) in taken.iter().zip(graph.inputs()).enumerate() {
        let given = arrays.iter().find(|(name, _)| *name == taken.name);
        let (_, array) = given.ok_or_else(|| Fault::input(format!("the input `{}` is missing", taken.name)))?;
        let file = InputFile {
            input: place,
            name: taken.name.to_owned(),
            path: PathBuf::from(format!("`{}`", taken.name)),
            shape: graph.node(id).shape().to_vec(),
            rows: taken.rows,
            limits: taken.limits.to_vec(),
            pixels: Pixels::default(),
        };
        for (inference, encoded) in encoded.iter_mut().enumerate() {
            encoded.push(file.fit(part(array, inference, inferences))?);
        }
    }
    Ok(encoded)
}

/// The samples of one of several inferences.
fn part(array: &ArrayD<f32>, inference: usize, inferences: usize) -> ArrayD<f32> {
    if inferences == 1 {
        return array.clone();
    }
    let batch = array.len_of(Axis(0)) / inferences;
    array.slice_axis(Axis(0), Slice::from(inference * batch..(inference + 1) * batch)).to_owned()
}
