//! Whole vectors of blocks by a backend's instructions, and what is left of them in plain Rust.

use super::portable;

pub(super) fn orthomorphism<const LANES: usize>(
    blocks: &[u128],
    offset: u128,
    step: u64,
    images: &mut [u128],
    of_vectors: impl FnOnce(&[[u128; LANES]], &mut [[u128; LANES]]),
) {
    let (blocks, last) = blocks.as_chunks();
    let (images, last_images) = images.as_chunks_mut();
    of_vectors(blocks, images);
    let tweak = ((blocks.len() * LANES) as u64).wrapping_mul(step);
    portable::orthomorphism_from(tweak, last, offset, step, last_images);
}

pub(super) fn children<const LANES: usize>(
    left: &mut [u128],
    ciphered: &[u128],
    right: &mut [u128],
    of_vectors: impl FnOnce(&mut [[u128; LANES]], &[[u128; LANES]], &mut [[u128; LANES]]) -> [u128; 2],
) -> [u128; 2] {
    let (left, last_left) = left.as_chunks_mut();
    let (ciphered, last_ciphered) = ciphered.as_chunks();
    let (right, last_right) = right.as_chunks_mut();
    let sums = of_vectors(left, ciphered, right);
    let last = portable::children(last_left, last_ciphered, last_right);
    [sums[0] ^ last[0], sums[1] ^ last[1]]
}

pub(super) fn xor_at<const LANES: usize>(
    blocks: &mut [u128],
    keep: u128,
    place: u64,
    value: u128,
    of_vectors: impl FnOnce(&mut [[u128; LANES]]),
) {
    let (blocks, last) = blocks.as_chunks_mut();
    of_vectors(blocks);
    // A place before these becomes one behind all.
    portable::xor_at(last, keep, place.wrapping_sub((blocks.len() * LANES) as u64), value);
}
