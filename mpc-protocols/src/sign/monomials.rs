//! Random bits as planes, and the products of them that were dealt.

use alloc::vec::Vec;

use mpc_ring::kernels::{Work, vectorized_whole};
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
        let place = |factor| match factor {
            Factor::LessBit(index) => index,
            Factor::EqualBit(index) => level.less + index,
            Factor::Product(index) => level.less + level.equal + index,
        };
        let factors: Vec<_> = level.factors().into_iter().map(|factors| factors.map(place)).collect();
        let mut values = SecretVec::zeros((level.less + level.equal + level.products) * LANES);
        let products = |from: usize, products: &mut [u64]| {
            let (values, first) = (values.as_chunks_mut().0, from / level.products);
            vectorized_whole(Products { bits: self, factors: &factors, first, values, products });
        };
        dealing.dealt_words_by(level.products * PART, products).await
    }
}

/// As many words of every product as there is room for, from the word `first` on.
struct Products<'a> {
    bits: &'a RandomBits,
    /// The places of both factors among the values.
    factors: &'a [[usize; 2]],
    first: usize,
    /// Room for some words of every random bit, and behind them of every product.
    values: &'a mut [[u64; LANES]],
    products: &'a mut [u64],
}

impl Work for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { bits: RandomBits { words, less, equal }, factors, first, values, products } = self;
        let bits = values.len() - factors.len();
        for (block, products) in products.chunks_mut(LANES * factors.len()).enumerate() {
            let (at, len) = (first + block * LANES, products.len() / factors.len());
            for (value, plane) in values.iter_mut().zip(less.chunks_exact(*words).chain(equal.chunks_exact(*words))) {
                *value = lanes(&plane[at..][..len]);
            }
            for (index, &[x, y]) in factors.iter().enumerate() {
                let (x, y) = (values[x], values[y]);
                values[bits + index].iter_mut().zip(x.iter().zip(&y)).for_each(|(product, (x, y))| *product = x & y);
            }
            let values = &values[bits..];
            if len == LANES {
                products.copy_from_slice(values.as_flattened());
            } else {
                products.chunks_exact_mut(len).zip(values).for_each(|(to, value)| to.copy_from_slice(&value[..len]));
            }
        }
    }
}

/// One party's XOR shares of the random bits of some words and of their products.
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
}

/// Up to [`LANES`] words, and zeros behind them.
#[inline(always)]
pub(super) fn lanes(words: &[u64]) -> [u64; LANES] {
    match words.first_chunk() {
        Some(full) => *full,
        None => core::array::from_fn(|i| words.get(i).copied().unwrap_or(0)),
    }
}
