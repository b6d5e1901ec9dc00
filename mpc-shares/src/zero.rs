//! Pseudo-random sharings of zero, without communication.

use alloc::vec::Vec;
use mpc_ring::Ring;

use crate::{ArithmeticShares, BinaryShares, Prg, SecretVec, Seed, ShareError, check_parties};

/// One party's side of pseudo-random zero-sharings: each pair of parties holds a common seed, so that fresh shares of
/// zero cost nothing to make. Against n−1 colluding parties every *pair* needs a seed; a ring of neighbours would not do.
///
/// Source: Cramer, Damgård, Ishai, "Share conversion, pseudorandom secret-sharing" (TCC 2005), for n-out-of-n.
#[derive(Debug)]
pub struct ZeroSharing {
    party: usize,
    with_peers: Vec<Option<Prg>>,
}

impl ZeroSharing {
    /// From the seeds that this party has in common with each other one, in the order of their index, own left out.
    ///
    /// # Errors
    /// [`ShareError::Parties`] if the seeds or the index do not fit a supported number of parties.
    pub fn new(party: usize, seeds: Vec<Seed>) -> Result<Self, ShareError> {
        let parties = seeds.len() + 1;
        check_parties(parties)?;
        if party >= parties {
            return Err(ShareError::Parties { parties });
        }
        let mut with_peers: Vec<_> = seeds.into_iter().map(|seed| Some(Prg::new(seed))).collect();
        with_peers.insert(party, None);
        Ok(Self { party, with_peers })
    }

    /// Fresh arithmetic shares of zeros. Every party must ask for the same shapes in the same order.
    ///
    /// # Errors
    /// [`ShareError::Length`] if the shape overflows.
    pub fn arithmetic<R: Ring>(&mut self, shape: &[usize]) -> Result<ArithmeticShares<R>, ShareError> {
        let mut sum = ArithmeticShares::<R>::zeros(shape)?;
        let mut draw = SecretVec::zeros(sum.len());
        for (peer, generator) in self.with_peers.iter_mut().enumerate() {
            let Some(generator) = generator else { continue };
            R::fill_random(&mut draw, generator);
            // The two of a pair take opposite signs, so that the sum over all parties cancels.
            let negative = peer < self.party;
            for (x, &y) in sum.elements_mut().iter_mut().zip(draw.iter()) {
                *x = if negative { x.wrapping_sub(y) } else { x.wrapping_add(y) };
            }
        }
        Ok(sum)
    }

    /// Fresh XOR shares of `len` zeros of `width` bits.
    ///
    /// # Errors
    /// There is none at present; the length is checked by [`BinaryShares::new`].
    pub fn binary(&mut self, width: u32, len: usize) -> Result<BinaryShares, ShareError> {
        let mut sum = BinaryShares::zeros(width, len);
        for generator in self.with_peers.iter_mut().flatten() {
            let mut words = alloc::vec![0; sum.words().len()];
            u64::fill_random(&mut words, generator);
            sum.xor(&BinaryShares::new(width, len, words)?)?;
        }
        Ok(sum)
    }
}
