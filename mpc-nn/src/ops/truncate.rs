//! A value without its lowest bits, in place. No operation of a graph: a plan has one where a layer needs f fractional bits.

use mpc_protocols::truncation::{self, LiftShape, reduce, truncate, truncate_between_two};

use super::prelude::*;
use super::tensors::map;
use crate::plan::step::Lifting;

pub(super) struct TruncateStep {
    pub(super) shift: u32,
    pub(super) bits: u32,
    pub(super) lifting: Lifting,
}

impl Protocol for TruncateStep {
    fn kind(&self) -> &'static str {
        "truncation"
    }

    fn reads<R: Ring>(&self, step: &Step, _operand: usize) -> u32 {
        match self.lifting {
            Lifting::Nothing => step.width + self.shift,
            Lifting::Masked | Lifting::Carried => self.bits + self.shift,
        }
    }

    fn in_place(&self) -> bool {
        true
    }

    fn needs(&self, elements: usize) -> Needs {
        let shape = LiftShape { len: elements, bits: self.bits };
        match self.lifting {
            Lifting::Masked => Needs::Lift(shape),
            Lifting::Carried => Needs::Carries(shape),
            Lifting::Nothing => Needs::Nothing,
        }
    }

    fn online<R: Ring>(&self, elements: usize, _width: u32, settings: &Settings, _party: usize) -> Traffic {
        match self.lifting {
            Lifting::Masked => truncation::traffic(LiftShape { len: elements, bits: self.bits }, settings.parties),
            Lifting::Carried => truncation::carry_traffic(elements),
            Lifting::Nothing => Traffic::default(),
        }
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
        let x = run.values.take(step)?;
        Ok(match (self.lifting, material) {
            (Lifting::Masked, Material::Lift(mask)) => truncate(run.party, &x, self.shift, mask).await?,
            (Lifting::Carried, Material::Carries(bits)) => {
                truncate_between_two(run.party, &x, self.shift, self.bits, bits).await?
            }
            (Lifting::Nothing, Material::Nothing) => reduce(run.party, x, self.shift),
            _ => return Err(Failure::NoValue),
        })
    }

    fn ideal<R: Ring>(&self, mut ideal: Ideal<'_, R>, _step: &Step) -> Result<Vec<R>, Failure> {
        Ok(map(ideal.take()?.elements(), |x| truncated(x, self.shift)))
    }
}

/// x / 2^shift to the nearest integer.
pub(super) fn truncated(x: i128, shift: u32) -> i128 {
    if shift == 0 { x } else { ((x >> (shift - 1)) + 1) >> 1 }
}
