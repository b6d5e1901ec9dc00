//! Products of what the parties hold, from oblivious transfers: exact in every ring, at a price for each product.
//!
//! One party holds x, the other y, and both end with shares of x ∗ y modulo 2^w. The first receives one transfer for each bit
//! of x: with bit b of element e it chooses shares of 2^b·y_j for all j that e is multiplied with, of which w − b bits count
//! (Gilboa, "Two party RSA key generation", CRYPTO 1999).

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use mpc_ot::cross::next;
use mpc_ot::products::{correct_ring, plane_bytes, receive_corrections, ring_bytes};
use mpc_ot::{Batch, Pair, ReceivedBatch, SentBatch};
use mpc_ring::{Convolution, Ring, packing};
use mpc_shares::SecretVec;

use super::cost::{Account, Price};
use super::maker::Maker;
use crate::{Bilinear, ProtocolError, Request};

/// Products of one element that share a transfer.
const COLUMNS: usize = 16;
/// Bits of strings that are made at a time.
const BITS_AT_ONCE: usize = 1 << 28;
/// Bits of strings of the largest product that is made so: 128 GiB.
const MOST_BITS: u128 = 1 << 40;

/// A product from transfers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Product {
    pub(super) map: Bilinear,
    pub(super) width: u32,
}

/// A bit of all elements of x, times some of the columns of y.
#[derive(Clone, Copy)]
struct Line {
    bit: u32,
    first: usize,
    columns: usize,
    batch: Batch,
}

impl Product {
    /// # Errors
    /// [`ProtocolError::NotMadeByParties`] for one that would take too many bytes.
    pub(super) fn new(request: &Request, map: Bilinear, width: u32) -> Result<Self, ProtocolError> {
        let product = Self { map, width };
        let bits = (map.left_len() as u128) * (product.columns() as u128) * u128::from(width * (width + 1) / 2);
        if bits <= MOST_BITS {
            return Ok(product);
        }
        Err(ProtocolError::NotMadeByParties { request: Box::new(request.clone()) })
    }

    /// The number of elements of y that each of x is multiplied with, padding included.
    fn columns(&self) -> usize {
        match self.map {
            Bilinear::Elementwise { .. } => 1,
            Bilinear::MatrixProduct { columns, .. } | Bilinear::BatchedMatrixProduct { columns, .. } => columns,
            Bilinear::Convolution(shape) => shape.output_channels / shape.groups * shape.kernel[0] * shape.kernel[1],
        }
    }

    /// Visits the products of a column with the places of their factors in x and y, and of the result. Padding has none.
    fn visit(&self, column: usize, mut visit: impl FnMut(usize, usize, usize)) {
        match self.map {
            Bilinear::Elementwise { len } => (0..len).for_each(|element| visit(element, element, element)),
            Bilinear::MatrixProduct { rows, inner, columns } => {
                visit_matrices([1, rows, inner, columns], column, visit)
            }
            Bilinear::BatchedMatrixProduct { batch, rows, inner, columns } => {
                visit_matrices([batch, rows, inner, columns], column, visit);
            }
            Bilinear::Convolution(shape) => visit_convolution(&shape, column, visit),
        }
    }

    /// All transfers, in parts of a bounded size.
    fn parts(&self) -> Vec<Vec<Line>> {
        let (count, columns) = (self.map.left_len(), self.columns());
        let (mut parts, mut bits) = (vec![Vec::new()], 0);
        if count == 0 {
            return parts;
        }
        for first in (0..columns).step_by(COLUMNS) {
            let columns = COLUMNS.min(columns - first);
            for bit in 0..self.width {
                let batch = Batch { count, bits: columns * (self.width - bit) as usize };
                let size = count.saturating_mul(batch.bits);
                if bits > 0 && size.saturating_add(bits) > BITS_AT_ONCE {
                    parts.push(Vec::new());
                    bits = 0;
                }
                bits += size;
                parts.last_mut().unwrap_or_else(|| unreachable!("there is a first part")).push(Line {
                    bit,
                    first,
                    columns,
                    batch,
                });
            }
        }
        parts
    }

    /// Its price, in one direction or both, but for random transfers. Without a list of them: of a layer that will be encrypted it
    /// may have millions of entries, and more bytes than an address has.
    pub(super) fn price(&self, in_both: bool) -> Price {
        let [count, columns, width] = [self.map.left_len() as u64, self.columns() as u64, u64::from(self.width)];
        let corrections = width * columns.div_ceil(COLUMNS as u64) * count.div_ceil(8);
        let products = columns * (1..=width).map(|bits| (count * bits).div_ceil(8)).sum::<u64>();
        let rounds = (count * columns * width * (width + 1) / 2).div_ceil(BITS_AT_ONCE as u64).max(1);
        let directions = if in_both { 2 } else { 1 };
        Price { once: 0, bytes: directions * (corrections + products), rounds, polynomials: 0 }
    }

    /// The bytes that a party holds at most while it makes them.
    pub(super) fn memory(&self) -> u64 {
        let strings = |line: &Line| line.batch.count as u64 * line.batch.bits as u64 / 8;
        let most = self.parts().iter().map(|lines| lines.iter().map(strings).sum::<u64>()).max().unwrap_or(0);
        let elements = self.map.left_len() + self.map.right_len() + 2 * self.map.output_len();
        // Strings in both directions, halves as they are cut off, and shares of them in 16 bytes.
        16 * most + 16 * elements as u64 + (1 << 20)
    }

    /// Makes both parties' shares; each gives x or y of one product, or of both products x of one and y of the other.
    pub(super) async fn make<E: Ring>(
        &self,
        pair: &mut Pair,
        x: Option<&[E]>,
        y: Option<&[E]>,
    ) -> Result<SecretVec<E>, ProtocolError> {
        let mut shares = SecretVec::zeros(self.map.output_len());
        for lines in self.parts() {
            let batches: Vec<_> = lines.iter().map(|line| line.batch).collect();
            let of = |operand: Option<&[E]>| if operand.is_some() { &batches[..] } else { &[][..] };
            let (sent, received) = pair.random(of(y), of(x)).await?;
            let mut message = Vec::with_capacity(self.bytes(&lines, x.is_some(), y.is_some()));
            if let Some(x) = x {
                for (line, batch) in lines.iter().zip(&received) {
                    batch.send_corrections(&plane(x, line.bit), &mut message)?;
                }
            }
            let mut halves = Vec::new();
            if let Some(y) = y {
                for (line, batch) in lines.iter().zip(sent) {
                    halves.push(self.send(line, batch, y, &mut message)?);
                }
            }
            let mut answer = vec![0; self.bytes(&lines, y.is_some(), x.is_some())];
            pair.exchange(&message, &mut answer).await?;
            let mut answer = &answer[..];
            // Whoever receives sends its corrections first.
            if let Some(y) = y {
                for (line, halves) in lines.iter().zip(halves) {
                    let corrections = next(&mut answer, plane_bytes(line.batch.count));
                    let corrections = receive_corrections(line.batch.count, corrections)?;
                    for (column, mut half) in halves.into_iter().enumerate() {
                        let operand = self.operand(y, line.first + column);
                        correct_ring(&mut half, &corrections, Some(&operand), self.width - line.bit)?;
                        self.add(line, column, &half, &mut shares);
                    }
                }
            }
            if let Some(x) = x {
                for (line, batch) in lines.iter().zip(received) {
                    self.receive(line, batch, x, &mut answer, &mut shares)?;
                }
            }
        }
        let mask = E::low_mask(self.width);
        shares.iter_mut().for_each(|share| *share = *share & mask);
        Ok(shares)
    }

    /// Makes shares of the squares of what both parties have shares `a` of: party 0 receives.
    pub(super) async fn square<E: Ring>(self, maker: &mut Maker, a: &[E]) -> Result<SecretVec<E>, ProtocolError> {
        // (a_0 + a_1)² has the product of a_0 with 2·a_1.
        let twice: SecretVec<E> = a.iter().map(|a| a.wrapping_add(*a)).collect();
        let (x, y) = if maker.place.is_first() { (Some(a), None) } else { (None, Some(&twice[..])) };
        let mut square = self.make(&mut maker.pair, x, y).await?;
        let mask = E::low_mask(self.width);
        square.iter_mut().zip(a).for_each(|(sum, a)| *sum = sum.wrapping_add(a.wrapping_mul(*a)) & mask);
        Ok(square)
    }

    /// The bytes of a part's message from a party that receives, sends, or both.
    fn bytes(&self, lines: &[Line], receives: bool, sends: bool) -> usize {
        let of = |line: &Line| {
            let one = ring_bytes(Batch { count: line.batch.count, bits: (self.width - line.bit) as usize });
            let corrections = if receives { plane_bytes(line.batch.count) } else { 0 };
            corrections + if sends { line.columns * one } else { 0 }
        };
        lines.iter().map(of).sum()
    }

    /// The cost for a party that receives, sends, or both.
    pub(super) fn cost(&self, account: &mut Account<'_>, receives: bool, sends: bool) {
        for lines in self.parts() {
            let batches: Vec<_> = lines.iter().map(|line| line.batch).collect();
            let of = |is: bool| if is { &batches[..] } else { &[][..] };
            account.random(of(sends), of(receives));
            account.exchange(self.bytes(&lines, receives, sends), self.bytes(&lines, sends, receives));
        }
    }

    /// For each element of x the one of y in a column.
    fn operand<E: Ring>(&self, y: &[E], column: usize) -> SecretVec<E> {
        let mut operand = SecretVec::zeros(self.map.left_len());
        self.visit(column, |element, from, _| operand[element] = y[from]);
        operand
    }

    fn send<E: Ring>(
        &self,
        line: &Line,
        mut batch: SentBatch,
        y: &[E],
        message: &mut Vec<u8>,
    ) -> Result<Vec<SecretVec<E>>, ProtocolError> {
        let bits = (self.width - line.bit) as usize;
        let mut halves = Vec::with_capacity(line.columns);
        for column in 0..line.columns {
            let operand = self.operand(y, line.first + column);
            halves.push(batch.take(bits)?.send_ring(&operand, message)?);
        }
        Ok(halves)
    }

    fn receive<E: Ring>(
        &self,
        line: &Line,
        mut batch: ReceivedBatch,
        x: &[E],
        answer: &mut &[u8],
        shares: &mut [E],
    ) -> Result<(), ProtocolError> {
        let bits = self.width - line.bit;
        let wanted = plane(x, line.bit);
        let corrections: SecretVec<u64> = batch.choices().iter().zip(wanted.iter()).map(|(a, b)| a ^ b).collect();
        for column in 0..line.columns {
            let part = batch.take(bits as usize)?;
            let bytes = ring_bytes(part.batch());
            let mut half = part.receive_ring::<E>(next(answer, bytes))?;
            correct_ring(&mut half, &corrections, None, bits)?;
            self.add(line, column, &half, shares);
        }
        Ok(())
    }

    /// Adds 2^bit times the shares of a column's products.
    fn add<E: Ring>(&self, line: &Line, column: usize, half: &[E], shares: &mut [E]) {
        self.visit(line.first + column, |element, _, to| {
            shares[to] = shares[to].wrapping_add(half[element] << line.bit);
        });
    }
}

/// A bit of every element.
fn plane<E: Ring>(x: &[E], bit: u32) -> SecretVec<u64> {
    let mut plane = SecretVec::zeros(packing::words_for(x.len()));
    for (word, elements) in plane.iter_mut().zip(x.chunks(64)) {
        for (lane, &element) in elements.iter().enumerate() {
            *word |= ((element >> bit).low_u64() & 1) << lane;
        }
    }
    plane
}

/// As [`Product::visit`], for one matrix after the other.
fn visit_matrices(
    [batch, rows, inner, columns]: [usize; 4],
    column: usize,
    mut visit: impl FnMut(usize, usize, usize),
) {
    for row in 0..batch * rows {
        let matrix = row / rows;
        for at in 0..inner {
            visit(row * inner + at, (matrix * inner + at) * columns + column, row * columns + column);
        }
    }
}

/// As [`Product::visit`], for elements (image, channel, y, x) and a tap (output channel of the group, row, column).
fn visit_convolution(shape: &Convolution, tap: usize, mut visit: impl FnMut(usize, usize, usize)) {
    let [rows, columns] = shape.kernel;
    let (across, down, output) = (tap % columns, tap / columns % rows, tap / columns / rows);
    let [inputs, outputs] = [shape.input_channels / shape.groups, shape.output_channels / shape.groups];
    let position = |place: usize, padding: usize, offset: usize, stride: usize, extent: usize| {
        let from = (place + padding).checked_sub(offset)?;
        (from.is_multiple_of(stride) && from / stride < extent).then_some(from / stride)
    };
    let (height, width) = (shape.output_height(), shape.output_width());
    let row = |y| position(y, shape.padding[0], down * shape.dilation[0], shape.stride[0], height);
    let column = |x| position(x, shape.padding[1], across * shape.dilation[1], shape.stride[1], width);
    let columns_of: Vec<(usize, usize)> = (0..shape.width).filter_map(|x| Some((x, column(x)?))).collect();
    let rows_of: Vec<(usize, usize)> = (0..shape.height).filter_map(|y| Some((y, row(y)?))).collect();
    for block in 0..shape.batch * shape.groups {
        let weights = (block % shape.groups * outputs + output) * inputs;
        for input in 0..inputs {
            let (channel, weight) = (block * inputs + input, ((weights + input) * rows + down) * columns + across);
            for &(y, row) in &rows_of {
                let (from, to) =
                    ((channel * shape.height + y) * shape.width, (block * outputs + output) * height + row);
                columns_of.iter().for_each(|&(x, column)| visit(from + x, weight, to * width + column));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_has_the_bytes_of_all_parts() {
        for (left, columns, width) in [(0, 3, 48), (7, 16, 1), (300, 33, 50), (4_000, 500, 128), (9, 0, 30)] {
            let product = Product { map: Bilinear::MatrixProduct { rows: 1, inner: left, columns }, width };
            let (price, parts) = (product.price(false), product.parts());
            let bytes = |lines: &Vec<Line>| product.bytes(lines, true, false) + product.bytes(lines, false, true);
            assert_eq!(price.bytes, parts.iter().map(bytes).sum::<usize>() as u64);
            assert_eq!(product.price(true).bytes, 2 * price.bytes);
            assert!((price.rounds..=2 * price.rounds).contains(&(parts.len() as u64)), "{} parts", parts.len());
        }
    }

    /// One input and a hundred million outputs would be two hundred million lines.
    #[test]
    fn a_price_is_known_without_a_list_of_transfers() {
        let product = Product { map: Bilinear::MatrixProduct { rows: 1, inner: 1, columns: 100_000_000 }, width: 48 };
        assert_eq!(product.price(false).bytes, 48 * 6_250_000 + 100_000_000 * 168);
    }
}
