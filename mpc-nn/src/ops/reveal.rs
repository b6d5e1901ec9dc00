//! Those who learn the outputs learn a value. No operation of a graph: a plan ends with one for each output.

use mpc_protocols::sharing;

use super::prelude::*;
use super::tensors::copy;

pub(super) struct RevealStep;

impl Protocol for RevealStep {
    fn kind(&self) -> &'static str {
        "output"
    }

    /// A number as it is, so that one beyond its bound is found out; of an index its bits.
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
            Format::Number(_) => run.outputs.reveal(run.party, step, &x).await?,
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

/// The lowest bits of each share: a sharing of the element's lowest bits, modulo 2^`bits`.
fn low_bits<R: Ring>(x: &ArithmeticShares<R>, bits: u32) -> ArithmeticShares<R> {
    let mut low = copy(x);
    low.elements_mut().iter_mut().for_each(|x| *x = *x & R::low_mask(bits));
    low
}
