//! A private run of a graph, compared with floating point and with its ideal, and every meter with the plan.

use mpc_nn::{
    Calibration, DealerSession, Graph, Owner, PartySession, Plan, Preprocessing, SessionOptions, Settings, Weights,
    evaluate, ideal,
};
use mpc_ring::Ring;
use mpc_shares::Seed;
use mpc_transport::{Link, MemoryTransport, Phase, Traffic, Transport, memory_network};
use ndarray::ArrayD;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::common::{DEADLINE, block_on, dealer_links, on_threads, random_inputs, random_weights};

pub fn options() -> SessionOptions {
    SessionOptions::new([1; 16], Seed::from_system().unwrap())
}

pub struct PartyResult {
    pub outputs: Vec<Option<Vec<ArrayD<f64>>>>,
    pub setup: Traffic,
    pub online: Traffic,
    pub steps: Vec<(String, Traffic)>,
    pub preprocessing: Traffic,
}

/// Inferences one after the other, or with the preprocessing of the next one while one is online.
#[derive(Clone, Copy)]
pub enum How {
    InTurn(Preprocessing),
    Pipelined,
}

pub fn run<R: Ring>(plan: &Plan<R>, weights: &Weights, images: &[Vec<ArrayD<f32>>], how: How) -> Vec<PartyResult> {
    let parties = plan.settings().parties;
    let (party_links, dealer_links) = dealer_links(parties, DEADLINE);
    let dealing = async {
        let mut dealer = DealerSession::open(dealer_links, plan, options()).await.unwrap();
        for _ in images {
            dealer.deal(&mut |_| ()).await.unwrap();
        }
    };
    let ends = memory_network(parties, DEADLINE).into_iter().zip(party_links);
    let running = ends.map(|(transport, link)| move || block_on(party(transport, link, plan, weights, images, how)));
    on_threads(running, || block_on(dealing)).0
}

/// One party's session: loads the model and runs all images.
async fn party<R: Ring>(
    transport: MemoryTransport,
    link: Link,
    plan: &Plan<R>,
    weights: &Weights,
    images: &[Vec<ArrayD<f32>>],
    how: How,
) -> PartyResult {
    let settings = plan.settings();
    let index = Owner::Party(transport.party());
    let weights = (index == settings.roles.model_owner).then_some(weights);
    let mut session = PartySession::open(transport, link, plan, weights, options()).await.unwrap();
    let setup = session.meter().traffic(Phase::Setup, "load model");
    let mut outputs = Vec::new();
    let mut preprocessed = Traffic::default();
    let brought = |inputs| if index == settings.roles.data_owner { inputs } else { &[][..] };
    match how {
        How::InTurn(preprocessing) => {
            for inputs in images {
                session.clear_meters();
                let inferred = session.infer(brought(inputs), preprocessing, &mut ()).await.unwrap();
                outputs.push(inferred.revealed);
                preprocessed = session.dealer_meter().total(Phase::Preprocessing);
            }
        }
        How::Pipelined => {
            let (mut preparation, mut online) = session.split();
            let mut prepared = preparation.prepare(&mut ()).await.unwrap();
            for (image, inputs) in images.iter().enumerate() {
                let next = async {
                    if image + 1 < images.len() { Some(preparation.prepare(&mut ()).await.unwrap()) } else { None }
                };
                let observer = &mut ();
                let run = online.infer(prepared, brought(inputs), observer);
                let (inferred, next) = smol::future::zip(run, next).await;
                outputs.push(inferred.unwrap().revealed);
                preprocessed = preparation.meter().total(Phase::Preprocessing);
                match next {
                    Some(next) => prepared = next,
                    None => break,
                }
            }
        }
    }
    let steps = session.meter().entries().filter(|entry| entry.0 == Phase::Online);
    let steps = steps.map(|(_, label, traffic)| (label.to_owned(), traffic)).collect();
    let online = session.meter().total(Phase::Online);
    PartyResult { outputs, setup, online, steps, preprocessing: preprocessed }
}

/// Runs a graph privately, compares it with the plaintext run, and every meter with the plan.
pub fn check<R: Ring>(graph: &Graph, settings: Settings, tolerance: f64, preprocessing: Preprocessing) {
    check_how::<R>(graph, settings, tolerance, How::InTurn(preprocessing));
}

/// The weights and inputs of a graph's checks.
fn data(graph: &Graph) -> (Weights, Vec<Vec<ArrayD<f32>>>) {
    let mut generator = ChaCha20Rng::seed_from_u64(7);
    let weights = random_weights(graph, &mut generator);
    let images = (0..2).map(|_| random_inputs(graph, &mut generator)).collect();
    (weights, images)
}

/// The graph with the bounds of a calibration on the inputs of its checks.
pub fn calibrated(graph: &Graph, margin: u8) -> Graph {
    let (weights, images) = data(graph);
    let mut calibration = Calibration::new(graph, margin);
    for inputs in &images {
        calibration.observe(graph, &weights, inputs).unwrap();
    }
    graph.clone().with_bounds(&calibration).unwrap()
}

pub fn check_how<R: Ring>(graph: &Graph, settings: Settings, tolerance: f64, how: How) {
    let (weights, images) = data(graph);
    let plan = Plan::<R>::new(graph, settings).unwrap();
    let results = run(&plan, &weights, &images, how);
    for (party, result) in results.iter().enumerate() {
        assert_eq!(result.setup, plan.setup(party), "setup of party {party}");
        assert_eq!(result.online, plan.online(party), "online of party {party}");
        assert_eq!(result.preprocessing, plan.preprocessing(party), "preprocessing of party {party}");
        for step in plan.steps().iter().filter(|step| !step.online[party].is_empty()) {
            let measured = result.steps.iter().find(|(name, _)| *name == step.name).map(|(_, traffic)| *traffic);
            assert_eq!(measured, Some(step.online[party]), "{} of party {party}", step.name);
        }
    }
    for (image, inputs) in images.iter().enumerate() {
        let plain = evaluate(graph, &weights, inputs).unwrap();
        let ideal = ideal::evaluate(&plan, &weights, inputs, |_, _| ()).unwrap();
        for (ideal, plain) in ideal.iter().zip(&plain) {
            let errors = ideal.iter().zip(plain).map(|(p, &q)| (p - f64::from(q)).abs());
            let worst = errors.fold(0.0, f64::max);
            assert!(worst < tolerance, "largest error of rounding {worst}");
        }
        for (party, result) in results.iter().enumerate() {
            match &result.outputs[image] {
                None => assert_ne!(Owner::Party(party), settings.roles.data_owner),
                Some(outputs) => {
                    assert_eq!(Owner::Party(party), settings.roles.data_owner);
                    assert_eq!(outputs.len(), plain.len());
                    for (private, plain) in outputs.iter().zip(&plain) {
                        assert_eq!(private.shape(), plain.shape());
                        let errors = private.iter().zip(plain).map(|(p, &q)| (p - f64::from(q)).abs());
                        let worst = errors.fold(0.0, f64::max);
                        assert!(worst < tolerance, "largest error {worst}");
                    }
                }
            }
        }
    }
}
