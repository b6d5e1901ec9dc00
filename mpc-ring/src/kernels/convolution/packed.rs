//! Weights brought once into the order in which a backend reads them, for any number of convolutions.

use super::parts::Operands;
use super::{Convolution, convolution_modulo_with};
use crate::kernels::Backend;
#[cfg(target_arch = "x86_64")]
use crate::kernels::{amx, avx512};
use crate::ring::Ring;

impl Convolution {
    /// The elements that [`pack_weights`] writes: none where packing gains nothing on this machine.
    #[must_use]
    pub fn packed_len<R: Ring>(&self) -> usize {
        self.packed_len_with::<R>(Backend::detect())
    }

    /// [`packed_len`](Self::packed_len) for a given backend.
    #[must_use]
    pub fn packed_len_with<R: Ring>(&self, backend: Backend) -> usize {
        self.groups * group_len::<R>(backend, &self.group())
    }
}

/// Packs the weights of a convolution for [`convolution_packed`]. For all batches and sizes of images of one width the
/// result is the same.
///
/// # Panics
/// If the shape is not valid, the weights' length differs from that of the shape, or `packed` does not have
/// [`packed_len`](Convolution::packed_len) elements.
pub fn pack_weights<R: Ring>(shape: &Convolution, weights: &[R], packed: &mut [R]) {
    pack_weights_with(Backend::detect(), shape, weights, packed);
}

/// [`pack_weights`] for a given backend.
///
/// # Panics
/// As [`pack_weights`] does.
pub fn pack_weights_with<R: Ring>(backend: Backend, shape: &Convolution, weights: &[R], packed: &mut [R]) {
    shape.expect_valid();
    assert_eq!(weights.len(), shape.weight_len(), "the weights' length");
    assert_eq!(packed.len(), shape.packed_len_with::<R>(backend), "the packed weights' length");
    let group = shape.group();
    let len = group_len::<R>(backend, &group);
    if len == 0 {
        return;
    }
    for (weights, packed) in weights.chunks_exact(group.weight_len()).zip(packed.chunks_exact_mut(len)) {
        pack_group(&group, weights, packed);
    }
}

/// As [`convolution`](crate::convolution), of weights that [`pack_weights`] has packed for this shape besides.
///
/// ```
/// use mpc_ring::{Convolution, convolution_packed, pack_weights};
/// let shape = Convolution { padding: [0, 0, 0, 1], ..Convolution::valid([1, 1], [1, 3], [1, 2]) };
/// let weights = [10u64, 1];
/// let mut packed = vec![0; shape.packed_len::<u64>()];
/// pack_weights(&shape, &weights, &mut packed);
/// let (mut output, mut scratch) = ([0; 3], vec![0; shape.scratch_len()]);
/// convolution_packed(&shape, &[1, 2, 3], &weights, &packed, &mut output, &mut scratch);
/// assert_eq!(output, [12, 23, 30]);
/// ```
///
/// # Panics
/// As [`convolution`](crate::convolution) does, and if `packed` does not have [`packed_len`](Convolution::packed_len)
/// elements.
pub fn convolution_packed<R: Ring>(
    shape: &Convolution,
    input: &[R],
    weights: &[R],
    packed: &[R],
    output: &mut [R],
    scratch: &mut [R],
) {
    convolution_packed_modulo(R::BITS, shape, input, weights, packed, output, scratch);
}

/// As [`convolution_packed`], of which the `bits` low bits are read: what is above them is arbitrary. Bytes that are not read are
/// not multiplied.
///
/// # Panics
/// As [`convolution_packed`] does.
pub fn convolution_packed_modulo<R: Ring>(
    bits: u32,
    shape: &Convolution,
    input: &[R],
    weights: &[R],
    packed: &[R],
    output: &mut [R],
    scratch: &mut [R],
) {
    convolution_packed_modulo_with(Backend::detect(), bits, shape, input, weights, packed, output, scratch);
}

/// [`convolution_packed_modulo`] by a given backend.
///
/// # Panics
/// As [`convolution_packed`] does, and if the backend is not available on this machine.
#[expect(clippy::too_many_arguments)]
pub fn convolution_packed_modulo_with<R: Ring>(
    backend: Backend,
    bits: u32,
    shape: &Convolution,
    input: &[R],
    weights: &[R],
    packed: &[R],
    output: &mut [R],
    scratch: &mut [R],
) {
    assert_eq!(packed.len(), shape.packed_len_with::<R>(backend), "the packed weights' length");
    if packed.is_empty() {
        return convolution_modulo_with(backend, bits, shape, input, weights, output, scratch);
    }
    let operands = Operands { shape: *shape, input, weights, packed, output, scratch };
    operands.check(backend);
    operands.for_each_part(|Operands { shape, input, packed, output, scratch, .. }| {
        let group = shape.group();
        let images = input.chunks_exact(group.input_len()).zip(output.chunks_exact_mut(group.output_len()));
        let packed = packed.chunks_exact(packed.len() / shape.groups).cycle();
        for ((input, output), packed) in images.zip(packed) {
            convolve_group(&group, bits, input, packed, output, scratch);
        }
    });
}

/// The elements of one group's packed weights.
#[cfg(target_arch = "x86_64")]
fn group_len<R: Ring>(backend: Backend, group: &Convolution) -> usize {
    match backend {
        Backend::Amx if amx::pays::<R>(group) => amx::packed_len::<R>(group) / R::BYTES,
        _ => 0,
    }
}

#[cfg(target_arch = "x86_64")]
fn pack_group<R: Ring>(group: &Convolution, weights: &[R], packed: &mut [R]) {
    amx::pack(group, weights, R::bytes_of_mut(packed));
}

#[cfg(target_arch = "x86_64")]
fn convolve_group<R: Ring>(
    group: &Convolution,
    bits: u32,
    input: &[R],
    packed: &[R],
    output: &mut [R],
    scratch: &mut [R],
) {
    let bytes = bits.clamp(1, R::BITS).div_ceil(8) as usize;
    let (packed, scratch) = (R::bytes_of(packed), R::bytes_of_mut(scratch));
    avx512::vectorized(amx::Convolve { group, bytes, input, packed, output, scratch });
}

/// The elements of scratch that a packed convolution needs on this machine.
#[cfg(target_arch = "x86_64")]
pub(super) fn scratch_len(group: &Convolution) -> usize {
    // A plane has a byte of each element. What is besides takes the most elements where they are smallest.
    if amx::is_available() && amx::pays::<u32>(group) { amx::scratch_len::<u32>(group).div_ceil(u32::BYTES) } else { 0 }
}

#[cfg(not(target_arch = "x86_64"))]
fn group_len<R: Ring>(_: Backend, _: &Convolution) -> usize {
    0
}

#[cfg(not(target_arch = "x86_64"))]
fn pack_group<R: Ring>(_: &Convolution, _: &[R], _: &mut [R]) {}

#[cfg(not(target_arch = "x86_64"))]
fn convolve_group<R: Ring>(_: &Convolution, _: u32, _: &[R], _: &[R], _: &mut [R], _: &mut [R]) {}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn scratch_len(_: &Convolution) -> usize {
    0
}
