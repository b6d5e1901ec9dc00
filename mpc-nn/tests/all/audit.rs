//! The audit of a dealer in a session whose inferences are recorded: of networks with every kind of operation, in every ring.

use mpc_nn::{Graph, InferenceError, PartySession, Plan, Recording, Settings, WeightKnowledge, Weights};
use mpc_protocols::audit;
use mpc_ring::Ring;
use mpc_shares::SecretVec;
use mpc_transport::{Phase, Transport};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::common::{classifier, options, random_graph, random_weights, run_audited};

const COUNT: u32 = 3;
const AUDITED: u32 = 2;

/// The ends of all parties' audits, of recordings that `change` is given with their party and place.
fn audited<R: Ring>(
    plan: &Plan<R>,
    weights: &Weights,
    change: impl Fn(usize, u32, &mut [u8]) + Sync,
) -> Vec<Result<(), InferenceError>> {
    run_audited(plan, COUNT, AUDITED, async |transport, link| {
        let party = transport.party();
        let own = (party == 0).then_some(weights);
        let mut session = PartySession::open(transport, link, plan, own, options(party as u8)).await.unwrap();
        let mut audit = session.begin_audit(COUNT).await.unwrap();
        let mut recordings = Vec::new();
        for _ in 0..COUNT {
            let mut recording = Recording::empty(plan, party);
            session.record(|bytes| recording.write(bytes), &mut ()).await.unwrap();
            recordings.push(recording.as_bytes().to_vec());
        }
        let places = session.draw_audited(&audit, AUDITED).await.unwrap();
        assert_eq!(places.len(), AUDITED as usize);
        let seeds = session.ask_for_seeds(&audit, &places).await?;
        for (&place, seed) in places.iter().zip(seeds) {
            let mut bytes = std::mem::take(&mut recordings[place as usize]);
            change(party, place, &mut bytes);
            session.clear_meters();
            let recording = Recording::from_bytes(SecretVec::from(bytes));
            session.audit(&mut audit, (place, seed), recording).await?;
            let expected = audit::audit_traffic::<R>(&plan.requests(), plan.settings().parties);
            assert_eq!(session.meter().total(Phase::Setup), expected);
        }
        Ok(())
    })
}

fn passes<R: Ring>(graph: &Graph, settings: Settings) {
    let plan = Plan::<R>::new(graph, settings).unwrap();
    let weights = random_weights(graph, &mut ChaCha20Rng::seed_from_u64(5));
    let ended = audited(&plan, &weights, |_, _, _| ());
    assert!(ended.iter().all(Result::is_ok), "{ended:?}");
}

#[test]
fn what_is_dealt_rightly_passes() {
    for parties in 2..=4 {
        passes::<u64>(&classifier(), Settings::new(parties));
        passes::<u128>(&classifier(), Settings::new(parties));
    }
    let knowing = Settings { weights: WeightKnowledge::Owner, ..Settings::new(2) };
    passes::<u64>(&classifier(), knowing);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn random_networks_pass_and_a_wrong_byte_does_not(
        choices in prop::collection::vec(any::<u8>(), 0..8),
        parties in 2..=4usize,
        at in 0usize..1 << 20,
    ) {
        let graph = random_graph(&choices);
        passes::<u64>(&graph, Settings::new(parties));
        let plan = Plan::<u64>::new(&graph, Settings::new(parties)).unwrap();
        let weights = random_weights(&graph, &mut ChaCha20Rng::seed_from_u64(6));
        let header = plan.recording_bytes(parties - 1) as usize;
        let ended = audited(&plan, &weights, |party, _, bytes| {
            // What is behind the header and the seeds of the last party: its corrections; the first seed where there are none.
            let start = bytes.len().min(39);
            let corrections = start + 64;
            if party == parties - 1 && header > corrections {
                let at = corrections + at % (bytes.len() - corrections);
                bytes[at] ^= 0xff;
            } else if party == parties - 1 {
                bytes[start] ^= 0xff;
            }
        });
        let is_wrong = |end: &Result<(), InferenceError>| {
            end.as_ref().is_err_and(|error| error.wrongly_dealt().is_some())
        };
        prop_assert!(ended.iter().all(is_wrong), "{ended:?}");
    }
}
