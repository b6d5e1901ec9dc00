#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod admin;
pub mod at_rest;
pub mod error;
#[cfg(any(feature = "admin", feature = "web"))]
mod http;
pub mod names;
pub mod roles;
pub mod terms;
#[cfg(feature = "web")]
pub mod web;
pub mod wire;

pub use at_rest::model_shares::ModelShares;
pub use at_rest::packed_model::{PackError, PrivateModel, PublicModel};
pub use at_rest::prepared::{FolderStore, PreparedStore, StoreError, StorePlace, Stores};
pub use error::{Kind, ServiceError};
pub use names::{BatchId, DepositId, Owner, PlanDigest, SessionId};
pub use roles::client::{Client, Correlations, Results};
pub use roles::dealer::Dealer;
pub use roles::depositor::{Deposited, Depositor};
pub use roles::report::{Event, InferenceReport, StepReport, Watch};
pub use roles::server::{Contacts, Holdings, Recipient, Server};
pub use terms::{Reveal, RevealTo, Terms, TermsError, Topology};
pub use wire::address::Addresses;
pub use wire::limits::Limits;
pub use wire::link::{Endpoint, Peer};
pub use wire::listener::listen;
