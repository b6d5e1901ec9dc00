//! Two machines of every participant, and a database of each party: killed, restarted, and restored from a dump.
//!
//! `cargo xtask soak --store postgres --queries 2000` makes the long run; here there are few queries.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use mpc_cli::reserved::Reserved;
use mpc_service::{Terms, Topology};

use super::{Soak, ends_well, queries};
use crate::postgres_server::PostgresServer;
use crate::support::claims::Claims;
use crate::support::{Process, Query, Site};

const QUERIES: usize = 24;
/// The parties' stores.
const STORES: [&str; 3] = ["north.store", "south.store", "clinic.store"];

/// Has a database note each inference that is gone, and keep that when the batch is removed.
const AUDIT: &str = "
    create table audit (batch bytea, idx integer, state text);
    create function note_used() returns trigger language plpgsql as $body$
        begin insert into audit values (new.batch, new.idx, new.state); return new; end $body$;
    create trigger note_used after insert on mpc_used for each row execute function note_used()";

/// The databases of a site's parties.
pub(super) enum Databases {
    /// Of a server that others use, too.
    Shared(&'static PostgresServer, Vec<String>),
    /// Of a server that may be stopped.
    Own(PostgresServer, Vec<String>),
}

impl Databases {
    fn server(&self) -> &PostgresServer {
        match self {
            Self::Shared(server, _) => server,
            Self::Own(server, _) => server,
        }
    }

    fn address(&self, store: &str) -> &str {
        let (Self::Shared(_, addresses) | Self::Own(_, addresses)) = self;
        &addresses[STORES.iter().position(|name| *name == store).unwrap()]
    }

    fn name(&self, store: &str) -> &str {
        self.address(store).rsplit_once('/').unwrap().1
    }

    fn client(&self, store: &str) -> postgres::Client {
        postgres::Client::connect(self.address(store), postgres::NoTls).unwrap()
    }

    /// Stops the server and starts it again.
    pub(super) fn interrupt(&self) {
        ["stop", "start"].iter().for_each(|word| self.server().order(word));
    }

    /// Ends the leases of those who were killed, as a quarter of an hour does.
    pub(super) fn end_leases(&self) {
        for store in STORES {
            for table in ["mpc_prepared", "mpc_dropped"] {
                let ended = format!("update {table} set holder = null, held_until = null");
                self.client(store).execute(&ended, &[]).unwrap();
            }
            let aged = "update mpc_used set at = at - interval '1 hour'";
            self.client(store).execute(aged, &[]).unwrap();
        }
    }

    /// The ready inferences of each party.
    pub(super) fn ready(&self) -> Vec<usize> {
        let ready = "select count(*) from mpc_prepared p join mpc_batch b on b.scope = p.scope and b.id = p.batch
            where description is not null";
        let count = |store: &str| self.client(store).query_one(ready, &[]).unwrap().get::<_, i64>(0) as usize;
        STORES.iter().map(|store| count(store)).collect()
    }

    /// The inferences that a party has used, as logs name them; none of them twice, nor used and burnt.
    fn used(&self, store: &str) -> BTreeSet<String> {
        let mut client = self.client(store);
        let twice = "select encode(batch, 'hex'), idx from audit group by batch, idx having count(*) > 1";
        let twice: Vec<(String, i32)> =
            client.query(twice, &[]).unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
        assert!(twice.is_empty(), "used more than once in {store}: {twice:?}");
        let used = "select encode(batch, 'hex') || ' place=' || idx from audit where state = 'used'";
        client.query(used, &[]).unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// Compares what the parties have used: each of those that ended well at all, and none at a server that the data owner,
    /// who claims first, has not used.
    pub(super) fn check_used(&self, succeeded: &Claims, logged: &[Claims]) {
        let used: Vec<_> = STORES.iter().map(|store| self.used(store)).collect();
        let clinic = &used[2];
        for (store, used) in STORES.iter().zip(&used) {
            assert!(used.is_subset(clinic), "{store}: {:?}", used.difference(clinic).collect::<Vec<_>>());
            let missing: Vec<_> = succeeded.places().filter(|place| !used.contains(*place)).collect();
            assert!(missing.is_empty(), "not used in {store}: {missing:?}");
        }
        for (claims, store) in logged.iter().zip(["clinic.store", "north.store", "south.store"]) {
            let used = &used[STORES.iter().position(|name| *name == store).unwrap()];
            assert!(claims.places().all(|place| used.contains(place)), "{store} has not noted what was claimed");
        }
        let counts: Vec<_> = used.iter().map(BTreeSet::len).collect();
        println!("used at north, south and the clinic: {counts:?}, of which {} ended well", succeeded.len());
    }

    /// Writes a dump of a party's database.
    fn dump(&self, store: &str, site: &Site) {
        let mut command = Command::new(PostgresServer::program("pg_dump"));
        command.arg("--dbname").arg(self.address(store)).arg("--file").arg(site.path("dump.sql"));
        assert!(command.status().unwrap().success());
    }

    /// Puts a party's database back to what was dumped.
    fn restore(&self, store: &str, site: &Site) {
        let name = self.name(store);
        self.server().run(&format!("drop database {name} with (force)"));
        self.server().run(&format!("create database {name}"));
        let mut command = Command::new(PostgresServer::program("psql"));
        command.args(["--quiet", "--set", "ON_ERROR_STOP=1", "--output", "/dev/null"]);
        command.arg("--dbname").arg(self.address(store)).arg("--file").arg(site.path("dump.sql"));
        assert!(command.status().unwrap().success());
    }
}

impl Soak {
    /// Two machines of each of two servers that hold shares, and of the dealer; nothing where no PostgreSQL is installed.
    fn replicas(queries: usize, is_own: bool) -> Option<Self> {
        let make = |server: &PostgresServer| STORES.map(|_| server.database()).to_vec();
        let databases = if is_own {
            let server = PostgresServer::start()?;
            let addresses = make(&server);
            Databases::Own(server, addresses)
        } else {
            let server = PostgresServer::shared()?;
            Databases::Shared(server, make(server))
        };
        let mut site = Site::on_terms(Terms { setting: Topology::Outsourced, ..Terms::default() });
        let [north, south, dealers] = [(); 3].map(|()| [(); 2].map(|()| Reserved::new().unwrap())).map(|pair| {
            site.ports.extend(pair);
            let [.., first, second] = &site.ports[..] else { unreachable!("there are two") };
            [first.address(), second.address()]
        });
        site.twins = [north, south, dealers].map(|[first, second]| (first, second)).into();
        site.databases = STORES.iter().map(|&name| (name, databases.address(name).to_owned())).collect();
        let servers = [north[0], south[0]];
        let start = |party: usize, at| site.start_share_machine(party, at, servers, dealers[0]);
        let mut services = vec![start(0, north[0]), start(0, north[1]), start(1, south[0]), start(1, south[1])];
        services.extend(dealers.map(|at| site.start_dealer(Some(at))));
        site.deposit(servers);
        // Makes the clinic's tables.
        let mut command = site.command("clinic", "store");
        command.arg(site.store("clinic.store")).stdout(Stdio::null());
        let (code, log) = Process::start("clinic", command).end();
        assert_eq!(code, Some(0), "{log}");
        STORES.iter().for_each(|store| databases.client(store).batch_execute(AUDIT).unwrap());
        let soak = Self::new(site, services, queries);
        Some(Self { machines: 2, databases: Some(databases), most: 9, batch: 60, ..soak })
    }

    fn databases(&self) -> &Databases {
        self.databases.as_ref().unwrap()
    }
}

#[test]
fn machines_that_are_killed_lose_what_they_took_part_in_and_nothing_is_used_twice() {
    if let Some(soak) = Soak::replicas(queries(QUERIES), true) {
        soak.check("replicas");
    }
}

#[test]
fn restarted_in_turn_machines_lose_nothing_that_is_asked_for_twice() {
    let Some(soak) = Soak::replicas(0, false) else { return };
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients = [false, true].map(|is_prepared| {
            let (soak, is_over) = (&soak, &is_over);
            scope.spawn(move || {
                let query = Query { is_prepared, ..soak.query() };
                for asked in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    if is_prepared && asked % soak.batch == 0 {
                        soak.prepare(&query);
                    }
                    let (code, first) = query.start().end();
                    if code != Some(0) {
                        let (code, second) = query.start().end();
                        assert_eq!(code, Some(0), "first {first}\nthen {second}");
                    }
                }
            })
        });
        for index in 0..6 {
            soak.during_outage(false, || soak.replace(index, |service| drop(ends_well(service))));
        }
        is_over.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
}

#[test]
fn a_dump_that_is_restored_at_one_side_is_refused_by_name() {
    let Some(soak) = Soak::replicas(0, false) else { return };
    let (site, databases) = (&soak.site, soak.databases());
    let query = Query { is_prepared: true, ..soak.query() };
    let (code, log) = query.prepare(12).end();
    assert_eq!(code, Some(0), "{log}");
    query.succeeds();
    for (store, name, owner) in [("north.store", "north", Some("clinic")), ("clinic.store", "clinic", None)] {
        databases.dump(store, site);
        (0..2).for_each(|_| query.succeeds());
        databases.restore(store, site);
        let (code, log) = query.start().end();
        assert_eq!(code, Some(6), "{log}");
        assert!(log.contains("restored from a copy"), "{log}");
        let (batch, until) = named_batch(&log);
        let mut command = site.command(name, "store");
        command.arg(site.store(store)).args(["--burn", &batch, "--until", &until]).stdout(Stdio::null());
        if let Some(owner) = owner {
            command.arg("--data-owner").arg(site.path(&format!("{owner}.crt")));
        }
        let (code, log) = Process::start(name, command).end();
        assert_eq!(code, Some(0), "{log}");
        query.succeeds();
    }
}

/// The batch, and how far it is to be burnt, that an error of a restored store names.
fn named_batch(log: &str) -> (String, String) {
    let error = log.lines().find(|line| line.starts_with("error:")).unwrap();
    let (before, after) = error.split_once("of batch ").unwrap();
    let batch: String = after.chars().take_while(char::is_ascii_hexdigit).collect();
    let until = before.trim_end().rsplit_once(' ').unwrap().1;
    (batch, until.to_owned())
}
