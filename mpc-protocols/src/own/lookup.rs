//! Rotated tables of lookups: a random index a, as a one-hot vector with powers of its lower part, of which every table is a
//! public linear map.
//!
//! As [`lookup`](crate::lookup) says, a = a_hi·h + α, and entry v has the polynomial of segment j = v − a_hi in ε. Of vectors
//! that are 1, α and α² at a_hi and 0 elsewhere, its coefficients are sums over all j of c_0, c_1 and c_2 times their entries
//! v − j. So the parties make
//!
//! 1. the bits of a, in XOR and in the ring ([`bits`](super::bits)), and α² by a product of α's shares ([`Product`]);
//! 2. the one-hot vector of a_hi in XOR ([`one_hot`]);
//! 3. the three vectors in the ring ([`point`]), and from them, each alone, the tables;
//! 4. a mask for the truncation.
//!
//! # Security
//! Semi-honest. All that is sent is masked by strings or choice bits of random OTs that nothing else uses, but for w in the
//! third step, which is opened: it has the term D, in which each party lacks a uniform string of the other's at the index,
//! so that it is uniform for both. A simulator draws every message as uniform bits, and of w the other party's share such that
//! the sum is uniform.

mod one_hot;
mod point;

use alloc::vec::Vec;

use mpc_ring::Ring;
use mpc_ring::kernels::vectorized;
use mpc_shares::SecretVec;

use super::bits::{Bits, RandomBits, RingBits};
use super::cost::Account;
use super::maker::{Maker, put_at};
use super::transfers::Product;
use crate::correlation::Share;
use crate::lookup::{Layout, Table};
use crate::{Bilinear, ProtocolError};
use one_hot::OneHot;
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
}

impl Lookup {
    /// # Errors
    /// [`ProtocolError::Parameter`] for a table that cannot be.
    pub(super) fn new(len: usize, table: Table, ring_bits: u32, width: u32) -> Result<Self, ProtocolError> {
        let layout = table.layout(ring_bits)?;
        Ok(Self { len, table, layout, ring_bits, width })
    }

    fn blocks(self) -> impl Iterator<Item = Block> {
        let Self { len, layout, .. } = self;
        let one = Block { from: 0, len: 64, layout };
        let most = 64 * (BITS_AT_ONCE / one.points().string_bits()).max(1);
        (0..len).step_by(most).map(move |from| Block { from, len: most.min(len - from), layout })
    }

    fn lift(self) -> Bits {
        let bits = self.layout.result_bits;
        Bits::Mask { len: self.len, bits, width: self.width.max(bits) }
    }

    /// The bytes that a party holds at most while it makes them.
    pub(super) fn memory(self) -> u64 {
        let block = self.blocks().next().map_or(0, |block| {
            let entries = (VALUES * block.layout.entries() * block.len) as u64;
            // The vectors and tables as they are made and packed, each of at most 16 bytes.
            block.points().string_bits() as u64 / 4
                + 4 * 16 * entries
                + block.index().memory()
                + block.square().memory()
        });
        block.max(self.lift().memory())
    }

    pub(super) fn cost(self, account: &mut Account<'_>, first: bool) {
        for block in self.blocks() {
            block.index().cost(account, first);
            block.square().cost(account, first, !first);
            block.one_hot().cost(account);
            block.points().cost(account);
        }
        self.lift().cost(account, first);
    }

    pub(super) async fn make<E: Ring>(
        self,
        maker: &mut Maker,
        shares: &mut [&mut dyn Share],
    ) -> Result<(), ProtocolError> {
        let [mask, tables, lift @ ..] = shares else { unreachable!("a lookup has a mask, tables and a lift") };
        let coefficients = self.table.polynomials(self.ring_bits)?.coefficients;
        let coefficients: Vec<[E; 3]> = coefficients.iter().map(|c| c.map(E::from_i128)).collect();
        for block in self.blocks() {
            let (masks, vectors) = block.make::<E>(maker).await?;
            put_at(&masks, *mask, block.from);
            let item = self.layout.elements();
            let entries = self.layout.entries();
            for element in 0..block.len {
                let rows = vectors.each_ref().map(|vector| &vector[element * entries..][..entries]);
                put_at(&rotated(&coefficients, rows), *tables, (block.from + element) * item);
            }
        }
        self.lift().make::<E>(maker, lift).await
    }
}

impl Block {
    /// The bits of a: those of α as wide as it is read, and those above for the opened argument alone.
    fn index(self) -> RingBits {
        let Layout { segment_bits, index_bits, entry_bits, .. } = self.layout;
        let width = entry_bits.max(self.layout.argument_bits());
        let low = (0..segment_bits).map(|bit| width - bit);
        RingBits { len: self.len, widths: low.chain((0..index_bits).map(|bit| index_bits - bit)).collect() }
    }

    fn square(self) -> Product {
        Product { map: Bilinear::Elementwise { len: self.len }, width: self.layout.entry_bits }
    }

    fn one_hot(self) -> OneHot {
        OneHot { len: self.len, bits: self.layout.index_bits }
    }

    fn points(self) -> Points {
        Points { len: self.len, entries: self.layout.entries(), width: self.layout.entry_bits }
    }

    /// Shares of a, and of 1, α and α² at a_hi.
    async fn make<E: Ring>(self, maker: &mut Maker) -> Result<(SecretVec<E>, [SecretVec<E>; VALUES]), ProtocolError> {
        let segment_bits = self.layout.segment_bits as usize;
        let bits: RandomBits<E> = self.index().make(maker).await?;
        let low = bits.number(0, segment_bits);
        let high = bits.number(segment_bits, bits.in_ring.len());
        let masks = low.iter().zip(high.iter()).map(|(low, high)| low.wrapping_add(*high << segment_bits as u32));
        let masks: SecretVec<E> = masks.collect();
        let square = self.square().square(maker, &low).await?;
        let first = maker.place.is_first();
        let mut one = SecretVec::zeros(self.len);
        one.fill(if first { E::ONE } else { E::ZERO });
        let one_hot = self.one_hot().make(&mut maker.pair, &bits.planes[segment_bits..], first).await?;
        let vectors = self.points().make(&mut maker.pair, &one_hot, &[one, low, square], first).await?;
        Ok((masks, vectors))
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
