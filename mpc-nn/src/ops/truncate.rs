//! A value without its lowest bits, in place. No operation of a graph: a plan has one where a layer needs f fractional bits.

use mpc_protocols::truncation::{self, LiftShape, truncate};

use super::prelude::*;
use super::tensors::map;

pub(super) struct TruncateStep {
    pub(super) shift: u32,
    pub(super) bits: u32,
}

impl Protocol for TruncateStep {
    fn kind(&self) -> &'static str {
        "truncation"
    }

    fn reads<R: Ring>(&self, _step: &Step, _operand: usize) -> u32 {
        self.bits + self.shift
    }

    fn in_place(&self) -> bool {
        true
    }

    fn needs(&self, elements: usize) -> Needs {
        Needs::Lift(LiftShape { len: elements, bits: self.bits })
    }

    fn online<R: Ring>(&self, elements: usize, _width: u32, settings: &Settings, _party: usize) -> Traffic {
        truncation::traffic(LiftShape { len: elements, bits: self.bits }, settings.parties)
    }

    fn workspace(&self, operands: usize, elements: usize) -> usize {
        opening(operands, elements)
    }

    async fn run<R: Ring>(
        &self,
        run: &mut Run<'_, R>,
        step: &Step,
        material: Material<R>,
    ) -> Result<ArithmeticShares<R>, Failure> {
        let Material::Lift(mask) = material else { return Err(Failure::NoValue) };
        let x = run.values.take(step)?;
        Ok(truncate(run.party, &x, self.shift, mask).await?)
    }

    fn ideal<R: Ring>(&self, mut ideal: Ideal<'_, R>, _step: &Step) -> Result<Vec<R>, Failure> {
        Ok(map(ideal.take()?.elements(), |x| truncated(x, self.shift)))
    }
}

/// x / 2^shift to the nearest integer.
pub(super) fn truncated(x: i128, shift: u32) -> i128 {
    if shift == 0 { x } else { ((x >> (shift - 1)) + 1) >> 1 }
}
