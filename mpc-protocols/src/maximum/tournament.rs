//! Tournaments: which values are compared in which rounds, and what that costs.

use alloc::vec;
use alloc::vec::Vec;

use mpc_ring::Ring;
use mpc_transport::Traffic;
use serde::Serialize;

use super::group::{self, GroupMask, GroupShape};
use crate::relu::ReluMask;
use crate::sign::{self, SignParameters, SignShape, Variant};
use crate::{Correlation, CorrelationSource, ProtocolError, Request};

/// The bytes that a round is worth, of those that a party sends and those that are dealt.
///
/// A group of four saves a level of 3 rounds, and takes some 240 bytes more, nearly all of which are dealt. Over a link of 40 ms and 100
/// Mbit/s a round takes as long as 500,000 bytes.
pub(crate) const ROUND: u64 = 500_000;

/// The most values that are compared with each other at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Grouping {
    /// Two, whoever makes the correlations.
    Two,
    /// Up to four, where a dealer makes them: in each level as many as make the tournament cheap, with comparisons in few rounds.
    Four,
}

/// A tournament for the elementwise maximum of several tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tournament {
    /// The number of tensors.
    pub candidates: usize,
    /// The number of elements of each.
    pub len: usize,
    /// The bits of the comparisons.
    pub parameters: SignParameters,
    /// The most that are compared at once.
    pub grouping: Grouping,
}

/// A level of a tournament: comparisons that share their rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Of two values each.
    Pairs(SignShape),
    /// Of three or four values each.
    Groups(GroupShape),
}

/// One party's share of what a level needs: consumed by its use.
#[derive(Debug)]
pub enum LevelMask<R: Ring> {
    /// Of pairs.
    Pairs(ReluMask<R>),
    /// Of larger groups.
    Groups(GroupMask<R>),
}

/// The number of groups of at most four, and the candidates of each, one of which may stand in a group twice.
pub(super) fn groups(candidates: usize) -> (usize, usize) {
    let groups = candidates.div_ceil(4);
    (groups, candidates.div_ceil(groups.max(1)))
}

impl Tournament {
    /// Its levels: of all ways to pair and group the candidates the one that takes the fewest bytes, where a round counts as
    /// 500,000 of them. Small tensors have large groups and large ones pairs.
    ///
    /// ```
    /// use mpc_protocols::maximum::{Grouping, Tournament};
    /// use mpc_protocols::sign::SignParameters;
    /// let parameters = SignParameters::new(32)?;
    /// let rounds = |candidates, len, grouping| {
    ///     Tournament { candidates, len, parameters, grouping }.traffic(2).rounds
    /// };
    /// assert_eq!([Grouping::Two, Grouping::Four].map(|grouping| rounds(64, 768, grouping)), [18, 12]);
    /// assert_eq!([Grouping::Two, Grouping::Four].map(|grouping| rounds(4, 25_000, grouping)), [6, 6]);
    /// # Ok::<(), mpc_protocols::ProtocolError>(())
    /// ```
    #[must_use]
    pub fn levels(&self) -> Vec<Level> {
        // The candidates that are left after levels of pairs: a level of groups leaves those of two such levels.
        let mut left = vec![self.candidates];
        while let Some(&last @ 2..) = left.last() {
            left.push(last.div_ceil(2));
        }
        // From the final back: the price of the rest, and its first level with the place where that leads.
        let mut cheapest: Vec<(u64, Option<(Level, usize)>)> = vec![(0, None); left.len()];
        for at in (0..left.len().saturating_sub(1)).rev() {
            let pairs = (self.pairs(left[at]), at + 1);
            let groups = self.groups(left[at]).map(|level| (level, at + 2));
            let priced = [Some(pairs), groups].into_iter().flatten();
            let priced =
                priced.map(|(level, next)| (level.price().saturating_add(cheapest[next].0), Some((level, next))));
            cheapest[at] = priced.min_by_key(|&(price, _)| price).unwrap_or_default();
        }
        let (mut levels, mut at) = (Vec::new(), 0);
        while let Some((level, next)) = cheapest[at].1 {
            levels.push(level);
            at = next;
        }
        levels
    }

    /// The traffic of each party.
    #[must_use]
    pub fn traffic(&self, parties: usize) -> Traffic {
        self.levels().into_iter().map(|level| level.traffic(parties)).sum()
    }

    fn pairs(&self, left: usize) -> Level {
        Level::Pairs(SignShape { len: left / 2 * self.len, parameters: self.parameters })
    }

    /// A level of groups, if it is one: two candidates are a pair.
    fn groups(&self, left: usize) -> Option<Level> {
        let may = self.grouping == Grouping::Four && self.parameters.variant() == Variant::FewRounds && left > 2;
        let (groups, size) = groups(left);
        may.then(|| Level::Groups(GroupShape { size, len: groups * self.len, parameters: self.parameters }))
    }
}

impl Level {
    /// The plan's entry for it.
    #[must_use]
    pub fn request<R: Ring>(&self) -> Request {
        match self {
            Self::Pairs(shape) => ReluMask::<R>::request(shape),
            Self::Groups(shape) => GroupMask::<R>::request(shape),
        }
    }

    /// Its correlation, for results that are read modulo 2^`width` only: the winners of a level are compared in the next one, so in
    /// k bits or more.
    ///
    /// # Errors
    /// As for [`CorrelationSource::next_modulo`].
    pub async fn draw<R: Ring>(
        self,
        width: u32,
        source: &mut CorrelationSource<'_>,
    ) -> Result<LevelMask<R>, ProtocolError> {
        Ok(match self {
            Self::Pairs(shape) => LevelMask::Pairs(source.next_modulo(width, shape).await?),
            Self::Groups(shape) => LevelMask::Groups(source.next_modulo(width, shape).await?),
        })
    }

    /// The traffic of each party.
    #[must_use]
    pub fn traffic(&self, parties: usize) -> Traffic {
        match *self {
            Self::Pairs(shape) => sign::traffic(shape, parties),
            Self::Groups(shape) => group::traffic(shape, parties),
        }
    }

    /// Its bytes and rounds as bytes: those between two parties, and those that are dealt in the bits that are compared, so that
    /// the price follows from the comparisons alone.
    fn price(&self) -> u64 {
        let (online, bits) = (self.traffic(2), self.bits());
        let dealt = self.request::<u64>().in_bits(bits).traffic::<u64>();
        online.payload_sent + dealt.payload_received + ROUND * online.rounds
    }

    fn bits(&self) -> u32 {
        match self {
            Self::Pairs(shape) => shape.parameters.bits(),
            Self::Groups(shape) => shape.parameters.bits(),
        }
    }
}
