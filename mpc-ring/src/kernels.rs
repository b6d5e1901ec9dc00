//! Matrix product over ring elements, behind one interface that every backend implements.

/// An implementation of the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// Plain Rust, on every machine.
    Portable,
}

/// The kernels of one ring, by backend.
pub trait Kernels: Sized {}
impl Kernels for u32 {}
impl Kernels for u64 {}
impl Kernels for u128 {}
