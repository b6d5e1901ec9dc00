//! One-hot vectors of secret indices, in XOR: vectors of single bits, of which two at a time become one by their outer product.
//!
//! Of an outer product the last row and the last column follow from the sums, since the entries of each factor add up to 1.

use alloc::vec;
use alloc::vec::Vec;

use mpc_ot::cross::{Corrected, Cross};
use mpc_ot::products::{bits_bytes, plane_bytes};
use mpc_ot::{Batch, Pair};
use mpc_ring::packing;
use mpc_shares::SecretVec;

use crate::ProtocolError;
use crate::own::cost::Account;

/// One-hot vectors of 2^`bits` entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OneHot {
    pub(super) len: usize,
    pub(super) bits: u32,
}

/// A vector in the making: of each entry, the bits of all elements.
type Entries = Vec<SecretVec<u64>>;

impl OneHot {
    /// The bits of the vectors that are merged in each round: of the lower one, and of the upper one, which is no longer.
    fn rounds(self) -> Vec<Vec<[u32; 2]>> {
        let mut sizes = vec![1; self.bits as usize];
        let mut rounds = Vec::new();
        while sizes.len() > 1 {
            rounds.push(sizes.as_chunks().0.to_vec());
            sizes = sizes.chunks(2).map(|pair| pair.iter().sum()).collect();
        }
        rounds
    }

    /// The transfers of a merger in each direction: a choice for each entry of the upper vector but the last.
    fn batch(self, [low, high]: [u32; 2]) -> Batch {
        let entries = |bits: u32| (1 << bits) - 1;
        Batch { count: entries(high) * packing::words_for(self.len) * 64, bits: entries(low) }
    }

    fn batches(self) -> Vec<Vec<Batch>> {
        self.rounds().into_iter().map(|round| round.into_iter().map(|sizes| self.batch(sizes)).collect()).collect()
    }

    /// The bytes of each party's message in a round.
    fn bytes(batches: &[Batch]) -> usize {
        batches.iter().map(|&batch| plane_bytes(batch.count) + bits_bytes(batch)).sum()
    }

    pub(super) fn cost(self, account: &mut Account<'_>) {
        for batches in self.batches() {
            account.random(&batches, &batches);
            account.exchange(Self::bytes(&batches), Self::bytes(&batches));
        }
    }

    /// The entries' shares from those of the indices' bits, of which bit 0 comes first. Bits of no element are of no meaning.
    pub(super) async fn make(
        self,
        pair: &mut Pair,
        index: &[SecretVec<u64>],
        first: bool,
    ) -> Result<Entries, ProtocolError> {
        let one = if first { u64::MAX } else { 0 };
        let of_bit = |bit: &SecretVec<u64>| vec![bit.iter().map(|word| word ^ one).collect(), SecretVec::copy_of(bit)];
        let mut vectors: Vec<Entries> = index.iter().map(of_bit).collect();
        for batches in self.batches() {
            let (sent, received) = pair.random(&batches, &batches).await?;
            let mut message = Vec::with_capacity(Self::bytes(&batches));
            let mut crosses = Vec::with_capacity(batches.len());
            for ((vectors, sent), received) in vectors.as_chunks::<2>().0.iter().zip(sent).zip(received) {
                let cross = outer(vectors, received, sent);
                cross.send(&mut message)?;
                crosses.push(cross);
            }
            let mut answer = vec![0; message.len()];
            pair.exchange(&message, &mut answer).await?;
            let (mut answer, mut crosses) = (&answer[..], crosses.into_iter());
            let mut merged = Vec::with_capacity(vectors.len().div_ceil(2));
            let mut waiting = vectors.into_iter();
            while let Some(low) = waiting.next() {
                merged.push(match (waiting.next(), crosses.next()) {
                    (Some(high), Some(cross)) => completed([low, high], &cross.receive(&mut answer)?),
                    _ => low,
                });
            }
            vectors = merged;
        }
        Ok(vectors.into_iter().next().unwrap_or_default())
    }
}

/// The product of every entry of `high` with every one of `low`, without the last ones.
fn outer([low, high]: &[Entries; 2], received: mpc_ot::ReceivedBatch, sent: mpc_ot::SentBatch) -> Cross {
    let (rows, columns) = (high.len() - 1, low.len() - 1);
    let bits: SecretVec<u64> = high[..rows].iter().flat_map(|entry| entry.iter().copied()).collect();
    let repeated = |entry: &SecretVec<u64>| entry.iter().copied().cycle().take(rows * entry.len()).collect::<Vec<_>>();
    let planes: SecretVec<u64> = low[..columns].iter().flat_map(repeated).collect();
    Cross::new(&bits, planes, received, sent, Corrected::Both)
}

/// The outer product, whose `products` are there for every entry of `low`, and of it every one of `high`, but the last ones.
fn completed([low, high]: [Entries; 2], products: &[u64]) -> Entries {
    let words = low.first().map_or(0, |entry| entry.len());
    let (rows, columns) = (high.len() - 1, low.len() - 1);
    let mut entries = Vec::with_capacity(high.len() * low.len());
    let add = |sum: &mut SecretVec<u64>, words: &[u64]| sum.iter_mut().zip(words).for_each(|(sum, word)| *sum ^= word);
    // The last row, which is what is left of each column.
    let mut rest = low;
    for (row, mut last) in high.into_iter().take(rows).enumerate() {
        for (column, rest) in rest[..columns].iter_mut().enumerate() {
            let product = SecretVec::copy_of(&products[(column * rows + row) * words..][..words]);
            add(rest, &product);
            add(&mut last, &product);
            entries.push(product);
        }
        add(&mut rest[columns], &last);
        entries.push(last);
    }
    entries.extend(rest);
    entries
}
