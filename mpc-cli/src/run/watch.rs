//! The events of a run, for those who watch it.

use std::ops::ControlFlow;

use super::event::{Event, Node};

/// Takes what happens in a run.
pub trait Watch {
    /// Something happened at a participant. `is_last` says that no party is behind: the phase is over. A break stops the run.
    fn event(&mut self, node: Node, event: &Event, is_last: bool) -> ControlFlow<()>;
}
