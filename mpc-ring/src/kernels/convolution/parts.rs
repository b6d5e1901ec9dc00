//! A convolution cut into parts for the threads of the process.

use super::Convolution;
use crate::kernels::Backend;
use crate::ring::Ring;
use crate::threads;

/// A part with fewer multiplications takes less time than to hand it to a thread.
const LEAST_MULTIPLICATIONS: u64 = 1 << 17;

/// Output channels are cut at multiples of this many: those of the largest tile of any backend.
const CHANNELS: usize = 16;

/// The operands of a convolution, or of a part of one.
pub(super) struct Operands<'a, R> {
    pub(super) shape: Convolution,
    pub(super) input: &'a [R],
    pub(super) weights: &'a [R],
    /// The packed weights, or nothing.
    pub(super) packed: &'a [R],
    pub(super) output: &'a mut [R],
    pub(super) scratch: &'a mut [R],
}

impl<R: Ring> Operands<'_, R> {
    pub(super) fn check(&self, backend: Backend) {
        let shape = &self.shape;
        assert!(backend.is_available(), "{backend:?} is not available on this machine");
        shape.expect_valid();
        assert_eq!(self.input.len(), shape.input_len(), "the input's length");
        assert_eq!(self.weights.len(), shape.weight_len(), "the weights' length");
        assert_eq!(self.output.len(), shape.output_len(), "the output's length");
        assert!(self.scratch.len() >= shape.scratch_len(), "the scratch's length");
    }

    /// Does `work` for all parts, each with scratch of its own: some images, or some output channels of the only one.
    pub(super) fn for_each_part(self, work: impl Fn(Operands<'_, R>) + Sync) {
        let Self { shape, input, weights, packed, output, scratch } = self;
        let threads = threads::count();
        let parts = (shape.multiplications() / LEAST_MULTIPLICATIONS).min(threads as u64) as usize;
        let scratch =
            scratch.chunks_mut(shape.part_scratch_len().max(1)).chain(core::iter::repeat_with(Default::default));
        if parts > 1 && shape.batch > 1 {
            let images = shape.batch.div_ceil(parts);
            let [input_len, output_len] = [shape.input_len(), shape.output_len()].map(|len| len / shape.batch * images);
            let operands = input.chunks(input_len).zip(output.chunks_mut(output_len)).zip(scratch);
            threads::for_each(operands, |((input, output), scratch)| {
                let batch = input.len() / (input_len / images);
                work(Operands { shape: Convolution { batch, ..shape }, input, weights, packed, output, scratch });
            });
        } else if parts > 1 && shape.groups == 1 && shape.output_channels > CHANNELS {
            let channels = shape.output_channels.div_ceil(parts).next_multiple_of(CHANNELS);
            let blocks = shape.output_channels.div_ceil(CHANNELS);
            let [weight_len, output_len] =
                [weights.len(), output.len()].map(|len| len / shape.output_channels * channels);
            let packed_len = (packed.len() / blocks * (channels / CHANNELS)).max(1);
            let packed = packed.chunks(packed_len).chain(core::iter::repeat_with(Default::default));
            let operands = weights.chunks(weight_len).zip(packed).zip(output.chunks_mut(output_len)).zip(scratch);
            threads::for_each(operands, |(((weights, packed), output), scratch)| {
                let output_channels = weights.len() / (weight_len / channels);
                let shape = Convolution { output_channels, ..shape };
                work(Operands { shape, input, weights, packed, output, scratch });
            });
        } else {
            for scratch in scratch.take(1) {
                work(Operands { shape, input, weights, packed, output: &mut *output, scratch });
            }
        }
    }
}
