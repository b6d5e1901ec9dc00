//! The audit of a dealer: what is left of a batch is used as any other, and a dealer that deals wrongly is named.

use mpc_service::names::Refusal;
use mpc_service::{Correlations, Depositor, Kind, Limits, PreparedStore, ServiceError, Terms, Topology};
use smol::block_on;

use crate::malformed::Spoilt;
use crate::relay::{Direction, Fault, Place};
use crate::support::{DEADLINE, Site, assert_close, sample};

const COUNT: u32 = 7;
const AUDITED: u32 = 4;

fn terms() -> [Terms; 4] {
    let direct = |parties| Terms { parties, ..Terms::default() };
    let outsourced = Terms { setting: Topology::Outsourced, ..direct(2) };
    [direct(2), direct(3), outsourced, Terms { owner_computes: true, ..direct(2) }]
}

#[test]
fn what_is_not_audited_is_ready_and_right() {
    for terms in terms() {
        let site = Site::new(terms);
        let dealer = site.start_dealer();
        let servers = site.start_servers(Some(&dealer), Limits::default());
        if terms.setting == Topology::Outsourced {
            block_on(site.depositor(&servers).deposit(&site.model)).unwrap();
        }
        let (client, store, model) = (site.client(&servers, Some(&dealer)), site.store(), &site.model.public);
        let batch = block_on(client.prepare_audited(model, (COUNT, AUDITED), &store, &mut ())).unwrap();
        let (ready, usage) = (store.ready(batch).unwrap(), store.usage(batch).unwrap());
        assert_eq!((ready.len() as u32, usage.used, usage.burnt), (COUNT - AUDITED, 0, AUDITED));
        let mut used = Vec::new();
        for seed in 0..COUNT - AUDITED {
            let (x, y) = sample(seed as usize);
            let results = block_on(client.query(model, &[vec![x]], Correlations::Store(&store), &mut ())).unwrap();
            assert_close(&results.outputs[0].as_ref().unwrap()[0], &y);
            used.extend(results.used.unwrap().1);
        }
        assert_eq!(used, ready);
        let (x, _) = sample(9);
        let error = block_on(client.query(model, &[vec![x]], Correlations::Store(&store), &mut ())).unwrap_err();
        assert!(matches!(error, ServiceError::NothingPrepared { .. }), "{error}");
    }
}

#[test]
fn an_audit_leaves_something() {
    let site = Site::new(Terms::default());
    let dealer = site.start_dealer();
    let servers = site.start_servers(Some(&dealer), Limits::default());
    let (client, store) = (site.client(&servers, Some(&dealer)), site.store());
    for counts in [(3, 3), (3, 9)] {
        let error = block_on(client.prepare_audited(&site.model.public, counts, &store, &mut ())).unwrap_err();
        assert!(matches!(error, ServiceError::Arguments(_)), "{error}");
    }
    assert_eq!(store.batches().unwrap(), []);
}

/// The frames that the dealer sends the last party, with their lengths.
fn dealt(spoilt: &Spoilt) -> Vec<(Place, usize)> {
    let seen = spoilt.relays.last().unwrap().seen();
    let back = seen.into_iter().filter(|(place, _)| place.direction == Direction::Back);
    let last = spoilt.site.model.public.terms.parties() - 1;
    // Servers are first among the callers, then the dealer itself, then the client.
    let caller = if last < spoilt.site.servers.len() { last } else { spoilt.site.servers.len() + 1 };
    back.filter(|(place, _)| place.caller == caller).collect()
}

#[test]
fn a_dealer_that_deals_wrongly_is_named_and_nothing_of_the_batch_is_kept() {
    for terms in terms() {
        let spoilt = Spoilt::new(terms, DEADLINE);
        let model = &spoilt.site.model;
        if terms.setting == Topology::Outsourced {
            let depositor = Depositor { endpoint: spoilt.site.owner.endpoint(), servers: spoilt.peers() };
            block_on(depositor.deposit(model)).unwrap();
        }
        let prepare = |counts: (u32, u32)| {
            let store = spoilt.store();
            let prepared = block_on(spoilt.client().prepare_audited(&model.public, counts, &store, &mut ()));
            (prepared, store.batches().unwrap().len())
        };
        let relay = spoilt.relays.last().unwrap();
        relay.spoil(None);
        prepare((COUNT, COUNT - 1)).0.unwrap();
        // Between the commitments and the seeds that are told, all but the seeds of sessions.
        let frames = dealt(&spoilt);
        let commitments = frames.iter().position(|(_, len)| *len == 32 * COUNT as usize).unwrap();
        let corrections = frames[commitments + 1..frames.len() - 1].iter().filter(|(_, len)| *len != 64);
        let corrections: Vec<_> = corrections.map(|(place, _)| *place).collect();
        let step = corrections.len() / COUNT as usize + 1;
        // One of seven is not audited, and may be wrong without a word.
        let caught = corrections.iter().step_by(step).find_map(|&place| {
            relay.spoil(Some((place, Fault::Flip)));
            let (prepared, left) = prepare((COUNT, COUNT - 1));
            prepared.err().map(|error| (error, left))
        });
        let (error, left) = caught.expect("one of seven was spoilt each time, and six audited");
        assert_eq!((error.kind(), left), (Kind::Differs, 0), "{error}");
        let is_named = match &error {
            ServiceError::WronglyDealt { dealer, .. } => dealer.contains("dealer"),
            ServiceError::Refused { refusal: Refusal::Differs, reason, .. } => {
                terms.setting == Topology::Outsourced && reason.contains("has dealt wrongly")
            }
            _ => false,
        };
        assert!(is_named, "{error}");
    }
}
