//! `mpc keygen` and `mpc fingerprint`.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use mpc_service::at_rest::private_file::write_private;
use mpc_transport::tls::{Certificate, Identity};

use crate::failure::Failure;
use crate::keys::certificate;
use crate::output::print;

/// Makes a private key and a certificate.
///
/// NAME.key stays here, readable by its owner alone: whoever has it can take this organisation's place, and read what it has
/// stored. NAME.crt goes to the other organisations. Compare the fingerprint that is printed with them over a channel that
/// nobody can change, such as the telephone.
#[derive(Debug, Args)]
pub struct KeygenArguments {
    /// The name in the certificate, and of the files: letters, digits, dots, dashes and underscores.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// The folder to write to.
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    out: PathBuf,
    /// How long the certificate is valid.
    #[arg(long, default_value_t = 730, value_name = "DAYS")]
    days: u32,
    /// Replaces files that are there.
    #[arg(long)]
    force: bool,
}

/// Prints whose a certificate is, how long it is valid, and its fingerprint.
#[derive(Debug, Args)]
pub struct FingerprintArguments {
    /// The certificates.
    #[arg(required = true, value_name = "FILE.crt")]
    certificates: Vec<PathBuf>,
}

/// Makes a key.
pub fn generate(arguments: &KeygenArguments) -> Result<(), Failure> {
    let name = &arguments.name;
    let [key, crt] = ["key", "crt"].map(|ending| arguments.out.join(format!("{name}.{ending}")));
    for path in [&key, &crt] {
        if path.exists() && !arguments.force {
            let file = path.display();
            return Err(Failure::Usage(format!("{file} is there already; --force replaces it, and with it the key")));
        }
    }
    let failed = |source| Failure::Key { file: key.display().to_string(), source };
    let identity = Identity::generate(name, arguments.days).map_err(failed)?;
    fs::create_dir_all(&arguments.out)
        .map_err(|error| Failure::Own(format!("{}: {error}", arguments.out.display())))?;
    write_private(&key, identity.key_pem().as_bytes())?;
    let written = fs::write(&crt, identity.certificate_pem());
    written.map_err(|error| Failure::Own(format!("{}: {error}", crt.display())))?;
    print(&format!("{}: keep it secret\n{}: give it to the others\n", key.display(), crt.display()))?;
    print(&shown(identity.certificate()))
}

/// Prints certificates.
pub fn fingerprint(arguments: &FingerprintArguments) -> Result<(), Failure> {
    arguments.certificates.iter().try_for_each(|path| print(&shown(&certificate(path)?)))
}

fn shown(certificate: &Certificate) -> String {
    let left = certificate.valid_until().duration_since(std::time::SystemTime::now());
    let validity = left.map_or_else(
        |_| "has expired".to_owned(),
        |left| format!("is valid for {} days more", left.as_secs() / 86_400),
    );
    format!("{} {validity}, fingerprint\n  {}\n", certificate.name(), certificate.fingerprint())
}
