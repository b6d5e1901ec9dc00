//! Buffers of secret words.

mod buffers;

use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, DerefMut};
use zeroize::{DefaultIsZeroes, Zeroize, ZeroizeOnDrop};

use buffers::{retire, take};

/// A buffer of secret words or bytes: zeroised on drop, not `Clone`, redacted in `Debug`.
///
/// Collecting leaves no copy behind: a buffer that has to move is zeroised where it was. With the feature `std` a thread
/// keeps large buffers, zeroised, for the next ones of about their size: at most 64 MiB of each type, until it ends.
///
/// ```compile_fail,E0599
/// let words = mpc_shares::SecretVec::<u64>::zeros(1);
/// let twice = words.clone();
/// ```
pub struct SecretVec<E: DefaultIsZeroes + 'static>(Vec<E>);

impl<E: DefaultIsZeroes + 'static> SecretVec<E> {
    /// `len` zeros.
    #[must_use]
    pub fn zeros(len: usize) -> Self {
        Self(take(len))
    }

    /// A copy of `words`.
    #[must_use]
    pub fn copy_of(words: &[E]) -> Self {
        let mut copy = Self::zeros(words.len());
        copy.copy_from_slice(words);
        copy
    }

    fn collect_exactly(words: impl Iterator<Item = E>, len: usize) -> Self {
        let mut collected = Self::zeros(len);
        collected.iter_mut().zip(words).for_each(|(place, word)| *place = word);
        collected
    }

    fn collect_growing(words: impl Iterator<Item = E>, least: usize) -> Self {
        let mut collected = Self(Vec::with_capacity(least));
        for word in words {
            if collected.0.len() == collected.0.capacity() {
                let mut larger = Vec::with_capacity(2 * collected.0.len() + 4);
                larger.extend_from_slice(&collected);
                // The old buffer is zeroised as it is dropped.
                collected = Self(larger);
            }
            collected.0.push(word);
        }
        collected
    }

    /// Gives the words away; who takes them zeroises them.
    #[must_use]
    pub fn into_vec(mut self) -> Vec<E> {
        core::mem::take(&mut self.0)
    }
}

impl<E: DefaultIsZeroes + 'static> From<Vec<E>> for SecretVec<E> {
    fn from(words: Vec<E>) -> Self {
        Self(words)
    }
}

impl<E: DefaultIsZeroes + 'static> FromIterator<E> for SecretVec<E> {
    fn from_iter<I: IntoIterator<Item = E>>(words: I) -> Self {
        let words = words.into_iter();
        match words.size_hint() {
            (least, Some(most)) if least == most => Self::collect_exactly(words, least),
            (least, _) => Self::collect_growing(words, least),
        }
    }
}

impl<E: DefaultIsZeroes + 'static> Deref for SecretVec<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        &self.0
    }
}

impl<E: DefaultIsZeroes + 'static> DerefMut for SecretVec<E> {
    fn deref_mut(&mut self) -> &mut [E] {
        &mut self.0
    }
}

impl<E: DefaultIsZeroes + 'static> Drop for SecretVec<E> {
    fn drop(&mut self) {
        retire(core::mem::take(&mut self.0));
    }
}

impl<E: DefaultIsZeroes + 'static> Zeroize for SecretVec<E> {
    fn zeroize(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

impl<E: DefaultIsZeroes + 'static> ZeroizeOnDrop for SecretVec<E> {}

impl<E: DefaultIsZeroes + 'static> fmt::Debug for SecretVec<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretVec").field("len", &self.0.len()).finish_non_exhaustive()
    }
}
