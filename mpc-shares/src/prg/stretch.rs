//! A part of a generator's stream, to be read later and anywhere.

use alloc::sync::Arc;
use core::convert::Infallible;
use core::fmt;

use rand_core::TryRng;

use super::{BLOCK, Prg, Stream};

/// Bytes of a generator's stream that were [set aside](Prg::set_aside): as secret as they are, and a few words long until
/// they are read. What is read twice is the same both times.
pub struct Stretch {
    stream: Arc<Stream>,
    /// The position in the stream.
    begin: u64,
    len: usize,
}

impl Prg {
    /// Sets the next `len` bytes aside: this generator goes on behind them, as if it had given them.
    ///
    /// ```
    /// use mpc_shares::{Prg, Seed};
    /// use rand_core::Rng;
    /// let mut generator = Prg::new(Seed::from_bytes([7; 32]));
    /// let mut bytes = [0; 40];
    /// Prg::new(Seed::from_bytes([7; 32])).fill_bytes(&mut bytes);
    /// let (stretch, mut part) = (generator.set_aside(32), [0; 5]);
    /// stretch.reader(20).fill_bytes(&mut part);
    /// assert_eq!(part, bytes[20..25]);
    /// assert_eq!(generator.next_u64().to_le_bytes(), bytes[32..]);
    /// ```
    pub fn set_aside(&mut self, len: usize) -> Stretch {
        let state = &mut *self.0;
        let begin = state.next * BLOCK as u64 - state.unused as u64;
        let end = begin + len as u64;
        (state.next, state.unused) = (end / BLOCK as u64, 0);
        if !end.is_multiple_of(BLOCK as u64) {
            state.next_block((end % BLOCK as u64) as usize);
        }
        Stretch { stream: Arc::clone(&state.stream), begin, len }
    }
}

impl Stretch {
    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A generator of the bytes from position `from` on, up to the end.
    ///
    /// # Panics
    /// If it is asked for more.
    #[must_use]
    pub fn reader(&self, from: usize) -> Reader<'_> {
        Reader { stretch: self, from }
    }

    fn read(&self, from: usize, bytes: &mut [u8]) {
        let is_within = from.checked_add(bytes.len()).is_some_and(|end| end <= self.len);
        assert!(is_within, "{} bytes from {from} of a stretch of {}", bytes.len(), self.len);
        let from = self.begin + from as u64;
        let (mut number, skipped) = (from / BLOCK as u64, (from % BLOCK as u64) as usize);
        let begin = if skipped == 0 { 0 } else { bytes.len().min(BLOCK - skipped) };
        let (first, rest) = bytes.split_at_mut(begin);
        if !first.is_empty() {
            self.stream.write_part(number, skipped, first);
            number += 1;
        }
        let (blocks, last) = rest.as_chunks_mut();
        self.stream.write(number, blocks);
        if !last.is_empty() {
            self.stream.write_part(number + blocks.len() as u64, 0, last);
        }
    }
}

/// A walk through a [`Stretch`].
#[derive(Debug)]
pub struct Reader<'a> {
    stretch: &'a Stretch,
    from: usize,
}

impl Reader<'_> {
    fn next<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        self.stretch.read(self.from, bytes);
        self.from += bytes.len();
    }
}

impl TryRng for Reader<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.next()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.next()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.fill(bytes);
        Ok(())
    }
}

impl fmt::Debug for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stretch").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use rand_core::Rng;

    use super::*;
    use crate::Seed;

    #[test]
    fn a_stretch_and_what_follows_are_the_stream() {
        let mut whole = vec![0; 20_000];
        Prg::new(Seed::from_bytes([3; 32])).fill_bytes(&mut whole);
        let mut generator = Prg::new(Seed::from_bytes([3; 32]));
        let mut at = 0;
        let lengths = [0, 1, 15, 16, 17, 4096, 5, 4100, 33, 8];
        let mut stretches = Vec::new();
        for (index, &len) in lengths.iter().enumerate() {
            // Between them the generator gives some bytes, or none.
            let mut given = vec![0; index * 7 % 33];
            generator.fill_bytes(&mut given);
            assert_eq!(given, whole[at..at + given.len()]);
            at += given.len();
            stretches.push((at, generator.set_aside(len)));
            at += len;
        }
        assert_eq!(generator.next_u64().to_le_bytes(), whole[at..at + 8]);
        drop(generator);
        for (at, stretch) in &stretches {
            for from in (0..=stretch.len()).step_by(1 + stretch.len() / 40) {
                for len in [0, 1, 16, 31, 300, 4095].into_iter().filter(|len| from + len <= stretch.len()) {
                    let mut part = vec![0; len];
                    stretch.reader(from).fill_bytes(&mut part);
                    assert_eq!(part, whole[at + from..][..len]);
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "2 bytes from 15 of a stretch of 16")]
    fn nothing_behind_a_stretch_is_read() {
        Prg::new(Seed::from_bytes([3; 32])).set_aside(16).reader(15).fill_bytes(&mut [0; 2]);
    }

    #[test]
    fn debug_shows_no_secret() {
        let stretch = Prg::new(Seed::from_bytes([0xab; 32])).set_aside(4);
        assert_eq!(alloc::format!("{stretch:?}"), "Stretch { len: 4, .. }");
    }
}
