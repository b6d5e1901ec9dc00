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

    /// As [`write_counters`], by the vectors that the cipher has.
    #[inline]
    pub fn write_counters(&self, start: u128, blocks: &mut [Block]) {
        #[cfg(target_arch = "x86_64")]
        self.keys.write_counters(start, blocks);
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = (start, blocks);
            match self.never {}
        }
    }
}

/// Fills blocks with the numbers from `start` on, in little-endian order and modulo 2^128.
pub fn write_counters(start: u128, blocks: &mut [Block]) {
    let mut counter = start;
    for block in blocks {
        *block = counter.to_le_bytes();
        counter = counter.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;

    use super::*;

    #[test]
    fn vectors_write_the_same_counters() {
        let Some(cipher) = Cipher::new(0x0123_4567_89ab_cdef_1122_3344_5566_7788) else { return };
        let carries = [0, 1, 2, 15, 16, 63, 64, 150].map(|before| (7u128 << 64 | u128::from(u64::MAX)) - before);
        for start in carries.into_iter().chain([0, u128::MAX, u128::MAX - 77, 1 << 63, 1 << 64]) {
            for len in [0, 1, 2, 15, 16, 17, 31, 64, 65, 200] {
                let (mut blocks, mut counters) = (vec![[0; 16]; len], vec![[1; 16]; len]);
                write_counters(start, &mut blocks);
                cipher.write_counters(start, &mut counters);
                assert_eq!(counters, blocks, "{len} from {start:x}");
            }
        }
    }
}
