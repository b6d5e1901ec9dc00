//! The random bits ρ_i and σ_j and their products.

use alloc::vec::Vec;

use mpc_ring::packing::words_for;
use mpc_shares::{Prg, SecretVec};
use rand_core::Rng;

use crate::OtError;
use crate::comparison::chain::Chain;
use crate::comparison::ends::{End, Ends};
use crate::cross::{Corrected, Cross};
use crate::planes::joined;

/// One party's XOR shares of a chain, as planes.
pub(in crate::comparison) struct Monomials {
    /// ρ_0, ρ_1, …
    pub(in crate::comparison) less: Vec<SecretVec<u64>>,
    /// The products of σ by their set; that of the empty set has no words.
    pub(in crate::comparison) equal: Vec<SecretVec<u64>>,
    /// ρ_i times the products of σ above it, by their set from the lowest of these on.
    pub(in crate::comparison) with_less: Vec<Vec<SecretVec<u64>>>,
}

/// A random bit that both parties' choice bits share, and the transfers of its products.
struct Variable {
    bit: SecretVec<u64>,
    ends: Option<(End, End)>,
    cross: Option<Cross>,
}

impl Variable {
    /// The bit is the choice bit of the transfer that this party receives.
    fn of_ends(forth: End, back: End) -> Self {
        let (received, sent) = forth.pair(back);
        let bit = SecretVec::copy_of(received.choices());
        Self { bit, ends: Some((End::Received(received), End::Sent(sent))), cross: None }
    }

    /// A bit that nothing is multiplied with.
    fn alone(len: usize, generator: &mut Prg) -> Self {
        let mut bit = SecretVec::zeros(words_for(len));
        bit.iter_mut().for_each(|word| *word = generator.next_u64());
        if let (Some(last), used @ 1..) = (bit.last_mut(), len % 64) {
            *last &= (1 << used) - 1;
        }
        Self { bit, ends: None, cross: None }
    }

    fn send(&mut self, planes: SecretVec<u64>, message: &mut Vec<u8>) -> Result<(), OtError> {
        let Some((forth, back)) = self.ends.take() else { return Ok(()) };
        let (received, sent) = forth.pair(back);
        let cross = Cross::new(&self.bit, planes, received, sent, Corrected::Nobody);
        cross.send(message)?;
        self.cross = Some(cross);
        Ok(())
    }

    fn receive(&mut self, count: usize, message: &mut &[u8]) -> Result<Vec<SecretVec<u64>>, OtError> {
        let Some(cross) = self.cross.take() else { return Ok(Vec::new()) };
        let products = cross.receive(message)?;
        let words = self.bit.len();
        Ok((0..count).map(|index| SecretVec::copy_of(&products[index * words..][..words])).collect())
    }
}

/// The products of one chain in the making.
pub(super) struct MonomialMaker {
    chain: Chain,
    /// From the highest σ to the lowest: so the sets above a part come first.
    equal: Vec<Variable>,
    less: Vec<Variable>,
    /// Each subset of the σ so far, in the order of `equal`, and its product.
    sets: Vec<(usize, SecretVec<u64>)>,
    with_less: Vec<Vec<SecretVec<u64>>>,
}

impl MonomialMaker {
    pub(super) fn new(chain: Chain, len: usize, ends: &mut Ends<'_>, generator: &mut Prg) -> Self {
        let mut variable = |multiplied: bool, generator: &mut Prg| {
            if multiplied { Variable::of_ends(ends.forth(), ends.back()) } else { Variable::alone(len, generator) }
        };
        let equal: Vec<_> = (0..chain.equal).map(|place| variable(place > 0, generator)).collect();
        let less = (0..chain.less).map(|part| variable(chain.sets_above(part) > 0, generator)).collect();
        let sets = equal.first().map(|first| (1 << (chain.equal - 1), SecretVec::copy_of(&first.bit)));
        Self { chain, equal, less, sets: sets.into_iter().collect(), with_less: Vec::new() }
    }

    /// The products of the first `count` subsets, as planes.
    fn planes(&self, count: usize) -> SecretVec<u64> {
        joined(self.sets[..count].iter().map(|(_, plane)| &plane[..]))
    }

    pub(super) fn send(&mut self, round: usize, message: &mut Vec<u8>) -> Result<(), OtError> {
        if round < self.chain.equal {
            let planes = self.planes(self.sets.len());
            self.equal[round].send(planes, message)?;
        } else if round == self.chain.equal {
            for part in 0..self.chain.less - 1 {
                let planes = self.planes(self.chain.sets_above(part));
                self.less[part].send(planes, message)?;
            }
        }
        Ok(())
    }

    pub(super) fn receive(&mut self, round: usize, message: &mut &[u8]) -> Result<(), OtError> {
        let Chain { less, equal } = self.chain;
        if round < equal {
            let variable = 1 << (equal - 1 - round);
            let products = self.equal[round].receive(self.sets.len(), message)?;
            let sets: Vec<_> = self.sets.iter().map(|(set, _)| set | variable).collect();
            self.sets.extend(sets.into_iter().zip(products));
            self.sets.push((variable, SecretVec::copy_of(&self.equal[round].bit)));
        } else if round == equal {
            for part in 0..less - 1 {
                let count = self.chain.sets_above(part);
                let products = self.less[part].receive(count, message)?;
                let mut by_set: Vec<_> = (0..=count).map(|_| SecretVec::zeros(0)).collect();
                for ((set, _), product) in self.sets.iter().zip(products) {
                    by_set[set >> self.chain.above(part)] = product;
                }
                self.with_less.push(by_set);
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Monomials {
        let mut equal: Vec<_> = (0..=self.sets.len()).map(|_| SecretVec::zeros(0)).collect();
        for (set, product) in self.sets {
            equal[set] = product;
        }
        let less = self.less.into_iter().map(|variable| variable.bit).collect();
        Monomials { less, equal, with_less: self.with_less }
    }
}
