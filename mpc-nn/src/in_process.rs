//! All parties and the dealer as threads of one process: for tests and examples. There is no privacy in it.

use std::thread::{self, ScopedJoinHandle};
use std::vec::Vec;

use core::time::Duration;
use mpc_protocols::ProtocolError;
use mpc_ring::Ring;
use mpc_shares::Seed;
use mpc_transport::{MemoryTransport, Transport, memory_network};
use ndarray::ArrayD;

use crate::error::InferenceError;
use crate::execute::Preprocessing;
use crate::plain::EvaluateError;
use crate::plan::Plan;
use crate::session::{DealerSession, PartySession};
use crate::weights::Weights;

/// How long a party waits for another one.
const DEADLINE: Duration = Duration::from_secs(60);

/// The outputs of one private inference, as the data owner gets them. `inputs` are in the order of the graph's.
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
    let roles = plan.settings().roles;
    let party = |transport: MemoryTransport, link: MemoryTransport| async move {
        let weights = (transport.party() == roles.model_owner).then_some(weights);
        let owned = inputs.iter().zip(plan.input_owners()).filter(|(_, owner)| *owner == transport.party());
        let inputs: Vec<_> = owned.map(|(input, _)| input.clone()).collect();
        let mut party = PartySession::open(transport, link, plan, session, weights, system_seed()?).await?;
        party.infer(Some(&inputs), Preprocessing::Streamed, &mut ()).await
    };
    let (party_links, dealer_links) = (0..plan.settings().parties).map(|_| link()).unzip::<_, _, Vec<_>, Vec<_>>();
    let outputs = thread::scope(|scope| {
        let dealing = scope.spawn(|| {
            smol::block_on(async {
                let mut dealer = DealerSession::open(dealer_links, plan, session, system_seed()?).await?;
                dealer.deal(|_| ()).await
            })
        });
        let ends = memory_network(plan.settings().parties, DEADLINE).into_iter().zip(party_links);
        let running: Vec<_> =
            ends.map(|(transport, link)| scope.spawn(|| smol::block_on(party(transport, link)))).collect();
        let outputs = running.into_iter().map(join).collect::<Vec<_>>();
        let outputs = outputs.into_iter().collect::<Result<Vec<_>, _>>()?;
        join(dealing)?;
        Ok::<_, InferenceError>(outputs)
    })?;
    Ok(outputs.into_iter().flatten().next().unwrap_or_default())
}

fn system_seed() -> Result<Seed, InferenceError> {
    let failed = |error| InferenceError::Step { step: "seed".into(), source: ProtocolError::Share(error) };
    Seed::from_system().map_err(failed)
}

/// The party's and the dealer's end of a link between them.
fn link() -> (MemoryTransport, MemoryTransport) {
    let mut ends = memory_network(2, DEADLINE);
    let dealer = ends.pop().expect("a network of two has two ends");
    let party = ends.pop().expect("a network of two has two ends");
    (party, dealer)
}

fn join<O>(handle: ScopedJoinHandle<'_, O>) -> O {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
