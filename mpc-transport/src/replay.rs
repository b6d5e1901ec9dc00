//! The messages that a peer once sent, read again from where they were kept.

use alloc::string::String;

/// Why recorded messages could not be kept or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// There is less than is asked for.
    #[error("it ends early: it was cut short, or belongs to another plan")]
    Ended,
    /// The storage of the messages failed.
    #[error("{reason}")]
    Storage {
        /// The reason.
        reason: String,
    },
}

#[cfg(feature = "std")]
impl From<std::io::Error> for RecordingError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::Ended,
            _ => Self::Storage { reason: alloc::format!("{error}") },
        }
    }
}

/// Where recorded messages are read from, one after the other, without anything between them.
///
/// # Security
/// An implementor that keeps secrets destroys what it has handed out before it can be read again, or is told to by one
/// who does.
pub trait FrameSource: Send {
    /// The number of bytes that have not been read.
    fn remaining(&self) -> u64;

    /// Fills `bytes` with the next ones.
    ///
    /// # Errors
    /// [`RecordingError::Ended`], [`RecordingError::Storage`].
    fn read(&mut self, bytes: &mut [u8]) -> Result<(), RecordingError>;
}

impl<S: FrameSource + ?Sized> FrameSource for &mut S {
    fn remaining(&self) -> u64 {
        (**self).remaining()
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), RecordingError> {
        (**self).read(bytes)
    }
}
