//! Plain Rust.

use super::PLANE_BLOCKS;

fn sigma(x: u128) -> u128 {
    x.rotate_left(64) ^ (x & (u128::MAX << 64))
}

pub(super) fn orthomorphism(blocks: &[u128], offset: u128, step: u64, images: &mut [u128]) {
    orthomorphism_from(0, blocks, offset, step, images);
}

/// As [`orthomorphism`], with the tweak of the first block.
pub(super) fn orthomorphism_from(mut tweak: u64, blocks: &[u128], offset: u128, step: u64, images: &mut [u128]) {
    for (image, &block) in images.iter_mut().zip(blocks) {
        *image = sigma(block ^ offset ^ u128::from(tweak));
        tweak = tweak.wrapping_add(step);
    }
}

pub(super) fn children(left: &mut [u128], ciphered: &[u128], right: &mut [u128]) -> [u128; 2] {
    let mut sums = [0; 2];
    for ((left, ciphered), right) in left.iter_mut().zip(ciphered).zip(right) {
        let node = *left;
        *left = sigma(node) ^ ciphered;
        *right = node ^ *left;
        sums[0] ^= *left;
        sums[1] ^= *right;
    }
    sums
}

pub(super) fn xor_at(blocks: &mut [u128], keep: u128, place: u64, value: u128) {
    for (index, block) in blocks.iter_mut().enumerate() {
        // All ones where the difference is zero, as it has no bit otherwise to borrow from.
        let difference = u128::from(index as u64 ^ place);
        let here = (difference.wrapping_sub(1) >> 127).wrapping_neg();
        *block = (*block & keep) ^ (here & value);
    }
}

pub(super) fn low_planes(blocks: &[u128; PLANE_BLOCKS], planes: &mut [u64]) {
    for (bit, plane) in planes.iter_mut().enumerate() {
        *plane = blocks.iter().enumerate().fold(0, |word, (lane, x)| word | (*x as u64 >> bit & 1) << lane);
    }
}
