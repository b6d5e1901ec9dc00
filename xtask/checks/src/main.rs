//! Checks of a release build that its tests cannot make: `cargo xtask test`, `cargo xtask soak` and `cargo xtask bench`
//! build and run this program.

mod accuracy;
mod constant_time;
mod general;
mod inference;
mod networks;
mod opened;
mod range;
mod request;
mod seeds;
mod timing;

use std::env;
use std::process::ExitCode;

use inference::Failure;
use mpc_ring::Backend;

fn main() -> ExitCode {
    let words: Vec<_> = env::args().skip(1).collect();
    match run(&words.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<(), Failure> {
    match words {
        ["constant-time", "control"] => constant_time::control(),
        ["constant-time", "portable"] => constant_time::run(Backend::Portable),
        ["constant-time", "avx2"] => constant_time::run(Backend::Avx2),
        ["seeds"] => seeds::run(),
        ["seeds", "control"] => seeds::control(),
        ["timing"] => timing::run(),
        ["accuracy", name, parties] => accuracy::run(name, parties.parse()?, false),
        ["accuracy", name, parties, "calibrated"] => accuracy::run(name, parties.parse()?, true),
        ["range", elements, parties] => range::run(elements.parse()?, parties.parse()?),
        _ => Err("started by `cargo xtask`: see `cargo xtask --help`".into()),
    }
}
