//! The work of a party and of the dealer: the same over memory and over TCP.

use std::panic::resume_unwind;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use mpc_nn::run::labels;
use mpc_nn::{DealerSession, Observer, Outputs, Owner, PartySession, Plan, SessionOptions, Weights};
use mpc_ring::{Ring, in_ring};
use mpc_shares::Seed;
use mpc_transport::{AnyTransport, Connection, Emulated, Link, Meter, Phase, Traffic, Transport};
use ndarray::ArrayD;

use super::arguments::PreprocessingMode;
use super::clock;
use super::error::NodeError;
use super::event::{Event, Inferred, Loaded, Output, StepRecord};
use super::heard::Heard;
use super::job::Job;

/// Steps are reported no more often than this: enough for the eye, and too little to slow a run.
const REPORT_INTERVAL: Duration = Duration::from_millis(40);

/// Takes what happens at a party.
pub type Report<'r> = dyn FnMut(Event) + Send + 'r;

/// The data that one party knows and the others do not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Secrets<'a> {
    /// The model owner's weights.
    pub weights: Option<&'a Weights>,
    /// The inputs of each inference, at the owners of some.
    pub inputs: &'a [Vec<Option<ArrayD<f32>>>],
}

/// Where a party's correlations come from.
pub enum Maker {
    /// The dealer, at the other end of this link.
    Dealer(Link),
    /// The two parties, over a network of their own for it.
    Parties(AnyTransport),
}

impl Maker {
    /// The two parties; `hear` is called now and then when a message has come.
    pub fn parties(network: AnyTransport, hear: impl FnMut() + Send + 'static) -> Self {
        Self::Parties(AnyTransport::new(Heard::new(network, hear)))
    }
}

/// A party: agrees with the others and the dealer, loads the model and runs the job's inferences.
///
/// `network` links the parties.
pub async fn run_party(
    network: AnyTransport,
    maker: Maker,
    job: &Job,
    secrets: Secrets<'_>,
    report: &mut Report<'_>,
) -> Result<(), NodeError> {
    in_ring!(job.ring, R => run_party_in::<R>(network, maker, job, secrets, report).await)
}

async fn run_party_in<R: Ring>(
    network: AnyTransport,
    maker: Maker,
    job: &Job,
    secrets: Secrets<'_>,
    report: &mut Report<'_>,
) -> Result<(), NodeError> {
    let plan = job.plan::<R>()?;
    let options = SessionOptions::new(job.session, Seed::from_system()?);
    let session = match maker {
        Maker::Dealer(link) => PartySession::open(network, link, &plan, secrets.weights, options).await?,
        Maker::Parties(preparing) => {
            PartySession::open_pair(network, preparing, &plan, secrets.weights, options).await?
        }
    };
    infer(session, &plan, job, secrets, report).await
}

/// Runs all inferences of an open session.
async fn infer<R: Ring>(
    mut session: PartySession<'_, R>,
    plan: &Plan<R>,
    job: &Job,
    secrets: Secrets<'_>,
    report: &mut Report<'_>,
) -> Result<(), NodeError> {
    let party = session.party();
    report(Event::Loaded(loaded(&session)));
    if job.preprocessing == PreprocessingMode::Pipelined {
        return infer_pipelined(&mut session, plan, job, secrets, report);
    }
    for inference in 0..job.inferences {
        session.clear_meters();
        let owned = owned(plan, party, secrets.inputs.get(inference));
        let mut recorder = Recorder::new(inference, job, plan, report);
        let outputs = session.infer(&owned, job.preprocessing(), &mut recorder).await?;
        let steps = recorder.steps;
        let preprocessing = session.dealer_meter().total(Phase::Preprocessing);
        report(inferred(inference, plan, steps, session.meter(), preprocessing, outputs));
    }
    Ok(())
}

/// Each inference's correlations are drawn by a thread of their own while the one before is online.
fn infer_pipelined<R: Ring>(
    session: &mut PartySession<'_, R>,
    plan: &Plan<R>,
    job: &Job,
    secrets: Secrets<'_>,
    report: &mut Report<'_>,
) -> Result<(), NodeError> {
    let party = session.party();
    let (mut preparation, mut online) = session.split();
    // Handed over when they are asked for, so that one inference's are drawn ahead and no more.
    let (give, take) = mpsc::sync_channel(0);
    thread::scope(|scope| {
        let preparing = scope.spawn(move || {
            smol::block_on(async {
                for _ in 0..job.inferences {
                    let prepared = preparation.prepare(&mut ()).await?;
                    if give.send((prepared, preparation.meter().total(Phase::Preprocessing))).is_err() {
                        break;
                    }
                }
                Ok(())
            })
        });
        let run = smol::block_on(async {
            // Ends early where the other thread fails, which then says why.
            for (inference, (prepared, preprocessing)) in take.into_iter().enumerate() {
                let owned = owned(plan, party, secrets.inputs.get(inference));
                let mut recorder = Recorder::new(inference, job, plan, report);
                let outputs = online.infer(prepared, &owned, &mut recorder).await?;
                let steps = recorder.steps;
                report(inferred(inference, plan, steps, online.meter(), preprocessing, outputs));
            }
            Ok(())
        });
        let prepared: Result<(), NodeError> = preparing.join().unwrap_or_else(|panic| resume_unwind(panic));
        run.and(prepared)
    })
}

/// The report of an inference.
fn inferred<R: Ring>(
    inference: usize,
    plan: &Plan<R>,
    mut steps: Vec<StepRecord>,
    meter: &Meter,
    preprocessing: Traffic,
    outputs: Outputs<R>,
) -> Event {
    for (record, step) in steps.iter_mut().zip(plan.steps()) {
        record.traffic = meter.traffic(Phase::Online, &step.name);
    }
    let outputs = outputs.revealed.map(|outputs| outputs.iter().map(Output::new).collect());
    Event::Inferred(Box::new(Inferred { inference, preprocessing, online: meter.total(Phase::Online), steps, outputs }))
}

/// The dealer: agrees with each party over its link, and deals what the job's inferences consume.
pub async fn run_dealer(links: Vec<Link>, job: &Job) -> Result<(), NodeError> {
    in_ring!(job.ring, R => run_dealer_in::<R>(links, job).await)
}

async fn run_dealer_in<R: Ring>(links: Vec<Link>, job: &Job) -> Result<(), NodeError> {
    let plan = job.plan::<R>()?;
    let options = SessionOptions::new(job.session, Seed::from_system()?);
    let mut session = DealerSession::open(links, &plan, options).await?;
    for _ in 0..job.inferences {
        session.deal(&mut |_| ()).await?;
    }
    Ok(())
}

/// Slowed down to the links that the job imitates.
pub fn emulated(network: impl Transport + 'static, job: &Job) -> AnyTransport {
    AnyTransport::new(Emulated::new(network, job.link.0.unwrap_or_default()))
}

/// As [`emulated`], for a link.
pub fn emulated_link(link: impl Connection + 'static, job: &Job) -> Link {
    Link::new(Emulated::new(link, job.link.0.unwrap_or_default()))
}

fn loaded<R: Ring>(session: &PartySession<'_, R>) -> Loaded {
    let maker = session.dealer_meter();
    Loaded {
        at: clock::now(),
        load: session.meter().traffic(Phase::Setup, labels::LOAD),
        making: labels::MAKE_SETUP.into_iter().map(|label| maker.traffic(Phase::Setup, label)).sum(),
        parties: session.meter().total(Phase::Setup),
        dealer: maker.total(Phase::Setup),
    }
}

/// The inputs of one inference that a party owns.
fn owned(plan: &Plan<impl Ring>, party: usize, inputs: Option<&Vec<Option<ArrayD<f32>>>>) -> Vec<ArrayD<f32>> {
    let owners = plan.input_owners().into_iter();
    let owned = inputs.into_iter().flatten().zip(owners).filter(|(_, owner)| *owner == Owner::Party(party));
    owned.filter_map(|(input, _)| input.clone()).collect()
}

/// Notes when each step's online part begins and ends, and reports progress.
struct Recorder<'a, 'r> {
    inference: usize,
    /// Streamed, each step's correlations are drawn just before it: there only the online part is reported.
    preprocessing: PreprocessingMode,
    steps: Vec<StepRecord>,
    reported: Option<Instant>,
    report: &'a mut Report<'r>,
}

impl<'a, 'r> Recorder<'a, 'r> {
    fn new(inference: usize, job: &Job, plan: &Plan<impl Ring>, report: &'a mut Report<'r>) -> Self {
        let steps = vec![StepRecord::default(); plan.steps().len()];
        Self { inference, preprocessing: job.preprocessing, steps, reported: None, report }
    }

    fn report(&mut self, phase: Phase, step: usize) {
        let is_shown = phase == Phase::Online || self.preprocessing == PreprocessingMode::Ahead;
        if is_shown && self.reported.is_none_or(|reported| reported.elapsed() >= REPORT_INTERVAL) {
            self.reported = Some(Instant::now());
            (self.report)(Event::Step { inference: self.inference, phase, step });
        }
    }
}

impl Observer for Recorder<'_, '_> {
    fn begin(&mut self, phase: Phase, step: usize) {
        self.report(phase, step);
        if phase == Phase::Online {
            self.steps[step].begin = clock::now();
        }
    }

    fn end(&mut self, phase: Phase, step: usize) {
        if phase == Phase::Online {
            self.steps[step].end = clock::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use mpc_transport::{memory_link, memory_network};

    use mpc_ring::RingBits;

    use super::*;

    fn graph(batch: usize) -> mpc_nn::Graph {
        mpc_models::Model::by_name("resnet32").unwrap().graph(batch).unwrap()
    }

    fn job() -> Job {
        Job {
            owner_computes: false,
            correlations: mpc_nn::Correlations::Dealt,
            comparisons: mpc_nn::Comparisons::FewRounds,
            graph: graph(1),
            parties: 2,
            ring: RingBits::Bits64,
            fractional_bits: 16,
            comparison_bits: 32,
            session: [7; 16],
            input_owners: Vec::new(),
            inferences: 1,
            preprocessing: PreprocessingMode::Streamed,
            threads: std::num::NonZeroU8::MIN,
            link: crate::LinkArgument(None),
            deadline: Duration::from_secs(5),
        }
    }

    /// The errors of both parties when their jobs differ. No dealer is needed: they notice at the first handshake.
    fn errors(jobs: [Job; 2]) -> [String; 2] {
        let deadline = Duration::from_secs(5);
        let running = jobs.into_iter().zip(memory_network(2, deadline)).map(|(job, transport)| {
            thread::spawn(move || {
                let (network, (link, _dealer)) = (AnyTransport::new(transport), memory_link(deadline));
                let mut report = |_| ();
                let run = run_party(network, Maker::Dealer(link), &job, Secrets::default(), &mut report);
                smol::block_on(run).map_or_else(|error| error.to_string(), |()| "no error".to_owned())
            })
        });
        let running: Vec<_> = running.collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>().try_into().unwrap()
    }

    fn assert_named(other: Job, field: &str) {
        for (party, error) in errors([job(), other]).into_iter().enumerate() {
            let expected = format!("step `handshake`: party {} disagrees on \"{field}\"", 1 - party);
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn a_peer_with_another_job_is_named_with_the_field() {
        assert_named(Job { session: [8; 16], ..job() }, "session");
        assert_named(Job { graph: graph(2), ..job() }, "model");
        assert_named(Job { fractional_bits: 15, ..job() }, "fractional bits");
        assert_named(Job { comparison_bits: 31, ..job() }, "comparison bits");
        assert_named(Job { ring: RingBits::Bits128, ..job() }, "ring");
        assert_named(Job { owner_computes: true, ..job() }, "weights known to");
        assert_named(Job { parties: 3, ..job() }, "parties");
    }
}
