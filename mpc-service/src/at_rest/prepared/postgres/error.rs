//! The things that can be wrong with a database.

use ::postgres::Error;
use ::postgres::error::SqlState;

use crate::at_rest::prepared::error::StoreError;

/// The things that can be wrong with a database. No variant holds a password.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// An address that cannot be read. It is not shown, as it may hold a password.
    #[error(
        "the database's address cannot be used: {reason}; it is postgres://USER@HOST:PORT/DATABASE?sslrootcert=FILE"
    )]
    Address {
        /// Why.
        reason: &'static str,
    },
    /// The certificates of those who vouch for the database.
    #[error("the certificates of the database's authority, {file}: {reason}")]
    Certificates {
        /// The file.
        file: String,
        /// Why they cannot be used.
        reason: String,
    },
    /// No answer comes, or the connection was lost.
    #[error("the database {place} cannot be reached: {reason}")]
    Unreachable {
        /// The database.
        place: String,
        /// Why.
        reason: String,
    },
    /// No encrypted connection to the one who is meant.
    #[error("the database {place}: no TLS with it: {reason}")]
    Tls {
        /// The database.
        place: String,
        /// Why.
        reason: String,
    },
    /// The user or the password is wrong, or not admitted from here.
    #[error("the database {place} does not admit this user with this password (PGPASSWORD)")]
    Denied {
        /// The database.
        place: String,
    },
    /// No database of that name.
    #[error("there is no database {place}: its administrator makes it with `createdb`")]
    NoDatabase {
        /// The database.
        place: String,
    },
    /// The user may not do that.
    #[error("the database {place} does not permit its user that: {reason}")]
    Forbidden {
        /// The database.
        place: String,
        /// The thing.
        reason: String,
    },
    /// Tables of a later version of this program.
    #[error(
        "the tables of the database {place} have version {found}, and this program knows {known}: install a newer one"
    )]
    Newer {
        /// The database.
        place: String,
        /// The version of the tables.
        found: i32,
        /// The latest that is known here.
        known: i32,
    },
    /// No connection is free in time.
    #[error(
        "the database {place} has no free connection for this program: allow more (max_connections), or fewer sessions"
    )]
    Busy {
        /// The database.
        place: String,
    },
    /// The database's disk is full.
    #[error("the disk of the database {place} is full")]
    Full {
        /// The database.
        place: String,
    },
    /// The database does not take writes: it is a standby.
    #[error("the database {place} takes no writes: it is a standby, or set to read only")]
    ReadOnly {
        /// The database.
        place: String,
    },
    /// A statement took too long.
    #[error("the database {place} did not answer in time")]
    TimedOut {
        /// The database.
        place: String,
    },
    /// Anything else that it says.
    #[error("the database {place}: {reason}")]
    Other {
        /// The database.
        place: String,
        /// Its words.
        reason: String,
    },
}

/// The meaning of an error of the client library, at a place.
pub(super) fn named(place: &str, error: &Error) -> DatabaseError {
    let place = place.to_owned();
    let Some(said) = error.as_db_error() else {
        let reason = cause(error);
        // The library has no kind for it.
        return match error.to_string().contains("TLS") {
            true => DatabaseError::Tls { place, reason },
            false => DatabaseError::Unreachable { place, reason },
        };
    };
    let reason = said.message().to_owned();
    match *said.code() {
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => DatabaseError::Denied { place },
        SqlState::INVALID_CATALOG_NAME => DatabaseError::NoDatabase { place },
        SqlState::INSUFFICIENT_PRIVILEGE => DatabaseError::Forbidden { place, reason },
        SqlState::DISK_FULL => DatabaseError::Full { place },
        SqlState::TOO_MANY_CONNECTIONS => DatabaseError::Busy { place },
        SqlState::READ_ONLY_SQL_TRANSACTION => DatabaseError::ReadOnly { place },
        SqlState::QUERY_CANCELED | SqlState::LOCK_NOT_AVAILABLE => DatabaseError::TimedOut { place },
        SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::CANNOT_CONNECT_NOW => {
            DatabaseError::Unreachable { place, reason }
        }
        _ => DatabaseError::Other { place, reason },
    }
}

/// An error with all that lie below it.
fn cause(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let said = error.to_string();
        if !text.contains(&said) {
            text += &format!(": {said}");
        }
        source = error.source();
    }
    text
}

impl From<Error> for DatabaseError {
    fn from(error: Error) -> Self {
        named("of this store", &error)
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        DatabaseError::from(error).into()
    }
}
