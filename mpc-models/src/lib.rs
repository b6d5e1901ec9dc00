#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(feature = "std")]
pub mod digits;
#[cfg(feature = "std")]
pub mod file;
pub mod minionn;
pub mod model;
#[cfg(feature = "std")]
pub mod npy;
#[cfg(feature = "onnx")]
pub mod onnx;
pub mod resnet32;
pub mod weights;

#[cfg(feature = "std")]
pub use digits::{Digits, DigitsError};
#[cfg(feature = "std")]
pub use file::{FileError, read_file};
pub use minionn::{load_minionn, minionn};
pub use model::{Model, UnknownModel};
#[cfg(feature = "std")]
pub use npy::{NpyError, read_npy_images};
pub use resnet32::{load_resnet32, resnet32};
pub use weights::{BatchNorm, FoldError, LoadError, file_limit, fold_batch_norm, load_folded};
