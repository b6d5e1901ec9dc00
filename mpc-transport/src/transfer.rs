//! The frames that one operation sends to a peer and receives from it, each resumed where it stopped.

use std::io::{self, ErrorKind};
use std::task::{Context, Poll};
use std::time::Instant;

use crate::frame::{announced, check_exact, check_limit, header};
use crate::{FRAME_HEADER_BYTES, MAX_FRAME_BYTES, Peer, TransportError, Wait};

/// A connection to a peer, no operation of which blocks.
pub trait Channel: Send {
    /// Takes in what it can of a frame, at most `chunk` bytes of the message; whether anything moved.
    fn put(&mut self, peer: Peer, frame: &mut Outgoing<'_>, chunk: usize) -> Result<bool, TransportError>;

    /// Whether all that was taken in has gone out.
    fn is_flushed(&self) -> bool;

    /// Gives what is there of a frame, and nothing of the next; whether anything moved.
    fn take(&mut self, peer: Peer, frame: &mut Incoming<'_>) -> Result<bool, TransportError>;

    /// Has the task woken when `put` may do more; ready if it may now.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Has the task woken when `take` may do more; ready if it may now.
    fn poll_message(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Tells the peer that nothing follows.
    fn end(&mut self);
}

/// A connection that carries bytes. Operations that cannot go on fail with `WouldBlock`.
pub trait ByteStream: Send {
    /// Takes in bytes of `header`, then of `message`; returns how many, 0 where only earlier ones moved on.
    fn write(&mut self, header: &[u8], message: &[u8]) -> io::Result<usize>;

    /// As [`Channel::is_flushed`].
    fn is_flushed(&self) -> bool;

    /// Fills `header`, then `message`; returns the number of bytes, 0 where what came makes up none yet.
    fn read(&mut self, header: &mut [u8], message: &mut [u8]) -> io::Result<usize>;

    /// As [`Channel::poll_room`].
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// As [`Channel::poll_message`].
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// As [`Channel::end`].
    fn end(&mut self);
}

/// A frame on its way out.
pub struct Outgoing<'a> {
    header: [u8; FRAME_HEADER_BYTES],
    pub(crate) message: &'a [u8],
    /// Bytes taken in by the channel, of header and message together.
    written: usize,
}

impl<'a> Outgoing<'a> {
    /// # Errors
    /// [`TransportError::FrameTooLong`].
    pub(crate) fn new(peer: Peer, message: &'a [u8]) -> Result<Self, TransportError> {
        Ok(Self { header: header(peer, message.len())?, message, written: 0 })
    }

    fn is_written(&self) -> bool {
        self.written == FRAME_HEADER_BYTES + self.message.len()
    }

    /// Notes that all of it was taken in at once.
    pub(crate) fn set_written(&mut self) {
        self.written = FRAME_HEADER_BYTES + self.message.len();
    }
}

/// A frame on its way in.
pub struct Incoming<'a> {
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
    pub(crate) fn exact(peer: Peer, message: &'a mut [u8]) -> Result<Self, TransportError> {
        check_limit(peer, message.len(), MAX_FRAME_BYTES)?;
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

    /// Takes a message that came whole; gives its buffer back where it is not kept.
    pub(crate) fn set_read(&mut self, peer: Peer, mut message: Vec<u8>) -> Result<Option<Vec<u8>>, TransportError> {
        let rest = match &mut self.message {
            Buffer::Exact(buffer) => {
                check_exact(peer, message.len(), buffer.len())?;
                buffer.copy_from_slice(&message);
                Some(message)
            }
            Buffer::Bounded { limit, message: buffer } => {
                check_limit(peer, message.len(), *limit)?;
                std::mem::swap(*buffer, &mut message);
                None
            }
        };
        self.read = FRAME_HEADER_BYTES + self.message.bytes().len();
        Ok(rest)
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
    fn admit(&mut self, peer: Peer, announced: usize) -> Result<(), TransportError> {
        match self {
            Self::Exact(message) => check_exact(peer, announced, message.len()),
            Self::Bounded { limit, message } => {
                check_limit(peer, announced, *limit)?;
                message.resize(announced, 0);
                Ok(())
            }
        }
    }
}

impl<S: ByteStream> Channel for S {
    fn put(&mut self, peer: Peer, frame: &mut Outgoing<'_>, chunk: usize) -> Result<bool, TransportError> {
        let header = frame.header.get(frame.written..).unwrap_or_default();
        let start = frame.written.saturating_sub(FRAME_HEADER_BYTES);
        let end = frame.message.len().min(start.saturating_add(chunk));
        // Header and message together: a short frame is one call and one segment.
        let written = moved(peer, self.write(header, &frame.message[start..end]))?;
        frame.written += written.unwrap_or_default();
        Ok(written.is_some())
    }

    fn is_flushed(&self) -> bool {
        ByteStream::is_flushed(self)
    }

    fn take(&mut self, peer: Peer, frame: &mut Incoming<'_>) -> Result<bool, TransportError> {
        let had_header = frame.read >= FRAME_HEADER_BYTES;
        let header = frame.header.get_mut(frame.read..).unwrap_or_default();
        let start = frame.read.saturating_sub(FRAME_HEADER_BYTES);
        // Header and message together: a short frame is one call. What follows a wrong header is never used.
        let read = moved(peer, self.read(header, &mut frame.message.bytes_mut()[start..]))?;
        frame.read += read.unwrap_or_default();
        if !had_header && frame.read >= FRAME_HEADER_BYTES {
            frame.message.admit(peer, announced(frame.header))?;
        }
        Ok(read.is_some())
    }

    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_writable(cx)
    }

    fn poll_message(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_readable(cx)
    }

    fn end(&mut self) {
        ByteStream::end(self);
    }
}

/// How many bytes moved; none where a socket is not ready.
fn moved(peer: Peer, transferred: io::Result<usize>) -> Result<Option<usize>, TransportError> {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, InvalidData, NotConnected, UnexpectedEof};
    let error = match transferred {
        Ok(bytes) => return Ok(Some(bytes)),
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(None),
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof => {
            Err(TransportError::Closed { peer })
        }
        InvalidData => Err(TransportError::Corrupted { peer, reason: error.to_string() }),
        _ => Err(TransportError::Io { peer, reason: error.to_string() }),
    }
}

/// A channel, and why it cannot be used, if so.
#[derive(Debug)]
pub(crate) struct Wire<C> {
    pub(crate) channel: C,
    pub(crate) fault: Option<TransportError>,
}

/// The outcome of [`Transfer::advance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Everything is transferred.
    Done,
    /// Something was transferred.
    Moved,
    /// Nothing could be.
    Stuck,
}

/// The frames of one operation with one peer, and when any of them last moved.
pub(crate) struct Transfer<'a, C> {
    pub(crate) peer: Peer,
    wire: &'a mut Wire<C>,
    outgoing: Option<Outgoing<'a>>,
    incoming: Option<Incoming<'a>>,
    pub(crate) started: Instant,
    pub(crate) moved: Instant,
    /// The most bytes under way in both directions, as far as known.
    pub(crate) bytes: u64,
    pub(crate) done: bool,
}

impl<'a, C: Channel> Transfer<'a, C> {
    pub(crate) fn new(
        peer: Peer,
        wire: &'a mut Wire<C>,
        outgoing: Option<Outgoing<'a>>,
        incoming: Option<Incoming<'a>>,
    ) -> Self {
        let now = Instant::now();
        Self { peer, wire, outgoing, incoming, started: now, moved: now, bytes: 0, done: false }
    }

    /// Why the connection to the peer cannot be used, if so.
    pub(crate) fn fault(&mut self) -> &mut Option<TransportError> {
        &mut self.wire.fault
    }

    /// Transfers what can be at once.
    pub(crate) fn advance(&mut self, chunk: usize) -> Result<Step, TransportError> {
        self.bytes = self.bytes.max(self.bytes_under_way());
        let sent = self.advance_outgoing(chunk)?;
        let received = self.advance_incoming()?;
        let is_done = self.outgoing.is_none() && self.incoming.is_none();
        if is_done || sent || received {
            self.moved = Instant::now();
        }
        if is_done {
            self.done = true;
            self.wire.fault = None;
        }
        Ok(match (is_done, sent || received) {
            (true, _) => Step::Done,
            (false, true) => Step::Moved,
            (false, false) => Step::Stuck,
        })
    }

    fn advance_outgoing(&mut self, chunk: usize) -> Result<bool, TransportError> {
        let Some(outgoing) = &mut self.outgoing else { return Ok(false) };
        let moved = self.wire.channel.put(self.peer, outgoing, chunk)?;
        self.outgoing.take_if(|outgoing| outgoing.is_written() && self.wire.channel.is_flushed());
        Ok(moved)
    }

    fn advance_incoming(&mut self) -> Result<bool, TransportError> {
        let Some(incoming) = &mut self.incoming else { return Ok(false) };
        let moved = self.wire.channel.take(self.peer, incoming)?;
        self.incoming.take_if(|incoming| incoming.is_done());
        Ok(moved)
    }

    fn bytes_under_way(&self) -> u64 {
        let outgoing = self.outgoing.as_ref().map_or(0, |frame| frame.message.len());
        let incoming = self.incoming.as_ref().map_or(0, |frame| frame.message.bytes().len());
        (outgoing as u64).saturating_add(incoming as u64)
    }

    /// Has the task woken when `advance` may do more; ready if it may now.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let room = self.outgoing.is_some() && self.wire.channel.poll_room(cx).is_ready();
        let message = self.incoming.is_some() && self.wire.channel.poll_message(cx).is_ready();
        if room || message { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The thing that is waited for.
    pub(crate) fn waits_for(&self) -> Wait {
        if self.incoming.is_some() { Wait::Message } else { Wait::Delivery }
    }

    /// Lets the peer know that nothing follows.
    pub(crate) fn abort(&mut self) {
        self.wire.channel.end();
    }
}
