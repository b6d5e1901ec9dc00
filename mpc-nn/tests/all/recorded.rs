//! Correlations that are recorded and used later, without a dealer and in another session; and what does not fit.

use std::sync::{Arc, Mutex};

use mpc_nn::{
    EncodingError, Graph, InferenceError, Inputs, Model, NoDealer, Outputs, PartySession, Plan, Preprocessing,
    Recording, SessionOptions, Settings, WeightKnowledge, Weights, evaluate,
};
use mpc_protocols::ProtocolError;
use mpc_ring::Ring;
use mpc_shares::SecretVec;
use mpc_transport::{FrameSource, Link, MemoryTransport, Phase, RecordingError, Traffic, Transport, TransportError};
use ndarray::ArrayD;
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::common::{
    classifier, largest_error, options, random_graph, random_inputs, random_weights, run_parties, run_without_dealer,
};

type OpenedSession<'a, R> = PartySession<'a, R>;
type ResumedSession<'a, R> = PartySession<'a, R, NoDealer>;

/// A plan with its secrets.
struct Case<R: Ring> {
    plan: Plan<R>,
    weights: Weights,
    inputs: Vec<ArrayD<f32>>,
}

impl<R: Ring> Case<R> {
    fn new(graph: &Graph, settings: Settings) -> Self {
        let mut random = ChaCha20Rng::seed_from_u64(21);
        let (weights, inputs) = (random_weights(graph, &mut random), random_inputs(graph, &mut random));
        Self { plan: Plan::new(graph, settings).unwrap(), weights, inputs }
    }

    fn own_weights(&self, party: usize) -> Option<&Weights> {
        (party == 0).then_some(&self.weights)
    }

    fn own_inputs(&self, party: usize) -> Inputs<'_, R> {
        if party == 1 { (&self.inputs).into() } else { Inputs::none() }
    }

    async fn open(&self, transport: MemoryTransport, link: Link) -> OpenedSession<'_, R> {
        let party = transport.party();
        let opened = PartySession::open(transport, link, &self.plan, self.own_weights(party), options(party as u8));
        opened.await.unwrap()
    }

    async fn resume<'a>(&'a self, transport: MemoryTransport, recorded: &[Recorded]) -> ResumedSession<'a, R> {
        let party = transport.party();
        let model = Model::from_bytes(&self.plan, party, &recorded[party].model).unwrap();
        PartySession::resume(transport, &self.plan, model, options(50 + party as u8)).await.unwrap()
    }

    /// The records that a party makes of some inferences, with the model.
    fn record(&self, inferences: usize) -> Vec<Recorded> {
        run_parties(&self.plan, inferences, async |transport, link| {
            let party = transport.party();
            let mut session = self.open(transport, link).await;
            let mut recordings = Vec::new();
            for _ in 0..inferences {
                session.clear_meters();
                let mut recording = Recording::empty(&self.plan, party);
                session.record(|bytes| recording.write(bytes), &mut ()).await.unwrap();
                assert_eq!(session.dealer_meter().total(Phase::Preprocessing), self.plan.preprocessing(party));
                assert!(session.meter().total(Phase::Online).is_empty());
                assert_eq!(recording.remaining(), self.plan.recording_bytes(party));
                recordings.push(recording.as_bytes().to_vec());
            }
            let model = session.model().to_bytes();
            assert_eq!(model.len(), self.plan.model_bytes());
            Recorded { model: model.to_vec(), recordings }
        })
    }

    /// Every party's outputs and traffic of inferences with the dealer.
    fn live(&self, inferences: usize, preprocessing: Preprocessing) -> Vec<Vec<(Outputs<R>, Traffic)>> {
        run_parties(&self.plan, inferences, async |transport, link| {
            let party = transport.party();
            let mut session = self.open(transport, link).await;
            let mut all = Vec::new();
            for _ in 0..inferences {
                session.clear_meters();
                let outputs = session.infer(self.own_inputs(party), preprocessing, &mut ()).await.unwrap();
                all.push((outputs, session.meter().total(Phase::Online)));
            }
            all
        })
    }

    /// Every party's outputs and traffic of inferences with what was recorded.
    fn replay(&self, recorded: &[Recorded], preprocessing: Preprocessing) -> Vec<Vec<(Outputs<R>, Traffic)>> {
        run_without_dealer(&self.plan, async |transport| {
            let party = transport.party();
            let mut session = self.resume(transport, recorded).await;
            let mut all = Vec::new();
            for (index, recording) in recorded[party].recordings.iter().enumerate() {
                session.agree(&[("recording", &index.to_string())]).await.unwrap();
                session.clear_meters();
                let recording = Recording::from_bytes(SecretVec::copy_of(recording));
                let inputs = self.own_inputs(party);
                let outputs = session.infer_recorded(recording, inputs, preprocessing, &mut ()).await.unwrap();
                all.push((outputs, session.meter().total(Phase::Online)));
            }
            all
        })
    }
}

/// The records that one party has kept.
struct Recorded {
    model: Vec<u8>,
    recordings: Vec<Vec<u8>>,
}

/// Recorded and replayed inferences are those that the same dealer deals live: the same results, bit by bit, and the same
/// bytes.
fn check<R: Ring>(graph: &Graph, settings: Settings, preprocessing: Preprocessing) {
    let case = Case::<R>::new(graph, settings);
    let plain = evaluate(graph, &case.weights, &case.inputs).unwrap();
    let live = case.live(2, preprocessing);
    let replayed = case.replay(&case.record(2), preprocessing);
    for (party, (live, replayed)) in live.into_iter().zip(replayed).enumerate() {
        for ((live, live_traffic), (replayed, traffic)) in live.into_iter().zip(replayed) {
            assert_eq!(traffic, live_traffic);
            assert_eq!(traffic, case.plan.online(party));
            assert_eq!(replayed.revealed.is_some(), party == 1);
            if let (Some(live), Some(replayed)) = (live.revealed, replayed.revealed) {
                assert!(largest_error(&replayed, &plain) < 0.05);
                // The parties' own randomness differs, so truncations may round differently, by a unit or two.
                let differences = live.iter().flatten().zip(replayed.iter().flatten()).map(|(x, y)| (x - y).abs());
                assert!(differences.fold(0.0, f64::max) < 0.01);
            }
        }
    }
}

#[test]
fn a_replayed_inference_is_the_live_one() {
    for parties in [2, 3, 4, 8] {
        check::<u64>(&classifier(), Settings::new(parties), Preprocessing::Ahead);
        check::<u64>(&classifier(), Settings::new(parties), Preprocessing::Streamed);
    }
    check::<u128>(&classifier(), Settings::new(2), Preprocessing::Ahead);
    for parties in [2, 3] {
        let settings = Settings { weights: WeightKnowledge::Owner, ..Settings::new(parties) };
        check::<u64>(&classifier(), settings, Preprocessing::Ahead);
    }
}

/// With the same seeds at every participant, recording and replaying in one session changes nothing.
#[test]
fn in_the_session_that_recorded_it_the_result_is_the_same_bit_by_bit() {
    let case = Case::<u64>::new(&classifier(), Settings::new(3));
    let live = case.live(1, Preprocessing::Ahead);
    let replayed = run_parties(&case.plan, 1, async |transport, link| {
        let party = transport.party();
        let mut session = case.open(transport, link).await;
        let mut recording = Recording::empty(&case.plan, party);
        session.record(|bytes| recording.write(bytes), &mut ()).await.unwrap();
        session.infer_recorded(recording, case.own_inputs(party), Preprocessing::Ahead, &mut ()).await.unwrap()
    });
    let outputs = |outputs: &Outputs<u64>| outputs.revealed.clone();
    assert_eq!(outputs(&replayed[1]).unwrap(), outputs(&live[1][0].0).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn random_networks(
        choices in prop::collection::vec(any::<u8>(), 0..8),
        parties in prop::sample::select(vec![2usize, 3, 4]),
        owner_computes: bool,
        ahead: bool,
    ) {
        let weights = if owner_computes { WeightKnowledge::Owner } else { WeightKnowledge::Shared };
        let preprocessing = if ahead { Preprocessing::Ahead } else { Preprocessing::Streamed };
        check::<u64>(&random_graph(&choices), Settings { weights, ..Settings::new(parties) }, preprocessing);
    }

    #[test]
    fn a_changed_model_is_an_error_or_another_model(at in 0usize..10_000, flip in 1u8.., cut in 0usize..10_000) {
        let case = Case::<u64>::new(&random_graph(&[0]), Settings::new(2));
        for (party, recorded) in case.record(0).iter().enumerate() {
            let mut changed = recorded.model.clone();
            let at = at % changed.len();
            changed[at] ^= flip;
            prop_assert_eq!(Model::from_bytes(&case.plan, party, &changed).is_ok(), at >= 39);
            let cut = &recorded.model[..cut.min(changed.len() - 1)];
            let is_length = matches!(Model::from_bytes(&case.plan, party, cut), Err(EncodingError::Length { .. }));
            prop_assert!(is_length);
        }
    }
}

/// Every party replays a recording that was tampered with.
fn replay_changed(change: impl Fn(usize, Vec<u8>) -> Vec<u8> + Sync) -> Vec<InferenceError> {
    let case = Case::<u64>::new(&classifier(), Settings::new(3));
    let recorded = case.record(1);
    run_without_dealer(&case.plan, async |transport| {
        let party = transport.party();
        let mut session = case.resume(transport, &recorded).await;
        let bytes = change(party, recorded[party].recordings[0].clone());
        let recording = Recording::from_bytes(bytes.into());
        let inputs = case.own_inputs(party);
        session.infer_recorded(recording, inputs, Preprocessing::Streamed, &mut ()).await.unwrap_err()
    })
}

#[test]
fn recordings_that_do_not_fit_are_refused_by_name() {
    let encoding = |error: InferenceError| match error {
        InferenceError::Encoding(error) => error,
        other => panic!("{other}"),
    };
    for (cut, longer) in [(1, 0), (40, 0), (0, 1), (0, 100)] {
        let changed = replay_changed(|_, mut bytes| {
            bytes.truncate(bytes.len() - cut);
            bytes.extend(vec![0; longer]);
            bytes
        });
        for error in changed.into_iter().map(encoding) {
            let EncodingError::Length { what: "the recording", expected, found } = error else { panic!("{error}") };
            assert_eq!(found + cut as u64, expected + longer as u64);
        }
    }
    for error in replay_changed(|_, _| Vec::new()).into_iter().map(encoding) {
        assert!(matches!(error, EncodingError::Length { found: 0, .. }), "{error}");
    }
    let flipped = |at: usize| {
        let changed = replay_changed(move |_, mut bytes| {
            bytes[at] ^= 1;
            bytes
        });
        changed.into_iter().map(encoding).collect::<Vec<_>>()
    };
    for error in [0, 3, 4].into_iter().flat_map(flipped) {
        assert_eq!(error, EncodingError::Kind { what: "the recording" });
    }
    assert!(flipped(6).iter().all(|error| matches!(error, EncodingError::OtherParty { .. })));
    assert!([7, 38].into_iter().flat_map(flipped).all(|error| matches!(error, EncodingError::OtherPlan { .. })));
}

/// A source that says it has more than it gives.
struct Liar(Recording, u64);

impl FrameSource for Liar {
    fn remaining(&self) -> u64 {
        self.1
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), RecordingError> {
        self.0.read(bytes)
    }
}

#[test]
fn a_recording_that_ends_early_ends_the_inference_by_name() {
    let case = Case::<u64>::new(&classifier(), Settings::new(2));
    let recorded = case.record(1);
    let errors = run_without_dealer(&case.plan, async |transport| {
        let party = transport.party();
        let mut session = case.resume(transport, &recorded).await;
        let bytes = &recorded[party].recordings[0];
        let cut = Recording::from_bytes(SecretVec::copy_of(&bytes[..bytes.len() - 1]));
        let source = Liar(cut, bytes.len() as u64);
        session.infer_recorded(source, case.own_inputs(party), Preprocessing::Ahead, &mut ()).await.unwrap_err()
    });
    for error in errors {
        let InferenceError::Link { source, .. } = &error else { panic!("{error}") };
        assert_eq!(**source, TransportError::Recording { source: RecordingError::Ended });
        assert!(error.to_string().contains("ends early"), "{error}");
    }
}

#[test]
fn what_keeps_a_recording_may_fail() {
    let case = Case::<u64>::new(&classifier(), Settings::new(2));
    let errors = run_parties(&case.plan, 1, async |transport, link| {
        let mut session = case.open(transport, link).await;
        // The header fits, the first frame does not.
        let mut room = 39;
        let keep = |bytes: &[u8]| {
            let full = || RecordingError::Storage { reason: "no space left on device".into() };
            room = usize::checked_sub(room, bytes.len()).ok_or_else(full)?;
            Ok(())
        };
        session.record(keep, &mut ()).await.unwrap_err()
    });
    for error in errors {
        assert!(error.to_string().contains("no space left on device"), "{error}");
    }
    let mut small = Recording::empty(&case.plan, 0);
    let bytes = vec![0; case.plan.recording_bytes(0) as usize + 1];
    assert!(matches!(small.write(&bytes), Err(RecordingError::Storage { .. })));
    assert_eq!(small.remaining(), 0);
}

/// The error of each of two parties that resume a session in ways that differ.
fn resumed(party_options: impl Fn(usize) -> SessionOptions + Sync, fields: [&str; 2]) -> Vec<InferenceError> {
    let case = Case::<u64>::new(&random_graph(&[0]), Settings::new(2));
    let recorded = case.record(0);
    run_without_dealer(&case.plan, async |transport| {
        let party = transport.party();
        let model = Arc::new(Model::from_bytes(&case.plan, party, &recorded[party].model).unwrap());
        match PartySession::resume(transport, &case.plan, model, party_options(party)).await {
            Ok(mut session) => session.agree(&[("recording", fields[party])]).await.unwrap_err(),
            Err(error) => error,
        }
    })
}

/// The field that a handshake found to differ, with both values.
fn difference(error: &InferenceError) -> (&str, &str, &str) {
    let InferenceError::Step { step, source: ProtocolError::Transport(error) } = error else { panic!("{error}") };
    assert_eq!(step, "handshake");
    let TransportError::HandshakeMismatch { field, ours, theirs, .. } = error else { panic!("{error}") };
    (field, ours, theirs)
}

#[test]
fn what_resumed_sessions_differ_in_is_named_with_both_values() {
    let errors = resumed(|party| options(0).with("preprocessing", ["a", "b"][party]), ["0", "0"]);
    assert_eq!(difference(&errors[0]), ("preprocessing", "a", "b"));
    assert_eq!(difference(&errors[1]), ("preprocessing", "b", "a"));
    let one_has_more = |party: usize| if party == 0 { options(0).with("preprocessing", "a") } else { options(0) };
    let errors = resumed(one_has_more, ["0", "0"]);
    assert_eq!(difference(&errors[0]), ("preprocessing", "a", "(absent)"));
    let errors = resumed(|_| options(0), ["17", "18"]);
    assert_eq!(difference(&errors[0]), ("recording", "17", "18"));
    let errors = resumed(|party| SessionOptions { session: [party as u8; 16], ..options(0) }, ["0", "0"]);
    assert_eq!(difference(&errors[0]).0, "session");
}

#[test]
fn fields_that_parties_and_dealer_differ_in_are_named_when_a_session_is_opened() {
    let case = Case::<u64>::new(&random_graph(&[0]), Settings::new(2));
    let errors = Mutex::new(Vec::new());
    run_parties(&case.plan, 0, async |transport, link| {
        let party = transport.party();
        let options = options(0).with("dealer", "of another session");
        let opened = PartySession::open(transport, link, &case.plan, case.own_weights(party), options).await;
        errors.lock().unwrap().push(opened.err().unwrap());
    });
    for error in errors.into_inner().unwrap() {
        let InferenceError::Link { source, .. } = &error else { panic!("{error}") };
        assert!(
            matches!(**source, TransportError::HandshakeMismatch { ref field, .. } if field == "dealer"),
            "{error}"
        );
    }
}

#[test]
fn a_model_of_another_plan_or_party_is_not_resumed() {
    let case = Case::<u64>::new(&random_graph(&[0]), Settings::new(2));
    let other = Plan::<u64>::new(&random_graph(&[0]), Settings::new(3)).unwrap();
    let recorded = case.record(0);
    let error = Model::from_bytes(&other, 0, &recorded[0].model).unwrap_err();
    assert!(matches!(error, EncodingError::OtherPlan { .. }), "{error}");
    let error = Model::from_bytes(&case.plan, 1, &recorded[0].model).unwrap_err();
    assert_eq!(error, EncodingError::OtherParty { what: "the loaded model", expected: 1, found: 0 });
    // Nor one that is in memory.
    let errors = run_without_dealer(&case.plan, async |transport| {
        let other = 1 - transport.party();
        let model = Model::from_bytes(&case.plan, other, &recorded[other].model).unwrap();
        PartySession::resume(transport, &case.plan, model, options(0)).await.map(drop).unwrap_err()
    });
    assert!(errors.iter().all(|error| matches!(error, InferenceError::Encoding(EncodingError::OtherParty { .. }))));
    let model = Model::from_bytes(&case.plan, 0, &recorded[0].model).unwrap();
    assert_eq!(format!("{model:?}"), "Model { party: 0, .. }");
    assert_eq!(*model.to_bytes(), recorded[0].model[..]);
}

#[test]
fn the_reader_of_a_recording_leaves_nothing_behind() {
    let plan = Plan::<u64>::new(&random_graph(&[0]), Settings::new(2)).unwrap();
    let mut recording = Recording::empty(&plan, 0);
    recording.write(&[7; 40]).unwrap();
    let mut bytes = [0; 30];
    recording.read(&mut bytes).unwrap();
    assert_eq!((bytes, recording.remaining()), ([7; 30], 10));
    assert_eq!(recording.as_bytes(), [7; 10]);
    assert_eq!(recording.read(&mut bytes), Err(RecordingError::Ended));
    assert_eq!(format!("{recording:?}"), "Recording { bytes: SecretVec { len: 103, .. }, written: 40, read: 30 }");
}
