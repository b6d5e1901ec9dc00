//! All integration tests in one program, so that what they use is compiled once for all of them.
#![allow(missing_docs)]
#![cfg(feature = "std")]

#[cfg(feature = "tls")]
mod certificates;
mod conformance;
mod emulated;
mod examples;
mod futures;
mod handshake;
mod links;
mod network;
#[cfg(feature = "tls")]
mod proxy;
mod tcp;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_forged;
#[cfg(feature = "tls")]
mod tls_frames;
