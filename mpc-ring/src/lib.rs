#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]

pub mod kernels;
mod ring;

pub use ring::{Ring, read_all, write_all};
