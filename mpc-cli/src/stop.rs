//! When a service is to stop.

use std::io::Read;
use std::thread;

use async_signal::{Signal, Signals};
use smol::channel::{Receiver, bounded};
use smol::future::or;
use smol::stream::StreamExt;

use crate::failure::Failure;

/// Complete at SIGTERM or SIGINT, or at the end of standard input if `with_input`. What runs is finished then; a second
/// signal ends the process at once.
pub fn requested(with_input: bool) -> Result<impl Future<Output = ()>, Failure> {
    let failed = |error: std::io::Error| Failure::Own(format!("signals cannot be received: {error}"));
    let mut signals = Signals::new([Signal::Term, Signal::Int]).map_err(failed)?;
    let input = with_input.then(input_end);
    Ok(async move {
        let signal = async {
            signals.next().await;
        };
        let ended = async {
            match input {
                Some(input) => drop(input.recv().await),
                None => std::future::pending().await,
            }
        };
        or(signal, ended).await;
        thread::spawn(move || {
            smol::block_on(signals.next());
            std::process::exit(1);
        });
    })
}

/// A channel that is closed when standard input is.
fn input_end() -> Receiver<()> {
    let (sender, receiver) = bounded(1);
    thread::spawn(move || {
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        drop(sender);
    });
    receiver
}
