//! Networks that two parties run without a dealer: as in floating point, every meter as planned, and online as with a dealer.

use mpc_nn::{
    Comparisons, ConvolutionOptions, Correlations, Graph, GraphBuilder, Model, Observer, Owner, PartySession, Plan,
    PlanError, Pool, Preprocessing, Recording, Roles, SessionOptions, Settings, Transfers, WeightKnowledge, evaluate,
    in_process,
};
use mpc_protocols::Request;
use mpc_protocols::function::Function;
use mpc_ring::Ring;
use mpc_shares::Seed;
use mpc_transport::{FrameSource, MemoryTransport, Phase, Traffic, Transport, memory_network};
use ndarray::ArrayD;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::common::{DEADLINE, block_on, classifier, largest_error, on_threads, random_inputs, random_weights};

/// Without a dealer, with transfers of which a few are cheap.
fn soft() -> Settings {
    let correlations = Correlations::Own { transfers: Transfers::SoftSpoken, inferences: 3 };
    Settings { correlations, ..Settings::without_dealer() }
}

/// Convolutions with a branch, a residual sum, pools, a mean and a linear layer, of two images.
fn residual() -> Graph {
    let mut b = GraphBuilder::new();
    let image = b.input("image", &[2, 2, 6, 6]).unwrap();
    let options = ConvolutionOptions { padding: [1; 4], bias: true, ..ConvolutionOptions::new(4, [3, 3]) };
    let narrow = ConvolutionOptions { stride: [2, 2], ..options };
    let x = b.convolution("stem", image, options).unwrap();
    let x = b.relu("relu", x).unwrap();
    let left = b.convolution("left", x, narrow).unwrap();
    let point = ConvolutionOptions { stride: [2, 2], ..ConvolutionOptions::new(4, [1, 1]) };
    let right = b.convolution("right", x, point).unwrap();
    let sum = b.add("sum", left, right).unwrap();
    let x = b.relu("relu2", sum).unwrap();
    let x = b.max_pool("pool", x, Pool::new([2, 2])).unwrap();
    let x = b.mean("mean", x, &[2, 3]).unwrap();
    let x = b.reshape("flat", x, &[2, 4]).unwrap();
    let scores = b.linear("scores", x, 3, true).unwrap();
    let best = b.arg_max("best", scores).unwrap();
    b.finish(&[scores, best]).unwrap()
}

/// Attention whose weights are the reciprocals of sigmoids, which are positive, and a gate.
fn attention() -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[3, 4]).unwrap();
    let [q, k, v] = ["q", "k", "v"].map(|name| {
        let rows = b.linear(name, x, 4, true).unwrap();
        b.reshape(&format!("{name} of one head"), rows, &[1, 3, 4]).unwrap()
    });
    let k = b.transpose("turned", k, &[0, 2, 1]).unwrap();
    let scores = b.matrix_product("scores", q, k).unwrap();
    let scores = b.function("positive", scores, Function::Sigmoid).unwrap();
    let scores = b.function("reciprocals", scores, Function::PositiveReciprocal).unwrap();
    let x = b.matrix_product("mixed", scores, v).unwrap();
    let x = b.reshape("rows", x, &[3, 4]).unwrap();
    let gate = b.function("gate", x, Function::Gelu).unwrap();
    let x = b.linear("out", gate, 2, true).unwrap();
    b.finish(&[x]).unwrap()
}

/// Scores of several heads, scaled before they are truncated, and what they are multiplied with.
fn heads() -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[12, 32]).unwrap();
    let [q, k, v] = ["q", "k", "v"].map(|name| {
        let rows = b.linear(name, x, 64, true).unwrap();
        let rows = b.reshape(&format!("{name} by head"), rows, &[12, 4, 16]).unwrap();
        b.transpose(&format!("heads of {name}"), rows, &[1, 0, 2]).unwrap()
    });
    let k = b.transpose("turned", k, &[0, 2, 1]).unwrap();
    let scores = b.matrix_product("scores", q, k).unwrap();
    let rows = b.reshape("as rows", scores, &[48, 12]).unwrap();
    let scaled = b.scale("scaled", rows, 0.173).unwrap();
    let scores = b.function("positive", scaled, Function::Sigmoid).unwrap();
    let scores = b.reshape("by head", scores, &[4, 12, 12]).unwrap();
    let mixed = b.matrix_product("mixed", scores, v).unwrap();
    let y = b.function("y", mixed, Function::Sigmoid).unwrap();
    b.finish(&[y, scaled]).unwrap()
}

/// A row of a table by two digits, whose product with the first one is encrypted.
fn lookup() -> Graph {
    let mut b = GraphBuilder::new();
    let digits = b.whole_input("digits", &[3, 7]).unwrap();
    let first = b.slice("first", digits, &[0, 0], &[3, 4], &[1, 1]).unwrap();
    let blocks = b.linear("blocks", first, 6, false).unwrap();
    let blocks = b.reshape("by row", blocks, &[3, 3, 2]).unwrap();
    let second = b.slice("second", digits, &[0, 4], &[3, 7], &[1, 1]).unwrap();
    let second = b.reshape("row", second, &[3, 1, 3]).unwrap();
    let rows = b.matrix_product("rows", second, blocks).unwrap();
    let y = b.function("y", rows, Function::Sigmoid).unwrap();
    let narrow = b.linear("narrow", digits, 2, true).unwrap();
    let z = b.relu("z", narrow).unwrap();
    b.finish(&[y, z]).unwrap()
}

struct Ran {
    outputs: Vec<Option<Vec<ArrayD<f64>>>>,
    online: Traffic,
}

async fn party<R: Ring>(
    online: MemoryTransport,
    preparing: MemoryTransport,
    plan: &Plan<R>,
    weights: &mpc_nn::Weights,
    images: &[Vec<ArrayD<f32>>],
    preprocessing: Preprocessing,
) -> Ran {
    let (party, settings) = (online.party(), plan.settings());
    let weights = (settings.roles.model_owner == Owner::Party(party)).then_some(weights);
    let options = SessionOptions::new([1; 16], Seed::from_system().unwrap());
    let mut session = PartySession::open_pair(online, preparing, plan, weights, options).await.unwrap();
    assert_eq!(session.meter().traffic(Phase::Setup, "load model"), plan.setup(party));
    let labels = mpc_nn::run::labels::MAKE_SETUP.into_iter();
    let opened: Traffic = labels.map(|label| session.dealer_meter().traffic(Phase::Setup, label)).sum();
    assert_eq!(opened, plan.preparing_setup(party), "setup of party {party}");
    let (mut schedule, mut outputs) = (plan.schedule().unwrap(), Vec::new());
    for inputs in images {
        session.clear_meters();
        let owned = if settings.roles.data_owner == Owner::Party(party) { &inputs[..] } else { &[] };
        outputs.push(session.infer(owned, preprocessing, &mut ()).await.unwrap().revealed);
        let planned = plan.preprocessing_next(party, &mut schedule);
        assert_eq!(session.dealer_meter().total(Phase::Preprocessing), planned, "preprocessing of party {party}");
        assert_eq!(session.meter().total(Phase::Online), plan.online(party), "online of party {party}");
    }
    Ran { outputs, online: session.meter().total(Phase::Online) }
}

/// Whether two parties have it in place of something else, or a dealer alone has it.
fn is_of_one(request: &Request) -> bool {
    match request {
        Request::Modulo { of, .. } => is_of_one(of),
        _ => matches!(request, Request::Lookup { .. } | Request::Group { .. }),
    }
}

fn check<R: Ring>(graph: &Graph, settings: Settings, tolerance: f64, preprocessing: Preprocessing) {
    let mut generator = ChaCha20Rng::seed_from_u64(7);
    let weights = random_weights(graph, &mut generator);
    let images: Vec<_> = (0..2).map(|_| random_inputs(graph, &mut generator)).collect();
    let plan = Plan::<R>::new(graph, settings).unwrap();
    let run = |(online, preparing)| block_on(party(online, preparing, &plan, &weights, &images, preprocessing));
    let ends = memory_network(2, DEADLINE).into_iter().zip(memory_network(2, DEADLINE));
    let (ran, ()): (Vec<Ran>, ()) = on_threads(ends.map(|end| || run(end)), || ());
    // Online all is as with a dealer, but for smooth functions, of which two parties make tables, and for maxima by more than two.
    let dealt = Plan::<R>::new(graph, Settings { correlations: Correlations::Dealt, ..settings }).unwrap();
    let recipient = settings.roles.data_owner;
    for (party, ran) in ran.iter().enumerate() {
        if ![&plan, &dealt].iter().any(|plan| plan.requests().iter().any(is_of_one)) {
            assert_eq!(ran.online, dealt.online(party));
        }
        for (outputs, inputs) in ran.outputs.iter().zip(&images) {
            assert_eq!(outputs.is_some(), recipient == Owner::Party(party));
            let Some(outputs) = outputs else { continue };
            let plain = evaluate(graph, &weights, inputs).unwrap();
            let error = largest_error(outputs, &plain);
            assert!(error < tolerance, "largest error {error}");
        }
    }
}

#[test]
fn two_parties_run_networks_without_a_dealer() {
    check::<u64>(&residual(), soft(), 2e-3, Preprocessing::Streamed);
    check::<u64>(&classifier(), Settings { roles: Roles::new(1, 0), ..soft() }, 2e-3, Preprocessing::Ahead);
    let settings = Settings { fractional_bits: 12, comparison_bits: 26, ..soft() };
    check::<u64>(&residual(), settings, 2e-2, Preprocessing::Streamed);
    check::<u128>(&residual(), soft(), 2e-3, Preprocessing::Streamed);
    check::<u64>(&attention(), soft(), 4e-3, Preprocessing::Streamed);
    check::<u64>(&lookup(), soft(), 2e-3, Preprocessing::Streamed);
    check::<u64>(&lookup(), settings, 2e-2, Preprocessing::Streamed);
    let few_rounds = Settings { comparisons: Comparisons::FewRounds, ..soft() };
    check::<u64>(&residual(), few_rounds, 2e-3, Preprocessing::Ahead);
    // Silent transfers, and weights that are shared.
    let shared = Settings { weights: WeightKnowledge::Shared, ..Settings::without_dealer() };
    check::<u64>(&attention(), shared, 4e-3, Preprocessing::Ahead);
    check::<u64>(&residual(), shared, 2e-3, Preprocessing::Streamed);
}

/// Two parties scale a product after it was truncated, so that it has few enough bits to be encrypted.
#[test]
fn products_of_heads_are_encrypted() {
    let [own, dealt] = [soft(), Settings { correlations: Correlations::Dealt, ..soft() }].map(|settings| {
        let plan = Plan::<u64>::new(&heads(), settings).unwrap();
        let bits = |request: &Request| match request {
            Request::Modulo { bits, of } if matches!(**of, Request::Beaver(_)) => Some(*bits),
            Request::Beaver(_) => Some(64),
            _ => None,
        };
        plan.requests().iter().filter_map(bits).collect::<Vec<_>>()
    });
    assert_eq!([own, dealt], [[48, 48], [64, 48]]);
    let own = Plan::<u64>::new(&heads(), soft()).unwrap();
    assert!(own.own().unwrap().noise().filter(|&noise| noise > 1 << 14).count() == 2);
    check::<u64>(&heads(), soft(), 2e-3, Preprocessing::Streamed);
    check_recorded::<u64>(&heads(), soft(), 2e-3, Preprocessing::Ahead);
}

/// Notes which steps' correlations are made.
#[derive(Default)]
struct Steps(Vec<usize>);

impl Observer for Steps {
    fn end(&mut self, phase: Phase, step: usize) {
        assert_eq!(phase, Phase::Preprocessing);
        self.0.push(step);
    }
}

/// Two inferences of a party that are recorded in one session, with its model.
async fn record<R: Ring>(
    [online, preparing]: [MemoryTransport; 2],
    plan: &Plan<R>,
    weights: &mpc_nn::Weights,
) -> (Vec<u8>, Vec<Vec<u8>>) {
    let party = online.party();
    let weights = (party == 0).then_some(weights);
    let options = SessionOptions::new([2; 16], Seed::from_system().unwrap());
    let opened = PartySession::open_pair(online, preparing, plan, weights, options).await;
    let mut session = opened.unwrap();
    let (mut schedule, mut recordings) = (plan.schedule().unwrap(), Vec::new());
    for _ in 0..2 {
        session.clear_meters();
        let (mut recording, mut steps) = (Recording::empty(plan, party), Steps::default());
        session.record(|bytes| recording.write(bytes), &mut steps).await.unwrap();
        assert_eq!(steps.0, (0..plan.steps().len()).collect::<Vec<_>>());
        let planned = plan.preprocessing_next(party, &mut schedule);
        assert_eq!(session.dealer_meter().total(Phase::Preprocessing), planned);
        assert!(session.meter().total(Phase::Online).is_empty());
        assert_eq!(recording.remaining(), plan.recording_bytes(party));
        recordings.push(recording.as_bytes().to_vec());
    }
    let model = session.model().to_bytes();
    assert_eq!(model.len(), plan.model_bytes());
    (model.to_vec(), recordings)
}

/// The recordings of [`record`], used in another session.
async fn replay<R: Ring>(
    online: MemoryTransport,
    plan: &Plan<R>,
    (model, recordings): (Vec<u8>, Vec<Vec<u8>>),
    images: &[Vec<ArrayD<f32>>],
    preprocessing: Preprocessing,
) -> Vec<Option<Vec<ArrayD<f64>>>> {
    let party = online.party();
    let model = Model::from_bytes(plan, party, &model).unwrap();
    let options = SessionOptions::new([3; 16], Seed::from_system().unwrap());
    let mut session = PartySession::resume(online, plan, model, options).await.unwrap();
    let mut outputs = Vec::new();
    for (inputs, recording) in images.iter().zip(recordings) {
        session.clear_meters();
        let owned = if party == 1 { &inputs[..] } else { &[] };
        let recording = Recording::from_bytes(recording.into());
        outputs.push(session.infer_recorded(recording, owned, preprocessing, &mut ()).await.unwrap().revealed);
        assert_eq!(session.meter().total(Phase::Online), plan.online(party));
    }
    outputs
}

fn check_recorded<R: Ring>(graph: &Graph, settings: Settings, tolerance: f64, preprocessing: Preprocessing) {
    let mut generator = ChaCha20Rng::seed_from_u64(9);
    let weights = random_weights(graph, &mut generator);
    let images: Vec<_> = (0..2).map(|_| random_inputs(graph, &mut generator)).collect();
    let plan = Plan::<R>::new(graph, settings).unwrap();
    let run = |(online, preparing)| block_on(record([online, preparing], &plan, &weights));
    let ends = memory_network(2, DEADLINE).into_iter().zip(memory_network(2, DEADLINE));
    let (recorded, ()) = on_threads(ends.map(|end| || run(end)), || ());
    let ends = memory_network(2, DEADLINE).into_iter().zip(recorded);
    let (plan, images) = (&plan, &images);
    let run = |(online, recorded)| move || block_on(replay(online, plan, recorded, images, preprocessing));
    let (mut outputs, ()) = on_threads(ends.map(run), || ());
    let learned = outputs.pop().unwrap();
    assert_eq!(outputs, [vec![None, None]]);
    for (outputs, inputs) in learned.iter().zip(images) {
        let error = largest_error(outputs.as_ref().unwrap(), &evaluate(graph, &weights, inputs).unwrap());
        assert!(error < tolerance, "largest error {error}");
    }
}

#[test]
fn what_two_parties_have_recorded_runs_in_another_session() {
    check_recorded::<u64>(&residual(), soft(), 2e-3, Preprocessing::Streamed);
    check_recorded::<u64>(&attention(), soft(), 4e-3, Preprocessing::Ahead);
    let shared = Settings { weights: WeightKnowledge::Shared, ..soft() };
    check_recorded::<u128>(&classifier(), shared, 2e-3, Preprocessing::Ahead);
}

#[test]
fn owners_outside_need_no_dealer() {
    let graph = classifier();
    let mut generator = ChaCha20Rng::seed_from_u64(8);
    let weights = random_weights(&graph, &mut generator);
    let inputs = random_inputs(&graph, &mut generator);
    let roles = Roles::new(Owner::Outside, Owner::Outside);
    let plan = Plan::<u64>::new(&graph, Settings { roles, weights: WeightKnowledge::Shared, ..soft() }).unwrap();
    let outputs = in_process::infer(&plan, &weights, &inputs).unwrap();
    assert!(largest_error(&outputs, &evaluate(&graph, &weights, &inputs).unwrap()) < 2e-3);
}

#[test]
fn what_needs_a_dealer_is_refused_when_the_plan_is_made() {
    let refused = |graph: &Graph, settings| Plan::<u64>::new(graph, settings).unwrap_err();
    let error = refused(&residual(), Settings { parties: 3, ..soft() });
    assert!(matches!(error, PlanError::NoDealer { parties: 3 }), "{error}");
    assert!(error.to_string().contains("two parties"), "{error}");
    let mut b = GraphBuilder::new();
    let [x, y] = ["x", "y"].map(|name| b.input(name, &[1, 4096, 4096]).unwrap());
    let product = b.matrix_product("huge", x, y).unwrap();
    let error = refused(&b.finish(&[product]).unwrap(), soft());
    assert!(matches!(&error, PlanError::NeedsDealer { step, .. } if step == "huge"), "{error}");
    let small = Plan::<u32>::new(&residual(), Settings { fractional_bits: 8, comparison_bits: 18, ..soft() });
    assert!(matches!(small.unwrap_err(), PlanError::NeedsDealer { .. }));
}

/// The noise of an encrypted layer takes a unit off some of its results, which are whole numbers and halves here.
#[test]
fn sums_of_whole_numbers_are_where_they_jump() {
    let (rows, width) = (40, 6);
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[rows, width]).unwrap();
    let sum = b.linear("sum", x, 4, false).unwrap();
    let floor = b.floor("floor", sum).unwrap();
    let step = b.function("step", sum, Function::Step).unwrap();
    let graph = b.finish(&[floor, step]).unwrap();
    let array = |shape: Vec<usize>, factor: f32, seed: usize| {
        let values = (0..shape.iter().product()).map(|place: usize| ((place * 37 + seed) % 11) as f32 - 5.0);
        ArrayD::from_shape_vec(shape, values.map(|value| value * factor).collect()).unwrap()
    };
    let weights = [("sum.weight".to_owned(), array(vec![4, width], 0.5, 3))].into();
    let weights = mpc_nn::Weights::for_graph(&graph, weights).unwrap();
    let x = [array(vec![rows, width], 1.0, 1)];
    let plan = Plan::<u64>::new(&graph, Settings::without_dealer()).unwrap();
    let plain = evaluate(&graph, &weights, &x).unwrap();
    for (private, plain) in in_process::infer(&plan, &weights, &x).unwrap().iter().zip(&plain) {
        assert!(private.iter().zip(plain).all(|(x, &y)| (x - f64::from(y)).abs() < 0.01), "{private} {plain}");
    }
}
