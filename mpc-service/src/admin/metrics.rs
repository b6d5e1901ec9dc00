//! Figures for operators: how often, how long, how much; names and sizes, never a value.

use std::sync::atomic::AtomicU64;

use mpc_transport::{Phase, Traffic};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::error::ServiceError;
use crate::names::Refusal;
use crate::roles::report::{Event, InferenceReport, Watch};
use crate::wire::message::Work;

/// The beginning of every figure's name.
const PREFIX: &str = "mpc";
/// The buckets of times double from the least one.
const BUCKETS: u16 = 16;
pub(super) const SECONDS_A_DAY: f64 = 86_400.0;

/// The purpose of a session, for those who count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// As the participants name it.
    Session(Work),
    /// A page's inference.
    #[cfg(feature = "web")]
    Page,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Session(Work::Live) => "live",
            Self::Session(Work::Prepare(_)) => "prepare",
            Self::Session(Work::Prepared(_)) => "prepared",
            #[cfg(feature = "web")]
            Self::Page => "page",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SessionLabels {
    work: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TrafficLabels {
    phase: &'static str,
    direction: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabel {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OwnerLabel {
    data_owner: String,
}

/// The prepared inferences of a data owner at a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stock {
    /// The data owner's fingerprint.
    pub(crate) data_owner: String,
    /// Those that are ready.
    pub(crate) ready: u64,
    /// Those that were used, of batches that are still there.
    pub(crate) used: u64,
}

/// The figures of a service.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    sessions: Family<SessionLabels, Counter>,
    running: Gauge,
    inferences: Counter,
    online: Histogram,
    waits: Histogram,
    claims: Histogram,
    bytes: Family<TrafficLabels, Counter>,
    rounds: Family<PhaseLabel, Counter>,
    refusals: Family<ReasonLabel, Counter>,
    strangers: Counter,
    ready: Family<OwnerLabel, Gauge>,
    used: Family<OwnerLabel, Gauge>,
    store_up: Gauge,
    certificate: Gauge<f64, AtomicU64>,
}

impl Metrics {
    /// Figures that are all 0; those of a store where there is one.
    pub(crate) fn new(has_store: bool) -> Self {
        let seconds = |least: f64| Histogram::new(exponential_buckets(least, 2.0, BUCKETS));
        let mut metrics = Self {
            registry: Registry::with_prefix(PREFIX),
            sessions: Family::default(),
            running: Gauge::default(),
            inferences: Counter::default(),
            online: seconds(0.001),
            waits: seconds(0.001),
            claims: seconds(0.0001),
            bytes: Family::default(),
            rounds: Family::default(),
            refusals: Family::default(),
            strangers: Counter::default(),
            ready: Family::default(),
            used: Family::default(),
            store_up: Gauge::default(),
            certificate: Gauge::default(),
        };
        metrics.register();
        if has_store {
            metrics.register_store();
        }
        metrics
    }

    fn register(&mut self) {
        let Self { registry, .. } = self;
        registry.register("sessions", "Sessions that have ended, by work and outcome", self.sessions.clone());
        registry.register("sessions_running", "Sessions that run", self.running.clone());
        registry.register(
            "inferences",
            "Inferences that have ended; of a dealer, that were dealt",
            self.inferences.clone(),
        );
        let unit = Unit::Seconds;
        registry.register_with_unit("online", "The online part of an inference", unit.clone(), self.online.clone());
        let help = "The wait of an inference for its correlations";
        registry.register_with_unit("correlation_wait", help, unit, self.waits.clone());
        let help = "Bytes of inferences that this side has sent and received, by phase";
        registry.register_with_unit("traffic", help, Unit::Bytes, self.bytes.clone());
        registry.register("rounds", "Rounds of inferences, by phase", self.rounds.clone());
        registry.register("refusals", "Requests that were refused, by reason", self.refusals.clone());
        let help = "Connections that ended before it was known whose they are";
        registry.register("strangers", help, self.strangers.clone());
        let help = "Days until this side's certificate ends; below 0 it has ended";
        registry.register("certificate_days", help, self.certificate.clone());
    }

    fn register_store(&mut self) {
        let Self { registry, .. } = self;
        let help = "The claim of a prepared inference";
        registry.register_with_unit("claim", help, Unit::Seconds, self.claims.clone());
        registry.register("prepared_ready", "Prepared inferences that are ready", self.ready.clone());
        let help = "Prepared inferences that were used, of batches in the store";
        registry.register("prepared_used", help, self.used.clone());
        let help = "Whether the store of prepared inferences can be used: 1 or 0";
        registry.register("store_up", help, self.store_up.clone());
    }

    /// Counts a session that runs, until it has ended.
    pub(crate) fn begin(&self) -> Running<'_> {
        self.running.inc();
        Running(&self.running)
    }

    /// Counts a session that has ended.
    pub(crate) fn ended(&self, purpose: Purpose, outcome: Result<(), &ServiceError>) {
        let outcome = outcome.map_or_else(|error| error.kind().name(), |()| "done");
        self.sessions.get_or_create(&SessionLabels { work: purpose.name(), outcome }).inc();
    }

    /// Counts a request that is refused.
    pub(crate) fn refused(&self, refusal: Refusal) {
        self.refused_for(refusal.name());
    }

    /// Counts a request that is refused for a reason that has a name of its own.
    pub(crate) fn refused_for(&self, reason: &'static str) {
        self.refusals.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Counts a connection that ended before it was known whose it is.
    pub(crate) fn stranger(&self) {
        self.strangers.inc();
    }

    /// Counts an inference of a party.
    fn inferred(&self, report: &InferenceReport) {
        self.inferences.inc();
        self.online.observe(report.online_seconds);
        self.waits.observe(report.preprocessing_seconds);
        self.traffic(Phase::Online, report.online);
        self.traffic(Phase::Preprocessing, report.preprocessing);
    }

    /// Counts an inference that a dealer has dealt, which sends and receives nothing.
    pub(crate) fn dealt(&self, sent: Traffic) {
        self.inferences.inc();
        self.traffic(Phase::Preprocessing, sent);
    }

    fn traffic(&self, phase: Phase, traffic: Traffic) {
        let phase = if phase == Phase::Online { "online" } else { "preprocessing" };
        for (direction, bytes) in [("sent", traffic.bytes_sent()), ("received", traffic.bytes_received())] {
            self.bytes.get_or_create(&TrafficLabels { phase, direction }).inc_by(bytes);
        }
        self.rounds.get_or_create(&PhaseLabel { phase }).inc_by(traffic.rounds);
    }

    /// Notes what is in the store; nothing where it cannot be told.
    pub(crate) fn set_stock(&self, stock: Option<&[Stock]>) {
        self.store_up.set(i64::from(stock.is_some()));
        // Old figures of a store that cannot be read would look like new ones.
        self.ready.clear();
        self.used.clear();
        for Stock { data_owner, ready, used } in stock.unwrap_or_default() {
            let label = OwnerLabel { data_owner: data_owner.clone() };
            let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            self.ready.get_or_create(&label).set(whole(*ready));
            self.used.get_or_create(&label).set(whole(*used));
        }
    }

    /// Notes how many seconds the certificate is still valid.
    pub(crate) fn set_certificate(&self, seconds: f64) {
        self.certificate.set(seconds / SECONDS_A_DAY);
    }

    /// All of them, in the text format of OpenMetrics.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Counts what it sees of a party's session.
pub(crate) struct Counting<'a>(pub(crate) &'a Metrics);

impl Watch for Counting<'_> {
    fn see(&mut self, event: Event) {
        if let Event::Claimed { time } = event {
            self.0.claims.observe(time.as_secs_f64());
        }
    }

    fn report(&mut self, report: &InferenceReport) {
        self.0.inferred(report);
    }
}

/// A session that runs.
#[derive(Debug)]
pub(crate) struct Running<'a>(&'a Gauge);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
