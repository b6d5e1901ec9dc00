//! The addresses that a page uses at a server.

use std::fmt;
use std::net::TcpListener;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use smol::Timer;

use super::envelope::{KeyPair, Posted};
use super::jobs::{JobId, Jobs, State};
use super::problem::Problem;
use super::tickets::Tickets;
use super::tokens::Tokens;
use crate::error::ServiceError;
use crate::http::{self, Handler, HttpLimits, PageCertificate};
use crate::names::{BatchId, DepositId, Owner, PlanDigest};
use crate::roles::server::Server;

const JSON: &str = "application/json";
/// How long a page may keep the answer to whether it is allowed.
const PREFLIGHT_SECONDS: &str = "600";
/// How often a server that stops looks whether all is done.
const STOP_PAUSE: Duration = Duration::from_millis(20);
/// How long a server that stops and has nothing more to compute waits for pages to fetch their answers.
const FETCH_TIME: Duration = Duration::from_secs(3);

/// The origin of a page: `https://host` or `https://host:port`, as browsers write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let host = rest.ok_or("an origin begins with https:// or http://")?;
        let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b':' | b'[' | b']');
        if host.is_empty() || !host.bytes().all(is_plain) {
            return Err("an origin is https://host or https://host:port in lower case, without a path");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The rights that a server gives pages.
#[derive(Debug)]
pub struct WebSettings {
    /// The origins of the pages that may use it.
    pub origins: Vec<Origin>,
    /// The tokens of those who may ask for inferences.
    pub tokens: Tokens,
    /// The limits of connections.
    pub limits: HttpLimits,
    /// Where pages reach this machine and no other one, where one address stands for several machines: `https://host:port`.
    pub url: Option<String>,
    /// The certificate of its own, for HTTPS; without one it speaks HTTP, and a proxy before it HTTPS.
    pub certificate: Option<PageCertificate>,
}

/// A server as pages see it.
struct Web {
    server: Arc<Server>,
    settings: WebSettings,
    keys: KeyPair,
    tickets: Tickets,
    jobs: Jobs,
    is_stopping: AtomicBool,
}

/// The words of a server on a model before a page seals anything.
#[derive(Serialize)]
struct Offered {
    party: usize,
    key: String,
    dealer: Option<String>,
    /// The models of that plan, and whether sessions use each already.
    deposits: Vec<Deposit>,
    ticket: String,
    /// Where other servers call this machine, if its operator has said so.
    address: Option<String>,
    /// Where pages reach this machine, if its operator has said so: no other one knows the ticket.
    pages: Option<String>,
}

#[derive(Serialize)]
struct Deposit {
    owner: String,
    version: String,
    used: bool,
}

#[derive(Serialize)]
struct Begun {
    inference: String,
}

/// Answers pages until `stop` is complete, then until what runs has ended and its answers are fetched.
pub(crate) async fn serve(
    server: Arc<Server>,
    mut settings: WebSettings,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<(), ServiceError> {
    let keys = KeyPair::of(server.identity_for_pages());
    let tickets = Tickets::new().map_err(|problem| ServiceError::Arguments(problem.to_string()))?;
    let (limits, certificate) = (settings.limits, settings.certificate.take());
    let web =
        Arc::new(Web { server, settings, keys, tickets, jobs: Jobs::default(), is_stopping: AtomicBool::new(false) });
    let stopped = async {
        stop.await;
        web.is_stopping.store(true, Ordering::Relaxed);
        web.ended().await;
    };
    http::serve_pages(Arc::clone(&web), (listener, certificate), limits, stopped).await
}

impl Handler for Web {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let origin = request.headers().get(header::ORIGIN).cloned();
        let allowed = self.allowed(origin.as_ref());
        let is_allowed = allowed.is_ok();
        let mut answer = match allowed {
            Ok(()) => self.route(request).await.unwrap_or_else(|problem| self.refusal(&problem)),
            Err(problem) => self.refusal(&problem),
        };
        let headers = answer.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = origin.filter(|_| is_allowed) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
        }
        answer
    }
}

impl Web {
    /// Waits until nothing runs, and then a while for those who fetch what has ended.
    async fn ended(&self) {
        while self.jobs.runs() {
            Timer::after(STOP_PAUSE).await;
        }
        let until = Instant::now() + FETCH_TIME;
        while self.jobs.waits() && Instant::now() < until {
            Timer::after(STOP_PAUSE).await;
        }
    }

    async fn route(self: &Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Problem> {
        if request.method() == Method::OPTIONS {
            return Ok(preflight());
        }
        let path = request.uri().path().to_owned();
        let mut parts = path.strip_prefix("/v1/").ok_or(Problem::NotFound)?.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("alive"), None, None, None) => Ok(empty(StatusCode::NO_CONTENT)),
            (Some("models"), Some(plan), None, None) => {
                only(&request, Method::GET)?;
                self.holder(&request)?;
                self.offer(plan.parse().map_err(|_| Problem::NotFound)?)
            }
            (Some("models"), Some(plan), Some("inferences"), None) => {
                only(&request, Method::POST)?;
                let holder = self.holder(&request)?;
                self.begin(plan.parse().map_err(|_| Problem::NotFound)?, holder, request).await
            }
            (Some("inferences"), Some(id), None, None) => {
                only(&request, Method::GET)?;
                let holder = self.holder(&request)?;
                self.result(id.parse().map_err(|_| Problem::NoInference)?, holder)
            }
            _ => Err(Problem::NotFound),
        }
    }

    /// Takes a page's share in, and starts its inference on a thread: the party polls its sockets.
    async fn begin(
        self: &Arc<Self>,
        plan: PlanDigest,
        holder: usize,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Problem> {
        self.check_goes_on()?;
        // First, so that a plan is made and bytes are taken in at the token's rate, too.
        self.settings.tokens.take(holder)?;
        let model = self.server.model_for_page(plan)?;
        let sealed = http::body(request, Posted::sealed_bytes(self.server.party(), model.share_bytes)).await?;
        let (posted, ticket) = Posted::open(&self.keys, self.server.party(), &sealed)?;
        self.tickets.spend(&ticket)?;
        let ready = self.server.ready_for_page(model, posted)?;
        let id = self.jobs.begin(holder)?;
        let web = Arc::clone(self);
        let name = self.settings.tokens.name(holder);
        tracing::info!(page = name, inference = %id, "an inference for a page begins");
        let job = Job { web, id, state: State::Failed(Problem::Internal) };
        let run = move || {
            let mut job = job;
            job.state = match job.web.server.infer_for_page(ready) {
                Ok(sealed) => State::Done(sealed.into()),
                Err(problem) => State::Failed(problem),
            };
        };
        if let Err(error) = thread::Builder::new().name("mpc page".to_owned()).spawn(run) {
            tracing::warn!(%error, "no thread for this inference");
        }
        json(StatusCode::ACCEPTED, &Begun { inference: id.to_string() })
    }
}

/// An inference that runs; it ends in some state however its thread does.
struct Job {
    web: Arc<Web>,
    id: JobId,
    state: State,
}

impl Drop for Job {
    fn drop(&mut self) {
        self.web.jobs.end(self.id, self.state.clone());
    }
}

impl Web {
    /// Whether a page of that origin may use this server; who names none is no browser.
    fn allowed(&self, origin: Option<&HeaderValue>) -> Result<(), Problem> {
        let Some(origin) = origin else { return Ok(()) };
        if self.settings.origins.iter().any(|allowed| allowed.0.as_bytes() == origin.as_bytes()) {
            return Ok(());
        }
        let origin = origin.to_str().unwrap_or("a place without a name").chars().take(200).collect();
        Err(Problem::Origin { origin })
    }

    fn holder(&self, request: &Request<Incoming>) -> Result<usize, Problem> {
        self.settings.tokens.holder(request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes))
    }

    fn check_goes_on(&self) -> Result<(), Problem> {
        match self.is_stopping.load(Ordering::Relaxed) {
            true => Err(Problem::Busy("this server stops: try again in a while".to_owned())),
            false => Ok(()),
        }
    }

    fn offer(&self, plan: PlanDigest) -> Result<Response<Full<Bytes>>, Problem> {
        // So that a page goes to another machine, if there is one.
        self.check_goes_on()?;
        let deposits = self.server.deposits_for_page(plan)?;
        let deposit = |(id, used): (DepositId, bool)| Deposit {
            owner: id.owner.to_string(),
            version: BatchId(id.version).to_string(),
            used,
        };
        let ticket = self.tickets.issue()?;
        let offered = Offered {
            party: self.server.party(),
            key: self.keys.public.to_string(),
            dealer: self.server.dealer_for_page(plan)?.map(|dealer| Owner(dealer).to_string()),
            deposits: deposits.into_iter().map(deposit).collect(),
            ticket: ticket.to_string(),
            address: self.server.address_for_pages().map(str::to_owned),
            pages: self.settings.url.clone(),
        };
        json(StatusCode::OK, &offered)
    }

    fn result(&self, id: JobId, holder: usize) -> Result<Response<Full<Bytes>>, Problem> {
        match self.jobs.state(id, holder)? {
            State::Running => Ok(empty(StatusCode::ACCEPTED)),
            // It was counted and logged when it ended, however often its page asks.
            State::Failed(problem) => Ok(shown(&problem)),
            State::Done(sealed) => Ok(http::answer(StatusCode::OK, "application/octet-stream", sealed)),
        }
    }

    fn refusal(&self, problem: &Problem) -> Response<Full<Bytes>> {
        let (code, _) = problem.code();
        self.server.status().metrics().refused_for(code);
        tracing::warn!(code, reason = %problem, "a page's request is refused");
        shown(problem)
    }
}

/// A problem as a page is told of it.
fn shown(problem: &Problem) -> Response<Full<Bytes>> {
    let mut answer = http::answer(problem.code().1, JSON, problem.to_json());
    if let Problem::Rate { seconds } = problem {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
    }
    answer
}

fn only(request: &Request<Incoming>, allowed: Method) -> Result<(), Problem> {
    if request.method() == allowed { Ok(()) } else { Err(Problem::Method { allowed }) }
}

fn preflight() -> Response<Full<Bytes>> {
    let mut answer = empty(StatusCode::NO_CONTENT);
    let headers = answer.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECONDS));
    answer
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

fn json<T: Serialize>(status: StatusCode, body: &T) -> Result<Response<Full<Bytes>>, Problem> {
    let body = serde_json::to_vec(body).map_err(|_| Problem::Internal)?;
    Ok(http::answer(status, JSON, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_do() {
        for text in ["https://clinic.example", "http://127.0.0.1:8080", "http://[::1]:80"] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), text);
        }
        for text in ["*", "null", "clinic.example", "https://", "https://Clinic.example", "https://clinic.example/"] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}
