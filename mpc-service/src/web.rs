//! A page in a browser as the data owner: servers that hold shares of models take inputs over HTTP, too.
//!
//! The page splits its inputs as every data owner outside does ([`mpc_nn::delegation`]), seals each server's share to that
//! server's [`WebKey`], posts one request to each server, and asks until the share of the result is there, which the server
//! has sealed for the page. `docs/web.md` of the project has the messages byte by byte.
//!
//! # Security
//! A share that is posted can be opened by the server alone that it is sealed to: no proxy, content network or other server
//! reads it. TLS protects the tokens: that of a [`PageCertificate`], or of a proxy before a server that speaks plain HTTP. A ticket
//! of the server is in each request, and serves once.

mod description;
mod envelope;
mod jobs;
mod pages;
mod problem;
mod routes;
mod tickets;
mod tokens;

pub use crate::http::{HttpLimits, PageCertificate, PageCertificateError};
pub use description::{Description, DescriptionError, Place};
pub use envelope::WebKey;
pub use pages::{Page, serve_pages};
pub use routes::{Origin, WebSettings};
pub use tokens::{Tokens, TokensError};

pub(crate) use envelope::Posted;
pub(crate) use problem::Problem;
pub(crate) use routes::serve;
