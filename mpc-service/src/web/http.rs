//! HTTP/1.1: one request on each connection, within limits of number, size and time.

use std::convert::Infallible;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use smol::future::or;
use smol::{Async, LocalExecutor, Timer};
use smol_hyper::rt::FuturesIo;

use super::problem::Problem;

/// The most headers of a request, and the room for all of them in bytes.
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 << 10;
/// Pause after a failed accept, for instance while no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The limits of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Connections at a time, more are dropped; 64.
    pub connections: usize,
    /// How long a connection may take, from the first byte of the request to the last of the answer; 60 s.
    pub time: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self { connections: 64, time: Duration::from_secs(60) }
    }
}

/// Answers requests.
pub(crate) trait Handler: 'static {
    fn answer(self: Arc<Self>, request: Request<Incoming>) -> impl Future<Output = Response<Full<Bytes>>>;
}

/// Answers until `stop` is complete.
pub(crate) async fn serve<H: Handler>(
    handler: Arc<H>,
    listener: TcpListener,
    limits: HttpLimits,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let listener = Async::new(listener)?;
    let executor = LocalExecutor::new();
    // Each connection holds a clone of it.
    let count = Arc::new(());
    let accept = async {
        loop {
            let Ok((stream, from)) = listener.accept().await else {
                Timer::after(ACCEPT_PAUSE).await;
                continue;
            };
            if Arc::strong_count(&count) > limits.connections {
                tracing::warn!(%from, "too many connections over HTTP: this one is dropped");
                continue;
            }
            let (place, handler) = (Arc::clone(&count), Arc::clone(&handler));
            let connection = async move {
                connection(&handler, stream, limits.time).await;
                drop(place);
            };
            executor.spawn(connection).detach();
        }
    };
    executor.run(or(stop, accept)).await;
    Ok(())
}

async fn connection<H: Handler>(handler: &Arc<H>, stream: Async<TcpStream>, limit: Duration) {
    let service = service_fn(async |request| Ok::<_, Infallible>(Arc::clone(handler).answer(request).await));
    // The time of the whole connection is limited, and so that of its head.
    let mut builder = http1::Builder::new();
    builder.keep_alive(false).max_headers(MAX_HEADERS).max_buf_size(MAX_HEADER_BYTES).header_read_timeout(None);
    let connection = builder.serve_connection(FuturesIo::new(stream), service);
    let late = async {
        Timer::after(limit).await;
        tracing::debug!("a connection over HTTP took too long");
        Ok(())
    };
    if let Err(error) = or(connection, late).await {
        tracing::debug!(%error, "a connection over HTTP broke off");
    }
}

/// The body of a request, which must have `expected` bytes: nothing of another length is read.
pub(crate) async fn body(request: Request<Incoming>, expected: usize) -> Result<Bytes, Problem> {
    let length = request.headers().get(hyper::header::CONTENT_LENGTH);
    let found = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok()).ok_or(Problem::NoLength)?;
    if found != expected as u64 {
        return Err(Problem::Size { expected: expected as u64, found });
    }
    let collected = Limited::new(request.into_body(), expected).collect().await;
    let body = collected.map_err(|_| Problem::Length)?.to_bytes();
    if body.len() == expected { Ok(body) } else { Err(Problem::Length) }
}
