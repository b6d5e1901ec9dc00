//! The addresses that an operator asks.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};

use super::status::{Readiness, Status};
use crate::error::ServiceError;
use crate::http::{self, Handler, HttpLimits, PLAIN, Plain};

/// The format of the figures.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The limits of connections: those who ask are few, and near.
const LIMITS: HttpLimits = HttpLimits { connections: 16, head: Duration::from_secs(5), time: Duration::from_secs(15) };

struct Admin {
    status: Status,
    needed: Readiness,
}

/// Answers an operator at `/metrics`, `/healthz` and `/readyz` over HTTP, in the clear, until `stop` is complete.
///
/// # Errors
/// [`ServiceError::Listen`].
pub async fn serve_admin(
    status: Status,
    needed: Readiness,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<(), ServiceError> {
    http::serve(Arc::new(Admin { status, needed }), listener, Plain, LIMITS, stop).await
}

impl Handler for Admin {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let (status, kind, text) = match request.uri().path() {
            _ if !is_read => (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "this is only to be read\n".to_owned()),
            "/metrics" => match self.status.text().await {
                Ok(text) => (StatusCode::OK, OPEN_METRICS, text),
                Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "the figures cannot be written\n".to_owned()),
            },
            "/healthz" => (StatusCode::OK, PLAIN, "it lives\n".to_owned()),
            "/readyz" => match &self.status.faults(&self.needed).await[..] {
                [] => (StatusCode::OK, PLAIN, "it is ready\n".to_owned()),
                faults => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, faults.join("\n") + "\n"),
            },
            _ => (StatusCode::NOT_FOUND, PLAIN, "there are /metrics, /healthz and /readyz\n".to_owned()),
        };
        http::answer(status, kind, text)
    }
}
