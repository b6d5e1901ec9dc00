#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod erased;
mod error;
pub mod frame;
mod handshake;
mod link;
mod link_settings;
mod meter;
mod replay;
mod traffic;
mod transport;

#[cfg(feature = "std")]
mod dial;
#[cfg(feature = "std")]
mod emulated;
#[cfg(feature = "std")]
mod memory;
#[cfg(feature = "std")]
mod network;
#[cfg(feature = "std")]
mod pair;
#[cfg(feature = "std")]
mod poll;
#[cfg(feature = "std")]
mod tcp;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "std")]
mod transfer;

pub use erased::AnyTransport;
pub use error::{Peer, TransportError, Wait};
pub use frame::{FRAME_HEADER_BYTES, MAX_FRAME_BYTES};
pub use handshake::{
    Agreement, End, MAX_AGREEMENT_BYTES, MAX_FIELD_NAME_BYTES, MAX_FIELD_VALUE_BYTES, MAX_FIELDS, PROTOCOL_VERSION,
    handshake, handshake_link,
};
pub use link::{Connection, Link};
pub use link_settings::{LinkSettings, LinkSettingsError};
pub use meter::{Meter, Metered, Phase};
pub use replay::{FrameSource, RecordingError};
pub use traffic::Traffic;
pub use transport::Transport;

#[cfg(feature = "std")]
pub use emulated::Emulated;
#[cfg(feature = "std")]
pub use memory::{MemoryLink, MemoryTransport, memory_link, memory_link_with, memory_network};
#[cfg(feature = "std")]
pub use network::Network;
#[cfg(feature = "std")]
pub use pair::Pair;
#[cfg(feature = "std")]
pub use poll::{DEFAULT_POLL, MIN_BYTES_PER_SECOND};
#[cfg(feature = "std")]
pub use tcp::{TcpLink, TcpSettings, TcpTransport};
#[cfg(feature = "tls")]
pub use tls::{SecureLink, SecureTransport};
