//! One-hot vectors of the leaves by tensoring, and from them the tables v < r_i.

use alloc::vec::Vec;

use mpc_ring::packing::words_for;
use mpc_shares::SecretVec;

use super::mask::Mask;
use crate::OtError;
use crate::comparison::ends::{End, Ends};
use crate::comparison::shape::{ComparisonShape, Role};
use crate::cross::{Corrected, Cross};
use crate::planes::joined;

/// A bit of a leaf that is not its lowest: its share, and the transfers of its products with the vector so far.
struct Step {
    bit: SecretVec<u64>,
    ends: Option<(End, End)>,
}

struct Leaf {
    /// H[v], 2 planes at first.
    entries: Vec<SecretVec<u64>>,
    /// The bits that are left, the next one last.
    steps: Vec<Step>,
    cross: Option<Cross>,
}

pub(super) struct TableMaker {
    leaves: Vec<Leaf>,
    corrected: Corrected,
}

impl TableMaker {
    pub(super) fn new<R: mpc_ring::Ring>(
        shape: ComparisonShape,
        len: usize,
        role: Role,
        mask: &Mask<R>,
        bits: Vec<End>,
        ends: &mut Ends<'_>,
    ) -> Result<Self, OtError> {
        let mut forth = bits.into_iter();
        let mut leaves = Vec::with_capacity(shape.leaves());
        // The shares of r's bits are choice bits of the one party only: the other corrects its own transfers.
        let (corrected, one) = match role {
            Role::Chooser => (Corrected::Peer, 0),
            Role::Other => (Corrected::Own, u64::MAX),
        };
        for leaf in 0..shape.leaves() {
            let mut bits = shape.leaf_bits(leaf).map(|index| (SecretVec::copy_of(mask.bit(index)), forth.next()));
            let first = bits.next().map(|(bit, _)| bit).unwrap_or_else(|| unreachable!("a leaf has a bit"));
            let entries = alloc::vec![complemented(&first, one, len), first];
            let mut steps: Vec<_> =
                bits.map(|(bit, forth)| Step { bit, ends: forth.map(|forth| (forth, ends.back())) }).collect();
            steps.reverse();
            leaves.push(Leaf { entries, steps, cross: None });
        }
        Ok(Self { leaves, corrected })
    }

    pub(super) fn send(&mut self, _: usize, message: &mut Vec<u8>) -> Result<(), OtError> {
        for leaf in &mut self.leaves {
            let Some((forth, back)) = leaf.steps.last_mut().and_then(|step| step.ends.take()) else { continue };
            let Some(step) = leaf.steps.last() else { continue };
            let planes = joined(leaf.entries[..leaf.entries.len() - 1].iter().map(|plane| &plane[..]));
            let (received, sent) = forth.pair(back);
            let cross = Cross::new(&step.bit, planes, received, sent, self.corrected);
            cross.send(message)?;
            leaf.cross = Some(cross);
        }
        Ok(())
    }

    pub(super) fn receive(&mut self, _: usize, message: &mut &[u8]) -> Result<(), OtError> {
        for leaf in &mut self.leaves {
            let (Some(cross), Some(step)) = (leaf.cross.take(), leaf.steps.pop()) else { continue };
            leaf.double(&step.bit, &cross.receive(message)?);
        }
        Ok(())
    }

    /// T[v] = ⊕_{u>v} H[u].
    pub(super) fn finish(self) -> Vec<SecretVec<u64>> {
        let table = |leaf: Leaf| {
            let words = leaf.entries.first().map_or(0, |plane| plane.len());
            let mut planes = SecretVec::zeros(leaf.entries.len() * words);
            for v in (0..leaf.entries.len() - 1).rev() {
                let (here, above) = planes[v * words..].split_at_mut(words);
                let sums = above.iter().zip(leaf.entries[v + 1].iter());
                here.iter_mut().zip(sums).for_each(|(here, (above, entry))| *here = above ^ entry);
            }
            planes
        };
        self.leaves.into_iter().map(table).collect()
    }
}

/// The plane with its bits flipped where `one` has ones; those beyond `len` stay zero.
fn complemented(plane: &[u64], one: u64, len: usize) -> SecretVec<u64> {
    let used = |word: usize| u64::MAX >> (64 - (len - word * 64).min(64));
    plane.iter().enumerate().map(|(word, bits)| bits ^ (one & used(word))).collect()
}

impl Leaf {
    /// H becomes (H ⊕ p, p) for p = bit·H; the last entry of p follows from the sum of H, which is 1.
    fn double(&mut self, bit: &[u64], products: &[u64]) {
        let words = bit.len();
        let mut upper: Vec<SecretVec<u64>> = products.chunks_exact(words.max(1)).map(SecretVec::copy_of).collect();
        let mut last = SecretVec::copy_of(bit);
        for plane in &upper {
            last.iter_mut().zip(plane.iter()).for_each(|(last, word)| *last ^= word);
        }
        // Planes of no words are none.
        upper.resize_with(self.entries.len() - 1, || SecretVec::zeros(words_for(0)));
        upper.push(last);
        for (entry, product) in self.entries.iter_mut().zip(&upper) {
            entry.iter_mut().zip(product.iter()).for_each(|(entry, word)| *entry ^= word);
        }
        self.entries.append(&mut upper);
    }
}
