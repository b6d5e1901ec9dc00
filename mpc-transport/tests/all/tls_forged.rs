//! Peers that show a certificate and have not its key, and peers that name no protocol.

use std::io::{Read, Write};
use std::sync::Arc;

use crate::tls::{
    Credulous, PROTOCOL, accept, connect, identity, listen, parts, raw_client_with, raw_server_with, settings,
};
use mpc_transport::tls::{Identity, SecureError};
use rustls::crypto::ring;
use rustls::crypto::ring::sign::any_eddsa_type;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig};

/// The certificate of one identity with the key of another one, as somebody has it who stole no key.
fn forged(certificate: &Identity, key: &Identity) -> Arc<SingleCertAndKey> {
    let ((chain, _), (_, key)) = (parts(certificate), parts(key));
    Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, any_eddsa_type(&key).unwrap())))
}

#[test]
fn a_pinned_certificate_with_another_key_is_refused_by_both_sides() {
    let (acme, clinic, thief) = (identity("acme"), identity("clinic"), identity("thief"));
    let bad_signature = |error: SecureError| {
        assert!(matches!(&error, SecureError::Handshake { reason, .. } if reason.contains("BadSignature")), "{error}");
    };
    // A client with the certificate that the server allows.
    let (listener, address) = listen();
    let accepting = accept(listener, identity("acme"), vec![clinic.certificate().clone()], settings());
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_client_cert_resolver(forged(&clinic, &thief));
    let mut raw = raw_client_with(address, config, Some(PROTOCOL));
    raw.read_exact(&mut [0; 8]).unwrap_err();
    bad_signature(accepting.join().unwrap().unwrap_err());
    // A server with the certificate that the client expects.
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(forged(&acme, &thief));
    let (address, running) = raw_server_with(config, Some(PROTOCOL), |stream| drop(stream.read(&mut [0])));
    bad_signature(connect(address, &clinic, acme.certificate(), settings()).unwrap_err());
    running.join().unwrap();
}

#[test]
fn a_server_that_does_not_name_the_protocol_is_not_connected_to() {
    let acme = identity("acme");
    // It says the right thing, and has not named the protocol.
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(forged(&acme, &acme));
    let (address, _running) = raw_server_with(config, None, |stream| drop(stream.write_all(b"MPC-LINK")));
    let error = connect(address, &identity("clinic"), acme.certificate(), settings()).unwrap_err();
    assert!(matches!(error, SecureError::Handshake { .. }), "{error}");
}
