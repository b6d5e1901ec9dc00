//! HTTP/1.1: one request on each connection, within limits of number, size and time.

use std::convert::Infallible;
use std::net::{Shutdown, TcpListener};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use smol::future::{FutureExt, or};
use smol::io::AsyncReadExt;
use smol::net::TcpStream;
use smol::{Async, LocalExecutor, Timer};
use smol_hyper::rt::FuturesIo;

use super::problem::Problem;

/// The most headers of a request, and the room for all of them in bytes.
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 << 10;
/// Pause after a failed accept, for instance while no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long bytes that nobody wants are taken in, behind an answer that its reader would lose otherwise.
const LINGER: Duration = Duration::from_secs(1);

/// The limits of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Connections at a time, more are dropped; 64.
    pub connections: usize,
    /// How long the head of a request may take from the beginning of its connection; 10 s.
    pub head: Duration,
    /// How long all the rest of a connection may take; 60 s.
    pub time: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self { connections: 64, head: Duration::from_secs(10), time: Duration::from_secs(60) }
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
                // One request that meets a fault of this program must not end the others.
                let answered = AssertUnwindSafe(connection(&handler, stream.into(), limits)).catch_unwind().await;
                if answered.is_err() {
                    tracing::error!(%from, "a request over HTTP met a fault of this program");
                }
                drop(place);
            };
            executor.spawn(connection).detach();
        }
    };
    executor.run(or(stop, accept)).await;
    Ok(())
}

async fn connection<H: Handler>(handler: &Arc<H>, stream: TcpStream, limits: HttpLimits) {
    let has_head = AtomicBool::new(false);
    let service = service_fn(|request| {
        has_head.store(true, Ordering::Relaxed);
        let answer = Arc::clone(handler).answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let mut builder = http1::Builder::new();
    // The times are limited here.
    builder.keep_alive(false).max_headers(MAX_HEADERS).max_buf_size(MAX_HEADER_BYTES).header_read_timeout(None);
    let connection = builder.serve_connection(FuturesIo::new(stream.clone()), service);
    let late = async {
        Timer::after(limits.head).await;
        if has_head.load(Ordering::Relaxed) {
            Timer::after(limits.time).await;
        }
        tracing::debug!("a connection over HTTP took too long");
        Ok(())
    };
    if let Err(error) = or(connection, late).await {
        tracing::debug!(%error, "a connection over HTTP broke off");
    }
    linger(stream).await;
}

/// Closes a connection when its reader has, or soon: one that is closed with bytes unread takes the answer with it.
async fn linger(mut stream: TcpStream) {
    if stream.shutdown(Shutdown::Write).is_err() {
        return;
    }
    let rest = async {
        let mut bytes = [0; 4096];
        while matches!(stream.read(&mut bytes).await, Ok(1..)) {}
    };
    let late = async {
        Timer::after(LINGER).await;
    };
    or(rest, late).await;
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::SocketAddr;
    use std::thread;

    use super::*;

    const LIMITS: HttpLimits =
        HttpLimits { connections: 2, head: Duration::from_secs(60), time: Duration::from_secs(60) };
    const SHORT: Duration = Duration::from_millis(100);

    /// Takes five bytes, and fails at one path.
    struct Five;

    impl Handler for Five {
        async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
            assert_ne!(request.uri().path(), "/fault");
            let text = match body(request, 5).await {
                Ok(body) => body,
                Err(problem) => problem.code().0.into(),
            };
            Response::new(Full::new(text))
        }
    }

    /// Calls `test` with the address of a server, which ends with it.
    fn with_server(limits: HttpLimits, test: impl FnOnce(SocketAddr)) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (open, closed) = smol::channel::bounded::<()>(1);
        let serving = thread::spawn(move || {
            let stopped = async {
                let _ = closed.recv().await;
            };
            smol::block_on(serve(Arc::new(Five), listener, limits, stopped)).unwrap();
        });
        test(address);
        drop(open);
        serving.join().unwrap();
    }

    /// All that comes back to some bytes, until the other side closes.
    fn ask(at: SocketAddr, bytes: &[u8]) -> String {
        let mut stream = std::net::TcpStream::connect(at).unwrap();
        // A server that refuses may close before it has all.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn post(at: SocketAddr, path: &str, rest: &str) -> String {
        ask(at, format!("POST {path} HTTP/1.1\r\nHost: here\r\n{rest}").as_bytes())
    }

    #[test]
    fn a_body_has_the_bytes_that_are_expected() {
        with_server(LIMITS, |at| {
            assert!(post(at, "/", "Content-Length: 5\r\n\r\nhello").ends_with("\r\n\r\nhello"));
            for (rest, code) in [
                ("Content-Length: 4\r\n\r\nhell", "size"),
                ("Content-Length: 6\r\n\r\nhello!", "size"),
                ("Content-Length: 18446744073709551616\r\n\r\n", "HTTP/1.1 400 Bad Request"),
                ("Content-Length: -5\r\n\r\nhello", "HTTP/1.1 400 Bad Request"),
                ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "no-length"),
                ("\r\n", "no-length"),
            ] {
                let answer = post(at, "/", rest);
                assert!(answer.contains(code), "{rest:?}: {answer}");
            }
        });
    }

    #[test]
    fn heads_are_limited() {
        with_server(LIMITS, |at| {
            let many: String = (0..MAX_HEADERS).map(|at| format!("x-{at}: 1\r\n")).collect();
            assert!(post(at, "/", &format!("{many}\r\n")).starts_with("HTTP/1.1 431 "));
            let long = format!("x: {}\r\n\r\n", "1".repeat(MAX_HEADER_BYTES));
            assert!(post(at, "/", &long).starts_with("HTTP/1.1 431 "));
            assert!(ask(at, &[0xff; 64]).starts_with("HTTP/1.1 400 "));
            assert!(post(at, "/", "Content-Length: 5\r\n\r\nhello").ends_with("hello"));
        });
    }

    #[test]
    fn those_who_are_slow_are_left() {
        with_server(HttpLimits { head: SHORT, ..LIMITS }, |at| {
            assert_eq!(ask(at, b""), "");
            assert_eq!(ask(at, b"POST / HTTP/1.1\r\nHost: he"), "");
        });
        // The rest has its time beyond that of the head.
        with_server(HttpLimits { head: SHORT, time: SHORT, ..LIMITS }, |at| {
            assert_eq!(post(at, "/", "Content-Length: 5\r\n\r\nhe"), "");
        });
    }

    #[test]
    fn a_fault_ends_its_connection_alone() {
        with_server(LIMITS, |at| {
            assert_eq!(post(at, "/fault", "Content-Length: 5\r\n\r\nhello"), "");
            assert!(post(at, "/", "Content-Length: 5\r\n\r\nhello").ends_with("hello"));
        });
    }

    #[test]
    fn connections_are_counted() {
        with_server(LIMITS, |at| {
            let held: Vec<_> = (0..2).map(|_| std::net::TcpStream::connect(at).unwrap()).collect();
            // The third is dropped at once, and one more is served when those before have gone.
            assert_eq!(post(at, "/", "Content-Length: 5\r\n\r\nhello"), "");
            drop(held);
            let served = || post(at, "/", "Content-Length: 5\r\n\r\nhello").ends_with("hello");
            assert!((0..100).any(|_| served() || {
                thread::sleep(Duration::from_millis(50));
                false
            }));
        });
    }
}
