//! Reading whole files of a limited size.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::string::{String, ToString};
use std::vec::Vec;

use zeroize::Zeroizing;

/// Why a file could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system reports an error.
    #[error("cannot read {path}: {reason}")]
    Read {
        /// The file.
        path: String,
        /// The message of the operating system.
        reason: String,
    },
    /// A file of more bytes than the caller allows.
    #[error("{path} has more than {limit} bytes, the most that is read here; check that it is the right file")]
    TooLarge {
        /// The file.
        path: String,
        /// The largest size in bytes.
        limit: usize,
    },
}

/// The bytes of a file of at most `limit` bytes; zeroised on drop, as weights and images are secret.
///
/// ```no_run
/// let bytes = mpc_nn::file::read_file("network.safetensors", 1 << 30)?;
/// # Ok::<(), mpc_nn::file::FileError>(())
/// ```
///
/// # Errors
/// A file that cannot be read or is too large.
pub fn read_file(path: impl AsRef<Path>, limit: usize) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let path = path.as_ref();
    let name = || path.display().to_string();
    let read_error = |error: std::io::Error| FileError::Read { path: name(), reason: error.to_string() };
    let file = File::open(path).map_err(read_error)?;
    let size = usize::try_from(file.metadata().map_err(read_error)?.len()).unwrap_or(usize::MAX);
    // With room for all from the start, the buffer does not move and leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(size.min(limit).saturating_add(1)));
    file.take(limit.saturating_add(1) as u64).read_to_end(&mut bytes).map_err(read_error)?;
    if bytes.len() > limit { Err(FileError::TooLarge { path: name(), limit }) } else { Ok(bytes) }
}
