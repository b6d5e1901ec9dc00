//! A data owner's side of a session with servers.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use mpc_cli::run::Position;
use mpc_cli::{ConnectArguments, KeyArguments, Outcome, RevealToArgument};
use mpc_ring::in_ring;
use mpc_service::{Correlations, Event, PublicModel};
use mpc_transport::Phase;
use pyo3::prelude::*;
use smol::future::or;

use crate::arrays::{Arrays, Arrays64, Declared, Given, Outputs, Taken, arrange, encode, owned, to_python};
use crate::error::Fault;
use crate::packed;
use crate::settings::choice;
use crate::work::{self, Watch};

/// A data owner, the model that it asks for, and whom it works with.
#[pyclass(frozen)]
pub struct Client(Arc<Inner>);

struct Inner {
    client: mpc_service::Client,
    model: Arc<PublicModel>,
}

#[pymethods]
impl Client {
    /// Reads the keys and certificates; connects to nobody.
    #[new]
    #[pyo3(signature = (model, *, key, certificate, connect, dealer, reveal_to, model_owner, deadline))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        model: &packed::PublicModel,
        key: PathBuf,
        certificate: Option<PathBuf>,
        connect: Vec<String>,
        dealer: Option<String>,
        reveal_to: &str,
        model_owner: Option<PathBuf>,
        deadline: u64,
    ) -> PyResult<Self> {
        let key = KeyArguments { key, certificate, deadline };
        let reveal_to = choice::<RevealToArgument>("reveal_to", reveal_to)?;
        let arguments = ConnectArguments { key, connect, dealer, reveal_to, model_owner };
        let client = arguments.client().map_err(Fault::from)?;
        Ok(Self(Arc::new(Inner { client, model: Arc::clone(&model.0) })))
    }

    /// The outputs by name, none where they are not revealed to this side; and the report as JSON.
    fn query<'py>(
        &self,
        py: Python<'py>,
        given: Given<'_>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(Outputs<'py>, String)> {
        let (inner, arrays) = (Arc::clone(&self.0), owned(&given));
        let (outputs, report) = work::run(py, progress, move |watch| inner.query(&arrays, watch))?;
        Ok((to_python(py, outputs), report))
    }
}

impl Inner {
    fn query(&self, arrays: &Arrays, watch: &Watch) -> Result<(Arrays64, String), Fault> {
        let Self { client, model } = self;
        let declared = model.inputs.iter().map(|input| Declared {
            name: input.name.clone(),
            shape: Some(input.shape.iter().copied().map(Some).collect()),
        });
        let arrangement = arrange(&declared.collect::<Vec<_>>(), arrays)?;
        let taken =
            model.inputs.iter().map(|input| Taken { name: &input.name, classes: input.classes, limits: &input.limits });
        let inputs = encode(&model.graph, &taken.collect::<Vec<_>>(), arrays, arrangement.inferences)?;
        let steps = in_ring!(model.terms.ring, R => {
            model.plan::<R>()?.steps().iter().map(|step| step.name.clone()).collect::<Vec<_>>()
        });
        let mut seen = Seen { watch, all: steps.len() * inputs.len(), steps };
        // Dropped when nobody waits any more, which closes its connections.
        let query = async { Some(client.query(model, &inputs, Correlations::Live, &mut seen).await) };
        let stopped = async {
            watch.stopped().await;
            None
        };
        let Some(results) = smol::block_on(or(query, stopped)) else {
            return Err(Fault::input("the query was stopped"));
        };
        let outcome = Outcome { client, model, results: results? };
        let outputs = model.outputs.iter().map(|output| output.name.clone()).zip(outcome.outputs()?).collect();
        Ok((outputs, outcome.json()?))
    }
}

/// Tells how far the session is.
struct Seen<'a> {
    watch: &'a Watch,
    all: usize,
    steps: Vec<String>,
}

impl mpc_service::Watch for Seen<'_> {
    fn see(&mut self, event: Event) {
        let (inference, step) = match event {
            Event::Step { inference, phase: Phase::Online, step } => (inference as usize, step),
            Event::Inferred { inference } => (inference as usize + 1, 0),
            _ => return,
        };
        let layer = self.steps.get(step).cloned().unwrap_or_default();
        let position = Position { done: self.steps.len() * inference + step, all: self.all, layer };
        // The query itself is dropped where nobody waits.
        let (ControlFlow::Continue(()) | ControlFlow::Break(())) = self.watch.position(position);
    }
}
