//! Two millionaires find out who is richer, and nothing else: each in a process of its own, with a dealer in a third.
//!
//! `cargo run --release -p mpc-protocols --example millionaires`

#[allow(clippy::duplicate_mod, reason = "both examples are in one test program")]
#[path = "../tests/support/processes.rs"]
mod processes;

use std::process::Command;

use mpc_protocols::comparison::{less_than, msb_planes};
use mpc_protocols::{CorrelationSource, Party, ProtocolError, in_process, open, sharing};
use processes::Failure;

/// The number of each of them; nobody but its owner uses a number.
const FORTUNES: [u64; 2] = [3_141_592, 2_718_281];

async fn compare(party: &mut Party, source: &mut CorrelationSource<'_>, own: u64) -> Result<String, ProtocolError> {
    let mut generator = in_process::generator()?;
    let own = [own];
    let (is_first, mine) = (party.is_first(), Some(&own[..]));
    let x = sharing::share(party, 0, &[1], mine.filter(|_| is_first), &mut generator).await?;
    let y = sharing::share(party, 1, &[1], mine.filter(|_| !is_first), &mut generator).await?;
    let mut triples = Vec::new();
    for planes in msb_planes::<u64>(1, party.parties()) {
        triples.push(source.next(planes).await?);
    }
    // The only value that is opened: 1 if party 0 has less than party 1.
    let is_less = less_than(party, x, &y, triples, source.next(1).await?).await?;
    Ok(format!("party {} is richer", open::open(party, &is_less).await?[0]))
}

/// The answer, as both processes learn it.
pub fn run(command: impl Fn() -> Command) -> Result<Vec<String>, Failure> {
    processes::run(command, |index| {
        async move |party: &mut Party, source: &mut CorrelationSource<'_>| compare(party, source, FORTUNES[index]).await
    })
}

#[allow(dead_code, reason = "a test calls `run`")]
fn main() -> Result<(), Failure> {
    processes::print(run)
}
