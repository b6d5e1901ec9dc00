#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod arithmetic;
mod binary;
mod cipher;
mod error;
mod prg;
mod secret;
#[cfg(feature = "serde")]
mod wire;
mod zero;

pub use arithmetic::ArithmeticShares;
pub use binary::BinaryShares;
pub use cipher::BlockCipher;
pub use error::ShareError;
pub use prg::{Prg, Reader, Seed, Stretch};
pub use secret::SecretVec;
pub use zero::ZeroSharing;

/// The smallest number of parties that can share a secret.
pub const MIN_PARTIES: usize = 2;
/// The largest number of parties that this library is made and tested for.
pub const MAX_PARTIES: usize = 8;

/// Checks a number of parties against [`MIN_PARTIES`] and [`MAX_PARTIES`].
///
/// # Errors
/// [`ShareError::Parties`] outside that range.
pub fn check_parties(parties: usize) -> Result<(), ShareError> {
    if (MIN_PARTIES..=MAX_PARTIES).contains(&parties) { Ok(()) } else { Err(ShareError::Parties { parties }) }
}
