//! Owners who do not compute, and those who learn the outputs: results against the plaintext reference, meters against the
//! plan, and shares that do not fit.

use std::collections::BTreeSet;
use std::sync::Mutex;

use mpc_nn::delegation::{reconstruct, split_inputs, split_model};
use mpc_nn::run::{check_inputs, labels};
use mpc_nn::{
    EncodingError, Graph, GraphBuilder, GraphError, InferenceError, InputShare, Inputs, ModelShare, ModelSource, Op,
    OutputShare, Outputs, Owner, PartySession, Plan, PlanError, Preprocessing, Recipients, Roles, Settings,
    WeightKnowledge, Weights, evaluate,
};
use mpc_ring::Ring;
use mpc_shares::{Prg, Seed};
use mpc_transport::{Phase, Traffic, Transport};
use ndarray::{ArrayD, IxDyn};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::common::{
    classifier, largest_error, options, random_graph, random_inputs, random_tensor, random_weights, run_parties,
};

const OUTSIDE: Owner = Owner::Outside;

fn generator() -> Prg {
    Prg::new(Seed::from_bytes([5; 32]))
}

fn recipients(owners: &[Owner]) -> Option<Recipients> {
    Some(Recipients::new(owners).unwrap())
}

/// The results of one party.
struct Ended<R: Ring> {
    outputs: Outputs<R>,
    setup: Traffic,
    online: Traffic,
    reveal: Traffic,
}

/// Takes what is at a party's place.
fn take<T>(shares: &Mutex<Vec<Option<T>>>, party: usize) -> Option<T> {
    shares.lock().unwrap().get_mut(party).and_then(Option::take)
}

/// One inference in which whoever is outside sends and gets encoded shares.
fn infer<R: Ring>(plan: &Plan<R>, weights: &Weights, inputs: &[ArrayD<f32>]) -> Vec<Ended<R>> {
    let roles = plan.settings().roles;
    let owned = |owner: Owner| {
        let owned = inputs.iter().zip(plan.input_owners()).filter(move |(_, other)| *other == owner);
        owned.map(|(input, _)| input.clone()).collect::<Vec<_>>()
    };
    let models = Mutex::new(Vec::new());
    if roles.model_owner == OUTSIDE {
        let shares = split_model(plan, weights, &mut generator()).unwrap().into_iter().enumerate();
        let sent = shares.map(|(party, share)| {
            assert_eq!(share.party(), party);
            let bytes = share.to_bytes();
            assert_eq!(bytes.len(), plan.model_share_bytes(party));
            Some(ModelShare::from_bytes(plan, party, &bytes).unwrap())
        });
        *models.lock().unwrap() = sent.collect();
    }
    let shares = Mutex::new(Vec::new());
    if plan.input_owners().contains(&OUTSIDE) {
        let split = split_inputs(plan, &owned(OUTSIDE), &mut generator()).unwrap().into_iter().enumerate();
        let sent = split.map(|(party, share)| {
            let bytes = share.to_bytes();
            assert_eq!(bytes.len(), plan.input_share_bytes(party));
            Some(InputShare::from_bytes(plan, party, &bytes).unwrap())
        });
        *shares.lock().unwrap() = sent.collect();
    }
    run_parties(plan, 1, async |transport, link| {
        let party = transport.party();
        let own = (roles.model_owner == Owner::Party(party)).then_some(weights);
        let model = take(&models, party).map_or_else(|| own.into(), ModelSource::Share);
        let mut session = PartySession::open(transport, link, plan, model, options(party as u8)).await.unwrap();
        let inputs = Inputs { own: &owned(Owner::Party(party)), outside: take(&shares, party) };
        let outputs = session.infer(inputs, Preprocessing::Streamed, &mut ()).await.unwrap();
        let reveals = plan.steps().iter().filter(|step| step.action.kind() == "output");
        Ended {
            outputs,
            setup: session.meter().traffic(Phase::Setup, labels::LOAD),
            online: session.meter().total(Phase::Online),
            reveal: reveals.map(|step| session.meter().traffic(Phase::Online, &step.name)).sum(),
        }
    })
}

/// One inference: every recipient gets what the network in the clear gives, nobody else anything, and all that is sent is
/// planned.
fn check<R: Ring>(graph: &Graph, settings: Settings) -> Vec<Ended<R>> {
    check_to(0.002, graph, settings)
}

fn check_to<R: Ring>(tolerance: f64, graph: &Graph, settings: Settings) -> Vec<Ended<R>> {
    let mut random = ChaCha20Rng::seed_from_u64(11);
    let weights = random_weights(graph, &mut random);
    let inputs = random_inputs(graph, &mut random);
    let plain = evaluate(graph, &weights, &inputs).unwrap();
    let plan = Plan::<R>::new(graph, settings).unwrap();
    let recipients = settings.roles.recipients();
    let ended = infer(&plan, &weights, &inputs);
    let mut shares = Vec::new();
    for (party, ended) in ended.iter().enumerate() {
        assert_eq!(ended.setup, plan.setup(party), "setup of party {party}");
        assert_eq!(ended.online, plan.online(party), "online of party {party}");
        assert_eq!(ended.outputs.revealed.is_some(), recipients.contains(Owner::Party(party)));
        assert_eq!(ended.outputs.share.is_some(), recipients.contains(OUTSIDE));
        if let Some(revealed) = &ended.outputs.revealed {
            assert!(largest_error(revealed, &plain) < tolerance);
        }
        shares.extend(ended.outputs.share.as_ref().map(|share| {
            let bytes = share.to_bytes();
            assert_eq!(bytes.len(), plan.output_share_bytes());
            OutputShare::from_bytes(&plan, party, &bytes).unwrap()
        }));
    }
    if recipients.contains(OUTSIDE) {
        shares.reverse();
        assert!(largest_error(&reconstruct(&plan, &shares).unwrap(), &plain) < tolerance);
    }
    ended
}

#[test]
fn owners_outside_for_every_number_of_parties() {
    for parties in [2, 3, 4, 8] {
        for roles in [Roles::new(OUTSIDE, OUTSIDE), Roles::new(OUTSIDE, 1), Roles::new(0, OUTSIDE)] {
            check::<u64>(&classifier(), Settings { roles, ..Settings::new(parties) });
        }
    }
    let roles = Roles::new(OUTSIDE, OUTSIDE);
    check::<u128>(&classifier(), Settings { roles, ..Settings::new(3) });
}

#[test]
fn a_model_owner_that_computes_in_the_clear_for_a_data_owner_outside() {
    for parties in [2, 3] {
        let settings =
            Settings { roles: Roles::new(0, OUTSIDE), weights: WeightKnowledge::Owner, ..Settings::new(parties) };
        check::<u64>(&classifier(), settings);
    }
    let roles = Roles::new(OUTSIDE, OUTSIDE);
    let settings = Settings { roles, weights: WeightKnowledge::Owner, ..Settings::new(2) };
    assert_eq!(Plan::<u64>::new(&classifier(), settings).unwrap_err(), PlanError::OwnerOutside);
}

#[test]
fn some_inputs_from_outside_and_some_from_a_party() {
    for owners in [[Some(OUTSIDE), None], [None, Some(OUTSIDE)], [Some(Owner::Party(2)), Some(OUTSIDE)]] {
        let mut roles = Roles::new(OUTSIDE, 1);
        roles.input_owners[..2].copy_from_slice(&owners);
        roles.recipients = recipients(&[OUTSIDE, Owner::Party(2)]);
        check::<u64>(&classifier(), Settings { roles, ..Settings::new(3) });
    }
}

/// Of outputs with 10 elements: what each party sends and receives to reveal them.
#[test]
fn outputs_for_one_several_all_and_somebody_outside() {
    let party = Owner::Party;
    for parties in [2, 3, 4] {
        let all: Vec<Owner> = (0..parties).map(party).collect();
        let sets: [&[Owner]; 6] = [
            &[party(0)],
            &[party(parties - 1)],
            &[party(0), party(1)],
            &all,
            &[OUTSIDE],
            &[OUTSIDE, party(0), party(1)],
        ];
        for owners in sets {
            let roles = Roles { recipients: recipients(owners), ..Roles::default() };
            let ended = check::<u64>(&classifier(), Settings { roles, ..Settings::new(parties) });
            for (index, ended) in ended.iter().enumerate() {
                let is_recipient = owners.contains(&party(index));
                let others =
                    (owners.iter().filter(|owner| **owner != OUTSIDE).count() - usize::from(is_recipient)) as u64;
                let received = if is_recipient { parties as u64 - 1 } else { 0 };
                let expected = Traffic {
                    payload_sent: 80 * others,
                    frames_sent: others,
                    payload_received: 80 * received,
                    frames_received: received,
                    rounds: u64::from(is_recipient),
                };
                assert_eq!(ended.reveal, expected, "party {index} of {parties}, revealed to {owners:?}");
            }
        }
    }
}

#[test]
fn recipients_that_cannot_be() {
    let graph = classifier();
    assert_eq!(Recipients::new(&[]), Err(PlanError::NoRecipient));
    assert!(matches!(Recipients::new(&[Owner::Party(8)]), Err(PlanError::Role { party: 8, .. })));
    let roles = Roles { recipients: recipients(&[Owner::Party(2)]), ..Roles::default() };
    let error = Plan::<u64>::new(&graph, Settings { roles, ..Settings::new(2) }).unwrap_err();
    assert_eq!(error, PlanError::Role { role: "recipient of the outputs", party: 2, parties: 2 });
    let roles = Roles::new(0, 1000);
    let error = Plan::<u64>::new(&graph, Settings { roles, ..Settings::new(2) }).unwrap_err();
    assert!(matches!(error, PlanError::Role { role: "data owner", party: 1000, .. }));
}

#[test]
fn the_class_and_nothing_else() {
    let graph = classifier();
    let scores = graph.outputs()[0];
    let class = graph.with_class_only(scores).unwrap();
    assert!(matches!(class.node(class.outputs()[0]).op(), Op::ArgMax));
    assert_eq!(class.node(class.outputs()[0]).shape(), [2, 1]);
    for parties in [2, 3, 4] {
        for roles in [Roles::default(), Roles::new(OUTSIDE, OUTSIDE)] {
            let settings = Settings { roles, ..Settings::new(parties) };
            let ended = check::<u64>(&class, settings);
            // Two indices, in elements of the ring, each of which has nothing above its 3 bits: no score is revealed.
            for (party, ended) in ended.iter().enumerate() {
                let sends = roles.data_owner == Owner::Party(1) && party != 1;
                assert_eq!(ended.reveal.payload_sent, if sends { 16 } else { 0 });
            }
            let opened: Vec<_> = ended.iter().filter_map(|ended| ended.outputs.share.as_ref()).collect();
            for share in opened {
                let bytes = share.to_bytes();
                let elements = bytes[bytes.len() - 16..].as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b));
                assert!(elements.into_iter().all(|element| element < 8));
            }
        }
    }
    // The scores' step is no longer revealed, and what only they needed is gone.
    let plan = Plan::<u64>::new(&class, Settings::new(2)).unwrap();
    assert_eq!(plan.steps().iter().filter(|step| step.action.kind() == "output").count(), 1);
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[1, 3]).unwrap();
    let y = b.input("y", &[1, 3]).unwrap();
    let z = b.add("z", x, y).unwrap();
    let graph = b.finish(&[z, x]).unwrap();
    assert_eq!(graph.with_class_only(x), Err(GraphError::UnusedInput { name: "y".into() }));
    assert!(graph.with_class_only(z).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn random_networks_with_owners_outside(
        choices in prop::collection::vec(any::<u8>(), 0..8),
        parties in prop::sample::select(vec![2usize, 3, 4, 8]),
        outside in prop::array::uniform4(any::<bool>()),
        recipient in 0usize..2,
    ) {
        let owner = |is_outside: bool, party: usize| if is_outside { OUTSIDE } else { Owner::Party(party) };
        let mut roles = Roles::new(owner(outside[0], 0), owner(outside[1], 1));
        roles.input_owners[1] = Some(owner(outside[2], recipient));
        roles.recipients = recipients(&[owner(outside[3], recipient), Owner::Party(1)]);
        // Rounding grows with the layers.
        check_to::<u64>(0.05, &random_graph(&choices), Settings { roles, ..Settings::new(parties) });
    }

    #[test]
    fn changed_bytes_are_an_error_or_another_share(at in 0usize..1000, flip in 1u8.., cut in 0usize..2000) {
        let plan = outsourced(3);
        let weights = random_weights(plan.graph(), &mut ChaCha20Rng::seed_from_u64(1));
        for (party, share) in split_model(&plan, &weights, &mut generator()).unwrap().iter().enumerate() {
            let bytes = share.to_bytes();
            let mut changed = bytes.to_vec();
            let at = at % changed.len();
            changed[at] ^= flip;
            // The header is checked, the rest is random.
            prop_assert_eq!(ModelShare::from_bytes(&plan, party, &changed).is_ok(), at >= 39);
            let cut = &bytes[..cut.min(bytes.len() - 1)];
            let is_length = matches!(ModelShare::from_bytes(&plan, party, cut), Err(EncodingError::Length { .. }));
            prop_assert!(is_length);
        }
    }
}

/// The plan of a model owner and a data owner outside.
fn outsourced(parties: usize) -> Plan<u64> {
    let roles = Roles::new(OUTSIDE, OUTSIDE);
    Plan::new(&classifier(), Settings { roles, ..Settings::new(parties) }).unwrap()
}

#[test]
fn shares_that_do_not_fit() {
    let (plan, other) = (outsourced(3), outsourced(4));
    let mut random = ChaCha20Rng::seed_from_u64(1);
    let weights = random_weights(plan.graph(), &mut random);
    let inputs = random_inputs(plan.graph(), &mut random);
    let model = split_model(&plan, &weights, &mut generator()).unwrap();
    let shares = split_inputs(&plan, &inputs, &mut generator()).unwrap();
    let (seed, elements) = (model[0].to_bytes(), model[2].to_bytes());
    assert_eq!(seed.len(), 39 + 32);
    let error = ModelShare::from_bytes(&other, 0, &seed).unwrap_err();
    assert!(matches!(error, EncodingError::OtherPlan { what: "the share of the model", .. }), "{error}");
    let error = ModelShare::from_bytes(&plan, 1, &seed).unwrap_err();
    assert_eq!(error, EncodingError::OtherParty { what: "the share of the model", expected: 1, found: 0 });
    let error = InputShare::from_bytes(&plan, 0, &seed).unwrap_err();
    assert_eq!(error, EncodingError::Kind { what: "the share of the inputs" });
    let mut long = elements.to_vec();
    long.push(0);
    let (expected, found) = (elements.len() as u64, long.len() as u64);
    let error = ModelShare::from_bytes(&plan, 2, &long).unwrap_err();
    assert_eq!(error, EncodingError::Length { what: "the share of the model", expected, found });
    assert!(ModelShare::from_bytes(&plan, 2, &[]).is_err());
    // No two parties have the same share, and no value is printed.
    let encoded: BTreeSet<Vec<u8>> = model.iter().map(|share| share.to_bytes()[39..][..32].to_vec()).collect();
    assert_eq!(encoded.len(), 3);
    assert_eq!(format!("{:?} {:?}", model[2], shares[0]), "ModelShare { party: 2, .. } InputShare { party: 0, .. }");
}

#[test]
fn inputs_from_outside_are_checked_before_they_are_split() {
    let plan = outsourced(2);
    let inputs = random_inputs(plan.graph(), &mut ChaCha20Rng::seed_from_u64(1));
    let refused = |inputs: &[ArrayD<f32>]| {
        let checked = check_inputs(&plan, OUTSIDE, inputs).unwrap_err();
        let refused = split_inputs(&plan, inputs, &mut generator()).unwrap_err();
        assert_eq!(refused.to_string(), checked.to_string());
        refused
    };
    assert!(check_inputs(&plan, OUTSIDE, &inputs).is_ok());
    assert!(matches!(refused(&inputs[..1]), InferenceError::Input(_)));
    let mut unfit = inputs.clone();
    unfit[1] = ArrayD::zeros(IxDyn(&[3, 2]));
    assert!(matches!(refused(&unfit), InferenceError::Input(_)));
    unfit[1] = ArrayD::from_elem(IxDyn(&[2, 3]), 16384.0);
    assert!(matches!(refused(&unfit), InferenceError::Bound { .. }));
    unfit[1] = ArrayD::from_elem(IxDyn(&[2, 3]), f32::NAN);
    assert!(matches!(refused(&unfit), InferenceError::Input(_)));
}

#[test]
fn what_follows_from_inputs_alone_is_checked_before_they_are_split() {
    const CLASSES: usize = 16_400;
    let mut builder = GraphBuilder::new();
    let rows = builder.whole_input("rows", &[1, CLASSES]).unwrap();
    let x = builder.input("x", &[1, 1, 1, 2]).unwrap();
    let numbers: Vec<_> = (0..CLASSES).map(|place| (place, place as f32)).collect();
    let number = builder.combine("number", rows, 1, &[numbers]).unwrap();
    let square = builder.square("square", x).unwrap();
    let opposite = builder.scale("opposite", square, -1.0).unwrap();
    let both = builder.concat("both", &[square, opposite], 3).unwrap();
    let largest = builder.max_pool("largest", both, mpc_nn::Pool::new([1, 4])).unwrap();
    // Nobody but the model owner knows what becomes of these.
    let weighted = builder.linear("weighted", number, 1, false).unwrap();
    let product = builder.square("product", weighted).unwrap();
    let graph = builder.finish(&[number, largest, product]).unwrap();
    let roles = Roles::new(OUTSIDE, OUTSIDE);
    let plan = Plan::<u64>::new(&graph, Settings { roles, ..Settings::new(2) }).unwrap();
    let check = |class: usize, x: [f32; 2]| {
        let mut row = ArrayD::zeros(vec![1, CLASSES]);
        row[[0, class]] = 1.0;
        let x = ArrayD::from_shape_vec(vec![1, 1, 1, 2], x.to_vec()).unwrap();
        check_inputs(&plan, OUTSIDE, &[row, x])
    };
    check(16_383, [90.0, 0.0]).unwrap();
    let is_node = |result: Result<(), InferenceError>, name: &str| match result.unwrap_err() {
        InferenceError::Reach { node, bound: 16_384.0 } | InferenceError::Spread { node, bound: 16_384.0 } => {
            assert_eq!(node, name);
        }
        error => panic!("{error}"),
    };
    is_node(check(16_384, [90.0, 0.0]), "number");
    is_node(check(0, [0.0, 130.0]), "square");
    is_node(check(0, [0.0, 100.0]), "largest");
}

#[test]
fn outputs_from_the_shares_of_every_party_once() {
    let (plan, other) = (outsourced(3), outsourced(4));
    let mut random = ChaCha20Rng::seed_from_u64(1);
    let weights = random_weights(plan.graph(), &mut random);
    let ended = infer(&plan, &weights, &random_inputs(plan.graph(), &mut random));
    let encoded: Vec<_> = ended.iter().map(|ended| ended.outputs.share.as_ref().unwrap().to_bytes()).collect();
    let share = |party: usize| OutputShare::from_bytes(&plan, party, &encoded[party]).unwrap();
    assert!(reconstruct(&plan, &[share(2), share(0), share(1)]).is_ok());
    for found in [&[][..], &[share(0), share(1)], &[share(0), share(1), share(2), share(2)]] {
        let error = reconstruct(&plan, found).unwrap_err();
        assert!(matches!(error, InferenceError::ShareCount { expected: 3, .. }), "{error}");
    }
    let error = reconstruct(&plan, &[share(0), share(0), share(2)]).unwrap_err();
    assert!(matches!(error, InferenceError::MissingShare { party: 1 }), "{error}");
    let foreign = [share(0), share(1), share(2), share(1)];
    assert!(matches!(reconstruct(&other, &foreign), Err(InferenceError::Encoding(EncodingError::OtherPlan { .. }))));
    assert!(OutputShare::from_bytes(&plan, 0, &encoded[1]).is_err());
}

/// Every party of a session brings what does not fit its role.
fn refused<'a>(
    plan: &Plan<u64>,
    model: impl Fn(usize) -> ModelSource<'a, u64> + Sync,
    outside: impl Fn(usize) -> Option<InputShare<u64>> + Sync,
) -> Vec<InferenceError> {
    run_parties(plan, 1, async |transport, link| {
        let party = transport.party();
        let opened = PartySession::open(transport, link, plan, model(party), options(party as u8)).await;
        let mut session = match opened {
            Ok(session) => session,
            Err(error) => return error,
        };
        let inputs = Inputs { own: &[], outside: outside(party) };
        session.infer(inputs, Preprocessing::Streamed, &mut ()).await.unwrap_err()
    })
}

#[test]
fn what_a_party_brings_fits_its_role() {
    let plan = outsourced(2);
    let mut random = ChaCha20Rng::seed_from_u64(1);
    let weights = random_weights(plan.graph(), &mut random);
    let model =
        |party: usize| ModelSource::Share(split_model(&plan, &weights, &mut generator()).unwrap().remove(party));
    let inputs = [random_tensor(&[2, 1, 6, 6], 1.0, &mut random), random_tensor(&[2, 3], 1.0, &mut random)];
    let share = |party: usize| Some(split_inputs(&plan, &inputs, &mut generator()).unwrap().remove(party));
    let is_role = |errors: Vec<InferenceError>, about: &str| {
        for error in errors {
            assert!(matches!(error, InferenceError::Role { .. }) && error.to_string().contains(about), "{error}");
        }
    };
    is_role(refused(&plan, model, |_| None), "needs its share");
    is_role(refused(&plan, |_| ModelSource::Peer, share), "outside");
    is_role(refused(&plan, |_| ModelSource::Own(&weights), share), "outside");
    for error in refused(&plan, |party| model(1 - party), share) {
        assert!(matches!(error, InferenceError::Encoding(EncodingError::OtherParty { .. })), "{error}");
    }
    for error in refused(&plan, model, |party| share(1 - party)) {
        assert!(matches!(error, InferenceError::Encoding(EncodingError::OtherParty { .. })), "{error}");
    }
    let inside = Plan::<u64>::new(plan.graph(), Settings::new(2)).unwrap();
    is_role(refused(&inside, model, |_| None), "computes");
    assert!(matches!(split_model(&inside, &weights, &mut generator()), Err(InferenceError::Role { .. })));
    assert!(matches!(split_inputs(&inside, &inputs, &mut generator()), Err(InferenceError::Role { .. })));
}
