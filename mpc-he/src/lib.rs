#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod encryption;
mod error;
mod evaluation;
mod layer;
mod layout;
mod message;
mod modulus;
mod multiples;
mod noise;
mod ring;
mod sample;

pub use encryption::{Encrypted, Encryption, Hint};
pub use error::HeError;
pub use evaluation::{Evaluation, Weights};
pub use layer::{Linear, MAX_ELEMENTS};
pub use layout::Layout;
pub use message::{Ciphertext, OPENING_BYTES};
pub use modulus::Modulus;
pub use noise::{FLOODING_BITS, NoiseBound};
pub use ring::{COEFFICIENTS, POLYNOMIAL_BYTES, PRIMES};
pub use sample::PublicSeed;
