//! What a peer once sent, received again from where it was kept.

use alloc::string::String;
use alloc::vec::Vec;

use crate::{Transport, TransportError};

/// Why recorded messages could not be kept or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// There is less than is asked for.
    #[error("it ends early: it was cut short, or belongs to another plan")]
    Ended,
    /// What keeps the messages failed.
    #[error("{reason}")]
    Storage {
        /// The reason.
        reason: String,
    },
    /// Something other than the next message was asked for.
    #[error("a recording gives back the messages of its one peer and takes none")]
    ReceiveOnly,
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

/// A network of two in which the other node's messages were recorded: they are received without it.
///
/// ```
/// # #[cfg(feature = "std")] {
/// use mpc_transport::{FrameSource, RecordingError, Replay, Transport};
///
/// struct Recorded(Vec<u8>);
///
/// impl FrameSource for Recorded {
///     fn remaining(&self) -> u64 {
///         self.0.len() as u64
///     }
///     fn read(&mut self, bytes: &mut [u8]) -> Result<(), RecordingError> {
///         let rest = self.0.split_off(bytes.len().min(self.0.len()));
///         let read = std::mem::replace(&mut self.0, rest);
///         read.try_into().map(|read: Vec<u8>| bytes.copy_from_slice(&read)).map_err(|_| RecordingError::Ended)
///     }
/// }
///
/// let mut link = Replay::new(0, Recorded(b"onetwo".to_vec()));
/// let mut message = [0; 3];
/// smol::block_on(link.receive(1, &mut message)).unwrap();
/// assert_eq!((&message, link.remaining()), (b"one", 3));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Replay<S> {
    party: usize,
    source: S,
}

impl<S: FrameSource> Replay<S> {
    /// The node `party`, 0 or 1, of a network of two whose other node's messages are in `source`.
    pub fn new(party: usize, source: S) -> Self {
        Self { party: party.min(1), source }
    }

    /// The number of bytes that have not been received.
    pub fn remaining(&self) -> u64 {
        self.source.remaining()
    }

    fn failed(&self, source: RecordingError) -> TransportError {
        TransportError::Recording { party: 1 - self.party, source }
    }
}

impl<S: FrameSource> Transport for Replay<S> {
    fn party(&self) -> usize {
        self.party
    }

    fn parties(&self) -> usize {
        2
    }

    async fn send(&mut self, _: usize, _: &[u8]) -> Result<(), TransportError> {
        Err(self.failed(RecordingError::ReceiveOnly))
    }

    async fn receive(&mut self, from: usize, message: &mut [u8]) -> Result<(), TransportError> {
        if from != 1 - self.party {
            return Err(TransportError::NoSuchParty { party: from, parties: 2 });
        }
        self.source.read(message).map_err(|source| self.failed(source))
    }

    async fn receive_bounded(&mut self, _: usize, _: usize) -> Result<Vec<u8>, TransportError> {
        Err(self.failed(RecordingError::ReceiveOnly))
    }

    async fn exchange(&mut self, _: &[u8], _: &mut [u8]) -> Result<(), TransportError> {
        Err(self.failed(RecordingError::ReceiveOnly))
    }
}
