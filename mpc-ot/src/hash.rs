//! Hashes of 128-bit strings from AES-128.
//!
//! - [`Permutation::circular`], π(σ(x)) ⊕ σ(x) with σ(l ‖ r) = (l ⊕ r) ‖ l, is circular-correlation robust: Guo, Katz, Wang,
//!   Yu, "Efficient and secure multiparty computation from fixed-key block ciphers" (S&P 2020), section 7.3. Trees use it.
//! - [`StringHash`] turns correlated strings into independent ones. It is MITCCRH of Guo, Katz, Wang, Weng, Yu, "Better
//!   concrete security for half-gates garbling" (CRYPTO 2020), section 4: the same with a key of its own for every 64
//!   transfers, so that an attacker's block cipher calls help against 64 strings and not against all.

use mpc_ring::kernels::{orthomorphism, vectorized};
use mpc_shares::BlockCipher;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Blocks that one call of the cipher takes, so that its pipeline is full and they stay in the fastest cache.
pub(crate) const BATCH: usize = 64;

/// Memory of a hash, kept from one to the next so that it is zeroised once.
pub(crate) struct Scratch(Zeroizing<[u128; BATCH]>);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(Zeroizing::new([0; BATCH]))
    }
}

/// Adds `from` to `to`, place by place.
#[inline]
pub(crate) fn add(to: &mut [u128], from: &[u128]) {
    let (to, from): (&mut [u64], &[u64]) = (bytemuck::cast_slice_mut(to), bytemuck::cast_slice(from));
    vectorized(|| to.iter_mut().zip(from).for_each(|(to, from)| *to ^= from));
}

/// AES-128 with one key.
pub(crate) struct Permutation(BlockCipher);

impl Permutation {
    pub(crate) fn keyed(key: u128) -> Self {
        Self(BlockCipher::new(&key.to_le_bytes()))
    }

    /// The permutation of a public name, within a session.
    pub(crate) fn named(name: &str, salt: u128) -> Self {
        Self::keyed(derive(name, salt))
    }

    /// π(x), in place.
    #[inline]
    pub(crate) fn permute(&self, blocks: &mut [u128]) {
        swap_on_big_endian(blocks);
        self.0.encrypt(bytemuck::cast_slice_mut(blocks));
        swap_on_big_endian(blocks);
    }

    /// π(σ(x)), in the scratch memory, for at most [`BATCH`] blocks.
    #[inline]
    pub(crate) fn of_images<'s>(&self, blocks: &[u128], scratch: &'s mut Scratch) -> &'s [u128] {
        let images = &mut scratch.0[..blocks.len()];
        orthomorphism(blocks, 0, 0, images);
        self.permute(images);
        images
    }

    /// π(σ(x)) ⊕ σ(x), in place, for at most [`BATCH`] blocks.
    #[inline]
    pub(crate) fn circular(&self, blocks: &mut [u128], scratch: &mut Scratch) {
        let images = &mut scratch.0[..blocks.len()];
        orthomorphism(blocks, 0, 0, images);
        blocks.copy_from_slice(images);
        self.permute(images);
        add(blocks, images);
    }

    /// Fills `blocks` with π(counter), π(counter + 1), …
    pub(crate) fn count(&self, counter: u64, blocks: &mut [u128]) {
        for (batch, blocks) in blocks.chunks_mut(BATCH).enumerate() {
            let start = counter.wrapping_add((batch * BATCH) as u64);
            let mut places = start..;
            blocks.iter_mut().zip(&mut places).for_each(|(block, place)| *block = u128::from(place));
            self.permute(blocks);
        }
    }
}

/// The cipher sees a block as its 16 bytes in little-endian order.
#[inline(always)]
fn swap_on_big_endian(blocks: &mut [u128]) {
    if cfg!(target_endian = "big") {
        blocks.iter_mut().for_each(|block| *block = block.swap_bytes());
    }
}

/// A key from a public name and a session's salt.
pub(crate) fn derive(name: &str, salt: u128) -> u128 {
    let digest: [u8; 32] =
        Sha256::new().chain_update(b"mpc-ot 1 ").chain_update(name).chain_update(salt.to_le_bytes()).finalize().into();
    let mut key = [0; 16];
    key.copy_from_slice(&digest[..16]);
    u128::from_le_bytes(key)
}

/// From correlated strings to independent ones, with tweaks that never repeat.
pub(crate) struct StringHash {
    start: u128,
}

impl StringHash {
    /// The hash of one direction of a session, from what both parties know and neither chose alone.
    pub(crate) fn new(salt: u128) -> Self {
        Self { start: derive("strings", salt) }
    }

    /// The hashes of up to 64 strings, the `part`-th 128 bits of each; `word` numbers the calls of a session.
    ///
    /// The tweak of string j is (word, part, j): the key has the first two, and j is added to the string.
    #[inline]
    pub(crate) fn key(&self, word: u64, part: u32) -> StringKey {
        StringKey(Permutation::keyed(self.start ^ u128::from(word) ^ u128::from(part) << 64))
    }
}

/// The hash of the strings of one tweak.
pub(crate) struct StringKey(Permutation);

impl StringKey {
    /// Makes the hashes of the strings x ⊕ `offset`, for each of the offsets: π(y) ⊕ y with y = σ(x ⊕ `offset` ⊕ tweak).
    #[inline]
    pub(crate) fn hash<const N: usize>(
        &self,
        strings: &[u128; BATCH],
        offsets: [u128; N],
        hashes: &mut [[u128; BATCH]; N],
        scratch: &mut [[u128; BATCH]; N],
    ) {
        for (images, offset) in hashes.iter_mut().zip(offsets) {
            orthomorphism(strings, offset, 1, images);
        }
        scratch.copy_from_slice(hashes);
        self.0.permute(scratch.as_flattened_mut());
        add(hashes.as_flattened_mut(), scratch.as_flattened());
    }
}

impl Drop for StringHash {
    fn drop(&mut self) {
        self.start.zeroize();
    }
}

impl ZeroizeOnDrop for StringHash {}
