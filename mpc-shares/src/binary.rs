//! Binary sharings: b = ⊕ b_i, bit-sliced.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use mpc_ring::{Ring, bitslice, packing};
use rand_core::CryptoRng;
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{SecretVec, ShareError, check_parties};

/// One party's XOR shares of `len` values of `width` bits each.
///
/// Bit-sliced: plane b holds bit b of every value, 64 values a word, so that one instruction works on 64 of them. Bits
/// beyond `len` in a plane's last word are zero. Zeroised on drop, not `Clone`, redacted in `Debug`, compared in constant
/// time.
///
/// ```
/// use mpc_shares::{BinaryShares, Prg, Seed};
/// let mut generator = Prg::new(Seed::from_system()?);
/// let shares = BinaryShares::split(&[5u64, 2], 3, 2, &mut generator)?;
/// assert_eq!(BinaryShares::reconstruct::<u64>(&shares)?, [5, 2]);
/// # Ok::<(), mpc_shares::ShareError>(())
/// ```
///
/// They cannot be copied:
///
/// ```compile_fail,E0599
/// let shares = mpc_shares::BinaryShares::zeros(1, 1);
/// let twice = shares.clone();
/// ```
pub struct BinaryShares {
    width: u32,
    len: usize,
    words: SecretVec<u64>,
}

impl BinaryShares {
    /// Shares from one party's planes, one after the other, each of ⌈len/64⌉ words.
    ///
    /// # Errors
    /// [`ShareError::Length`] if there are not `width` planes of that length.
    pub fn new(width: u32, len: usize, words: Vec<u64>) -> Result<Self, ShareError> {
        let mut shares = Self { width, len, words: words.into() };
        if packing::words_for(len).checked_mul(width as usize) != Some(shares.words.len()) {
            return Err(ShareError::Length { shape: vec![width as usize, len], elements: shares.words.len() });
        }
        shares.clear_padding();
        Ok(shares)
    }

    /// Shares of zeros.
    #[must_use]
    pub fn zeros(width: u32, len: usize) -> Self {
        Self { width, len, words: SecretVec::zeros(packing::words_for(len) * width as usize) }
    }

    /// The party's own shares of ring elements as bits: planes of the lowest `width` bits of each.
    ///
    /// # Errors
    /// [`ShareError::Width`] if the ring has fewer bits.
    pub fn from_elements<R: Ring>(elements: &[R], width: u32) -> Result<Self, ShareError> {
        if width > R::BITS {
            return Err(ShareError::Width { width, limit: R::BITS });
        }
        let mut shares = Self::zeros(width, elements.len());
        bitslice::to_planes(elements, width, &mut shares.words);
        Ok(shares)
    }

    /// The bits of each value as one ring element: the inverse of [`from_elements`](Self::from_elements).
    ///
    /// # Errors
    /// [`ShareError::Width`] if the ring has fewer bits.
    pub fn to_elements<R: Ring>(&self) -> Result<Vec<R>, ShareError> {
        if self.width > R::BITS {
            return Err(ShareError::Width { width: self.width, limit: R::BITS });
        }
        let mut elements = SecretVec::zeros(self.len).into_vec();
        bitslice::from_planes(&self.words, self.width, &mut elements);
        Ok(elements)
    }

    /// The number of bits of each value.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// The number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// This party's words, plane after plane, for protocols.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// This party's words of one plane.
    ///
    /// # Panics
    /// If there is no such plane.
    #[must_use]
    pub fn plane(&self, bit: u32) -> &[u64] {
        let words = packing::words_for(self.len);
        &self.words[bit as usize * words..][..words]
    }

    /// Shares of the planes in `bits`, as values of their own width.
    ///
    /// # Errors
    /// [`ShareError::Width`] if there are not so many planes.
    pub fn planes(&self, bits: core::ops::Range<u32>) -> Result<Self, ShareError> {
        if bits.start > bits.end || bits.end > self.width {
            return Err(ShareError::Width { width: bits.end, limit: self.width });
        }
        let words = packing::words_for(self.len);
        let range = bits.start as usize * words..bits.end as usize * words;
        Self::new(bits.end - bits.start, self.len, self.words[range].to_vec())
    }

    /// Shares of x ⊕ y, in place.
    ///
    /// # Errors
    /// [`ShareError::ShapesDiffer`].
    pub fn xor(&mut self, other: &Self) -> Result<(), ShareError> {
        if (self.width, self.len) != (other.width, other.len) {
            let shape = |shares: &Self| vec![shares.width as usize, shares.len];
            return Err(ShareError::ShapesDiffer { left: shape(self), right: shape(other) });
        }
        self.words.iter_mut().zip(other.words.iter()).for_each(|(x, &y)| *x ^= y);
        Ok(())
    }

    /// Shares of ¬x, in place: party 0 alone flips its bits.
    pub fn negate(&mut self, party: usize) {
        if party == 0 {
            self.words.iter_mut().for_each(|x| *x = !*x);
            self.clear_padding();
        }
    }

    /// Splits secret ring elements, as bits, among `parties`.
    ///
    /// # Errors
    /// [`ShareError::Parties`], [`ShareError::Width`].
    pub fn split<R: Ring, G: CryptoRng + ?Sized>(
        secret: &[R],
        width: u32,
        parties: usize,
        generator: &mut G,
    ) -> Result<Vec<Self>, ShareError> {
        check_parties(parties)?;
        let mut last = Self::from_elements(secret, width)?;
        let mut shares = Vec::with_capacity(parties);
        for _ in 1..parties {
            let mut words = SecretVec::zeros(last.words.len()).into_vec();
            u64::fill_random(&mut words, generator);
            let share = Self::new(width, secret.len(), words)?;
            last.xor(&share)?;
            shares.push(share);
        }
        shares.push(last);
        Ok(shares)
    }

    /// The secret as ring elements, from the shares of all parties.
    ///
    /// # Errors
    /// [`ShareError::Parties`], [`ShareError::ShapesDiffer`], [`ShareError::Width`].
    pub fn reconstruct<R: Ring>(shares: &[Self]) -> Result<Vec<R>, ShareError> {
        check_parties(shares.len())?;
        let mut sum = Self::new(shares[0].width, shares[0].len, shares[0].words.to_vec())?;
        for share in &shares[1..] {
            sum.xor(share)?;
        }
        sum.to_elements()
    }

    fn clear_padding(&mut self) {
        let used = self.len % 64;
        if used != 0 {
            let words = packing::words_for(self.len);
            self.words.chunks_exact_mut(words).for_each(|plane| plane[words - 1] &= u64::MAX >> (64 - used));
        }
    }
}

impl ConstantTimeEq for BinaryShares {
    /// Whether width and length, which are public, and bits are equal.
    fn ct_eq(&self, other: &Self) -> Choice {
        let shapes = Choice::from(u8::from((self.width, self.len) == (other.width, other.len)));
        shapes & self.words.ct_eq(&*other.words)
    }
}

impl PartialEq for BinaryShares {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for BinaryShares {}

impl Zeroize for BinaryShares {
    fn zeroize(&mut self) {
        self.words.zeroize();
    }
}

impl ZeroizeOnDrop for BinaryShares {}

impl fmt::Debug for BinaryShares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BinaryShares").field("width", &self.width).field("len", &self.len).finish_non_exhaustive()
    }
}
