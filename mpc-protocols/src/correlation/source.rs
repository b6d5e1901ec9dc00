//! A party's correlations in the order of the plan.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;

use mpc_transport::Link;

use super::dealt::Dealt;
use super::fields::{Correlation, Fields, Made};
use super::layout::Layout;
use super::provider::{Provider, Share};
use super::request::Request;
use crate::ProtocolError;
use crate::place::Place;

/// A party's stream of correlations in one session, in the order of the plan, whoever makes them.
pub struct CorrelationSource<'a> {
    planned: VecDeque<Request>,
    provider: Box<dyn Provider + 'a>,
}

impl fmt::Debug for CorrelationSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CorrelationSource").field("planned", &self.planned.len()).finish_non_exhaustive()
    }
}

impl<'a> CorrelationSource<'a> {
    /// The correlations that `provider` makes, which was begun with `plan`.
    pub fn new(provider: impl Provider + 'a, plan: &[Request]) -> Self {
        Self { planned: plan.iter().cloned().collect(), provider: Box::new(provider) }
    }

    /// Begins a session with a dealer, which deals to the same plan: receives this party's seed over `link`.
    ///
    /// # Rounds and communication
    /// 32 bytes ([`traffic`](super::traffic) has the whole session's).
    ///
    /// # Errors
    /// [`ProtocolError::Transport`].
    pub async fn begin(link: &'a mut Link, place: Place, plan: &[Request]) -> Result<Self, ProtocolError> {
        Ok(Self::new(Dealt::begin(link, place).await?, plan))
    }

    /// This party's share of the plan's next correlation.
    ///
    /// # Errors
    /// [`ProtocolError::PlanDiffers`] or [`ProtocolError::RanDry`] if that is not what the plan has next;
    /// [`ProtocolError::Parameter`] for a shape that cannot be; those of the provider, such as
    /// [`ProtocolError::Transport`].
    pub async fn next<C: Correlation>(&mut self, shape: C::Shape) -> Result<C, ProtocolError> {
        let asked = C::request(&shape);
        match self.planned.pop_front() {
            None => return Err(ProtocolError::RanDry { asked: Box::new(asked) }),
            Some(planned) if planned != asked => {
                return Err(ProtocolError::PlanDiffers { planned: Box::new(planned), asked: Box::new(asked) });
            }
            Some(_) => {}
        }
        let layout = Layout::of::<C>(&shape)?;
        let mut made: Vec<Made<C::Ring>> = layout.fields().iter().map(Made::blank).collect();
        let shares = made.iter_mut().map(|share| share as &mut dyn Share).collect();
        self.provider.provide(&asked, shares).await?;
        C::from_fields(&shape, &mut Fields::made(made))
    }

    /// Ends a session: everything planned must have been used.
    ///
    /// # Errors
    /// [`ProtocolError::LeftOver`].
    pub fn finish(self) -> Result<(), ProtocolError> {
        let count = self.planned.len();
        if count == 0 { Ok(()) } else { Err(ProtocolError::LeftOver { count }) }
    }
}
