//! All integration tests in one program, so that what they use is compiled once for all of them.
#![allow(missing_docs)]

mod correlations;
mod deploy;
mod disclosure;
mod faults;
mod folders;
mod full_disk;
mod guide;
mod journey;
mod limits;
mod links;
mod logs;
mod no_dealer;
mod page;
mod parts;
// That of the unit tests of stores.
#[path = "../../../mpc-service/src/at_rest/prepared/postgres/server.rs"]
mod postgres_server;
mod range;
mod run;
mod samples;
// That of the unit tests of stores, too.
#[path = "../../../mpc-service/src/at_rest/small_disk.rs"]
mod small_disk;
mod soak;
mod stopping;
mod support;
mod widths;
