//! A party's correlations in the order of the plan.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::future::ready;

use mpc_ring::Ring;
use mpc_transport::Link;

use super::dealt::Dealt;
use super::fields::{Correlation, Fields, Made};
use super::layout::Layout;
use super::provider::{Provided, Provider, Share};
use super::request::Request;
use crate::ProtocolError;
use crate::place::Place;

/// A party's stream of correlations in one session, in the order of the plan, whoever makes them.
pub struct CorrelationSource<'a> {
    plan: Plan<'a>,
    provider: Box<dyn Provider + 'a>,
}

/// A source's knowledge of its plan.
enum Plan<'a> {
    /// The rest of a plan that was given.
    Given(VecDeque<Request>),
    /// A plan that is noted down as correlations are asked for.
    Noted(&'a mut Vec<Request>),
}

impl fmt::Debug for CorrelationSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CorrelationSource").field("planned", &self.left()).finish_non_exhaustive()
    }
}

impl<'a> CorrelationSource<'a> {
    /// The correlations that `provider` makes, which was begun with `plan`.
    pub fn new(provider: impl Provider + 'a, plan: &[Request]) -> Self {
        Self { plan: Plan::Given(plan.iter().cloned().collect()), provider: Box::new(provider) }
    }

    /// Correlations of zeros, whatever is asked for, which is noted in `plan`: for a dry run.
    pub(crate) fn noting(plan: &'a mut Vec<Request>) -> Self {
        Self { plan: Plan::Noted(plan), provider: Box::new(Zeros) }
    }

    /// Begins a session with a dealer, which deals to the same plan: receives this party's seeds over `link`.
    ///
    /// # Rounds and communication
    /// 64 bytes ([`traffic`](super::traffic) has the whole session's).
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
        self.next_modulo(C::Ring::BITS, shape).await
    }

    /// As [`next`](Self::next), where the results of the protocol that takes it are read modulo 2^`width` only:
    /// [`Request::modulo`].
    ///
    /// # Errors
    /// As [`next`](Self::next); [`ProtocolError::Parameter`] for a width that is 0 or more than the ring has.
    pub async fn next_modulo<C: Correlation>(&mut self, width: u32, shape: C::Shape) -> Result<C, ProtocolError> {
        let asked = C::request(&shape).modulo::<C::Ring>(width);
        self.plan.take(&asked)?;
        let layout = Layout::modulo::<C>(&shape, width)?;
        let mut made: Vec<Made<C::Ring>> = layout.fields().iter().map(Made::blank).collect();
        let shares = made.iter_mut().map(|share| share as &mut dyn Share).collect();
        self.provider.provide(&asked, shares).await?;
        C::from_fields(&shape, &mut Fields::made(made, width))
    }

    /// Ends a session: everything planned must have been used.
    ///
    /// # Errors
    /// [`ProtocolError::LeftOver`].
    pub fn finish(self) -> Result<(), ProtocolError> {
        match self.left() {
            0 => Ok(()),
            count => Err(ProtocolError::LeftOver { count }),
        }
    }

    fn left(&self) -> usize {
        match &self.plan {
            Plan::Given(planned) => planned.len(),
            Plan::Noted(_) => 0,
        }
    }
}

impl Plan<'_> {
    /// Goes on by what is asked for, which must be next.
    fn take(&mut self, asked: &Request) -> Result<(), ProtocolError> {
        match self {
            Self::Given(planned) => match planned.pop_front() {
                None => Err(ProtocolError::RanDry { asked: Box::new(asked.clone()) }),
                Some(next) if next != *asked => {
                    Err(ProtocolError::PlanDiffers { planned: Box::new(next), asked: Box::new(asked.clone()) })
                }
                Some(_) => Ok(()),
            },
            Self::Noted(plan) => {
                plan.push(asked.clone());
                Ok(())
            }
        }
    }
}

/// Makes nothing: shares are zero before they are filled, packed ones once they have their bytes.
struct Zeros;

impl Provider for Zeros {
    fn provide<'a>(&'a mut self, _: &'a Request, shares: Vec<&'a mut dyn Share>) -> Provided<'a> {
        for share in shares {
            let _ = share.packed();
        }
        Box::pin(ready(Ok(())))
    }
}
