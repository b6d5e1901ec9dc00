//! AES-128 by the fastest means of the machine.

use aes::Aes128Enc;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use core::fmt;
use mpc_ring::kernels::{Cipher, write_counters};

/// AES-128 (FIPS 197) with one key, which is zeroised on drop and never printed. It encrypts many blocks at a time; the time depends
/// on their number alone.
///
/// ```
/// let cipher = mpc_shares::BlockCipher::new(&[0; 16]);
/// let mut blocks = [[0; 16]; 2];
/// cipher.encrypt(&mut blocks);
/// assert_eq!(blocks[0], blocks[1]);
/// ```
pub struct BlockCipher(Kind);

enum Kind {
    /// Several blocks in a vector.
    Vectors(Cipher),
    Plain(Aes128Enc),
}

impl BlockCipher {
    /// The cipher with a key.
    #[must_use]
    pub fn new(key: &[u8; 16]) -> Self {
        let plain = || Kind::Plain(Aes128Enc::new(key.into()));
        Self(Cipher::new(u128::from_le_bytes(*key)).map_or_else(plain, Kind::Vectors))
    }

    /// Encrypts each block in place.
    #[inline]
    pub fn encrypt(&self, blocks: &mut [[u8; 16]]) {
        match &self.0 {
            Kind::Vectors(cipher) => cipher.encrypt(blocks),
            Kind::Plain(cipher) => cipher.encrypt_blocks(Array::cast_slice_from_core_mut(blocks)),
        }
    }

    /// Fills blocks with the encrypted numbers from `start` on, in little-endian order and modulo 2^128: the counter mode.
    #[inline]
    pub fn encrypt_counters(&self, start: u128, blocks: &mut [[u8; 16]]) {
        /// Large batches keep the cipher's pipeline full; small ones keep the counters in the cache. Counters that are made between
        /// the rounds would take the registers of those.
        const BATCH: usize = 256;
        for (index, batch) in blocks.chunks_mut(BATCH).enumerate() {
            let start = start.wrapping_add((index * BATCH) as u128);
            match &self.0 {
                Kind::Vectors(cipher) => cipher.write_counters(start, batch),
                Kind::Plain(_) => write_counters(start, batch),
            }
            self.encrypt(batch);
        }
    }
}

impl fmt::Debug for BlockCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockCipher").finish_non_exhaustive()
    }
}
