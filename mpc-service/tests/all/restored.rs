//! Stores that were restored from a copy, and results of sessions that fail later.

use std::fs;
use std::path::Path;

use mpc_service::at_rest::encrypted_file::FileKey;
use mpc_service::at_rest::private_file::DiskError;
use mpc_service::names::Refusal;
use mpc_service::{
    Contacts, Correlations, Event, Kind, Limits, Owner, PreparedStore, Recipient, Results, RevealTo, ServiceError,
    SessionId, Stores, Terms, Topology, Watch,
};
use ndarray::ArrayD;
use smol::block_on;

use crate::support::{Running, Site, assert_close, free, sample, start_server};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => assert!(fs::copy(entry.path(), to).is_ok()),
        }
    }
}

/// A site with prepared inferences.
struct Prepared {
    site: Site,
    _dealer: Running,
    servers: Vec<Running>,
}

impl Prepared {
    fn new(setting: Topology) -> Self {
        let site = Site::new(Terms { setting, ..Terms::default() });
        let dealer = site.start_dealer();
        let servers = site.start_servers(Some(&dealer), Limits::default());
        if setting == Topology::Outsourced {
            block_on(site.depositor(&servers).deposit(&site.model)).unwrap();
        }
        let client = site.client(&servers, Some(&dealer));
        block_on(client.prepare(&site.model.public, 8, &site.store(), &mut ())).unwrap();
        Self { site, _dealer: dealer, servers }
    }

    fn query(&self) -> Result<Results, ServiceError> {
        let Self { site, servers, .. } = self;
        let (x, y) = sample(4);
        let (client, store) = (site.client(servers, None), site.store());
        let results = block_on(client.query(&site.model.public, &[vec![x]], Correlations::Store(&store), &mut ()))?;
        assert_close(&results.outputs[0].as_ref().unwrap()[0], &y);
        Ok(results)
    }

    /// The place that a query uses.
    fn place(&self) -> u32 {
        self.query().unwrap().used.unwrap().1[0]
    }

    /// Uses some, and puts back a folder as it was before.
    fn restore(&self, folder: &str) {
        let [folder, copied] = [folder, "copy"].map(|name| self.site.folder.path().join(name));
        copy(&folder, &copied);
        assert_eq!([self.place(), self.place()], [1, 2]);
        fs::remove_dir_all(&folder).unwrap();
        fs::rename(&copied, &folder).unwrap();
    }
}

#[test]
fn a_data_owner_whose_store_was_restored_is_told_before_anything_is_sent() {
    for setting in [Topology::Direct, Topology::Outsourced] {
        let prepared = Prepared::new(setting);
        assert_eq!(prepared.place(), 0);
        prepared.restore("client");
        let error = prepared.query().unwrap_err();
        let ServiceError::Restored { batch, until: 2, ref peer } = error else { panic!("{error}") };
        assert!(peer.starts_with("server0 ("), "{peer}");
        assert_eq!(error.kind(), Kind::Refused);
        // It stays so, and nothing is spent meanwhile.
        assert!(matches!(prepared.query(), Err(ServiceError::Restored { until: 2, .. })));
        assert_eq!(prepared.site.store().burn(batch, 2).unwrap(), 2);
        assert_eq!(prepared.place(), 3);
    }
}

#[test]
fn a_server_whose_store_was_restored_refuses_until_it_is_mended() {
    for setting in [Topology::Direct, Topology::Outsourced] {
        let prepared = Prepared::new(setting);
        assert_eq!(prepared.place(), 0);
        prepared.restore("stores0");
        for _ in 0..2 {
            let error = prepared.query().unwrap_err();
            let ServiceError::Refused { refusal: Refusal::Restored, reason, .. } = &error else { panic!("{error}") };
            assert!(reason.contains("restored from a copy") && reason.contains("up to 2"), "{reason}");
        }
        let site = &prepared.site;
        let key = FileKey::new(site.servers[0].identity.derive_key("store"));
        let stores = Stores::Folder(site.folder.path().join("stores0"));
        let store = stores.of_data_owner(key, Owner::from(&site.client.certificate())).unwrap();
        let batch = store.batches().unwrap()[0];
        assert_eq!(store.burn(batch, 2).unwrap(), 2);
        assert_eq!(prepared.place(), 3);
    }
}

/// Keeps what it is given, and fails at an inference.
#[derive(Debug)]
struct FailsAt(u32);

impl Recipient for FailsAt {
    fn take(&self, _: SessionId, inference: u32, _: &[ArrayD<f64>]) -> Result<(), DiskError> {
        if inference == self.0 { Err(DiskError::Randomness) } else { Ok(()) }
    }
}

/// Keeps the results of a session as they come.
#[derive(Default)]
struct Kept(Vec<(u32, ArrayD<f64>)>);

impl Watch for Kept {
    fn see(&mut self, _: Event) {}

    fn take(&mut self, inference: u32, outputs: &[ArrayD<f64>]) {
        self.0.push((inference, outputs[0].clone()));
    }
}

#[test]
fn what_a_session_has_given_before_it_fails_is_kept() {
    let site = Site::new(Terms { reveal_to: RevealTo::Both, ..Terms::default() });
    let dealer = site.start_dealer();
    let contacts = Contacts {
        data_owners: vec![site.client.certificate()],
        dealer: Some(site.dealer.peer(dealer.address)),
        ..Contacts::default()
    };
    let server = site.server(0, contacts, Limits::default()).with_recipient(Box::new(FailsAt(2)));
    let servers = [start_server(server, free(1)[0])];
    let samples: Vec<_> = (0..6).map(sample).collect();
    let inputs: Vec<_> = samples.iter().map(|(x, _)| vec![x.clone()]).collect();
    let (client, mut kept) = (site.client(&servers, Some(&dealer)), Kept::default());
    let error = block_on(client.query(&site.model.public, &inputs, Correlations::Live, &mut kept)).unwrap_err();
    assert_eq!(error.kind(), Kind::PeerLost, "{error}");
    // The server has ended in the third.
    assert!(matches!(kept.0.len(), 2 | 3), "{}", kept.0.len());
    for ((inference, output), at) in kept.0.iter().zip(0..) {
        assert_eq!(*inference, at);
        assert_close(output, &samples[at as usize].1);
    }
}

#[test]
fn a_host_that_does_not_exist_is_named_at_once() {
    let site = Site::new(Terms::default());
    let mut client = site.client(&[], None);
    // No name has a space, whoever is asked.
    let addresses = "no such host:7700".parse().unwrap();
    let peer = mpc_service::Peer { addresses, ..site.servers[0].peer(free(1)[0]) };
    client.servers = vec![peer];
    client.dealer = Some(site.dealer.peer(free(1)[0]));
    let query = block_on(client.query(&site.model.public, &[vec![sample(0).0]], Correlations::Live, &mut ()));
    let error = query.unwrap_err();
    assert!(error.to_string().contains("no such host:7700 is the address of no host"), "{error}");
    assert_eq!(error.kind(), Kind::PeerLost);
}
