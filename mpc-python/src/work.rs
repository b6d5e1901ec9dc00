//! Work beside the interpreter: its lock is free meanwhile, Ctrl-C ends it, and progress reaches Python.

use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use mpc_cli::run::Position;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use smol::channel::{Receiver, bounded};

use crate::error::Fault;

/// How often signals are looked for.
const SIGNALS: Duration = Duration::from_millis(50);

enum Message<T> {
    Position(Position),
    Done(Result<T, Fault>),
}

/// The ear of those who wait for work; it says whether they still do.
pub struct Watch {
    positions: Box<dyn Fn(Position) + Send + Sync>,
    stop: Receiver<()>,
}

/// Ends work that nobody waits for.
struct GivenUp;

impl Watch {
    /// Tells how far the work is.
    pub fn position(&self, position: Position) -> ControlFlow<()> {
        (self.positions)(position);
        if self.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Whether nobody waits any more.
    fn is_stopped(&self) -> bool {
        self.stop.is_closed()
    }

    /// Ends the work here if nobody waits any more, for what has no other way to end early.
    pub fn check(&self) {
        if self.is_stopped() {
            resume_unwind(Box::new(GivenUp));
        }
    }

    /// Complete when nobody waits any more.
    pub async fn stopped(&self) {
        let _ = self.stop.recv().await;
    }
}

/// Runs `work` on a thread of its own, and waits for it without the interpreter's lock. `progress` is called with the steps
/// that are done, their number and the layer that begins.
///
/// # Errors
/// The work's; that of `progress`; `KeyboardInterrupt` at Ctrl-C: then the work ends at its next step.
pub fn run<T: Send + 'static>(
    py: Python<'_>,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&Watch) -> Result<T, Fault> + Send + 'static,
) -> PyResult<T> {
    let (sender, receiver) = channel();
    // Dropped on every way out of here, which stops the work.
    let (_waiting, stop) = bounded(1);
    let positions: Sender<Message<T>> = sender.clone();
    let watch = Watch { positions: Box::new(move |position| drop(positions.send(Message::Position(position)))), stop };
    thread::Builder::new().name("mpc".to_owned()).spawn(move || {
        let done = work(&watch);
        // Nobody waits after Ctrl-C.
        let _ = sender.send(Message::Done(done));
    })?;
    let receiver = Mutex::new(receiver);
    loop {
        let received =
            py.detach(|| receiver.lock().map_or(Err(RecvTimeoutError::Disconnected), |end| end.recv_timeout(SIGNALS)));
        py.check_signals()?;
        match received {
            Ok(Message::Done(done)) => return Ok(done?),
            Ok(Message::Position(Position { done, all, layer })) => {
                progress.map(|progress| progress.call1((done, all, layer))).transpose()?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(PyRuntimeError::new_err("panicked; please report this bug"));
            }
        }
    }
}
