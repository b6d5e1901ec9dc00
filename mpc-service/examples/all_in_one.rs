//! The model owner, the dealer and the data owner of the other examples, in threads on loopback: there is no privacy in it.
//!
//! ```console
//! $ cargo run --release -p mpc-service --example all_in_one
//! ```

#[allow(dead_code, reason = "its main is for a process of its own")]
#[path = "data_owner.rs"]
mod data_owner;
#[allow(dead_code, reason = "its main is for a process of its own")]
#[path = "dealer.rs"]
mod dealer;
#[allow(dead_code, reason = "its main is for a process of its own")]
#[path = "model_owner.rs"]
mod model_owner;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::thread;

use mpc_nn::{GraphBuilder, Network, Weights, evaluate};
use mpc_service::{PrivateModel, Terms, listen};
use mpc_transport::tls::Identity;
use ndarray::ArrayD;
use smol::channel::bounded;

/// Four numbers, six hidden units, three scores.
fn network() -> Result<Network, Box<dyn Error>> {
    let mut builder = GraphBuilder::new();
    let numbers = builder.input("numbers", &[1, 4])?;
    let hidden = builder.linear("hidden", numbers, 6, true)?;
    let hidden = builder.relu("relu", hidden)?;
    let scores = builder.linear("scores", hidden, 3, true)?;
    let graph = builder.finish(&[scores])?;
    let mut value = 0.0f32;
    let mut next = || {
        value = (value + 0.37) % 1.0;
        value - 0.5
    };
    let tensors: BTreeMap<_, _> = graph
        .parameters()
        .into_iter()
        .map(|tensor| (tensor.name, ArrayD::from_shape_simple_fn(tensor.shape, &mut next)))
        .collect();
    let weights = Weights::for_graph(&graph, tensors)?;
    Ok(Network::new(graph, weights))
}

/// Makes everybody's key and certificate, in one folder here.
fn make_keys(folder: &Path) -> Result<(), Box<dyn Error>> {
    for name in ["acme", "clinic", "dealer"] {
        let identity = Identity::generate(name, 1)?;
        fs::write(folder.join(format!("{name}.key")), identity.key_pem().as_bytes())?;
        fs::write(folder.join(format!("{name}.crt")), identity.certificate_pem())?;
    }
    Ok(())
}

/// Runs an inference between the three, and compares it with the network in the clear.
pub fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    make_keys(folder)?;
    let network = network()?;
    let input = ArrayD::from_shape_vec(vec![1, 4], vec![0.5, -1.0, 0.25, 2.0])?;
    let clear = evaluate(&network.graph, &network.weights, std::slice::from_ref(&input))?.remove(0);
    let model = PrivateModel::new(network, Terms::default())?;
    let public = model.public.clone();

    let [acme, dealer] = [listen("127.0.0.1:0".parse()?)?, listen("127.0.0.1:0".parse()?)?];
    let addresses = [acme.local_addr()?.to_string(), dealer.local_addr()?.to_string()];
    let dealer_address = addresses[1].clone();
    // Both services stop when this is dropped.
    let (running, stopped) = bounded::<()>(1);
    let until = |stopped: smol::channel::Receiver<()>| async move {
        let _ = stopped.recv().await;
    };
    let (first, second) = (until(stopped.clone()), until(stopped));
    let private = thread::scope(|scope| {
        let deals = scope.spawn(move || dealer::deal(folder, dealer, first).map_err(|error| error.to_string()));
        let serves = scope.spawn(move || {
            model_owner::serve(folder, model, dealer_address, acme, second).map_err(|error| error.to_string())
        });
        let result = data_owner::query(folder, &public, input, addresses);
        drop(running);
        for service in [deals, serves] {
            service.join().map_err(|_| "a service panicked")??;
        }
        result
    })?;

    println!("private      {private:.4}\nin the clear {clear:.4}");
    let error = private.iter().zip(&clear).map(|(a, b)| (a - f64::from(*b)).abs()).fold(0.0, f64::max);
    if error < 0.001 { Ok(()) } else { Err(format!("the results differ by {error}").into()) }
}
