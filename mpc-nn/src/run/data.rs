//! The data that a party brings into an inference, and its results.

use alloc::vec::Vec;
use core::fmt;

use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, SecretVec};
use ndarray::ArrayD;

use super::context::{Collected, Input};
use super::fixed_point::{check_outputs, encode_inputs};
use crate::delegation::{InputShare, OutputShare};
use crate::error::InferenceError;
use crate::plan::{Owner, Plan};

/// The inputs that a party brings into one inference. Most bring nothing: [`Inputs::none`].
///
/// `Debug` shows no values.
pub struct Inputs<'a, R: Ring> {
    /// The inputs that the party owns, in the order of the graph's.
    pub own: &'a [ArrayD<f32>],
    /// Its share of the inputs that somebody outside owns.
    pub outside: Option<InputShare<R>>,
}

impl<R: Ring> Inputs<'_, R> {
    /// For a party that owns no input, of an inference without inputs from outside.
    #[must_use]
    pub fn none() -> Self {
        Self { own: &[], outside: None }
    }

    /// For each input of the graph, what this party has of it; all is checked against the plan.
    pub(super) fn prepare(self, plan: &Plan<R>, party: usize) -> Result<Vec<Option<Input<R>>>, InferenceError> {
        let own = encode_inputs(plan, Owner::Party(party), self.own)?;
        let mut inputs: Vec<_> = own.into_iter().map(|input| input.map(Input::Secret)).collect();
        let wrong = |reason| Err(InferenceError::Role { reason });
        match (self.outside, plan.outside_inputs_len()) {
            (None, 0) => return Ok(inputs),
            (None, _) => return wrong("inputs come from outside: this party needs its share of them"),
            (Some(_), 0) => return wrong("no input comes from outside: there is no share of any"),
            (Some(share), _) => {
                let shares = share.open(plan, party)?;
                let mut rest = shares.elements();
                for ((input, &id), owner) in inputs.iter_mut().zip(plan.graph().inputs()).zip(plan.input_owners()) {
                    if owner == Owner::Outside {
                        let (elements, others) = rest.split_at(plan.graph().node(id).len());
                        *input = Some(Input::Share(ArithmeticShares::from_elements(elements.to_vec())));
                        rest = others;
                    }
                }
            }
        }
        Ok(inputs)
    }
}

impl<'a, R: Ring, A: AsRef<[ArrayD<f32>]> + ?Sized> From<&'a A> for Inputs<'a, R> {
    /// The inputs that the party owns.
    fn from(own: &'a A) -> Self {
        Self { own: own.as_ref(), outside: None }
    }
}

impl<R: Ring> From<InputShare<R>> for Inputs<'_, R> {
    /// The party's share of inputs that are all from outside.
    fn from(share: InputShare<R>) -> Self {
        Self { own: &[], outside: Some(share) }
    }
}

impl<R: Ring> fmt::Debug for Inputs<'_, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outside = self.outside.is_some();
        formatter
            .debug_struct("Inputs")
            .field("own", &self.own.len())
            .field("outside", &outside)
            .finish_non_exhaustive()
    }
}

/// The results of one inference at a party. `Debug` shows no values.
pub struct Outputs<R: Ring> {
    /// The outputs in the order of the graph's, at a party that is to learn them.
    pub revealed: Option<Vec<ArrayD<f64>>>,
    /// This party's share of the outputs, where somebody outside is to learn them.
    pub share: Option<OutputShare<R>>,
}

impl<R: Ring> fmt::Debug for Outputs<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let revealed = self.revealed.as_ref().map(Vec::len);
        formatter.debug_struct("Outputs").field("revealed", &revealed).field("share", &self.share).finish()
    }
}

/// The outputs of a run that has begun.
pub(super) fn collected<R: Ring>(plan: &Plan<R>) -> Collected<R> {
    let recipients = plan.settings().roles.recipients();
    let shares = recipients.contains(Owner::Outside).then(|| (SecretVec::zeros(plan.outputs_len()), 0));
    Collected { recipients: recipients.parties(), revealed: Vec::new(), shares }
}

/// The outputs of a run that is over, checked against the plan's bound.
pub(super) fn finish<R: Ring>(
    outputs: Collected<R>,
    plan: &Plan<R>,
    party: usize,
) -> Result<Outputs<R>, InferenceError> {
    check_outputs(plan, &outputs.revealed)?;
    let revealed = outputs.recipients.contains(&party).then_some(outputs.revealed);
    Ok(Outputs { revealed, share: outputs.shares.map(|(shares, _)| OutputShare::new(plan, party, shares)) })
}
