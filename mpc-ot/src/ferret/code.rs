//! The 10-local linear code: its places are public and the same for both parties.

use mpc_ring::kernels::gather_xor;
use zeroize::Zeroize;

use super::parameters::LOCALITY;
use crate::hash::Permutation;

/// Outputs whose places are made together: a whole number of the cipher's batches.
const CHUNK: usize = 128;
const BLOCKS: usize = CHUNK * LOCALITY / 4;

/// Adds to each of `outputs` ten places of `short`, of which the length is a power of two. The places come from the counter
/// mode of `places`, 32 bits each, the upper ones ignored: so they are unbiased.
///
/// `start` is the place of the first output in the round, a multiple of 128.
pub(super) fn encode(places: &Permutation, start: usize, short: &[u128], outputs: &mut [u128]) {
    let mut blocks = [0u128; BLOCKS];
    for (chunk, outputs) in outputs.chunks_mut(CHUNK).enumerate() {
        let counter = (start / CHUNK + chunk) * BLOCKS;
        places.count(counter as u64, &mut blocks);
        if cfg!(target_endian = "big") {
            blocks.iter_mut().for_each(|block| *block = block.swap_bytes());
        }
        let places: &mut [u32] = bytemuck::cast_slice_mut(&mut blocks);
        if cfg!(target_endian = "big") {
            places.iter_mut().for_each(|place| *place = place.swap_bytes());
        }
        gather_xor(short, places.as_chunks::<LOCALITY>().0, outputs);
    }
    blocks.zeroize();
}
