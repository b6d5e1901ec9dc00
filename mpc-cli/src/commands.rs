//! The commands, each with its arguments.

pub mod check;
pub mod dealer;
pub mod demo;
pub mod deposit;
pub mod generate;
pub mod inspect;
pub mod keygen;
pub mod pack;
pub mod page;
pub mod plan;
pub mod prepare;
pub mod query;
pub mod run;
pub mod serve;
pub mod store;
