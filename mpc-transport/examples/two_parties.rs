//! Two parties over TCP on this machine: they agree on a session, exchange a message, and count it.

use std::error::Error;
use std::net::TcpListener;
use std::thread;

use mpc_transport::{
    Agreement, Metered, Phase, TcpSettings, TcpTransport, Traffic, Transport, TransportError, handshake,
};

/// Prints the answer and the traffic of each party.
pub fn main() -> Result<(), Box<dyn Error>> {
    let listeners = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    let addresses = [listeners[0].local_addr()?, listeners[1].local_addr()?];
    let running: Vec<_> = listeners
        .into_iter()
        .enumerate()
        .map(|(party, listener)| {
            thread::spawn(move || {
                smol::block_on(async {
                    let network = TcpTransport::connect(party, listener, &addresses, TcpSettings::default()).await?;
                    add(network, [40, 2][party]).await
                })
            })
        })
        .collect();
    for (party, thread) in running.into_iter().enumerate() {
        let (sum, traffic) = thread.join().map_err(|_| "a party panicked")??;
        println!("party {party}: {sum}, {} bytes sent, {} round", traffic.bytes_sent(), traffic.rounds);
        assert_eq!((sum, traffic.rounds), (42, 1));
    }
    Ok(())
}

/// The sum of both parties' numbers, which each shows the other.
async fn add(network: impl Transport, own: u64) -> Result<(u64, Traffic), TransportError> {
    let mut network = Metered::new(network);
    network.begin(Phase::Setup, "handshake");
    handshake(&mut network, &Agreement::new([7; 16]).with("example", "two parties")).await?;
    network.begin(Phase::Online, "exchange");
    let mut other = [0; 8];
    network.exchange(&own.to_le_bytes(), &mut other).await?;
    Ok((own + u64::from_le_bytes(other), network.meter().total(Phase::Online)))
}
