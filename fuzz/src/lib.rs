//! Shared by the fuzz targets: parties on one thread, and input that makes sense to them.

use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};
use mpc_protocols::binary::{BitTriples, Planes};
use mpc_protocols::in_process::run_on_one_thread;
use mpc_protocols::{Correlation, CorrelationSource, Party, ProtocolError, Request};
use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, Prg, Seed};

/// More values than this find nothing new.
const MAX_VALUES: usize = 70;

/// The number of parties, their randomness, and secret values.
#[derive(Debug)]
pub struct Input<V> {
    pub parties: usize,
    pub seed: u64,
    pub values: Vec<V>,
}

impl<'a, V: Arbitrary<'a>> Arbitrary<'a> for Input<V> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let (parties, seed) = (u.int_in_range(2..=4)?, u.arbitrary()?);
        let values = u.arbitrary_iter()?.take(MAX_VALUES).collect::<Result<_>>()?;
        Ok(Self { parties, seed, values })
    }
}

impl<V> Input<V> {
    /// The dealer's seed.
    fn dealer(&self) -> Seed {
        Seed::from_bytes(core::array::from_fn(|i| self.seed.to_le_bytes()[i % 8] ^ i as u8))
    }

    /// Each party's shares of a secret.
    pub fn split<R: Ring>(&self, secret: &[R]) -> Vec<ArithmeticShares<R>> {
        let seed = Seed::from_bytes(core::array::from_fn(|i| self.seed.to_le_bytes()[i % 8].rotate_left(i as u32)));
        let shares = ArithmeticShares::split(&[secret.len()], secret, self.parties, &mut Prg::new(seed));
        shares.expect("the number of parties is supported")
    }

    /// The secret whose shares a protocol ends with.
    pub fn run<R: Ring>(
        &self,
        plan: &[Request],
        protocol: impl AsyncFn(
            &mut Party,
            &mut CorrelationSource<'_>,
        ) -> core::result::Result<ArithmeticShares<R>, ProtocolError>,
    ) -> Vec<R> {
        let outcomes = run_on_one_thread::<R, _>(self.parties, plan, self.dealer(), protocol);
        let outcomes = outcomes.expect("the plan is what the protocol needs");
        let shares: Vec<_> = outcomes.into_iter().map(|outcome| outcome.output).collect();
        ArithmeticShares::reconstruct(&shares).expect("all parties' shares have one shape")
    }
}

/// A second copy, which the library does not offer.
pub fn copy<R: Ring>(shares: &ArithmeticShares<R>) -> ArithmeticShares<R> {
    ArithmeticShares::from_elements(shares.elements().to_vec())
}

/// The plan of bit triples.
pub fn requests(planes: &[Planes]) -> Vec<Request> {
    planes.iter().map(BitTriples::request).collect()
}

/// Draws the triples of a plan.
pub async fn triples(
    source: &mut CorrelationSource<'_>,
    planes: &[Planes],
) -> core::result::Result<Vec<BitTriples>, ProtocolError> {
    let mut triples = Vec::new();
    for &planes in planes {
        triples.push(source.next(planes).await?);
    }
    Ok(triples)
}

/// A width of comparison, and values x that fit it: |x / 2^`shift`| < 2^{k−2} − n.
#[derive(Debug)]
pub struct Rescaling {
    pub bits: u32,
    pub shift: u32,
    pub input: Input<i64>,
}

impl<'a> Arbitrary<'a> for Rescaling {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let (bits, shift) = (u.int_in_range(5..=42)?, u.int_in_range(0..=22)?);
        let mut input = Input::<i64>::arbitrary(u)?;
        let bound = ((1i64 << (bits - 2)) - input.parties as i64) << shift;
        input.values.iter_mut().for_each(|x| *x %= bound);
        Ok(Self { bits, shift, input })
    }
}

impl Rescaling {
    /// The values as ring elements.
    pub fn elements(&self) -> Vec<u64> {
        self.input.values.iter().map(|&x| x as u64).collect()
    }

    /// Checks that y is x / 2^f, as `of` has x, within n/2 units in the last place and n − 1 of the rounded quotient.
    pub fn check(&self, y: &[u64], of: impl Fn(i64) -> i64) {
        let parties = self.input.parties as i128;
        for (&x, &y) in self.input.values.iter().zip(y) {
            let (x, y) = (i128::from(of(x)), i128::from(y as i64));
            let error = (y << self.shift) - x;
            let limit = if self.shift == 0 { 0 } else { parties << self.shift };
            assert!(2 * error.abs() <= limit, "{x} gave {y}");
            let rounded = (x + (1 << self.shift >> 1)) >> self.shift;
            assert!((y - rounded).abs() < parties, "{x} gave {y}");
        }
    }
}
