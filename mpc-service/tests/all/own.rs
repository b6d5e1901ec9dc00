//! Two parties that make their own correlations between services, with real connections: live, prepared and refused.

use mpc_nn::{Correlations as Makers, Transfers};
use mpc_service::names::Refusal;
use mpc_service::wire::message::{self, Opening};
use mpc_service::{
    Client, Contacts, Correlations, Holdings, Kind, Limits, PreparedStore, PrivateModel, Server, ServiceError, Terms,
    Topology,
};
use smol::block_on;

use crate::service::check_reports;
use crate::support::{Organisation, Running, Site, assert_close, network, sample};

/// Terms without a dealer, with transfers of which a few are cheap, for two inferences a session.
pub fn own(setting: Topology) -> Terms {
    let correlations = Makers::Own { transfers: Transfers::SoftSpoken, inferences: 2 };
    Terms { setting, owner_computes: setting == Topology::Direct, correlations, ..Terms::default() }
}

/// Servers of a model that its owner has left with them where it computes nothing, and a client.
fn start(site: &Site) -> (Vec<Running>, Client) {
    let servers = site.start_servers(None, Limits::default());
    if site.model.public.terms.setting == Topology::Outsourced {
        block_on(site.depositor(&servers).deposit(&site.model)).unwrap();
    }
    let client = site.client(&servers, None);
    (servers, client)
}

/// Two sessions of two inferences, whose meters are the plan's.
fn query_live(terms: Terms) {
    let site = Site::new(terms);
    let (_servers, client) = start(&site);
    let samples = [sample(1), sample(2)];
    let inputs: Vec<_> = samples.iter().map(|(x, _)| vec![x.clone()]).collect();
    let model = &site.model.public;
    for _ in 0..2 {
        let results = block_on(client.query(model, &inputs, Correlations::Live, &mut ())).unwrap();
        for (outputs, (_, plain)) in results.outputs.iter().zip(&samples) {
            assert_close(&outputs.as_ref().unwrap()[0], plain);
        }
        check_reports(model, &results.reports);
        if terms.setting == Topology::Direct {
            let plan = model.plan::<u64>().unwrap();
            let measured: Vec<_> = results.reports.iter().map(|report| report.preprocessing).collect();
            assert_eq!(measured, plan.preprocessings(1).take(2).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_model_owner_and_a_data_owner_need_no_dealer() {
    query_live(own(Topology::Direct));
    let silent = Makers::Own { transfers: Transfers::Silent, inferences: 1 };
    query_live(Terms { correlations: silent, ..own(Topology::Direct) });
}

#[test]
fn two_servers_that_hold_shares_need_no_dealer() {
    query_live(own(Topology::Outsourced));
}

/// Prepared, and used after a restart, each once.
fn query_prepared(site: &Site, store: &dyn PreparedStore) {
    let model = &site.model.public;
    let (servers, client) = start(site);
    let batch = block_on(client.prepare(model, 3, store, &mut ())).unwrap();
    drop(servers);
    let servers = site.start_servers(None, Limits::default());
    let client = site.client(&servers, None);
    let (x, y) = sample(4);
    let mut used = Vec::new();
    for count in [2, 1] {
        let inputs = vec![vec![x.clone()]; count];
        let results = block_on(client.query(model, &inputs, Correlations::Store(store), &mut ())).unwrap();
        results.outputs.iter().for_each(|outputs| assert_close(&outputs.as_ref().unwrap()[0], &y));
        check_reports(model, &results.reports);
        let (from, places) = results.used.unwrap();
        assert_eq!(from, batch);
        used.extend(places);
    }
    assert_eq!(used, [0, 1, 2]);
    let error = block_on(client.query(model, &[vec![x]], Correlations::Store(store), &mut ())).unwrap_err();
    assert!(matches!(error, ServiceError::NothingPrepared { .. }), "{error}");
    assert_eq!(store.batches().unwrap(), []);
}

#[test]
fn inferences_prepared_without_a_dealer_are_used_once() {
    for setting in [Topology::Direct, Topology::Outsourced] {
        let site = Site::new(own(setting));
        query_prepared(&site, &site.store());
    }
}

#[cfg(feature = "postgres")]
#[test]
fn inferences_prepared_without_a_dealer_are_kept_in_databases() {
    use mpc_service::at_rest::encrypted_file::FileKey;
    use mpc_service::{StorePlace, Stores};

    let Some(server) = crate::postgres_server::PostgresServer::shared() else { return };
    let open = || Stores::open(&StorePlace::Database(server.database())).unwrap();
    let site = Site { stores: Some(open()), ..Site::new(own(Topology::Direct)) };
    let key = FileKey::new(site.client.identity.derive_key("store"));
    query_prepared(&site, &*open().own(key).unwrap());
}

/// The error of a query on some terms of a server that has the model on others.
fn query_other(site: &Site, terms: Terms) -> ServiceError {
    let dealer = site.start_dealer();
    let of_server = site.model.public.terms;
    let servers = site.start_servers(Some(&dealer).filter(|_| of_server.has_dealer()), Limits::default());
    let client = site.client(&servers, Some(&dealer).filter(|_| terms.has_dealer()));
    let other = PrivateModel::new(network(), terms).unwrap().public;
    block_on(client.query(&other, &[vec![sample(0).0]], Correlations::Live, &mut ())).unwrap_err()
}

#[test]
fn whoever_expects_a_dealer_is_told_that_there_is_none_and_the_reverse() {
    let own = own(Topology::Direct);
    let dealt = Terms { correlations: Makers::Dealt, ..own };
    let other = Terms { correlations: Makers::Own { transfers: Transfers::Silent, inferences: 2 }, ..own };
    let (is_dealt, soft) = ("\"dealt\"", "\"made by the parties, SoftSpoken transfers, for 2 inference(s)\"");
    let silent = "\"made by the parties, silent transfers, for 2 inference(s)\"";
    for (here, there, expected) in [
        (dealt, own, [is_dealt, soft]),
        (own, dealt, [soft, is_dealt]),
        (other, own, [silent, soft]),
        (Terms::default(), own, [is_dealt, soft]),
    ] {
        let error = query_other(&Site::new(there), here);
        assert_eq!(error.kind(), Kind::Differs, "{error}");
        let expected = format!("\"correlations\": here it is {}, there {}", expected[0], expected[1]);
        assert!(error.to_string().contains(&expected), "{error}");
    }
}

#[test]
fn a_dealer_that_there_is_none_of_is_refused_before_anything_is_sent() {
    let site = Site::new(own(Topology::Direct));
    let nobody = Organisation::new("dealer").peer("127.0.0.1:1".parse().unwrap());
    let mut client = site.client(&[], None);
    client.servers = vec![site.servers[0].peer("127.0.0.1:1".parse().unwrap())];
    client.dealer = Some(nobody.clone());
    let error = block_on(client.query(&site.model.public, &[vec![sample(0).0]], Correlations::Live, &mut ()));
    assert!(matches!(error, Err(ServiceError::NeedlessDealer)), "{error:?}");
    let contacts = Contacts { dealer: Some(nobody), ..Contacts::default() };
    let holdings = Holdings::Own(Box::new(PrivateModel::new(network(), own(Topology::Direct)).unwrap()));
    let server = Server::new(site.servers[0].endpoint(), 0, holdings, contacts, None, Limits::default());
    assert!(matches!(server, Err(ServiceError::Arguments(_))), "{server:?}");
}

/// The answer of a server to one who opens a link for correlations.
fn open_pair(site: &Site, caller: &Organisation, server: &Running, party: u32) -> Result<(), ServiceError> {
    let mut link = site.call(caller, &site.servers[0].peer(server.address));
    block_on(message::open(&mut link, &Opening::Pair { session: [7; 16], party }, "the server"))
}

#[test]
fn nobody_else_joins_to_make_correlations() {
    let is_refused = |answer: Result<(), ServiceError>| {
        assert!(matches!(answer, Err(ServiceError::Refused { refusal: Refusal::Forbidden, .. })), "{answer:?}");
    };
    let site = Site::new(own(Topology::Direct));
    let (servers, client) = start(&site);
    // Somebody who may leave models; the data owner as another party; whoever waits for a session that there is not.
    is_refused(open_pair(&site, &site.owner, &servers[0], 1));
    is_refused(open_pair(&site, &site.client, &servers[0], 0));
    is_refused(open_pair(&site, &site.client, &servers[0], 2));
    open_pair(&site, &site.client, &servers[0], 1).unwrap();
    // All of that ends no session.
    let (x, y) = sample(2);
    let results = block_on(client.query(&site.model.public, &[vec![x]], Correlations::Live, &mut ())).unwrap();
    assert_close(&results.outputs[0].as_ref().unwrap()[0], &y);
    // Where a dealer makes them, nobody does.
    let site = Site::new(Terms::default());
    let (servers, _) = start(&site);
    is_refused(open_pair(&site, &site.client, &servers[0], 1));
}
