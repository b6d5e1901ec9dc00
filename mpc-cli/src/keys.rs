//! Keys and certificates in files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use mpc_models::read_file;
use mpc_service::at_rest::private_file::check_private;
use mpc_service::web::PageCertificate;
use mpc_service::{Endpoint, Peer};
use mpc_transport::TcpSettings;
use mpc_transport::tls::{Certificate, Identity};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// The largest file of a key or certificate, in bytes.
const MAX_FILE: usize = 64 << 10;
/// The largest file of tokens: 65,536 of them, with 256 bytes for each.
pub const MAX_TOKENS_FILE: usize = 16 << 20;

/// The identity of this organisation, and how long it waits.
#[derive(Clone, Debug, Args)]
pub struct KeyArguments {
    /// This organisation's private key, as `mpc keygen` writes it.
    #[arg(long, value_name = "FILE.key")]
    pub key: PathBuf,
    /// Its certificate [default: the file beside the key that ends in .crt].
    #[arg(long, value_name = "FILE.crt")]
    pub certificate: Option<PathBuf>,
    /// How long another participant may make no progress.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub deadline: u64,
}

impl KeyArguments {
    /// Reads the key, which nobody else may be able to read.
    pub fn endpoint(&self) -> Result<Endpoint, Failure> {
        let certificate = self.certificate.clone().unwrap_or_else(|| self.key.with_extension("crt"));
        check_private(&self.key).map_err(|error| Failure::Usage(error.to_string()))?;
        let (key, text) = (read_text(&self.key, MAX_FILE)?, read_text(&certificate, MAX_FILE)?);
        let identity = Identity::from_pem(&text, &key);
        let in_key = |source| Failure::Key { file: self.key.display().to_string(), source };
        let deadline = Duration::from_secs(self.deadline);
        let settings = TcpSettings { deadline, connect_deadline: deadline, ..TcpSettings::default() };
        Ok(Endpoint { identity: Arc::new(identity.map_err(in_key)?), settings })
    }
}

/// Reads a text of at most so many bytes, which may be a secret.
pub fn read_text(path: &Path, most: usize) -> Result<Zeroizing<String>, Failure> {
    let bytes = Zeroizing::new(read_file(path, most).map_err(|error| Failure::Usage(error.to_string()))?);
    let text = std::str::from_utf8(&bytes).map_err(|_| Failure::Usage(format!("{}: it is no text", path.display())))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Reads a certificate.
pub fn certificate(path: &Path) -> Result<Certificate, Failure> {
    let in_file = |source| Failure::Key { file: path.display().to_string(), source };
    Certificate::from_pem(&read_text(path, MAX_FILE)?).map_err(in_file)
}

/// Reads certificates.
pub fn certificates(paths: &[PathBuf]) -> Result<Vec<Certificate>, Failure> {
    paths.iter().map(|path| certificate(path)).collect()
}

/// Reads a peer from `host:port=FILE.crt`, where there may be several addresses.
pub fn peer(flag: &str, text: &str) -> Result<Peer, Failure> {
    let wrong = || {
        Failure::Usage(format!(
            "--{flag} {text} is not HOST:PORT[,HOST:PORT…]=FILE.crt, such as acme.example:7700=acme.crt"
        ))
    };
    let (addresses, file) = text.split_once('=').ok_or_else(wrong)?;
    Ok(Peer { addresses: addresses.parse().map_err(|_| wrong())?, certificate: certificate(Path::new(file))? })
}

/// Reads peers.
pub fn peers(flag: &str, texts: &[String]) -> Result<Vec<Peer>, Failure> {
    texts.iter().map(|text| peer(flag, text)).collect()
}

/// Reads a certificate that browsers accept, and its key, if they are named.
pub fn page_certificate(certificate: Option<&Path>, key: Option<&Path>) -> Result<Option<PageCertificate>, Failure> {
    let read = certificate.zip(key).map(|(certificate, key)| PageCertificate::open(certificate, key));
    read.transpose().map_err(|error| Failure::Usage(error.to_string()))
}
