//! Products of shared bits, round by round: one-hot vectors, and the carries of sums.

use alloc::vec;
use alloc::vec::Vec;

use mpc_ot::cross::{Corrected, Cross};
use mpc_ot::products::{bits_bytes, plane_bytes};
use mpc_ot::{Batch, Pair};
use mpc_ring::packing;
use mpc_shares::SecretVec;

use crate::ProtocolError;
use crate::own::scaled::Transfers;

/// Bits of all elements, one word for 64.
pub(super) type Plane = SecretVec<u64>;

/// Something that is made by products of shared bits with shared planes, some in each round.
pub(super) trait Circuit: Send {
    /// The factors of the next round's products: bits, and planes of as many each.
    fn factors(&self) -> Vec<(Plane, SecretVec<u64>)>;

    /// Takes the products of the factors.
    fn take(&mut self, products: Vec<SecretVec<u64>>);
}

/// The transfers of several circuits in each round, from those of each.
pub(super) fn together(circuits: &[Vec<Vec<Batch>>]) -> Vec<Vec<Batch>> {
    let rounds = circuits.iter().map(Vec::len).max().unwrap_or(0);
    let of_round = |round| circuits.iter().filter_map(|rounds| rounds.get(round)).flatten().copied().collect();
    (0..rounds).map(of_round).collect()
}

/// The bytes of each party's message in a round.
pub(super) fn round_bytes(batches: &[Batch]) -> usize {
    batches.iter().map(|&batch| plane_bytes(batch.count) + bits_bytes(batch)).sum()
}

/// Runs circuits side by side, in as many rounds as the longest takes.
pub(super) async fn run(
    pair: &mut Pair,
    transfers: &mut Transfers,
    circuits: &mut [&mut dyn Circuit],
) -> Result<(), ProtocolError> {
    loop {
        let mut message = Vec::new();
        let mut begun = Vec::with_capacity(circuits.len());
        for circuit in circuits.iter() {
            let mut crosses = Vec::new();
            for (bits, planes) in circuit.factors() {
                let (received, sent) = (transfers.received(), transfers.sent());
                let cross = Cross::new(&bits, planes, received, sent, Corrected::Both);
                cross.send(&mut message)?;
                crosses.push(cross);
            }
            begun.push(crosses);
        }
        if begun.iter().all(Vec::is_empty) {
            return Ok(());
        }
        let mut answer = vec![0; message.len()];
        pair.exchange(&message, &mut answer).await?;
        let mut answer = &answer[..];
        for (circuit, crosses) in circuits.iter_mut().zip(begun) {
            let products = crosses.into_iter().map(|cross| cross.receive(&mut answer)).collect::<Result<_, _>>()?;
            circuit.take(products);
        }
    }
}

/// Adds bits, which are shared in XOR.
fn add(sum: &mut [u64], words: &[u64]) {
    sum.iter_mut().zip(words).for_each(|(sum, word)| *sum ^= word);
}

/// One-hot vectors of secret indices: vectors of single bits, of which two at a time become one by their outer product. Of an
/// outer product the last row and column follow from the sums, since the entries of each factor add up to 1.
pub(super) struct OneHot {
    vectors: Vec<Vec<Plane>>,
}

impl OneHot {
    /// The transfers of each round, for indices of `bits` bits: of each merger a choice for each entry of the upper vector but
    /// the last, with a bit for each of the lower one, which is no shorter.
    pub(super) fn batches(len: usize, bits: u32) -> Vec<Vec<Batch>> {
        let batch = |&[low, high]: &[u32; 2]| {
            let entries = |bits: u32| (1 << bits) - 1;
            Batch { count: entries(high) * packing::words_for(len) * 64, bits: entries(low) }
        };
        let mut sizes = vec![1; bits as usize];
        let mut rounds = Vec::new();
        while sizes.len() > 1 {
            rounds.push(sizes.as_chunks().0.iter().map(batch).collect());
            sizes = sizes.chunks(2).map(|pair| pair.iter().sum()).collect();
        }
        rounds
    }

    /// Begins with the shares of the indices' bits, of which bit 0 comes first.
    pub(super) fn new(index: &[Plane], first: bool) -> Self {
        let one = if first { u64::MAX } else { 0 };
        let of_bit = |bit: &Plane| vec![bit.iter().map(|word| word ^ one).collect(), SecretVec::copy_of(bit)];
        Self { vectors: index.iter().map(of_bit).collect() }
    }

    /// The entries. Bits of no element have no meaning.
    pub(super) fn finish(self) -> Vec<Plane> {
        self.vectors.into_iter().next().unwrap_or_default()
    }
}

impl Circuit for OneHot {
    fn factors(&self) -> Vec<(Plane, SecretVec<u64>)> {
        let outer = |[low, high]: &[Vec<Plane>; 2]| {
            let (rows, columns) = (high.len() - 1, low.len() - 1);
            let bits = high[..rows].iter().flat_map(|entry| entry.iter().copied()).collect();
            let repeated = |entry| core::iter::repeat_n(entry, rows).flat_map(|entry: &Plane| entry.iter().copied());
            (bits, low[..columns].iter().flat_map(repeated).collect())
        };
        self.vectors.as_chunks().0.iter().map(outer).collect()
    }

    fn take(&mut self, products: Vec<SecretVec<u64>>) {
        let (mut waiting, mut products) = (core::mem::take(&mut self.vectors).into_iter(), products.into_iter());
        while let Some(low) = waiting.next() {
            self.vectors.push(match (waiting.next(), products.next()) {
                (Some(high), Some(products)) => completed([low, high], &products),
                _ => low,
            });
        }
    }
}

/// The outer product, whose `products` are there for every entry of `low`, and of it every one of `high`, but the last ones.
fn completed([low, high]: [Vec<Plane>; 2], products: &[u64]) -> Vec<Plane> {
    let words = low.first().map_or(0, |entry| entry.len());
    let (rows, columns) = (high.len() - 1, low.len() - 1);
    let mut entries = Vec::with_capacity(high.len() * low.len());
    // The last row is what is left of each column.
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

/// The carry out of a sum of two numbers, one of each party: a bit generates or propagates one, and so do bits in a row,
/// two of which at a time become one (Sklansky, "Conditional-sum addition logic", 1960).
pub(super) struct Carry {
    /// Whether a row of bits generates a carry, and whether it propagates one.
    rows: Vec<[Plane; 2]>,
}

impl Carry {
    /// The transfers of each round, for numbers of `bits` bits: of each merger one choice, with two bits.
    pub(super) fn batches(len: usize, bits: u32) -> Vec<Vec<Batch>> {
        let mut rows = bits as usize;
        let mut rounds = Vec::new();
        while rows > 1 {
            rounds.push(vec![Batch { count: rows / 2 * packing::words_for(len) * 64, bits: 2 }]);
            rows = rows.div_ceil(2);
        }
        rounds
    }

    /// Begins with this party's bits, each with the share of its product with the other party's; bit 0 comes first.
    pub(super) fn new(bits: Vec<[Plane; 2]>) -> Self {
        Self { rows: bits.into_iter().map(|[own, product]| [product, own]).collect() }
    }

    /// The share of the carry.
    pub(super) fn finish(self) -> Plane {
        self.rows.into_iter().next().map_or(SecretVec::zeros(0), |[carry, _]| carry)
    }
}

impl Circuit for Carry {
    fn factors(&self) -> Vec<(Plane, SecretVec<u64>)> {
        let pairs = self.rows.as_chunks::<2>().0;
        if pairs.is_empty() {
            return Vec::new();
        }
        let bits = pairs.iter().flat_map(|[_, [_, propagates]]| propagates.iter().copied()).collect();
        let [generate, propagate] =
            [0, 1].map(|which| pairs.iter().flat_map(move |[low, _]| low[which].iter().copied()));
        vec![(bits, generate.chain(propagate).collect())]
    }

    fn take(&mut self, products: Vec<SecretVec<u64>>) {
        let Some(products) = products.into_iter().next() else { return };
        let words = self.rows.first().map_or(0, |[generates, _]| generates.len());
        let (generate, propagate) = products.split_at(products.len() / 2);
        let mut parts = generate.chunks(words.max(1)).zip(propagate.chunks(words.max(1)));
        let mut waiting = core::mem::take(&mut self.rows).into_iter();
        while let Some(low) = waiting.next() {
            self.rows.push(match (waiting.next(), parts.next()) {
                (Some([mut generates, _]), Some((carried, propagates))) => {
                    add(&mut generates, carried);
                    [generates, SecretVec::copy_of(propagates)]
                }
                _ => low,
            });
        }
    }
}
