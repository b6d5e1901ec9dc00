//! All parties and the dealer in one process: for tests, examples and benchmarks. There is no privacy in it.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use std::sync::{Mutex, PoisonError};
use std::thread;

use alloc::boxed::Box;
use alloc::vec::Vec;
use mpc_ring::Ring;
use mpc_shares::{Prg, Seed, ShareError};
use mpc_transport::{
    Link, MemoryTransport, Phase, Traffic, TransportError, memory_link, memory_link_with, memory_network,
};

use crate::{CorrelationSource, Dealer, Party, Place, ProtocolError, Request, session};

/// How long a party waits for another one.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The result of one party, and its traffic.
#[derive(Debug)]
pub struct Outcome<O> {
    /// The protocol's result.
    pub output: O,
    /// Everything between the parties.
    pub online: Traffic,
}

/// Runs a protocol at every party, each on a thread of its own, with the correlations that it turns out to draw in a dry run
/// ([`session::plan`]), and gives each party's outcome.
///
/// ```
/// use mpc_protocols::{Bilinear, beaver, in_process, open};
/// use mpc_shares::ArithmeticShares;
///
/// // Three parties hold x_i = 2 and y_i = 5 each, so x = 6 and y = 15.
/// let map = Bilinear::Elementwise { len: 1 };
/// let outcomes = in_process::run::<u64, _>(3, async |party, source| {
///     let x = ArithmeticShares::from_elements(vec![2u64]);
///     let y = ArithmeticShares::from_elements(vec![5u64]);
///     let z = beaver::multiply(party, &x, &y, source.next(map).await?).await?;
///     open::open(party, &z).await
/// })?;
/// assert!(outcomes.iter().all(|outcome| outcome.output == [90]));
/// # Ok::<(), mpc_protocols::ProtocolError>(())
/// ```
///
/// # Errors
/// Of the parties' errors, in the order of their indices, and the dealer's the first that is not just a link that another
/// one closed.
pub fn run<R: Ring, O: Send>(
    parties: usize,
    protocol: impl AsyncFn(&mut Party, &mut CorrelationSource<'_>) -> Result<O, ProtocolError> + Sync,
) -> Result<Vec<Outcome<O>>, ProtocolError> {
    let plan = block_on(session::plan(Place { party: 0, parties }, &protocol))?;
    run_planned::<R, _>(parties, &plan, protocol)
}

/// As [`run`], with correlations dealt to a plan that is given.
///
/// # Errors
/// As for [`run`]; [`ProtocolError::LeftOver`] if the protocol does not use all of the plan.
pub fn run_planned<R: Ring, O: Send>(
    parties: usize,
    plan: &[Request],
    protocol: impl AsyncFn(&mut Party, &mut CorrelationSource<'_>) -> Result<O, ProtocolError> + Sync,
) -> Result<Vec<Outcome<O>>, ProtocolError> {
    let protocol = Noting::new(parties, &protocol);
    let online = run_erased_on_threads::<R>(parties, plan, &protocol)?;
    Ok(protocol.outcomes(online))
}

/// A protocol without its type, so that what runs one is compiled once and not for each.
trait Erased {
    fn run<'a>(
        &'a self,
        party: &'a mut Party,
        source: &'a mut CorrelationSource<'_>,
    ) -> Pending<'a, Result<(), ProtocolError>>;
}

/// A protocol, and the outputs that its parties have by now.
struct Noting<'p, P, O> {
    protocol: &'p P,
    outputs: Vec<Mutex<Option<O>>>,
}

impl<'p, P, O> Noting<'p, P, O> {
    fn new(parties: usize, protocol: &'p P) -> Self {
        Self { protocol, outputs: (0..parties).map(|_| Mutex::new(None)).collect() }
    }

    /// All parties' outcomes, when each has its output.
    fn outcomes(self, online: Vec<Traffic>) -> Vec<Outcome<O>> {
        let outputs = self.outputs.into_iter().filter_map(|output| output.into_inner().ok().flatten());
        outputs.zip(online).map(|(output, online)| Outcome { output, online }).collect()
    }
}

impl<P: AsyncFn(&mut Party, &mut CorrelationSource<'_>) -> Result<O, ProtocolError>, O> Erased for Noting<'_, P, O> {
    fn run<'a>(
        &'a self,
        party: &'a mut Party,
        source: &'a mut CorrelationSource<'_>,
    ) -> Pending<'a, Result<(), ProtocolError>> {
        let note = &self.outputs[party.index()];
        Box::pin(async move {
            let output = (self.protocol)(party, source).await?;
            *note.lock().unwrap_or_else(PoisonError::into_inner) = Some(output);
            Ok(())
        })
    }
}

fn run_erased_on_threads<R: Ring>(
    parties: usize,
    plan: &[Request],
    protocol: &(dyn Erased + Sync),
) -> Result<Vec<Traffic>, ProtocolError> {
    let mut dealer = Dealer::<R>::new(parties, Seed::from_system()?)?;
    let (mut dealer_ends, party_ends): (Vec<_>, Vec<_>) = (0..parties).map(|_| memory_link(DEADLINE)).unzip();
    let running = memory_network(parties, DEADLINE)
        .into_iter()
        .zip(party_ends)
        .map(|(transport, link)| move || block_on(run_party(transport, link, plan, protocol)));
    let (online, dealt) = on_threads(running, move || block_on(dealer.deal(&mut dealer_ends, plan, &mut |_| ())));
    all_or_cause(online, dealt)
}

/// Runs parties and a dealer, each on a thread of its own, and returns the parties' results by index and the dealer's.
pub fn on_threads<'a, P: Send, D: Send>(
    parties: impl Iterator<Item = impl FnOnce() -> P + Send + 'a>,
    dealer: impl FnOnce() -> D + Send + 'a,
) -> (Vec<P>, D) {
    let parties: Vec<_> = parties.collect();
    let mut dealt = None;
    let mut results: Vec<_> = parties.iter().map(|_| None).collect();
    let noting = parties.into_iter().zip(&mut results).map(|(party, result)| {
        let task: Task = Box::new(move || *result = Some(party()));
        task
    });
    let mut tasks: Vec<_> = noting.collect();
    tasks.push(Box::new(|| dealt = Some(dealer())));
    join_threads(tasks);
    (results.into_iter().flatten().collect(), dealt.expect("its thread has ended"))
}

/// Boxed and without a result, so that threads are compiled once.
type Task<'a> = Box<dyn FnOnce() + Send + 'a>;

fn join_threads(tasks: Vec<Task>) {
    thread::scope(|scope| {
        let running: Vec<_> = tasks.into_iter().map(|task| scope.spawn(task)).collect();
        running.into_iter().for_each(join);
    });
}

/// As [`run_planned`], but all on the calling thread, with correlations dealt from `seed`: nothing depends on threads or chance, and
/// a small protocol takes microseconds.
///
/// ```
/// use mpc_protocols::{Request, beaver, in_process, open};
/// use mpc_shares::{ArithmeticShares, Seed};
///
/// let plan = [Request::Square { len: 1 }];
/// let outcomes = in_process::run_on_one_thread::<u64, _>(2, &plan, Seed::from_bytes([7; 32]), async |party, source| {
///     let x = ArithmeticShares::from_elements(vec![3u64]);
///     let square = beaver::square(party, &x, source.next(1).await?).await?;
///     open::open(party, &square).await
/// })?;
/// assert_eq!(outcomes[1].output, [36]);
/// # Ok::<(), mpc_protocols::ProtocolError>(())
/// ```
///
/// # Errors
/// As for [`run_planned`].
pub fn run_on_one_thread<R: Ring, O>(
    parties: usize,
    plan: &[Request],
    seed: Seed,
    protocol: impl AsyncFn(&mut Party, &mut CorrelationSource<'_>) -> Result<O, ProtocolError>,
) -> Result<Vec<Outcome<O>>, ProtocolError> {
    let protocol = Noting::new(parties, &protocol);
    let online = run_erased_on_one_thread::<R>(parties, plan, seed, &protocol)?;
    Ok(protocol.outcomes(online))
}

fn run_erased_on_one_thread<R: Ring>(
    parties: usize,
    plan: &[Request],
    seed: Seed,
    protocol: &dyn Erased,
) -> Result<Vec<Traffic>, ProtocolError> {
    let mut dealer = Dealer::<R>::new(parties, seed)?;
    let (mut dealer_ends, party_ends): (Vec<_>, Vec<_>) =
        (0..parties).map(|_| memory_link_with(DEADLINE, Duration::ZERO)).unzip();
    let dealing = async move { dealer.deal(&mut dealer_ends, plan, &mut |_| ()).await };
    let running = memory_network(parties, DEADLINE)
        .into_iter()
        .zip(party_ends)
        .map(|(transport, link)| Box::pin(run_party(sleeping(transport), link, plan, protocol)) as Pending<_>);
    let (online, dealt) = block_on(smol::future::zip(join_all(running.collect()), dealing));
    all_or_cause(online, dealt)
}

/// Every party's traffic, or the error that is most likely the cause of the others.
fn all_or_cause(
    outcomes: Vec<Result<Traffic, ProtocolError>>,
    dealt: Result<(), ProtocolError>,
) -> Result<Vec<Traffic>, ProtocolError> {
    let mut complete = Vec::new();
    let mut errors: Vec<_> =
        outcomes.into_iter().filter_map(|outcome| outcome.map(|online| complete.push(online)).err()).collect();
    errors.extend(dealt.err());
    let cause = errors.iter().position(|error| !is_consequence(error)).unwrap_or(0);
    if errors.is_empty() { Ok(complete) } else { Err(errors.swap_remove(cause)) }
}

/// Whether an error is just a link that another participant closed, as it ended for a reason of its own.
fn is_consequence(error: &ProtocolError) -> bool {
    match error {
        ProtocolError::Transport(source)
        | ProtocolError::DealerLink { source, .. }
        | ProtocolError::LinkToDealer { source } => matches!(source, TransportError::Closed { .. }),
        _ => false,
    }
}

/// A transport that does not poll: the one that it waits for has no thread of its own.
fn sleeping(mut transport: MemoryTransport) -> MemoryTransport {
    transport.set_poll(Duration::ZERO);
    transport
}

/// Boxed, so that what waits is compiled once for each result and not for each future.
type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// As smol's, but compiled once and not for each future.
pub fn block_on<'a, T>(future: impl Future<Output = T> + 'a) -> T {
    let mut output = None;
    let noting: Pending<'_, ()> = Box::pin(async { output = Some(future.await) });
    smol::block_on(noting);
    output.expect("the future has ended")
}

/// The outputs of all futures, which advance in turn.
async fn join_all<T>(futures: Vec<Pending<'_, T>>) -> Vec<T> {
    let mut pending: Vec<_> = futures.into_iter().map(|future| (future, None)).collect();
    poll_fn(|cx| {
        for (future, output) in pending.iter_mut().filter(|(_, output)| output.is_none()) {
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                *output = Some(value);
            }
        }
        if pending.iter().all(|(_, output)| output.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    pending.into_iter().filter_map(|(_, output)| output).collect()
}

/// A fresh generator from the operating system, for a party's own randomness.
///
/// # Errors
/// [`ShareError::Randomness`].
pub fn generator() -> Result<Prg, ShareError> {
    Ok(Prg::new(Seed::from_system()?))
}

async fn run_party(
    transport: MemoryTransport,
    mut link: Link,
    plan: &[Request],
    protocol: &dyn Erased,
) -> Result<Traffic, ProtocolError> {
    let mut party = Party::new(transport);
    let mut source = CorrelationSource::begin(&mut link, party.place(), plan).await?;
    party.transport_mut().begin(Phase::Online, "protocol");
    protocol.run(&mut party, &mut source).await?;
    source.finish()?;
    Ok(party.transport().meter().total(Phase::Online))
}

fn join(handle: thread::ScopedJoinHandle<'_, ()>) {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}
