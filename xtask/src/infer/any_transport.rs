//! The kinds of networks behind one type, so that the parties' code is compiled once and not for each kind.

use mpc_transport::tls::SecureTransport;
use mpc_transport::{MemoryTransport, TcpTransport, Transport, TransportError};

/// A network over memory, TCP or TLS.
#[derive(Debug)]
pub enum AnyTransport {
    Memory(MemoryTransport),
    Tcp(TcpTransport),
    Tls(SecureTransport),
}

/// Does `$work` with the transport `$inner` of whichever kind it is.
macro_rules! with {
    ($network:expr, $inner:ident => $work:expr) => {
        match $network {
            AnyTransport::Memory($inner) => $work,
            AnyTransport::Tcp($inner) => $work,
            AnyTransport::Tls($inner) => $work,
        }
    };
}

impl Transport for AnyTransport {
    fn party(&self) -> usize {
        with!(self, inner => inner.party())
    }

    fn parties(&self) -> usize {
        with!(self, inner => inner.parties())
    }

    async fn send(&mut self, to: usize, message: &[u8]) -> Result<(), TransportError> {
        with!(self, inner => inner.send(to, message).await)
    }

    async fn receive(&mut self, from: usize, message: &mut [u8]) -> Result<(), TransportError> {
        with!(self, inner => inner.receive(from, message).await)
    }

    async fn receive_bounded(&mut self, from: usize, limit: usize) -> Result<Vec<u8>, TransportError> {
        with!(self, inner => inner.receive_bounded(from, limit).await)
    }

    async fn exchange(&mut self, message: &[u8], received: &mut [u8]) -> Result<(), TransportError> {
        with!(self, inner => inner.exchange(message, received).await)
    }
}
