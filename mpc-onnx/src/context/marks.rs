//! Marks of values that are not what they seem, as masks make them.

use crate::value::Tensor;

/// A way in which a value stands for something else than it is, as public masks make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// The number that the file has there, and NaN if that is not known; 0 where nothing is hidden.
    Hidden,
    /// 1 where it is no number, as a softmax of nothing but −∞, and NaN if that is not known; else 0.
    Undefined,
}

/// A number that private masks put in the place of scores, or add to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Number {
    /// −∞
    Infinite,
    /// One so large that every sum with it is that number: the same wherever it is.
    Swallowing,
    /// A smaller one, the same where it takes the place of scores and not where it is added to them.
    Replacing,
}

impl Number {
    pub(crate) const ALL: [Self; 3] = [Self::Infinite, Self::Swallowing, Self::Replacing];
}

/// Rows of scores of which masks leave nothing but their numbers, so that a softmax weighs the largest of these alike.
#[derive(Clone)]
pub(crate) struct Swallowed {
    /// 1 for each such row, else 0.
    pub(crate) rows: Tensor,
    /// The softmax of these rows, 0 in others.
    pub(crate) weights: Tensor,
}
