//! A session: what each party and the dealer do, from the handshake to the last inference.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::vec::Vec;

use mpc_protocols::correlation::{DEALER_NODE, PARTY_NODE};
use mpc_protocols::{CorrelationSource, Dealer, Party, ProtocolError};
use mpc_ring::Ring;
use mpc_shares::{Prg, Seed};
use mpc_transport::{Agreement, Meter, Metered, Phase, Transport, handshake};
use ndarray::ArrayD;

use crate::error::InferenceError;
use crate::execute::{Inference, Model, Observer, Preprocessing, labels};
use crate::plan::Plan;
use crate::weights::Weights;

/// One party's session: connected, agreed and with the model loaded, ready for inferences.
#[derive(Debug)]
pub struct PartySession<'a, R: Ring, T: Transport, L: Transport> {
    party: Party<Metered<T>>,
    link: Metered<L>,
    plan: &'a Plan<R>,
    model: Model<R>,
    generator: Prg,
}

impl<'a, R: Ring, T: Transport, L: Transport> PartySession<'a, R, T, L> {
    /// Opens a session: handshakes with the other parties over `transport` and with the dealer over `link` (a network of
    /// two in which the party is node 0), then loads the model. `weights` are `Some` at the model owner alone.
    ///
    /// `seed` is this party's own randomness, from its operating system.
    ///
    /// # Errors
    /// [`InferenceError`]; a handshake that fails names the field that differs.
    pub async fn open(
        transport: T,
        link: L,
        plan: &'a Plan<R>,
        session: [u8; 16],
        weights: Option<&Weights>,
        seed: Seed,
    ) -> Result<Self, InferenceError> {
        let mut party = Party::new(Metered::new(transport));
        let mut link = Metered::new(link);
        let index = party.index();
        party.transport_mut().begin(Phase::Setup, labels::HANDSHAKE);
        link.begin(Phase::Setup, labels::HANDSHAKE);
        handshake(party.transport_mut(), &plan.agreement(session)).await.map_err(in_handshake)?;
        let shaken = handshake(&mut link, &link_agreement(plan, session, index)).await;
        shaken.map_err(|source| InferenceError::over_dealer_link(labels::HANDSHAKE, source.into()))?;
        link.begin(Phase::Setup, labels::LOAD);
        let mut generator = Prg::new(seed);
        let source = begin(&mut link, &party, &plan.setup_requests()).await?;
        let model = Model::load(&mut party, source, plan, weights, &mut generator).await?;
        Ok(Self { party, link, plan, model, generator })
    }

    /// Runs one inference, for which the dealer must call [`DealerSession::deal`]. `inputs` are those that this party owns,
    /// in the order of the graph's, and `None` at a party that owns none. The data owner alone gets the outputs.
    ///
    /// # Errors
    /// [`InferenceError`]. After an error the session is at an end: open a new one.
    pub async fn infer(
        &mut self,
        inputs: Option<&[ArrayD<f32>]>,
        preprocessing: Preprocessing,
        observer: &mut impl Observer,
    ) -> Result<Option<Vec<ArrayD<f64>>>, InferenceError> {
        self.link.begin(Phase::Preprocessing, labels::DEAL);
        let source = begin(&mut self.link, &self.party, &self.plan.requests()).await?;
        let inference = Inference { plan: self.plan, model: &self.model, preprocessing };
        inference.run(&mut self.party, source, inputs, &mut self.generator, observer).await
    }

    /// What passed between this party and the others.
    pub fn meter(&self) -> &Meter {
        self.party.transport().meter()
    }

    /// What passed between this party and the dealer.
    pub fn dealer_meter(&self) -> &Meter {
        self.link.meter()
    }

    /// Forgets what was counted so far.
    pub fn clear_meters(&mut self) {
        self.party.transport_mut().meter_mut().clear();
        self.link.meter_mut().clear();
    }
}

/// The dealer's session with all parties of a plan.
#[derive(Debug)]
pub struct DealerSession<'a, R: Ring, L: Transport> {
    dealer: Dealer<R>,
    links: Vec<L>,
    plan: &'a Plan<R>,
}

impl<'a, R: Ring, L: Transport> DealerSession<'a, R, L> {
    /// Opens a session: handshakes over each party's link (a network of two in which the dealer is node 1), then deals
    /// the masks of the model's weights.
    ///
    /// `seed` is the dealer's randomness, from its operating system.
    ///
    /// # Errors
    /// [`InferenceError::Link`] names the party whose link failed.
    pub async fn open(
        mut links: Vec<L>,
        plan: &'a Plan<R>,
        session: [u8; 16],
        seed: Seed,
    ) -> Result<Self, InferenceError> {
        let mut dealer = Dealer::new(plan.settings().parties, seed).map_err(in_dealing)?;
        for (party, link) in links.iter_mut().enumerate() {
            debug_assert_eq!(link.party(), DEALER_NODE);
            let agreement = link_agreement(plan, session, party);
            let shaken =
                handshake(link, &agreement).await.map_err(|source| ProtocolError::DealerLink { party, source });
            shaken.map_err(|source| InferenceError::over_party_link(labels::HANDSHAKE, source))?;
        }
        dealer.deal(&mut links, &plan.setup_requests(), |_| ()).await.map_err(in_dealing)?;
        Ok(Self { dealer, links, plan })
    }

    /// Deals the correlations of one inference, with fresh seeds. `progress` is called after each correlation with its
    /// index in [`Plan::requests`].
    ///
    /// # Errors
    /// [`InferenceError::Link`] names the party whose link failed.
    pub async fn deal(&mut self, progress: impl FnMut(usize) + Send) -> Result<(), InferenceError> {
        self.dealer.deal(&mut self.links, &self.plan.requests(), progress).await.map_err(in_dealing)
    }
}

/// Begins to draw correlations from the dealer's link.
async fn begin<'l, T: Transport, L: Transport>(
    link: &'l mut Metered<L>,
    party: &Party<T>,
    requests: &[mpc_protocols::Request],
) -> Result<CorrelationSource<&'l mut Metered<L>>, InferenceError> {
    debug_assert_eq!(link.party(), PARTY_NODE);
    let is_last = party.index() + 1 == party.parties();
    let begun = CorrelationSource::begin(link, is_last, requests).await;
    begun.map_err(|source| InferenceError::over_dealer_link(labels::DEAL, source))
}

/// What a party and the dealer compare: the plan, and which party the link is for.
fn link_agreement<R: Ring>(plan: &Plan<R>, session: [u8; 16], party: usize) -> Agreement {
    plan.agreement(session).with("dealer's link to party", format!("{party}"))
}

fn in_handshake(source: mpc_transport::TransportError) -> InferenceError {
    InferenceError::Step { step: labels::HANDSHAKE.to_owned(), source: source.into() }
}

fn in_dealing(source: ProtocolError) -> InferenceError {
    InferenceError::over_party_link(labels::DEAL, source)
}
