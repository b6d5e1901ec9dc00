//! An audit of the dealer: it commits to the seeds of several sessions before it deals them, the parties draw some of these
//! together when all are delivered, destroy them, and deal them again from their seeds. A dealer that dealt one wrong session
//! of N is found out with probability Q/N where Q are drawn.
//!
//! The masks of weights outlive a session, so nothing that follows from them may become known. Their products' shares expand
//! from seeds apart ([`Origin::DealtApart`]), which nobody tells: of C = A ∗ B the parties open Σ (A ∗ B_i − C_i), which is 0.
//!
//! # Security
//! Seeds that are told and sums that are opened say nothing about other sessions where the dealer dealt rightly. All else follows from a seed of 256
//! bits that serves one session. Of each product C_i is uniform and known to party i alone for i < n − 1, so its A ∗ B_i − C_i is
//! uniform; that of the last party is what they lack of 0. A dealer that dealt wrongly shows a difference that it knows.
//! It finds wrong correlations, and not a dealer that tells a party what it knows.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use mpc_ring::{Ring, packing};
use mpc_shares::{Prg, SecretVec, Seed};
use mpc_transport::{Connection, FrameSource, Link, Traffic, TransportError};
use rand_core::Rng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::bilinear::FixedRight;
use crate::correlation::{
    CORRECTION_FRAME_BYTES, Compare, Corrections, Dealing, Field, Origin, SEEDS_BYTES, SessionSeeds, deal_all,
    generators,
};
use crate::fixed_weights::FixedWeights;
use crate::open::open_all;
use crate::{Party, Place, ProtocolError, Request};

/// Bytes of a commitment and of the randomness that a draw takes from each party.
const HASH_BYTES: usize = 32;
/// Places are sent in so many bytes each.
const PLACE_BYTES: usize = 4;

/// The dealer's commitment to the seed of a session: SHA-256 of what it is for and the seed, which has 256 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commitment([u8; HASH_BYTES]);

impl Commitment {
    /// To the seed of session number `place` of those that are committed to in the session of that identity.
    #[must_use]
    pub fn to(seed: &Seed, session: [u8; 16], place: u32) -> Self {
        let digest = Sha256::new().chain_update(b"mpc: seed of dealt correlations\0");
        let digest = digest.chain_update(session).chain_update(place.to_le_bytes());
        Self(digest.chain_update(seed.expose()).finalize().into())
    }
}

/// A digest of commitments, for the parties to compare that all have the same.
#[must_use]
pub fn digest(commitments: &[Commitment]) -> [u8; HASH_BYTES] {
    let digest = commitments.iter().fold(Sha256::new(), |digest, commitment| digest.chain_update(commitment.0));
    digest.finalize().into()
}

/// Sends commitments over the dealer's links to all parties.
///
/// # Rounds and communication
/// One-way: 32 bytes a commitment to each.
///
/// # Errors
/// [`ProtocolError::DealerLink`].
pub async fn send_commitments(links: &mut [Link], commitments: &[Commitment]) -> Result<(), ProtocolError> {
    let bytes: Vec<_> = commitments.iter().flat_map(|commitment| commitment.0).collect();
    send_to_all(links, &bytes).await
}

/// Receives `count` commitments from the dealer.
///
/// # Errors
/// [`ProtocolError::LinkToDealer`].
pub async fn receive_commitments(dealer: &mut Link, count: u32) -> Result<Vec<Commitment>, ProtocolError> {
    let received = receive(dealer, count as usize * HASH_BYTES).await;
    let bytes = received.map_err(|source| ProtocolError::LinkToDealer { source })?;
    Ok(bytes.as_chunks().0.iter().copied().map(Commitment).collect())
}

/// Draws `audited` of `count` places together, in ascending order: each set with the same probability, if one party chooses at
/// random. `seed` is this party's randomness for it.
///
/// # Rounds and communication
/// 2 rounds of 32 bytes to each other party ([`draw_traffic`]).
///
/// # Errors
/// [`ProtocolError::Transport`]; [`ProtocolError::Draw`] names a party that changed its mind.
pub async fn draw(party: &mut Party, seed: Seed, count: u32, audited: u32) -> Result<Vec<u32>, ProtocolError> {
    let own = seed.expose();
    let committed = exchange(party, &commitment_of(party.index(), own)).await?;
    let chosen = exchange(party, own).await?;
    let mut joint = [0; HASH_BYTES];
    for (index, (committed, chosen)) in committed.iter().zip(&chosen).enumerate() {
        if commitment_of(index, chosen) != *committed {
            return Err(ProtocolError::Draw { party: index });
        }
        joint.iter_mut().zip(chosen).for_each(|(joint, byte)| *joint ^= byte);
    }
    Ok(places(&mut Prg::new(Seed::from_bytes(joint)), count, audited.min(count)))
}

/// The traffic of each party in [`draw`].
#[must_use]
pub fn draw_traffic(parties: usize) -> Traffic {
    Traffic::exchange(HASH_BYTES as u64, parties) + Traffic::exchange(HASH_BYTES as u64, parties)
}

fn commitment_of(party: usize, chosen: &[u8; HASH_BYTES]) -> [u8; HASH_BYTES] {
    let digest = Sha256::new().chain_update(b"mpc: part of a draw\0");
    digest.chain_update((party as u32).to_le_bytes()).chain_update(chosen).finalize().into()
}

/// Sends 32 bytes to all others; those of each party, by index.
async fn exchange(party: &mut Party, own: &[u8; HASH_BYTES]) -> Result<Vec<[u8; HASH_BYTES]>, ProtocolError> {
    let index = party.index();
    party.message(HASH_BYTES).copy_from_slice(own);
    let (_, others) = party.exchange().await?;
    let mut all: Vec<_> = others.flat_map(|other| other.as_chunks().0.iter().copied()).collect();
    all.insert(index, *own);
    Ok(all)
}

/// So many of `count` places, in ascending order: the first places of a shuffle (Fisher and Yates).
fn places(generator: &mut Prg, count: u32, drawn: u32) -> Vec<u32> {
    let mut all: Vec<u32> = (0..count).collect();
    for place in 0..drawn {
        let other = place + below(generator, count - place);
        all.swap(place as usize, other as usize);
    }
    all.truncate(drawn as usize);
    all.sort_unstable();
    all
}

/// A uniform number below `end`.
fn below(generator: &mut Prg, end: u32) -> u32 {
    let end = u64::from(end);
    loop {
        let random = u64::from(generator.next_u32());
        // Those of the last, incomplete run of multiples are drawn again.
        if random < (1 << 32) / end * end {
            return (random % end) as u32;
        }
    }
}

/// Asks the dealer for the seeds of the places that were drawn, and checks them against its commitments.
///
/// # Security
/// The correlations of these places must be gone from wherever they were kept, and serve nothing any more.
///
/// # Rounds and communication
/// 1 round with the dealer: 4 bytes a place to it, 32 back.
///
/// # Errors
/// [`ProtocolError::LinkToDealer`]; [`ProtocolError::WronglyDealt`] for a seed that the dealer had not committed to.
pub async fn ask_for_seeds(
    dealer: &mut Link,
    session: [u8; 16],
    commitments: &[Commitment],
    places: &[u32],
) -> Result<Vec<Seed>, ProtocolError> {
    let asked: Vec<_> = places.iter().flat_map(|place| place.to_le_bytes()).collect();
    send(dealer, &asked).await.map_err(|source| ProtocolError::LinkToDealer { source })?;
    let received = receive(dealer, places.len() * Seed::BYTES).await;
    let bytes = received.map_err(|source| ProtocolError::LinkToDealer { source })?;
    let mut seeds = Vec::with_capacity(places.len());
    for (&place, bytes) in places.iter().zip(bytes.as_chunks().0) {
        let seed = Seed::copy_of(bytes);
        if commitments.get(place as usize) != Some(&Commitment::to(&seed, session, place)) {
            return Err(ProtocolError::WronglyDealt { place });
        }
        seeds.push(seed);
    }
    Ok(seeds)
}

/// Tells all parties the seeds of the `audited` places for which all of them ask.
///
/// # Security
/// The dealer tells no more seeds than were agreed on, and none for which not all parties ask.
///
/// # Errors
/// [`ProtocolError::DealerLink`]; [`ProtocolError::Draw`] names a party that asks for others than the first, or for what cannot be.
pub async fn tell_seeds(links: &mut [Link], seeds: &[Seed], audited: u32) -> Result<(), ProtocolError> {
    let mut first = None;
    for (party, link) in links.iter_mut().enumerate() {
        let asked = receive(link, audited as usize * PLACE_BYTES).await;
        let asked = asked.map_err(|source| ProtocolError::DealerLink { party, source })?;
        if *first.get_or_insert_with(|| asked.clone()) != asked {
            return Err(ProtocolError::Draw { party });
        }
    }
    let asked = first.unwrap_or_default();
    let places: Vec<_> = asked.as_chunks().0.iter().map(|&place| u32::from_le_bytes(place)).collect();
    let told = places.iter().map(|&place| seeds.get(place as usize));
    let told = told.collect::<Option<Vec<_>>>().filter(|_| places.is_sorted_by(|one, other| one < other));
    let told = told.ok_or(ProtocolError::Draw { party: 0 })?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(told.len() * Seed::BYTES));
    told.into_iter().for_each(|seed| bytes.extend_from_slice(seed.expose()));
    send_to_all(links, &bytes).await
}

async fn send_to_all(links: &mut [Link], bytes: &[u8]) -> Result<(), ProtocolError> {
    for (party, link) in links.iter_mut().enumerate() {
        send(link, bytes).await.map_err(|source| ProtocolError::DealerLink { party, source })?;
    }
    Ok(())
}

/// Sends bytes in as few frames as they take.
async fn send(link: &mut Link, bytes: &[u8]) -> Result<(), TransportError> {
    for frame in bytes.chunks(CORRECTION_FRAME_BYTES) {
        link.send(frame).await?;
    }
    Ok(())
}

/// Receives what [`send`] has sent.
async fn receive(link: &mut Link, len: usize) -> Result<Zeroizing<Vec<u8>>, TransportError> {
    let mut bytes = Zeroizing::new(vec![0; len]);
    for frame in bytes.chunks_mut(CORRECTION_FRAME_BYTES) {
        link.receive(frame).await?;
    }
    Ok(bytes)
}

/// One party's means to audit what was dealt for its model.
#[derive(Debug)]
pub struct Auditor<R: Ring> {
    place: Place,
    /// This party's shares of the weights' masks, in a sharing that is not the dealer's, of the same sums.
    masks: Vec<FixedRight<R>>,
}

impl<R: Ring> Auditor<R> {
    /// Of the party of that place, for a model whose loaded weights are given by the indices of their masks.
    #[must_use]
    pub fn new(place: Place, weights: &[FixedWeights<R>]) -> Self {
        Self { place, masks: weights.iter().map(|weights| weights.mask_share(place)).collect() }
    }

    /// Deals session `number` again from its seed, compares it with what was kept of it, and hears from the other parties whether
    /// it was right.
    ///
    /// # Rounds and communication
    /// 1 round; the products of weights in the bits in which they were dealt, and one byte, to each other party
    /// ([`audit_traffic`]).
    ///
    /// # Errors
    /// [`ProtocolError::WronglyDealt`] at all parties if one has found a difference; [`ProtocolError::Transport`];
    /// those of a plan that cannot be dealt.
    pub async fn audit(
        &mut self,
        party: &mut Party,
        plan: &[Request],
        (number, seed): (u32, Seed),
        kept: &mut dyn FrameSource,
    ) -> Result<(), ProtocolError> {
        let comparison = self.deal_again(plan, &seed, kept).await?;
        comparison.conclude::<R>(party, number).await
    }

    /// Walks through the plan as the dealer does, with this party's shares of the weights' masks in place of the masks.
    async fn deal_again<'k>(
        &mut self,
        plan: &[Request],
        seed: &Seed,
        kept: &'k mut dyn FrameSource,
    ) -> Result<Comparison<'k>, ProtocolError> {
        let Place { party, parties } = self.place;
        let mut seeds = Zeroizing::new([0; SEEDS_BYTES]);
        kept.read(&mut seeds[..]).map_err(|source| TransportError::Recording { source })?;
        let [_, own_apart] = generators(&seeds);
        let of_session = SessionSeeds::from_one(seed, parties);
        let differs = of_session.parties.get(party).is_none_or(|seed| seed.expose() != &seeds[..Seed::BYTES]);
        let is_last = self.place.is_last();
        let mut comparison = Comparison { differs, kept: is_last.then_some(kept), ..Comparison::default() };
        let apart = if is_last { Vec::new() } else { [own_apart].into() };
        let corrections = Corrections::Compared(&mut comparison);
        let mut dealing = Dealing::new(of_session, apart, corrections, &mut self.masks);
        deal_all(&mut dealing, plan, &mut |_| ()).await?;
        Ok(comparison)
    }
}

/// A session that was dealt again, beside what was kept of it.
#[derive(Default)]
struct Comparison<'k> {
    differs: bool,
    /// At the last party, the corrections that the dealer sent.
    kept: Option<&'k mut dyn FrameSource>,
    products: Vec<Product>,
}

/// A part of this party's A ∗ B_i − C_i, packed.
struct Product {
    bits: u32,
    len: usize,
    bytes: SecretVec<u8>,
    /// At the last party, C_i.
    kept: Option<SecretVec<u8>>,
}

impl Compare for Comparison<'_> {
    fn take(&mut self, field: &Field, len: usize, frame: &[u8]) -> Result<(), ProtocolError> {
        let kept = match &mut self.kept {
            Some(source) => {
                let mut kept = SecretVec::zeros(frame.len());
                source.read(&mut kept).map_err(|source| TransportError::Recording { source })?;
                Some(kept)
            }
            None => None,
        };
        if field.origin == Origin::DealtApart {
            self.products.push(Product { bits: field.bits, len, bytes: SecretVec::copy_of(frame), kept });
        } else {
            self.differs |= kept.is_some_and(|kept| *kept != *frame);
        }
        Ok(())
    }
}

impl Product {
    /// As [`open_all`] takes it.
    fn run<R: Ring>(&self) -> (usize, u32, impl Fn(Range<usize>, &mut [R]) + Send + Sync) {
        (self.len, self.bits, move |range, block| self.fill(range, block))
    }

    /// This party's part of what is opened.
    fn fill<R: Ring>(&self, range: Range<usize>, block: &mut [R]) {
        let unpack = |bytes: &[u8], block: &mut [R]| {
            let from = packing::packed_len(range.start, self.bits);
            packing::unpack(&bytes[from..][..packing::packed_len(block.len(), self.bits)], self.bits, block);
        };
        unpack(&self.bytes, block);
        if let Some(kept) = &self.kept {
            let mut sent = SecretVec::zeros(block.len());
            unpack(kept, &mut sent);
            block.iter_mut().zip(sent.iter()).for_each(|(x, &y)| *x = x.wrapping_sub(y));
        }
    }
}

impl Comparison<'_> {
    /// Opens the products' differences, and how many parties have found another one.
    async fn conclude<R: Ring>(mut self, party: &mut Party, place: u32) -> Result<(), ProtocolError> {
        self.differs |= self.kept.as_ref().is_some_and(|kept| kept.remaining() > 0);
        let found =
            Product { bits: u8::BITS, len: 1, bytes: SecretVec::copy_of(&[u8::from(self.differs)]), kept: None };
        self.products.push(found);
        let opened = open_all(party, self.products.iter().map(Product::run::<R>).collect()).await?;
        if opened.iter().any(|values| values.iter().any(|&value| value != R::ZERO)) {
            return Err(ProtocolError::WronglyDealt { place });
        }
        Ok(())
    }
}

/// The traffic of each party in [`Auditor::audit`] of a session of a plan in ring `R`.
#[must_use]
pub fn audit_traffic<R: Ring>(plan: &[Request], parties: usize) -> Traffic {
    let layouts = plan.iter().filter_map(|request| request.layout::<R>().ok());
    let frames = layouts.flat_map(|layout| {
        let apart: Vec<_> =
            layout.fields().iter().filter(|field| field.origin == Origin::DealtApart).copied().collect();
        apart.into_iter().flat_map(|field| field.frames().map(move |part| field.packed_bytes(part.len())))
    });
    Traffic::exchange(frames.sum::<usize>() as u64 + 1, parties)
}
