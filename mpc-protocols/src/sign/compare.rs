//! The comparison itself: one mask with its tables, read once for every public threshold.

use alloc::vec::Vec;
use core::hint::black_box;

use mpc_ring::kernels::vectorized;
use mpc_ring::{Ring, packing};
use mpc_shares::{BinaryShares, SecretVec};
use mpc_transport::Traffic;

use super::borrow::{DealtMonomials, PART, RandomBits, borrow};
use super::parameters::{SignParameters, SignShape};
use super::tables::{bit_plane, leaf_tables, read_tables};
use crate::correlation::{AtRest, BLOCK, BitsAtRest, Dealing, Fields, Secret};
use crate::error::{check_correlation, check_len};
use crate::open::{self, open_planes};
use crate::truncation::{TruncateReduce, check_bits, random_bits};
use crate::{Party, ProtocolError};

/// One party's share of r with its one-time tables: what all thresholds of a value have in common.
pub(crate) struct MaskTables<R: Ring> {
    /// r, uniform in k bits, shared in the ring.
    mask: AtRest<R>,
    /// `<T_i>` for each leaf, in blocks of 64 elements: leaf after leaf, element after element, two in a word.
    tables: AtRest<u64>,
    /// `<r_{k−2}>`.
    mask_sign: BitsAtRest,
}

impl<R: Ring> MaskTables<R> {
    pub(crate) fn from_fields(shape: SignShape, fields: &mut Fields<R>) -> Result<Self, ProtocolError> {
        let SignShape { len, parameters } = shape;
        check_bits::<R>(parameters.bits(), 0)?;
        Ok(Self {
            // Opened in k bits, whatever is read of the result.
            mask: fields.dealt(len, fields.width().max(parameters.bits())),
            tables: fields.dealt_words(parameters.table_words(len)),
            mask_sign: fields.dealt_bits(1, len),
        })
    }

    /// Deals them, and gives r.
    pub(crate) async fn deal(shape: SignShape, dealing: &mut Dealing<'_, R>) -> Result<Secret<R>, ProtocolError> {
        let SignShape { len, parameters } = shape;
        let mask = random_bits(dealing, len, parameters.bits());
        dealing.dealt(&mask).await?;
        let block = parameters.table_words(BLOCK);
        let tables = |from: usize, tables: &mut [u64]| {
            let mask = &mask[from / block * BLOCK..];
            leaf_tables(&mask[..mask.len().min(BLOCK)], parameters, tables);
        };
        dealing.dealt_words_by(block, tables).await?;
        let signs = |from: usize, words: &mut [u64]| bit_plane(&mask[64 * from..], parameters.bits() - 2, words);
        dealing.dealt_words_by(BLOCK / 64, signs).await?;
        Ok(mask)
    }
}

/// One party's share of what one threshold needs: consumed by its use.
pub(crate) struct ThresholdMask<R: Ring> {
    monomials: DealtMonomials,
    /// A random bit d, in XOR shares …
    flip: BitsAtRest,
    /// … and in the ring.
    flip_in_ring: AtRest<R>,
}

impl<R: Ring> ThresholdMask<R> {
    pub(crate) fn from_fields(shape: SignShape, fields: &mut Fields<R>) -> Result<Self, ProtocolError> {
        let SignShape { len, parameters } = shape;
        let (words, leaves) = (packing::words_for(len), parameters.leaves());
        let less_bits = fields.uniform_words(leaves * words);
        let equal_bits = fields.uniform_words((leaves - 1) * words);
        let flip = fields.uniform_bits(1, len);
        let products = fields.dealt_words(parameters.dealt_products() * words);
        let monomials = DealtMonomials { words, less_bits, equal_bits, products };
        Ok(Self { monomials, flip, flip_in_ring: fields.dealt(len, fields.width()) })
    }

    /// Deals them, and gives d, 64 elements a word.
    pub(crate) async fn deal(shape: SignShape, dealing: &mut Dealing<'_, R>) -> Result<Secret<u64>, ProtocolError> {
        let SignShape { len, parameters } = shape;
        let bits = RandomBits {
            words: packing::words_for(len),
            less_bits: dealing.uniform_words(),
            equal_bits: dealing.uniform_words(),
        };
        let flip = dealing.uniform_words();
        let mut monomials = bits.monomials(parameters);
        let products = |from: usize, products: &mut [u64]| bits.products(from, parameters, &mut monomials, products);
        dealing.dealt_words_by(parameters.dealt_products() * PART, products).await?;
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
    let masks = |from: usize, values: &mut [R]| vectorized(|| chosen(flip, from, values, &mask[from..], 0));
    dealing.dealt_by(BLOCK, masks).await?;
    let tops = |from: usize, values: &mut [R]| vectorized(|| chosen(flip, from, values, &mask[from..], bits - 1));
    dealing.dealt_by(BLOCK, tops).await
}

/// d·⌊r / 2^`shift`⌋ for each element from position `from` on, a multiple of 64; the bits d are 64 elements a word.
#[inline(always)]
fn chosen<R: Ring>(flip: &[u64], from: usize, products: &mut [R], mask: &[R], shift: u32) {
    unpack_bits(flip, from, products);
    // Behind the barrier the compiler does not know of two values only, and so makes no branch of them.
    for (product, &r) in black_box(products).iter_mut().zip(mask) {
        *product = product.wrapping_neg() & (r >> shift);
    }
}

/// The bits of elements from position `from` on, a multiple of 64.
#[inline(always)]
fn unpack_bits<R: Ring>(words: &[u64], from: usize, bits: &mut [R]) {
    for (bits, &word) in bits.chunks_mut(64).zip(&words[from / 64..]) {
        for (i, bit) in bits.iter_mut().enumerate() {
            *bit = R::from_u64((word >> i) & 1);
        }
    }
}

/// Comparisons as all parties know them after three rounds: the masked value c and for each threshold the flipped bit
/// β_j = [y ≥ t_j] ⊕ d_j are public.
pub(crate) struct Comparisons<R: Ring> {
    /// c = y + 2^{k−2} + r modulo 2^k.
    pub(crate) opened: SecretVec<R>,
    /// β_j, 64 elements a word, threshold after threshold.
    pub(crate) flipped: SecretVec<u64>,
    /// This party's share of r.
    pub(crate) mask: AtRest<R>,
    /// This party's share of each d_j.
    pub(crate) flips: Vec<AtRest<R>>,
}

/// The bit of one element, as a mask of all ones or zeros.
#[inline]
pub(crate) fn mask_of_bit<R: Ring>(plane: &[u64], element: usize) -> R {
    R::from_u64((plane[element / 64] >> (element % 64)) & 1).wrapping_neg()
}

/// Opens c and every β_j for y = x / 2^`shift` and public thresholds in units of y.
///
/// The bit [y ≥ t] is bit k−2 of y − t + 2^{k−2} = (c − t) − r, so each threshold reads the same tables at the leaves of
/// c − t. Nothing that was read is opened without a fresh mask of its own.
pub(crate) async fn open_comparisons<R: Ring>(
    party: &mut Party,
    x: &[R],
    shift: u32,
    thresholds: &[R],
    parameters: SignParameters,
    tables: MaskTables<R>,
    correlations: Vec<ThresholdMask<R>>,
) -> Result<Comparisons<R>, ProtocolError> {
    let MaskTables { mask, tables, mask_sign } = tables;
    let (bits, len, first) = (parameters.bits(), x.len(), party.is_first());
    check_bits::<R>(bits, shift)?;
    check_correlation("sign", "elements", mask.len(), len)?;
    check_len("sign, thresholds", correlations.len(), thresholds.len())?;

    let opened = TruncateReduce::new(party, bits, shift).open(party, x, &mask).await?;

    let words = packing::words_for(len);
    let planes = parameters.leaf_bits_opened() * words;
    let mut leaves = SecretVec::zeros(planes * thresholds.len());
    let mut signs = Vec::with_capacity(thresholds.len());
    for (index, (&threshold, correlation)) in thresholds.iter().zip(&correlations).enumerate() {
        let mut compare = |opened: &[R]| {
            let leaves = &mut leaves[index * planes..][..planes];
            read_tables(&tables, opened, parameters, first, leaves);
            // lt_i ⊕ ρ_i, then eq_j ⊕ σ_j.
            let (less, equal) = leaves.split_at_mut(parameters.leaves() * words);
            correlation.monomials.less_bits.xor_into(less);
            correlation.monomials.equal_bits.xor_into(equal);
            let mut sign = SecretVec::zeros(if first { words } else { 0 });
            bit_plane(opened, bits - 2, &mut sign);
            signs.push(sign);
        };
        if threshold == R::ZERO {
            compare(&opened);
        } else {
            compare(&opened.iter().map(|c| c.wrapping_sub(threshold)).collect::<SecretVec<_>>());
        }
    }
    let leaves = open_planes(party, leaves, len).await?;

    let mask_sign = mask_sign.shares()?;
    let mut bits_to_open = SecretVec::zeros(words * thresholds.len());
    let mut flips = Vec::with_capacity(thresholds.len());
    for (index, (correlation, sign)) in correlations.into_iter().zip(signs).enumerate() {
        let ThresholdMask { monomials, flip, flip_in_ring } = correlation;
        let borrow = borrow(&leaves[index * planes..][..planes], &monomials, parameters, first);
        let mut flip = flip.shares()?;
        flip.xor(&mask_sign)?;
        flip.xor(&BinaryShares::new(1, len, borrow.into_vec())?)?;
        if first {
            flip.xor(&BinaryShares::new(1, len, sign.into_vec())?)?;
        }
        bits_to_open[index * words..][..words].copy_from_slice(flip.words());
        flips.push(flip_in_ring);
    }
    let flipped = open_planes(party, bits_to_open, len).await?;
    Ok(Comparisons { opened, flipped, mask, flips })
}

/// The traffic of each party when `shape.len` elements are compared with `thresholds` thresholds: three rounds.
pub(crate) fn traffic(shape: SignShape, thresholds: usize, parties: usize) -> Traffic {
    let SignShape { len, parameters } = shape;
    if len == 0 {
        return open::traffic(0, parameters.bits(), parties);
    }
    open::traffic(len, parameters.bits(), parties)
        + open::traffic_of_planes(thresholds * parameters.leaf_bits_opened(), len, parties)
        + open::traffic_of_planes(thresholds, len, parties)
}
