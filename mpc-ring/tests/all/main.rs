//! All integration tests in one program, so that what they use is compiled once for all of them.
#![allow(missing_docs)]

mod bitslice;
mod blocks;
mod examples;
mod fixed_point;
mod kernels;
mod ntt;
mod packing;
mod ring;
