//! Ports of loopback that are known before the service that is to listen on them has started.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

/// A port on which a service can listen, and which the system gives to nobody else meanwhile: a connection of it stands.
#[derive(Debug)]
pub struct Reserved {
    address: SocketAddr,
    _connection: [TcpStream; 2],
}

impl Reserved {
    /// A port that nobody listens on.
    ///
    /// # Errors
    /// The operating system's.
    pub fn new() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let connection = [TcpStream::connect(address)?, listener.accept()?.0];
        Ok(Self { address, _connection: connection })
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_can_listen_and_nobody_else_is_given_the_port() {
        let reserved = Reserved::new().unwrap();
        let others: Vec<_> = (0..200).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
        assert!(others.iter().all(|other| other.local_addr().unwrap() != reserved.address()));
        let service = TcpListener::bind(reserved.address()).unwrap();
        TcpStream::connect(reserved.address()).unwrap();
        service.accept().unwrap();
    }
}
