//! The peculiarities of a database: everything that can be wrong with it, and its loss under load.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use pkcs8::{Document, LineEnding};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::server::PostgresServer;
use super::*;
use crate::at_rest::prepared::tests::{description, prepare};

fn key() -> FileKey {
    FileKey::new(Zeroizing::new([3; 32]))
}

fn pem(label: &'static str, der: &[u8]) -> String {
    Document::try_from(der).unwrap().to_pem(label, LineEnding::LF).unwrap()
}

fn claim_any(store: &DatabaseStore, id: BatchId) -> Result<Option<u32>, StoreError> {
    let Some(hold) = store.hold_any(id)? else { return Ok(None) };
    let index = hold.index();
    hold.claim().map(|_| Some(index))
}

#[test]
fn each_thing_that_is_wrong_with_a_database_has_its_name() {
    let Some(server) = PostgresServer::shared() else { return };
    let address = server.database();
    let name = address.rsplit_once('/').unwrap().1;
    server.run(
        "drop role if exists absent; create role absent nologin; drop role if exists guest; create role guest login",
    );
    let as_user = |user: &str| address.replace("test@", &format!("{user}:s3cret@"));
    let closed = format!("postgres://test:s3cret@127.0.0.1:1/{name}");
    let missing = address.replace(name, "nowhere");
    let errors = [closed, missing, as_user("absent"), as_user("guest")].map(|at| Database::open(&at).unwrap_err());
    assert!(matches!(errors[0], DatabaseError::Unreachable { .. }), "{}", errors[0]);
    assert!(matches!(errors[1], DatabaseError::NoDatabase { .. }), "{}", errors[1]);
    assert!(matches!(errors[2], DatabaseError::Denied { .. }), "{}", errors[2]);
    assert!(matches!(errors[3], DatabaseError::Forbidden { .. }), "{}", errors[3]);
    assert!(errors.iter().all(|error| !format!("{error} {error:?}").contains("s3cret")));
    // Tables of another version, and a database that takes no writes.
    let database = Database::open(&address).unwrap();
    let store = DatabaseStore::open(&database, key(), None).unwrap();
    prepare(&store, 1);
    database.connect().unwrap().execute("update mpc_schema set version = 99", &[]).unwrap();
    let newer = Database::open(&address).unwrap_err();
    assert!(matches!(newer, DatabaseError::Newer { found: 99, known: 1, .. }), "{newer}");
    server.run(&format!("alter database {name} set default_transaction_read_only = on"));
    server.run(&format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"));
    let error = store.begin(BatchId([1; 16])).err().unwrap();
    assert!(matches!(error, StoreError::Database(DatabaseError::ReadOnly { .. })), "{error}");
}

#[test]
fn tables_are_made_once_however_many_begin_at_a_time() {
    let Some(server) = PostgresServer::shared() else { return };
    let address = server.database();
    thread::scope(|scope| {
        (0..4).for_each(|_| drop(scope.spawn(|| Database::open(&address).unwrap())));
    });
    Database::open(&address).unwrap().check().unwrap();
}

#[test]
fn no_secret_lies_in_the_tables() {
    let Some(server) = PostgresServer::shared() else { return };
    let database = Database::open(&server.database()).unwrap();
    let store = DatabaseStore::open(&database, key(), None).unwrap();
    let batch = store.begin(BatchId([7; 16])).unwrap();
    let mut file = batch.inference(0).unwrap();
    file.write(&[0x5a; 3 << 20]).unwrap();
    file.finish().unwrap();
    batch.finish(&description(1), &[0x5a; 4096]).unwrap();
    for table in ["mpc_batch", "mpc_prepared", "mpc_piece"] {
        let text = format!("select count(*) from {table} as t where t::text like '%5a5a5a5a5a%'");
        let rows = database.connect().unwrap().query(&text, &[]).unwrap();
        assert_eq!(column::<i64>(&rows[0], 0).unwrap(), 0, "{table}");
    }
}

#[test]
fn nothing_is_claimed_twice_while_the_database_stops_and_starts() {
    const PLACES: u32 = 60;
    let Some(server) = PostgresServer::start() else { return };
    let address = server.database();
    let database = Database::open(&address).unwrap();
    let store = DatabaseStore::open(&database, key(), None).unwrap();
    let id = prepare(&store, PLACES);
    let (claimed, is_over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let store = loop {
                    match DatabaseStore::open(&database, key(), None) {
                        Ok(store) => break store,
                        Err(error) => assert!(matches!(error, StoreError::Database(_)), "{error}"),
                    }
                };
                while !is_over.load(Ordering::Relaxed) {
                    match claim_any(&store, id) {
                        Ok(Some(index)) => claimed.lock().unwrap().push(index),
                        Ok(None) => return,
                        Err(error) => {
                            assert!(matches!(error, StoreError::Database(_) | StoreError::Used { .. }), "{error}")
                        }
                    }
                }
            });
        }
        for _ in 0..2 {
            server.order("stop");
            server.order("start");
            // Connections are cut, too, wherever their statements are.
            server.run("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'mpc'");
        }
        thread::sleep(Duration::from_millis(300));
        is_over.store(true, Ordering::Relaxed);
    });
    let claimed = claimed.into_inner().unwrap();
    let distinct: BTreeSet<_> = claimed.iter().copied().collect();
    assert_eq!(distinct.len(), claimed.len(), "{claimed:?}");
    // Of those whose answer was lost nothing was read: they may be more, and are never ready again.
    let used = store.usage(id).unwrap().used;
    assert!(used as usize >= claimed.len(), "{used} {claimed:?}");
    assert!(store.ready(id).unwrap().iter().all(|index| !distinct.contains(index)));
}

/// A process that used the last of it was killed before it could remove the batch.
#[test]
fn a_batch_that_was_used_up_is_removed_later_and_its_servers_are_told() {
    let Some(server) = PostgresServer::shared() else { return };
    let database = Database::open(&server.database()).unwrap();
    for owner in [None, Some(Owner([9; 32]))] {
        let open = || DatabaseStore::open(&database, key(), owner).unwrap();
        let store = open();
        let id = prepare(&store, 2);
        assert_eq!([0, 1].map(|_| claim_any(&store, id).unwrap()), [Some(0), Some(1)]);
        // It may be in use.
        assert_eq!(open().batches().unwrap(), [id]);
        let aged = "update mpc_used set at = at - interval '1 hour'";
        database.connect().unwrap().execute(aged, &[]).unwrap();
        let later = open();
        assert_eq!(later.batches().unwrap(), []);
        let noted: Vec<_> = later.notes().unwrap().iter().map(|note| note.batch).collect();
        assert_eq!(noted, if owner.is_none() { vec![id] } else { Vec::new() });
    }
}

#[test]
fn a_database_elsewhere_must_have_a_certificate_of_its_authority() {
    let Some(server) = PostgresServer::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let authority = |name: &str| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, pem("CERTIFICATE", issuer.der())).unwrap();
        (issuer, path.display().to_string())
    };
    let ((issuer, right), (_, wrong)) = (authority("right"), authority("wrong"));
    let own = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&own, &issuer).unwrap();
    // The server writes its files itself: they are its user's, and nobody else reads them.
    for (file, text) in [
        ("server.crt", pem("CERTIFICATE", certificate.der())),
        ("server.key", pem("PRIVATE KEY", &own.serialize_der())),
    ] {
        let write = format!("umask 077; sed \"s/|/\\n/g\" > {file}");
        server
            .run(&format!("copy (select '{}') to program $program${write}$program$", text.replace(['\r', '\n'], "|")));
    }
    server.run("alter system set ssl = on");
    server.run("select pg_reload_conf()");
    let address = server.database();
    let open = |file: &str| Database::open(&format!("{address}?sslrootcert={file}"));
    // It reads its configuration a moment later.
    let began = std::time::Instant::now();
    let opened = loop {
        match open(&right) {
            Err(_) if began.elapsed() < Duration::from_secs(20) => thread::sleep(Duration::from_millis(50)),
            opened => break opened.unwrap(),
        }
    };
    let rows =
        opened.connect().unwrap().query("select ssl, version from pg_stat_ssl where pid = pg_backend_pid()", &[]);
    let rows = rows.unwrap();
    assert_eq!((column(&rows[0], 0).unwrap(), column(&rows[0], 1).unwrap()), (true, "TLSv1.3"));
    let error = open(&wrong).unwrap_err();
    assert!(matches!(error, DatabaseError::Tls { .. }), "{error}");
    let missing = open("nowhere.pem").unwrap_err();
    assert!(matches!(missing, DatabaseError::Certificates { .. }), "{missing}");
}
