//! All integration tests in one program, so that what they use is compiled once for all of them.
#![allow(missing_docs)]

mod caches;
mod cases;
mod conformance;
mod examples;
mod exported;
mod exporters;
mod formulas;
mod hidden;
mod hostile;
mod lookups;
mod made;
mod masks;
mod models;
mod near;
mod normalise;
mod openings;
mod placed;
mod precision;
mod quantised;
mod refusals;
mod ties;
mod values;
mod whole;
