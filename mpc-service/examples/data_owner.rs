//! A data owner, as `mpc query`: the clinic asks acme for an inference, and alone learns the result.
//!
//! `mpc keygen --name clinic` has made `clinic.key` and `clinic.crt`; `acme.crt`, `dealer.crt` and `net.public` came from
//! the others.
//!
//! ```console
//! clinic$ cargo run --release -p mpc-service --example data_owner -- xray.npy acme.example:7700 dealer.example:7800
//! ```

use std::error::Error;
use std::fs::read_to_string;
use std::path::Path;
use std::sync::Arc;

use mpc_models::tensors::{Pixels, read_tensor, write_tensor};
use mpc_service::{Client, Correlations, Endpoint, Peer, PublicModel, RevealTo};
use mpc_transport::TcpSettings;
use mpc_transport::tls::{Certificate, Identity};
use ndarray::ArrayD;
use zeroize::Zeroizing;

/// Runs a model on an input, with the keys in a folder.
pub fn query(
    folder: &Path,
    model: &PublicModel,
    input: ArrayD<f32>,
    [server, dealer]: [String; 2],
) -> Result<ArrayD<f64>, Box<dyn Error>> {
    let read = |name: &str| read_to_string(folder.join(name)).map(Zeroizing::new);
    let identity = Identity::from_pem(&read("clinic.crt")?, &read("clinic.key")?)?;
    let peer = |address: String, name: &str| -> Result<Peer, Box<dyn Error>> {
        Ok(Peer { addresses: address.parse()?, certificate: Certificate::from_pem(&read(name)?)? })
    };
    let client = Client {
        endpoint: Endpoint { identity: Arc::new(identity), settings: TcpSettings::default() },
        servers: vec![peer(server, "acme.crt")?],
        dealer: Some(peer(dealer, "dealer.crt")?),
        reveal_to: RevealTo::DataOwner,
        model_owner: None,
    };
    let results = smol::block_on(client.query(model, &[vec![input]], Correlations::Live, &mut ()))?;
    let revealed = results.outputs.into_iter().flatten().flatten().next();
    Ok(revealed.ok_or("by the model's terms the result is not revealed here")?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [file, server, dealer] = &arguments[..] else {
        return Err("usage: data_owner INPUT.npy SERVER:PORT DEALER:PORT".into());
    };
    let model = PublicModel::read(Path::new("net.public"))?;
    let shape = model.graph.node(model.graph.inputs()[0]).shape();
    let input = read_tensor(Path::new(file), &model.inputs[0].name, shape, &Pixels::default())?;
    let result = query(Path::new("."), &model, input, [server.clone(), dealer.clone()])?;
    println!("{result:.4}");
    Ok(write_tensor(Path::new("result.npy"), &result, result.shape())?)
}
