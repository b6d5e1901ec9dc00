//! Seeds and the generator that expands them: AES-128 in counter mode.

mod stretch;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::convert::Infallible;
use core::fmt;
use core::hint::black_box;
use rand_core::{TryCryptoRng, TryRng};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::BlockCipher;

pub use stretch::{Reader, Stretch};

const BLOCK: usize = 16;

/// 32 secret bytes that a [`Prg`] expands: 16 of key and 16 of the counter's start. Zeroised on drop, never printed,
/// consumed by its use, and so not to be used twice. Its bytes have one place in memory, which a move does not change.
///
/// ```compile_fail,E0382
/// use mpc_shares::{Prg, Seed};
/// let seed = Seed::from_bytes([7; 32]);
/// let (first, second) = (Prg::new(seed), Prg::new(seed));
/// ```
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Seed(Box<[u8; Self::BYTES]>);

impl Seed {
    /// The length of a seed in bytes.
    pub const BYTES: usize = 32;

    /// The memory of a seed, to be filled where it is.
    fn blank() -> Self {
        Self(Box::new([0; Self::BYTES]))
    }

    /// A seed from bytes that are no secret, as in a test. The caller may have left copies of them on its stack.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self::copy_of(&Zeroizing::new(bytes))
    }

    /// A seed from bytes that a peer or the dealer sent over a private channel. The caller zeroises `bytes`.
    #[must_use]
    pub fn copy_of(bytes: &[u8; Self::BYTES]) -> Self {
        let mut seed = Self::blank();
        seed.0.copy_from_slice(bytes);
        seed
    }

    /// A fresh seed from a cryptographic generator.
    pub fn random<G: rand_core::CryptoRng + ?Sized>(generator: &mut G) -> Self {
        let mut seed = Self::blank();
        generator.fill_bytes(&mut *seed.0);
        seed
    }

    /// A fresh seed from the operating system.
    ///
    /// # Errors
    /// [`ShareError::Randomness`](crate::ShareError::Randomness) when the system has none.
    #[cfg(feature = "os-random")]
    pub fn from_system() -> Result<Self, crate::ShareError> {
        let mut seed = Self::blank();
        getrandom::fill(&mut *seed.0)
            .map_err(|error| crate::ShareError::Randomness { reason: alloc::format!("{error}") })?;
        Ok(seed)
    }

    /// The key and the counter's start.
    fn halves(&self) -> [&[u8; BLOCK]; 2] {
        let (halves, _) = self.0.as_chunks();
        [&halves[0], &halves[1]]
    }

    /// The bytes, to be sent over a private channel to the one party that shall hold this seed too.
    #[must_use]
    pub fn expose(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seed").finish_non_exhaustive()
    }
}

/// A pseudo-random generator: AES-128 in counter mode (NIST SP 800-38A, 6.5) over one [`Seed`].
///
/// Two generators with the same seed give the same bytes if they are asked for the same lengths in the same order, or
/// for the same total: the stream does not depend on how it is cut.
///
/// ```
/// use mpc_shares::{Prg, Seed};
/// use rand_core::Rng;
/// let mut dealer = Prg::new(Seed::from_bytes([7; 32]));
/// let mut party = Prg::new(Seed::from_bytes([7; 32]));
/// assert_eq!(dealer.next_u64(), party.next_u64());
/// ```
pub struct Prg(Box<State>);

/// A generator's secrets, which do not move as it does.
struct State {
    /// Shared with what is set aside of it.
    stream: Arc<Stream>,
    /// The number of the block that comes next.
    next: u64,
    block: [u8; BLOCK],
    unused: usize,
}

/// The blocks that a seed stands for.
struct Stream {
    cipher: BlockCipher,
    /// The counter of block 0.
    start: u128,
}

impl Prg {
    /// The generator of a seed, which it consumes.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        let state = keyed(&seed);
        clear_stack::<512>();
        Self(state)
    }

    /// A seed of its own for a sub-protocol, from this generator's stream.
    pub fn seed(&mut self) -> Seed {
        Seed::random(self)
    }
}

/// The state of a new generator. The key schedule is made on the stack, in frames that end before [`clear_stack`] begins.
#[inline(never)]
fn keyed(seed: &Seed) -> Box<State> {
    let [key, start] = seed.halves();
    let start = start.iter().rev().fold(0, |counter, &byte| (counter << 8) | u128::from(byte));
    let cipher = BlockCipher::new(key);
    Box::new(State { stream: Arc::new(Stream { cipher, start }), next: 0, block: [0; BLOCK], unused: 0 })
}

/// Overwrites what calls before this one have left on the stack, so many words deep: a key schedule takes fewer than 512, and
/// the copies of round keys that code for vectors works with fewer than 1,024.
#[inline(never)]
fn clear_stack<const WORDS: usize>() {
    let mut left = [0u64; WORDS];
    // Behind its barrier the compiler cannot know that nobody reads the zeros.
    black_box(&mut left);
}

impl Stream {
    /// Writes whole blocks, from a number on.
    fn write(&self, from: u64, blocks: &mut [[u8; BLOCK]]) {
        self.encrypt(from, blocks);
        clear_stack::<1024>();
    }

    /// As [`write`](Self::write), with copies of round keys left on the stack.
    #[inline(never)]
    fn encrypt(&self, from: u64, blocks: &mut [[u8; BLOCK]]) {
        self.cipher.encrypt_counters(self.start.wrapping_add(from.into()), blocks);
    }

    /// Fills `bytes` with a part of one block, from its byte `start` on.
    fn write_part(&self, number: u64, start: usize, bytes: &mut [u8]) {
        let mut block = [[0; BLOCK]];
        self.write(number, &mut block);
        bytes.copy_from_slice(&block[0][start..][..bytes.len()]);
        block[0].zeroize();
    }
}

impl State {
    /// Makes the next block, of which the first `used` bytes are used.
    fn next_block(&mut self, used: usize) {
        self.stream.write_part(self.next, 0, &mut self.block);
        self.next += 1;
        self.unused = BLOCK - used;
    }

    fn take_unused(&mut self, bytes: &mut [u8]) -> usize {
        let taken = self.unused.min(bytes.len());
        let from = BLOCK - self.unused;
        bytes[..taken].copy_from_slice(&self.block[from..from + taken]);
        self.unused -= taken;
        taken
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        let taken = self.take_unused(bytes);
        let (blocks, rest) = bytes[taken..].as_chunks_mut();
        self.stream.write(self.next, blocks);
        self.next += blocks.len() as u64;
        if !rest.is_empty() {
            self.next_block(0);
            self.take_unused(rest);
        }
    }
}

impl TryRng for Prg {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Prg {}

impl Drop for State {
    fn drop(&mut self) {
        self.block.zeroize();
    }
}

impl Drop for Stream {
    // The key schedule is zeroised by the cipher itself.
    fn drop(&mut self) {
        self.start.zeroize();
    }
}

impl ZeroizeOnDrop for Prg {}

impl fmt::Debug for Prg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prg").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::Rng;

    #[test]
    fn matches_the_standard_vector_of_counter_zero() {
        // FIPS 197, appendix C.1: key 000102…0f, plaintext 00112233…ff.
        let mut seed = [0u8; 32];
        for i in 0..16 {
            seed[i] = i as u8;
            seed[16 + i] = (i * 0x11) as u8;
        }
        let mut block = [0u8; 16];
        Prg::new(Seed::from_bytes(seed)).fill_bytes(&mut block);
        assert_eq!(
            block,
            [0x69, 0xc4, 0xe0, 0xd8, 0x6a, 0x7b, 0x04, 0x30, 0xd8, 0xcd, 0xb7, 0x80, 0x70, 0xb4, 0xc5, 0x5a]
        );
    }

    #[test]
    fn the_stream_does_not_depend_on_how_it_is_cut() {
        let mut whole = [0u8; 10_000];
        Prg::new(Seed::from_bytes([3; 32])).fill_bytes(&mut whole);
        let mut generator = Prg::new(Seed::from_bytes([3; 32]));
        let mut cut = [0u8; 10_000];
        let mut at = 0;
        for step in (1..).map(|i: usize| i * 7 % 301) {
            let end = (at + step).min(cut.len());
            generator.fill_bytes(&mut cut[at..end]);
            at = end;
            if at == cut.len() {
                break;
            }
        }
        assert_eq!(whole, cut);
    }

    #[test]
    fn the_counter_wraps_without_a_panic() {
        let mut bytes = [0xff; 32];
        bytes[0] = 1;
        let mut out = [0u8; 64];
        Prg::new(Seed::from_bytes(bytes)).fill_bytes(&mut out);
        assert_ne!(out[..16], out[16..32]);
    }

    #[test]
    fn debug_shows_no_secret() {
        let seed = Seed::from_bytes([0xab; 32]);
        assert_eq!(alloc::format!("{seed:?}"), "Seed { .. }");
        assert_eq!(alloc::format!("{:?}", Prg::new(seed)), "Prg { .. }");
    }
}
