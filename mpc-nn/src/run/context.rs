//! The data that a step works with, at a party and in the clear.

use alloc::vec::Vec;

use mpc_protocols::fixed_weights::FixedWeights;
use mpc_protocols::{Party, ProtocolError, sharing};
use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, Prg, SecretVec};
use ndarray::ArrayD;

use crate::ops::values::{Failure, Operands, Values};
use crate::plan::settings::Settings;
use crate::plan::step::Step;

/// One party's run: what it works with, and the values so far.
pub(crate) struct Run<'a, R: Ring> {
    pub(crate) party: &'a mut Party,
    pub(crate) settings: &'a Settings,
    pub(crate) steps: &'a [Step],
    pub(crate) weights: &'a [FixedWeights<R>],
    pub(crate) constants: &'a [ArithmeticShares<R>],
    /// For the shares of inputs; ways that run beside others have none.
    pub(crate) generator: Option<&'a mut Prg>,
    /// This party's part of each input of the graph.
    pub(crate) inputs: Vec<Option<Input<R>>>,
    pub(crate) values: Values<'a, R>,
    pub(crate) outputs: Collected<R>,
}

impl<R: Ring> Run<'_, R> {
    /// Stores the value that a step gives.
    pub(crate) fn set(&mut self, step: &Step, mut value: ArithmeticShares<R>) {
        if cfg!(debug_assertions) {
            disturb(value.elements_mut(), step.width, self.party.index());
        }
        self.values.set(step, value);
    }
}

/// Changes the bits of a share that nobody may read, so that every test of an inference finds a step that does.
fn disturb<R: Ring>(elements: &mut [R], width: u32, party: usize) {
    let low = R::low_mask(width);
    let mut noise = R::from_u64(2 * party as u64 + 1);
    for element in elements {
        noise = noise.wrapping_mul(R::from_u128(0xda94_2042_e4dd_58b5_9e37_79b9_7f4a_7c15));
        *element = (*element & low) | (noise & !low);
    }
}

/// The data that a step works with where nothing is shared.
pub(crate) struct Ideal<'a, R: Ring> {
    pub(crate) operands: Operands<'a, R>,
    /// The value of the step's own node, for a step that changes it in place.
    pub(crate) own: Option<ArithmeticShares<R>>,
    pub(crate) weights: &'a [&'a [R]],
    /// The inputs of the graph.
    pub(crate) inputs: &'a mut [Option<SecretVec<R>>],
}

impl<R: Ring> Ideal<'_, R> {
    /// The elements of an operand.
    pub(crate) fn elements(&self, at: usize) -> Result<&[R], Failure> {
        Ok(self.operands.values.get(at).ok_or(Failure::NoValue)?.elements())
    }

    /// The value of the step's own node.
    pub(crate) fn take(&mut self) -> Result<ArithmeticShares<R>, Failure> {
        self.own.take().ok_or(Failure::NoValue)
    }
}

/// A party's part of one input.
pub(crate) enum Input<R: Ring> {
    /// It is its owner.
    Secret(SecretVec<R>),
    /// It was sent a share.
    Share(ArithmeticShares<R>),
}

/// The outputs so far.
#[derive(Default)]
pub(crate) struct Collected<R: Ring> {
    pub(super) recipients: Vec<usize>,
    pub(super) revealed: Vec<ArrayD<f64>>,
    /// This party's shares, if they go outside, and how many there are so far.
    pub(super) shares: Option<(SecretVec<R>, usize)>,
}

impl<R: Ring> Collected<R> {
    /// Reveals an output to the parties that are to learn it, and keeps the share that goes outside.
    pub(crate) async fn reveal(
        &mut self,
        party: &mut Party,
        step: &Step,
        x: &ArithmeticShares<R>,
    ) -> Result<(), ProtocolError> {
        if let Some((shares, len)) = &mut self.shares {
            shares[*len..][..x.len()].copy_from_slice(x.elements());
            *len += x.len();
        }
        if let Some(elements) = sharing::reveal_to(party, &self.recipients, x).await?.map(SecretVec::from) {
            self.revealed.push(step.format.decode(&elements, &step.shape));
        }
        Ok(())
    }
}
