//! A network in two parts: what everybody may know, and the weights.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use mpc_nn::GraphLimits;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

use crate::error::Fault;

/// The part of a network that everybody may know.
#[pyclass(frozen, module = "mpc")]
pub struct PublicModel(pub Arc<mpc_service::PublicModel>);

/// A network with its weights, for its owner.
#[pyclass(frozen, module = "mpc")]
pub struct PrivateModel(pub Arc<mpc_service::PrivateModel>);

#[pymethods]
impl PublicModel {
    /// Reads a file. A network of others must be within the limits for those, so many times as large.
    #[staticmethod]
    #[pyo3(signature = (path, *, max_network = 1))]
    fn load(py: Python<'_>, path: PathBuf, max_network: u32) -> PyResult<Self> {
        let limits = GraphLimits::default().times(max_network.max(1));
        let read = py.detach(|| mpc_service::PublicModel::read_within(&path, &limits));
        Ok(Self(Arc::new(read.map_err(Fault::from)?)))
    }

    /// Writes a file.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let written = py.detach(|| fs::write(&path, self.0.to_bytes()));
        written.map_err(|error| PyOSError::new_err(format!("{}: {error}", path.display())))
    }

    /// The digest of the plan, which all who take part compare.
    #[getter]
    fn digest(&self) -> PyResult<String> {
        Ok(self.0.digest().map_err(Fault::from)?.to_string())
    }

    fn __repr__(&self) -> PyResult<String> {
        Ok(format!("<mpc.PublicModel: plan {}, {} parties>", self.digest()?, self.parties()))
    }

    /// The recipients of each result, in a sentence.
    #[getter]
    fn disclosure(&self) -> String {
        self.0.terms.disclosure()
    }

    /// The number of parties.
    #[getter]
    fn parties(&self) -> usize {
        self.0.terms.parties()
    }

    /// The names and shapes of the inputs.
    #[getter]
    fn inputs(&self) -> Vec<(String, Vec<usize>)> {
        self.0.inputs.iter().map(|input| (input.name.clone(), input.shape.clone())).collect()
    }

    /// The names and shapes of the outputs.
    #[getter]
    fn outputs(&self) -> Vec<(String, Vec<usize>)> {
        self.0.outputs.iter().map(|output| (output.name.clone(), output.shape.clone())).collect()
    }
}

#[pymethods]
impl PrivateModel {
    fn __repr__(&self) -> &'static str {
        "<mpc.PrivateModel: keep it secret>"
    }

    /// Writes a file that only its owner can read.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        Ok(py.detach(|| self.0.write(&path)).map_err(Fault::from)?)
    }
}
