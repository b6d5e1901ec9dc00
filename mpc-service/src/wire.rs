//! The wire: messages, links, how a connection is opened, and the limits of what a peer may send.

pub(crate) mod accept;
pub mod address;
mod connections;
pub mod limits;
pub mod link;
pub mod listener;
pub mod message;
pub(crate) mod opening;
pub(crate) mod rendezvous;
