//! A private inference in one process in which everything but what is opened is marked as secret.

use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use mpc_nn::{
    DealerSession, Graph, InferenceError, InputShare, Inputs, ModelSource, Outputs, Owner, PartySession, Plan,
    Preprocessing, SessionOptions, Settings, Weights, delegation,
};
use mpc_ring::Ring;
use mpc_shares::{Prg, Seed};
use mpc_transport::{Link, memory_link_with, memory_network};
use ndarray::ArrayD;
use smol::LocalExecutor;
use zeroize::Zeroizing;

use crate::opened::{Marks, Opened};
use crate::request::mark_secret;

/// Valgrind takes its time.
pub const DEADLINE: Duration = Duration::from_secs(300);

pub type Failure = Box<dyn Error + Send + Sync>;

/// The number of seeds that were made.
static SEEDS: AtomicU8 = AtomicU8::new(0);

/// A fresh seed, of bytes that are marked as secret.
pub fn secret_seed() -> Seed {
    let seed = seed_of(SEEDS.fetch_add(1, Ordering::Relaxed));
    mark_secret(seed.expose());
    seed
}

/// The seeds that were made so far, once more.
pub fn seeds_again() -> impl Iterator<Item = Seed> {
    (0..SEEDS.load(Ordering::Relaxed)).map(seed_of)
}

/// The seed of a number, whose bytes look random and are the same in every run. They are made where they are zeroised.
fn seed_of(number: u8) -> Seed {
    let mut bytes = Zeroizing::new([0; Seed::BYTES]);
    let mut state = u64::from(black_box(number)) + 1;
    for byte in bytes.iter_mut() {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        *byte = (state >> 56) as u8;
    }
    Seed::copy_of(&bytes)
}

/// Runs all parties in turn on this thread, beside their dealer, and gives their outputs: Valgrind has one processor.
pub fn together<O, E>(
    dealer: impl Future<Output = Result<(), E>>,
    parties: impl Iterator<Item = impl Future<Output = Result<O, E>>>,
) -> Result<Vec<O>, E> {
    let executor = LocalExecutor::new();
    let dealing = executor.spawn(dealer);
    let running: Vec<_> = parties.map(|party| executor.spawn(party)).collect();
    smol::block_on(executor.run(async {
        let mut outputs = Vec::new();
        for party in running {
            outputs.push(party.await?);
        }
        dealing.await.map(|()| outputs)
    }))
}

/// The network of all parties and their links to the dealer, by party; and the dealer's ends. No wait polls: the
/// one that is waited for needs this thread.
pub fn network(parties: usize, marks: Marks) -> (Vec<(Opened, Link)>, Vec<Link>) {
    let links = (0..parties).map(|_| memory_link_with(DEADLINE, Duration::ZERO));
    let (party_ends, dealer_ends): (Vec<_>, Vec<_>) = links.unzip();
    (between(parties, marks).zip(party_ends).collect(), dealer_ends)
}

fn between(parties: usize, marks: Marks) -> impl Iterator<Item = Opened> {
    memory_network(parties, DEADLINE).into_iter().map(move |mut inner| {
        inner.set_poll(Duration::ZERO);
        Opened { inner, marks }
    })
}

/// Some numbers between −1/2 and 1/2.
fn numbers(shape: &[usize], seed: usize) -> ArrayD<f32> {
    let mut at = seed * 7919;
    ArrayD::from_shape_simple_fn(shape, || {
        at += 4177;
        (at % 2003) as f32 / 2003.0 - 0.5
    })
}

/// An inference of a plan, and its weights and inputs.
pub struct Case<R: Ring> {
    plan: Plan<R>,
    weights: Weights,
    inputs: Vec<ArrayD<f32>>,
}

impl<R: Ring> Case<R> {
    /// A case with some weights and inputs, which are secret from here on.
    pub fn new(graph: &Graph, settings: Settings) -> Result<Self, Failure> {
        let tensors = graph.parameters().into_iter().enumerate();
        let tensors = tensors.map(|(i, parameter)| (parameter.name, numbers(&parameter.shape, i + 1)));
        let weights = Weights::for_graph(graph, tensors.collect::<BTreeMap<_, _>>())?;
        let inputs: Vec<_> = graph.inputs().iter().map(|&id| numbers(graph.node(id).shape(), 0)).collect();
        weights.iter().filter_map(|(_, tensor)| tensor.as_slice()).for_each(mark_secret);
        inputs.iter().filter_map(|values| values.as_slice()).for_each(mark_secret);
        Ok(Self { plan: Plan::new(graph, settings)?, weights, inputs })
    }

    /// Runs it to its outputs, with openings marked as public or nothing. That outputs are right is for other tests to say.
    pub fn run(&self, marks: Marks) -> Result<(), Failure> {
        let plan = &self.plan;
        if plan.own().is_some() {
            return self.run_without_dealer(marks);
        }
        let (ends, dealer_ends) = network(plan.settings().parties, marks);
        let brought = self.brought()?;
        let deal = async {
            let options = SessionOptions::new([1; 16], secret_seed());
            DealerSession::open(dealer_ends, plan, options).await?.deal(&mut |_| ()).await
        };
        let parties = ends.into_iter().zip(brought);
        let parties = parties.map(|((transport, link), brought)| party(plan, transport, link, brought));
        let outputs = together(deal, parties)?;
        let (revealed, shares): (Vec<_>, Vec<_>) = outputs.into_iter().map(|o| (o.revealed, o.share)).unzip();
        let outputs = match revealed.into_iter().flatten().next() {
            Some(revealed) => revealed,
            None => delegation::reconstruct(plan, &shares.into_iter().flatten().collect::<Vec<_>>())?,
        };
        black_box(outputs);
        Ok(())
    }

    /// Runs it between two parties that make the correlations themselves, whose messages for that are public.
    fn run_without_dealer(&self, marks: Marks) -> Result<(), Failure> {
        let plan = &self.plan;
        let ends = between(2, marks).zip(between(2, Marks::All)).zip(self.brought()?);
        let parties = ends.map(|((online, preparing), brought)| async move {
            let options = SessionOptions::new([1; 16], secret_seed());
            let mut session = PartySession::open_pair(online, preparing, plan, brought.model, options).await?;
            let inputs = Inputs { own: brought.own, outside: brought.outside };
            session.infer(inputs, Preprocessing::Streamed, &mut ()).await
        });
        let outputs: Result<_, InferenceError> = together(async { Ok(()) }, parties);
        black_box(outputs?.into_iter().map(|outputs| outputs.revealed).collect::<Vec<_>>());
        Ok(())
    }

    fn brought(&self) -> Result<Vec<Brought<'_, R>>, InferenceError> {
        let Self { plan, weights, inputs, .. } = self;
        let roles = plan.settings().roles;
        let mut generator = Prg::new(secret_seed());
        let of_party = |party| Brought {
            model: (roles.model_owner == Owner::Party(party)).then_some(weights).into(),
            own: if roles.data_owner == Owner::Party(party) { inputs } else { &[] },
            outside: None,
        };
        let mut all: Vec<_> = (0..plan.settings().parties).map(of_party).collect();
        if roles.model_owner == Owner::Outside {
            let shares = delegation::split_model(plan, weights, &mut generator)?;
            all.iter_mut().zip(shares).for_each(|(party, share)| party.model = ModelSource::Share(share));
        }
        if roles.data_owner == Owner::Outside {
            let shares = delegation::split_inputs(plan, inputs, &mut generator)?;
            all.iter_mut().zip(shares).for_each(|(party, share)| party.outside = Some(share));
        }
        Ok(all)
    }
}

/// The model and the inputs that a party brings.
struct Brought<'a, R: Ring> {
    model: ModelSource<'a, R>,
    own: &'a [ArrayD<f32>],
    outside: Option<InputShare<R>>,
}

async fn party<R: Ring>(
    plan: &Plan<R>,
    transport: Opened,
    link: Link,
    brought: Brought<'_, R>,
) -> Result<Outputs<R>, InferenceError> {
    let options = SessionOptions::new([1; 16], secret_seed());
    let mut session = PartySession::open(transport, link, plan, brought.model, options).await?;
    let inputs = Inputs { own: brought.own, outside: brought.outside };
    session.infer(inputs, Preprocessing::Streamed, &mut ()).await
}
