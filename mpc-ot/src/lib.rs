#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod base;
mod channel;
pub mod comparison;
mod correlated;
mod cots;
pub mod cross;
mod error;
pub mod ferret;
mod hash;
mod pair;
mod planes;
pub mod products;
mod random;
pub mod softspoken;
mod tree;

pub use channel::traffic as exchange_traffic;
pub use correlated::Method;
pub use cots::Cots;
pub use error::OtError;
pub use pair::{OPENING, Pair, PairSettings, Schedule};
pub use random::{Batch, ReceivedBatch, SentBatch};
