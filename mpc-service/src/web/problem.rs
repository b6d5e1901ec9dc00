//! The faults of a request of a page, for programs and for people.

use hyper::{Method, StatusCode};
use serde::Serialize;

use crate::error::{Kind, ServiceError};
use crate::http::BodyError;
use crate::names::{PlanDigest, Refusal, Refused};

/// Why a request of a page is not served.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("a token is needed, as `Authorization: Bearer TOKEN`: ask who runs this server for one")]
    NoToken,
    #[error("this token is not known here: ask who runs this server for another one")]
    UnknownToken,
    #[error("this token has used up its inferences for now: try again in {seconds} s")]
    Rate { seconds: u64 },
    #[error("pages of {origin} may not use this server: ask who runs it to allow this origin")]
    Origin { origin: String },
    #[error("there is nothing at this address")]
    NotFound,
    #[error("this address takes {allowed} alone")]
    Method { allowed: Method },
    #[error("there is no share of a model with plan {plan} here: this page is for another model")]
    NoModel { plan: PlanDigest },
    #[error(
        "the request has {found} bytes, and one for this model has {expected}: the input is too large or too small"
    )]
    Size { expected: u64, found: u64 },
    #[error("the request does not say how long it is (`Content-Length`)")]
    NoLength,
    #[error("the request is cut short")]
    Length,
    #[error("this server cannot open the request: it was changed, or is sealed to another key than this server's")]
    WrongKey,
    #[error("the request says where another server is, and that is no address")]
    Address,
    #[error("the ticket in the request is none of this server's, or too old: load the page again")]
    Ticket,
    #[error("this request was sent before: nothing is computed twice")]
    Replayed,
    #[error("the page names another dealer than this server works with")]
    Dealer,
    #[error("{0}")]
    Busy(String),
    #[error("{0}")]
    Replaced(String),
    #[error("{0}")]
    Limit(String),
    #[error("another server or the dealer could not be reached: {0}")]
    Absent(String),
    #[error("the servers do not agree: {0}")]
    Differs(String),
    #[error("there is no such inference: it ended a while ago, or was never asked for")]
    NoInference,
    #[error("a fault of this server; its log says more")]
    Internal,
}

/// A problem as a page reads it.
#[derive(Serialize)]
struct Shown<'a> {
    error: Named<'a>,
}

#[derive(Serialize)]
struct Named<'a> {
    code: &'a str,
    message: String,
}

impl Problem {
    /// How programs tell it from others, and the status that it has in HTTP.
    pub(crate) fn code(&self) -> (&'static str, StatusCode) {
        match self {
            Self::NoToken => ("no-token", StatusCode::UNAUTHORIZED),
            Self::UnknownToken => ("unknown-token", StatusCode::UNAUTHORIZED),
            Self::Rate { .. } => ("rate", StatusCode::TOO_MANY_REQUESTS),
            Self::Origin { .. } => ("origin", StatusCode::FORBIDDEN),
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND),
            Self::Method { .. } => ("method", StatusCode::METHOD_NOT_ALLOWED),
            Self::NoModel { .. } => ("no-model", StatusCode::NOT_FOUND),
            Self::Size { .. } => ("size", StatusCode::PAYLOAD_TOO_LARGE),
            Self::NoLength => ("no-length", StatusCode::LENGTH_REQUIRED),
            Self::Length => ("length", StatusCode::BAD_REQUEST),
            Self::Address => ("address", StatusCode::BAD_REQUEST),
            Self::WrongKey => ("wrong-key", StatusCode::UNPROCESSABLE_ENTITY),
            Self::Ticket => ("ticket", StatusCode::GONE),
            Self::Replayed => ("replayed", StatusCode::CONFLICT),
            Self::Dealer => ("dealer", StatusCode::CONFLICT),
            Self::Busy(_) => ("busy", StatusCode::SERVICE_UNAVAILABLE),
            Self::Replaced(_) => ("replaced", StatusCode::CONFLICT),
            Self::Limit(_) => ("limit", StatusCode::FORBIDDEN),
            Self::Absent(_) => ("absent", StatusCode::BAD_GATEWAY),
            Self::Differs(_) => ("differs", StatusCode::CONFLICT),
            Self::NoInference => ("no-inference", StatusCode::NOT_FOUND),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// The body of the answer.
    pub(crate) fn to_json(&self) -> String {
        let shown = Shown { error: Named { code: self.code().0, message: self.to_string() } };
        serde_json::to_string(&shown).unwrap_or_default()
    }

    /// The words that a page is told of a session that failed: nothing about this side's files.
    pub(crate) fn of_session(error: &ServiceError) -> Self {
        match error.kind() {
            Kind::PeerLost | Kind::TimedOut => Self::Absent(error.to_string()),
            Kind::Differs => Self::Differs(error.to_string()),
            _ => Self::Internal,
        }
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::NoLength => Self::NoLength,
            BodyError::Size { expected, found } => Self::Size { expected, found },
            BodyError::Length => Self::Length,
        }
    }
}

impl From<Refused> for Problem {
    fn from((refusal, reason): Refused) -> Self {
        match refusal {
            Refusal::Busy => Self::Busy(reason),
            Refusal::Replaced => Self::Replaced(reason),
            Refusal::Differs => Self::Differs(reason),
            Refusal::Limit => Self::Limit(reason),
            _ => Self::Internal,
        }
    }
}
