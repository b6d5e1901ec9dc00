//! TLS as it is used here: version 1.3, both sides authenticated, every session new.

use std::sync::Arc;

use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, cipher_suite};
use rustls::pki_types::ServerName;
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection};
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, Error, ServerConfig};

use super::pin::Pin;
use super::{Certificate, Identity};

/// The protocol that both sides must name within TLS, so that no connection meant for another protocol passes.
pub(super) const PROTOCOL: &[u8] = b"mpc-link/1";

/// Certificates are pinned, so that no name is looked up; none is sent either.
const ANY_NAME: &str = "peer.invalid";

/// AES-128 first: it is the fastest on processors that have instructions for it.
fn provider() -> CryptoProvider {
    let cipher_suites = vec![
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    CryptoProvider { cipher_suites, ..ring::default_provider() }
}

/// The connecting side of a connection, and the check of the peer's certificate.
pub(super) fn client(identity: &Identity, peer: &Certificate) -> Result<(UnbufferedClientConnection, Arc<Pin>), Error> {
    let provider = provider();
    let pin = Arc::new(Pin::new(std::slice::from_ref(peer), provider.signature_verification_algorithms));
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&pin) as _)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    let name = ServerName::try_from(ANY_NAME).map_err(|error| Error::General(error.to_string()))?;
    Ok((UnbufferedClientConnection::new(Arc::new(config), name)?, pin))
}

/// The accepting side of a connection, and the check of the peer's certificate.
pub(super) fn server(
    identity: &Identity,
    allowed: &[Certificate],
) -> Result<(UnbufferedServerConnection, Arc<Pin>), Error> {
    let provider = provider();
    let pin = Arc::new(Pin::new(allowed, provider.signature_verification_algorithms));
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::clone(&pin) as _)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok((UnbufferedServerConnection::new(Arc::new(config))?, pin))
}
