//! Random bits as planes, and the products of them that were dealt.

use mpc_ring::kernels::vectorized;
use mpc_ring::{Ring, packing};
use mpc_shares::SecretVec;

use super::chain::{Factor, Level};
use crate::ProtocolError;
use crate::correlation::{AtRest, Dealing, Fields};

/// Words of a plane that are worked on together, so that the compiler can use vectors.
pub(super) const LANES: usize = 8;

/// Words of a plane whose monomials are made or read at a time, so that they stay in the cache.
pub(super) const PART: usize = 8 * LANES;

/// One party's XOR shares of a level's random bits, as they were made: of ρ and of σ.
pub(super) struct SharedBits {
    words: usize,
    pub(super) less: AtRest<u64>,
    pub(super) equal: AtRest<u64>,
}

impl SharedBits {
    pub(super) fn from_fields<R: Ring>(level: &Level, len: usize, fields: &mut Fields<R>) -> Self {
        let words = packing::words_for(len);
        // A level without ρ has no field of them.
        let less = match level.less {
            0 => AtRest::packed(&[], u64::BITS),
            count => fields.uniform_words(count * words),
        };
        Self { words, less, equal: fields.uniform_words(level.equal * words) }
    }

    /// With their products, which are the next field.
    pub(super) fn with_products<R: Ring>(self, level: &Level, fields: &mut Fields<R>) -> DealtMonomials {
        let products = fields.dealt_words(level.products * self.words);
        DealtMonomials { bits: self, products }
    }
}

/// One party's XOR shares of [`Monomials`], as they were made.
pub(super) struct DealtMonomials {
    pub(super) bits: SharedBits,
    products: AtRest<u64>,
}

impl DealtMonomials {
    /// The words of a plane.
    pub(super) fn words(&self) -> usize {
        self.bits.words
    }
}

/// The dealer's random bits of a level, as planes.
pub(super) struct RandomBits {
    words: usize,
    less: SecretVec<u64>,
    pub(super) equal: SecretVec<u64>,
}

impl RandomBits {
    /// The next fields, as [`SharedBits::from_fields`] takes them.
    pub(super) fn deal<R: Ring>(level: &Level, len: usize, dealing: &mut Dealing<'_, R>) -> Self {
        let less = if level.less == 0 { SecretVec::zeros(0) } else { dealing.uniform_words() };
        Self { words: packing::words_for(len), less, equal: dealing.uniform_words() }
    }

    /// Deals their products.
    pub(super) async fn deal_products<R: Ring>(
        &self,
        level: &Level,
        dealing: &mut Dealing<'_, R>,
    ) -> Result<(), ProtocolError> {
        let factors = level.factors();
        let mut monomials = Monomials::zeros(self.words.min(PART), level);
        let products = |from: usize, products: &mut [u64]| {
            let (first, words) = (from / level.products, products.len() / level.products);
            if words < monomials.words {
                monomials = Monomials::zeros(words, level);
            }
            self.copy(first, &mut monomials);
            vectorized(|| monomials.fill_products(&factors));
            products.copy_from_slice(&monomials.products);
        };
        dealing.dealt_words_by(level.products * PART, products).await
    }

    /// Copies as many words as there is room for, from the word `first` on.
    fn copy(&self, first: usize, monomials: &mut Monomials) {
        let words = monomials.words;
        let all = [(&mut monomials.less_bits, &self.less), (&mut monomials.equal_bits, &self.equal)];
        for (part, planes) in all {
            for (part, plane) in part.chunks_exact_mut(words).zip(planes.chunks_exact(self.words)) {
                part.copy_from_slice(&plane[first..][..words]);
            }
        }
    }
}

/// The random bits of some words and their products: either one party's XOR shares or the dealer's values.
pub(super) struct Monomials {
    words: usize,
    /// The ρ of a level, as planes.
    less_bits: SecretVec<u64>,
    /// The σ of a level, as planes.
    equal_bits: SecretVec<u64>,
    /// In blocks of [`LANES`] words, the products in the order of [`Level::factors`]: all that a block needs is read in one
    /// stream.
    products: SecretVec<u64>,
}

impl Monomials {
    pub(super) fn zeros(words: usize, level: &Level) -> Self {
        let planes = |count: usize| SecretVec::zeros(count * words);
        Self { words, less_bits: planes(level.less), equal_bits: planes(level.equal), products: planes(level.products) }
    }

    /// The number of words of a plane.
    pub(super) fn words(&self) -> usize {
        self.words
    }

    /// The shares of as many words as there is room for, from the word `from` on.
    pub(super) fn read(&mut self, dealt: &DealtMonomials, from: usize) {
        let all = [(&mut self.less_bits, &dealt.bits.less), (&mut self.equal_bits, &dealt.bits.equal)];
        for (planes, dealt_planes) in all {
            for (index, plane) in planes.chunks_exact_mut(self.words).enumerate() {
                dealt_planes.read(index * dealt.bits.words + from, plane);
            }
        }
        dealt.products.read(self.products.len() / self.words * from, &mut self.products);
    }

    /// A factor's words of a block.
    #[inline(always)]
    pub(super) fn block(&self, factor: Factor, block: usize) -> &[u64] {
        let first = block * LANES;
        let len = LANES.min(self.words - first);
        match factor {
            Factor::LessBit(index) => &self.less_bits[index * self.words + first..][..len],
            Factor::EqualBit(index) => &self.equal_bits[index * self.words + first..][..len],
            Factor::Product(index) => {
                let count = self.products.len() / self.words;
                &self.products[first * count + index * len..][..len]
            }
        }
    }

    /// Multiplies the dealer's bits out.
    #[inline(always)]
    fn fill_products(&mut self, factors: &[[Factor; 2]]) {
        for block in 0..self.words.div_ceil(LANES) {
            let first = block * LANES;
            for (index, &[x, y]) in factors.iter().enumerate() {
                let (x, y) = (lanes(self.block(x, block)), lanes(self.block(y, block)));
                let len = LANES.min(self.words - first);
                let product = &mut self.products[first * factors.len() + index * len..][..len];
                product.iter_mut().zip(x.iter().zip(y)).for_each(|(product, (x, y))| *product = x & y);
            }
        }
    }
}

/// Up to [`LANES`] words, and zeros behind them.
#[inline(always)]
pub(super) fn lanes(words: &[u64]) -> [u64; LANES] {
    match words.first_chunk() {
        Some(full) => *full,
        None => core::array::from_fn(|i| words.get(i).copied().unwrap_or(0)),
    }
}
