//! Correlations: what the parties hold of each other's randomness before an online phase, and those who make it.
//!
//! A correlation says once, in [`Correlation::from_fields`], which fields it has, in order. Its [`Layout`] follows from that,
//! and from the layout its traffic, frames and memory. A party asks a [`CorrelationSource`] for each correlation of a plan;
//! a [`Provider`] fills the fields. The [`Dealer`] walks through the same fields to make the other side of them.

mod at_rest;
mod dealer;
mod dealing;
mod dealt;
mod fields;
mod kinds;
mod layout;
mod packed;
mod provider;
mod record;
mod request;
mod source;

pub use dealer::Dealer;
pub use dealt::{Dealt, OwnRecorded, Recorded};
pub use fields::{Correlation, Fields};
pub use layout::{CORRECTION_FRAME_BYTES, Field, Form, LAYOUT, Layout, Origin, SEEDS_BYTES, layout_digest};
pub use provider::{Provided, Provider, Share};
pub use record::{frame_lengths, record, traffic};
pub use request::Request;
pub use source::CorrelationSource;

pub(crate) use at_rest::{AtRest, BLOCK, BitsAtRest};
pub(crate) use dealer::deal_all;
pub(crate) use dealing::{Compare, Corrections, Deal, Dealing, Secret, SessionSeeds};
pub(crate) use dealt::generators;
pub(crate) use fields::Made;
pub(crate) use packed::Expansion;
