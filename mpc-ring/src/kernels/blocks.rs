//! Linear steps on blocks of 128 bits, as they surround a block cipher: the time does not depend on the blocks.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
#[cfg(target_arch = "x86_64")]
mod vectors;

use super::Backend;

/// Strings whose bits fill a word of a plane.
pub const PLANE_BLOCKS: usize = 64;

/// Calls a step by the backend.
macro_rules! dispatch {
    ($backend:expr, $step:ident($($argument:expr),*)) => {
        match $backend {
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2 => avx2::$step($($argument),*),
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512 | Backend::Amx => avx512::$step($($argument),*),
            _ => portable::$step($($argument),*),
        }
    };
}

/// The linear orthomorphism σ(h ‖ l) = (h ⊕ l) ‖ h of block i ⊕ `offset` ⊕ i·`step`, for each block: h are the upper 64 bits.
///
/// ```
/// let mut images = [0; 2];
/// mpc_ring::kernels::orthomorphism(&[5 << 64 | 3, 1], 0, 1, &mut images);
/// assert_eq!(images, [6 << 64 | 5, 0]);
/// ```
///
/// # Panics
/// If there are not as many images as blocks.
pub fn orthomorphism(blocks: &[u128], offset: u128, step: u64, images: &mut [u128]) {
    orthomorphism_with(Backend::detect(), blocks, offset, step, images);
}

/// As [`orthomorphism`], by one backend.
///
/// # Panics
/// As for [`orthomorphism`], and if the backend is not available on this machine.
pub fn orthomorphism_with(backend: Backend, blocks: &[u128], offset: u128, step: u64, images: &mut [u128]) {
    check(backend);
    assert_eq!(blocks.len(), images.len(), "an image of each block");
    dispatch!(backend, orthomorphism(blocks, offset, step, images));
}

/// The children of the nodes `left`, of which the cipher's outputs at their σ are `ciphered`: the left child is
/// h = `ciphered` ⊕ σ(node), the right one node ⊕ h. Gives the sums of the left and of the right children.
///
/// # Panics
/// If there are not as many outputs and right children as nodes.
pub fn children(left: &mut [u128], ciphered: &[u128], right: &mut [u128]) -> [u128; 2] {
    children_with(Backend::detect(), left, ciphered, right)
}

/// As [`children`], by one backend.
///
/// # Panics
/// As for [`children`], and if the backend is not available on this machine.
pub fn children_with(backend: Backend, left: &mut [u128], ciphered: &[u128], right: &mut [u128]) -> [u128; 2] {
    check(backend);
    assert!(left.len() == ciphered.len() && left.len() == right.len(), "two children of each node");
    dispatch!(backend, children(left, ciphered, right))
}

/// Keeps the bits `keep` of each block, and adds `value` to the one at `place`, if there is one.
///
/// ```
/// let mut blocks = [1, 2, 3];
/// mpc_ring::kernels::xor_at(&mut blocks, !1, 2, 9);
/// assert_eq!(blocks, [0, 2, 11]);
/// ```
pub fn xor_at(blocks: &mut [u128], keep: u128, place: u64, value: u128) {
    xor_at_with(Backend::detect(), blocks, keep, place, value);
}

/// As [`xor_at`], by one backend.
///
/// # Panics
/// If the backend is not available on this machine.
pub fn xor_at_with(backend: Backend, blocks: &mut [u128], keep: u128, place: u64, value: u128) {
    check(backend);
    dispatch!(backend, xor_at(blocks, keep, place, value));
}

/// Plane b gets bit b of each block, block 0 in the lowest bit, for the lowest bits: of as many as there are planes.
///
/// # Panics
/// If there are more than 64 planes.
pub fn low_planes(blocks: &[u128; PLANE_BLOCKS], planes: &mut [u64]) {
    low_planes_with(Backend::detect(), blocks, planes);
}

/// As [`low_planes`], by one backend.
///
/// # Panics
/// As for [`low_planes`], and if the backend is not available on this machine.
pub fn low_planes_with(backend: Backend, blocks: &[u128; PLANE_BLOCKS], planes: &mut [u64]) {
    check(backend);
    assert!(planes.len() <= 64, "at most 64 planes");
    dispatch!(backend, low_planes(blocks, planes));
}

fn check(backend: Backend) {
    assert!(backend.is_available(), "{backend:?} is not available on this machine");
}
