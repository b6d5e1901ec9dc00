//! A data owner's side of a session with servers.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use mpc_cli::run::Position;
use mpc_cli::{ConnectArguments, KeyArguments, Outcome, RevealToArgument, StoreArgument};
use mpc_ring::in_ring;
use mpc_service::{Correlations, Event, PreparedStore, PublicModel, ServiceError};
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

    /// The outputs by name, none where they are not revealed to this side; and the report as JSON. With a store, prepared
    /// inferences are used.
    fn query<'py>(
        &self,
        py: Python<'py>,
        given: Given<'_>,
        store: Option<PathBuf>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(Outputs<'py>, String)> {
        let (inner, arrays) = (Arc::clone(&self.0), owned(&given));
        let (outputs, report) = work::run(py, progress, move |watch| inner.query(&arrays, store, watch))?;
        Ok((to_python(py, outputs), report))
    }

    /// Prepares `count` inferences, of which `audit` are drawn, destroyed and dealt again; the name of their batch.
    fn prepare(
        &self,
        py: Python<'_>,
        count: u32,
        audit: u32,
        store: PathBuf,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        let inner = Arc::clone(&self.0);
        work::run(py, progress, move |watch| inner.prepare((count, audit), store, watch))
    }
}

impl Inner {
    fn store(&self, place: PathBuf) -> Result<Box<dyn PreparedStore>, Fault> {
        let store = StoreArgument::from(place.into_os_string()).own(&self.client.endpoint.identity);
        Ok(store.map_err(ServiceError::from)?)
    }

    fn prepare(&self, counts: (u32, u32), store: PathBuf, watch: &Watch) -> Result<String, Fault> {
        let store = self.store(store)?;
        let mut seen = Stored { watch, all: counts.0 as usize };
        let preparation = self.client.prepare_audited(&self.model, counts, &*store, &mut seen);
        Ok(unless_stopped(watch, preparation)??.to_string())
    }

    fn query(&self, arrays: &Arrays, store: Option<PathBuf>, watch: &Watch) -> Result<(Arrays64, String), Fault> {
        let Self { client, model } = self;
        let declared = model.inputs.iter().map(|input| Declared {
            name: input.name.clone(),
            shape: Some(input.shape.iter().copied().map(Some).collect()),
        });
        let arrangement = arrange(&declared.collect::<Vec<_>>(), arrays)?;
        let taken =
            model.inputs.iter().map(|input| Taken { name: &input.name, rows: input.rows, limits: &input.limits });
        let inputs = encode(&model.graph, &taken.collect::<Vec<_>>(), arrays, arrangement.inferences)?;
        let steps = in_ring!(model.terms.ring, R => {
            model.plan::<R>()?.steps().iter().map(|step| step.name.clone()).collect::<Vec<_>>()
        });
        let mut seen = Seen { watch, all: steps.len() * inputs.len(), steps };
        let store = store.map(|place| self.store(place)).transpose()?;
        let correlations = store.as_deref().map_or(Correlations::Live, Correlations::Store);
        let results = unless_stopped(watch, client.query(model, &inputs, correlations, &mut seen))??;
        let outcome = Outcome { client, model, results };
        let outputs = model.outputs.iter().map(|output| output.name.clone()).zip(outcome.outputs()?).collect();
        Ok((outputs, outcome.json()?))
    }
}

/// The outcome of a session, which is dropped when nobody waits any more: that closes its connections.
fn unless_stopped<T>(watch: &Watch, session: impl Future<Output = T>) -> Result<T, Fault> {
    let session = async { Some(session.await) };
    let stopped = async {
        watch.stopped().await;
        None
    };
    smol::block_on(or(session, stopped)).ok_or_else(|| Fault::input("the session was stopped"))
}

/// Tells how many inferences are stored.
struct Stored<'a> {
    watch: &'a Watch,
    all: usize,
}

impl mpc_service::Watch for Stored<'_> {
    fn see(&mut self, event: Event) {
        let Event::Stored { inferences } = event else { return };
        let position = Position { done: inferences as usize, all: self.all, layer: String::new() };
        // The preparation itself is dropped where nobody waits.
        let (ControlFlow::Continue(()) | ControlFlow::Break(())) = self.watch.position(position);
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
