//! The dot product of two private vectors: each in a process of its own, with a dealer in a third.
//!
//! `cargo run --release -p mpc-protocols --example dot_product`

#[allow(clippy::duplicate_mod, reason = "both examples are in one test program")]
#[path = "../tests/support/processes.rs"]
mod processes;

use std::process::Command;

use mpc_protocols::{Bilinear, CorrelationSource, Party, ProtocolError, beaver, in_process, open, sharing};
use processes::Failure;

/// The vector of each of them; nobody but its owner uses a vector.
const VECTORS: [[u64; 4]; 2] = [[1, 2, 3, 4], [10, 20, 30, 40]];

async fn product(
    party: &mut Party,
    source: &mut CorrelationSource<'_>,
    own: [u64; 4],
) -> Result<String, ProtocolError> {
    let mut generator = in_process::generator()?;
    let mut shares = Vec::new();
    for owner in 0..2 {
        let secret = (party.index() == owner).then_some(&own[..]);
        shares.push(sharing::share(party, owner, &[own.len()], secret, &mut generator).await?);
    }
    let map = Bilinear::MatrixProduct { rows: 1, inner: own.len(), columns: 1 };
    let z = beaver::multiply(party, &shares[0], &shares[1], source.next(map).await?).await?;
    Ok(open::open(party, &z).await?[0].to_string())
}

/// The product, as both processes learn it.
pub fn run(command: impl Fn() -> Command) -> Result<Vec<String>, Failure> {
    processes::run(command, |index| {
        async move |party: &mut Party, source: &mut CorrelationSource<'_>| product(party, source, VECTORS[index]).await
    })
}

#[allow(dead_code, reason = "a test calls `run`")]
fn main() -> Result<(), Failure> {
    processes::print(run)
}
