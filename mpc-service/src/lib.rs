#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod client;
pub mod dealer;
pub mod error;
pub mod limits;
pub mod link;
pub mod listener;
mod meeting;
pub mod message;
pub mod pack;
pub mod report;
pub mod server;
mod session;
pub mod shelf;
pub mod store;
pub mod terms;
pub mod vault;

pub use client::{Client, Correlations};
pub use dealer::Dealer;
pub use error::{Kind, ServiceError};
pub use limits::Limits;
pub use link::{Endpoint, Peer};
pub use listener::listen;
pub use pack::{PackError, PlanDigest, PrivateModel, PublicModel};
pub use report::{Event, InferenceReport, StepReport, Watch};
pub use server::{Contacts, Holdings, Server};
pub use shelf::Shelf;
pub use store::{BatchId, Store, StoreError};
pub use terms::{Reveal, RevealTo, Setting, Terms};
