//! The marks of inferences that are gone, and which files of others are there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::READY;
use crate::at_rest::prepared::Usage;

/// Of one that was claimed for use, and of one that all parties have claimed.
pub(super) const USED: [&str; 2] = ["used", "done"];
/// Of one that was destroyed without use.
pub(super) const BURNT: &str = "burnt";

/// The inferences of a batch by the names of its files.
#[derive(Debug, Default)]
pub struct Marks {
    files: BTreeSet<u32>,
    /// The first letter of each one's mark.
    marks: BTreeMap<u32, &'static str>,
}

impl Marks {
    pub(super) fn read(names: Vec<String>) -> Self {
        let mut marks = Self::default();
        for name in names {
            let Some((index, state)) = name.split_once('.') else { continue };
            let Ok(index) = index.parse() else { continue };
            if state == READY {
                marks.files.insert(index);
            } else if let Some(mark) = USED.into_iter().chain([BURNT]).find(|mark| *mark == state) {
                marks.marks.insert(index, mark);
            }
        }
        marks
    }

    pub(super) fn has(&self, index: u32) -> bool {
        self.marks.contains_key(&index)
    }

    /// Those that are ready, in order.
    pub(super) fn ready(&self) -> Vec<u32> {
        self.files.iter().copied().filter(|index| !self.has(*index)).collect()
    }

    /// Those that are gone, and whose files a process that was killed has left.
    pub(super) fn claimed_files(&self) -> impl Iterator<Item = u32> {
        self.files.iter().copied().filter(|index| self.has(*index))
    }

    pub(super) fn usage(&self, prepared: SystemTime) -> Usage {
        let of = |wanted: &[&str]| {
            let places = self.marks.iter().filter(|(_, mark)| wanted.contains(mark)).map(|(index, _)| *index);
            places.collect::<Vec<_>>()
        };
        let [used, burnt, confirmed] = [of(&USED), of(&[BURNT]), of(&USED[1..])];
        Usage {
            used: used.len() as u32,
            burnt: burnt.len() as u32,
            high: used.last().copied(),
            gone: self.marks.last_key_value().map(|(index, _)| *index),
            confirmed: confirmed.last().copied(),
            prepared,
        }
    }
}
