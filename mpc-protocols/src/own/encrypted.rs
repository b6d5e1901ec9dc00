//! Products of two secret matrices by encryption: each party encrypts its part of the left one, and evaluates the other's on its
//! own part of the right one. Hints, which fixed weights have once, are made for each product.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use mpc_he::{
    Ciphertext, Encryption, Evaluation, Hint, Layout, Linear, Modulus, OPENING_BYTES, POLYNOMIAL_BYTES, PublicSeed,
    Weights,
};
use mpc_ot::Pair;
use mpc_ot::cross::next;
use mpc_ring::Ring;
use mpc_shares::{Prg, SecretVec};

use super::cost::{Account, Price};
use super::maker::Maker;
use crate::{Bilinear, ProtocolError};

/// Products of secret matrices are encrypted if they are read in at most so many bits.
pub const PRODUCT_BITS: u32 = Modulus::SMALLEST.bits();

/// Polynomials that a party has in memory at a time for one product: 256 MiB, or a matrix's.
const MOST_POLYNOMIALS: usize = 1 << 12;
/// Polynomials of one matrix: 4 GiB.
const MOST_OF_A_MATRIX: usize = 1 << 16;

/// A product of matrices of which both parties have shares, modulo 2^[`PRODUCT_BITS`] or less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Encrypted {
    /// One product of matrices or several.
    map: Bilinear,
    width: u32,
    matrices: usize,
    layout: Layout,
    /// The number of its first matrix among those of all products.
    first: u32,
}

/// The public seeds of both parties' hints, for all inferences.
pub(super) struct Seeds {
    own: PublicSeed,
    peer: PublicSeed,
}

impl Seeds {
    pub(super) fn cost(account: &mut Account<'_>) {
        account.exchange(PublicSeed::BYTES, PublicSeed::BYTES);
    }

    pub(super) async fn exchange(pair: &mut Pair, generator: &mut Prg) -> Result<Self, ProtocolError> {
        let (own, mut peer) = (PublicSeed::random(generator), [0; PublicSeed::BYTES]);
        pair.exchange(&own.to_bytes(), &mut peer).await?;
        Ok(Self { own, peer: PublicSeed::from_bytes(peer) })
    }
}

/// One inference's encryption, and the other party's.
#[derive(Default)]
pub(super) struct Begun {
    encryption: Option<Encryption>,
    evaluation: Option<Evaluation>,
}

impl Encrypted {
    /// The product, if it is one of matrices that has room in an encryption. `first` is the number of matrices before it.
    pub(super) fn new(map: Bilinear, width: u32, first: u32) -> Option<Self> {
        let (matrices, [rows, inner, columns]) = match map {
            Bilinear::MatrixProduct { rows, inner, columns } => (1, [rows, inner, columns]),
            Bilinear::BatchedMatrixProduct { batch, rows, inner, columns } => (batch, [rows, inner, columns]),
            _ => return None,
        };
        let linear = Linear::right_product(rows, inner, columns).ok()?;
        let layout = Layout::search(&linear, Modulus::SMALLEST, 1, false).ok()?;
        layout.noise(width).ok()?;
        let product = Self { map, width, matrices, layout, first };
        first.checked_add(u32::try_from(matrices).ok()?)?;
        (product.polynomials() <= MOST_OF_A_MATRIX).then_some(product)
    }

    /// The number of matrices up to its last.
    pub(super) fn end(&self) -> u32 {
        // That they can be counted was found out before.
        self.first + self.matrices as u32
    }

    /// How far the shares of the product may be off, in units.
    pub(super) fn noise(&self) -> u64 {
        // That there is a bound was found out before. Two encryptions make it.
        self.layout.noise(self.width).map_or(u64::MAX, |bound| 2 * bound.with_flooding())
    }

    /// The bytes of some of its matrices, in one direction.
    fn bytes(&self, part: &Range<usize>) -> usize {
        let opening = if self.begins(part) { OPENING_BYTES } else { 0 };
        opening + part.len() * (self.layout.hint_bytes() + self.layout.message_bytes())
    }

    /// Whether an inference's encryption begins with a part.
    fn begins(&self, part: &Range<usize>) -> bool {
        self.first == 0 && part.start == 0
    }

    /// Polynomials of a matrix at a party, in both roles.
    fn polynomials(&self) -> usize {
        let Self { layout, .. } = self;
        2 * layout.output_polynomials() + layout.input_polynomials() + layout.weight_polynomials()
    }

    /// The matrices of each exchange.
    fn parts(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (matrices, at_once) = (self.matrices, (MOST_POLYNOMIALS / self.polynomials().max(1)).max(1));
        (0..matrices).step_by(at_once).map(move |first| first..matrices.min(first + at_once))
    }

    pub(super) fn price(&self) -> Price {
        let (rounds, bytes) = (self.parts().count() as u64, self.parts().map(|part| self.bytes(&part) as u64));
        let polynomials = self.matrices as u64 * self.polynomials() as u64;
        Price { once: 0, bytes: 2 * bytes.sum::<u64>(), rounds, polynomials: 2 * polynomials }
    }

    /// The bytes that a party holds while it is made.
    pub(super) fn memory(&self) -> u64 {
        let most = self.parts().next().unwrap_or(0..0);
        let elements = self.map.left_len() + self.map.right_len() + self.map.output_len();
        let polynomials = (most.len() * self.polynomials()) as u64 * POLYNOMIAL_BYTES as u64;
        polynomials + 2 * self.bytes(&most) as u64 + 32 * elements as u64
    }

    pub(super) fn cost(&self, account: &mut Account<'_>) {
        self.parts().for_each(|part| account.exchange(self.bytes(&part), self.bytes(&part)));
    }

    /// Makes this party's shares of two operands and their product, modulo 2^w: of batch · (rows × inner), batch · (inner × columns)
    /// and batch · (rows × columns) elements, of which the last may be off by [`noise`](Self::noise) units.
    ///
    /// # Rounds and communication
    /// [`cost`](Self::cost): a round for all matrices, or for each [`MOST_POLYNOMIALS`] of them. Each party sends a hint and a message
    /// of a layer a matrix, and once an inference what begins it.
    ///
    /// # Errors
    /// [`ProtocolError::Parameter`] if no plan was loaded.
    pub(super) async fn make(
        &self,
        seeds: Option<&Seeds>,
        begun: &mut Begun,
        maker: &mut Maker,
    ) -> Result<[SecretVec<u64>; 3], ProtocolError> {
        let seeds = seeds.ok_or_else(not_loaded)?;
        let b = maker.random(self.map.right_len(), self.width);
        let (mut a, mut product) = (SecretVec::zeros(self.map.left_len()), SecretVec::zeros(self.map.output_len()));
        for part in self.parts() {
            self.part(seeds, begun, maker, part, (&mut a, &b, &mut product)).await?;
        }
        self.map.accumulate_modulo(self.width, &a, &b, &mut product);
        let mask = u64::low_mask(self.width);
        a.iter_mut().chain(product.iter_mut()).for_each(|share| *share &= mask);
        Ok([a, b, product])
    }

    /// Makes some of the matrices: chooses their `a`, and adds the shares of the products with the other party's operands.
    async fn part(
        &self,
        seeds: &Seeds,
        begun: &mut Begun,
        Maker { pair, generator, .. }: &mut Maker,
        part: Range<usize>,
        (a, b, product): (&mut [u64], &[u64], &mut [u64]),
    ) -> Result<(), ProtocolError> {
        let mut message = Vec::with_capacity(self.bytes(&part));
        if self.begins(&part) {
            let (encryption, opening) = Encryption::begin(&seeds.peer, generator);
            begun.encryption = Some(encryption);
            message.extend_from_slice(&opening);
        }
        let encryption = begun.encryption.as_mut().ok_or_else(not_loaded)?;
        let mut weights = Vec::with_capacity(part.len());
        for matrix in part.clone() {
            let (layout, number) = (&self.layout, self.first + matrix as u32);
            let right = self.signed(&b[self.of(b.len(), matrix)]);
            let (prepared, hint) = Weights::new(layout, &right, self.width, &seeds.own, number, generator)?;
            weights.push(prepared);
            message.extend_from_slice(&hint);
            let (ciphertext, mask) = encryption.message(layout, number, None, generator)?;
            message.extend_from_slice(&ciphertext);
            let place = self.of(a.len(), matrix);
            a[place].copy_from_slice(&mask);
        }
        let mut answer = vec![0; message.len()];
        pair.exchange(&message, &mut answer).await?;
        let mut answer = &answer[..];
        if self.begins(&part) {
            begun.evaluation = Some(Evaluation::from_bytes(next(&mut answer, OPENING_BYTES))?);
        }
        let evaluation = begun.evaluation.as_ref().ok_or_else(not_loaded)?;
        for (matrix, weights) in part.zip(&weights) {
            let (layout, number) = (&self.layout, self.first + matrix as u32);
            let hint = next(&mut answer, layout.hint_bytes());
            let encrypted = encryption.share(&Hint::from_bytes(layout, &seeds.peer, number, hint)?)?;
            let message = Ciphertext::from_bytes(layout, next(&mut answer, layout.message_bytes()))?;
            let evaluated = evaluation.layer(weights, &message, generator)?;
            let place = self.of(product.len(), matrix);
            let shares = encrypted.iter().zip(evaluated.iter()).map(|(a, b)| a.wrapping_add(*b));
            product[place].iter_mut().zip(shares).for_each(|(sum, share)| *sum = sum.wrapping_add(share));
        }
        Ok(())
    }

    /// The place of one of several matrices that stand one after the other.
    fn of(&self, elements: usize, matrix: usize) -> Range<usize> {
        let len = elements / self.matrices;
        matrix * len..(matrix + 1) * len
    }

    /// Elements of the width as signed ones, modulo the layout's modulus.
    fn signed(&self, elements: &[u64]) -> SecretVec<u64> {
        let (unused, modulus) = (u64::BITS - self.width, u64::low_mask(self.layout.modulus().bits()));
        elements.iter().map(|element| (((element << unused) as i64) >> unused) as u64 & modulus).collect()
    }
}

fn not_loaded() -> ProtocolError {
    let allowed = "load a plan before its correlations are made";
    ProtocolError::Parameter { protocol: "own correlations", parameter: "seeds that were exchanged", value: 0, allowed }
}
