#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(feature = "std")]
pub mod arrays;
pub mod breast_cancer;
#[cfg(feature = "std")]
pub mod cancer;
#[cfg(feature = "std")]
pub mod digits;
#[cfg(feature = "images")]
pub mod images;
mod layers;
pub mod lenet;
pub mod minionn;
pub mod mobilenetv2;
pub mod model;
#[cfg(feature = "std")]
pub mod npy;
pub mod random;
pub mod resnet;
pub mod resnet32;
#[cfg(feature = "std")]
pub mod samples;
#[cfg(feature = "std")]
pub mod segments;
pub mod squeezenet;
#[cfg(feature = "images")]
pub mod tensors;
pub mod unet;
pub mod vgg16;
pub mod weights;

pub use breast_cancer::{breast_cancer, load_breast_cancer};
#[cfg(feature = "std")]
pub use cancer::BreastCancer;
#[cfg(feature = "std")]
pub use digits::{Digits, DigitsError};
#[cfg(feature = "images")]
pub use images::{ImageClasses, ImageError, ImageFolder, ImageOptions, decode_image};
pub use lenet::{lenet, load_lenet};
pub use minionn::{load_minionn, load_minionn_square, minionn, minionn_square};
pub use mobilenetv2::{load_mobilenetv2, mobilenetv2};
pub use model::{Model, ModelInput, Task, UnknownModel};
#[cfg(feature = "std")]
pub use mpc_nn::file::{FileError, read_file};
#[cfg(feature = "std")]
pub use npy::{NpyError, read_npy_images};
pub use random::random_weights;
pub use resnet::{load_resnet, resnet18, resnet50};
pub use resnet32::{load_resnet32, resnet32};
#[cfg(feature = "std")]
pub use samples::{Samples, SamplesError, Targets};
#[cfg(feature = "std")]
pub use segments::{Overlap, Segments};
pub use squeezenet::{load_squeezenet, squeezenet};
pub use unet::{load_unet, unet};
pub use vgg16::{load_vgg16, vgg16};
pub use weights::{BatchNorm, FoldError, LoadError, file_limit, fold_batch_norm, load_folded};
