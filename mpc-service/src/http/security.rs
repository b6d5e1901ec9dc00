//! Whether a connection is encrypted.

use smol::io::{AsyncRead, AsyncWrite};
use smol::net::TcpStream;

/// Why a connection is not used.
#[cfg_attr(not(feature = "web"), expect(dead_code, reason = "one that is plain is always used"))]
pub(crate) enum Unsecured {
    /// Its caller has gone, as those do who look whether somebody is there.
    Gone,
    /// A fault, for the log.
    Fault(String),
}

/// Makes the connection that requests come over out of one of TCP.
pub(crate) trait Security: 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin;

    /// The thing that a caller is asked for first, for the log; nothing where there is nothing.
    const HANDSHAKE: Option<&'static str>;

    async fn secure(&self, stream: TcpStream) -> Result<Self::Stream, Unsecured>;

    /// Does what is to be done as long as connections are taken; never complete.
    async fn keep_up(&self);
}

/// A connection as it is.
pub(crate) struct Plain;

impl Security for Plain {
    type Stream = TcpStream;

    const HANDSHAKE: Option<&'static str> = None;

    async fn secure(&self, stream: TcpStream) -> Result<TcpStream, Unsecured> {
        Ok(stream)
    }

    async fn keep_up(&self) {
        std::future::pending().await
    }
}
