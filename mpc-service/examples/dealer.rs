//! The dealer, as `mpc dealer`: it deals correlations to acme and the clinic until it is interrupted.
//!
//! `mpc keygen --name dealer` has made `dealer.key` and `dealer.crt`; `acme.crt` and `clinic.crt` came from the others.
//!
//! ```console
//! dealer$ cargo run --release -p mpc-service --example dealer -- 0.0.0.0:7800
//! ```

use std::error::Error;
use std::fs::read_to_string;
use std::future::pending;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use mpc_service::{Dealer, Endpoint, Limits, listen};
use mpc_transport::TcpSettings;
use mpc_transport::tls::{Certificate, Identity};
use zeroize::Zeroizing;

/// Deals to those whose certificates are in the folder, until `stop` is complete.
pub fn deal(folder: &Path, listener: TcpListener, stop: impl Future<Output = ()>) -> Result<(), Box<dyn Error>> {
    let read = |name: &str| read_to_string(folder.join(name)).map(Zeroizing::new);
    let identity = Identity::from_pem(&read("dealer.crt")?, &read("dealer.key")?)?;
    let endpoint = Endpoint { identity: Arc::new(identity), settings: TcpSettings::default() };
    let allowed = vec![Certificate::from_pem(&read("acme.crt")?)?, Certificate::from_pem(&read("clinic.crt")?)?];
    let dealer = Dealer::new(endpoint, allowed, Limits::default())?;
    Ok(smol::block_on(dealer.run(listener, stop))?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: dealer ADDRESS:PORT")?;
    deal(Path::new("."), listen(address.parse()?)?, pending())
}
