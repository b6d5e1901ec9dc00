#![doc = include_str!("../README.md")]
#![no_std]

pub mod bitslice;
pub mod fixed_point;
pub mod kernels;
pub mod packing;
mod ring;
mod width;

pub use fixed_point::{FixedPoint, RangeError, RangeErrorReason};
pub use kernels::{
    Backend, Convolution, MatrixProduct, ShapeError, convolution, convolution_with, matrix_product, matrix_product_with,
};
pub use ring::{Ring, read_all, write_all};
pub use width::{RingBits, UnknownRing};
