//! Those who learn the outputs learn a value. No operation of a graph: a plan ends with one for each output.

use mpc_protocols::sharing;

use super::prelude::*;
use super::tensors::copy;

/// A value is computed with more fractional bits than its result has: a product has 2f. Of a number each party reveals its
/// share without the `drop` lowest bits, so that nobody learns them; the sum of such shares is the number with an error in
/// (−n/2, n/2] units of what is left, without a message more.
pub(super) struct RevealStep {
    pub(super) drop: u32,
}

impl RevealStep {
    /// A party's share of the result, modulo 2^ℓ.
    fn share<R: Ring>(
        &self,
        x: &ArithmeticShares<R>,
        step: &Step,
        party: usize,
        parties: usize,
    ) -> ArithmeticShares<R> {
        match step.format {
            Format::Number(_) if self.drop == 0 => copy(x),
            Format::Number(_) => rounded(x, self.drop, party, parties),
            // What is above the index is not part of the result.
            Format::Index(index) | Format::Ranked(index) => changed(x, |x| x & R::low_mask(index.bits)),
        }
    }
}

impl Protocol for RevealStep {
    fn kind(&self) -> &'static str {
        "output"
    }

    /// All bits of a number, so that one beyond its bound is found out; of an index its bits.
    fn reads<R: Ring>(&self, step: &Step, _operand: usize) -> u32 {
        let read = match step.format {
            Format::Number(_) => R::BITS,
            Format::Index(index) | Format::Ranked(index) => index.bits,
        };
        read.max(step.width)
    }

    fn in_place(&self) -> bool {
        true
    }

    fn needs(&self, _elements: usize) -> Needs {
        Needs::Nothing
    }

    fn online<R: Ring>(&self, elements: usize, _width: u32, settings: &Settings, party: usize) -> Traffic {
        let recipients = settings.roles.recipients().parties();
        sharing::reveal_to_traffic::<R>(elements, party, &recipients, settings.parties)
    }

    fn workspace(&self, operands: usize, elements: usize) -> usize {
        2 * operands.max(elements)
    }

    async fn run<R: Ring>(
        &self,
        run: &mut Run<'_, R>,
        step: &Step,
        _material: Material<R>,
    ) -> Result<ArithmeticShares<R>, Failure> {
        let x = run.values.take(step)?;
        let result = self.share(&x, step, run.party.index(), run.party.parties());
        run.outputs.reveal(run.party, step, &result).await?;
        Ok(x)
    }

    fn ideal<R: Ring>(&self, mut ideal: Ideal<'_, R>, step: &Step) -> Result<Vec<R>, Failure> {
        Ok(self.share(&ideal.take()?, step, 0, 1).into_elements())
    }
}

/// A party's share without its `drop` lowest bits. Of n such shares the sum lacks between 0 and n units; party 0 adds the
/// half before.
fn rounded<R: Ring>(x: &ArithmeticShares<R>, drop: u32, party: usize, parties: usize) -> ArithmeticShares<R> {
    let half = if party == 0 { R::from_u64(parties as u64) << (drop - 1) } else { R::from_u64(0) };
    changed(x, |x| x.wrapping_add(half) & !R::low_mask(drop))
}

/// A copy of a party's share with each element changed.
fn changed<R: Ring>(x: &ArithmeticShares<R>, change: impl Fn(R) -> R) -> ArithmeticShares<R> {
    let mut result = copy(x);
    result.elements_mut().iter_mut().for_each(|x| *x = change(*x));
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_below_the_last_place_is_revealed_and_the_rest_is_rounded(
            y in any::<i64>(),
            own in prop::collection::vec(any::<u64>(), 1..8),
            drop in 1u32..40,
        ) {
            let y = y >> 8;
            let first = own.iter().fold(y as u64, |rest, &share| rest.wrapping_sub(share));
            let shares: Vec<u64> = [first].into_iter().chain(own).collect();
            let parties = shares.len();
            let revealed = shares.iter().enumerate().map(|(party, &share)| {
                rounded(&ArithmeticShares::from_elements(vec![share]), drop, party, parties).elements()[0]
            });
            let revealed: Vec<u64> = revealed.collect();
            prop_assert!(revealed.iter().all(|share| share & u64::low_mask(drop) == 0));
            let sum = revealed.iter().fold(0u64, |sum, &share| sum.wrapping_add(share)) as i64;
            let error = i128::from(sum) - i128::from(y);
            let half = (parties as i128) << (drop - 1);
            prop_assert!(-half < error && error <= half, "{error}");
        }
    }
}
