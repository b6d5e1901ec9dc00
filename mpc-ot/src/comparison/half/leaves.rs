//! All products of the bits of a leaf, by tensoring.

use alloc::vec;
use alloc::vec::Vec;

use mpc_shares::SecretVec;

use super::mask::Mask;
use crate::OtError;
use crate::comparison::ends::{End, Ends};
use crate::comparison::shape::{ComparisonShape, Role};
use crate::cross::{Corrected, Cross};
use crate::planes::joined;

/// A bit of a leaf that is not its lowest: its share, and the transfers of its products with those so far.
struct Step {
    bit: SecretVec<u64>,
    ends: Option<(End, End)>,
}

struct Leaf {
    /// By set, without that of the empty one.
    products: Vec<SecretVec<u64>>,
    /// The bits that are left, the next one last.
    steps: Vec<Step>,
    cross: Option<Cross>,
}

pub(super) struct LeafMaker {
    leaves: Vec<Leaf>,
    corrected: Corrected,
}

impl LeafMaker {
    pub(super) fn new<R: mpc_ring::Ring>(
        shape: ComparisonShape,
        role: Role,
        mask: &Mask<R>,
        bits: Vec<End>,
        ends: &mut Ends<'_>,
    ) -> Self {
        let mut forth = bits.into_iter();
        let mut leaves = Vec::with_capacity(shape.leaves());
        // The shares of r's bits are choice bits of the one party only: the other corrects its own transfers.
        let corrected = match role {
            Role::Chooser => Corrected::Peer,
            Role::Other => Corrected::Own,
        };
        for leaf in 0..shape.leaves() {
            let mut bits = shape.leaf_bits(leaf).map(|index| (SecretVec::copy_of(mask.bit(index)), forth.next()));
            let first = bits.next().map(|(bit, _)| bit).unwrap_or_else(|| unreachable!("a leaf has a bit"));
            let mut steps: Vec<_> =
                bits.map(|(bit, forth)| Step { bit, ends: forth.map(|forth| (forth, ends.back())) }).collect();
            steps.reverse();
            leaves.push(Leaf { products: vec![first], steps, cross: None });
        }
        Self { leaves, corrected }
    }

    pub(super) fn send(&mut self, message: &mut Vec<u8>) -> Result<(), OtError> {
        for leaf in &mut self.leaves {
            let Some((forth, back)) = leaf.steps.last_mut().and_then(|step| step.ends.take()) else { continue };
            let Some(step) = leaf.steps.last() else { continue };
            let planes = joined(leaf.products.iter().map(|plane| &plane[..]));
            let (received, sent) = forth.pair(back);
            let cross = Cross::new(&step.bit, planes, received, sent, self.corrected);
            cross.send(message)?;
            leaf.cross = Some(cross);
        }
        Ok(())
    }

    pub(super) fn receive(&mut self, message: &mut &[u8]) -> Result<(), OtError> {
        for leaf in &mut self.leaves {
            let (Some(cross), Some(step)) = (leaf.cross.take(), leaf.steps.pop()) else { continue };
            leaf.extend(step.bit, &cross.receive(message)?);
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<Vec<SecretVec<u64>>> {
        self.leaves.into_iter().map(|leaf| leaf.products).collect()
    }
}

impl Leaf {
    /// Appends the next bit, and its products with those so far.
    fn extend(&mut self, bit: SecretVec<u64>, products: &[u64]) {
        let (words, count) = (bit.len(), self.products.len());
        self.products.push(bit);
        self.products.extend((0..count).map(|index| SecretVec::copy_of(&products[index * words..][..words])));
    }
}
