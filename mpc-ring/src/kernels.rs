//! Matrix products and convolutions over ring elements, behind one interface that every backend implements.
//!
//! Both are sums of register tiles: a few rows of the left operand (the weights) times a few vectors of columns of the
//! right one. A backend provides the tile; [`matrix_product`] and [`convolution`] choose the blocks.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocks;
mod cipher;
mod convolution;
mod gather;
mod lookup;
mod matrix;
mod ntt;
mod pages;
mod portable;
mod tile;

pub use blocks::{
    PLANE_BLOCKS, children, children_with, low_planes, low_planes_with, orthomorphism, orthomorphism_with, xor_at,
    xor_at_with,
};
pub use cipher::{Cipher, write_counters};
pub use convolution::{
    Convolution, ShapeError, convolution, convolution_modulo, convolution_modulo_with, convolution_packed,
    convolution_packed_modulo, convolution_packed_modulo_with, convolution_with, pack_weights, pack_weights_with,
};
pub use gather::{gather_xor, gather_xor_with};
pub use lookup::{TABLE_BLOCK, Tables, lookup, lookup_with};
pub use matrix::{MatrixProduct, matrix_product, matrix_product_with};
pub use ntt::Ntt;
pub use pages::{LARGE_PAGE, prefer_large_pages};

use core::sync::atomic::{AtomicU8, Ordering};

use tile::{Tile, TileShape};

/// One more than the place in [`Backend::ALL`] of the backend that this process chose, or zero.
static CHOSEN: AtomicU8 = AtomicU8::new(0);

/// An implementation of the kernels. All compute the same elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// Plain Rust, on every machine.
    Portable,
    /// 256-bit vectors, on x86-64 with AVX2.
    Avx2,
    /// 512-bit vectors, on x86-64 with AVX-512 F and DQ.
    Avx512,
    /// Tiles of bytes for convolutions with packed weights, on x86-64 with AMX-INT8, and [`Avx512`](Self::Avx512) for the
    /// rest.
    Amx,
}

impl Backend {
    /// Every backend, from the slowest to the fastest.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Avx2, Self::Avx512, Self::Amx];

    /// The fastest backend of this machine, or the one that `--cfg mpc_ring_backend="…"` names or the process
    /// [chose](Self::choose).
    ///
    /// # Panics
    /// If the named backend is not available on this machine.
    #[must_use]
    pub fn detect() -> Self {
        if let Some(forced) = Self::forced() {
            assert!(forced.is_available(), "the backend that mpc_ring_backend names is not available on this machine");
            return forced;
        }
        let chosen = usize::from(CHOSEN.load(Ordering::Relaxed)).checked_sub(1);
        if let Some(&chosen) = chosen.and_then(|place| Self::ALL.get(place)) {
            return chosen;
        }
        Self::ALL.into_iter().rev().find(|backend| backend.is_available()).unwrap_or(Self::Portable)
    }

    /// Makes this the backend of the process, to measure or check it beside others, and gives the one that is used from now
    /// on: that which `--cfg mpc_ring_backend="…"` names stays. To be called before weights are packed: backends pack
    /// differently.
    ///
    /// ```
    /// use mpc_ring::Backend;
    /// let used = Backend::Portable.choose();
    /// assert_eq!(Backend::detect(), used);
    /// ```
    ///
    /// # Panics
    /// If the backend is not available on this machine.
    pub fn choose(self) -> Self {
        assert!(self.is_available(), "{self:?} is not available on this machine");
        let place = Self::ALL.iter().position(|&backend| backend == self).unwrap_or_default();
        CHOSEN.store(place as u8 + 1, Ordering::Relaxed);
        Self::detect()
    }

    /// Whether this machine can run the backend.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Amx => amx::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 | Self::Amx => false,
        }
    }

    const fn forced() -> Option<Self> {
        if cfg!(mpc_ring_backend = "portable") {
            Some(Self::Portable)
        } else if cfg!(mpc_ring_backend = "avx2") {
            Some(Self::Avx2)
        } else if cfg!(mpc_ring_backend = "avx512") {
            Some(Self::Avx512)
        } else if cfg!(mpc_ring_backend = "amx") {
            Some(Self::Amx)
        } else {
            None
        }
    }
}

/// Runs `work`, compiled for this machine's vectors as far as the compiler inlines it, which it does with short closures: for loops
/// over secrets that need no kernel of their own. Longer ones are [`Work`]. What it computes is the same on every machine.
///
/// ```
/// let doubled: Vec<u64> = mpc_ring::kernels::vectorized(|| [1, 2, 3].iter().map(|x| x << 1).collect());
/// assert_eq!(doubled, [2, 4, 6]);
/// ```
#[inline]
pub fn vectorized<T>(work: impl FnOnce() -> T) -> T {
    vectorized_whole(Inlined(work))
}

/// Work for [`vectorized_whole`].
pub trait Work {
    /// The result.
    type Output;

    /// Does it. To be `#[inline(always)]`, and so all that it calls: what is not inlined is not compiled for vectors.
    fn run(self) -> Self::Output;
}

/// A closure, as far as the compiler inlines it.
struct Inlined<F>(F);

impl<T, F: FnOnce() -> T> Work for Inlined<F> {
    type Output = T;

    #[inline(always)]
    fn run(self) -> T {
        (self.0)()
    }
}

/// As [`vectorized`], all of it compiled for this machine's vectors.
#[inline]
pub fn vectorized_whole<W: Work>(work: W) -> W::Output {
    match Backend::detect() {
        #[cfg(target_arch = "x86_64")]
        Backend::Avx2 => avx2::vectorized(work),
        #[cfg(target_arch = "x86_64")]
        Backend::Avx512 | Backend::Amx => avx512::vectorized(work),
        _ => work.run(),
    }
}

/// The kernels of one ring, by backend. A supertrait of [`Ring`](crate::Ring), implemented by this crate only.
pub trait Kernels: Sized {
    /// The largest tile of `backend`.
    #[doc(hidden)]
    fn tile_shape(backend: Backend) -> TileShape;

    /// Adds the tile's product to its output.
    #[doc(hidden)]
    fn accumulate_tile(backend: Backend, tile: Tile<'_, Self>);

    /// The elements' bytes, in the order of this machine.
    #[doc(hidden)]
    fn bytes_of(elements: &[Self]) -> &[u8];

    /// As [`bytes_of`](Self::bytes_of).
    #[doc(hidden)]
    fn bytes_of_mut(elements: &mut [Self]) -> &mut [u8];

    /// The sum of the products of `left` and `right`, element by element.
    #[doc(hidden)]
    fn dot(backend: Backend, left: &[Self], right: &[Self]) -> Self;
}

/// Dispatches to the vector backends that a ring has, and to the portable one otherwise.
macro_rules! impl_kernels {
    ($ring:ty $(, $variant:ident => $module:ident)*) => {
        impl Kernels for $ring {
            fn tile_shape(backend: Backend) -> TileShape {
                match backend {
                    $(#[cfg(target_arch = "x86_64")]
                    Backend::$variant => <$ring as $module::Vectors>::SHAPE,)*
                    _ => portable::SHAPE,
                }
            }

            fn accumulate_tile(backend: Backend, tile: Tile<'_, Self>) {
                match backend {
                    $(#[cfg(target_arch = "x86_64")]
                    Backend::$variant => <$ring as $module::Vectors>::accumulate_tile(tile),)*
                    _ => portable::accumulate_tile(tile),
                }
            }

            fn bytes_of(elements: &[Self]) -> &[u8] {
                bytemuck::cast_slice(elements)
            }

            fn bytes_of_mut(elements: &mut [Self]) -> &mut [u8] {
                bytemuck::cast_slice_mut(elements)
            }

            fn dot(backend: Backend, left: &[Self], right: &[Self]) -> Self {
                match backend {
                    $(#[cfg(target_arch = "x86_64")]
                    Backend::$variant => <$ring as $module::Vectors>::dot(left, right),)*
                    _ => portable::dot(left, right),
                }
            }
        }
    };
}

impl_kernels!(u32, Avx2 => avx2, Avx512 => avx512, Amx => avx512);
impl_kernels!(u64, Avx2 => avx2, Avx512 => avx512, Amx => avx512);
impl_kernels!(u128);
