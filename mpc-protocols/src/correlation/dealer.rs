//! The dealer: fills a plan with correlations, knowing neither inputs nor weights.

use alloc::vec::Vec;

use mpc_ring::Ring;
use mpc_shares::{Prg, Seed, check_parties};
use mpc_transport::Link;
use zeroize::Zeroizing;

use super::dealing::{Corrections, Dealing, SessionSeeds, send};
use super::kinds::kind;
use super::layout::SEEDS_BYTES;
use super::request::Request;
use crate::ProtocolError;
use crate::bilinear::FixedRight;

/// The trusted dealer of a group of parties: it colludes with none of them.
///
/// It keeps the masks of a model's weights, set up once, and deals each session with fresh seeds. Its memory is bounded
/// by the weight masks and the largest single correlation, not by the plan.
#[derive(Debug)]
pub struct Dealer<R: Ring> {
    parties: usize,
    generator: Prg,
    weight_masks: Vec<FixedRight<R>>,
}

impl<R: Ring> Dealer<R> {
    /// A dealer for `parties` parties, with randomness from `seed`.
    ///
    /// # Errors
    /// [`ProtocolError::Share`] for an unsupported number of parties.
    pub fn new(parties: usize, seed: Seed) -> Result<Self, ProtocolError> {
        check_parties(parties)?;
        Ok(Self { parties, generator: Prg::new(seed), weight_masks: Vec::new() })
    }

    /// A fresh seed for [`deal_from`](Self::deal_from).
    pub fn seed(&mut self) -> Seed {
        self.generator.seed()
    }

    /// Deals one session: fresh seeds to every party, then, correlation by correlation, the corrections to the last.
    ///
    /// `links[i]` leads to party i. `progress` is called after each correlation with its index.
    ///
    /// # Security
    /// Every session has seeds of its own; a party sees its seeds alone. Weight masks requested here are kept and may be
    /// used by this and later sessions; those of a session that fails are forgotten.
    ///
    /// # Rounds and communication
    /// One-way: 64 bytes to each party and [`Request::traffic`] to the last.
    ///
    /// # Errors
    /// [`ProtocolError::DealerLink`], [`ProtocolError::UnknownMask`].
    pub async fn deal(
        &mut self,
        links: &mut [Link],
        plan: &[Request],
        progress: &mut (dyn FnMut(usize) + Send),
    ) -> Result<(), ProtocolError> {
        let seed = self.seed();
        self.deal_from(links, plan, &seed, progress).await
    }

    /// As [`deal`](Self::deal), where everything that no mask of weights is part of follows from a [`seed`](Self::seed): it may
    /// be told to all parties when they have destroyed what was dealt, for an [audit](crate::audit).
    ///
    /// # Security
    /// A seed serves one session.
    ///
    /// # Errors
    /// As for [`deal`](Self::deal).
    pub async fn deal_from(
        &mut self,
        links: &mut [Link],
        plan: &[Request],
        seed: &Seed,
        progress: &mut (dyn FnMut(usize) + Send),
    ) -> Result<(), ProtocolError> {
        crate::error::check_len("dealer links", self.parties, links.len())?;
        let known = self.weight_masks.len();
        let dealt = self.deal_session(links, plan, seed, progress).await;
        if dealt.is_err() {
            self.weight_masks.truncate(known);
        }
        dealt
    }

    async fn deal_session(
        &mut self,
        links: &mut [Link],
        plan: &[Request],
        seed: &Seed,
        progress: &mut (dyn FnMut(usize) + Send),
    ) -> Result<(), ProtocolError> {
        let seeds = SessionSeeds::from_one(seed, self.parties);
        let mut apart = Vec::with_capacity(self.parties);
        let mut frame = Zeroizing::new([0; SEEDS_BYTES]);
        for (party, (link, seed)) in links.iter_mut().zip(&seeds.parties).enumerate() {
            let beside = self.generator.seed();
            frame[..Seed::BYTES].copy_from_slice(seed.expose());
            frame[Seed::BYTES..].copy_from_slice(beside.expose());
            send(link, party, &frame[..]).await?;
            apart.push(Prg::new(beside));
        }
        // The last party is sent the corrections of it.
        apart.pop();
        let Some(link) = links.last_mut() else { return Ok(()) };
        let mut dealing = Dealing::new(seeds, apart, Corrections::Sent(link), &mut self.weight_masks);
        deal_all(&mut dealing, plan, progress).await
    }
}

/// Deals a plan; `progress` is called after each correlation with its index.
pub(crate) async fn deal_all<R: Ring>(
    dealing: &mut Dealing<'_, R>,
    plan: &[Request],
    progress: &mut (dyn FnMut(usize) + Send),
) -> Result<(), ProtocolError> {
    for (index, request) in plan.iter().enumerate() {
        dealing.deal(&*kind(request)).await?;
        progress(index);
    }
    Ok(())
}
