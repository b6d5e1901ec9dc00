//! The truncating ReLU beside the classic one, both of this project, in memory: a line for each run of each with the ReLU,
//! the parties, the seconds online, the bytes sent by the party that sends the most, and the rounds.
//!
//! `cargo xtask bench --relu classic` prints medians.

use std::sync::Barrier;
use std::time::Instant;

use mpc_protocols::in_process::{self, Outcome};
use mpc_protocols::relu::relu;
use mpc_protocols::sign::{SignParameters, SignShape};
use mpc_protocols::{Bilinear, ProtocolError, Request, comparison};
use mpc_shares::ArithmeticShares;
use mpc_transport::Traffic;

/// The number of ReLUs.
const LEN: usize = 10_000;
/// f and k of the other measurements.
const FRACTIONAL_BITS: u32 = 16;
const COMPARISON_BITS: u32 = 32;

/// A party's result and the time that it took online.
type Timed = (ArithmeticShares<u64>, f64);

#[allow(dead_code, reason = "a test calls `run`")]
fn main() -> Result<(), String> {
    let runs = std::env::args().nth(1).map_or(Ok(1), |runs| runs.parse::<u32>());
    run(runs.map_err(|error| format!("the number of runs: {error}"))?)
}

/// Runs both so many times.
pub fn run(runs: u32) -> Result<(), String> {
    for parties in [2, 4] {
        let wrong = |error: ProtocolError| error.to_string();
        // In turn, so that other work on the machine falls on both.
        for _ in 0..runs {
            let truncating = checked(run_truncating(parties).map_err(wrong)?, FRACTIONAL_BITS)?;
            let classic = checked(run_classic(parties).map_err(wrong)?, 0)?;
            for (name, (seconds, traffic)) in [("truncating", truncating), ("classic", classic)] {
                println!("{name} {parties} {seconds} {} {}", traffic.bytes_sent(), traffic.rounds);
            }
        }
    }
    Ok(())
}

/// With the truncation by f bits that a ReLU behind a linear layer does.
fn run_truncating(parties: usize) -> Result<Vec<Outcome<Timed>>, ProtocolError> {
    let parameters = SignParameters::new(COMPARISON_BITS)?;
    let shape = SignShape { len: LEN, parameters };
    let barrier = Barrier::new(parties);
    in_process::run_planned::<u64, _>(parties, &[Request::Relu { len: LEN, parameters }], async |party, source| {
        let (x, mask) = (input(party.index()), source.next(shape).await?);
        barrier.wait();
        let began = Instant::now();
        let y = relu(party, &x, FRACTIONAL_BITS, mask).await?;
        Ok((y, began.elapsed().as_secs_f64()))
    })
}

fn run_classic(parties: usize) -> Result<Vec<Outcome<Timed>>, ProtocolError> {
    let planes = comparison::msb_planes::<u64>(LEN, parties);
    let map = Bilinear::Elementwise { len: LEN };
    let mut plan: Vec<_> = planes.iter().map(|p| Request::BitTriples { width: p.width, len: p.len }).collect();
    plan.extend([Request::DaBits { len: LEN }, Request::Beaver(map)]);
    let barrier = Barrier::new(parties);
    in_process::run_planned::<u64, _>(parties, &plan, async |party, source| {
        let x = input(party.index());
        let mut triples = Vec::new();
        for &planes in &planes {
            triples.push(source.next(planes).await?);
        }
        let (dabits, triple) = (source.next(LEN).await?, source.next(map).await?);
        barrier.wait();
        let began = Instant::now();
        let y = comparison::classic_relu(party, &x, triples, dabits, triple).await?;
        Ok((y, began.elapsed().as_secs_f64()))
    })
}

/// A value of both signs, with 2f bits after the point.
fn value(at: usize) -> i64 {
    (at as i64 * 7919 % 2003 - 1001) << 20
}

/// A party's shares: those of party 0 are the values less the others', which are arbitrary.
fn input(party: usize) -> ArithmeticShares<u64> {
    let other = |at: usize| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let share = |at: usize| match party {
        0 => value(at).cast_unsigned().wrapping_sub(other(at)),
        1 => other(at),
        _ => 0,
    };
    ArithmeticShares::from_elements((0..LEN).map(share).collect())
}

/// The slowest party's time and the largest traffic, if the results are the ReLUs, which truncation may miss by 1.
fn checked(outcomes: Vec<Outcome<Timed>>, shift: u32) -> Result<(f64, Traffic), String> {
    let sum = |at: usize| {
        let shares = outcomes.iter().map(|outcome| outcome.output.0.elements()[at]);
        shares.fold(0, u64::wrapping_add).cast_signed()
    };
    if let Some(at) = (0..LEN).find(|&at| (sum(at) - (value(at).max(0) >> shift)).abs() > 1) {
        return Err(format!("the ReLU of element {at} is wrong"));
    }
    let seconds = outcomes.iter().map(|outcome| outcome.output.1).fold(0.0, f64::max);
    let traffic = outcomes.iter().map(|outcome| outcome.online).max_by_key(Traffic::bytes_sent);
    Ok((seconds, traffic.unwrap_or_default()))
}
