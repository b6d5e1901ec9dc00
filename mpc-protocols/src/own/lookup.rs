//! Rotated tables of lookups: a random index a, as a one-hot vector with powers of its lower part, of which every table is a
//! public linear map.
//!
//! As [`lookup`](crate::lookup) says, a = a_hi·h + α, and entry v has the polynomial of segment j = v − a_hi in ε. Of vectors
//! that are 1, α and α² at a_hi and 0 elsewhere, its coefficients are sums over all j of c_0, c_1 and c_2 times their entries
//! v − j. So the parties make
//!
//! 1. α = x + y − h·κ from a number of s bits of each party, the choice bits of transfers and differences of their strings, with
//!    x·y and the bits of a_hi ([`opening`]);
//! 2. the carry κ, and the one-hot vector of a_hi, in XOR ([`circuit`]);
//! 3. κ and κ·(x + y) in the ring, and from them α² = x² + y² + 2·x·y + h²·κ − 2·h·κ·(x + y) ([`scaled`](super::scaled));
//! 4. the three vectors in the ring ([`point`]), and from them, each alone, the tables.
//!
//! A mask of k bits for the truncation has k − 1 bits from a sum with its carry, and a random bit above them.
//!
//! # Security
//! Semi-honest. All that is sent is masked by strings or choice bits of random OTs that nothing else uses, but for w in the
//! last step, which is opened: it has the term D, in which each party lacks a uniform string of the other's at the index,
//! so that it is uniform for both. A simulator draws every message as uniform bits, and of w the other party's share such that
//! the sum is uniform.
//!
//! # Rounds and communication
//! One message from party 1 to party 0; then the rounds of the circuits, which are the larger of ⌈log_2 s⌉ and ⌈log_2 (k − 1)⌉;
//! then three exchanges, in the first of which party 1 sends more. Of the GELU with f = 16 (2^6 entries of 48 bits, s = 15,
//! k = 16) in a ring of 64 bits: 1,283 bits from party 1 and 534 from party 0, 227 bytes, and 244 random OTs. A dealer sends
//! 1,166 bytes.

mod circuit;
mod opening;
mod point;

use alloc::vec;
use alloc::vec::Vec;

use mpc_ot::Batch;
use mpc_ring::Ring;
use mpc_ring::kernels::vectorized;
use mpc_shares::SecretVec;

use super::bits::{RandomBits, RingBits, in_ring};
use super::cost::Account;
use super::maker::{Maker, put_at};
use super::scaled::{Scaled, Scaling, Transfers, signed};
use crate::ProtocolError;
use crate::correlation::Share;
use crate::lookup::{Layout, Table};
use circuit::{Carry, OneHot, Plane, together};
use opening::{Opened, Opening};
use point::{Points, VALUES};

/// Bits of strings that a party holds at a time.
const BITS_AT_ONCE: usize = 1 << 29;

/// Lookups in one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lookup {
    len: usize,
    table: Table,
    layout: Layout,
    ring_bits: u32,
    /// The bits of the results that are read.
    width: u32,
}

/// Some of the elements.
#[derive(Clone, Copy)]
struct Block {
    from: usize,
    len: usize,
    layout: Layout,
    width: u32,
}

/// A party's shares of what a block makes.
struct Made<E: Ring> {
    masks: SecretVec<E>,
    vectors: [SecretVec<E>; VALUES],
    /// The mask of the truncation, and its top bit.
    lift: [SecretVec<E>; 2],
}

impl Lookup {
    /// # Errors
    /// [`ProtocolError::Parameter`] for a table that cannot be.
    pub(super) fn new(len: usize, table: Table, ring_bits: u32, width: u32) -> Result<Self, ProtocolError> {
        let layout = table.layout(ring_bits)?;
        Ok(Self { len, table, layout, ring_bits, width })
    }

    fn blocks(self) -> impl Iterator<Item = Block> {
        let Self { len, layout, width, .. } = self;
        let one = Block { from: 0, len: 64, layout, width };
        let most = 64 * (BITS_AT_ONCE / one.string_bits()).max(1);
        (0..len).step_by(most).map(move |from| Block { from, len: most.min(len - from), ..one })
    }

    /// The bytes that a party holds at most while it makes them.
    pub(super) fn memory(self) -> u64 {
        self.blocks().next().map_or(0, |block| {
            // The strings and a copy of some, and elements of at most 16 bytes.
            let elements = (VALUES * block.layout.entries() + 64) * block.len;
            block.string_bits() as u64 / 4 + 16 * elements as u64 + (1 << 20)
        })
    }

    pub(super) fn cost(self, account: &mut Account<'_>, first: bool) {
        self.blocks().for_each(|block| block.cost(account, first));
    }

    pub(super) async fn make<E: Ring>(
        self,
        maker: &mut Maker,
        shares: &mut [&mut dyn Share],
    ) -> Result<(), ProtocolError> {
        let [mask, tables, lift @ ..] = shares else { unreachable!("a lookup has a mask, tables and a lift") };
        let coefficients = self.table.polynomials(self.ring_bits)?.coefficients;
        let coefficients: Vec<[E; 3]> = coefficients.iter().map(|c| c.map(E::from_i128)).collect();
        let (item, entries) = (self.layout.elements(), self.layout.entries());
        for block in self.blocks() {
            let made = block.make::<E>(maker).await?;
            put_at(&made.masks, *mask, block.from);
            for element in 0..block.len {
                let rows = made.vectors.each_ref().map(|vector| &vector[element * entries..][..entries]);
                put_at(&rotated(&coefficients, rows), *tables, (block.from + element) * item);
            }
            for (share, values) in lift.iter_mut().zip(&made.lift) {
                put_at(values, *share, block.from);
            }
        }
        Ok(())
    }
}

impl Block {
    fn opening(self) -> Opening {
        let Layout { segment_bits, index_bits, entry_bits, result_bits, .. } = self.layout;
        let above = self.above_lift();
        let high = (0..index_bits).map(|bit| index_bits - bit).chain(above.map(|bits| bits + 1));
        Opening {
            low_bits: segment_bits,
            product_bits: entry_bits - 1,
            lift_bits: if above.is_some() { result_bits - 1 } else { 0 },
            high: RingBits { len: self.len, widths: high.collect() },
        }
    }

    /// The bits above the truncation's mask that are read.
    fn above_lift(self) -> Option<u32> {
        self.width.checked_sub(self.layout.result_bits).filter(|&bits| bits > 0)
    }

    /// The transfers of each round of the circuits.
    fn circuits(self) -> Vec<Vec<Batch>> {
        let opening = self.opening();
        together(&[
            Carry::batches(self.len, opening.low_bits),
            Carry::batches(self.len, opening.lift_bits),
            OneHot::batches(self.len, self.layout.index_bits),
        ])
    }

    /// The products of both carries: κ·(x + y) and κ, as wide as they are read in α² and in a, and the other one alone.
    fn carries(self) -> [Scaling; 2] {
        let Layout { segment_bits, index_bits, entry_bits, .. } = self.layout;
        let sum = entry_bits - segment_bits - 1;
        let carry = index_bits.max(entry_bits - segment_bits) - 1;
        let lift = self.above_lift().into_iter().collect();
        [[vec![sum], vec![sum, carry]], [Vec::new(), lift]].map(|widths| Scaling { len: self.len, widths })
    }

    /// The bytes of a party's message of those products, with its corrections for the vectors.
    fn carries_bytes(self, first: bool) -> usize {
        let [corrections, _] = self.points().bytes();
        corrections + self.carries().iter().map(|scaling| scaling.bytes(first)).sum::<usize>()
    }

    fn points(self) -> Points {
        Points { len: self.len, entries: self.layout.entries(), width: self.layout.entry_bits }
    }

    /// The transfers that a party sends and receives, in the order of their use.
    fn batches(self, first: bool) -> [Vec<Batch>; 2] {
        let opening = self.opening().batches();
        let mut batches = if first { [Vec::new(), opening] } else { [opening, Vec::new()] };
        let both = |batches: &mut [Vec<Batch>; 2], of: [Option<Batch>; 2]| {
            batches.iter_mut().zip(of).for_each(|(batches, batch)| batches.extend(batch));
        };
        self.circuits().into_iter().flatten().for_each(|batch| both(&mut batches, [Some(batch); 2]));
        self.carries().iter().for_each(|scaling| both(&mut batches, scaling.batches(first)));
        both(&mut batches, [Some(self.points().strings()); 2]);
        both(&mut batches, self.points().signs().batches(first));
        batches
    }

    /// No fewer bits of strings than a party holds.
    fn string_bits(self) -> usize {
        2 * self.batches(true).iter().flatten().map(|batch| batch.count * batch.bits).sum::<usize>()
    }

    fn cost(self, account: &mut Account<'_>, first: bool) {
        let [sends, receives] = self.batches(first);
        account.random(&sends, &receives);
        let opening = self.opening().bytes();
        if first {
            account.exchange(0, opening);
        } else {
            account.exchange(opening, 0);
        }
        for batches in self.circuits() {
            account.exchange(circuit::round_bytes(&batches), circuit::round_bytes(&batches));
        }
        account.exchange(self.carries_bytes(first), self.carries_bytes(!first));
        let signs = self.points().signs();
        account.exchange(signs.bytes(first), signs.bytes(!first));
        let [_, opened] = self.points().bytes();
        account.exchange(opened, opened);
    }

    async fn make<E: Ring>(self, maker: &mut Maker) -> Result<Made<E>, ProtocolError> {
        let first = maker.place.is_first();
        let [sends, receives] = self.batches(first);
        let mut transfers = Transfers::new(maker.pair.random(&sends, &receives).await?);
        let Opened { low, product, lift, high } = self.opening().make::<E>(maker, &mut transfers).await?;
        let (mut of_low, mut of_lift) = (Carry::new(low.bits), Carry::new(lift.bits));
        let mut one_hot = OneHot::new(&high.planes[..self.layout.index_bits as usize], first);
        circuit::run(&mut maker.pair, &mut transfers, &mut [&mut of_low, &mut of_lift, &mut one_hot]).await?;

        let [low, lift] =
            [Sum { number: low.number, carry: of_low.finish() }, Sum { number: lift.number, carry: of_lift.finish() }];
        let [scaling, of_lift] = self.carries();
        let mut message = Vec::new();
        let scaled = scaling.begin(first, &low.carry, low.numbers(first), &mut transfers, &mut message)?;
        let own = (!first && self.above_lift().is_some()).then(|| in_ring(&lift.carry, self.len));
        let carry = own.into_iter().collect();
        let lifted = of_lift.begin(first, &lift.carry, carry, &mut transfers, &mut message)?;
        let points = self.points().begin(&one_hot.finish(), &mut transfers, &mut message)?;
        let mut answer = vec![0; self.carries_bytes(!first)];
        maker.pair.exchange(&message, &mut answer).await?;
        let mut answer = &answer[..];
        let (scaled, lifted) = (scaled.finish(&mut answer)?, lifted.finish(&mut answer)?);
        let leaves = points.leaves::<E>(&mut answer)?;

        let carry = low.carry_in_ring(&scaled, first);
        let lift = self.lift(maker, &lift, &lifted, &high);
        let masks = self.masks(&low.number, &carry, &high);
        let values = self.values(&low, &carry, &product, &scaled, first);
        let vectors = leaves.make(&mut maker.pair, &values, first, &mut transfers).await?;
        Ok(Made { masks, vectors, lift })
    }

    /// Shares of a = x + y + h·(a_hi − κ).
    fn masks<E: Ring>(self, number: &[E], carry: &[E], high: &RandomBits<E>) -> SecretVec<E> {
        let Layout { segment_bits, index_bits, .. } = self.layout;
        let above = high.number(0, index_bits as usize);
        let of = |((x, carry), above): ((&E, &E), &E)| x.wrapping_add(above.wrapping_sub(*carry) << segment_bits);
        number.iter().zip(carry).zip(above.iter()).map(of).collect()
    }

    /// Shares of 1, α and α².
    fn values<E: Ring>(
        self,
        low: &Sum<E>,
        carry: &[E],
        product: &[E],
        scaled: &Scaled<E>,
        first: bool,
    ) -> [SecretVec<E>; VALUES] {
        let bits = self.layout.segment_bits;
        let [ours, theirs] = [&scaled.ours[0], &scaled.theirs[0]];
        let one = if first { E::ONE } else { E::ZERO };
        let own_bits = in_ring::<E>(&low.carry, self.len);
        let alpha = low.number.iter().zip(carry).map(|(x, carry)| x.wrapping_sub(*carry << bits));
        let square = |index: usize| {
            let (x, carry) = (low.number[index], carry[index]);
            // κ·(x + y), of which both parties have a part alone.
            let of_carry = ours[index].wrapping_add(theirs[index]).wrapping_add(own_bits[index].wrapping_mul(x));
            let whole = x.wrapping_mul(x).wrapping_add(product[index] << 1);
            whole.wrapping_add(carry << (2 * bits)).wrapping_sub(of_carry << (bits + 1))
        };
        [(0..self.len).map(|_| one).collect(), alpha.collect(), (0..self.len).map(square).collect()]
    }

    /// Shares of a mask for the truncation, and of its top bit.
    fn lift<E: Ring>(
        self,
        maker: &mut Maker,
        sum: &Sum<E>,
        scaled: &Scaled<E>,
        high: &RandomBits<E>,
    ) -> [SecretVec<E>; 2] {
        let bits = self.layout.result_bits;
        if self.above_lift().is_none() {
            // The sum of both parties' numbers, of which no carry is read.
            return [maker.random(self.len, bits), SecretVec::zeros(self.len)];
        }
        let top = high.number(self.layout.index_bits as usize, high.in_ring.len());
        let carry = sum.carry_in_ring(scaled, maker.place.is_first());
        let of = |((x, carry), top): ((&E, &E), &E)| x.wrapping_add(top.wrapping_sub(*carry) << (bits - 1));
        [sum.number.iter().zip(carry.iter()).zip(top.iter()).map(of).collect(), top]
    }
}

/// A party's part of a sum of two numbers, and its share of the carry in XOR.
struct Sum<E: Ring> {
    number: SecretVec<E>,
    carry: Plane,
}

impl<E: Ring> Sum<E> {
    /// The numbers of a party for κ·(x + y), and of the second one for κ.
    fn numbers(&self, first: bool) -> Vec<SecretVec<E>> {
        let number = signed(&self.number, &self.carry);
        if first { vec![number] } else { vec![number, in_ring(&self.carry, self.number.len())] }
    }

    /// κ_0 + κ_1 − 2·κ_0·κ_1, the product being the last one of those with the carries.
    fn carry_in_ring(&self, scaled: &Scaled<E>, first: bool) -> SecretVec<E> {
        let product = if first { scaled.theirs.last() } else { scaled.ours.last() };
        let mut carry = in_ring::<E>(&self.carry, self.number.len());
        let product = product.into_iter().flat_map(|product| product.iter());
        carry.iter_mut().zip(product).for_each(|(carry, product)| *carry = carry.wrapping_sub(*product << 1));
        carry
    }
}

/// A share of the rotated table: in entry v the coefficients c_0 − c_1·α + c_2·α², c_1 − 2·c_2·α and c_2 of segment v − a_hi,
/// from shares of 1, α and α² at a_hi.
fn rotated<E: Ring>(coefficients: &[[E; 3]], [one, alpha, square]: [&[E]; VALUES]) -> SecretVec<E> {
    let entries = coefficients.len();
    let mut sums = [(); 3].map(|()| SecretVec::<E>::zeros(entries));
    vectorized(|| {
        let [constant, linear, quadratic] = &mut sums;
        for (segment, &[c0, c1, c2]) in coefficients.iter().enumerate() {
            let twice = c2 << 1;
            // Entry v has the vectors' entry v − segment.
            let mut add = |to: core::ops::Range<usize>, from: usize| {
                let len = to.len();
                let vectors = one[from..][..len].iter().zip(&alpha[from..][..len]).zip(&square[from..][..len]);
                let sums = constant[to.clone()].iter_mut().zip(&mut linear[to.clone()]).zip(&mut quadratic[to]);
                for (((constant, linear), quadratic), ((&one, &alpha), &square)) in sums.zip(vectors) {
                    let of_alpha = c0.wrapping_mul(one).wrapping_sub(c1.wrapping_mul(alpha));
                    *constant = constant.wrapping_add(of_alpha).wrapping_add(c2.wrapping_mul(square));
                    *linear = linear.wrapping_add(c1.wrapping_mul(one)).wrapping_sub(twice.wrapping_mul(alpha));
                    *quadratic = quadratic.wrapping_add(c2.wrapping_mul(one));
                }
            };
            add(segment..entries, 0);
            add(0..segment, entries - segment);
        }
    });
    let [constant, linear, quadratic] = &sums;
    (0..VALUES * entries).map(|at| [constant, linear, quadratic][at % VALUES][at / VALUES]).collect()
}
