//! The state of a running service: its figures, and whether it is ready.

use std::fmt;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant, SystemTime};

use mpc_transport::tls::{Certificate, Identity};
use smol::Timer;
use smol::future::or;
use smol::lock::Mutex;

use super::metrics::{Metrics, SECONDS_A_DAY, Stock};
use crate::at_rest::prepared::{StoreError, Stores};
use crate::names::Owner;
use crate::wire::link::Peer;

/// How long a look at the store and the dealer may take.
const LOOK_TIME: Duration = Duration::from_secs(5);
/// How long a connection to the dealer may take to come about.
const DIAL_TIME: Duration = Duration::from_secs(2);
/// How long the outcome of such a connection holds, so that nobody who asks has the dealer called more often.
const DIAL_PAUSE: Duration = Duration::from_secs(2);

const STARTING: u8 = 0;
const LISTENING: u8 = 1;
const STOPPING: u8 = 2;

/// The state of a service, to be looked at while it runs.
#[derive(Clone, Debug)]
pub struct Status(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    metrics: Metrics,
    identity: Arc<Identity>,
    stores: Option<Stores>,
    data_owners: Vec<Certificate>,
    dealer: Option<Peer>,
    phase: AtomicU8,
    /// Held by the one look that there is at a time; what the last call of the dealer brought, and when.
    looking: Arc<Mutex<Option<(Instant, bool)>>>,
}

/// The conditions of readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Prepared inferences that each data owner must have, where there is a store.
    pub prepared: u64,
    /// How long the certificate must still be valid.
    pub valid_for: Duration,
}

impl Status {
    /// The state of a service that has not begun.
    pub(crate) fn new(
        identity: Arc<Identity>,
        stores: Option<Stores>,
        data_owners: Vec<Certificate>,
        dealer: Option<Peer>,
    ) -> Self {
        let (metrics, phase, looking) = (Metrics::new(stores.is_some()), AtomicU8::new(STARTING), Arc::default());
        Self(Arc::new(Inner { metrics, identity, stores, data_owners, dealer, phase, looking }))
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Notes that the service listens.
    pub(crate) fn listens(&self) {
        self.0.phase.store(LISTENING, Ordering::Relaxed);
    }

    /// Notes that the service stops.
    pub(crate) fn stops(&self) {
        self.0.phase.store(STOPPING, Ordering::Relaxed);
    }

    /// Whether the service stops.
    pub(crate) fn is_stopping(&self) -> bool {
        self.0.phase.load(Ordering::Relaxed) == STOPPING
    }

    /// The figures in the text format of OpenMetrics, those of the store included.
    ///
    /// # Errors
    /// The formatter's.
    pub async fn text(&self) -> Result<String, fmt::Error> {
        if self.0.stores.is_some() {
            let stock = self.look(|inner, _| inner.stock()).await;
            self.0.metrics.set_stock(stock.and_then(Result::ok).as_deref());
        }
        self.0.metrics.set_certificate(self.0.seconds_valid());
        self.0.metrics.text()
    }

    /// Why the service is not ready; nothing if it is.
    pub async fn faults(&self, needed: &Readiness) -> Vec<String> {
        let mut faults = Vec::new();
        match self.0.phase.load(Ordering::Relaxed) {
            STARTING => faults.push("it does not listen yet".to_owned()),
            STOPPING => faults.push("it stops".to_owned()),
            _ => {}
        }
        let seconds = self.0.seconds_valid();
        if seconds < needed.valid_for.as_secs_f64() {
            faults.push(format!("its certificate is valid for {} days only", (seconds / SECONDS_A_DAY).floor()));
        }
        let needed = *needed;
        match self.look(move |inner, dialled| inner.faults(&needed, dialled)).await {
            Some(found) => faults.extend(found),
            None => faults.push(format!("the look at what it depends on took more than {} s", LOOK_TIME.as_secs())),
        }
        faults
    }

    /// Does what may block on a thread of its own, one such thing at a time; nothing if it takes too long.
    async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &mut Option<(Instant, bool)>) -> T + Send + 'static,
    ) -> Option<T> {
        let done = async {
            let mut dialled = self.0.looking.lock_arc().await;
            let inner = Arc::clone(&self.0);
            Some(smol::unblock(move || work(&inner, &mut dialled)).await)
        };
        let late = async {
            Timer::after(LOOK_TIME).await;
            None
        };
        or(done, late).await
    }
}

impl Inner {
    /// How long the certificate is valid; below 0, how long it has not been.
    fn seconds_valid(&self) -> f64 {
        match self.identity.certificate().valid_until().duration_since(SystemTime::now()) {
            Ok(left) => left.as_secs_f64(),
            Err(over) => -over.duration().as_secs_f64(),
        }
    }

    /// The faults of what the service depends on.
    fn faults(&self, needed: &Readiness, dialled: &mut Option<(Instant, bool)>) -> Vec<String> {
        let mut faults = Vec::new();
        if let Some(stores) = &self.stores {
            match stores.check().and_then(|()| self.stock()) {
                Ok(stock) => {
                    let short = stock.iter().filter(|stock| stock.ready < needed.prepared);
                    faults.extend(short.map(|Stock { data_owner, ready, .. }| {
                        format!("{ready} prepared inferences of {data_owner} are fewer than {}", needed.prepared)
                    }));
                }
                Err(error) => {
                    tracing::warn!(%error, "the store of prepared inferences cannot be used");
                    faults.push("the store of prepared inferences cannot be used; the log says why".to_owned());
                }
            }
        }
        if let Some(dealer) = &self.dealer {
            *dialled = dialled.filter(|(at, _)| at.elapsed() < DIAL_PAUSE);
            let (_, is_there) = *dialled.get_or_insert_with(|| (Instant::now(), dealer.addresses.called().any(dial)));
            if !is_there {
                faults.push(format!("the dealer cannot be reached at {}", dealer.addresses));
            }
        }
        faults
    }

    /// The prepared inferences of each data owner.
    fn stock(&self) -> Result<Vec<Stock>, StoreError> {
        let Some(stores) = &self.stores else { return Ok(Vec::new()) };
        let count = |certificate: &Certificate| {
            let owner = Owner::from(certificate);
            let store = stores.of_data_owner(Stores::key(&self.identity), owner)?;
            let mut stock = Stock { data_owner: owner.to_string(), ready: 0, used: 0 };
            for batch in store.batches()? {
                // A batch may be gone meanwhile.
                stock.ready += store.ready(batch).map_or(0, |ready| ready.len() as u64);
                stock.used += store.usage(batch).map_or(0, |usage| usage.used.into());
            }
            Ok(stock)
        };
        self.data_owners.iter().map(count).collect()
    }
}

/// Whether somebody takes a connection at an address.
fn dial(address: &str) -> bool {
    let addresses = address.to_socket_addrs().into_iter().flatten();
    addresses.into_iter().any(|address| TcpStream::connect_timeout(&address, DIAL_TIME).is_ok())
}
