//! AES-128 on many blocks at once, two or four in a vector.

#[cfg(target_arch = "x86_64")]
mod vaes;

/// The cipher's unit.
pub(crate) type Block = [u8; 16];

/// AES-128 with one key, where the machine has it for the vectors of the backend. Zeroised on drop; no `Debug`, not `Clone`.
///
/// The time depends on the number of blocks alone.
pub struct Cipher {
    #[cfg(target_arch = "x86_64")]
    keys: vaes::RoundKeys,
    #[cfg(not(target_arch = "x86_64"))]
    never: core::convert::Infallible,
}

impl Cipher {
    /// The cipher with a key of 16 bytes in little-endian order, or nothing where the [backend](super::Backend) or the machine
    /// has no such vectors.
    #[must_use]
    pub fn new(key: u128) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        return vaes::RoundKeys::new(key).map(|keys| Self { keys });
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = key;
            None
        }
    }

    /// Encrypts each block.
    #[inline]
    pub fn encrypt(&self, blocks: &mut [Block]) {
        #[cfg(target_arch = "x86_64")]
        self.keys.encrypt(blocks);
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = blocks;
            match self.never {}
        }
    }
}
