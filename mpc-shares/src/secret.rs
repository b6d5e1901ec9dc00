//! Buffers of secret words.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, DerefMut};
use zeroize::{DefaultIsZeroes, Zeroize, ZeroizeOnDrop};

/// A buffer of secret words or bytes: zeroised on drop, not `Clone`, redacted in `Debug`.
///
/// Collecting reserves the iterator's length first, so that a buffer of known length is never moved.
pub struct SecretVec<E: DefaultIsZeroes>(Vec<E>);

impl<E: DefaultIsZeroes> SecretVec<E> {
    /// `len` zeros.
    #[must_use]
    pub fn zeros(len: usize) -> Self {
        Self(vec![E::default(); len])
    }

    /// A copy of `words`.
    #[must_use]
    pub fn copy_of(words: &[E]) -> Self {
        Self(words.to_vec())
    }

    /// Gives the words away; who takes them zeroises them.
    #[must_use]
    pub fn into_vec(mut self) -> Vec<E> {
        core::mem::take(&mut self.0)
    }
}

impl<E: DefaultIsZeroes> From<Vec<E>> for SecretVec<E> {
    fn from(words: Vec<E>) -> Self {
        Self(words)
    }
}

impl<E: DefaultIsZeroes> FromIterator<E> for SecretVec<E> {
    fn from_iter<I: IntoIterator<Item = E>>(words: I) -> Self {
        Self(words.into_iter().collect())
    }
}

impl<E: DefaultIsZeroes> Deref for SecretVec<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        &self.0
    }
}

impl<E: DefaultIsZeroes> DerefMut for SecretVec<E> {
    fn deref_mut(&mut self) -> &mut [E] {
        &mut self.0
    }
}

impl<E: DefaultIsZeroes> Drop for SecretVec<E> {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

impl<E: DefaultIsZeroes> ZeroizeOnDrop for SecretVec<E> {}

impl<E: DefaultIsZeroes> fmt::Debug for SecretVec<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretVec").field("len", &self.0.len()).finish_non_exhaustive()
    }
}
