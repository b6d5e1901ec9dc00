//! The comparison itself: one mask with its tables, read once for every public threshold.

use alloc::vec::Vec;

use mpc_ring::{Ring, packing};
use mpc_shares::{BinaryShares, SecretVec};
use mpc_transport::Traffic;

use super::borrow::results;
use super::chain::Level;
use super::leaves::read_bits;
use super::masks::{Leaves, MaskBits, MaskTables, ThresholdMask};
use super::parameters::{SignParameters, SignShape};
use super::tables::{bit_plane, read_tables};
use crate::correlation::AtRest;
use crate::error::{check_correlation, check_len};
use crate::open::{self, open_planes};
use crate::truncation::{TruncateReduce, check_bits};
use crate::{Party, ProtocolError};

/// Comparisons as all parties know them at the end: the masked value c and for each threshold the flipped bit
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

/// Opens c and every β_j for y = x / 2^`shift` and public thresholds in units of y.
///
/// The bit [y ≥ t] is bit k−2 of y − t + 2^{k−2} = (c − t) − r, so each threshold reads the same shares at the leaves of
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
    let MaskTables { mask, bits: mask_bits } = tables;
    check_bits::<R>(parameters.bits(), shift)?;
    check_correlation("sign", "elements", mask.len(), x.len())?;
    let opened = TruncateReduce::new(party, parameters.bits(), shift).open(party, x, &mask).await?;
    let (flipped, flips) = compare_opened(party, &opened, thresholds, parameters, mask_bits, correlations).await?;
    Ok(Comparisons { opened, flipped, mask, flips })
}

/// As [`open_comparisons`], where c is public already: every β_j, and this party's share of each d_j.
pub(crate) async fn compare_opened<R: Ring>(
    party: &mut Party,
    opened: &[R],
    thresholds: &[R],
    parameters: SignParameters,
    mask_bits: MaskBits,
    correlations: Vec<ThresholdMask<R>>,
) -> Result<(SecretVec<u64>, Vec<AtRest<R>>), ProtocolError> {
    let MaskBits { leaves, sign: mask_sign } = mask_bits;
    let (bits, len, first) = (parameters.bits(), opened.len(), party.is_first());
    check_len("sign, thresholds", correlations.len(), thresholds.len())?;
    let words = packing::words_for(len);
    let planes = (2 * parameters.leaves() - 1) * words;
    let mut parts = SecretVec::zeros(planes * thresholds.len());
    let mut signs = Vec::with_capacity(thresholds.len());
    for (index, &threshold) in thresholds.iter().enumerate() {
        let mut compare = |opened: &[R]| {
            read_leaves(&leaves, opened, parameters, first, &mut parts[index * planes..][..planes]);
            let mut sign = SecretVec::zeros(if first { words } else { 0 });
            bit_plane(opened, bits - 2, &mut sign);
            signs.push(sign);
        };
        if threshold == R::ZERO {
            compare(opened);
        } else {
            compare(&opened.iter().map(|c| c.wrapping_sub(threshold)).collect::<SecretVec<_>>());
        }
    }
    for (index, level) in parameters.levels().iter().enumerate() {
        parts = through_level(party, parts, (index, level), &correlations, len).await?;
    }

    let mask_sign = mask_sign.shares()?;
    let mut flips = Vec::with_capacity(thresholds.len());
    for (index, (correlation, sign)) in correlations.into_iter().zip(signs).enumerate() {
        let ThresholdMask { flip, flip_in_ring, .. } = correlation;
        let borrow = &mut parts[index * words..][..words];
        let mut flip = flip.shares()?;
        flip.xor(&mask_sign)?;
        if first {
            flip.xor(&BinaryShares::new(1, len, sign.into_vec())?)?;
        }
        borrow.iter_mut().zip(flip.words()).for_each(|(borrow, flip)| *borrow ^= flip);
        flips.push(flip_in_ring);
    }
    Ok((open_planes(party, parts, len).await?, flips))
}

/// This party's shares of every lt_i, then of every eq_j but the lowest leaf's, at the leaves of the public c.
fn read_leaves<R: Ring>(leaves: &Leaves, opened: &[R], parameters: SignParameters, first: bool, planes: &mut [u64]) {
    match leaves {
        Leaves::Tables(tables) => read_tables(tables, opened, parameters, first, planes),
        Leaves::Bits(bits) => read_bits(bits, opened, parameters, first, planes),
    }
}

/// From this party's shares of the lt and eq of a level's parts, threshold after threshold, to those of its chains: with every
/// one opened under its mask.
async fn through_level<R: Ring>(
    party: &mut Party,
    mut parts: SecretVec<u64>,
    (index, level): (usize, &Level),
    correlations: &[ThresholdMask<R>],
    len: usize,
) -> Result<SecretVec<u64>, ProtocolError> {
    let (words, first) = (packing::words_for(len), party.is_first());
    let (planes, made) = (level.opened() * words, level.results() * words);
    for (threshold, correlation) in correlations.iter().enumerate() {
        let bits = &correlation.levels[index].bits;
        let (less, equal) = parts[threshold * planes..][..planes].split_at_mut(level.less * words);
        bits.less.xor_into(less);
        bits.equal.xor_into(equal);
    }
    let opened = open_planes(party, parts, len).await?;
    let mut chains = SecretVec::zeros(made * correlations.len());
    for (threshold, correlation) in correlations.iter().enumerate() {
        let (opened, chains) = (&opened[threshold * planes..], &mut chains[threshold * made..][..made]);
        results(&opened[..planes], &correlation.levels[index], level, first, chains);
    }
    Ok(chains)
}

/// The traffic of each party when `shape.len` elements are compared with `thresholds` thresholds.
pub(crate) fn traffic(shape: SignShape, thresholds: usize, parties: usize) -> Traffic {
    open::traffic(shape.len, shape.parameters.bits(), parties) + traffic_of_opened(shape, thresholds, parties)
}

/// As [`traffic`], where c is public already.
pub(crate) fn traffic_of_opened(shape: SignShape, thresholds: usize, parties: usize) -> Traffic {
    let SignShape { len, parameters } = shape;
    let levels = parameters.levels().into_iter();
    let of_levels = levels.map(|level| open::traffic_of_planes(thresholds * level.opened(), len, parties));
    of_levels.sum::<Traffic>() + open::traffic_of_planes(thresholds, len, parties)
}
