//! One party's session, at a server as at a data owner that computes.

use std::sync::Arc;

use mpc_nn::run::{Inputs, ModelSource, Outputs};
use mpc_nn::session::SessionOptions;
use mpc_nn::{EncodingError, InferenceError, Model, PartySession, Plan, Preprocessing};
use mpc_ring::Ring;
use mpc_shares::Seed;
use mpc_transport::tls::{Certificate, SecureTransport};
use mpc_transport::{Agreement, FrameSource, Metered, Phase, RecordingError, Traffic};

use crate::error::{Names, ServiceError};
use crate::link::shown;
use crate::message::{SessionId, Work};
use crate::report::{Event, InferenceReport, Recorder, Watch};
use crate::store::{BatchId, Description, Hold, Store, StoreError};
use crate::terms::Setting;
use crate::vault::{VaultError, VaultReader};

/// Everything that the participants of a session must agree on besides its plan.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) session: SessionId,
    pub(crate) work: Work,
    pub(crate) inferences: u32,
    /// By party.
    pub(crate) parties: Vec<Certificate>,
    /// None where the correlations are stored.
    pub(crate) dealer: Option<Certificate>,
}

impl Agreed {
    /// The fields that handshakes compare.
    fn fields(&self) -> Vec<(String, String)> {
        let work = match self.work {
            Work::Live => "inferences with a dealer".to_owned(),
            Work::Prepare(batch) => format!("prepare batch {batch}"),
            Work::Prepared(batch) => format!("inferences of batch {batch}"),
        };
        let dealer = self.dealer.as_ref().map_or_else(|| "none".to_owned(), |dealer| dealer.fingerprint().to_string());
        let mut fields = vec![
            ("work".to_owned(), work),
            ("inferences".to_owned(), self.inferences.to_string()),
            ("dealer".to_owned(), dealer),
        ];
        for (party, certificate) in self.parties.iter().enumerate() {
            fields.push((format!("certificate of party {party}"), certificate.fingerprint().to_string()));
        }
        fields
    }

    /// What a server and one who asks it for a session compare before the parties connect.
    pub(crate) fn agreement<R: Ring>(&self, plan: &Plan<R>) -> Agreement {
        let fields = self.fields().into_iter();
        fields.fold(plan.agreement(self.session), |all, (name, value)| all.with(name, value))
    }

    pub(crate) fn options(&self) -> Result<SessionOptions, ServiceError> {
        let mut options = SessionOptions::new(self.session, Seed::from_system()?);
        options.fields = self.fields();
        Ok(options)
    }

    pub(crate) fn names(&self) -> Names {
        Names(self.parties.iter().map(shown).collect())
    }

    pub(crate) fn in_session(&self) -> impl Fn(InferenceError) -> ServiceError {
        move |source| ServiceError::Session { source: source.into(), names: self.names() }
    }
}

/// What a party has for a session: its place, its connections, and where its inputs come from.
pub(crate) struct Seat<'a, R: Ring> {
    pub(crate) plan: &'a Plan<R>,
    pub(crate) agreed: &'a Agreed,
    pub(crate) party: usize,
    pub(crate) network: SecureTransport,
    pub(crate) watch: &'a mut dyn Watch,
}

/// Gives a party what it brings into each inference, and takes what that leaves.
pub(crate) trait Exchange<R: Ring>: Send {
    /// What the party brings into an inference.
    fn inputs(&mut self, inference: u32) -> impl Future<Output = Result<Inputs<'_, R>, ServiceError>> + Send;

    /// What an inference leaves.
    fn outputs(
        &mut self,
        outputs: Outputs<R>,
        report: InferenceReport,
    ) -> impl Future<Output = Result<(), ServiceError>> + Send;
}

/// Agrees with the other parties and the dealer, and loads the model.
async fn open<'p, R: Ring>(
    plan: &'p Plan<R>,
    agreed: &Agreed,
    network: SecureTransport,
    dealer: SecureTransport,
    model: ModelSource<'_, R>,
) -> Result<PartySession<'p, R, SecureTransport, Metered<SecureTransport>>, ServiceError> {
    let opened = PartySession::open(network, dealer, plan, model, agreed.options()?).await;
    opened.map_err(agreed.in_session())
}

impl<R: Ring> Seat<'_, R> {
    /// Inferences whose correlations the dealer deals now.
    pub(crate) async fn live(
        self,
        dealer: SecureTransport,
        model: ModelSource<'_, R>,
        exchange: &mut impl Exchange<R>,
    ) -> Result<(), ServiceError> {
        let Self { plan, agreed, party, network, watch } = self;
        let failed = agreed.in_session();
        let mut session = open(plan, agreed, network, dealer, model).await?;
        watch.see(Event::Loaded);
        for inference in 0..agreed.inferences {
            session.clear_meters();
            let inputs = exchange.inputs(inference).await?;
            let mut recorder = Recorder::new(watch, inference, plan.steps().len());
            let outputs = session.infer(inputs, Preprocessing::Ahead, &mut recorder).await.map_err(&failed)?;
            let dealt = session.dealer_meter().total(Phase::Preprocessing);
            let report = recorder.finish(plan, party, session.meter(), dealt);
            exchange.outputs(outputs, report).await?;
        }
        Ok(())
    }

    /// Correlations are dealt and stored; no inference.
    pub(crate) async fn prepare(
        self,
        dealer: SecureTransport,
        model: ModelSource<'_, R>,
        batch: BatchId,
        store: &Store,
    ) -> Result<(), ServiceError> {
        let Self { plan, agreed, party, network, watch } = self;
        let failed = agreed.in_session();
        let mut session = open(plan, agreed, network, dealer, model).await?;
        watch.see(Event::Loaded);
        let writer = store.begin(batch)?;
        for index in 0..agreed.inferences {
            let mut file = writer.inference(index)?;
            let in_store = |error: VaultError| RecordingError::Storage { reason: error.to_string() };
            session.record(|bytes| file.write(bytes).map_err(in_store)).await.map_err(&failed)?;
            file.finish().map_err(StoreError::from)?;
            // In step with the others: whoever is gone is missed now, and not when all is stored.
            session.agree(&[("stored inferences", &(index + 1).to_string())]).await.map_err(&failed)?;
            watch.see(Event::Stored { inferences: index + 1 });
        }
        writer.finish(&agreed.description(party, plan), &session.model().to_bytes())?;
        // A batch that is not complete at all parties serves none.
        let complete = session.agree(&[("batch", "complete")]).await.map_err(&failed);
        if complete.is_err() {
            store.remove_if_there(batch)?;
        }
        complete
    }

    /// Inferences with stored correlations, without a dealer.
    pub(crate) async fn prepared(
        self,
        model: Arc<Model<R>>,
        batch: BatchId,
        holds: Vec<Hold<'_>>,
        exchange: &mut impl Exchange<R>,
    ) -> Result<(), ServiceError> {
        let Self { plan, agreed, party, network, watch } = self;
        let failed = agreed.in_session();
        let resumed = PartySession::resume(network, plan, model, agreed.options()?).await;
        let mut session = resumed.map_err(&failed)?;
        watch.see(Event::Loaded);
        for (inference, hold) in (0..).zip(holds) {
            let index = hold.index().to_string();
            session.agree(&[("batch", &batch.to_string()), ("prepared inference", &index)]).await.map_err(&failed)?;
            // From here on it is gone from the disk, whatever happens.
            let recording = Claimed(agreed.claim(hold)?);
            session.clear_meters();
            let inputs = exchange.inputs(inference).await?;
            let mut recorder = Recorder::new(watch, inference, plan.steps().len());
            let ran = session.infer_recorded(recording, inputs, Preprocessing::Ahead, &mut recorder).await;
            let outputs = ran.map_err(&failed)?;
            let report = recorder.finish(plan, party, session.meter(), Traffic::default());
            exchange.outputs(outputs, report).await?;
        }
        Ok(())
    }
}

impl Agreed {
    /// Takes a prepared inference out of its store.
    pub(crate) fn claim(&self, hold: Hold<'_>) -> Result<VaultReader, StoreError> {
        let (batch, place) = (hold.batch(), hold.index());
        let recording = hold.claim()?;
        tracing::debug!(%batch, place, "claimed");
        Ok(recording)
    }

    /// How the data owner is named, which is the last party, or outside.
    pub(crate) fn client_name(&self, setting: Setting) -> String {
        match (setting, self.parties.last()) {
            (Setting::Direct, Some(client)) => shown(client),
            _ => "the data owner".to_owned(),
        }
    }

    /// Whether a stored batch is one of this plan, party and these parties.
    pub(crate) fn suits<R: Ring>(&self, described: &Description, party: usize, plan: &Plan<R>) -> bool {
        let own = self.description(party, plan);
        (described.plan, described.party) == (own.plan, own.party) && described.parties == own.parties
    }

    /// What bytes that do not suit the session are told by.
    pub(crate) fn in_encoding(&self) -> impl Fn(EncodingError) -> ServiceError {
        move |source| ServiceError::Session { source: Box::new(source.into()), names: self.names() }
    }

    pub(crate) fn description<R: Ring>(&self, party: usize, plan: &Plan<R>) -> Description {
        let fingerprint = |certificate: &Certificate| *certificate.fingerprint().as_bytes();
        Description {
            plan: plan.digest(),
            party: party as u32,
            parties: self.parties.iter().map(fingerprint).collect(),
            dealer: self.dealer.as_ref().map(fingerprint).unwrap_or_default(),
            count: self.inferences,
        }
    }
}

/// A claimed recording, read from a file that has no name any more.
struct Claimed(VaultReader);

impl FrameSource for Claimed {
    fn remaining(&self) -> u64 {
        self.0.remaining()
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), RecordingError> {
        self.0.read(bytes).map_err(|error| RecordingError::Storage { reason: error.to_string() })
    }
}
