//! The commands, each with its arguments.

pub mod dealer;
pub mod deposit;
pub mod generate;
pub mod inspect;
pub mod keygen;
pub mod local;
pub mod pack;
pub mod plan;
pub mod prepare;
pub mod query;
pub mod serve;
pub mod store;
