//! One party's session, at a server as at a data owner that computes.

use std::sync::Arc;
use std::time::Instant;

use mpc_nn::run::{Inputs, ModelSource, Outputs};
use mpc_nn::session::Audit;
use mpc_nn::{Model, PartySession, Plan, Preprocessing};
use mpc_ring::Ring;
use mpc_transport::tls::{SecureLink, SecureTransport};
use mpc_transport::{Link, Phase, RecordingError, Traffic};

use crate::at_rest::prepared::{BatchWriter, Hold, PreparedStore, Recording, StoreError};
use crate::error::ServiceError;
use crate::names::BatchId;
use crate::roles::agreed::Agreed;
use crate::roles::report::{Event, InferenceReport, Recorder, Watch};
use crate::wire::message::Preparation;

/// A party's part of a session: its place, its connections, and where its inputs come from.
pub(crate) struct PartyRun<'a, R: Ring> {
    pub(crate) plan: &'a Plan<R>,
    pub(crate) agreed: &'a Agreed,
    pub(crate) party: usize,
    pub(crate) network: SecureTransport,
    pub(crate) watch: &'a mut dyn Watch,
}

/// Gives a party what it brings into each inference, and takes what that leaves.
pub(crate) trait Exchange<R: Ring>: Send {
    /// The inputs that the party brings into an inference.
    fn inputs(&mut self, inference: u32) -> impl Future<Output = Result<Inputs<'_, R>, ServiceError>> + Send;

    /// Takes the outputs of an inference.
    fn outputs(
        &mut self,
        outputs: Outputs<R>,
        report: InferenceReport,
    ) -> impl Future<Output = Result<(), ServiceError>> + Send;
}

/// The makers of a session's correlations, and the connection over which they come.
pub(crate) enum Maker {
    /// The dealer, at the other end.
    Dealer(Box<SecureLink>),
    /// The two parties, over a network of their own for it.
    Parties(SecureTransport),
}

/// Agrees with the other parties and the maker of correlations, and loads the model.
async fn open<'p, R: Ring>(
    plan: &'p Plan<R>,
    agreed: &Agreed,
    network: SecureTransport,
    maker: Maker,
    model: ModelSource<'_, R>,
) -> Result<PartySession<'p, R>, ServiceError> {
    let options = agreed.options()?;
    let opened = match maker {
        Maker::Dealer(link) => PartySession::open(network, Link::new(*link), plan, model, options).await,
        Maker::Parties(preparing) => PartySession::open_pair(network, preparing, plan, model, options).await,
    };
    opened.map_err(agreed.in_session())
}

/// Gives what is revealed to this side to whoever watches.
fn hand_out<R: Ring>(watch: &mut dyn Watch, inference: u32, outputs: &Outputs<R>) {
    if let Some(revealed) = &outputs.revealed {
        watch.take(inference, revealed);
    }
}

/// Draws some of a batch's inferences with the other parties, takes them out of it, and deals them again; which they were. None of
/// them is in the batch any more when the dealer tells its seed.
async fn audit<R: Ring>(
    session: &mut PartySession<'_, R>,
    mut audit: Audit<R>,
    audited: u32,
    (writer, agreed): (&dyn BatchWriter, &Agreed),
) -> Result<Vec<u32>, ServiceError> {
    let failed = agreed.in_audit();
    let places = session.draw_audited(&audit, audited).await.map_err(&failed)?;
    let recordings = places.iter().map(|&place| writer.take(place)).collect::<Result<Vec<_>, _>>()?;
    session.agree(&[("audited inferences", "taken out of the batch")]).await.map_err(&failed)?;
    let seeds = session.ask_for_seeds(&audit, &places).await.map_err(&failed)?;
    for ((&place, seed), mut recording) in places.iter().zip(seeds).zip(recordings) {
        session.audit(&mut audit, (place, seed), &mut *recording).await.map_err(&failed)?;
    }
    Ok(places)
}

/// Claims a prepared inference, and says how long that took.
fn claim_timed(agreed: &Agreed, hold: Hold<'_>, watch: &mut dyn Watch) -> Result<Recording, ServiceError> {
    let began = Instant::now();
    let recording = agreed.claim(hold)?;
    let time = began.elapsed();
    tracing::debug!(seconds = time.as_secs_f64(), "the claim took");
    watch.see(Event::Claimed { time });
    Ok(recording)
}

/// A prepared inference that this party has claimed, or will.
enum Claim<'a> {
    Done(Recording),
    Open(Hold<'a>),
}

impl<R: Ring> PartyRun<'_, R> {
    /// Inferences whose correlations are made now.
    pub(crate) async fn live(
        self,
        maker: Maker,
        model: ModelSource<'_, R>,
        exchange: &mut impl Exchange<R>,
    ) -> Result<(), ServiceError> {
        let Self { plan, agreed, party, network, watch } = self;
        let failed = agreed.in_session();
        let mut session = open(plan, agreed, network, maker, model).await?;
        watch.see(Event::Loaded);
        for inference in 0..agreed.inferences {
            session.clear_meters();
            let inputs = exchange.inputs(inference).await?;
            let mut recorder = Recorder::new(watch, inference, plan.steps().len());
            let outputs = session.infer(inputs, Preprocessing::Ahead, &mut recorder).await.map_err(&failed)?;
            let made = session.dealer_meter().total(Phase::Preprocessing);
            let report = recorder.finish(plan, party, session.meter(), made);
            hand_out(watch, inference, &outputs);
            exchange.outputs(outputs, report).await?;
        }
        Ok(())
    }

    /// Correlations are made and stored; no inference. A batch comes with the digest of this party's own model, and is there
    /// once `last_word` is complete, which is given the places that were audited: a data owner that is no party has its list.
    pub(crate) async fn prepare(
        self,
        maker: Maker,
        model: ModelSource<'_, R>,
        (Preparation { batch, audited }, weights): (Preparation, Option<[u8; 32]>),
        store: &dyn PreparedStore,
        last_word: impl AsyncFnOnce(Vec<u32>) -> Result<(), ServiceError>,
    ) -> Result<(), ServiceError> {
        let Self { plan, agreed, party, network, watch } = self;
        let failed = agreed.in_session();
        let mut session = open(plan, agreed, network, maker, model).await?;
        watch.see(Event::Loaded);
        let audit = match audited {
            0 => None,
            _ => Some(session.begin_audit(agreed.inferences).await.map_err(&failed)?),
        };
        let writer = store.begin(batch)?;
        for index in 0..agreed.inferences {
            let mut file = writer.inference(index)?;
            let in_store = |error: StoreError| RecordingError::Storage { reason: error.to_string() };
            let mut recorder = Recorder::new(&mut *watch, index, plan.steps().len());
            session.record(|bytes| file.write(bytes).map_err(in_store), &mut recorder).await.map_err(&failed)?;
            drop(recorder);
            file.finish()?;
            // In step with the others: whoever is gone is missed now, and not when all is stored.
            session.agree(&[("stored inferences", &(index + 1).to_string())]).await.map_err(&failed)?;
            watch.see(Event::Stored { inferences: index + 1 });
        }
        let places = match audit {
            Some(audit) => self::audit(&mut session, audit, audited, (&*writer, agreed)).await?,
            None => Vec::new(),
        };
        last_word(places).await?;
        writer.finish(&agreed.description(party, plan, weights), &session.model().to_bytes())?;
        // A batch that is not complete at all parties serves none.
        let complete = session.agree(&[("batch", "complete")]).await.map_err(&failed);
        if complete.is_err() {
            store.remove(batch)?;
        }
        complete
    }

    /// Inferences with stored correlations, which nobody makes now. The data owner gives its store: it claims each before the
    /// others can, so that none of them has ever used what it has not.
    pub(crate) async fn prepared(
        self,
        model: Arc<Model<R>>,
        batch: BatchId,
        holds: Vec<Hold<'_>>,
        leads: Option<&dyn PreparedStore>,
        exchange: &mut impl Exchange<R>,
    ) -> Result<(), ServiceError> {
        let Self { plan, agreed, party, network, watch } = self;
        let failed = agreed.in_session();
        let resumed = PartySession::resume(network, plan, model, agreed.options()?).await;
        let mut session = resumed.map_err(&failed)?;
        watch.see(Event::Loaded);
        for (inference, hold) in (0..).zip(holds) {
            let index = hold.index();
            // From its claim on it is gone from the store, whatever happens.
            let claim = match leads {
                Some(_) => Claim::Done(claim_timed(agreed, hold, watch)?),
                None => Claim::Open(hold),
            };
            let fields = [("batch", &*batch.to_string()), ("prepared inference", &*index.to_string())];
            session.agree(&fields).await.map_err(&failed)?;
            session.clear_meters();
            // A data owner that is no party has claimed its own when its shares come.
            let inputs = exchange.inputs(inference).await?;
            let mut recording = match claim {
                Claim::Done(recording) => recording,
                Claim::Open(hold) => claim_timed(agreed, hold, watch)?,
            };
            let mut recorder = Recorder::new(watch, inference, plan.steps().len());
            let ran = session.infer_recorded(&mut *recording, inputs, Preprocessing::Ahead, &mut recorder).await;
            let outputs = ran.map_err(&failed)?;
            let report = recorder.finish(plan, party, session.meter(), Traffic::default());
            hand_out(watch, inference, &outputs);
            exchange.outputs(outputs, report).await?;
            if let Some(store) = leads {
                store.confirm(batch, index)?;
            }
        }
        Ok(())
    }
}
