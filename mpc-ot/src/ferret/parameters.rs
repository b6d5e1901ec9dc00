//! The sizes of the code and its noise: security, not tuning.

use alloc::string::String;

/// Places of the short vector that each place of the long one adds up.
pub(super) const LOCALITY: usize = 10;
/// Most lanes that a set has.
pub(super) const MAX_LANES: usize = 2;

/// The parameter sets of emp-ot v1.0.0-alpha.1 (July 2026, `tuning.h`): about 128 bits against Gaussian elimination,
/// statistical decoding, information-set decoding, the hybrid attack of Esser et al. and the algebraic one of ePrint 2025/1476.
///
/// | set | trees t | k | depth d | transfers a round N | usable N − k − t·d | bytes a round | lanes | short vector |
/// |---|---|---|---|---|---|---|---|---|
/// | `B10` | 850 | 2^16 | 10 | 870,400 | 796,364 | 136,000 | 1 | 1 MiB |
/// | `B11` | 1,170 | 2^17 | 11 | 2,396,160 | 2,252,218 | 205,920 | 2 | 4 MiB |
/// | `B12` | 1,520 | 2^18 | 12 | 6,225,920 | 5,945,536 | 291,840 | 1 | 4 MiB |
/// | `B13` | 1,900 | 2^19 | 13 | 15,564,800 | 15,015,812 | 395,200 | 1 | 8 MiB |
///
/// Most of the time of an extension goes into reading the short vector at random places. With two lanes, two extensions of their
/// own secrets and noise run side by side over one code, so that each place that is read serves both; N, the usable transfers
/// and bytes of the table are those of a lane. Whoever breaks one of m instances over one code breaks one instance with 1/m of
/// the advantage (a hybrid argument), whether they are lanes or rounds.
///
/// A change of this table changes what the parties of a session must agree on; [`digest`](Self::digest) says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ParameterSet {
    /// 796,364 transfers a round.
    B10,
    /// 2,252,218 transfers a round in each of two lanes: as the largest set the one that takes the least time, at 0.73 bits a
    /// transfer.
    B11,
    /// 5,945,536 transfers a round.
    B12,
    /// 15,015,812 transfers a round: the one that sends the fewest bytes, 0.21 bits a transfer.
    B13,
}

impl ParameterSet {
    /// Every set, from the smallest on.
    pub const ALL: [Self; 4] = [Self::B10, Self::B11, Self::B12, Self::B13];

    /// (t, log2 k, d, lanes): the one table.
    const fn row(self) -> (usize, u32, u32, usize) {
        match self {
            Self::B10 => (850, 16, 10, 1),
            Self::B11 => (1170, 17, 11, 2),
            Self::B12 => (1520, 18, 12, 1),
            Self::B13 => (1900, 19, 13, 1),
        }
    }

    /// The number of extensions that run side by side.
    #[must_use]
    pub const fn lanes(self) -> usize {
        self.row().3
    }

    /// t: the number of trees of a round in each lane, each with one noisy place.
    #[must_use]
    pub const fn trees(self) -> usize {
        self.row().0
    }

    /// k: the length of the short vector of a lane.
    #[must_use]
    pub const fn dimension(self) -> usize {
        1 << self.row().1
    }

    /// d: the depth of a tree.
    #[must_use]
    pub const fn depth(self) -> usize {
        self.row().2 as usize
    }

    /// The leaves of a tree.
    #[must_use]
    pub const fn leaves(self) -> usize {
        1 << self.row().2
    }

    /// The transfers that a step makes: the leaves of a tree in each lane.
    #[must_use]
    pub const fn step(self) -> usize {
        self.lanes() * self.leaves()
    }

    /// The transfers that a round makes: N in each lane.
    #[must_use]
    pub const fn round(self) -> usize {
        self.trees() * self.step()
    }

    /// The transfers that a round consumes: in each lane k for the code, d for each tree.
    #[must_use]
    pub const fn base(self) -> usize {
        self.lanes() * (self.dimension() + self.trees() * self.depth())
    }

    /// The transfers of a round that are left when it has paid for the next one.
    #[must_use]
    pub const fn usable(self) -> usize {
        self.round() - self.base()
    }

    /// Bytes from sender to receiver that `trees` trees in each lane cost.
    #[must_use]
    pub const fn tree_bytes(self, trees: usize) -> usize {
        16 * self.depth() * self.lanes() * trees
    }

    /// The smallest set of which one round has `count` usable transfers, or `largest`.
    #[must_use]
    pub fn for_count(count: usize, largest: Self) -> Self {
        Self::ALL.into_iter().find(|&set| set >= largest || set.usable() >= count).unwrap_or(largest)
    }

    /// The table in words, for the agreement of a session.
    #[must_use]
    pub fn digest() -> String {
        let row = |set: Self| alloc::format!("{},{},{},{}", set.trees(), set.dimension(), set.depth(), set.lanes());
        let rows = Self::ALL.map(row);
        alloc::format!("ferret half-tree {LOCALITY}-local {}", rows.join(" "))
    }
}
