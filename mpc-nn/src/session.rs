//! A session: what each party and the dealer do, from the handshake to the last inference.
//!
//! A session that is [opened](PartySession::open) has a link to the dealer, loads the model, and then runs inferences
//! ([`infer`](PartySession::infer); with the preprocessing of the next one under way, [`split`](PartySession::split)) or
//! records their correlations for later ([`record`](PartySession::record)). A session that is
//! [resumed](PartySession::resume) has no dealer: it goes on with a model that was loaded before, and each inference takes a
//! [recording] made with that model ([`infer_recorded`](PartySession::infer_recorded)). Two parties that
//! [open a pair](PartySession::open_pair) make their correlations themselves, over a second link.

mod audit;
mod maker;

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use mpc_ot::{Pair, PairSettings};
use mpc_protocols::own::Own;
use mpc_protocols::session;
use mpc_protocols::{Dealer, Party, Place, ProtocolError};
use mpc_ring::Ring;
use mpc_shares::{Prg, Seed};
use mpc_transport::{
    Agreement, AnyTransport, FrameSource, Link, Meter, Metered, Phase, RecordingError, Traffic, Transport,
};

use crate::encoding::{Header, Kind};
use crate::error::InferenceError;
use crate::plan::{Correlations, Plan};
use crate::recording;
use crate::run::{Inference, Inputs, Model, ModelSource, Observer, Outputs, Prepared, Preprocessing, labels};

pub use audit::{Audit, CommittedSeeds};
pub use maker::CorrelationMaker;

use maker::{Progress, begin, check_dealt};

/// The needs of a session besides its plan: the fields that must be the same at all its participants, and this one's
/// randomness.
#[derive(Debug)]
pub struct SessionOptions {
    /// The session's identity.
    pub session: [u8; 16],
    /// Further fields that the handshake compares, with their values: the same at all parties and the dealer.
    pub fields: Vec<(String, String)>,
    /// This participant's own randomness, from its operating system.
    pub seed: Seed,
}

impl SessionOptions {
    /// No fields besides the plan's.
    #[must_use]
    pub fn new(session: [u8; 16], seed: Seed) -> Self {
        Self { session, fields: Vec::new(), seed }
    }

    /// Adds a field that the handshake compares, such as the id of recordings. The limits are those of [`Agreement::with`].
    #[must_use]
    pub fn with(mut self, name: impl ToString, value: impl ToString) -> Self {
        self.fields.push((name.to_string(), value.to_string()));
        self
    }
}

/// One party's session: connected, agreed and with the model loaded, ready for inferences. `M` is the maker of its correlations,
/// or [`NoDealer`].
#[derive(Debug)]
pub struct PartySession<'a, R: Ring, M = CorrelationMaker> {
    party: Party,
    maker: M,
    plan: &'a Plan<R>,
    session: [u8; 16],
    model: Arc<Model<R>>,
    generator: Prg,
}

/// In place of the maker of correlations in a session that goes without.
#[derive(Clone, Copy, Debug)]
pub struct NoDealer;

impl<'a, R: Ring> PartySession<'a, R> {
    /// Opens a session: handshakes with the other parties over `transport` and with the `dealer`, then loads the model.
    ///
    /// # Errors
    /// [`InferenceError`]; a handshake that fails names the field that differs.
    pub async fn open(
        transport: impl Transport + 'static,
        mut dealer: Link,
        plan: &'a Plan<R>,
        model: impl Into<ModelSource<'_, R>>,
        options: SessionOptions,
    ) -> Result<Self, InferenceError> {
        check_dealt(plan)?;
        let mut party = connect(transport, plan, &options).await?;
        let shaken = session::connect_to_dealer(&mut dealer, &agreement(plan, &options), party.index()).await;
        shaken.map_err(|source| InferenceError::over_dealer_link(labels::HANDSHAKE, source))?;
        dealer.begin(Phase::Setup, labels::LOAD);
        let SessionOptions { session, seed, .. } = options;
        let mut generator = Prg::new(seed);
        let source = begin(&mut dealer, party.place(), &plan.setup_requests()).await?;
        let model = Model::load(&mut party, source, plan, model.into(), &mut generator).await?;
        // A message of all weights is longer than any that follows.
        party.free_buffers();
        let maker = CorrelationMaker::Dealer(dealer);
        Ok(Self { party, maker, plan, session, model: Arc::new(model), generator })
    }

    /// Opens a session of two parties without a dealer: handshakes over `transport`, and over `preparing`, a link of its own
    /// between the same two; then makes base transfers and loads the model.
    ///
    /// # Rounds and communication
    /// Over `transport` a handshake and [`Plan::setup`]; over `preparing` a handshake and [`Plan::preparing_setup`].
    ///
    /// # Errors
    /// [`InferenceError`]; a handshake that fails names the field that differs. [`InferenceError::Role`] for a plan with a dealer.
    pub async fn open_pair(
        transport: impl Transport + 'static,
        preparing: impl Transport + 'static,
        plan: &'a Plan<R>,
        model: impl Into<ModelSource<'_, R>>,
        options: SessionOptions,
    ) -> Result<Self, InferenceError> {
        let (Some(own), Correlations::Own { transfers, .. }) = (plan.own(), plan.settings().correlations) else {
            let reason = "the plan is one with a dealer: open the session with a link to it";
            return Err(InferenceError::Role { reason });
        };
        let mut party = connect(transport, plan, &options).await?;
        let SessionOptions { session, seed, .. } = options;
        let mut generator = Prg::new(seed);
        let index = party.index();
        let [first, second] = if index == 0 { [0, 1] } else { [1, 0] };
        let settings = PairSettings { session, own: first, peer: second, method: transfers.method() };
        let in_making = |error: ProtocolError| InferenceError::over_preparing_link(labels::HANDSHAKE, error);
        let pair = Pair::open(preparing, settings, generator.seed()).await.map_err(|error| in_making(error.into()))?;
        let mut maker = Own::new(pair, party.place(), generator.seed()).map_err(in_making)?;
        let model = Model::load_own(&mut party, plan, model.into(), &mut generator).await?;
        let loaded = maker.load(own, &model.weight_shares()).await;
        loaded.map_err(|error| InferenceError::over_preparing_link(labels::LOAD, error))?;
        party.free_buffers();
        let maker = CorrelationMaker::Parties(Box::new(maker));
        Ok(Self { party, maker, plan, session, model: Arc::new(model), generator })
    }

    /// Runs one inference, for which a dealer must call [`DealerSession::deal`], or the other of two parties do the same. Those who
    /// are to learn the outputs get them.
    ///
    /// # Errors
    /// [`InferenceError`]. After an error the session is at an end: open a new one.
    pub async fn infer(
        &mut self,
        inputs: impl Into<Inputs<'_, R>>,
        preprocessing: Preprocessing,
        observer: &mut impl Observer,
    ) -> Result<Outputs<R>, InferenceError> {
        let source = self.maker.begin_inference(self.party.place(), self.plan).await?;
        let inference = Inference { plan: self.plan, model: &self.model, preprocessing };
        inference.run(&mut self.party, source, inputs.into(), &mut self.generator, observer).await
    }

    /// Records the correlations of one inference, for which a dealer must call [`DealerSession::deal`], or the other of two parties
    /// do the same: `keep` is given the bytes of the [recording], [`Plan::recording_bytes`] in all, in pieces of at most 64 KiB.
    /// They serve this session's model alone, in this session or, with [`model`](Self::model), in one that is resumed.
    ///
    /// # Errors
    /// [`InferenceError`], which also has what `keep` fails with. After an error the session is at an end.
    pub async fn record(
        &mut self,
        mut keep: impl FnMut(&[u8]) -> Result<(), RecordingError> + Send,
        observer: &mut impl Observer,
    ) -> Result<(), InferenceError> {
        let header = recording::header(self.plan, self.party.index());
        keep(&header).map_err(|source| InferenceError::recording(labels::DEAL, source))?;
        let mut progress = Progress::new(self.plan, observer);
        self.maker.record(self.party.place(), self.plan, keep, |kept| progress.see(kept)).await
    }

    /// Splits the session in two that work at the same time: one draws the correlations of the next inference while the other
    /// runs the online phase of this one.
    ///
    /// A [`Prepared`] that the second half does not use is lost, since the dealer goes on; nothing is used twice.
    pub fn split(&mut self) -> (Preparation<'_, R>, Online<'_, R>) {
        let Self { party, maker, plan, model, generator, .. } = self;
        let inference = Inference { plan: *plan, model: &**model, preprocessing: Preprocessing::Ahead };
        (Preparation { maker, inference, place: party.place() }, Online { party, inference, generator })
    }

    /// The traffic over the link for correlations: with the dealer, or with the other party.
    pub fn dealer_meter(&self) -> &Meter {
        self.maker.meter()
    }

    /// Forgets what was counted so far.
    pub fn clear_meters(&mut self) {
        self.party.transport_mut().meter_mut().clear();
        self.maker.meter_mut().clear();
    }
}

impl<'a, R: Ring> PartySession<'a, R, NoDealer> {
    /// Opens a session with a model that was loaded before, and with nobody that makes correlations: handshakes with the other
    /// parties.
    ///
    /// # Errors
    /// [`InferenceError::Encoding`] for the model of another plan or party; [`InferenceError::Step`] for a handshake that
    /// fails, which names the field that differs.
    pub async fn resume(
        transport: impl Transport + 'static,
        plan: &'a Plan<R>,
        model: impl Into<Arc<Model<R>>>,
        options: SessionOptions,
    ) -> Result<Self, InferenceError> {
        let model = model.into();
        model.header.check(Kind::Model, Header::new(plan, transport.party()))?;
        let party = connect(transport, plan, &options).await?;
        let SessionOptions { session, seed, .. } = options;
        Ok(Self { party, maker: NoDealer, plan, session, model, generator: Prg::new(seed) })
    }

    /// Forgets what was counted so far.
    pub fn clear_meters(&mut self) {
        self.party.transport_mut().meter_mut().clear();
    }
}

impl<R: Ring, M> PartySession<'_, R, M> {
    /// Runs one inference with a recording of its correlations, which was made with this session's model. Without a message
    /// from the dealer; otherwise as [`infer`](PartySession::infer).
    ///
    /// # Security
    /// `recording` must be gone from where it was kept before this is called, and all parties must have agreed which it is:
    /// see [`recording`].
    ///
    /// # Errors
    /// [`InferenceError`]. After an error the session is at an end, and the recording is used up.
    pub async fn infer_recorded(
        &mut self,
        recording: impl FrameSource,
        inputs: impl Into<Inputs<'_, R>>,
        preprocessing: Preprocessing,
        observer: &mut impl Observer,
    ) -> Result<Outputs<R>, InferenceError> {
        let source = recording::open(self.plan, self.party.place(), recording).await?;
        let inference = Inference { plan: self.plan, model: &self.model, preprocessing };
        inference.run(&mut self.party, source, inputs.into(), &mut self.generator, observer).await
    }

    /// Compares further fields with all other parties, in one round: before an inference, which recordings it uses.
    ///
    /// # Errors
    /// [`InferenceError::Step`] names the first field that differs, with both values.
    pub async fn agree(&mut self, fields: &[(&str, &str)]) -> Result<(), InferenceError> {
        let agreement = fields.iter().fold(Agreement::new(self.session), |all, (name, value)| all.with(name, value));
        session::agree(&mut self.party, &agreement).await.map_err(in_handshake)
    }

    /// This party's index.
    pub fn party(&self) -> usize {
        self.party.index()
    }

    /// Ends the session, and gives the transport to the other parties back.
    pub fn into_transport(self) -> Metered<AnyTransport> {
        self.party.into_transport()
    }

    /// This party's share of the loaded model, to be kept or used in another session.
    pub fn model(&self) -> &Arc<Model<R>> {
        &self.model
    }

    /// The traffic between this party and the others.
    pub fn meter(&self) -> &Meter {
        self.party.transport().meter()
    }
}

/// The half of a session that has the maker of its correlations.
#[derive(Debug)]
pub struct Preparation<'s, R: Ring> {
    maker: &'s mut CorrelationMaker,
    inference: Inference<'s, R>,
    place: Place,
}

impl<R: Ring> Preparation<'_, R> {
    /// Draws the correlations of one inference, for which the dealer must call [`DealerSession::deal`], or the other of two parties
    /// do the same; what passed over the link for them is all that the meter has afterwards.
    ///
    /// # Errors
    /// [`InferenceError`]. After an error the session is at an end.
    pub async fn prepare(&mut self, observer: &mut impl Observer) -> Result<Prepared<R>, InferenceError> {
        self.maker.meter_mut().clear();
        let source = self.maker.begin_inference(self.place, self.inference.plan).await?;
        self.inference.prepare(source, observer).await
    }

    /// The traffic between this party and the dealer for the correlations drawn last.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        self.maker.meter()
    }
}

/// The half of a session that is linked to the other parties.
#[derive(Debug)]
pub struct Online<'s, R: Ring> {
    party: &'s mut Party,
    inference: Inference<'s, R>,
    generator: &'s mut Prg,
}

impl<R: Ring> Online<'_, R> {
    /// Runs one inference with correlations of this session, which all parties use in the order in which they were dealt;
    /// otherwise as [`PartySession::infer`]. What passed between the parties is all that the meter has afterwards.
    ///
    /// # Errors
    /// [`InferenceError`]. After an error the session is at an end.
    pub async fn infer(
        &mut self,
        prepared: Prepared<R>,
        inputs: impl Into<Inputs<'_, R>>,
        observer: &mut impl Observer,
    ) -> Result<Outputs<R>, InferenceError> {
        self.party.transport_mut().meter_mut().clear();
        self.inference.run_prepared(self.party, prepared, inputs.into(), self.generator, observer).await
    }

    /// The traffic between this party and the others in the last inference.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        self.party.transport().meter()
    }
}

/// The dealer's session with all parties of a plan.
#[derive(Debug)]
pub struct DealerSession<'a, R: Ring> {
    dealer: Dealer<R>,
    links: Vec<Link>,
    plan: &'a Plan<R>,
    session: [u8; 16],
}

impl<'a, R: Ring> DealerSession<'a, R> {
    /// Opens a session: handshakes over each party's link, by party, then deals the masks of the model's weights.
    ///
    /// # Errors
    /// [`InferenceError::Link`] names the party whose link failed.
    pub async fn open(
        mut links: Vec<Link>,
        plan: &'a Plan<R>,
        options: SessionOptions,
    ) -> Result<Self, InferenceError> {
        check_dealt(plan)?;
        let shaken = session::connect_to_parties(&mut links, &agreement(plan, &options)).await;
        shaken.map_err(|source| InferenceError::over_party_link(labels::HANDSHAKE, source))?;
        let SessionOptions { session, seed, .. } = options;
        let mut dealer = Dealer::new(plan.settings().parties, seed).map_err(in_dealing)?;
        dealer.deal(&mut links, &plan.setup_requests(), &mut |_| ()).await.map_err(in_dealing)?;
        Ok(Self { dealer, links, plan, session })
    }

    /// Deals the correlations of one inference, with fresh seeds, whether the parties use them at once or record them.
    /// `progress` is called after each correlation with its index in [`Plan::requests`].
    ///
    /// # Errors
    /// [`InferenceError::Link`] names the party whose link failed.
    pub async fn deal(&mut self, progress: &mut (dyn FnMut(usize) + Send)) -> Result<(), InferenceError> {
        self.dealer.deal(&mut self.links, &self.plan.requests(), progress).await.map_err(in_dealing)
    }

    /// The traffic with all parties since the session began.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.links.iter().flat_map(|link| link.meter().entries()).map(|(_, _, traffic)| traffic).sum()
    }
}

/// A party that has agreed with all others on the plan and the session.
async fn connect<R: Ring>(
    transport: impl Transport + 'static,
    plan: &Plan<R>,
    options: &SessionOptions,
) -> Result<Party, InferenceError> {
    session::connect(transport, &agreement(plan, options)).await.map_err(in_handshake)
}

fn in_handshake(source: ProtocolError) -> InferenceError {
    InferenceError::Step { step: labels::HANDSHAKE.to_owned(), source }
}

/// The fields that all participants compare.
fn agreement<R: Ring>(plan: &Plan<R>, options: &SessionOptions) -> Agreement {
    options.fields.iter().fold(plan.agreement(options.session), |all, (name, value)| all.with(name, value))
}

fn in_dealing(source: ProtocolError) -> InferenceError {
    InferenceError::over_party_link(labels::DEAL, source)
}
