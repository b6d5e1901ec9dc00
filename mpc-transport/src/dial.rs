//! Connections to somebody who may not listen yet.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use smol::{Async, Timer};

/// Pauses between attempts to connect double from the first of these to the second.
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(200)];

/// Connects once; small messages are sent at once.
pub(crate) async fn open(address: SocketAddr) -> io::Result<Async<TcpStream>> {
    let stream = Async::<TcpStream>::connect(address).await?;
    refuse_self_connection(stream.get_ref())?;
    stream.get_ref().set_nodelay(true)?;
    Ok(stream)
}

/// While nobody listens on a local port, a connection to it can come out of that port and meet itself.
fn refuse_self_connection(stream: &TcpStream) -> io::Result<()> {
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(())
}

/// Waits between attempts, longer each time.
pub(crate) struct Pauses(Duration);

impl Pauses {
    pub(crate) fn new() -> Self {
        Self(PAUSES[0])
    }

    pub(crate) async fn wait(&mut self) {
        Timer::after(self.0).await;
        self.0 = PAUSES[1].min(self.0 * 2);
    }
}
