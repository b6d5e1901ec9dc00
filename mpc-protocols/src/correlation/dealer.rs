//! The dealer: fills a plan with correlations, knowing neither inputs nor weights.

use alloc::vec::Vec;

use mpc_ring::Ring;
use mpc_shares::{Prg, SecretVec, Seed, check_parties};
use mpc_transport::Link;

use super::dealing::{Dealing, send};
use super::kinds::kind;
use super::layout::CORRECTION_FRAME_BYTES;
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

    /// Deals one session: a fresh seed to every party, then, correlation by correlation, the corrections to the last.
    ///
    /// `links[i]` leads to party i. `progress` is called after each correlation with its index.
    ///
    /// # Security
    /// Every session has seeds of its own; a party sees its seed alone. Weight masks requested here are kept and may be
    /// used by this and later sessions; those of a session that fails are forgotten.
    ///
    /// # Rounds and communication
    /// One-way: 32 bytes to each party and [`Request::traffic`] to the last.
    ///
    /// # Errors
    /// [`ProtocolError::DealerLink`], [`ProtocolError::UnknownMask`].
    pub async fn deal(
        &mut self,
        links: &mut [Link],
        plan: &[Request],
        progress: impl FnMut(usize) + Send,
    ) -> Result<(), ProtocolError> {
        crate::error::check_len("dealer links", self.parties, links.len())?;
        let known = self.weight_masks.len();
        let dealt = self.deal_session(links, plan, progress).await;
        if dealt.is_err() {
            self.weight_masks.truncate(known);
        }
        dealt
    }

    async fn deal_session(
        &mut self,
        links: &mut [Link],
        plan: &[Request],
        mut progress: impl FnMut(usize) + Send,
    ) -> Result<(), ProtocolError> {
        let mut generators = Vec::with_capacity(self.parties);
        for (party, link) in links.iter_mut().enumerate() {
            let seed = self.generator.seed();
            send(link, party, seed.expose()).await?;
            generators.push(Prg::new(seed));
        }
        let own = Prg::new(self.generator.seed());
        let Some(link) = links.last_mut() else { return Ok(()) };
        let mut dealing = Dealing {
            generators,
            own,
            link,
            frame: SecretVec::zeros(CORRECTION_FRAME_BYTES),
            weight_masks: &mut self.weight_masks,
            input_mask: SecretVec::zeros(0),
            fields: Vec::new().into_iter(),
        };
        for (index, request) in plan.iter().enumerate() {
            dealing.deal(&*kind(request)).await?;
            progress(index);
        }
        Ok(())
    }
}
