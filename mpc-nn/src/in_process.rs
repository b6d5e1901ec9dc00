//! All parties and the dealer as threads of one process: for tests and examples. There is no privacy in it.

use std::vec::Vec;

use core::time::Duration;
use mpc_protocols::ProtocolError;
use mpc_protocols::in_process::{block_on, on_threads};
use mpc_ring::Ring;
use mpc_shares::{Prg, Seed};
use mpc_transport::{Link, MemoryTransport, memory_link, memory_network};
use ndarray::ArrayD;

use crate::clear::EvaluateError;
use crate::delegation::{self, InputShare};
use crate::error::InferenceError;
use crate::plan::{Owner, Plan};
use crate::run::{Inputs, ModelSource, Outputs, Preprocessing};
use crate::session::{DealerSession, PartySession, SessionOptions};
use crate::weights::Weights;

/// How long a party waits for another one.
const DEADLINE: Duration = Duration::from_secs(60);

/// The outputs of one private inference, as those get them who are to learn them. `inputs` are in the order of the graph's.
/// Owners outside have no thread of their own.
///
/// # Errors
/// [`EvaluateError::InputCount`] for another number of inputs;
/// The first party's error, in the order of their indices, or the dealer's.
pub fn infer<R: Ring>(
    plan: &Plan<R>,
    weights: &Weights,
    inputs: &[ArrayD<f32>],
) -> Result<Vec<ArrayD<f64>>, InferenceError> {
    let expected = plan.graph().inputs().len();
    if inputs.len() != expected {
        return Err(EvaluateError::InputCount { expected, found: inputs.len() }.into());
    }
    let mut session = [0; 16];
    session.copy_from_slice(&system_seed()?.expose()[..16]);
    let parties = plan.settings().parties;
    if plan.own().is_some() {
        return infer_without_dealer(plan, session, brought(plan, weights, inputs)?);
    }
    let (party_links, dealer_links) = (0..parties).map(|_| memory_link(DEADLINE)).unzip::<_, _, Vec<_>, Vec<_>>();
    let ends = memory_network(parties, DEADLINE).into_iter().zip(party_links).zip(brought(plan, weights, inputs)?);
    let running =
        ends.map(|((transport, link), brought)| move || block_on(party(transport, link, plan, session, brought)));
    let dealing = async {
        let options = SessionOptions::new(session, system_seed()?);
        DealerSession::open(dealer_links, plan, options).await?.deal(&mut |_| ()).await
    };
    let (outputs, dealt) = on_threads(running, || block_on(dealing));
    let outputs = outputs.into_iter().collect::<Result<Vec<_>, _>>()?;
    dealt?;
    learned(plan, outputs)
}

/// The outputs as those get them who are to learn them.
fn learned<R: Ring>(plan: &Plan<R>, outputs: Vec<Outputs<R>>) -> Result<Vec<ArrayD<f64>>, InferenceError> {
    let (revealed, shares): (Vec<_>, Vec<_>) = outputs.into_iter().map(|party| (party.revealed, party.share)).unzip();
    match revealed.into_iter().flatten().next() {
        Some(revealed) => Ok(revealed),
        None => delegation::reconstruct(plan, &shares.into_iter().flatten().collect::<Vec<_>>()),
    }
}

/// As [`infer`], by two parties alone.
fn infer_without_dealer<R: Ring>(
    plan: &Plan<R>,
    session: [u8; 16],
    brought: Vec<Brought<'_, R>>,
) -> Result<Vec<ArrayD<f64>>, InferenceError> {
    let networks = memory_network(2, DEADLINE).into_iter().zip(memory_network(2, DEADLINE));
    let running = networks.zip(brought).map(|((online, preparing), brought)| {
        move || {
            block_on(async {
                let options = SessionOptions::new(session, system_seed()?);
                let mut party = PartySession::open_pair(online, preparing, plan, brought.model, options).await?;
                let inputs = Inputs { own: &brought.own, outside: brought.outside };
                party.infer(inputs, Preprocessing::Streamed, &mut ()).await
            })
        }
    });
    let (outputs, ()) = on_threads(running, || ());
    learned(plan, outputs.into_iter().collect::<Result<Vec<_>, _>>()?)
}

async fn party<R: Ring>(
    transport: MemoryTransport,
    link: Link,
    plan: &Plan<R>,
    session: [u8; 16],
    brought: Brought<'_, R>,
) -> Result<Outputs<R>, InferenceError> {
    let options = SessionOptions::new(session, system_seed()?);
    let mut party = PartySession::open(transport, link, plan, brought.model, options).await?;
    let inputs = Inputs { own: &brought.own, outside: brought.outside };
    party.infer(inputs, Preprocessing::Streamed, &mut ()).await
}

/// The model and the inputs that one party brings.
struct Brought<'a, R: Ring> {
    model: ModelSource<'a, R>,
    own: Vec<ArrayD<f32>>,
    outside: Option<InputShare<R>>,
}

/// Each party's part of the model and the inputs before the session.
fn brought<'a, R: Ring>(
    plan: &Plan<R>,
    weights: &'a Weights,
    inputs: &[ArrayD<f32>],
) -> Result<Vec<Brought<'a, R>>, InferenceError> {
    let mut generator = Prg::new(system_seed()?);
    let model_owner = plan.settings().roles.model_owner;
    let owned = |owner: Owner| {
        let owned = inputs.iter().zip(plan.input_owners()).filter(move |(_, other)| *other == owner);
        owned.map(|(input, _)| input.clone()).collect::<Vec<_>>()
    };
    let of_party = |party| Brought {
        model: (model_owner == Owner::Party(party)).then_some(weights).into(),
        own: owned(Owner::Party(party)),
        outside: None,
    };
    let mut all: Vec<_> = (0..plan.settings().parties).map(of_party).collect();
    if model_owner == Owner::Outside {
        for (party, share) in all.iter_mut().zip(delegation::split_model(plan, weights, &mut generator)?) {
            party.model = ModelSource::Share(share);
        }
    }
    if plan.input_owners().contains(&Owner::Outside) {
        for (party, share) in
            all.iter_mut().zip(delegation::split_inputs(plan, &owned(Owner::Outside), &mut generator)?)
        {
            party.outside = Some(share);
        }
    }
    Ok(all)
}

fn system_seed() -> Result<Seed, InferenceError> {
    let failed = |error| InferenceError::Step { step: "seed".into(), source: ProtocolError::Share(error) };
    Seed::from_system().map_err(failed)
}
