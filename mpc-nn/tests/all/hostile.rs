//! Peers that differ, close, stall or lie, and inputs and weights that do not fit: a named error at every party within
//! its deadline, and no result.

use std::thread;
use std::time::{Duration, Instant};

use mpc_nn::{
    Comparisons, DealerSession, Graph, GraphBuilder, GraphLimits, InferenceError, PartySession, Plan, PlanError,
    Preprocessing, Roles, SessionOptions, Settings, WeightKnowledge, Weights,
};
use mpc_protocols::ProtocolError;
use mpc_protocols::function::Function;
use mpc_ring::Ring;
use mpc_shares::Seed;
use mpc_transport::{AnyTransport, Link, MemoryTransport, Metered, Peer, Transport, TransportError, memory_network};
use ndarray::{ArrayD, IxDyn};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::common::{block_on, dealer_links, random_tensor, random_weights};

const SHORT: Duration = Duration::from_millis(500);
/// More than any number of waits that follow one another here.
const PATIENCE: Duration = Duration::from_secs(15);

fn network(features: usize) -> Graph {
    let mut builder = GraphBuilder::new();
    let x = builder.input("x", &[1, features]).unwrap();
    let hidden = builder.linear("hidden", x, 8, true).unwrap();
    let hidden = builder.relu("relu", hidden).unwrap();
    let out = builder.linear("out", hidden, 2, true).unwrap();
    builder.finish(&[out]).unwrap()
}

fn plan<R: Ring>(settings: Settings) -> Plan<R> {
    Plan::new(&network(4), settings).unwrap()
}

fn weights() -> Weights {
    random_weights(&network(4), &mut ChaCha20Rng::seed_from_u64(3))
}

fn input() -> ArrayD<f32> {
    random_tensor(&[1, 4], 1.0, &mut ChaCha20Rng::seed_from_u64(4))
}

fn seed() -> Seed {
    Seed::from_system().unwrap()
}

fn options() -> SessionOptions {
    SessionOptions::new([1; 16], seed())
}

type Logits = Option<Vec<ArrayD<f64>>>;

/// The acts of one party in a test.
type Act<'a> = Box<dyn FnOnce(MemoryTransport, Link) -> Result<Logits, InferenceError> + Send + 'a>;

fn honest<'a, R: Ring>(
    plan: &'a Plan<R>,
    session: [u8; 16],
    weights: Option<&'a Weights>,
    inputs: Option<Vec<ArrayD<f32>>>,
) -> Act<'a> {
    Box::new(move |transport, link| {
        block_on(async {
            let options = SessionOptions::new(session, seed());
            let mut session = PartySession::open(transport, link, plan, weights, options).await?;
            let inputs = inputs.unwrap_or_default();
            Ok(session.infer(&inputs, Preprocessing::Streamed, &mut ()).await?.revealed)
        })
    })
}

/// Runs the parties and an honest dealer with the first party's plan; gives what each party ended with.
fn run<R: Ring>(plan: &Plan<R>, parties: Vec<Act<'_>>) -> Vec<Result<Logits, InferenceError>> {
    let started = Instant::now();
    let (party_links, dealer_links) = dealer_links(parties.len(), SHORT);
    let results = thread::scope(|scope| {
        scope.spawn(|| {
            block_on(async {
                let mut dealer = DealerSession::open(dealer_links, plan, options()).await?;
                dealer.deal(&mut |_| ()).await
            })
        });
        let transports = memory_network(parties.len(), SHORT);
        let ends = transports.into_iter().zip(party_links);
        let running = ends.zip(parties).map(|((transport, link), act)| scope.spawn(move || act(transport, link)));
        let running: Vec<_> = running.collect();
        running.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    assert!(started.elapsed() < PATIENCE);
    results
}

fn transport_error(result: &Result<Logits, InferenceError>) -> &TransportError {
    match result {
        Err(InferenceError::Step { source: ProtocolError::Transport(error), .. }) => error,
        Err(InferenceError::Link { source, .. }) => source,
        other => panic!("expected a transport error, got {other:?}"),
    }
}

#[test]
fn an_honest_run_gives_a_result_to_the_data_owner_alone() {
    let plan = plan::<u64>(Settings::new(3));
    let weights = weights();
    let acts = vec![
        honest(&plan, [1; 16], Some(&weights), None),
        honest(&plan, [1; 16], None, Some(vec![input()])),
        honest(&plan, [1; 16], None, None),
    ];
    let results = run(&plan, acts);
    assert!(matches!(&results[0], Ok(None)));
    assert!(matches!(&results[1], Ok(Some(outputs)) if outputs.len() == 1));
    assert!(matches!(&results[2], Ok(None)));
}

/// Party 1 follows another plan or session: every party must end with an error that names `field`.
fn differs<R: Ring, S: Ring>(ours: &Plan<R>, theirs: &Plan<S>, session: [u8; 16], field: &str) {
    let weights = weights();
    let acts = vec![
        honest(ours, [1; 16], Some(&weights), None),
        honest(theirs, session, None, Some(vec![input()])),
        honest(ours, [1; 16], None, None),
    ];
    for (party, result) in run(ours, acts).iter().enumerate() {
        match transport_error(result) {
            TransportError::HandshakeMismatch { field: named, ours, theirs, .. } => {
                assert_eq!(named, field, "at party {party}");
                assert_ne!(ours, theirs);
            }
            other => panic!("party {party}: {other}"),
        }
    }
}

#[test]
fn peers_that_differ_are_refused_by_name() {
    let settings = Settings::new(3);
    let ours = plan::<u64>(settings);
    differs(&ours, &ours, [2; 16], "session");
    differs(&ours, &Plan::<u64>::new(&network(5), settings).unwrap(), [1; 16], "model");
    differs(&ours, &plan::<u128>(settings), [1; 16], "ring");
    differs(&ours, &plan::<u64>(Settings { fractional_bits: 12, ..settings }), [1; 16], "fractional bits");
    differs(&ours, &plan::<u64>(Settings { comparison_bits: 30, ..settings }), [1; 16], "comparison bits");
    differs(&ours, &plan::<u64>(Settings { parties: 4, ..settings }), [1; 16], "parties");
    let comparisons = Comparisons::FewBytes;
    differs(&ours, &plan::<u64>(Settings { comparisons, ..settings }), [1; 16], "comparisons");
    let weights = WeightKnowledge::Owner;
    differs(&ours, &plan::<u64>(Settings { weights, ..settings }), [1; 16], "weights known to");
    let roles = Roles::new(2, 1);
    differs(&ours, &plan::<u64>(Settings { roles, ..settings }), [1; 16], "model owner");
    let roles = Roles::new(0, 2);
    differs(&ours, &plan::<u64>(Settings { roles, ..settings }), [1; 16], "data owner");
}

/// Party 1 does something else than its part; the others must end with a transport error.
fn misbehaves(act: impl FnOnce(MemoryTransport, Link) + Send) -> Vec<Result<Logits, InferenceError>> {
    let plan = plan::<u64>(Settings::new(3));
    let weights = weights();
    let acts: Vec<Act<'_>> = vec![
        honest(&plan, [1; 16], Some(&weights), None),
        Box::new(|transport, link| {
            act(transport, link);
            Ok(None)
        }),
        honest(&plan, [1; 16], None, None),
    ];
    let results = run(&plan, acts);
    transport_error(&results[0]);
    transport_error(&results[2]);
    results
}

/// Party 1 opens a session as an honest party would, and then `act` has its transport.
fn after_the_handshake(transport: MemoryTransport, link: Link, act: impl FnOnce(Metered<AnyTransport>)) {
    let plan = plan::<u64>(Settings::new(3));
    let session = block_on(PartySession::open(transport, link, &plan, None, options())).unwrap();
    act(session.into_transport());
}

#[test]
fn a_peer_that_closes_at_once() {
    let results = misbehaves(|transport, _| drop(transport));
    assert_eq!(*transport_error(&results[0]), TransportError::Closed { peer: Peer::Party(1) });
}

#[test]
fn a_peer_that_closes_after_the_handshake() {
    let results = misbehaves(|transport, link| after_the_handshake(transport, link, drop));
    assert_eq!(*transport_error(&results[0]), TransportError::Closed { peer: Peer::Party(1) });
}

#[test]
fn a_peer_that_stalls() {
    let results = misbehaves(|transport, link| {
        after_the_handshake(transport, link, |transport| {
            thread::sleep(4 * SHORT);
            drop(transport);
        });
    });
    assert!(matches!(transport_error(&results[0]), TransportError::Timeout { peer: Peer::Party(1), .. }));
}

#[test]
fn a_peer_that_sends_a_frame_of_a_wrong_length() {
    let results = misbehaves(|transport, link| {
        after_the_handshake(transport, link, |mut transport| {
            block_on(async {
                transport.send(0, &[0; 31]).await.unwrap();
                transport.send(2, &[0; 1000]).await.unwrap();
            });
            thread::sleep(SHORT);
        });
    });
    let expected = TransportError::WrongLength { peer: Peer::Party(1), expected: 32, got: 31 };
    assert_eq!(*transport_error(&results[0]), expected);
    let expected = TransportError::WrongLength { peer: Peer::Party(1), expected: 32, got: 1000 };
    assert_eq!(*transport_error(&results[2]), expected);
}

#[test]
fn a_dealer_that_dies() {
    let plan = plan::<u64>(Settings::new(2));
    let weights = weights();
    let (party_links, dealer_links) = dealer_links(2, SHORT);
    let results: Vec<_> = thread::scope(|scope| {
        scope.spawn(|| {
            // It deals the weight masks and is gone before the first inference.
            block_on(DealerSession::open(dealer_links, &plan, options())).unwrap();
        });
        let acts = [honest(&plan, [1; 16], Some(&weights), None), honest(&plan, [1; 16], None, Some(vec![input()]))];
        let ends = memory_network(2, SHORT).into_iter().zip(party_links).zip(acts);
        let running: Vec<_> = ends.map(|((transport, link), act)| scope.spawn(move || act(transport, link))).collect();
        running.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    for result in &results {
        assert_eq!(*transport_error(result), TransportError::Closed { peer: Peer::OtherEnd });
        let message = result.as_ref().unwrap_err().to_string();
        assert!(message.starts_with("step `deal correlations`, on the link to the dealer"), "{message}");
    }
}

/// Party 1, the data owner, has an unfit input: it ends with that error, the others learn that it left.
fn unfit_input(input: ArrayD<f32>) -> InferenceError {
    let plan = plan::<u64>(Settings::new(2));
    let weights = weights();
    let acts = vec![honest(&plan, [1; 16], Some(&weights), None), honest(&plan, [1; 16], None, Some(vec![input]))];
    let mut results = run(&plan, acts);
    assert_eq!(*transport_error(&results[0]), TransportError::Closed { peer: Peer::Party(1) });
    results.remove(1).unwrap_err()
}

#[test]
fn unfit_inputs() {
    let error = unfit_input(ArrayD::zeros(IxDyn(&[1, 5])));
    assert!(matches!(error, InferenceError::Input(_)));
    assert!(error.to_string().contains("[1, 4]") && error.to_string().contains("[1, 5]"), "{error}");
    let error = unfit_input(ArrayD::from_elem(IxDyn(&[1, 4]), f32::NAN));
    assert!(error.to_string().contains("NaN"), "{error}");
    let error = unfit_input(ArrayD::from_elem(IxDyn(&[1, 4]), 16384.0));
    assert!(matches!(error, InferenceError::Bound { index: 0, bound: 16384.0, .. }), "{error}");
}

#[test]
fn an_output_beyond_the_bound_is_an_error_and_no_result() {
    let mut builder = GraphBuilder::new();
    let x = builder.input("x", &[1, 3]).unwrap();
    let y = builder.scale("y", x, 100.0).unwrap();
    let graph = builder.finish(&[y]).unwrap();
    let weights = Weights::for_graph(&graph, std::collections::BTreeMap::new()).unwrap();
    for (comparison_bits, bound) in [(32, 16384.0), (34, 65536.0)] {
        let plan = Plan::<u64>::new(&graph, Settings { comparison_bits, ..Settings::new(3) }).unwrap();
        let infer = |largest: f32| {
            let input = ArrayD::from_shape_vec(vec![1, 3], vec![1.0, -largest, largest]).unwrap();
            mpc_nn::in_process::infer(&plan, &weights, &[input])
        };
        let largest = bound as f32 / 100.0;
        assert!((infer(0.99 * largest).unwrap()[0][[0, 1]] + 0.99 * bound).abs() < 0.1);
        let error = infer(1.01 * largest).unwrap_err();
        let is_named = matches!(&error, InferenceError::OutputBound { output, index: 1, bound: at }
            if output == "y" && *at == bound);
        assert!(is_named, "{error}");
    }
}

#[test]
fn missing_weights() {
    let plan = plan::<u64>(Settings::new(2));
    let acts = vec![honest(&plan, [1; 16], None, None), honest(&plan, [1; 16], None, Some(vec![input()]))];
    let results = run(&plan, acts);
    let error = results[0].as_ref().unwrap_err();
    assert!(matches!(error, InferenceError::Weights { tensor, expected: 32 } if tensor == "hidden.weight"), "{error}");
    assert_eq!(*transport_error(&results[1]), TransportError::Closed { peer: Peer::Party(0) });
}

#[test]
fn settings_that_do_not_fit() {
    let graph = network(4);
    let refused = |settings: Settings| Plan::<u64>::new(&graph, settings).unwrap_err();
    assert!(matches!(refused(Settings::new(1)), PlanError::Parties(_)));
    assert!(matches!(refused(Settings::new(9)), PlanError::Parties(_)));
    let roles = Roles::new(2, 1);
    assert!(matches!(refused(Settings { roles, ..Settings::new(2) }), PlanError::Role { role: "model owner", .. }));
    for (fractional_bits, comparison_bits) in [(0, 32), (30, 32), (16, 43), (16, 64), (40, 42)] {
        let settings = Settings { fractional_bits, comparison_bits, ..Settings::new(2) };
        assert!(matches!(refused(settings), PlanError::Precision { .. }), "{fractional_bits} {comparison_bits}");
    }
    let settings = Settings { fractional_bits: 8, comparison_bits: 28, ..Settings::new(2) };
    assert!(matches!(Plan::<u32>::new(&graph, settings), Err(PlanError::Precision { ring_bits: 32, .. })));
}

/// A stranger's file may have thousands of functions, each of which would take a millisecond to fit.
#[test]
fn a_network_of_too_many_different_functions_has_no_plan() {
    let plan = |count: u16| {
        let mut builder = GraphBuilder::new();
        let mut x = builder.input("x", &[1, 4]).unwrap();
        for i in 0..count {
            let function = Function::LeakyRelu { slope: f32::from(i) / 4096.0 };
            x = builder.function(&format!("leaky{i}"), x, function).unwrap();
        }
        Plan::<u64>::new(&builder.finish(&[x]).unwrap(), Settings::new(2))
    };
    assert!(plan(1000).is_ok());
    let error = plan(1001).unwrap_err();
    assert!(matches!(&error, PlanError::Unsupported { layer, .. } if layer == "leaky1000"), "{error}");
}

/// Names are shown in tables and messages, and terminals obey what is no text.
#[test]
fn a_network_whose_names_are_no_text_is_refused() {
    let bytes = |name: &str, tied: &str| {
        let mut builder = GraphBuilder::new();
        let x = builder.input("x", &[1, 2]).unwrap();
        let y = builder.linear_tied(name, x, 2, false, tied).unwrap();
        builder.finish(&[y]).unwrap().to_bytes()
    };
    let read = |bytes: &[u8]| Graph::from_bytes(bytes, &GraphLimits::default());
    assert!(read(&bytes("ȳ/1 #2", "W")).is_ok());
    for wrong in ["\u{1b}[31m", "a\nb", "\u{9b}2J", "\0"] {
        for bytes in [bytes(wrong, "w"), bytes("y", wrong)] {
            let error = read(&bytes).unwrap_err();
            assert!(error.to_string().contains("the name of node 1 is no text"), "{error}");
        }
    }
}
