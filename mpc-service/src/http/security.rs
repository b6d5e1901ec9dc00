//! Whether a connection is encrypted.

use std::convert::Infallible;
use std::fmt::Display;

use smol::io::{AsyncRead, AsyncWrite};
use smol::net::TcpStream;

/// Makes the connection that requests come over out of one of TCP.
pub(crate) trait Security: 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin;
    type Error: Display;

    /// What a caller is asked for first, for the log; nothing where there is nothing.
    const HANDSHAKE: Option<&'static str>;

    async fn secure(&self, stream: TcpStream) -> Result<Self::Stream, Self::Error>;

    /// What is to be done as long as connections are taken; never complete.
    async fn keep_up(&self);
}

/// None: a connection as it is.
pub(crate) struct Plain;

impl Security for Plain {
    type Stream = TcpStream;
    type Error = Infallible;

    const HANDSHAKE: Option<&'static str> = None;

    async fn secure(&self, stream: TcpStream) -> Result<TcpStream, Infallible> {
        Ok(stream)
    }

    async fn keep_up(&self) {
        std::future::pending().await
    }
}
