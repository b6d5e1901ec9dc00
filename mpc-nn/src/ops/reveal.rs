//! Those who learn the outputs learn a value. No operation of a graph: a plan ends with one for each output.

use mpc_protocols::sharing;
use mpc_shares::SecretVec;
use ndarray::ArrayD;

use super::prelude::*;
use super::tensors::{copy, map, offset};
use super::truncate::truncated;

pub(super) struct RevealStep {
    /// The bits that are cut off.
    pub(super) shift: u32,
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
        match &step.format {
            Format::Number(_) if self.shift == 0 => run.outputs.reveal(run.party, step, &x).await?,
            Format::Number(_) => {
                let rounded = rounded(&x, self.shift, run.party.index(), run.settings.parties);
                run.outputs.reveal(run.party, step, &rounded).await?;
            }
            // What is above the index is not part of the result.
            Format::Index(index) | Format::Ranked(index) => {
                run.outputs.reveal(run.party, step, &low_bits(&x, index.bits)).await?;
            }
        }
        Ok(x)
    }

    fn ideal<R: Ring>(&self, mut ideal: Ideal<'_, R>, _step: &Step) -> Result<Vec<R>, Failure> {
        Ok(ideal.take()?.into_elements())
    }
}

impl Step {
    /// Real numbers from the sums of what the parties revealed. Of a number that was cut the sum is known modulo
    /// 2^{ℓ−shift}.
    pub(crate) fn decode_revealed<R: Ring>(&self, sums: &[R]) -> ArrayD<f64> {
        let shift = self.cut();
        let signed: SecretVec<R> = sums.iter().map(|&sum| (sum << shift).shift_right_signed(shift)).collect();
        self.format.decode(&signed, &self.shape)
    }

    /// Real numbers from a value in the clear as the step leaves it, or, if the step reveals it, without the bits that it
    /// cuts off.
    pub(crate) fn decode_clear<R: Ring>(&self, value: &[R]) -> ArrayD<f64> {
        self.format.decode(&map(value, |x| truncated(x, self.cut())), &self.shape)
    }

    fn cut(&self) -> u32 {
        if let Action::Reveal { shift, .. } = self.action { shift } else { 0 }
    }
}

/// Each share without its lowest bits: together they are the element without them modulo 2^{ℓ−shift}, up to half a unit for
/// each party, as every share is rounded down and half a unit for each was added before.
fn rounded<R: Ring>(x: &ArithmeticShares<R>, shift: u32, party: usize, parties: usize) -> ArithmeticShares<R> {
    let mut high = offset(copy(x), (parties as i128) << (shift - 1), party);
    high.elements_mut().iter_mut().for_each(|x| *x = *x >> shift);
    high
}

/// The lowest bits of each share: a sharing of the element's lowest bits, modulo 2^`bits`.
fn low_bits<R: Ring>(x: &ArithmeticShares<R>, bits: u32) -> ArithmeticShares<R> {
    let mut low = copy(x);
    low.elements_mut().iter_mut().for_each(|x| *x = *x & R::low_mask(bits));
    low
}
