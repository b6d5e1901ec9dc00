//! Shared by the tests.

use mpc_shares::{Prg, Seed};

/// A generator that gives the same stream in every run, so that no test depends on luck.
pub fn generator(seed: u8) -> Prg {
    Prg::new(Seed::from_bytes([seed; 32]))
}

/// Pearson's χ² of counts that should be equal, per degree of freedom: near 1 for a uniform distribution.
pub fn chi_square(counts: &[u64]) -> f64 {
    let expected = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
    let sum: f64 = counts.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum();
    sum / (counts.len() - 1) as f64
}
