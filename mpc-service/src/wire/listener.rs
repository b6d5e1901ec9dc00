//! Accepts connections, each on a thread of its own, until told to stop.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mpc_transport::tls::SecureError;
use smol::future::or;
use smol::{Async, Timer};

use crate::error::ServiceError;
use crate::wire::accept;
use crate::wire::connections::Connections;
use crate::wire::opening::{self, Service};

/// Connections at a time: those that authenticate themselves and those of sessions. Others that wait for those of their session are
/// counted where they wait.
const MAX_CONNECTIONS: usize = 256;

/// How often what has waited too long is looked for.
const SWEEP_PAUSE: Duration = Duration::from_millis(250);
/// How often a service that stops looks whether all is done.
const STOP_PAUSE: Duration = Duration::from_millis(20);

/// Binds an address.
///
/// # Errors
/// [`ServiceError::Listen`].
pub fn listen(address: SocketAddr) -> Result<TcpListener, ServiceError> {
    TcpListener::bind(address).map_err(|source| ServiceError::Listen { address, source })
}

enum Next {
    Connected(Async<TcpStream>, SocketAddr),
    Sweep,
    Stop,
    /// A look whether all is done, while it stops.
    Look,
}

/// Serves until `stop` is complete, then until what runs has ended.
pub(crate) async fn run<S: Service>(
    service: Arc<S>,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<(), ServiceError> {
    let listener = accept::awaited(listener)?;
    service.status().listens();
    let running = Arc::new(AtomicUsize::new(0));
    let connections = Connections::new(service.sessions_per_peer());
    let mut stop = std::pin::pin!(stop);
    let mut next_sweep = Instant::now() + SWEEP_PAUSE;
    loop {
        let connected = async {
            let (stream, from) = accept::next(&listener).await;
            Next::Connected(stream, from)
        };
        let sweep = async {
            Timer::at(next_sweep).await;
            Next::Sweep
        };
        let is_stopping = service.status().is_stopping();
        let stopped = async {
            if is_stopping {
                Timer::after(STOP_PAUSE).await;
                return Next::Look;
            }
            stop.as_mut().await;
            Next::Stop
        };
        match or(stopped, or(sweep, connected)).await {
            Next::Connected(stream, from) => start(&service, (&running, &connections), stream, from),
            Next::Sweep => {
                service.sweep();
                next_sweep = Instant::now() + SWEEP_PAUSE;
            }
            Next::Stop => service.status().stops(),
            Next::Look => {}
        }
        // A session that has begun is not lost because others of it call a moment later.
        if service.status().is_stopping() && !service.awaits() {
            break;
        }
    }
    drop(listener);
    tracing::info!(connections = running.load(Ordering::Acquire), "stops: what runs is finished first");
    while running.load(Ordering::Acquire) > 0 {
        service.sweep();
        Timer::after(STOP_PAUSE).await;
    }
    Ok(())
}

fn start<S: Service>(
    service: &Arc<S>,
    (running, connections): (&Arc<AtomicUsize>, &Arc<Connections>),
    stream: Async<TcpStream>,
    from: SocketAddr,
) {
    if running.fetch_add(1, Ordering::AcqRel) >= MAX_CONNECTIONS {
        running.fetch_sub(1, Ordering::AcqRel);
        tracing::warn!(%from, "too many connections: this one is dropped");
        return;
    }
    let ending = Ending(Arc::clone(running));
    let (service, connections) = (Arc::clone(service), Arc::clone(connections));
    // The party polls its sockets, so that it needs a thread of its own.
    let started = thread::Builder::new().name(format!("mpc {from}")).spawn(move || {
        let _ending = ending;
        let served = async {
            match opening::receive(&*service, &connections, stream).await? {
                Some((caller, request)) => service.serve(caller, request).await,
                None => Ok(()),
            }
        };
        match smol::block_on(served) {
            // A look whether somebody is there, as those who spread connections take it.
            Err(ServiceError::Connect { source, .. }) if matches!(*source, SecureError::Closed { .. }) => {
                tracing::debug!(%from, %source, "went away before it said who it is");
            }
            Err(error) => tracing::warn!(%from, %error, "ended without success"),
            Ok(()) => {}
        }
    });
    if let Err(error) = started {
        tracing::warn!(%from, %error, "no thread for this connection: it is dropped");
    }
}

/// Counts a connection down, however it ends.
struct Ending(Arc<AtomicUsize>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
