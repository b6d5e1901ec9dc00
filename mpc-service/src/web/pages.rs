//! The files of a page, served as they are.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use crate::error::ServiceError;
use crate::http::{self, Handler, HttpLimits, PLAIN, PageCertificate};

/// A file of a page.
#[derive(Clone, Debug)]
pub struct Page {
    /// The kind of its content.
    pub content_type: &'static str,
    /// Its content.
    pub content: Bytes,
}

/// Files by their paths, each of which begins with `/`, and the policy that browsers keep to.
struct Pages {
    files: BTreeMap<String, Page>,
    policy: HeaderValue,
}

/// Serves files by their paths, each of which begins with `/`, with that `Content-Security-Policy`, until `stop` is complete;
/// over HTTPS where there is a certificate.
///
/// # Errors
/// [`ServiceError::Listen`]; [`ServiceError::Arguments`] for a policy that is none.
pub async fn serve_pages(
    files: BTreeMap<String, Page>,
    policy: &str,
    at: (TcpListener, Option<PageCertificate>),
    stop: impl Future<Output = ()>,
) -> Result<(), ServiceError> {
    let policy = HeaderValue::from_str(policy).map_err(|_| {
        ServiceError::Arguments("the address of a server has characters that no address has".to_owned())
    })?;
    http::serve_pages(Arc::new(Pages { files, policy }), at, HttpLimits::default(), stop).await
}

impl Handler for Pages {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        let mut answer = match self.files.get(if path == "/" { "/index.html" } else { path }) {
            _ if request.method() != Method::GET => {
                http::answer(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "a page is fetched with GET\n")
            }
            None => http::answer(StatusCode::NOT_FOUND, PLAIN, "there is nothing at this address\n"),
            Some(page) => http::answer(StatusCode::OK, page.content_type, page.content.clone()),
        };
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        answer
    }
}
