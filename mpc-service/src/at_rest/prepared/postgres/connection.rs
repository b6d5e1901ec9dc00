//! Connections to a database: its address, TLS, a pool, and the version of its tables.

use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ::postgres::config::{Host, SslMode};
use ::postgres::types::ToSql;
use ::postgres::{Client, Config, Row, Transaction};
use r2d2::{CustomizeConnection, NopErrorHandler, Pool, PooledConnection};
use r2d2_postgres::PostgresConnectionManager;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{DatabaseError, named};
use super::schema;
use crate::at_rest::prepared::error::StoreError;
use crate::at_rest::private_file::random;

/// Connections of one program.
const CONNECTIONS: u32 = 16;
/// How long a connection, or one that is free, is waited for.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// The bytes that are written to try whether there is room: more than what is left of a page of a table, as a rule.
const TRIED_BYTES: usize = 8192;
/// The settings of every connection: a claim is on disk when it is committed, and nobody waits for ever.
const SESSION: &str = "set synchronous_commit = on; set statement_timeout = '30s'; set lock_timeout = '10s';
    set idle_in_transaction_session_timeout = '30s'";

type Manager = PostgresConnectionManager<MakeRustlsConnect>;

/// A database, and the connections that this program has to it.
#[derive(Clone)]
pub struct Database {
    pool: Pool<Manager>,
    place: Arc<str>,
}

impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Database").field("place", &self.place).finish_non_exhaustive()
    }
}

/// A connection of the pool, which goes back to it when it is dropped.
pub(super) struct Connection {
    client: PooledConnection<Manager>,
    place: Arc<str>,
}

impl Connection {
    pub(super) fn execute(&mut self, statement: &str, values: &[&(dyn ToSql + Sync)]) -> Result<u64, DatabaseError> {
        self.client.execute(statement, values).map_err(|error| named(&self.place, &error))
    }

    pub(super) fn query(&mut self, statement: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, DatabaseError> {
        self.client.query(statement, values).map_err(|error| named(&self.place, &error))
    }

    pub(super) fn transaction(&mut self) -> Result<Transaction<'_>, DatabaseError> {
        let Self { client, place } = self;
        client.transaction().map_err(|error| named(place, &error))
    }
}

/// Prepares each new connection.
#[derive(Debug)]
struct Prepare;

impl CustomizeConnection<Client, ::postgres::Error> for Prepare {
    fn on_acquire(&self, client: &mut Client) -> Result<(), ::postgres::Error> {
        client.batch_execute(SESSION)
    }
}

impl Database {
    /// Connects to a database, and makes or changes its tables where they are not of this version.
    ///
    /// TLS is used, and the server's certificate checked against `sslrootcert`, unless the host is this machine or the address
    /// says `sslmode=disable`. A password that the address does not have is taken from `PGPASSWORD`.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn open(address: &str) -> Result<Self, DatabaseError> {
        let (config, roots) = read(address)?;
        let place: Arc<str> = shown(address).into();
        let tls = MakeRustlsConnect::new(client_config(roots)?);
        // The first one is made here, as the pool would not say what is wrong.
        let mut client = config.connect(tls.clone()).map_err(|error| named(&place, &error))?;
        client.batch_execute(SESSION).map_err(|error| named(&place, &error))?;
        migrate(&mut client, &place)?;
        let pool = Pool::builder().max_size(CONNECTIONS).min_idle(Some(0)).connection_timeout(CONNECT_TIME);
        let pool = pool.connection_customizer(Box::new(Prepare)).error_handler(Box::new(NopErrorHandler));
        Ok(Self { pool: pool.build_unchecked(PostgresConnectionManager::new(config, tls)), place })
    }

    pub(super) fn connect(&self) -> Result<Connection, DatabaseError> {
        match self.pool.get() {
            Ok(client) => Ok(Connection { client, place: Arc::clone(&self.place) }),
            Err(_) if self.pool.state().connections == CONNECTIONS => {
                Err(DatabaseError::Busy { place: self.place.to_string() })
            }
            Err(error) => Err(DatabaseError::Unreachable { place: self.place.to_string(), reason: error.to_string() }),
        }
    }

    /// Whether the database answers, and takes writes; what is written to try that is not kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn check(&self) -> Result<(), StoreError> {
        let (batch, data) = (random::<16>()?, random::<TRIED_BYTES>()?);
        let mut connection = self.connect()?;
        let mut transaction = connection.transaction()?;
        let tried = transaction.execute(schema::TRY, &[&&batch[..], &&data[..]]).map(drop);
        Ok(tried.map_err(|error| named(&self.place, &error))?)
    }
}

/// Brings the tables to this version; one process at a time does.
fn migrate(client: &mut Client, place: &str) -> Result<(), DatabaseError> {
    let failed = |error: ::postgres::Error| named(place, &error);
    let known = schema::MIGRATIONS.len() as i32;
    let has_version = client.query_one(schema::HAS_VERSION, &[]).and_then(|row| row.try_get(0)).map_err(failed)?;
    // Who need not change anything needs no right to.
    if has_version && version(client.query(schema::VERSION, &[]).map_err(failed)?, place)? == known {
        return Ok(());
    }
    let mut transaction = client.transaction().map_err(failed)?;
    transaction.execute("select pg_advisory_xact_lock($1)", &[&schema::MIGRATION_LOCK]).map_err(failed)?;
    transaction.batch_execute(schema::VERSION_TABLE).map_err(failed)?;
    let found = version(transaction.query(schema::VERSION, &[]).map_err(failed)?, place)?;
    for migration in schema::MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.batch_execute(migration).map_err(failed)?;
    }
    transaction.batch_execute("delete from mpc_schema").map_err(failed)?;
    transaction.execute("insert into mpc_schema values ($1)", &[&known]).map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// The version that tables say they have, which must not be later than this program's.
fn version(rows: Vec<Row>, place: &str) -> Result<i32, DatabaseError> {
    let found = rows.first().map_or(Ok(0), |row| row.try_get(0)).map_err(|error| named(place, &error))?;
    let known = schema::MIGRATIONS.len() as i32;
    if found > known { Err(DatabaseError::Newer { place: place.to_owned(), found, known }) } else { Ok(found) }
}

/// A database's address as it may be shown: host, port and name.
#[must_use]
pub fn shown(address: &str) -> String {
    let Ok((config, _)) = read(address) else { return "of an address that cannot be used".to_owned() };
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        _ => "?".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    format!("{host}:{port}/{}", config.get_dbname().or(config.get_user()).unwrap_or_default())
}

/// Reads an address; also the file of certificates that the server's must come from.
fn read(address: &str) -> Result<(Config, Option<String>), DatabaseError> {
    let wrong = |reason| DatabaseError::Address { reason };
    let (base, query) = address.split_once('?').unwrap_or((address, ""));
    let (mut options, mut roots, mut mode) = (Vec::new(), None, None);
    for option in query.split('&').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("sslrootcert", file)) => roots = Some(file.to_owned()),
            Some(("sslmode", value)) => mode = Some(value),
            Some(_) => options.push(option),
            None => return Err(wrong("an option has no value")),
        }
    }
    let separator = if options.is_empty() { "" } else { "?" };
    let plain = format!("{base}{separator}{}", options.join("&"));
    // What the library says of a wrong address may quote it.
    let mut config = Config::from_str(&plain).map_err(|_| wrong("a part of it is wrong, or an option is not known"))?;
    if config.get_hosts().is_empty() {
        return Err(wrong("it names no host"));
    }
    // An address takes the place of its host's name.
    let is_local =
        config.get_hosts().iter().all(is_this_machine) && config.get_hostaddrs().iter().all(IpAddr::is_loopback);
    config.ssl_mode(match mode {
        Some("disable") => SslMode::Disable,
        Some("require" | "verify-full") => SslMode::Require,
        None if is_local && roots.is_none() => SslMode::Disable,
        None => SslMode::Require,
        Some(_) => return Err(wrong("sslmode is `verify-full` or `disable`: nothing in between protects")),
    });
    if config.get_ssl_mode() == SslMode::Require && roots.is_none() {
        return Err(wrong("sslrootcert=FILE is missing, the certificates of its authority; or say sslmode=disable"));
    }
    if config.get_password().is_none()
        && let Ok(password) = std::env::var("PGPASSWORD")
    {
        config.password(password);
    }
    config.connect_timeout(CONNECT_TIME).application_name("mpc");
    Ok((config, roots))
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

/// TLS 1.3 with a server whose certificate comes from one of these authorities and has its name.
fn client_config(roots: Option<String>) -> Result<ClientConfig, DatabaseError> {
    let mut store = RootCertStore::empty();
    if let Some(file) = roots {
        let wrong = |reason: String| DatabaseError::Certificates { file: file.clone(), reason };
        let bytes = fs::read(&file).map_err(|error| wrong(error.to_string()))?;
        for certificate in CertificateDer::pem_slice_iter(&bytes) {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            store.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        if store.is_empty() {
            return Err(wrong("there is none in it".to_owned()));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder.unwrap_or_else(|_| unreachable!("the provider has cipher suites of TLS 1.3"));
    Ok(builder.with_root_certificates(store).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_user_password_and_options() {
        let shown = shown("postgres://acme:s3cret@db.example:5433/stock?sslrootcert=ca.pem");
        assert_eq!(shown, "db.example:5433/stock");
    }

    #[test]
    fn no_error_of_an_address_quotes_it() {
        let wrong = [
            "postgres://acme:s3cret@db.example/stock",
            "postgres://acme:s3cret@db.example:port/stock?sslmode=disable",
            "postgres://acme:s3cret@/stock",
            "postgres://acme:pa?s3cret=x@db.example/stock?sslmode=disable",
            "postgres://acme:s3cret@db.example/stock?sslmode=prefer",
            "postgres://acme:s3cret@db.example/stock?s3cret",
            "postgres://s3cret",
        ];
        for address in wrong {
            let error = Database::open(address).unwrap_err();
            assert!(matches!(error, DatabaseError::Address { .. }), "{address}: {error}");
            let all = format!("{error} {error:?} {}", shown(address));
            assert!(!all.contains("s3cret"), "{all}");
        }
    }

    #[test]
    fn a_database_elsewhere_is_not_spoken_to_in_the_clear_unless_it_is_said() {
        let mode = |address: &str| read(address).map(|(config, _)| config.get_ssl_mode());
        assert_eq!(mode("postgres://a@127.0.0.1/d").unwrap(), SslMode::Disable);
        assert_eq!(mode("postgres://a@db.example/d?sslmode=disable").unwrap(), SslMode::Disable);
        assert_eq!(mode("postgres://a@db.example/d?sslrootcert=ca.pem").unwrap(), SslMode::Require);
        assert_eq!(mode("postgres://a@127.0.0.1/d?sslrootcert=ca.pem").unwrap(), SslMode::Require);
        assert!(mode("postgres://a@db.example/d").is_err());
        assert!(mode("postgres://a@localhost/d?hostaddr=192.0.2.1").is_err());
        assert_eq!(mode("postgres://a@localhost/d?hostaddr=127.0.0.1").unwrap(), SslMode::Disable);
    }
}
