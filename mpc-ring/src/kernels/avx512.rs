//! Vector kernels.

/// Whether this machine has the instructions.
pub(crate) fn is_available() -> bool {
    false
}
