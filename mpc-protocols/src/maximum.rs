//! Maxima: max(x, y) = y + relu(x − y), the largest of three or four in the same rounds, and tournaments of both.
//!
//! In a group of g values every two are compared at once, and of equal ones the first wins, so that there is one winner. With the bits
//! b_ij = [x_i beats x_j], w_i = Π_j b_ij is 1 for the winner alone, and with y_i = x_i − x_{g−1} the largest value is
//! x_{g−1} + Σ_i w_i·y_i over i < g−1. Only these g−1 differences are opened, as c_i = y_i + 2^{k−2} + r_i: the difference of
//! x_i and x_j is y_i − y_j, and c_i − c_j masks it by r_i − r_j, whose one-time tables are dealt. Each b_ij is β ⊕ d with a
//! public β and a dealt bit d as in [`sign`](crate::sign), so w_i = Π_j (β_j + (1 − 2β_j)·d_j). As in [`relu`](crate::relu),
//! w_i·y_i is then linear in what is dealt: of each set of i's comparisons Π d, Π d·r_i and Π d·r_{i,top}.
//!
//! At k = 32 and modulo 2^w, of g values by one group and by ReLUs, which compare two at a time:
//!
//! | g | | rounds | bits online | bytes dealt, w = 32 | w = 48 |
//! |---|---|---|---|---|---|
//! | 3 | group | 3 | 100 | 155.5 | 197.5 |
//! | | 2 ReLUs | 6 | 88 | 93 | 113 |
//! | 4 | group | 3 | 168 | 375 | 507 |
//! | | 3 ReLUs | 6 | 132 | 139.5 | 169.5 |
//!
//! Products of several masked factors in one round, from dealt products of their masks: Ohata, Nuida, "Communication-efficient
//! (client-aided) secure two-party protocols and its application" (FC 2020).

mod group;
mod tournament;

use alloc::vec::Vec;

use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, SecretVec, ShareError};

use crate::error::check_len;
use crate::relu::{ReluMask, relu};
use crate::{Party, ProtocolError};

pub use group::{GroupMask, GroupShape};
pub(crate) use tournament::ROUND;
pub use tournament::{Grouping, Level, LevelMask, Tournament};

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

/// Shares of the elementwise maximum of several tensors of one shape: all comparisons of a [`Tournament`]'s level share their
/// rounds. Exact, where all differences are below 2^{k−2}.
///
/// # Security
/// As for [`relu`]. In a group the opened c_i are uniform, as each has an r_i of its own; what is read of the tables of r_i − r_j
/// at c_i − c_j is opened under bits that no other comparison has, and every sign under a d of its own. So a simulator opens
/// uniform bits.
///
/// # Rounds and communication
/// Those of all levels ([`Tournament::traffic`]). By two, for m tensors, ⌈log₂ m⌉ times the rounds of a ReLU, and m−1 ReLUs per
/// element. A level of groups of four takes 3 rounds and (g−1)·k + (g−1)·g·L bits for each group of g values, 168 for g = 4 and k =
/// 32; where the tensors leave a group short, it has one of them twice.
///
/// # Errors
/// As for [`maximum`]; [`ProtocolError::OperandLength`] if there are no tensors, or the correlations do not fit their
/// number.
pub async fn maximum_of<R: Ring>(
    party: &mut Party,
    mut candidates: Vec<ArithmeticShares<R>>,
    correlations: Vec<LevelMask<R>>,
) -> Result<ArithmeticShares<R>, ProtocolError> {
    let shape = candidates.first().map(|c| c.shape().to_vec()).unwrap_or_default();
    if let Some(other) = candidates.iter().find(|candidate| candidate.shape() != shape) {
        return Err(ShareError::ShapesDiffer { left: shape, right: other.shape().to_vec() }.into());
    }
    check_len("maximum, candidates", candidates.len().max(1), candidates.len())?;
    let levels = correlations.len();
    for (level, correlation) in correlations.into_iter().enumerate() {
        if candidates.len() == 1 {
            check_len("maximum, levels", level, levels)?;
        }
        candidates = match correlation {
            LevelMask::Pairs(mask) => winners_of_pairs(party, candidates, mask, &shape).await?,
            LevelMask::Groups(mask) => winners_of_groups(party, &candidates, mask, &shape).await?,
        };
    }
    check_len("maximum, winners", 1, candidates.len())?;
    Ok(candidates.remove(0))
}

async fn winners_of_pairs<R: Ring>(
    party: &mut Party,
    mut candidates: Vec<ArithmeticShares<R>>,
    correlation: ReluMask<R>,
    shape: &[usize],
) -> Result<Vec<ArithmeticShares<R>>, ProtocolError> {
    let odd = if candidates.len() % 2 == 1 { candidates.pop() } else { None };
    let half = candidates.len() / 2;
    let [left, right] = [&candidates[..half], &candidates[half..]]
        .map(|half| ArithmeticShares::from_elements(concatenate(half.iter()).into_vec()));
    let winners = maximum(party, left, &right, correlation).await?;
    let mut winners = split(winners.elements(), half, shape)?;
    winners.extend(odd);
    Ok(winners)
}

async fn winners_of_groups<R: Ring>(
    party: &mut Party,
    candidates: &[ArithmeticShares<R>],
    correlation: GroupMask<R>,
    shape: &[usize],
) -> Result<Vec<ArithmeticShares<R>>, ProtocolError> {
    let (groups, size) = tournament::groups(candidates.len());
    // A group that is short has its first candidate again.
    let member = |member: usize| {
        (0..groups).map(move |group| candidates.get(member * groups + group).unwrap_or(&candidates[group]))
    };
    let values: Vec<_> = (0..size).map(|place| concatenate(member(place))).collect();
    split(&group::largest(party, &values, correlation).await?, groups, shape)
}

fn concatenate<'a, R: Ring>(tensors: impl Iterator<Item = &'a ArithmeticShares<R>>) -> SecretVec<R> {
    tensors.flat_map(|tensor| tensor.elements()).copied().collect()
}

fn split<R: Ring>(stacked: &[R], parts: usize, shape: &[usize]) -> Result<Vec<ArithmeticShares<R>>, ProtocolError> {
    let len = stacked.len() / parts.max(1);
    let part = |i: usize| ArithmeticShares::new(shape, stacked[i * len..][..len].to_vec());
    Ok((0..parts).map(part).collect::<Result<_, _>>()?)
}
