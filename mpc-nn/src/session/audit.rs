//! The audit of a dealer in a session whose inferences are recorded.
//!
//! The dealer commits to the seeds of all of them before it deals. When all are recorded, the parties draw some of them
//! together, take these from wherever they are kept, for ever, and have the dealer tell their seeds; each deals them again
//! itself. For how it is done, and what it says of others, see [`mpc_protocols::audit`].

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use mpc_protocols::ProtocolError;
use mpc_protocols::audit::{self, Auditor, Commitment};
use mpc_ring::Ring;
use mpc_shares::Seed;
use mpc_transport::{FrameSource, Phase};

use super::{DealerSession, PartySession, in_dealing};
use crate::encoding::hex;
use crate::error::InferenceError;
use crate::recording;
use crate::run::labels;

/// A party's audit of the inferences that it records in a session: all that the dealer has committed to.
#[derive(Debug)]
pub struct Audit<R: Ring> {
    commitments: Vec<Commitment>,
    auditor: Auditor<R>,
}

/// The seeds of inferences to which a dealer has committed.
#[derive(Debug)]
pub struct CommittedSeeds(Vec<Seed>);

impl<R: Ring> PartySession<'_, R> {
    /// Receives the dealer's commitments to the seeds of the next `count` inferences, for which it must call
    /// [`DealerSession::commit`], and compares them with the other parties'.
    ///
    /// # Rounds and communication
    /// 32 bytes an inference from the dealer; one comparison with the other parties.
    ///
    /// # Errors
    /// [`InferenceError`]; [`InferenceError::Role`] in a session without a dealer.
    pub async fn begin_audit(&mut self, count: u32) -> Result<Audit<R>, InferenceError> {
        let link = self.maker.dealer()?;
        link.begin(Phase::Setup, labels::AUDIT);
        let commitments = audit::receive_commitments(link, count).await.map_err(over_link)?;
        let digest = hex(&audit::digest(&commitments));
        self.agree(&[("commitments of the dealer", &digest)]).await?;
        Ok(Audit { commitments, auditor: Auditor::new(self.party.place(), self.model.loaded_weights()) })
    }

    /// Draws with the other parties which of the inferences are audited, by their place from 0 on, in ascending order. All of them
    /// must be recorded at every party.
    ///
    /// # Rounds and communication
    /// [`audit::draw_traffic`].
    ///
    /// # Errors
    /// [`InferenceError`].
    pub async fn draw_audited(&mut self, audit: &Audit<R>, audited: u32) -> Result<Vec<u32>, InferenceError> {
        self.party.transport_mut().begin(Phase::Setup, labels::AUDIT);
        let (seed, count) = (self.generator.seed(), audit.commitments.len() as u32);
        audit::draw(&mut self.party, seed, count, audited).await.map_err(in_audit)
    }

    /// Has the dealer, which must call [`DealerSession::tell_seeds`], tell the seeds of what was drawn.
    ///
    /// # Security
    /// The recordings at these places must be gone from wherever they were kept, and serve nothing but the audit.
    ///
    /// # Errors
    /// [`InferenceError`]; a step with [`ProtocolError::WronglyDealt`] where the dealer had committed to another seed.
    pub async fn ask_for_seeds(&mut self, audit: &Audit<R>, places: &[u32]) -> Result<Vec<Seed>, InferenceError> {
        let link = self.maker.dealer()?;
        link.begin(Phase::Setup, labels::AUDIT);
        audit::ask_for_seeds(link, self.session, &audit.commitments, places).await.map_err(over_link)
    }

    /// Deals the inference of a place again, and compares it with what was recorded; with the other parties, which hear of any
    /// difference.
    ///
    /// # Rounds and communication
    /// [`audit::audit_traffic`].
    ///
    /// # Errors
    /// [`InferenceError`]; a step with [`ProtocolError::WronglyDealt`] where a party has found a difference.
    pub async fn audit(
        &mut self,
        audit: &mut Audit<R>,
        (place, seed): (u32, Seed),
        mut recording: impl FrameSource,
    ) -> Result<(), InferenceError> {
        recording::check(self.plan, self.party.index(), &mut recording)?;
        let requests = self.plan.requests();
        let audited = audit.auditor.audit(&mut self.party, &requests, (place, seed), &mut recording).await;
        audited.map_err(in_audit)
    }
}

impl<R: Ring> DealerSession<'_, R> {
    /// Draws the seeds of the next `count` inferences and commits to them, before any of them is dealt.
    ///
    /// # Rounds and communication
    /// One-way: 32 bytes an inference to each party.
    ///
    /// # Errors
    /// [`InferenceError::Link`] names the party whose link failed.
    pub async fn commit(&mut self, count: u32) -> Result<CommittedSeeds, InferenceError> {
        let seeds: Vec<_> = (0..count).map(|_| self.dealer.seed()).collect();
        let commitments: Vec<_> =
            (0..).zip(&seeds).map(|(place, seed)| Commitment::to(seed, self.session, place)).collect();
        self.links.iter_mut().for_each(|link| link.begin(Phase::Setup, labels::AUDIT));
        audit::send_commitments(&mut self.links, &commitments).await.map_err(in_dealing)?;
        Ok(CommittedSeeds(seeds))
    }

    /// As [`deal`](Self::deal), from the seed of a place to which the dealer has committed. Each place is dealt once.
    ///
    /// # Errors
    /// As for [`deal`](Self::deal); [`InferenceError::Role`] for a place beyond those.
    pub async fn deal_committed(
        &mut self,
        CommittedSeeds(seeds): &CommittedSeeds,
        place: u32,
        progress: &mut (dyn FnMut(usize) + Send),
    ) -> Result<(), InferenceError> {
        let beyond = InferenceError::Role { reason: "the dealer has not committed to so many inferences" };
        let seed = seeds.get(place as usize).ok_or(beyond)?;
        let dealt = self.dealer.deal_from(&mut self.links, &self.plan.requests(), seed, progress).await;
        dealt.map_err(in_dealing)
    }

    /// Tells all parties the seeds of the `audited` places for which all of them ask.
    ///
    /// # Errors
    /// [`InferenceError::Link`]; a step with [`ProtocolError::Draw`] where parties ask for different ones.
    pub async fn tell_seeds(
        &mut self,
        CommittedSeeds(seeds): CommittedSeeds,
        audited: u32,
    ) -> Result<(), InferenceError> {
        self.links.iter_mut().for_each(|link| link.begin(Phase::Setup, labels::AUDIT));
        let told = audit::tell_seeds(&mut self.links, &seeds, audited).await;
        told.map_err(|source| InferenceError::over_party_link(labels::AUDIT, source))
    }
}

fn over_link(source: ProtocolError) -> InferenceError {
    InferenceError::over_dealer_link(labels::AUDIT, source)
}

fn in_audit(source: ProtocolError) -> InferenceError {
    InferenceError::Step { step: labels::AUDIT.to_owned(), source }
}
