#![doc = include_str!("../README.md")]
#![no_std]

#[cfg(feature = "threads")]
extern crate std;

pub mod bitslice;
pub mod fixed_point;
pub mod kernels;
pub mod packing;
mod ring;
pub mod threads;
mod width;

pub use fixed_point::{FixedPoint, RangeError, RangeErrorReason};
pub use kernels::{
    Backend, Convolution, MatrixProduct, ShapeError, convolution, convolution_modulo, convolution_modulo_with,
    convolution_packed, convolution_packed_modulo, convolution_packed_modulo_with, convolution_with, matrix_product,
    matrix_product_with, pack_weights, pack_weights_with,
};
pub use ring::{Ring, read_all, write_all};
pub use width::{RingBits, UnknownRing};
