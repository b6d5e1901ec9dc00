//! All integration tests in one program, so that what they use is compiled once for all of them.
#![allow(missing_docs)]

mod architectures;
#[cfg(feature = "std")]
mod arrays;
#[cfg(feature = "bundled")]
mod bundled;
#[cfg(feature = "bundled")]
mod examples;
#[cfg(feature = "images")]
mod images;
mod minionn;
#[cfg(feature = "std")]
mod npy;
mod random;
mod registry;
mod resnet32;
#[cfg(feature = "bundled")]
mod samples;
