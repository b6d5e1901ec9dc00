//! Participants: servers, the dealer, data owners and depositors of models, and the sessions that they have.

mod agreed;
pub mod client;
pub mod dealer;
pub mod depositor;
pub mod report;
pub mod server;
mod session;
