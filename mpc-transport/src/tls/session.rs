//! One TLS connection over a non-blocking socket: records in, records out, every buffer bounded.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;

use super::buffer::{Buffer, Sink};
use super::configuration::PROTOCOL;
use super::error::bounded;
use super::records::advance;
use crate::dial::{Stream, TimeLimit};

/// Payload of a full record, in bytes.
const RECORD_BYTES: usize = 16 << 10;

/// The most bytes that a record adds to its payload.
const RECORD_OVERHEAD: usize = 5 + 256;

/// Records that are encrypted before any is written.
const RECORDS_AT_ONCE: usize = 2;

/// Room for what arrives: some full records, and any message of the handshake, which rustls limits to 64 KiB.
const INCOMING_BYTES: usize = 4 * (RECORD_BYTES + RECORD_OVERHEAD);

/// Room for what is sent: the records, and an alert or a change of keys before them. Grows only in the handshake.
const OUTGOING_BYTES: usize = RECORDS_AT_ONCE * (RECORD_BYTES + RECORD_OVERHEAD) + 1024;

/// How long, and for how many bytes, an ended connection is read so that the peer gets to see why it ended.
const LINGER: (Duration, usize) = (Duration::from_millis(250), 256 << 10);

/// Why a connection cannot go on.
#[derive(Debug)]
pub(super) enum Failure {
    /// Against the protocol, or changed on the way.
    Tls(rustls::Error),
    /// The peer has ended it.
    Closed,
    /// The socket failed, or would block.
    Io(io::Error),
}

impl From<rustls::Error> for Failure {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

impl Failure {
    fn would_block(&self) -> bool {
        matches!(self, Self::Io(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted))
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Tls(error) => Self::new(ErrorKind::InvalidData, bounded(&error.to_string())),
            Failure::Closed => ErrorKind::UnexpectedEof.into(),
            Failure::Io(error) => error,
        }
    }
}

/// One side of a connection.
pub(super) enum Connection {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// The order to carry out once the connection can write.
#[derive(Clone, Copy)]
pub(super) enum Order<'a> {
    Nothing,
    /// Encrypt one piece after the other, each from a record of its own on.
    Encrypt([&'a [u8]; 2]),
    Close,
}

/// The outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There may be more to do.
    Again,
    /// The peer has ended the connection properly.
    Ended,
    /// So have both sides.
    Closed,
    /// The order is carried out; every whole record that has arrived is processed.
    Ready,
    /// The handshake waits for the peer.
    Blocked,
}

pub(super) struct Session {
    socket: Stream,
    connection: Connection,
    /// Records as they arrived.
    incoming: Buffer,
    /// Decrypted, and not asked for yet.
    plain: Buffer,
    /// Records to be sent.
    outgoing: Buffer,
    /// Whether any record of the peer was in order.
    heard: bool,
    /// Whether the peer has ended it.
    ended: bool,
    /// Whether this side has.
    over: bool,
    /// Whether the protocol was broken.
    failed: bool,
}

impl Session {
    pub(super) fn new(socket: Stream, connection: Connection) -> Self {
        let incoming = Buffer::with_capacity(INCOMING_BYTES);
        let outgoing = Buffer::with_capacity(OUTGOING_BYTES);
        Self {
            socket,
            connection,
            incoming,
            plain: Buffer::default(),
            outgoing,
            heard: false,
            ended: false,
            over: false,
            failed: false,
        }
    }

    pub(super) fn socket(&self) -> &Stream {
        &self.socket
    }

    /// Whether the peer speaks TLS, as far as is known.
    pub(super) fn heard(&self) -> bool {
        self.heard
    }

    /// The peer's certificate, after the handshake.
    pub(super) fn peer_certificate(&self) -> Option<&[u8]> {
        let certificates = match &self.connection {
            Connection::Client(connection) => connection.peer_certificates(),
            Connection::Server(connection) => connection.peer_certificates(),
        };
        certificates.and_then(|chain| chain.first()).map(|certificate| &**certificate)
    }

    /// An error unless both sides have named the protocol: TLS alone lets a peer pass that names none.
    pub(super) fn check_protocol(&self) -> Result<(), Failure> {
        let named = match &self.connection {
            Connection::Client(connection) => connection.alpn_protocol(),
            Connection::Server(connection) => connection.alpn_protocol(),
        };
        if named == Some(PROTOCOL) {
            return Ok(());
        }
        Err(rustls::Error::General("it speaks another protocol".to_owned()).into())
    }

    fn is_handshaking(&self) -> bool {
        match &self.connection {
            Connection::Client(connection) => connection.is_handshaking(),
            Connection::Server(connection) => connection.is_handshaking(),
        }
    }

    /// Processes at most one record or carries out the order; what is decrypted goes to `sink`, the rest to `plain`.
    fn step(&mut self, order: Order<'_>, sink: &mut Sink<'_>) -> Result<Step, Failure> {
        if self.failed || self.over {
            return Err(Failure::Closed);
        }
        let step = self.process(order, sink);
        self.failed = matches!(step, Err(Failure::Tls(_)));
        step
    }

    fn process(&mut self, order: Order<'_>, sink: &mut Sink<'_>) -> Result<Step, Failure> {
        let mut deliver = |payload: &[u8]| self.plain.extend(sink.take(payload));
        let (incoming, outgoing) = (self.incoming.filled_mut(), &mut self.outgoing);
        let (discard, step) = match &mut self.connection {
            Connection::Client(connection) => {
                advance(connection.process_tls_records(incoming), order, outgoing, &mut deliver)
            }
            Connection::Server(connection) => {
                advance(connection.process_tls_records(incoming), order, outgoing, &mut deliver)
            }
        };
        self.incoming.consume(discard);
        self.heard |= discard > 0;
        match step? {
            Step::Closed => Err(Failure::Closed),
            step => {
                self.ended |= step == Step::Ended;
                Ok(step)
            }
        }
    }

    /// Takes steps until the order is carried out. Records that arrive before are kept in `plain`, which is bounded by
    /// what `incoming` holds.
    fn carry_out(&mut self, order: Order<'_>) -> Result<(), Failure> {
        loop {
            match self.step(order, &mut Sink::default())? {
                Step::Ready => return Ok(()),
                Step::Again | Step::Ended | Step::Closed => {}
                Step::Blocked => return Err(rustls::Error::HandshakeNotComplete.into()),
            }
        }
    }

    /// Encrypts from the start of `header` and `message` what makes up some full records; returns the number of bytes.
    fn encrypt(&mut self, header: &[u8], message: &[u8]) -> Result<usize, Failure> {
        let taken = message.len().min((RECORDS_AT_ONCE * RECORD_BYTES).saturating_sub(header.len()));
        let message = &message[..taken];
        if header.is_empty() {
            self.carry_out(Order::Encrypt([message, &[]]))?;
        } else {
            // One record for the header and what fits beside it.
            let (beside, rest) = message.split_at(taken.min(RECORD_BYTES.saturating_sub(header.len())));
            let first = [header, beside].concat();
            self.carry_out(Order::Encrypt([&first, rest]))?;
        }
        Ok(header.len() + taken)
    }

    /// Sends what it can of `outgoing`.
    fn drain(&mut self) -> Result<(), Failure> {
        match self.socket.get_ref().write(self.outgoing.filled())? {
            0 => Err(Failure::Closed),
            sent => {
                self.outgoing.consume(sent);
                Ok(())
            }
        }
    }

    /// Reads once from the socket.
    fn fill(&mut self) -> Result<(), Failure> {
        if !self.outgoing.is_empty() {
            // An answer of TLS itself, which nothing else may send while this side only reads.
            match self.drain() {
                Err(failure) if !failure.would_block() => return Err(failure),
                _ => {}
            }
        }
        let space = self.incoming.space();
        if space.is_empty() {
            return Err(rustls::Error::General("a message is too long".to_owned()).into());
        }
        match self.socket.get_ref().read(space)? {
            0 => Err(Failure::Closed),
            read => {
                self.incoming.add(read);
                Ok(())
            }
        }
    }

    /// As [`ByteStream::write`](crate::transfer::ByteStream::write).
    pub(super) fn write(&mut self, header: &[u8], message: &[u8]) -> Result<usize, Failure> {
        // Earlier records first, so that no more than some are ever held.
        let taken = if self.outgoing.is_empty() { self.encrypt(header, message)? } else { 0 };
        match self.drain() {
            Err(failure) if taken == 0 || !failure.would_block() => Err(failure),
            _ => Ok(taken),
        }
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// As [`ByteStream::read`](crate::transfer::ByteStream::read).
    pub(super) fn read(&mut self, header: &mut [u8], message: &mut [u8]) -> Result<usize, Failure> {
        let mut sink = Sink::new(header, message);
        let rest = sink.take(self.plain.filled()).len();
        self.plain.consume(self.plain.filled().len() - rest);
        let mut has_read = false;
        loop {
            while !sink.is_full() && self.step(Order::Nothing, &mut sink)? != Step::Ready {}
            match (sink.taken(), has_read) {
                (0, _) if self.ended => return Err(Failure::Closed),
                (0, false) => self.fill()?,
                (taken, _) => return Ok(taken),
            }
            has_read = true;
        }
    }

    /// Whether the peer has ended the connection and nothing of it is left to be read. Does not wait.
    pub(super) fn has_ended(&mut self) -> bool {
        // What was decrypted is to be read first, so that this holds no more than one filling of `incoming`.
        while self.plain.is_empty() {
            match self.step(Order::Nothing, &mut Sink::default()) {
                Ok(Step::Again) => continue,
                Ok(_) if self.ended => break,
                Ok(_) => {}
                Err(_) => return true,
            }
            if let Err(failure) = self.fill() {
                return !failure.would_block();
            }
        }
        self.ended && self.plain.is_empty()
    }

    /// Completes the handshake.
    pub(super) async fn shake_hands(&mut self) -> Result<(), Failure> {
        loop {
            match self.step(Order::Nothing, &mut Sink::default())? {
                Step::Again => {}
                Step::Ended | Step::Closed => return Err(Failure::Closed),
                Step::Blocked => {
                    self.flush().await?;
                    self.receive().await?;
                }
                Step::Ready if self.is_handshaking() => return Err(rustls::Error::HandshakeNotComplete.into()),
                Step::Ready => return self.flush().await,
            }
        }
    }

    /// Sends `message` by itself.
    pub(super) async fn say(&mut self, message: &[u8]) -> Result<(), Failure> {
        self.carry_out(Order::Encrypt([message, &[]]))?;
        self.flush().await
    }

    /// Receives a message by itself.
    pub(super) async fn hear(&mut self, message: &mut [u8]) -> Result<(), Failure> {
        let mut heard = 0;
        while heard < message.len() {
            match self.read(&mut [], &mut message[heard..]) {
                Err(failure) if failure.would_block() => self.socket.readable().await?,
                read => heard += read?,
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        while !self.outgoing.is_empty() {
            match self.drain() {
                Err(failure) if failure.would_block() => self.socket.writable().await?,
                drained => drained?,
            }
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<(), Failure> {
        loop {
            match self.fill() {
                Err(failure) if failure.would_block() => self.socket.readable().await?,
                filled => return filled,
            }
        }
    }

    /// Tells the peer that nothing follows, and why, if the protocol has a word for it. Does not wait.
    pub(super) fn end(&mut self) {
        if !self.over && self.failed {
            // The first thing that is left to do is to say why; there is nothing to do after that.
            let _ = self.process(Order::Nothing, &mut Sink::default());
        } else if !self.over && self.outgoing.is_empty() && !self.is_handshaking() {
            // Not in the middle of a record, where there is no room for a word.
            let _ = self.carry_out(Order::Close);
        }
        self.over = true;
        if !self.outgoing.is_empty() {
            let _ = self.drain();
        }
        // A socket that failed already has nothing to end.
        let _ = self.socket.get_ref().shutdown(Shutdown::Write);
    }

    /// Reads on for a moment: closing a socket with unread bytes would take the last words from the peer.
    pub(super) async fn linger(&mut self) {
        let (time, bytes) = LINGER;
        let drain = async {
            let mut rest = bytes;
            let mut buffer = vec![0; 4096];
            while rest > 0 {
                match self.socket.read_with(|mut socket| socket.read(&mut buffer)).await {
                    Ok(1..) => rest = rest.saturating_sub(buffer.len()),
                    _ => return,
                }
            }
        };
        TimeLimit::new(time).within(drain).await;
    }
}
