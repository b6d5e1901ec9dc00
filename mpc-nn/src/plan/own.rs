//! Two parties that make the correlations of a plan themselves.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::iter;

use mpc_ot::Schedule;
use mpc_protocols::Place;
use mpc_protocols::own::{OwnPlan, PRODUCT_BITS};
use mpc_ring::Ring;
use mpc_transport::Traffic;

use super::format::{Format, Number};
use super::makers::Correlations;
use super::settings::{PlanError, Settings};
use super::walk::Walk;
use super::{Plan, Step};
use crate::graph::{NodeId, Op};

/// How two parties make the correlations of all steps, if there is no dealer. The traffic of each step becomes theirs.
pub(super) fn plan<R: Ring>(steps: &mut [Step], settings: &Settings) -> Result<Option<Arc<OwnPlan>>, PlanError> {
    let Correlations::Own { transfers, inferences } = settings.correlations else { return Ok(None) };
    let (holder, inferences) = (settings.weight_holder(), u64::from(inferences));
    let mut tolerances = Vec::new();
    for step in steps.iter() {
        let refused = |reason| PlanError::NeedsDealer { step: step.name.clone(), reason };
        let tolerance = match step.format {
            Format::Number(Number { scale, .. }) => tolerated(scale.saturating_sub(settings.fractional_bits)),
            _ => u64::MAX,
        };
        let own = OwnPlan::new::<R>(&step.requests, holder, inferences, |_| tolerance);
        if own.map_err(|error| refused(error.to_string()))?.noise().any(|noise| noise > tolerance) {
            let reason =
                "the noise of its encryption would show in the result; take more fractional bits in a larger ring";
            return Err(refused(reason.to_string()));
        }
        tolerances.extend(iter::repeat_n(tolerance, step.requests.len()));
    }
    let requests: Vec<_> = steps.iter().flat_map(|step| step.requests.iter().cloned()).collect();
    let of_all =
        |error: mpc_protocols::ProtocolError| PlanError::NeedsDealer { step: "all".into(), reason: error.to_string() };
    let own = OwnPlan::new::<R>(&requests, holder, inferences, |at| tolerances[at]).map_err(of_all)?;
    let last = Place { party: settings.parties - 1, parties: settings.parties };
    let traffic = own.traffic_by_request(last, &mut Schedule::new(transfers.method()));
    let mut traffic = traffic.into_iter();
    for step in steps {
        step.preprocessing = traffic.by_ref().take(step.requests.len()).sum();
    }
    Ok(Some(Arc::new(own)))
}

/// Units of a product with `shift` more bits than a value that are half a unit of that: a truncation may be off by one.
fn tolerated(shift: u32) -> u64 {
    1u64.checked_shl(shift).unwrap_or(u64::MAX) / 2
}

impl<R: Ring> Walk<'_, R> {
    /// How many more fractional bits a value may have that moves elements of a product of secret matrices, which two parties without
    /// a dealer encrypt if it has few enough bits.
    pub(super) fn encrypted_room(&self, id: NodeId) -> Result<Option<u32>, PlanError> {
        let mut node = self.graph.node(id);
        while let Op::Reshape | Op::Transpose { .. } = node.op() {
            node = self.graph.node(node.inputs()[0]);
        }
        let Settings { correlations, fractional_bits, comparison_bits, .. } = self.settings;
        let is_encrypted = correlations != Correlations::Dealt && matches!(node.op(), Op::MatrixProduct);
        let most = (fractional_bits + PRODUCT_BITS).saturating_sub(comparison_bits);
        Ok(is_encrypted.then_some(most.saturating_sub(self.number(id)?.scale)))
    }
}

impl<R: Ring> Plan<R> {
    /// How two parties make the correlations, if there is no dealer.
    #[must_use]
    pub fn own(&self) -> Option<&OwnPlan> {
        self.own.as_deref()
    }

    /// The state of two parties' oblivious transfers when a session has been opened, if there is no dealer.
    #[must_use]
    pub fn schedule(&self) -> Option<Schedule> {
        match self.settings.correlations {
            Correlations::Own { transfers, .. } => Some(Schedule::new(transfers.method())),
            Correlations::Dealt => None,
        }
    }

    /// The traffic of party `party` over the link for correlations when a session without a dealer is opened, apart from
    /// handshakes: base transfers, and the hints of the model's layers.
    #[must_use]
    pub fn preparing_setup(&self, party: usize) -> Traffic {
        let Correlations::Own { transfers, .. } = self.settings.correlations else { return Traffic::default() };
        let loading = self.own().map_or(Traffic::default(), |own| own.loading(self.place(party)));
        Schedule::opening(transfers.method()) + loading
    }

    /// The traffic of party `party` for the correlations of each inference of a session, the first one first, without an end.
    pub fn preprocessings(&self, party: usize) -> impl Iterator<Item = Traffic> {
        let (mut schedule, first) = (self.schedule(), self.preprocessing(party));
        iter::repeat_with(move || match &mut schedule {
            Some(schedule) => self.preprocessing_next(party, schedule),
            // A dealer deals the same for each.
            None => first,
        })
    }

    /// As [`preprocessing_next`](Self::preprocessing_next), for each step.
    #[must_use]
    pub fn preprocessing_next_by_step(&self, party: usize, schedule: &mut Schedule) -> Vec<Traffic> {
        let place = self.place(party);
        let traffic = self.own().map_or(Vec::new(), |own| own.traffic_by_request(place, schedule));
        let mut traffic = traffic.into_iter();
        self.steps.iter().map(|step| traffic.by_ref().take(step.requests.len()).sum()).collect()
    }

    /// The traffic of party `party` for the correlations of the next inference of a session without a dealer, whose oblivious
    /// transfers are at `schedule`, which goes on.
    #[must_use]
    pub fn preprocessing_next(&self, party: usize, schedule: &mut Schedule) -> Traffic {
        self.own().map_or(Traffic::default(), |own| own.traffic(self.place(party), schedule))
    }
}
