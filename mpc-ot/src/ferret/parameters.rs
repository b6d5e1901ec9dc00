//! The sizes of the code and its noise: security, not tuning.

use alloc::string::String;

/// Places of the short vector that each place of the long one adds up.
pub(super) const LOCALITY: usize = 10;

/// The parameter sets of emp-ot v1.0.0-alpha.1 (July 2026, `tuning.h`): about 128 bits against Gaussian elimination,
/// statistical decoding, information-set decoding, the hybrid attack of Esser et al. and the algebraic one of ePrint 2025/1476.
///
/// | set | trees t | k | depth d | transfers a round N | usable N − k − t·d | bytes a round |
/// |---|---|---|---|---|---|---|
/// | `B10` | 850 | 2^16 | 10 | 870,400 | 796,364 | 136,000 |
/// | `B11` | 1,170 | 2^17 | 11 | 2,396,160 | 2,252,218 | 205,920 |
/// | `B12` | 1,520 | 2^18 | 12 | 6,225,920 | 5,945,536 | 291,840 |
/// | `B13` | 1,900 | 2^19 | 13 | 15,564,800 | 15,015,812 | 395,200 |
///
/// A change of this table changes what the parties of a session must agree on; [`digest`](Self::digest) says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ParameterSet {
    /// 796,364 transfers a round.
    B10,
    /// 2,252,218 transfers a round.
    B11,
    /// 5,945,536 transfers a round.
    B12,
    /// 15,015,812 transfers a round.
    B13,
}

impl ParameterSet {
    /// Every set, from the smallest on.
    pub const ALL: [Self; 4] = [Self::B10, Self::B11, Self::B12, Self::B13];

    /// (t, log2 k, d): the one table.
    const fn row(self) -> (usize, u32, u32) {
        match self {
            Self::B10 => (850, 16, 10),
            Self::B11 => (1170, 17, 11),
            Self::B12 => (1520, 18, 12),
            Self::B13 => (1900, 19, 13),
        }
    }

    /// t: the number of trees of a round, each with one noisy place.
    #[must_use]
    pub const fn trees(self) -> usize {
        self.row().0
    }

    /// k: the length of the short vector.
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

    /// N: the transfers that a round makes.
    #[must_use]
    pub const fn round(self) -> usize {
        self.trees() * self.leaves()
    }

    /// The transfers that a round consumes: k for the code, d for each tree.
    #[must_use]
    pub const fn base(self) -> usize {
        self.dimension() + self.trees() * self.depth()
    }

    /// The transfers of a round that are left when it has paid for the next one.
    #[must_use]
    pub const fn usable(self) -> usize {
        self.round() - self.base()
    }

    /// Bytes from sender to receiver that `trees` trees cost.
    #[must_use]
    pub const fn tree_bytes(self, trees: usize) -> usize {
        16 * self.depth() * trees
    }

    /// The smallest set of which one round has `count` usable transfers, or the largest set.
    #[must_use]
    pub fn for_count(count: usize) -> Self {
        Self::ALL.into_iter().find(|set| set.usable() >= count).unwrap_or(Self::B13)
    }

    /// The table in words, for the agreement of a session.
    #[must_use]
    pub fn digest() -> String {
        let row = |set: Self| alloc::format!("{},{},{}", set.trees(), set.dimension(), set.depth());
        let rows = Self::ALL.map(row);
        alloc::format!("ferret half-tree {LOCALITY}-local {}", rows.join(" "))
    }
}
