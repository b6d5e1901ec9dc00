//! Trees of seeds (Goldreich, Goldwasser, Micali), of which the other party knows all leaves but one.
//!
//! A level is kept in halves: the left children of all nodes, then the right ones. So bit l of a leaf's index says which child
//! was taken at level l, and a level is made from the one above by one pass over it.
//!
//! # Security
//! The index of the missing leaf is a secret of the party that lacks it. Each level is walked as a whole, with masks.

use core::hint::black_box;

use mpc_ring::kernels::{children, xor_at};

use crate::hash::{BATCH, Permutation, Scratch};

/// How the children of a node are made.
pub(crate) enum Doubling {
    /// π_0(σ(x)) ⊕ σ(x) and π_1(σ(x)) ⊕ σ(x): independent.
    Independent([Permutation; 2]),
    /// h = π(σ(x)) ⊕ σ(x) and x ⊕ h: their sum is the parent, so each level sums up to Δ, and half of the hashes are saved.
    /// Guo, Yang, Wang, Zhang, Xie, Liu, Zhao, "Half-tree" (EUROCRYPT 2023), section 4.
    Correlated(Permutation),
}

impl Doubling {
    /// Replaces the first half of `nodes`, the parents, by left children, and the second one by right children. Gives the sum of
    /// each.
    #[inline]
    fn double(&self, nodes: &mut [u128], scratch: &mut Scratch) -> [u128; 2] {
        let (parents, right) = nodes.split_at_mut(nodes.len() / 2);
        let mut sums = [0; 2];
        for (left, right) in parents.chunks_mut(BATCH).zip(right.chunks_mut(BATCH)) {
            let [of_left, of_right] = match self {
                Self::Independent([first, second]) => {
                    right.copy_from_slice(left);
                    first.circular(left, scratch);
                    second.circular(right, scratch);
                    [sum(left), sum(right)]
                }
                Self::Correlated(permutation) => children(left, permutation.of_images(left, scratch), right),
            };
            sums = [sums[0] ^ of_left, sums[1] ^ of_right];
        }
        sums
    }

    /// The children of a node that is zero.
    fn of_zero(&self, scratch: &mut Scratch) -> [u128; 2] {
        self.double(&mut [0; 2], scratch)
    }
}

#[inline]
fn sum(nodes: &[u128]) -> u128 {
    nodes.iter().fold(0, |sum, node| sum ^ node)
}

/// Grows the whole tree from the two nodes of its first level; `sums` takes the sums of left and right children of each
/// level, one level for each doubling of `nodes`.
pub(crate) fn grow(doubling: &Doubling, first: [u128; 2], nodes: &mut [u128], mut sums: impl FnMut(usize, [u128; 2])) {
    let mut scratch = Scratch::new();
    nodes[..2].copy_from_slice(&first);
    sums(0, first);
    let depth = nodes.len().ilog2() as usize;
    for level in 1..depth {
        sums(level, doubling.double(&mut nodes[..2 << level], &mut scratch));
    }
}

/// Grows all leaves but the one at `path`, which becomes zero. For each level `known` is the sum of the children on the side
/// that `path` does not take.
pub(crate) fn grow_punctured(doubling: &Doubling, path: u64, known: impl Fn(usize) -> u128, nodes: &mut [u128]) {
    let mut scratch = Scratch::new();
    let of_zero = doubling.of_zero(&mut scratch);
    let side = |level: usize| mask(path >> level & 1);
    nodes[0] = known(0) & side(0);
    nodes[1] = known(0) & !side(0);
    let depth = nodes.len().ilog2() as usize;
    for level in 1..depth {
        let nodes = &mut nodes[..2 << level];
        let sums = doubling.double(nodes, &mut scratch);
        let (left, right) = nodes.split_at_mut(1 << level);
        // The missing node was zero, so that its children are public: they are taken away again, and the one on the known
        // side becomes what its level's sum lacks.
        let known = known(level);
        let taken = side(level);
        let at_left = select(taken, known ^ sums[0], of_zero[0]);
        let at_right = select(!taken, known ^ sums[1], of_zero[1]);
        let place = path & ((1 << level) - 1);
        xor_at(left, u128::MAX, place, at_left);
        xor_at(right, u128::MAX, place, at_right);
    }
}

/// All ones where the bit is 1, zero where it is 0.
#[inline(always)]
pub(crate) fn mask(bit: u64) -> u128 {
    // The compiler does not learn that it is nothing else, and so makes no branch of what selects by it.
    black_box(u128::from(bit).wrapping_neg())
}

#[inline(always)]
fn select(mask: u128, if_ones: u128, if_zero: u128) -> u128 {
    if_zero ^ (mask & (if_ones ^ if_zero))
}
