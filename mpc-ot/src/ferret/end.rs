//! The two ends of the silent extension.

use alloc::vec::Vec;

use mpc_ring::kernels::{prefer_large_pages, xor_at};
use mpc_shares::SecretVec;
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use super::code::encode;
use super::parameters::ParameterSet;
use crate::OtError;
use crate::error::{check_message, check_size};
use crate::hash::Permutation;
use crate::tree::{Doubling, grow, grow_punctured};

const TREES: &str = "the trees of a silent extension";
const BASE: &str = "the correlated OTs that begin a silent extension";

/// The state that both ends have in common: where in a round they are.
struct Rounds {
    set: ParameterSet,
    salt: u128,
    /// Of the round that runs now.
    number: u64,
    doubling: Doubling,
    places: Permutation,
    /// Trees of this round that are done.
    done: usize,
    /// k transfers for the code, then d for each tree.
    base: SecretVec<u128>,
    /// The first transfers of this round, which become the next one's base.
    next: SecretVec<u128>,
    /// How many of them there are.
    kept: usize,
}

impl Rounds {
    fn new(set: ParameterSet, salt: u128, base: SecretVec<u128>) -> Result<Self, OtError> {
        check_size(BASE, base.len(), set.base())?;
        let (doubling, places) = permutations(set, salt, 0);
        let next = blank_base(set);
        Ok(Self { set, salt, number: 0, doubling, places, done: 0, base, next, kept: 0 })
    }

    /// The transfers that open tree number `tree`.
    fn openings(&self, tree: usize) -> &[u128] {
        let depth = self.set.depth();
        &self.base[self.set.dimension() + tree * depth..][..depth]
    }

    /// Adds the code to the leaves of the current tree, and goes on to the next one; those transfers that the next round
    /// needs are kept, and the others are given.
    fn finish_tree<'a>(&mut self, leaves: &'a mut [u128]) -> &'a [u128] {
        encode(&self.places, self.done * self.set.leaves(), &self.base[..self.set.dimension()], leaves);
        let kept = leaves.len().min(self.next.len() - self.kept);
        self.next[self.kept..][..kept].copy_from_slice(&leaves[..kept]);
        self.kept += kept;
        self.done += 1;
        if self.done == self.set.trees() {
            self.begin_next();
        }
        &leaves[kept..]
    }

    fn begin_next(&mut self) {
        core::mem::swap(&mut self.base, &mut self.next);
        self.next.zeroize();
        (self.done, self.kept) = (0, 0);
        self.number += 1;
        (self.doubling, self.places) = permutations(self.set, self.salt, self.number);
    }
}

/// Memory for the transfers that begin a round, of which the code reads random places.
pub(crate) fn blank_base(set: ParameterSet) -> SecretVec<u128> {
    let mut base = SecretVec::zeros(set.base());
    prefer_large_pages(&mut base);
    base
}

/// Fresh for each round, so that an attacker's block cipher calls help against one round and not against all.
fn permutations(set: ParameterSet, salt: u128, number: u64) -> (Doubling, Permutation) {
    let salt = salt ^ u128::from(number) << 8 ^ set.depth() as u128;
    (Doubling::Correlated(Permutation::named("tree", salt)), Permutation::named("code", salt))
}

/// The trees that give `count` transfers when `done` trees of a round of `set` are done, and how many transfers they give.
#[must_use]
pub(crate) fn trees_for(set: ParameterSet, mut done: usize, count: usize) -> (usize, usize) {
    let (mut trees, mut given) = (0, 0);
    while given < count {
        let position = done * set.leaves();
        given += set.leaves() - set.base().saturating_sub(position).min(set.leaves());
        done = (done + 1) % set.trees();
        trees += 1;
    }
    (trees, given)
}

/// The end with Δ. Zeroised on drop; not `Clone`, no `Debug`.
pub struct FerretSender {
    rounds: Rounds,
    delta: Zeroizing<u128>,
}

impl FerretSender {
    /// From [`ParameterSet::base`] correlated OTs, which it consumes; `salt` names the session and this direction.
    ///
    /// # Errors
    /// [`OtError::Size`] for another number of them.
    pub fn new(set: ParameterSet, salt: u128, delta: u128, base: SecretVec<u128>) -> Result<Self, OtError> {
        Ok(Self { rounds: Rounds::new(set, salt, base)?, delta: Zeroizing::new(delta) })
    }

    /// Makes `trees` trees: appends their messages to `message`, and hands the usable transfers of each to `take`.
    pub fn extend(
        &mut self,
        trees: usize,
        generator: &mut impl CryptoRng,
        message: &mut Vec<u8>,
        mut take: impl FnMut(&[u128]),
    ) {
        let set = self.rounds.set;
        let mut leaves = SecretVec::<u128>::zeros(set.leaves());
        message.reserve(set.tree_bytes(trees));
        for _ in 0..trees {
            let mut seed = Zeroizing::new([0; 16]);
            generator.fill_bytes(&mut *seed);
            let first = u128::from_le_bytes(*seed);
            let openings = self.rounds.openings(self.rounds.done);
            grow(&self.rounds.doubling, [first, first ^ *self.delta], &mut leaves, |level, [left, _]| {
                message.extend_from_slice(&(openings[level] ^ left).to_le_bytes());
            });
            leaves.iter_mut().for_each(|leaf| *leaf &= !1);
            take(self.rounds.finish_tree(&mut leaves));
        }
    }
}

/// The end with the choice bits. Zeroised on drop; not `Clone`, no `Debug`.
pub struct FerretReceiver {
    rounds: Rounds,
}

impl FerretReceiver {
    /// From [`ParameterSet::base`] correlated OTs, which it consumes; `salt` names the session and this direction.
    ///
    /// # Errors
    /// [`OtError::Size`] for another number of them.
    pub fn new(set: ParameterSet, salt: u128, base: SecretVec<u128>) -> Result<Self, OtError> {
        Ok(Self { rounds: Rounds::new(set, salt, base)? })
    }

    /// Bytes of the messages of `trees` trees.
    pub(crate) fn tree_bytes(&self, trees: usize) -> usize {
        self.rounds.set.tree_bytes(trees)
    }

    /// Makes `trees` trees from their messages, and hands the usable transfers of each to `take`.
    ///
    /// # Errors
    /// [`OtError::MessageLength`].
    pub fn extend(&mut self, trees: usize, message: &[u8], mut take: impl FnMut(&[u128])) -> Result<(), OtError> {
        let set = self.rounds.set;
        check_message(TREES, message, set.tree_bytes(trees))?;
        let mut leaves = SecretVec::<u128>::zeros(set.leaves());
        for message in message.as_chunks::<16>().0.chunks_exact(set.depth()) {
            let openings = self.rounds.openings(self.rounds.done);
            // The choice bit of an opening says which sum becomes known; the path takes the other side.
            let path = openings.iter().enumerate().fold(0, |path, (level, x)| path | ((!x & 1) as u64) << level);
            let known = |level: usize| openings[level] ^ u128::from_le_bytes(message[level]);
            grow_punctured(&self.rounds.doubling, path, known, &mut leaves);
            set_missing_leaf(&mut leaves, path);
            take(self.rounds.finish_tree(&mut leaves));
        }
        Ok(())
    }
}

/// Makes the missing leaf the sum of all others, which is Δ away from the sender's, and puts the choice bits in the lowest bits.
fn set_missing_leaf(leaves: &mut [u128], path: u64) {
    let sum = leaves.iter().fold(0, |sum, leaf| sum ^ leaf);
    xor_at(leaves, !1, path, (sum & !1) | 1);
}
