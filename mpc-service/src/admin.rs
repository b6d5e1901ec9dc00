//! An operator's view of a running service: its figures, whether it lives, and whether it is ready.
//!
//! Each service counts in its [`Status`], whether anybody looks or not. With the feature `admin`, [`serve_admin`] shows it over
//! HTTP.
//!
//! # Security
//! The figures are counts, sizes, times, fingerprints of data owners and names of reasons: nothing of a key, a share, an input or
//! a result. Whoever reaches the address reads them; so it is one of loopback, or of a network of operators.

mod metrics;
#[cfg(feature = "admin")]
mod routes;
mod status;

pub(crate) use metrics::{Counting, Metrics, Purpose};
#[cfg(feature = "admin")]
pub use routes::serve_admin;
pub use status::{Readiness, Status};
