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
    /// The number of elements and for each of their bits those of its shares in the ring.
    fn widths(self) -> (usize, Vec<u32>) {
        match self {
            Self::Triples { .. } => (0, Vec::new()),
            Self::Shared { len, width } => (len, [width].into()),
            Self::Elements { len, width } => (len, (0..width).map(|bit| width - bit).collect()),
            Self::Mask { len, bits, width } => (len, (0..bits).map(|bit| width - bit).collect()),
        }
    }

    fn batches(self) -> Vec<Batch> {
        if let Self::Triples { bits } = self {
            return [Batch { count: bits, bits: 1 }].into();
        }
        let (count, widths) = self.widths();
        widths.into_iter().map(|width| Batch { count, bits: width as usize }).collect()
    }

    /// The bytes that a party holds at most while it makes them.
    pub(super) fn memory(self) -> u64 {
        let strings = self.batches().into_iter().map(|batch| batch.count as u64 * batch.bits as u64).sum::<u64>() / 8;
        let (len, widths) = self.widths();
        4 * strings + (widths.len() as u64 + 4) * len as u64 * 16 + (1 << 20)
    }

    /// The bytes that party 1 sends party 0.
    fn bytes(self) -> usize {
        let (len, widths) = self.widths();
        widths.into_iter().map(|width| packing::packed_len(len, width)).sum()
    }

    pub(super) fn cost(self, account: &mut Account<'_>, first: bool) {
        let batches = self.batches();
        match (self, first) {
            (Self::Triples { .. }, _) => account.random(&batches, &batches),
            (_, true) => {
                account.random(&[], &batches);
                account.exchange(0, self.bytes());
            }
            (_, false) => {
                account.random(&batches, &[]);
                account.exchange(self.bytes(), 0);
            }
        }
    }

    pub(super) async fn make<E: Ring>(
        self,
        maker: &mut Maker,
        shares: &mut [&mut dyn Share],
    ) -> Result<(), ProtocolError> {
        if let Self::Triples { .. } = self {
            return self.triples(&mut maker.pair, shares).await;
        }
        let first = maker.place.is_first();
        let RandomBits { planes, in_ring } = self.random::<E>(&mut maker.pair, &mut maker.generator, first).await?;
        let (len, _) = self.widths();
        let mut number = SecretVec::<E>::zeros(len);
        for (bit, elements) in in_ring.iter().enumerate() {
            number.iter_mut().zip(elements.iter()).for_each(|(sum, &share)| {
                *sum = sum.wrapping_add(share << bit as u32);
            });
        }
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

    async fn triples(self, pair: &mut Pair, shares: &mut [&mut dyn Share]) -> Result<(), ProtocolError> {
        let batches = self.batches();
        let (sent, received) = pair.random(&batches, &batches).await?;
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

    /// Random bits, one after the other, for every element.
    async fn random<E: Ring>(
        self,
        pair: &mut Pair,
        generator: &mut Prg,
        first: bool,
    ) -> Result<RandomBits<E>, ProtocolError> {
        let (batches, (len, _)) = (self.batches(), self.widths());
        let mut made = RandomBits { planes: Vec::new(), in_ring: Vec::new() };
        if first {
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
struct RandomBits<E: Ring> {
    planes: Vec<SecretVec<u64>>,
    in_ring: Vec<SecretVec<E>>,
}

impl<E: Ring> RandomBits<E> {
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
