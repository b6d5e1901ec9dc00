//! Correlated OTs from 128 base OTs, without another assumption: SoftSpoken, semi-honest.
//!
//! Roy, "SoftSpokenOT: Quieter OT extension from small-field silent VOLE" (CRYPTO 2022), sections 3 and 4: Δ is cut into
//! 128/k' parts of k' bits. For each part both parties have a tree of 2^k' seeds, of which the sender lacks the one at that
//! part. With r_x the expansion of seed x, the receiver has u = ⊕ r_x and v = ⊕ x·r_x, the sender ⊕ (x ⊕ Δ)·r_x = v ⊕ Δ·u.
//! The receiver's choice bits are the u of the first part, and it sends the differences of the others to them.
//!
//! # Security
//! Semi-honest. A receiver that sends wrong differences can learn bits of Δ; the paper's consistency check is not done.
//!
//! # Rounds and communication
//! Once [`SETUP_BYTES`] from receiver to sender; then (128/k' − 1) bits a transfer in the same direction: 63 bits for k' = 2,
//! 31 for k' = 4, 15 for k' = 8.

use alloc::vec::Vec;

use mpc_ring::kernels::vectorized;
use mpc_ring::packing::words_for;
use mpc_shares::SecretVec;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::base;
use crate::error::check_message;
use crate::hash::Permutation;
use crate::planes::{BLOCK, blocks_of_planes};
use crate::tree::{Doubling, grow, grow_punctured, mask};
use crate::{Cots, OtError};

/// Bytes of the message that sets an extension up.
pub const SETUP_BYTES: usize = base::COUNT * 2 * 16;

const SETUP: &str = "the setup of SoftSpoken";
const EXTENSION: &str = "an extension of SoftSpoken";

/// k': the bits of a part of Δ. More of them cost more time and fewer bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldBits {
    /// 63 bits a transfer.
    Two,
    /// 31 bits a transfer.
    Four,
    /// 15 bits a transfer.
    Eight,
}

impl FieldBits {
    /// k'.
    #[must_use]
    pub const fn bits(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    const fn leaves(self) -> usize {
        1 << self.bits()
    }

    const fn parts(self) -> usize {
        base::COUNT / self.bits()
    }

    /// Bytes from receiver to sender that `count` transfers cost: whole words of 64 transfers.
    #[must_use]
    pub const fn extension_bytes(self, count: usize) -> usize {
        words_for(count) * 8 * (self.parts() - 1)
    }
}

/// The seeds of one part, each in a cipher whose counter mode expands it.
type Seeds = Vec<Permutation>;

fn doubling(salt: u128) -> Doubling {
    Doubling::Independent(["left child", "right child"].map(|name| Permutation::named(name, salt)))
}

/// The words of a plane that are expanded at once: 2^k' of them fit the second-level cache.
const fn step_words(field: FieldBits) -> usize {
    match field {
        FieldBits::Two | FieldBits::Four => 512,
        FieldBits::Eight => 64,
    }
}

/// ⊕ r_x into `sum`, and ⊕ (bit b of x)·r_x into plane b of `planes`, for the blocks from `counter` on.
fn expand(seeds: &[Permutation], counter: u64, rows: &mut [u128], planes: &mut [u128], sum: &mut [u128]) {
    let width = sum.len();
    for (row, seed) in rows.chunks_exact_mut(width).zip(seeds) {
        seed.count(counter, row);
        if cfg!(target_endian = "big") {
            // So that the words of 64 bits have the same order on every machine.
            row.iter_mut().for_each(|x| *x = x.rotate_left(64));
        }
    }
    planes.fill(0);
    vectorized(|| {
        // Fold the highest bit of the index away: what is above it is added to its plane, and to the half below.
        let mut count = seeds.len();
        for plane in planes.chunks_exact_mut(width).rev() {
            count /= 2;
            let (low, high) = rows[..2 * count * width].split_at_mut(count * width);
            for (low, high) in low.chunks_exact_mut(width).zip(high.chunks_exact(width)) {
                for ((low, high), plane) in low.iter_mut().zip(high).zip(plane.iter_mut()) {
                    *low ^= high;
                    *plane ^= high;
                }
            }
        }
    });
    sum.copy_from_slice(&rows[..width]);
}

/// Two blocks from their little-endian bytes.
fn halves(bytes: &[u8; 32]) -> [u128; 2] {
    let half = |bytes: &[u8]| bytes.iter().rev().fold(0, |x, &byte| x << 8 | u128::from(byte));
    [half(&bytes[..16]), half(&bytes[16..])]
}

/// The state that both ends have in common: the seeds, and how far their expansions have been used.
struct Extension {
    field: FieldBits,
    parts: Vec<Seeds>,
    counter: u64,
}

impl Extension {
    /// Calls `part` with the index of the part, its k' planes and its sum, for each step of words, and `step` after all
    /// parts of a step, with the planes of all of them.
    fn run(
        &mut self,
        count: usize,
        mut part: impl FnMut(core::ops::Range<usize>, usize, &mut [u64], &mut [u64]),
        mut step: impl FnMut(core::ops::Range<usize>, &[u64]),
    ) {
        let Self { field, parts, counter } = self;
        let (bits, words) = (field.bits(), words_for(count));
        let most = step_words(*field);
        let mut rows = SecretVec::<u128>::zeros(field.leaves() * most / 2);
        let mut planes = SecretVec::<u128>::zeros(base::COUNT * most / 2);
        let mut sum = SecretVec::<u128>::zeros(most / 2);
        for start in (0..words).step_by(most) {
            let used = most.min(words - start);
            let width = used.div_ceil(2);
            let range = start..start + used;
            let planes = &mut planes[..base::COUNT * width];
            for (index, (seeds, planes)) in parts.iter().zip(planes.chunks_exact_mut(bits * width)).enumerate() {
                let sum = &mut sum[..width];
                expand(seeds, *counter, &mut rows[..field.leaves() * width], planes, sum);
                part(range.clone(), index, bytemuck::cast_slice_mut(planes), bytemuck::cast_slice_mut(sum));
            }
            *counter += width as u64;
            step(range, bytemuck::cast_slice(planes));
        }
    }
}

/// The end with the choice bits. Seeds are zeroised on drop; not `Clone`, no `Debug`.
pub struct SoftSpokenReceiver {
    extension: Extension,
    setup: Vec<u8>,
}

impl SoftSpokenReceiver {
    /// From both strings of each base OT, in which this party was the sender.
    ///
    /// `salt` names the session and this direction; both parties have the same.
    #[must_use]
    pub fn new(field: FieldBits, strings: &[[u128; 2]], salt: u128, generator: &mut impl CryptoRng) -> Self {
        let doubling = doubling(salt);
        let mut setup = Vec::with_capacity(SETUP_BYTES);
        let mut parts = Vec::with_capacity(field.parts());
        let mut nodes = SecretVec::<u128>::zeros(field.leaves());
        for strings in strings.chunks_exact(field.bits()) {
            let mut first = Zeroizing::new([0u8; 32]);
            generator.fill_bytes(&mut *first);
            grow(&doubling, halves(&first), &mut nodes, |level, sums| {
                for (sum, string) in sums.into_iter().zip(strings[level]) {
                    setup.extend_from_slice(&(sum ^ string).to_le_bytes());
                }
            });
            parts.push(nodes.iter().map(|&seed| Permutation::keyed(seed)).collect());
        }
        Self { extension: Extension { field, parts, counter: 0 }, setup }
    }

    /// The message to the sender that sets it up, of [`SETUP_BYTES`].
    #[must_use]
    pub fn setup(&self) -> &[u8] {
        &self.setup
    }

    /// Makes `count` correlated OTs and the message that the sender needs, of [`FieldBits::extension_bytes`].
    ///
    /// The lowest bit of each string is the choice bit.
    #[must_use]
    pub fn extend(&mut self, count: usize) -> (Cots, Vec<u8>) {
        let words = words_for(count);
        let mut choices = SecretVec::<u64>::zeros(words);
        let mut message = alloc::vec![0; self.extension.field.extension_bytes(count)];
        let mut blocks = SecretVec::<u128>::zeros(words * BLOCK);
        self.extension.run(
            count,
            |range, part, _, sum| {
                let Some(part) = part.checked_sub(1) else {
                    return choices[range.clone()].copy_from_slice(&sum[..range.len()]);
                };
                let message = &mut message[(part * words + range.start) * 8..][..range.len() * 8];
                for ((bytes, sum), choice) in message.as_chunks_mut::<8>().0.iter_mut().zip(sum).zip(&choices[range]) {
                    *bytes = (*sum ^ choice).to_le_bytes();
                }
            },
            |range, planes| blocks_of_planes(planes, &mut blocks[range.start * BLOCK..range.end * BLOCK]),
        );
        for (block, choice) in blocks.chunks_exact_mut(BLOCK).zip(choices.iter()) {
            for (lane, block) in block.iter_mut().enumerate() {
                *block = (*block & !1) | u128::from(choice >> lane & 1);
            }
        }
        (Cots::new(blocks, count), message)
    }
}

/// The end with Δ. Seeds are zeroised on drop; not `Clone`, no `Debug`.
pub struct SoftSpokenSender {
    extension: Extension,
    delta: Zeroizing<u128>,
}

impl SoftSpokenSender {
    /// From the chosen string of each base OT, in which this party was the receiver and its choices were the bits of !`delta`.
    ///
    /// # Errors
    /// [`OtError::MessageLength`].
    pub fn new(field: FieldBits, strings: &[u128], delta: u128, salt: u128, setup: &[u8]) -> Result<Self, OtError> {
        check_message(SETUP, setup, SETUP_BYTES)?;
        let doubling = doubling(salt);
        let bits = field.bits();
        let mut parts = Vec::with_capacity(field.parts());
        let mut nodes = SecretVec::<u128>::zeros(field.leaves());
        let sums = setup.as_chunks::<32>().0;
        for (part, (strings, sums)) in strings.chunks_exact(bits).zip(sums.chunks_exact(bits)).enumerate() {
            let path = (delta >> (part * bits)) as u64 & (field.leaves() as u64 - 1);
            let known = |level: usize| {
                let [left, right] = halves(&sums[level]);
                // The side that the path does not take.
                let taken = mask(path >> level & 1);
                strings[level] ^ (right ^ (taken & (left ^ right)))
            };
            grow_punctured(&doubling, path, known, &mut nodes);
            reorder(&mut nodes, path);
            parts.push(nodes.iter().map(|&seed| Permutation::keyed(seed)).collect());
        }
        Ok(Self { extension: Extension { field, parts, counter: 0 }, delta: Zeroizing::new(delta) })
    }

    /// Makes `count` correlated OTs with the receiver's message.
    ///
    /// The lowest bit of each string is zero.
    ///
    /// # Errors
    /// [`OtError::MessageLength`].
    pub fn extend(&mut self, count: usize, message: &[u8]) -> Result<Cots, OtError> {
        check_message(EXTENSION, message, self.extension.field.extension_bytes(count))?;
        let (words, bits) = (words_for(count), self.extension.field.bits());
        let delta = *self.delta;
        let mut blocks = SecretVec::<u128>::zeros(words * BLOCK);
        self.extension.run(
            count,
            |range, part, planes, _| {
                let Some(sent) = part.checked_sub(1) else { return };
                let differences = message[(sent * words + range.start) * 8..][..range.len() * 8].as_chunks::<8>().0;
                let width = planes.len() / bits;
                for (bit, plane) in planes.chunks_exact_mut(width).enumerate() {
                    let taken = mask((delta >> (part * bits + bit)) as u64 & 1) as u64;
                    for (word, difference) in plane.iter_mut().zip(differences) {
                        *word ^= taken & u64::from_le_bytes(*difference);
                    }
                }
            },
            |range, planes| blocks_of_planes(planes, &mut blocks[range.start * BLOCK..range.end * BLOCK]),
        );
        blocks.iter_mut().for_each(|block| *block &= !1);
        Ok(Cots::new(blocks, count))
    }
}

/// Moves the seed at x to x ⊕ `path`, in a way that does not show `path`.
fn reorder(seeds: &mut [u128], path: u64) {
    let depth = seeds.len().ilog2();
    for bit in 0..depth {
        let swap = mask(path >> bit & 1);
        for pair in seeds.chunks_exact_mut(2 << bit) {
            let (low, high) = pair.split_at_mut(1 << bit);
            for (low, high) in low.iter_mut().zip(high) {
                let difference = swap & (*low ^ *high);
                *low ^= difference;
                *high ^= difference;
            }
        }
    }
}
