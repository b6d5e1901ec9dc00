//! Which prepared inferences programs have claimed, by their logs, and numbers at random.

use std::collections::HashMap;

/// The places of batches that a program has claimed, by what it logged.
fn claimed(log: &str) -> Vec<String> {
    log.lines().filter_map(|line| Some(line.split_once("claimed batch=")?.1.to_owned())).collect()
}

/// How long each claim took that a server has logged, in seconds.
pub fn claim_seconds(log: &str) -> Vec<f64> {
    let seconds = |line: &str| line.split_once("the claim took seconds=")?.1.trim().parse().ok();
    log.lines().filter_map(seconds).collect()
}

/// Random numbers that are the same in every run.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Which places were claimed, and how often, from all logs of one side.
#[derive(Default)]
pub struct Claims(HashMap<String, usize>);

impl Claims {
    pub fn add(&mut self, log: &str) {
        claimed(log).into_iter().for_each(|place| *self.0.entry(place).or_default() += 1);
    }

    /// The places.
    pub fn places(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// The number of places.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Fails if a place was claimed twice.
    pub fn check(&self, side: &str) {
        let twice: Vec<_> = self.0.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "used more than once by {side}: {twice:?}");
    }
}
