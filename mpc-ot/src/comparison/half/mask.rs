//! r = r_0 + r_1 modulo 2^k with XOR shares of its bits: an adder whose outputs are the parties' own numbers.
//!
//! Bit i of r is X_i ⊕ Y_i, X_i the chooser's choice bit and Y_i the other party's difference of strings. With the carry
//! c_i = c⁰_i ⊕ c¹_i, bit i of r_0 is X_i ⊕ c⁰_i and of r_1 Y_i ⊕ c¹_i, and
//! c_{i+1} = c_i ⊕ X_i·Y_i ⊕ X_i·c⁰_i ⊕ c¹_i·Y_i ⊕ c⁰_i·c¹_i, of which only the last product costs a message.

use alloc::vec::Vec;

use mpc_ring::packing::words_for;
use mpc_ring::{Ring, bitslice};
use mpc_shares::SecretVec;

use crate::OtError;
use crate::comparison::ends::{End, Ends};
use crate::comparison::shape::ComparisonShape;
use crate::cross::next;
use crate::planes::joined;
use crate::products::{bits_bytes, correct_ring, plane_bytes, receive_corrections, ring_bytes};

pub(in crate::comparison) struct Mask<R: Ring> {
    shape: ComparisonShape,
    len: usize,
    /// X_i or Y_i.
    bits: Vec<SecretVec<u64>>,
    /// Shares of X_i·Y_i.
    squares: Vec<SecretVec<u64>>,
    /// The transfers of the products of carries, the next one last.
    carries: Vec<End>,
    /// The share of the carry into the next bit.
    carry: SecretVec<u64>,
    /// The bits of this party's number.
    number: Vec<SecretVec<u64>>,
    /// The transfers that lift the last carry and the top bit to the ring, and the shares in the making.
    lifts: Option<[End; 2]>,
    halfway: Option<[SecretVec<R>; 2]>,
    mask: SecretVec<R>,
    top: SecretVec<R>,
}

impl<R: Ring> Mask<R> {
    /// Takes the first bit of each of `bits`, and of the last one those that lift it.
    pub(super) fn new(
        shape: ComparisonShape,
        len: usize,
        bits: &mut [End],
        ends: &mut Ends<'_>,
    ) -> Result<Self, OtError> {
        let (mut shares, mut squares) = (Vec::new(), Vec::new());
        for end in bits.iter_mut() {
            let (bit, square) = match end.take(1)? {
                End::Received(batch) => (SecretVec::copy_of(batch.choices()), SecretVec::copy_of(batch.chosen(0, 1))),
                End::Sent(batch) => (SecretVec::copy_of(batch.difference(0, 1)), SecretVec::copy_of(batch.zero(0, 1))),
            };
            shares.push(bit);
            squares.push(square);
        }
        let mut carries: Vec<_> = (1..shape.k()).map(|_| ends.forth()).collect();
        carries.reverse();
        let lifts = match (shape.lift_round(), bits.last_mut()) {
            (Some(_), Some(last)) => Some([ends.forth(), last.take(shape.top_bits())?]),
            _ => None,
        };
        let (mask, top) = (SecretVec::zeros(len), SecretVec::zeros(len));
        let carry = SecretVec::zeros(words_for(len));
        let number = Vec::with_capacity(shape.k());
        let mut made =
            Self { shape, len, bits: shares, squares, carries, carry, number, lifts, halfway: None, mask, top };
        made.add_bit(0, None);
        Ok(made)
    }

    /// X_i or Y_i.
    pub(super) fn bit(&self, index: usize) -> &[u64] {
        &self.bits[index]
    }

    /// [r] and [r_top], once they are there.
    pub(super) fn shares(&self) -> (&[R], &[R]) {
        (&self.mask, &self.top)
    }

    /// Appends bit i of this party's number, and goes on to the next carry with the share of c⁰_i·c¹_i.
    fn add_bit(&mut self, index: usize, product: Option<&[u64]>) {
        let bit = &self.bits[index];
        self.number.push(bit.iter().zip(self.carry.iter()).map(|(bit, carry)| bit ^ carry).collect());
        for (word, carry) in self.carry.iter_mut().enumerate() {
            *carry ^= self.squares[index][word] ^ (bit[word] & *carry);
            *carry ^= product.map_or(0, |product| product[word]);
        }
    }

    pub(super) fn send(&mut self, round: usize, message: &mut Vec<u8>) -> Result<(), OtError> {
        match self.carries.last() {
            Some(End::Received(batch)) => batch.send_corrections(&self.carry, message)?,
            Some(End::Sent(batch)) => batch.send_bits(&self.carry, message)?,
            None => {}
        }
        if self.shape.lift_round() == Some(round) {
            self.send_lifts(message)?;
        }
        Ok(())
    }

    pub(super) fn receive(&mut self, round: usize, message: &mut &[u8]) -> Result<(), OtError> {
        if let Some(end) = self.carries.pop() {
            let product = match end {
                End::Received(batch) => {
                    let bytes = bits_bytes(batch.batch());
                    batch.receive_bits(Some(&self.carry), next(message, bytes))?
                }
                End::Sent(batch) => {
                    let corrections = receive_corrections(self.len, next(message, plane_bytes(self.len)))?;
                    batch.bit_shares(Some(&corrections))?
                }
            };
            self.add_bit(round, Some(&product));
            if self.carries.is_empty() {
                self.finish_number();
            }
        }
        if self.shape.lift_round() == Some(round) {
            self.receive_lifts(message)?;
        }
        Ok(())
    }

    /// This party's number becomes its share of r, but for 2^k times the last carry.
    fn finish_number(&mut self) {
        let planes = joined(self.number.iter().map(|plane| &plane[..]));
        self.number.clear();
        bitslice::from_planes(&planes, self.shape.bits, &mut self.mask);
    }

    /// The bits that are lifted: the last carry, and the top bit.
    fn lifted(&self) -> [SecretVec<R>; 2] {
        let top = &self.bits[self.shape.k() - 1];
        [&self.carry, top].map(|plane| {
            let mut elements = SecretVec::zeros(self.len);
            bitslice::from_planes(plane, 1, &mut elements);
            elements
        })
    }

    /// b_0 ⊕ b_1 = b_0 + b_1 − 2·b_0·b_1, with b_0 the choice: the other party's operand is −2·b_1.
    fn send_lifts(&mut self, message: &mut Vec<u8>) -> Result<(), OtError> {
        let bits = self.lifted();
        let Some(lifts) = self.lifts.take() else { return Ok(()) };
        let [carry, top] = lifts;
        match (carry, top) {
            (End::Received(carry), End::Received(top)) => {
                carry.send_corrections(&self.carry, message)?;
                self.lifts = Some([End::Received(carry), End::Received(top)]);
            }
            (End::Sent(carry), End::Sent(top)) => {
                let operands = bits.each_ref().map(|bits| minus_twice(bits));
                let [carry_operand, top_operand] = &operands;
                self.halfway = Some([carry.send_ring(carry_operand, message)?, top.send_ring(top_operand, message)?]);
            }
            _ => unreachable!("both transfers have one direction"),
        }
        Ok(())
    }

    fn receive_lifts(&mut self, message: &mut &[u8]) -> Result<(), OtError> {
        let bits = self.shape.top_bits() as u32;
        let planes = self.lifted();
        let [mut carry, mut top] = match (self.lifts.take(), self.halfway.take()) {
            (Some([End::Received(carry), End::Received(top)]), _) => {
                let corrections: SecretVec<u64> =
                    carry.choices().iter().zip(self.carry.iter()).map(|(choice, wanted)| choice ^ wanted).collect();
                let bytes = ring_bytes(carry.batch());
                let mut shares = carry.receive_ring::<R>(next(message, bytes))?;
                correct_ring(&mut shares, &corrections, None, bits)?;
                [shares, top.receive_ring(next(message, bytes))?]
            }
            (_, Some([mut carry, top])) => {
                let corrections = receive_corrections(self.len, next(message, plane_bytes(self.len)))?;
                correct_ring(&mut carry, &corrections, Some(&minus_twice(&planes[0])), bits)?;
                [carry, top]
            }
            _ => unreachable!("a lift is sent before its answer comes"),
        };
        let (low, ring) = (R::low_mask(bits), R::low_mask(self.shape.ring_bits));
        for (shares, bits) in [&mut carry, &mut top].into_iter().zip(&planes) {
            shares.iter_mut().zip(bits.iter()).for_each(|(share, bit)| *share = share.wrapping_add(*bit) & low);
        }
        for (mask, carry) in self.mask.iter_mut().zip(carry.iter()) {
            *mask = mask.wrapping_sub(*carry << self.shape.bits) & ring;
        }
        self.top = top;
        Ok(())
    }

    /// [r], [r_top] and the XOR shares of r's bits.
    pub(super) fn finish(self) -> (SecretVec<R>, SecretVec<R>, Vec<SecretVec<u64>>) {
        (self.mask, self.top, self.bits)
    }
}

fn minus_twice<R: Ring>(bits: &[R]) -> SecretVec<R> {
    bits.iter().map(|bit| bit.wrapping_add(*bit).wrapping_neg()).collect()
}
