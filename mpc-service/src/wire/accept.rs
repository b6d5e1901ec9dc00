//! Connections as they come, for services and for HTTP.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use smol::{Async, Timer};

use crate::error::ServiceError;

/// Pause after a failed accept, for instance while no file descriptor is free.
const PAUSE: Duration = Duration::from_millis(50);

/// A listener that is waited for.
pub(crate) fn awaited(listener: TcpListener) -> Result<Async<TcpListener>, ServiceError> {
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    let address = listener.local_addr().unwrap_or(unknown);
    Async::new(listener).map_err(|source| ServiceError::Listen { address, source })
}

/// The next connection, and where it comes from.
pub(crate) async fn next(listener: &Async<TcpListener>) -> (Async<TcpStream>, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(connected) => return connected,
            Err(_) => drop(Timer::after(PAUSE).await),
        }
    }
}
