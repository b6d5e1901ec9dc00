//! Random OTs: from correlated ones to independent strings, kept as bit planes.

use alloc::vec::Vec;

use mpc_ring::packing::words_for;
use mpc_shares::SecretVec;
use zeroize::Zeroizing;

use crate::OtError;
use crate::hash::{StringHash, StringKey, add};
use crate::planes::{BLOCK, planes_of_strings};

/// Most words of 64 transfers that one session hashes: their numbers are tweaks, which never repeat.
const MAX_WORDS: u64 = 1 << 40;
/// Bits that one hash gives.
const PART: usize = 128;
/// Longest strings, in bits.
const MAX_BITS: usize = 1 << 16;

/// A number of random OTs with strings of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Batch {
    /// The number of transfers.
    pub count: usize,
    /// The length of their strings in bits.
    pub bits: usize,
}

impl Batch {
    pub(crate) fn check(self) -> Result<(), OtError> {
        if (1..=MAX_BITS).contains(&self.bits) {
            return Ok(());
        }
        let allowed = "1 to 65,536 bits";
        Err(OtError::Parameter { parameter: "bits of a string", value: self.bits as u64, allowed })
    }

    fn plane_words(self) -> usize {
        words_for(self.count) * self.bits
    }
}

/// The sender's end of a batch: two random strings of each transfer, as planes. Plane b has bit b of each string, 64 transfers
/// a word; unused bits are zero. Zeroised on drop; not `Clone`, no `Debug`.
pub struct SentBatch {
    batch: Batch,
    zero: SecretVec<u64>,
    difference: SecretVec<u64>,
}

impl SentBatch {
    /// The number of transfers, and the length of their strings.
    #[must_use]
    pub fn batch(&self) -> Batch {
        self.batch
    }

    /// Planes `from` to `to` of m_0.
    #[must_use]
    pub fn zero(&self, from: usize, to: usize) -> &[u64] {
        range(self.batch, &self.zero, from, to)
    }

    /// Planes `from` to `to` of m_0 ⊕ m_1.
    #[must_use]
    pub fn difference(&self, from: usize, to: usize) -> &[u64] {
        range(self.batch, &self.difference, from, to)
    }
}

/// The receiver's end of a batch: its random choice bits and the strings m_c, as planes. Zeroised on drop; not `Clone`, no
/// `Debug`.
pub struct ReceivedBatch {
    batch: Batch,
    choices: SecretVec<u64>,
    chosen: SecretVec<u64>,
}

impl ReceivedBatch {
    /// The number of transfers, and the length of their strings.
    #[must_use]
    pub fn batch(&self) -> Batch {
        self.batch
    }

    /// The choice bits c, 64 transfers a word.
    #[must_use]
    pub fn choices(&self) -> &[u64] {
        &self.choices
    }

    /// Planes `from` to `to` of m_c.
    #[must_use]
    pub fn chosen(&self, from: usize, to: usize) -> &[u64] {
        range(self.batch, &self.chosen, from, to)
    }
}

impl SentBatch {
    /// Takes the first `bits` bits of every string, which become a batch of their own.
    ///
    /// # Errors
    /// [`OtError::Size`] if the strings are shorter.
    pub fn take(&mut self, bits: usize) -> Result<Self, OtError> {
        let (batch, rest) = split(self.batch, bits)?;
        let at = batch.plane_words();
        let taken = Self {
            batch,
            zero: SecretVec::copy_of(&self.zero[..at]),
            difference: SecretVec::copy_of(&self.difference[..at]),
        };
        self.zero = SecretVec::copy_of(&self.zero[at..]);
        self.difference = SecretVec::copy_of(&self.difference[at..]);
        self.batch = rest;
        Ok(taken)
    }
}

impl ReceivedBatch {
    /// Takes the first `bits` bits of every string, which become a batch of their own, with the same choice bits.
    ///
    /// # Errors
    /// [`OtError::Size`] if the strings are shorter.
    pub fn take(&mut self, bits: usize) -> Result<Self, OtError> {
        let (batch, rest) = split(self.batch, bits)?;
        let at = batch.plane_words();
        let choices = SecretVec::copy_of(&self.choices);
        let taken = Self { batch, choices, chosen: SecretVec::copy_of(&self.chosen[..at]) };
        self.chosen = SecretVec::copy_of(&self.chosen[at..]);
        self.batch = rest;
        Ok(taken)
    }
}

fn split(batch: Batch, bits: usize) -> Result<(Batch, Batch), OtError> {
    let rest = batch.bits.checked_sub(bits);
    let rest = rest.ok_or(OtError::Size { operand: "bits to take", expected: batch.bits, got: bits })?;
    Ok((Batch { bits, ..batch }, Batch { bits: rest, ..batch }))
}

fn range(batch: Batch, planes: &[u64], from: usize, to: usize) -> &[u64] {
    let words = words_for(batch.count);
    &planes[from * words..to * words]
}

/// The hash of one direction and the numbers of its calls.
pub(crate) struct Tweaked {
    hash: StringHash,
    word: u64,
}

impl Tweaked {
    pub(crate) fn new(salt: u128) -> Self {
        Self { hash: StringHash::new(salt), word: 0 }
    }

    /// Refuses batches beyond the number of tweaks.
    pub(crate) fn check(&self, batches: &[Batch]) -> Result<(), OtError> {
        batches.iter().try_for_each(|batch| batch.check())?;
        let words = |batch: &Batch| words_for(batch.count) as u64;
        let after = batches.iter().map(words).fold(self.word, u64::saturating_add);
        if after <= MAX_WORDS { Ok(()) } else { Err(OtError::Exhausted) }
    }
}

/// Memory for the hashes of one word.
pub(crate) struct Workspace {
    hashes: Zeroizing<[[u128; BLOCK]; 2]>,
    scratch: Zeroizing<[[u128; BLOCK]; 2]>,
}

impl Workspace {
    fn new() -> Self {
        let blank = || Zeroizing::new([[0; BLOCK]; 2]);
        Self { hashes: blank(), scratch: blank() }
    }
}

/// An end that takes strings of 64 transfers, for [`Filler`].
pub(crate) trait Target: Sized {
    fn empty(batch: Batch) -> Self;

    /// Takes the correlated strings of the transfers of one word; `used` marks those that there are.
    fn put(&mut self, key: &dyn Fn(u32) -> StringKey, delta: u128, word: Word<'_>, work: &mut Workspace);
}

/// The transfers of one word of a batch.
pub(crate) struct Word<'a> {
    index: usize,
    strings: &'a [u128; BLOCK],
    /// Ones for those that there are.
    used: u64,
}

impl Target for SentBatch {
    fn empty(batch: Batch) -> Self {
        let planes = || SecretVec::zeros(batch.plane_words());
        Self { batch, zero: planes(), difference: planes() }
    }

    fn put(&mut self, key: &dyn Fn(u32) -> StringKey, delta: u128, word: Word<'_>, work: &mut Workspace) {
        let (words, Word { index, strings, used }) = (words_for(self.batch.count), word);
        for first in (0..self.batch.bits).step_by(PART) {
            key((first / PART) as u32).hash(strings, [0, delta], &mut work.hashes, &mut work.scratch);
            let [zero, one] = &mut *work.hashes;
            add(one, zero);
            let bits = PART.min(self.batch.bits - first);
            let at = |bit: usize| (first + bit) * words + index;
            planes_of_strings(zero, bits, |bit, plane| self.zero[at(bit)] = plane & used);
            planes_of_strings(one, bits, |bit, plane| self.difference[at(bit)] = plane & used);
        }
    }
}

impl Target for ReceivedBatch {
    fn empty(batch: Batch) -> Self {
        Self { batch, choices: SecretVec::zeros(words_for(batch.count)), chosen: SecretVec::zeros(batch.plane_words()) }
    }

    fn put(&mut self, key: &dyn Fn(u32) -> StringKey, _: u128, word: Word<'_>, work: &mut Workspace) {
        let (words, Word { index, strings, used }) = (words_for(self.batch.count), word);
        planes_of_strings(strings, 1, |_, plane| self.choices[index] = plane & used);
        for first in (0..self.batch.bits).step_by(PART) {
            let [hashes, scratch] =
                [&mut work.hashes, &mut work.scratch].map(|work| core::array::from_mut(&mut work[0]));
            key((first / PART) as u32).hash(strings, [0], hashes, scratch);
            let bits = PART.min(self.batch.bits - first);
            planes_of_strings(&hashes[0], bits, |bit, plane| {
                self.chosen[(first + bit) * words + index] = plane & used;
            });
        }
    }
}

/// Cuts a stream of correlated strings into batches.
pub(crate) struct Filler<'a, B> {
    tweaked: &'a mut Tweaked,
    delta: Zeroizing<u128>,
    batches: &'a [Batch],
    filled: Vec<B>,
    /// Transfers of the last batch that are there.
    position: usize,
    /// Strings of a word that is not complete.
    waiting: Zeroizing<[u128; BLOCK]>,
    work: Workspace,
}

impl<'a, B: Target> Filler<'a, B> {
    pub(crate) fn new(tweaked: &'a mut Tweaked, delta: u128, batches: &'a [Batch]) -> Self {
        let mut filler = Self {
            tweaked,
            delta: Zeroizing::new(delta),
            batches,
            filled: Vec::with_capacity(batches.len()),
            position: 0,
            waiting: Zeroizing::new([0; BLOCK]),
            work: Workspace::new(),
        };
        filler.open();
        filler
    }

    /// Opens batches until one is there that needs strings.
    fn open(&mut self) {
        let full = |filler: &Self| match filler.filled.len().checked_sub(1) {
            Some(last) => filler.position == filler.batches[last].count,
            None => true,
        };
        while full(self) && self.filled.len() < self.batches.len() {
            self.filled.push(B::empty(self.batches[self.filled.len()]));
            self.position = 0;
        }
    }

    /// Takes what the batches need, and gives the rest back.
    pub(crate) fn take<'s>(&mut self, mut strings: &'s [u128]) -> &'s [u128] {
        while let Some(last) = self.filled.len().checked_sub(1) {
            let left = self.batches[last].count - self.position;
            let lane = self.position % BLOCK;
            let taken = left.min(BLOCK - lane).min(strings.len());
            if taken == 0 {
                break;
            }
            self.waiting[lane..lane + taken].copy_from_slice(&strings[..taken]);
            strings = &strings[taken..];
            self.position += taken;
            if lane + taken == BLOCK || taken == left {
                self.put(last, lane + taken);
            }
            self.open();
        }
        strings
    }

    fn put(&mut self, last: usize, lanes: usize) {
        let used = u64::MAX >> (BLOCK - lanes);
        let word = Word { index: (self.position - 1) / BLOCK, strings: &self.waiting, used };
        let Tweaked { hash, word: number } = &*self.tweaked;
        self.filled[last].put(&|part| hash.key(*number, part), *self.delta, word, &mut self.work);
        self.tweaked.word += 1;
    }

    /// The batches, which are all filled.
    pub(crate) fn finish(self) -> Vec<B> {
        debug_assert_eq!(self.filled.len(), self.batches.len());
        self.filled
    }
}
