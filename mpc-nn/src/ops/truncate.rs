//! A value without its lowest bits, in place. No operation of a graph: a plan has one where a layer needs f fractional bits.

use mpc_protocols::truncation::{self, LiftShape, truncate};

use super::prelude::*;
use super::tensors::map;

pub(super) struct TruncateStep {
    pub(super) shift: u32,
    pub(super) shape: LiftShape,
}

impl Protocol for TruncateStep {
    fn kind(&self) -> &'static str {
        "truncation"
    }

    fn needs(&self, _elements: usize) -> Needs {
        Needs::Lift(self.shape)
    }

    fn online<R: Ring>(&self, _elements: usize, settings: &Settings, _party: usize) -> Traffic {
        truncation::traffic(self.shape, settings.parties)
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
