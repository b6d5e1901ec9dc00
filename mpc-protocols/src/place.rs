//! A party's place among the parties.

/// Which of the parties this is: what differs between them follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The party's index, from 0.
    pub party: usize,
    /// The number of parties.
    pub parties: usize,
}

impl Place {
    /// Whether this is party 0, the one that adds public constants.
    #[must_use]
    pub fn is_first(self) -> bool {
        self.party == 0
    }

    /// Whether this is the party whose shares make up for the others', which are seeds.
    #[must_use]
    pub fn is_last(self) -> bool {
        self.party + 1 == self.parties
    }
}
