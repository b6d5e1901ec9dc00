//! All integration tests in one program, so that what they use is compiled once for all of them.
#![allow(missing_docs)]

#[cfg(feature = "admin")]
mod admin;
mod audit;
mod deposits;
mod examples;
mod malformed;
mod own;
// That of the unit tests; these need less of it.
#[cfg(feature = "postgres")]
#[path = "../../src/at_rest/prepared/postgres/server.rs"]
#[allow(dead_code)]
mod postgres_server;
mod refusals;
mod relay;
mod replicas;
// That of the program.
#[path = "../../../mpc-cli/src/reserved.rs"]
mod reserved;
mod restored;
mod service;
mod support;
