//! Random bits, in XOR and in the ring, and what is made of them.
//!
//! A bit b is X ⊕ Y, X the choice bit of a transfer that party 0 receives and Y party 1's own: in the ring it is
//! X + Y − 2·X·Y, whose product takes the transfer.

use alloc::vec::Vec;

use mpc_ot::{Batch, Pair};
use mpc_ring::{Ring, packing};
use mpc_shares::{Prg, SecretVec};

use super::cost::Account;
use super::maker::{Maker, put_at};
use crate::ProtocolError;
use crate::correlation::Share;

/// A kind of correlation of random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bits {
    /// Bits a, b and a·b.
    Triples { bits: usize },
    /// A bit in XOR and modulo 2^`width`.
    Shared { len: usize, width: u32 },
    /// All bits of a ring element.
    Elements { len: usize, width: u32 },
    /// A number of `bits` bits modulo 2^`width`, and its top bit.
    Mask { len: usize, bits: u32, width: u32 },
}

impl Bits {
    fn ring_bits(self) -> RingBits {
        let (len, widths) = match self {
            Self::Triples { .. } => (0, Vec::new()),
            Self::Shared { len, width } => (len, [width].into()),
            Self::Elements { len, width } => (len, (0..width).map(|bit| width - bit).collect()),
            Self::Mask { len, bits, width } => (len, (0..bits).map(|bit| width - bit).collect()),
        };
        RingBits { len, widths }
    }

    /// The bytes that a party holds at most while it makes them.
    pub(super) fn memory(self) -> u64 {
        match self {
            Self::Triples { bits } => bits as u64 / 2 + (1 << 20),
            _ => self.ring_bits().memory(),
        }
    }

    pub(super) fn cost(self, account: &mut Account<'_>, first: bool) {
        match self {
            Self::Triples { bits } => account.random(&[triples(bits)], &[triples(bits)]),
            _ => self.ring_bits().cost(account, first),
        }
    }

    pub(super) async fn make<E: Ring>(
        self,
        maker: &mut Maker,
        shares: &mut [&mut dyn Share],
    ) -> Result<(), ProtocolError> {
        if let Self::Triples { bits } = self {
            return make_triples(bits, &mut maker.pair, shares).await;
        }
        let bits = self.ring_bits();
        let len = bits.len;
        let made = bits.make::<E>(maker).await?;
        let number = made.number(0, made.in_ring.len());
        let RandomBits { planes, in_ring } = made;
        let mut shares = shares.iter_mut();
        let put_planes = |share: &mut dyn Share| {
            for (bit, plane) in planes.iter().enumerate() {
                put_at(plane, share, bit * packing::words_for(len));
            }
        };
        if let Self::Shared { .. } = self
            && let Some(share) = shares.next()
        {
            put_planes(*share);
        }
        if let Some(share) = shares.next() {
            put_at(&number, *share, 0);
        }
        match (shares.next(), self, in_ring.last()) {
            (Some(share), Self::Mask { .. }, Some(top)) => put_at(top, *share, 0),
            (Some(share), Self::Elements { .. }, _) => put_planes(*share),
            _ => {}
        }
        Ok(())
    }
}

fn triples(bits: usize) -> Batch {
    Batch { count: bits, bits: 1 }
}

async fn make_triples(bits: usize, pair: &mut Pair, shares: &mut [&mut dyn Share]) -> Result<(), ProtocolError> {
    let (sent, received) = pair.random(&[triples(bits)], &[triples(bits)]).await?;
    let [(Some(sent), Some(received))] = [(sent.first(), received.first())] else {
        unreachable!("a batch was asked for in each direction")
    };
    let (a, b) = (received.choices(), sent.difference(0, 1));
    let c = a.iter().zip(b).zip(received.chosen(0, 1).iter().zip(sent.zero(0, 1)));
    let c: SecretVec<u64> = c.map(|((a, b), (chosen, zero))| (a & b) ^ chosen ^ zero).collect();
    for (share, words) in shares.iter_mut().zip([a, b, &c]) {
        put_at(words, *share, 0);
    }
    Ok(())
}

/// Random bits of elements, each with the bits of its shares in the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RingBits {
    pub(super) len: usize,
    /// Of the first bit of every element, of the second one, …
    pub(super) widths: Vec<u32>,
}

impl RingBits {
    fn batches(&self) -> Vec<Batch> {
        self.widths.iter().map(|&width| Batch { count: self.len, bits: width as usize }).collect()
    }

    /// The bytes that a party holds at most while it makes them.
    pub(super) fn memory(&self) -> u64 {
        let strings = self.batches().into_iter().map(|batch| batch.count as u64 * batch.bits as u64).sum::<u64>() / 8;
        4 * strings + (self.widths.len() as u64 + 4) * self.len as u64 * 16 + (1 << 20)
    }

    /// The bytes that party 1 sends party 0.
    fn bytes(&self) -> usize {
        self.widths.iter().map(|&width| packing::packed_len(self.len, width)).sum()
    }

    pub(super) fn cost(&self, account: &mut Account<'_>, first: bool) {
        let batches = self.batches();
        if first {
            account.random(&[], &batches);
            account.exchange(0, self.bytes());
        } else {
            account.random(&batches, &[]);
            account.exchange(self.bytes(), 0);
        }
    }

    /// Makes them, one bit of all elements after the other.
    pub(super) async fn make<E: Ring>(&self, maker: &mut Maker) -> Result<RandomBits<E>, ProtocolError> {
        let Maker { pair, place, generator } = maker;
        let (batches, len) = (self.batches(), self.len);
        let mut made = RandomBits { planes: Vec::new(), in_ring: Vec::new() };
        if place.is_first() {
            let (_, received) = pair.random(&[], &batches).await?;
            let mut message = alloc::vec![0; self.bytes()];
            pair.exchange(&[], &mut message).await?;
            let mut message = &message[..];
            for batch in received {
                let plane = SecretVec::copy_of(batch.choices());
                let (part, rest) = message.split_at(packing::packed_len(len, batch.batch().bits as u32));
                message = rest;
                made.push(plane, batch.receive_ring::<E>(part)?);
            }
        } else {
            let (sent, _) = pair.random(&batches, &[]).await?;
            let mut message = Vec::with_capacity(self.bytes());
            for batch in sent {
                let plane = random_plane(len, generator);
                let operand: SecretVec<E> = in_ring::<E>(&plane, len).iter().map(|bit| minus_twice(*bit)).collect();
                made.push(plane, batch.send_ring(&operand, &mut message)?);
            }
            pair.exchange(&message, &mut []).await?;
        }
        Ok(made)
    }
}

/// One party's shares of random bits.
pub(super) struct RandomBits<E: Ring> {
    pub(super) planes: Vec<SecretVec<u64>>,
    pub(super) in_ring: Vec<SecretVec<E>>,
}

impl<E: Ring> RandomBits<E> {
    /// The numbers that bits `from` to `to` are.
    pub(super) fn number(&self, from: usize, to: usize) -> SecretVec<E> {
        let mut number = SecretVec::<E>::zeros(self.in_ring.first().map_or(0, |bit| bit.len()));
        for (bit, elements) in self.in_ring[from..to].iter().enumerate() {
            number.iter_mut().zip(elements.iter()).for_each(|(sum, &share)| {
                *sum = sum.wrapping_add(share << bit as u32);
            });
        }
        number
    }

    /// Adds a bit with this party's part of it and its share of −2·X·Y.
    fn push(&mut self, plane: SecretVec<u64>, mut product: SecretVec<E>) {
        let bits = in_ring::<E>(&plane, product.len());
        product.iter_mut().zip(bits.iter()).for_each(|(share, &bit)| *share = share.wrapping_add(bit));
        self.planes.push(plane);
        self.in_ring.push(product);
    }
}

fn minus_twice<E: Ring>(bit: E) -> E {
    bit.wrapping_add(bit).wrapping_neg()
}

fn in_ring<E: Ring>(plane: &[u64], len: usize) -> SecretVec<E> {
    (0..len).map(|i| E::from_u64(plane[i / 64] >> (i % 64) & 1)).collect()
}

/// Random bits; those beyond `len` are zero.
fn random_plane(len: usize, generator: &mut Prg) -> SecretVec<u64> {
    let mut plane = SecretVec::zeros(packing::words_for(len));
    u64::fill_random(&mut plane, generator);
    if let (Some(last), used @ 1..) = (plane.last_mut(), len % 64) {
        *last &= u64::low_mask(used as u32);
    }
    plane
}
