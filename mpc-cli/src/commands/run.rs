//! `mpc run`.

use clap::Args;

use crate::failure::Failure;
use crate::output::{json, print, shown};
use crate::run::{RunArguments, TransportKind, run as run_network, services, table};

/// Runs a network privately on this machine: parties and a dealer compute on shares, and learn nothing.
///
/// Party 0 owns the model, party 1 the inputs and the result; a dealer provides random correlations and sees neither.
/// Without options, two parties and the dealer run in memory and classify a bundled handwritten digit with the bundled
/// ResNet-32. With an ONNX file, as PyTorch exports it, that network runs on the tensors or images of `--input`.
///
/// While it works, progress is shown on stderr if that is a terminal, else a line for each inference. At the end stdout
/// has the private results beside those of the same network in the clear, and the largest difference; then what each
/// phase cost and which layers were the largest. All bytes include the 4-byte headers of frames. That the measured bytes
/// and rounds are the planned ones is checked, and it is an error if not. Where fixed point keeps too few bits of values, a warning
/// on stderr names them, and the fractional bits that keep enough.
///
/// This command plays every role, so it reads weights and inputs itself to check them before anything starts and to
/// compute the results in the clear. With `--transport tcp` or `tls` each party and the dealer is a process of its own; of
/// them only party 0 reads the weights, only the owners of inputs read those, and all get the architecture alone. With
/// `--transport services` they are the services of `mpc serve` and `mpc dealer`, and the result is a client's.
///
/// With `--no-dealer` there is none: the two parties make the correlations themselves, in a few seconds and some tens of
/// megabytes, over a link of their own. The online phase is that of `--owner-computes --comparisons few-bytes` with a dealer. That
/// goes with every transport.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub struct Arguments {
    #[command(flatten)]
    run: RunArguments,
}

const AFTER_HELP: &str = "\
Examples:
  mpc run                                one digit, two parties in memory
  mpc run --images 5 --first-image 100   digits 100 to 104
  mpc run --transport tcp --parties 4    five processes over TCP: the dealer counts
  mpc run --transport tls                encrypted, and each side sure of the other
  mpc run --preprocessing ahead          all correlations before the first message
  mpc run --images 10 --pipeline         the next image's while this one's phase is online
  mpc run --no-dealer                    two parties, and nobody else
  mpc run --owner-computes               the model owner uses its weights in the clear
  mpc run --accuracy                     all 450 held-out digits
  mpc run unet                           segments an image, and draws the masks
  mpc run net.onnx --input x.npy --output y.npy
                                         your own network
  mpc run net.onnx --input x.npy --parties 3 --transport services
                                         the services that organisations install, on this machine
  mpc run --json | python3 -m json.tool  for programs
  mpc plan --parties 3                   bytes and rounds of every layer, runs nothing

Exit codes:
  0  everything ran, and every private label, mask or value is that of the plaintext model
  1  a run failed, a label differs, or bytes or rounds were not those of the plan
  2  wrong arguments, weights or inputs, found before anything started
With --transport services also 3 to 6, see `mpc --help`.";

/// Runs the command.
pub fn run(Arguments { run: arguments }: &Arguments) -> Result<(), Failure> {
    if arguments.transport == TransportKind::Services {
        return services::run(arguments);
    }
    let summary = run_network(arguments)?;
    print(&if arguments.output.json { json(&summary) } else { table::text(&summary, arguments) })?;
    if let Some(departure) = &summary.departure {
        eprintln!("warning: {}", shown(&departure.to_string()));
    }
    let differ = || Failure::Own("the private results are not those of the network in the clear".to_owned());
    if summary.agree { Ok(()) } else { Err(differ()) }
}
