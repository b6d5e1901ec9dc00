//! A model owner, as `mpc pack` and `mpc serve`: acme serves an ONNX network to the clinic until it is interrupted.
//!
//! `mpc keygen --name acme` has made `acme.key` and `acme.crt`; `clinic.crt` and `dealer.crt` came from the others.
//!
//! ```console
//! acme$ cargo run --release -p mpc-service --example model_owner -- net.onnx 0.0.0.0:7700 dealer.example:7800
//! ```

use std::error::Error;
use std::fs::read_to_string;
use std::future::pending;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use mpc_onnx::{InputShapes, OnnxFile};
use mpc_service::{Contacts, Endpoint, Holdings, Limits, Peer, PrivateModel, Server, Stores, Terms, listen};
use mpc_transport::TcpSettings;
use mpc_transport::tls::{Certificate, Identity};
use zeroize::Zeroizing;

/// Serves a model to the clinic, with the keys in a folder, until `stop` is complete.
pub fn serve(
    folder: &Path,
    model: PrivateModel,
    dealer: String,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<(), Box<dyn Error>> {
    let read = |name: &str| read_to_string(folder.join(name)).map(Zeroizing::new);
    let identity = Identity::from_pem(&read("acme.crt")?, &read("acme.key")?)?;
    let endpoint = Endpoint { identity: Arc::new(identity), settings: TcpSettings::default() };
    let contacts = Contacts {
        data_owners: vec![Certificate::from_pem(&read("clinic.crt")?)?],
        dealer: Some(Peer { addresses: dealer.parse()?, certificate: Certificate::from_pem(&read("dealer.crt")?)? }),
        ..Contacts::default()
    };
    let store = Some(Stores::Folder(folder.join("prepared")));
    let server = Server::new(endpoint, 0, Holdings::Own(Box::new(model)), contacts, store, Limits::default())?;
    Ok(smol::block_on(server.run(listener, stop))?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [network, address, dealer] = &arguments[..] else {
        return Err("usage: model_owner NET.onnx ADDRESS:PORT DEALER:PORT".into());
    };
    let network = OnnxFile::open(network)?.import(&InputShapes::new())?;
    let model = PrivateModel::new(network, Terms::default())?;
    // This file goes to the clinic.
    std::fs::write("net.public", model.public.to_bytes())?;
    serve(Path::new("."), model, dealer.clone(), listen(address.parse()?)?, pending())
}
