//! HTTP/1.1, as it is or within TLS: one request on each connection, within limits of number, size and time.

#[cfg(feature = "web")]
mod certificate;
mod security;

use std::cell::Cell;
use std::convert::Infallible;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use smol::future::{FutureExt, or};
use smol::io::AsyncReadExt;
use smol::net::TcpStream;
use smol::{LocalExecutor, Task, Timer};
use smol_hyper::rt::FuturesIo;

#[cfg(feature = "web")]
pub(crate) use self::certificate::serve_pages;
#[cfg(feature = "web")]
pub use self::certificate::{PageCertificate, PageCertificateError};
#[cfg(feature = "admin")]
pub(crate) use self::security::Plain;
use self::security::{Security, Unsecured};
use crate::error::ServiceError;
use crate::wire::accept;

/// The most headers of a request, and the room for all of them in bytes.
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 << 10;
/// How long a caller keeps its place without sending a request where others have none: three times what a handshake takes over
/// a slow link, so that a rush of callers who do send one is served as far as there is room.
const PLACE: Duration = Duration::from_secs(1);
/// How long bytes that nobody wants are taken in, behind an answer that its reader would lose otherwise.
const LINGER: Duration = Duration::from_secs(1);
/// The kind of content of a text.
pub(crate) const PLAIN: &str = "text/plain; charset=utf-8";

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

/// An answer with a content of that kind.
pub(crate) fn answer(status: StatusCode, kind: &'static str, content: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(content.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its caller has yet to shake hands.
    Handshake,
    /// Its caller has yet to send the head of a request.
    Head,
    /// Its request is read and answered.
    Request,
    /// It is answered, and its caller has yet to close it.
    Over,
}

/// A connection that is open.
struct Open {
    from: SocketAddr,
    since: Instant,
    stage: Rc<Cell<Stage>>,
    /// Ends it when dropped.
    task: Task<()>,
}

/// Answers until `stop` is complete.
pub(crate) async fn serve<H: Handler, S: Security>(
    handler: Arc<H>,
    listener: TcpListener,
    security: S,
    limits: HttpLimits,
    stop: impl Future<Output = ()>,
) -> Result<(), ServiceError> {
    let listener = accept::awaited(listener)?;
    let executor = LocalExecutor::new();
    let security = Rc::new(security);
    let serving = async {
        let mut open = Vec::new();
        loop {
            let (stream, from) = accept::next(&listener).await;
            if !make_room(&mut open, limits.connections).await {
                tracing::warn!(%from, "too many connections over HTTP: this one is dropped");
                continue;
            }
            let stage = Rc::new(Cell::new(if S::HANDSHAKE.is_some() { Stage::Handshake } else { Stage::Head }));
            let (handler, security, at) = (Arc::clone(&handler), Rc::clone(&security), Rc::clone(&stage));
            let connection = async move {
                // One request that meets a fault of this program must not end the others.
                let answered = connection(&handler, &*security, (stream.into(), from), &at, limits);
                if AssertUnwindSafe(answered).catch_unwind().await.is_err() {
                    tracing::error!(%from, "a request over HTTP met a fault of this program");
                }
            };
            open.push(Open { from, since: Instant::now(), stage, task: executor.spawn(connection) });
        }
    };
    executor.run(or(stop, or(serving, security.keep_up()))).await;
    Ok(())
}

/// Whether there is room for one more: where there is none, the oldest connection gives way that has been quiet for a while, so
/// that callers who send no request keep out nobody who does.
async fn make_room(open: &mut Vec<Open>, most: usize) -> bool {
    open.retain(|connection| !connection.task.is_finished());
    if open.len() < most {
        return true;
    }
    let is_idle = |open: &Open| open.stage.get() != Stage::Request && open.since.elapsed() >= PLACE;
    let Some(idle) = open.iter().position(is_idle) else { return false };
    let Open { from, task, .. } = open.remove(idle);
    tracing::warn!(%from, "too many connections over HTTP: this one, which has waited longest, is dropped");
    task.cancel().await;
    true
}

async fn connection<H: Handler, S: Security>(
    handler: &Arc<H>,
    security: &S,
    (stream, from): (TcpStream, SocketAddr),
    stage: &Cell<Stage>,
    limits: HttpLimits,
) {
    let service = service_fn(|request| {
        stage.set(Stage::Request);
        let answer = Arc::clone(handler).answer(request);
        async {
            let mut answer = answer.await;
            // Whoever passes it on does not keep it, and takes it for no other kind of content.
            let headers = answer.headers_mut();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            Ok::<_, Infallible>(answer)
        }
    });
    let answered = async {
        let secure = match security.secure(stream.clone()).await {
            Ok(secure) => secure,
            Err(Unsecured::Gone) => return tracing::debug!(%from, "went away before it had a secure connection"),
            Err(Unsecured::Fault(reason)) => {
                return tracing::warn!(%from, reason, "a connection over HTTP is not secure: it is dropped");
            }
        };
        stage.set(Stage::Head);
        let mut builder = http1::Builder::new();
        // The times are limited here.
        builder.keep_alive(false).max_headers(MAX_HEADERS).max_buf_size(MAX_HEADER_BYTES).header_read_timeout(None);
        if let Err(error) = builder.serve_connection(FuturesIo::new(secure), service).await {
            tracing::debug!(%error, "a connection over HTTP broke off");
        }
    };
    let late = async {
        Timer::after(limits.head).await;
        match (stage.get(), S::HANDSHAKE) {
            (Stage::Handshake, Some(handshake)) => {
                let seconds = limits.head.as_secs_f64();
                tracing::warn!(%from, "a connection over HTTP without {handshake} after {seconds} s: it is dropped");
            }
            (Stage::Request, _) => drop(Timer::after(limits.time).await),
            _ => {}
        }
        tracing::debug!("a connection over HTTP took too long");
    };
    or(answered, late).await;
    stage.set(Stage::Over);
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

/// Why the body of a request is not taken.
#[cfg(feature = "web")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It does not say how long it is.
    NoLength,
    /// It says another length than is expected.
    Size { expected: u64, found: u64 },
    /// It is cut short.
    Length,
}

/// The body of a request, which must have `expected` bytes: nothing of another length is read.
#[cfg(feature = "web")]
pub(crate) async fn body(request: Request<Incoming>, expected: usize) -> Result<Bytes, BodyError> {
    use http_body_util::{BodyExt, Limited};

    let length = request.headers().get(header::CONTENT_LENGTH);
    let found = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok()).ok_or(BodyError::NoLength)?;
    if found != expected as u64 {
        return Err(BodyError::Size { expected: expected as u64, found });
    }
    let collected = Limited::new(request.into_body(), expected).collect().await;
    let body = collected.map_err(|_| BodyError::Length)?.to_bytes();
    if body.len() == expected { Ok(body) } else { Err(BodyError::Length) }
}

#[cfg(all(test, feature = "web"))]
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
                Err(error) => format!("{error:?}").into(),
            };
            Response::new(Full::new(text))
        }
    }

    fn with_server(limits: HttpLimits, test: impl FnOnce(SocketAddr)) {
        with_server_of(Arc::new(Five), None, limits, test);
    }

    /// Calls `test` with the address of a server, which ends with it.
    pub(super) fn with_server_of<H: Handler + Send + Sync>(
        handler: Arc<H>,
        certificate: Option<PageCertificate>,
        limits: HttpLimits,
        test: impl FnOnce(SocketAddr),
    ) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (open, closed) = smol::channel::bounded::<()>(1);
        let serving = thread::spawn(move || {
            let stopped = async {
                let _ = closed.recv().await;
            };
            smol::block_on(serve_pages(handler, (listener, certificate), limits, stopped)).unwrap();
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

    /// A connection on which some bytes were sent.
    fn beginning(at: SocketAddr, bytes: &str) -> std::net::TcpStream {
        let mut stream = std::net::TcpStream::connect(at).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        stream
    }

    fn post(at: SocketAddr, path: &str, rest: &str) -> String {
        ask(at, format!("POST {path} HTTP/1.1\r\nHost: here\r\n{rest}").as_bytes())
    }

    #[test]
    fn a_body_has_the_bytes_that_are_expected() {
        with_server(LIMITS, |at| {
            assert!(post(at, "/", "Content-Length: 5\r\n\r\nhello").ends_with("\r\n\r\nhello"));
            for (rest, code) in [
                ("Content-Length: 4\r\n\r\nhell", "Size"),
                ("Content-Length: 6\r\n\r\nhello!", "Size"),
                ("Content-Length: 18446744073709551616\r\n\r\n", "HTTP/1.1 400 Bad Request"),
                ("Content-Length: -5\r\n\r\nhello", "HTTP/1.1 400 Bad Request"),
                ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "NoLength"),
                ("\r\n", "NoLength"),
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

    /// Whether a request is answered; where it is not, some time has passed.
    fn is_served(at: SocketAddr) -> bool {
        let is_served = post(at, "/", "Content-Length: 5\r\n\r\nhello").ends_with("hello");
        if !is_served {
            thread::sleep(Duration::from_millis(50));
        }
        is_served
    }

    #[test]
    fn connections_are_counted() {
        with_server(LIMITS, |at| {
            let held: Vec<_> =
                (0..2).map(|_| beginning(at, "POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\n")).collect();
            // They are read from.
            thread::sleep(SHORT);
            // The third is dropped at once, and one more is served when those before have gone.
            assert_eq!(post(at, "/", "Content-Length: 5\r\n\r\nhello"), "");
            drop(held);
            assert!((0..100).any(|_| is_served(at)));
        });
    }

    #[test]
    fn callers_who_send_no_request_keep_nobody_out() {
        with_server(LIMITS, |at| {
            let mut held = ["", "POST / HT"].map(|bytes| beginning(at, bytes));
            // The oldest gives way once it has had its moment.
            assert!((0..100).any(|_| is_served(at)));
            let stream = &mut held[0];
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let ended = stream.read(&mut [0]).map_err(|error| error.kind());
            assert!(matches!(ended, Ok(0) | Err(std::io::ErrorKind::ConnectionReset)), "{ended:?}");
        });
    }
}
