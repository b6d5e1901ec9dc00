//! The comparison itself: one mask with its tables, read once for every public threshold.

use alloc::vec::Vec;
use mpc_ring::{Ring, packing};
use mpc_shares::{ArithmeticShares, BinaryShares, SecretVec};
use mpc_transport::Traffic;

use super::borrow::{Monomials, borrow};
use super::parameters::{SignParameters, SignShape};
use super::tables::{bit_plane, leaf_tables, read_tables};
use crate::correlation::{Dealing, Fields, Secret};
use crate::error::{check_correlation, check_len};
use crate::open::{self, open_planes};
use crate::truncation::{TruncateReduce, check_bits, random_bits};
use crate::{Party, ProtocolError};

/// One party's share of r with its one-time tables: what all thresholds of a value have in common.
pub(crate) struct MaskTables<R: Ring> {
    /// r, uniform in k bits, shared in the ring.
    mask: ArithmeticShares<R>,
    /// `<T_i>` for each leaf, in blocks of 64 elements: leaf after leaf, element after element, two in a word.
    tables: SecretVec<u64>,
    /// `<r_{k−2}>`.
    mask_sign: BinaryShares,
}

impl<R: Ring> MaskTables<R> {
    pub(crate) fn from_fields(shape: SignShape, fields: &mut Fields<R>) -> Result<Self, ProtocolError> {
        let SignShape { len, parameters } = shape;
        check_bits::<R>(parameters.bits(), 0)?;
        Ok(Self {
            // Opened in k bits, whatever is read of the result.
            mask: fields.dealt(len, fields.width().max(parameters.bits())),
            tables: fields.dealt_words(parameters.table_words(len)),
            mask_sign: fields.dealt_bits(1, len)?,
        })
    }

    /// Deals them, and gives r.
    pub(crate) async fn deal(shape: SignShape, dealing: &mut Dealing<'_, R>) -> Result<Secret<R>, ProtocolError> {
        let SignShape { len, parameters } = shape;
        let mask = random_bits(dealing, len, parameters.bits());
        dealing.dealt(Secret::copy_of(&mask)).await?;
        dealing.dealt_words(leaf_tables(&mask, parameters)).await?;
        dealing.dealt_words(bit_plane(&mask, parameters.bits() - 2)).await?;
        Ok(mask)
    }
}

/// One party's share of what one threshold needs: consumed by its use.
pub(crate) struct ThresholdMask<R: Ring> {
    monomials: Monomials,
    /// A random bit d, in XOR shares …
    flip: BinaryShares,
    /// … and in the ring.
    flip_in_ring: ArithmeticShares<R>,
}

impl<R: Ring> ThresholdMask<R> {
    pub(crate) fn from_fields(shape: SignShape, fields: &mut Fields<R>) -> Result<Self, ProtocolError> {
        let SignShape { len, parameters } = shape;
        let (words, leaves) = (packing::words_for(len), parameters.leaves());
        let less_bits = fields.uniform_words(leaves * words);
        let equal_bits = fields.uniform_words((leaves - 1) * words);
        let flip = fields.uniform_bits(1, len)?;
        let products = fields.dealt_words(parameters.dealt_products() * words);
        let monomials = Monomials { words, less_bits, equal_bits, products };
        Ok(Self { monomials, flip, flip_in_ring: fields.dealt(len, fields.width()) })
    }

    /// Deals them, and gives d.
    pub(crate) async fn deal(shape: SignShape, dealing: &mut Dealing<'_, R>) -> Result<Secret<R>, ProtocolError> {
        let SignShape { len, parameters } = shape;
        let words = packing::words_for(len);
        let (less_bits, equal_bits) = (dealing.uniform_words(), dealing.uniform_words());
        let flip_words = dealing.uniform_words();
        let products = Secret::zeros(parameters.dealt_products() * words);
        let mut monomials = Monomials { words, less_bits, equal_bits, products };
        monomials.fill_products(parameters);
        dealing.dealt_words(monomials.products).await?;
        let flip = SecretVec::from(BinaryShares::new(1, len, flip_words.into_vec())?.to_elements::<R>()?);
        dealing.dealt(Secret::copy_of(&flip)).await?;
        Ok(flip)
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
    pub(crate) mask: ArithmeticShares<R>,
    /// This party's share of each d_j.
    pub(crate) flips: Vec<ArithmeticShares<R>>,
}

impl<R: Ring> Comparisons<R> {
    /// β of one threshold, 64 elements a word.
    pub(crate) fn flipped_plane(&self, threshold: usize) -> &[u64] {
        let words = packing::words_for(self.opened.len());
        &self.flipped[threshold * words..][..words]
    }
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

    let opened = TruncateReduce::new(party, bits, shift).open(party, x, mask.elements()).await?;

    let words = packing::words_for(len);
    let planes = parameters.leaf_bits_opened() * words;
    let mut leaves = SecretVec::zeros(planes * thresholds.len());
    let mut signs = Vec::with_capacity(thresholds.len());
    for (index, (&threshold, correlation)) in thresholds.iter().zip(&correlations).enumerate() {
        let mut compare = |opened: &[R]| {
            let leaves = &mut leaves[index * planes..][..planes];
            read_tables(&tables, opened, parameters, first, leaves);
            // lt_i ⊕ ρ_i, then eq_j ⊕ σ_j.
            let masks = correlation.monomials.less_bits.iter().chain(correlation.monomials.equal_bits.iter());
            leaves.iter_mut().zip(masks).for_each(|(x, &y)| *x ^= y);
            signs.push(if first { bit_plane(opened, bits - 2) } else { SecretVec::zeros(0) });
        };
        if threshold == R::ZERO {
            compare(&opened);
        } else {
            compare(&opened.iter().map(|c| c.wrapping_sub(threshold)).collect::<SecretVec<_>>());
        }
    }
    let leaves = open_planes(party, leaves, len).await?;

    let mut bits_to_open = SecretVec::zeros(words * thresholds.len());
    let mut flips = Vec::with_capacity(thresholds.len());
    for (index, (correlation, sign)) in correlations.into_iter().zip(signs).enumerate() {
        let ThresholdMask { monomials, mut flip, flip_in_ring } = correlation;
        let borrow = borrow(&leaves[index * planes..][..planes], &monomials, parameters, first);
        flip.xor(&mask_sign)?;
        flip.xor(&BinaryShares::new(1, len, borrow)?)?;
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
