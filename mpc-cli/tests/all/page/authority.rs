//! An authority that browsers could trust, and the certificates that it gives.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64ct::{Base64, Encoding};
use mpc_service::at_rest::private_file::write_private;
use pkcs8::{Document, LineEnding};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(86_400);

pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { issuer, folder: tempfile::tempdir().unwrap() };
        write_pem(&authority.path("authority.pem"), "CERTIFICATE", authority.issuer.der());
        authority
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Gives this machine a certificate until `days` from now, and writes it and its key under that name; gives the hash by
    /// which browsers are told to trust it.
    pub fn give(&self, name: &str, days: i32) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        let now = SystemTime::now();
        let end = if days < 0 { now - DAY * days.unsigned_abs() } else { now + DAY * days.unsigned_abs() };
        (params.not_before, params.not_after) = ((now - DAY * 30).into(), end.into());
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        write_pem(&self.path(&format!("{name}.pem")), "CERTIFICATE", certificate.der());
        write_pem(&self.path(&format!("{name}.key")), "PRIVATE KEY", &key.serialize_der());
        Base64::encode_string(&Sha256::digest(key.subject_public_key_info()))
    }

    /// Has a command serve pages with the certificate of that name.
    pub fn certify(&self, command: &mut Command, name: &str) {
        command.arg("--web-cert").arg(self.path(&format!("{name}.pem")));
        command.arg("--web-key").arg(self.path(&format!("{name}.key")));
    }

    /// A client that trusts this authority.
    pub fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

fn write_pem(path: &Path, label: &'static str, der: &[u8]) {
    let text = Document::try_from(der).unwrap().to_pem(label, LineEnding::LF).unwrap();
    write_private(path, text.as_bytes()).unwrap();
}
