//! Memory of which the code reads random places.

use core::ops::{Deref, DerefMut};

use mpc_ring::kernels::{LARGE_PAGE, prefer_large_pages};
use mpc_shares::SecretVec;

/// Strings in as few pages as there can be, where the system has large ones: they begin where a page does. Zeroised on drop.
pub(super) struct Strings {
    memory: SecretVec<u128>,
    start: usize,
    len: usize,
}

impl Strings {
    pub(super) fn blank(len: usize) -> Self {
        const SLACK: usize = LARGE_PAGE / size_of::<u128>();
        let mut memory = SecretVec::<u128>::zeros(len + SLACK);
        prefer_large_pages(&mut memory);
        let start = memory.as_ptr().align_offset(LARGE_PAGE).min(SLACK);
        Self { memory, start, len }
    }
}

impl Deref for Strings {
    type Target = [u128];

    fn deref(&self) -> &[u128] {
        &self.memory[self.start..][..self.len]
    }
}

impl DerefMut for Strings {
    fn deref_mut(&mut self) -> &mut [u128] {
        &mut self.memory[self.start..][..self.len]
    }
}
