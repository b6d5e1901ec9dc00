//! One party's shares for comparisons, and how a dealer makes them.

use alloc::vec::Vec;
use core::hint::black_box;

use mpc_ring::Ring;
use mpc_ring::kernels::{Work, vectorized, vectorized_whole};
use mpc_shares::SecretVec;

use super::chain::Level;
use super::leaves::masks_of_planes;
use super::monomials::{DealtMonomials, RandomBits, SharedBits};
use super::parameters::{SignParameters, SignShape};
use super::tables::{bit_plane, leaf_tables};
use crate::ProtocolError;
use crate::correlation::{AtRest, BLOCK, BitsAtRest, Dealing, Fields, Secret};
use crate::truncation::{check_bits, random_bits};

/// One party's share of r with what is read of its leaves: what all thresholds of a value have in common.
pub(crate) struct MaskTables<R: Ring> {
    /// r, uniform in k bits, shared in the ring.
    pub(super) mask: AtRest<R>,
    pub(super) bits: MaskBits,
}

/// One party's share of what is read of the bits of r.
pub(crate) struct MaskBits {
    pub(super) leaves: Leaves,
    /// `<r_{k−2}>`.
    pub(super) sign: BitsAtRest,
}

impl MaskBits {
    /// Those of leaves whose tables are dealt: the fields that [`deal_tables`] deals.
    pub(crate) fn of_tables<R: Ring>(SignShape { len, parameters }: SignShape, fields: &mut Fields<R>) -> Self {
        let leaves = Leaves::Tables(fields.dealt_words(parameters.table_words(len)));
        Self { leaves, sign: fields.dealt_bits(1, len) }
    }
}

/// One party's share of what is read of the leaves of r.
pub(super) enum Leaves {
    /// `<T_i>` for each leaf, in blocks of 64 elements: leaf after leaf, element after element, two in a word.
    Tables(AtRest<u64>),
    /// The bits of r and their products.
    Bits(DealtMonomials),
}

impl<R: Ring> MaskTables<R> {
    pub(crate) fn from_fields(shape: SignShape, fields: &mut Fields<R>) -> Result<Self, ProtocolError> {
        let SignShape { len, parameters } = shape;
        check_bits::<R>(parameters.bits(), 0)?;
        // Opened in k bits, whatever is read of the result.
        let width = fields.width().max(parameters.bits());
        let Some(level) = parameters.leaf_bits() else {
            let mask = fields.dealt(len, width);
            return Ok(Self { mask, bits: MaskBits::of_tables(shape, fields) });
        };
        let bits = SharedBits::from_fields(&level, len, fields);
        let sign = fields.uniform_bits(1, len);
        let mask = fields.dealt(len, width);
        let leaves = Leaves::Bits(bits.with_products(&level, fields));
        Ok(Self { mask, bits: MaskBits { leaves, sign } })
    }

    /// Deals them, and gives r.
    pub(crate) async fn deal(shape: SignShape, dealing: &mut Dealing<'_, R>) -> Result<Secret<R>, ProtocolError> {
        match shape.parameters.leaf_bits() {
            None => {
                let mask = random_bits(dealing, shape.len, shape.parameters.bits());
                dealing.dealt(&mask).await?;
                deal_tables(dealing, &mask, shape.parameters).await?;
                Ok(mask)
            }
            Some(level) => Self::deal_bits(shape, &level, dealing).await,
        }
    }

    /// Every party chooses its shares of the k−1 low bits, of which r is made.
    async fn deal_bits(
        shape: SignShape,
        level: &Level,
        dealing: &mut Dealing<'_, R>,
    ) -> Result<Secret<R>, ProtocolError> {
        let SignShape { len, parameters } = shape;
        let bits = RandomBits::deal(level, len, dealing);
        let signs = dealing.uniform_words();
        let mut mask = dealing.random(len);
        let planes: SecretVec<u64> = bits.equal.iter().chain(signs.iter()).copied().collect();
        masks_of_planes(&planes, parameters.bits(), &mut mask);
        dealing.dealt(&mask).await?;
        bits.deal_products(level, dealing).await?;
        Ok(mask)
    }
}

/// Deals the tables of masks' leaves, and the masks' bits k−2.
pub(crate) async fn deal_tables<R: Ring>(
    dealing: &mut Dealing<'_, R>,
    mask: &[R],
    parameters: SignParameters,
) -> Result<(), ProtocolError> {
    let block = parameters.table_words(BLOCK);
    let tables = |from: usize, tables: &mut [u64]| {
        let mask = &mask[from / block * BLOCK..];
        leaf_tables(&mask[..mask.len().min(BLOCK)], parameters, tables);
    };
    dealing.dealt_words_by(block, tables).await?;
    let signs = |from: usize, words: &mut [u64]| bit_plane(&mask[64 * from..], parameters.bits() - 2, words);
    dealing.dealt_words_by(BLOCK / 64, signs).await
}

/// One party's share of what one threshold needs: consumed by its use.
pub(crate) struct ThresholdMask<R: Ring> {
    /// The random bits of each level, with their products.
    pub(super) levels: Vec<DealtMonomials>,
    /// A random bit d, in XOR shares …
    pub(super) flip: BitsAtRest,
    /// … and in the ring.
    pub(super) flip_in_ring: AtRest<R>,
}

impl<R: Ring> ThresholdMask<R> {
    pub(crate) fn from_fields(shape: SignShape, fields: &mut Fields<R>) -> Result<Self, ProtocolError> {
        let SignShape { len, parameters } = shape;
        let levels = parameters.levels();
        let bits: Vec<_> = levels.iter().map(|level| SharedBits::from_fields(level, len, fields)).collect();
        let flip = fields.uniform_bits(1, len);
        let levels = bits.into_iter().zip(&levels).map(|(bits, level)| bits.with_products(level, fields)).collect();
        Ok(Self { levels, flip, flip_in_ring: fields.dealt(len, fields.width()) })
    }

    /// Deals them, and gives d, 64 elements a word.
    pub(crate) async fn deal(shape: SignShape, dealing: &mut Dealing<'_, R>) -> Result<Secret<u64>, ProtocolError> {
        let levels = shape.parameters.levels();
        let bits: Vec<_> = levels.iter().map(|level| RandomBits::deal(level, shape.len, dealing)).collect();
        let flip = dealing.uniform_words();
        for (bits, level) in bits.iter().zip(&levels) {
            bits.deal_products(level, dealing).await?;
        }
        dealing.dealt_by(BLOCK, |from, values| vectorized(|| unpack_bits(&flip, from, values))).await?;
        Ok(flip)
    }
}

/// Deals the products of a mask r, uniform in `bits` bits, and of its top bit with a bit d.
pub(crate) async fn deal_flipped<R: Ring>(
    dealing: &mut Dealing<'_, R>,
    mask: &[R],
    flip: &[u64],
    bits: u32,
) -> Result<(), ProtocolError> {
    let masks =
        |from: usize, values: &mut [R]| vectorized_whole(Chosen { flip, from, products: values, mask, shift: 0 });
    dealing.dealt_by(BLOCK, masks).await?;
    let tops = |from: usize, values: &mut [R]| {
        vectorized_whole(Chosen { flip, from, products: values, mask, shift: bits - 1 })
    };
    dealing.dealt_by(BLOCK, tops).await
}

/// d·⌊r / 2^`shift`⌋ for each element from position `from` on, a multiple of 64; the bits d are 64 elements a word.
struct Chosen<'a, R> {
    flip: &'a [u64],
    from: usize,
    products: &'a mut [R],
    mask: &'a [R],
    shift: u32,
}

impl<R: Ring> Work for Chosen<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { flip, from, products, mask, shift } = self;
        unpack_bits(flip, from, products);
        times_masks(products, &mask[from..], shift);
    }
}

/// b·⌊r / 2^`shift`⌋ in place of each bit b, for the masks r of as many.
#[inline(always)]
pub(crate) fn times_masks<R: Ring>(bits: &mut [R], masks: &[R], shift: u32) {
    // Behind the barrier the compiler does not know of two values only, and so makes no branch of them.
    for (bit, &r) in black_box(bits).iter_mut().zip(masks) {
        *bit = bit.wrapping_neg() & (r >> shift);
    }
}

/// The bits of elements from position `from` on, a multiple of 64.
#[inline(always)]
pub(crate) fn unpack_bits<R: Ring>(words: &[u64], from: usize, bits: &mut [R]) {
    for (bits, &word) in bits.chunks_mut(64).zip(&words[from / 64..]) {
        for (i, bit) in bits.iter_mut().enumerate() {
            *bit = R::from_u64((word >> i) & 1);
        }
    }
}
