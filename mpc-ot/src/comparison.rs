//! Masks of comparisons, made by two parties from random OTs: r with its bits, one-time tables or products of the bits of its leaves,
//! monomials of random bits, and a random bit d with d·r.
//!
//! The choice bits of the transfers become one party's shares of r's bits, and differences of their strings the other's, so
//! that the products of these bits cost no message. The parties' roles are exchanged for the second half of the elements:
//! both directions carry about the same.
//!
//! # Security
//! Semi-honest. Every message is masked by a string or a choice bit of a random OT that nothing else uses, so that the party
//! that receives it sees uniform bits whatever the secrets are: the shares that it ends with are its own choices and sums of
//! what it sees. A simulator draws both.
//!
//! # Rounds and communication
//! One round for the random OTs, then k rounds, or k + 1 where the ring has more than k bits. For k = 32 and an element whose
//! first party is P_0: 335 bits from P_0 and 438 from P_1 in a ring of 48 bits, 367 and 518 in one of 64, and 108 random OTs,
//! 74 of which P_0 receives. Where bytes are saved ([`Variant::FewBytes`]), 172 bits from P_0 and 271 from P_1 in 48 bits, 204 and 351
//! in 64, and 118 random OTs, 81 of which P_0 receives. [`ComparisonShape::traffic`] tells all of it.

mod assemble;
mod chain;
mod ends;
mod half;
mod shape;

use alloc::vec::Vec;

use mpc_ring::Ring;
use mpc_shares::SecretVec;

use crate::{OtError, Pair};
use assemble::assemble;
use half::Half;

pub use chain::{Chain, Variant};
pub use shape::{ComparisonShape, MAX_BITS, MIN_BITS};

/// One party's shares of what comparisons of [`ComparisonShape::len`] elements consume. Zeroised on drop; not `Clone`, no
/// `Debug`.
///
/// Planes have 64 elements a word. r has k bits, cut below bit k−2 into L leaves of [`Variant::leaf_bits`].
pub struct ComparisonMasks<R: Ring> {
    /// r, uniform in k bits, in the ring.
    pub mask: SecretVec<R>,
    /// The shares that are read at a leaf of an opened value.
    pub leaves: LeafShares,
    /// XOR shares of bit k−2 of r.
    pub sign: SecretVec<u64>,
    /// Random bits and their products, of each of the [`Variant::levels`].
    pub levels: Vec<LevelShares>,
    /// XOR shares of the random bit d.
    pub flip: SecretVec<u64>,
    /// d in the ring.
    pub flip_in_ring: SecretVec<R>,
    /// Bit k−1 of r, modulo the ring's number of elements over 2^k.
    pub top: SecretVec<R>,
    /// d·r in the ring.
    pub flipped_mask: SecretVec<R>,
    /// d times bit k−1 of r, modulo the same as that.
    pub flipped_top: SecretVec<R>,
}

/// XOR shares of what is read of leaves.
pub enum LeafShares {
    /// The table v < r_i of 32 bits for each leaf i: in blocks of 64 elements, leaf after leaf, element after element, two in a word.
    Tables(SecretVec<u64>),
    /// The bits of r and their products.
    Bits {
        /// The k−2 low bits, as planes.
        bits: SecretVec<u64>,
        /// The products of each of the [`Variant::leaf_chains`], leaf after leaf. In blocks of eight words: product after product.
        products: SecretVec<u64>,
    },
}

/// XOR shares of the random bits of a level's chains, and of their products.
pub struct LevelShares {
    /// ρ, chain after chain, as planes.
    pub less_bits: SecretVec<u64>,
    /// σ, chain after chain, as planes.
    pub equal_bits: SecretVec<u64>,
    /// The products of each [`Chain`], chain after chain. In blocks of eight words: product after product.
    pub products: SecretVec<u64>,
}

impl<R: Ring> ComparisonMasks<R> {
    /// Makes shares together with the other party of `pair`, which asks for the same; `first` is true at one of the two.
    ///
    /// # Errors
    /// [`OtError::Parameter`] for a shape that cannot be in this ring; otherwise as for [`Pair::random`].
    pub async fn generate(pair: &mut Pair, shape: ComparisonShape, first: bool) -> Result<Self, OtError> {
        shape.check::<R>()?;
        let halves = shape.halves(first);
        let [sends, receives]: [Vec<_>; 2] = shape.batches(first).map(Vec::from);
        let (sent, received) = pair.random(&sends, &receives).await?;
        let (mut sent, mut received) = (sent.into_iter(), received.into_iter());
        let mut made = Vec::with_capacity(2);
        for (len, role) in halves {
            made.push(Half::<R>::new(shape, len, role, &mut sent, &mut received, pair.generator())?);
        }
        for round in 1..=shape.rounds() {
            let mut message = Vec::with_capacity(shape.bytes(first, round));
            for half in &mut made {
                half.send(round, &mut message)?;
            }
            debug_assert_eq!(message.len(), shape.bytes(first, round));
            let mut answer = alloc::vec![0; shape.bytes(!first, round)];
            pair.exchange(&message, &mut answer).await?;
            let mut answer = &answer[..];
            for half in &mut made {
                half.receive(round, &mut answer)?;
            }
        }
        Ok(assemble(shape, made))
    }
}
