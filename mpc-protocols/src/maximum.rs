//! Maxima: max(x, y) = y + relu(x − y), and tournaments of them.

use alloc::vec::Vec;
use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, SecretVec, ShareError};
use mpc_transport::Traffic;

use crate::error::check_len;
use crate::relu::{ReluMask, relu};
use crate::sign::{self, SignParameters, SignShape};
use crate::{Party, ProtocolError};

/// Shares of max(x, y), elementwise and exact, for |x − y| < 2^{k−2}.
///
/// # Security
/// As for [`relu`].
///
/// # Rounds and communication
/// Those of one [`relu`]: 3 rounds, 5.5 bytes per element with k = 32, or 4 rounds and 57 bits.
///
/// # Errors
/// As for [`relu`], and [`ProtocolError::Share`] if the shapes differ.
pub async fn maximum<R: Ring>(
    party: &mut Party,
    mut x: ArithmeticShares<R>,
    y: &ArithmeticShares<R>,
    correlation: ReluMask<R>,
) -> Result<ArithmeticShares<R>, ProtocolError> {
    x.subtract(y)?;
    let mut larger = relu(party, &x, 0, correlation).await?;
    larger.add(y)?;
    Ok(larger)
}

/// The shapes of the comparisons of a tournament among `candidates` tensors of `len` elements, level by level.
#[must_use]
pub fn tournament(candidates: usize, len: usize, parameters: SignParameters) -> Vec<SignShape> {
    let mut shapes = Vec::new();
    let mut left = candidates;
    while left > 1 {
        shapes.push(SignShape { len: left / 2 * len, parameters });
        left = left.div_ceil(2);
    }
    shapes
}

/// Shares of the elementwise maximum of several tensors of one shape: all comparisons of a level share their rounds.
///
/// # Security
/// As for [`relu`].
///
/// # Rounds and communication
/// ⌈log₂ m⌉ times the rounds of a ReLU for m tensors, and m−1 ReLUs per element ([`traffic`]).
///
/// # Errors
/// As for [`maximum`]; [`ProtocolError::OperandLength`] if there are no tensors, or the correlations do not fit their
/// number.
pub async fn maximum_of<R: Ring>(
    party: &mut Party,
    mut candidates: Vec<ArithmeticShares<R>>,
    correlations: Vec<ReluMask<R>>,
) -> Result<ArithmeticShares<R>, ProtocolError> {
    let shape = candidates.first().map(|c| c.shape().to_vec()).unwrap_or_default();
    if let Some(other) = candidates.iter().find(|candidate| candidate.shape() != shape) {
        return Err(ShareError::ShapesDiffer { left: shape, right: other.shape().to_vec() }.into());
    }
    let levels = candidates.len().next_power_of_two().trailing_zeros() as usize;
    check_len("maximum, candidates", candidates.len().max(1), candidates.len())?;
    check_len("maximum, levels", levels, correlations.len())?;
    for correlation in correlations {
        let odd = if candidates.len() % 2 == 1 { candidates.pop() } else { None };
        let half = candidates.len() / 2;
        let right = concatenate(&candidates[half..]);
        let left = concatenate(&candidates[..half]);
        let winners = maximum(party, left, &right, correlation).await?;
        candidates = split(&winners, half, &shape)?;
        candidates.extend(odd);
    }
    check_len("maximum, winners", 1, candidates.len())?;
    Ok(candidates.remove(0))
}

/// The traffic of each party in [`maximum_of`].
#[must_use]
pub fn traffic(candidates: usize, len: usize, parameters: SignParameters, parties: usize) -> Traffic {
    tournament(candidates, len, parameters).into_iter().map(|shape| sign::traffic(shape, parties)).sum()
}

fn concatenate<R: Ring>(tensors: &[ArithmeticShares<R>]) -> ArithmeticShares<R> {
    let elements = tensors.iter().flat_map(|tensor| tensor.elements()).copied();
    ArithmeticShares::from_elements(elements.collect::<SecretVec<R>>().into_vec())
}

fn split<R: Ring>(
    stacked: &ArithmeticShares<R>,
    parts: usize,
    shape: &[usize],
) -> Result<Vec<ArithmeticShares<R>>, ProtocolError> {
    let len = stacked.len() / parts.max(1);
    let part = |i: usize| ArithmeticShares::new(shape, stacked.elements()[i * len..][..len].to_vec());
    Ok((0..parts).map(part).collect::<Result<_, _>>()?)
}
