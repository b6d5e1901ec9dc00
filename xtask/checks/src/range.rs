//! ReLUs and truncations of values over the whole range, compared with the real results.

use std::error::Error;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use mpc_protocols::conversion::DaBits;
use mpc_protocols::relu::relu;
use mpc_protocols::sign::{SignParameters, SignShape, Variant};
use mpc_protocols::truncation::{LiftShape, carry_width, truncate, truncate_between_two};
use mpc_protocols::{Correlation, Request, in_process};
use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, Prg, Seed};

use crate::inference::Failure;

/// k: the bits in which is compared.
const BITS: u32 = 32;
/// f: the bits that are cut off.
const SHIFT: u32 = 16;
/// Elements of one run of the protocols.
const BATCH: u64 = 1 << 16;

/// Computes `elements` ReLUs of each variant, and as many truncations of each way that so many parties have, on all
/// processors.
pub fn run(elements: u64, parties: usize) -> Result<(), Failure> {
    let (begun, done) = (Instant::now(), AtomicU64::new(0));
    let next = || {
        let from = done.fetch_add(BATCH, Ordering::Relaxed);
        (from < elements).then(|| BATCH.min(elements - from) as usize)
    };
    let worker = || -> Result<(), Failure> {
        while let Some(len) = next() {
            batch(len, parties)?;
        }
        Ok(())
    };
    let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        running.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a worker panicked")?)
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let rate = elements as f64 / seconds;
    println!(
        "{elements} ReLUs of each variant and {elements} truncations of each way, {parties} parties, all within the bound: {seconds:.1} s, {rate:.0} of each in a second"
    );
    Ok(())
}

/// One run of the protocols on fresh values and seeds.
fn batch(len: usize, parties: usize) -> Result<(), Failure> {
    let seed = Seed::from_system()?;
    let named = |error: Box<dyn Error + Send + Sync>| format!("{error}; the batch's seed is {:02x?}", seed.expose());
    check(len, parties, seed.expose()).map_err(|error| named(error).into())
}

fn check(len: usize, parties: usize, seed: &[u8; Seed::BYTES]) -> Result<(), Failure> {
    let mut generator = Prg::new(Seed::copy_of(seed));
    let values = values(len, parties, &mut generator);
    let shares = split(&values, parties, &mut generator);
    let parameters = SignParameters::new(BITS)?;
    let lift = LiftShape { len, bits: BITS };
    let signs = [Variant::FewRounds, Variant::FewBytes]
        .map(|variant| SignShape { len, parameters: parameters.with_variant(variant) });
    let [few_rounds, few_bytes] = signs.map(|SignShape { len, parameters }| Request::Relu { len, parameters });
    let mut plan = vec![few_rounds, few_bytes, Request::Lift { len, bits: BITS }];
    let width = carry_width(BITS, u64::BITS);
    if parties == 2 {
        plan.push(DaBits::<u64>::request(&len).modulo::<u64>(width));
    }
    let outcomes = in_process::run_on_one_thread::<u64, _>(parties, &plan, generator.seed(), async |party, source| {
        let x = &shares[party.index()];
        let rectified = relu(party, x, SHIFT, source.next(signs[0]).await?).await?;
        let again = relu(party, x, SHIFT, source.next(signs[1]).await?).await?;
        let mut results = vec![rectified, again, truncate(party, x, SHIFT, source.next(lift).await?).await?];
        if parties == 2 {
            let bits = source.next_modulo(width, len).await?;
            results.push(truncate_between_two(party, x, SHIFT, BITS, bits).await?);
        }
        Ok(results)
    })?;
    let outputs: Vec<_> = outcomes.into_iter().map(|outcome| outcome.output).collect();
    for (i, &x) in values.iter().enumerate() {
        let result = |which: usize| {
            outputs.iter().fold(0u64, |sum, shares| sum.wrapping_add(shares[which].elements()[i])) as i64
        };
        for y in [0, 1].map(result) {
            within(x.max(0), y, parties).map_err(|by| format!("relu({x}) is {y}, off by {by} / 2^{SHIFT}"))?;
        }
        for y in (2..plan.len()).map(result) {
            within(x, y, parties).map_err(|by| format!("{x} / 2^{SHIFT} is {y}, off by {by} / 2^{SHIFT}"))?;
        }
    }
    Ok(())
}

/// Whether y is exact / 2^f up to n/2; otherwise the error in 2^f-ths.
fn within(exact: i64, y: i64, parties: usize) -> Result<(), i128> {
    let error = (i128::from(y) << SHIFT) - i128::from(exact);
    if 2 * error.abs() <= (parties as i128) << SHIFT { Ok(()) } else { Err(error) }
}

/// Values uniform over the whole range, of every size, and near its ends and zero.
fn values(len: usize, parties: usize, generator: &mut Prg) -> Vec<i64> {
    // |x / 2^f| < 2^{k−2} − n.
    let bound = (((1i64 << (BITS - 2)) - parties as i64) << SHIFT) - 1;
    let mut random = vec![0u64; len];
    u64::fill_random(&mut random, generator);
    let value = |(i, random): (usize, u64)| {
        let near = (random >> 40) as i64;
        match i % 8 {
            0 => bound - near % 1000,
            1 => near % 1000 - bound,
            2 => near % (1 << (SHIFT + 2)) - (1 << (SHIFT + 1)),
            3 => (random as i64 >> (random % 46 + 17)).clamp(-bound, bound),
            _ => (random % (2 * bound as u64 + 1)) as i64 - bound,
        }
    };
    random.into_iter().enumerate().map(value).collect()
}

fn split(values: &[i64], parties: usize, generator: &mut Prg) -> Vec<ArithmeticShares<u64>> {
    let mut last: Vec<u64> = values.iter().map(|&x| x as u64).collect();
    let mut shares = Vec::new();
    for _ in 1..parties {
        let mut share = vec![0u64; values.len()];
        u64::fill_random(&mut share, generator);
        last.iter_mut().zip(&share).for_each(|(x, &y)| *x = x.wrapping_sub(y));
        shares.push(ArithmeticShares::from_elements(share));
    }
    shares.push(ArithmeticShares::from_elements(last));
    shares
}
