//! Encrypted connections between parties that know each other's certificates: TLS 1.3, both sides authenticated.
//!
//! Each side has an [`Identity`] and gives its [`Certificate`] to the others; no authority is involved. A [`SecureLink`]
//! is one connection, and a [`SecureTransport`] makes a network of them.

mod buffer;
mod certificate;
mod configuration;
mod error;
mod fingerprint;
mod identity;
mod link;
mod mesh;
mod pin;
mod records;
mod session;

pub use certificate::{Certificate, MAX_NAME_BYTES, MAX_PEM_BYTES};
pub use error::{CertificateError, SecureError};
pub use fingerprint::Fingerprint;
pub use identity::{Identity, MAX_VALID_DAYS};
pub use link::SecureLink;
use link::SecureStream;

use std::net::TcpListener;

use crate::TcpSettings;
use crate::network::Network;

/// One party's end of a network of encrypted connections, one for each pair of parties.
///
/// Behaves like [`TcpTransport`](crate::TcpTransport), with the same frames in it: the same deadlines, limits and errors,
/// and [`Corrupted`](crate::TransportError::Corrupted) where anything was changed on the way.
pub type SecureTransport = Network<SecureStream>;

impl Network<SecureStream> {
    /// Connects the party of index `party` to all others; complete when every one of its links stands.
    ///
    /// `nodes` holds every node's address (`host:port`) and certificate, by index. A party connects to those of a smaller
    /// index, trying again while they do not listen yet, and accepts those of a greater index on `listener`; the last
    /// party needs none. Others who connect are dropped and do not hold up the parties.
    ///
    /// # Errors
    /// [`SecureError`], within [`TcpSettings::connect_deadline`]. Where a party of greater index does not come, the error
    /// is that of the last connection which came instead, if one did, or [`Timeout`](SecureError::Timeout) with the name
    /// of the missing party.
    pub async fn connect(
        party: usize,
        listener: impl Into<Option<TcpListener>>,
        nodes: &[(String, Certificate)],
        identity: &Identity,
        settings: TcpSettings,
    ) -> Result<Self, SecureError> {
        let links = mesh::connect(party, listener.into(), nodes, identity, &settings).await?;
        Ok(Self::new(party, links, settings))
    }
}
