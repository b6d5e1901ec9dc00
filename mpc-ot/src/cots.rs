//! Correlated OTs.

use mpc_shares::SecretVec;

/// One end of correlated OTs: strings x_i at the sender, and x_i ⊕ c_i·Δ at the receiver with the choice bit c_i.
///
/// The lowest bit of Δ is 1, of the sender's strings 0, and of the receiver's the choice bit. Zeroised on drop; not `Clone`.
pub struct Cots {
    blocks: SecretVec<u128>,
    count: usize,
}

impl Cots {
    pub(crate) fn new(blocks: SecretVec<u128>, count: usize) -> Self {
        debug_assert!(count <= blocks.len());
        Self { blocks, count }
    }

    /// The number of transfers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The strings, which the caller must hash before it uses them as keys.
    #[must_use]
    pub fn strings(&self) -> &[u128] {
        &self.blocks[..self.count]
    }

    /// The strings, for one further use.
    pub(crate) fn into_strings(self) -> SecretVec<u128> {
        SecretVec::copy_of(self.strings())
    }
}
