//! Frames to and from one peer over a non-blocking socket, each resumed where it stopped.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::task::{Context, Poll};

use super::{Link, failure};
use crate::drive::{Flow, Step};
use crate::frame::{announced, check_exact, check_limit, header};
use crate::{FRAME_HEADER_BYTES, MAX_FRAME_BYTES, TransportError, Wait};

/// A frame on its way out.
pub(super) struct Outgoing<'a> {
    header: [u8; FRAME_HEADER_BYTES],
    message: &'a [u8],
    /// Bytes written, of header and message together.
    written: usize,
}

impl<'a> Outgoing<'a> {
    /// # Errors
    /// [`TransportError::FrameTooLong`].
    pub(super) fn new(party: usize, message: &'a [u8]) -> Result<Self, TransportError> {
        Ok(Self { header: header(party, message.len())?, message, written: 0 })
    }

    fn is_done(&self) -> bool {
        self.written == FRAME_HEADER_BYTES + self.message.len()
    }

    /// Writes at most `chunk` bytes of the message; returns the number of bytes written.
    fn write(&mut self, mut stream: &TcpStream, chunk: usize) -> io::Result<usize> {
        let start = self.written.saturating_sub(FRAME_HEADER_BYTES);
        let end = self.message.len().min(start.saturating_add(chunk));
        let part = &self.message[start..end];
        let written = match self.header.get(self.written..) {
            // Header and message together: a short frame is one call and one segment.
            Some(header) if !header.is_empty() => stream.write_vectored(&[IoSlice::new(header), IoSlice::new(part)]),
            _ => stream.write(part),
        };
        let written = nonzero(written)?;
        self.written += written;
        Ok(written)
    }
}

/// A frame on its way in.
pub(super) struct Incoming<'a> {
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
    pub(super) fn exact(party: usize, message: &'a mut [u8]) -> Result<Self, TransportError> {
        check_limit(party, message.len(), MAX_FRAME_BYTES)?;
        Ok(Self::new(Buffer::Exact(message)))
    }

    pub(super) fn bounded(limit: usize, message: &'a mut Vec<u8>) -> Self {
        Self::new(Buffer::Bounded { limit: limit.min(MAX_FRAME_BYTES), message })
    }

    fn new(message: Buffer<'a>) -> Self {
        Self { header: [0; FRAME_HEADER_BYTES], message, read: 0 }
    }

    fn is_done(&self) -> bool {
        self.read == FRAME_HEADER_BYTES + self.message.bytes().len()
    }

    /// Reads what is there of this frame, and nothing of the next; returns the number of bytes read.
    fn read(&mut self, party: usize, stream: &TcpStream) -> Result<usize, ReadError> {
        let had_header = self.read >= FRAME_HEADER_BYTES;
        let read = self.read_into_place(stream)?;
        self.read += read;
        if !had_header && self.read >= FRAME_HEADER_BYTES {
            self.message.admit(party, announced(self.header))?;
        }
        Ok(read)
    }

    fn read_into_place(&mut self, mut stream: &TcpStream) -> io::Result<usize> {
        let message = self.message.bytes_mut();
        nonzero(match self.header.get_mut(self.read..) {
            // Header and message together: a short frame is one call. What follows a wrong header is never used.
            Some(header) if !header.is_empty() => {
                stream.read_vectored(&mut [IoSliceMut::new(header), IoSliceMut::new(message)])
            }
            _ => stream.read(&mut message[self.read - FRAME_HEADER_BYTES..]),
        })
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

/// No bytes where some were asked for: the stream has ended.
fn nonzero(transferred: io::Result<usize>) -> io::Result<usize> {
    match transferred {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        other => other,
    }
}

/// Whether bytes moved; a socket that is not ready moved none.
fn moved(party: usize, result: Result<usize, ReadError>) -> Result<bool, TransportError> {
    match result {
        Ok(_) => Ok(true),
        Err(ReadError::Frame(error)) => Err(error),
        Err(ReadError::Socket(error)) => match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(false),
            _ => Err(failure(party, &error)),
        },
    }
}

/// What is left to do with one peer.
pub(super) struct TcpFlow<'a> {
    pub(super) party: usize,
    pub(super) link: &'a mut Link,
    pub(super) outgoing: Option<Outgoing<'a>>,
    pub(super) incoming: Option<Incoming<'a>>,
    pub(super) chunk_bytes: usize,
}

impl TcpFlow<'_> {
    fn advance_outgoing(&mut self) -> Result<bool, TransportError> {
        let Some(outgoing) = &mut self.outgoing else { return Ok(false) };
        let written = outgoing.write(self.link.stream.get_ref(), self.chunk_bytes);
        let moved = moved(self.party, written.map_err(ReadError::Socket))?;
        self.outgoing.take_if(|outgoing| outgoing.is_done());
        Ok(moved)
    }

    fn advance_incoming(&mut self) -> Result<bool, TransportError> {
        let Some(incoming) = &mut self.incoming else { return Ok(false) };
        let moved = moved(self.party, incoming.read(self.party, self.link.stream.get_ref()))?;
        self.incoming.take_if(|incoming| incoming.is_done());
        Ok(moved)
    }
}

impl Flow for TcpFlow<'_> {
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
        // The peer reads an end of stream instead of waiting; a socket that failed already has nothing to end.
        let _ = self.link.stream.get_ref().shutdown(Shutdown::Write);
    }
}
