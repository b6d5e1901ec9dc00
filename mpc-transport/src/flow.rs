//! Frames to and from one peer over a non-blocking stream, each resumed where it stopped.

use std::io::{self, ErrorKind};
use std::task::{Context, Poll};

use crate::drive::{Flow, Step};
use crate::frame::{announced, check_exact, check_limit, header};
use crate::stream::{ByteStream, Link};
use crate::{FRAME_HEADER_BYTES, MAX_FRAME_BYTES, TransportError, Wait};

/// A frame on its way out.
pub(crate) struct Outgoing<'a> {
    header: [u8; FRAME_HEADER_BYTES],
    message: &'a [u8],
    /// Bytes written, of header and message together.
    written: usize,
}

impl<'a> Outgoing<'a> {
    /// # Errors
    /// [`TransportError::FrameTooLong`].
    pub(crate) fn new(party: usize, message: &'a [u8]) -> Result<Self, TransportError> {
        Ok(Self { header: header(party, message.len())?, message, written: 0 })
    }

    fn is_done(&self, stream: &impl ByteStream) -> bool {
        self.written == FRAME_HEADER_BYTES + self.message.len() && stream.is_flushed()
    }

    /// Writes at most `chunk` bytes of the message.
    fn write(&mut self, stream: &mut impl ByteStream, chunk: usize) -> io::Result<()> {
        let header = self.header.get(self.written..).unwrap_or_default();
        let start = self.written.saturating_sub(FRAME_HEADER_BYTES);
        let end = self.message.len().min(start.saturating_add(chunk));
        // Header and message together: a short frame is one call and one segment.
        self.written += stream.write(header, &self.message[start..end])?;
        Ok(())
    }
}

/// A frame on its way in.
pub(crate) struct Incoming<'a> {
    header: [u8; FRAME_HEADER_BYTES],
    message: Buffer<'a>,
    /// Bytes read, of header and message together.
    read: usize,
}

/// Where a message goes, and which lengths it may have.
enum Buffer<'a> {
    Exact(&'a mut [u8]),
    Bounded { limit: usize, message: &'a mut Vec<u8> },
}

impl<'a> Incoming<'a> {
    /// # Errors
    /// [`TransportError::FrameTooLong`].
    pub(crate) fn exact(party: usize, message: &'a mut [u8]) -> Result<Self, TransportError> {
        check_limit(party, message.len(), MAX_FRAME_BYTES)?;
        Ok(Self::new(Buffer::Exact(message)))
    }

    pub(crate) fn bounded(limit: usize, message: &'a mut Vec<u8>) -> Self {
        Self::new(Buffer::Bounded { limit: limit.min(MAX_FRAME_BYTES), message })
    }

    fn new(message: Buffer<'a>) -> Self {
        Self { header: [0; FRAME_HEADER_BYTES], message, read: 0 }
    }

    fn is_done(&self) -> bool {
        self.read == FRAME_HEADER_BYTES + self.message.bytes().len()
    }

    /// Reads what is there of this frame, and nothing of the next.
    fn read(&mut self, party: usize, stream: &mut impl ByteStream) -> Result<(), ReadError> {
        let had_header = self.read >= FRAME_HEADER_BYTES;
        let header = self.header.get_mut(self.read..).unwrap_or_default();
        let start = self.read.saturating_sub(FRAME_HEADER_BYTES);
        // Header and message together: a short frame is one call. What follows a wrong header is never used.
        self.read += stream.read(header, &mut self.message.bytes_mut()[start..])?;
        if !had_header && self.read >= FRAME_HEADER_BYTES {
            self.message.admit(party, announced(self.header))?;
        }
        Ok(())
    }
}

impl Buffer<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Exact(message) => message,
            Self::Bounded { message, .. } => message,
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Exact(message) => message,
            Self::Bounded { message, .. } => message,
        }
    }

    /// Checks the announced length; makes room for a bounded message only then.
    fn admit(&mut self, party: usize, announced: usize) -> Result<(), TransportError> {
        match self {
            Self::Exact(message) => check_exact(party, announced, message.len()),
            Self::Bounded { limit, message } => {
                check_limit(party, announced, *limit)?;
                message.resize(announced, 0);
                Ok(())
            }
        }
    }
}

enum ReadError {
    Socket(io::Error),
    Frame(TransportError),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

impl From<TransportError> for ReadError {
    fn from(error: TransportError) -> Self {
        Self::Frame(error)
    }
}

/// The error that a failed read or write on the peer's link means.
fn failure(party: usize, error: &io::Error) -> TransportError {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, InvalidData, NotConnected, UnexpectedEof};
    match error.kind() {
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof => {
            TransportError::Closed { party }
        }
        InvalidData => TransportError::Corrupted { party, reason: error.to_string() },
        _ => TransportError::Io { party, reason: error.to_string() },
    }
}

/// Whether bytes moved; a socket that is not ready moved none.
fn moved(party: usize, result: Result<(), ReadError>) -> Result<bool, TransportError> {
    match result {
        Ok(()) => Ok(true),
        Err(ReadError::Frame(error)) => Err(error),
        Err(ReadError::Socket(error)) => match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(false),
            _ => Err(failure(party, &error)),
        },
    }
}

/// The work that is left to do with one peer.
pub(crate) struct FrameFlow<'a, S> {
    pub(crate) party: usize,
    pub(crate) link: &'a mut Link<S>,
    pub(crate) outgoing: Option<Outgoing<'a>>,
    pub(crate) incoming: Option<Incoming<'a>>,
    pub(crate) chunk_bytes: usize,
}

impl<S: ByteStream> FrameFlow<'_, S> {
    fn advance_outgoing(&mut self) -> Result<bool, TransportError> {
        let Some(outgoing) = &mut self.outgoing else { return Ok(false) };
        let written = outgoing.write(&mut self.link.stream, self.chunk_bytes);
        let moved = moved(self.party, written.map_err(ReadError::Socket))?;
        self.outgoing.take_if(|outgoing| outgoing.is_done(&self.link.stream));
        Ok(moved)
    }

    fn advance_incoming(&mut self) -> Result<bool, TransportError> {
        let Some(incoming) = &mut self.incoming else { return Ok(false) };
        let moved = moved(self.party, incoming.read(self.party, &mut self.link.stream))?;
        self.incoming.take_if(|incoming| incoming.is_done());
        Ok(moved)
    }
}

impl<S: ByteStream> Flow for FrameFlow<'_, S> {
    fn party(&self) -> usize {
        self.party
    }

    fn fault(&mut self) -> &mut Option<TransportError> {
        &mut self.link.fault
    }

    fn advance(&mut self) -> Result<Step, TransportError> {
        let sent = self.advance_outgoing()?;
        let received = self.advance_incoming()?;
        let done = self.outgoing.is_none() && self.incoming.is_none();
        Ok(match (done, sent || received) {
            (true, _) => Step::Done,
            (false, true) => Step::Moved,
            (false, false) => Step::Stuck,
        })
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let writable = self.outgoing.is_some() && self.link.stream.poll_writable(cx).is_ready();
        let readable = self.incoming.is_some() && self.link.stream.poll_readable(cx).is_ready();
        if writable || readable { Poll::Ready(()) } else { Poll::Pending }
    }

    fn waits_for(&self) -> Wait {
        if self.incoming.is_some() { Wait::Message } else { Wait::Delivery }
    }

    fn bytes(&self) -> u64 {
        let outgoing = self.outgoing.as_ref().map_or(0, |frame| frame.message.len());
        let incoming = self.incoming.as_ref().map_or(0, |frame| frame.message.bytes().len());
        (outgoing as u64).saturating_add(incoming as u64)
    }

    fn abort(&mut self) {
        self.link.stream.end();
    }
}
