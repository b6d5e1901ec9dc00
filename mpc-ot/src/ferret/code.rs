//! The 10-local linear code: its places are public and the same for both parties.

use mpc_ring::kernels::gather_xor;
use zeroize::Zeroize;

use super::parameters::LOCALITY;
use crate::hash::Permutation;

/// Outputs whose places are made together: a whole number of the cipher's batches.
const CHUNK: usize = 128;
const BLOCKS: usize = CHUNK * LOCALITY / 4;

/// Adds to each output of each of `L` lanes ten places of the lane's short vector, of which the length is a power of two: the same
/// places for all lanes. `short` has them place by place, `outputs` lane after lane. The places come from the counter mode of
/// `places`, 32 bits each, the upper ones ignored: so they are unbiased.
///
/// `start` is the place of the first output of a lane in the round, a multiple of 128.
pub(super) fn encode<const L: usize>(places: &Permutation, start: usize, short: &[u128], outputs: &mut [u128]) {
    let short = short.as_chunks::<L>().0;
    let len = outputs.len() / L;
    let mut lanes = outputs.chunks_exact_mut(len);
    let mut lanes: [_; L] = core::array::from_fn(|_| lanes.next().unwrap_or_default());
    let mut blocks = [0u128; BLOCKS];
    for (chunk, at) in (0..len).step_by(CHUNK).enumerate() {
        let counter = (start / CHUNK + chunk) * BLOCKS;
        places.count(counter as u64, &mut blocks);
        if cfg!(target_endian = "big") {
            blocks.iter_mut().for_each(|block| *block = block.swap_bytes());
        }
        let places: &mut [u32] = bytemuck::cast_slice_mut(&mut blocks);
        if cfg!(target_endian = "big") {
            places.iter_mut().for_each(|place| *place = place.swap_bytes());
        }
        let outputs = lanes.each_mut().map(|lane| &mut lane[at..len.min(at + CHUNK)]);
        gather_xor(short, places.as_chunks::<LOCALITY>().0, outputs);
    }
    blocks.zeroize();
}
