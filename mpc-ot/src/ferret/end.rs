//! The two ends of the silent extension.

use alloc::vec::Vec;

use mpc_ring::kernels::xor_at;
use mpc_shares::SecretVec;
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use super::code::encode;
use super::parameters::{MAX_LANES, ParameterSet};
use super::strings::Strings;
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
    /// Trees of this round that are done in each lane.
    done: usize,
    /// k transfers of each lane for the code, place by place, then d for each tree, step by step.
    base: Strings,
    /// The first transfers of this round, which become the next one's base.
    next: Strings,
    /// How many of them there are.
    kept: usize,
}

impl Rounds {
    fn new(set: ParameterSet, salt: u128, base: SecretVec<u128>) -> Result<Self, OtError> {
        check_size(BASE, base.len(), set.base())?;
        let (doubling, places) = permutations(set, salt, 0);
        let [mut copy, next] = [Strings::blank(set.base()), Strings::blank(set.base())];
        copy.copy_from_slice(&base);
        Ok(Self { set, salt, number: 0, doubling, places, done: 0, base: copy, next, kept: 0 })
    }

    /// The transfers that open the current tree of a lane.
    fn openings(&self, lane: usize) -> &[u128] {
        let [lanes, depth] = [self.set.lanes(), self.set.depth()];
        &self.base[lanes * self.set.dimension() + (self.done * lanes + lane) * depth..][..depth]
    }

    /// Adds the code to the leaves of the current tree of each lane, and goes on to the next ones; those transfers that the next
    /// round needs are kept, and the others are given.
    fn finish_trees<'a>(&mut self, leaves: &'a mut [u128]) -> &'a [u128] {
        let (start, short) = (self.done * self.set.leaves(), &self.base[..self.set.lanes() * self.set.dimension()]);
        match self.set.lanes() {
            1 => encode::<1>(&self.places, start, short, leaves),
            _ => encode::<{ MAX_LANES }>(&self.places, start, short, leaves),
        }
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

/// Fresh for each round, so that an attacker's block cipher calls help against one round and not against all.
fn permutations(set: ParameterSet, salt: u128, number: u64) -> (Doubling, Permutation) {
    let salt = salt ^ u128::from(number) << 8 ^ set.depth() as u128;
    (Doubling::Correlated(Permutation::named("tree", salt)), Permutation::named("code", salt))
}

/// The trees in each lane that give `count` transfers when `done` trees of a round of `set` are done, and how many transfers they
/// give.
#[must_use]
pub(crate) fn trees_for(set: ParameterSet, mut done: usize, count: usize) -> (usize, usize) {
    let (mut trees, mut given) = (0, 0);
    while given < count {
        given += set.step() - set.base().saturating_sub(done * set.step()).min(set.step());
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

    /// Makes `trees` trees in each lane: appends their messages to `message`, and hands the usable transfers of each step to `take`.
    pub fn extend(
        &mut self,
        trees: usize,
        generator: &mut impl CryptoRng,
        message: &mut Vec<u8>,
        mut take: impl FnMut(&[u128]),
    ) {
        let set = self.rounds.set;
        let mut leaves = SecretVec::<u128>::zeros(set.step());
        message.reserve(set.tree_bytes(trees));
        for _ in 0..trees {
            for (lane, leaves) in leaves.chunks_exact_mut(set.leaves()).enumerate() {
                let mut seed = Zeroizing::new([0; 16]);
                generator.fill_bytes(&mut *seed);
                let first = u128::from_le_bytes(*seed);
                let openings = self.rounds.openings(lane);
                grow(&self.rounds.doubling, [first, first ^ *self.delta], leaves, |level, [left, _]| {
                    message.extend_from_slice(&(openings[level] ^ left).to_le_bytes());
                });
                leaves.iter_mut().for_each(|leaf| *leaf &= !1);
            }
            take(self.rounds.finish_trees(&mut leaves));
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

    /// Bytes of the messages of `trees` trees in each lane.
    pub(crate) fn tree_bytes(&self, trees: usize) -> usize {
        self.rounds.set.tree_bytes(trees)
    }

    /// Makes `trees` trees in each lane from their messages, and hands the usable transfers of each step to `take`.
    ///
    /// # Errors
    /// [`OtError::MessageLength`].
    pub fn extend(&mut self, trees: usize, message: &[u8], mut take: impl FnMut(&[u128])) -> Result<(), OtError> {
        let set = self.rounds.set;
        check_message(TREES, message, set.tree_bytes(trees))?;
        let mut leaves = SecretVec::<u128>::zeros(set.step());
        for messages in message.as_chunks::<16>().0.chunks_exact(set.lanes() * set.depth()) {
            let trees = leaves.chunks_exact_mut(set.leaves()).zip(messages.chunks_exact(set.depth()));
            for (lane, (leaves, message)) in trees.enumerate() {
                let openings = self.rounds.openings(lane);
                // The choice bit of an opening says which sum becomes known; the path takes the other side.
                let path = openings.iter().enumerate().fold(0, |path, (level, x)| path | ((!x & 1) as u64) << level);
                let known = |level: usize| openings[level] ^ u128::from_le_bytes(message[level]);
                grow_punctured(&self.rounds.doubling, path, known, leaves);
                set_missing_leaf(leaves, path);
            }
            take(self.rounds.finish_trees(&mut leaves));
        }
        Ok(())
    }
}

/// Makes the missing leaf the sum of all others, which is Δ away from the sender's, and puts the choice bits in the lowest bits.
fn set_missing_leaf(leaves: &mut [u128], path: u64) {
    let sum = leaves.iter().fold(0, |sum, leaf| sum ^ leaf);
    xor_at(leaves, !1, path, (sum & !1) | 1);
}
