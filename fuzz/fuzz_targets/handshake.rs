//! A peer's handshake either is that of the same agreement, or is refused by name.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use mpc_transport::{Agreement, Peer, Transport, TransportError, handshake, memory_network};

fn agreement() -> Agreement {
    Agreement::new([7; 16]).with("ring", "Z_{2^64}").with("fractional bits", 16)
}

async fn meet(theirs: &[u8]) -> Result<(), TransportError> {
    let mut ends = memory_network(2, Duration::from_secs(10));
    let [us, peer] = ends.get_disjoint_mut([0, 1]).expect("a network of two");
    peer.send(0, theirs).await?;
    handshake(us, &agreement()).await
}

fuzz_target!(|theirs: &[u8]| {
    match smol::block_on(meet(theirs)) {
        // Nothing but the value of a field could be another one without a notice.
        Ok(()) => assert!(theirs.windows(8).any(|window| window == b"Z_{2^64}")),
        Err(
            TransportError::HandshakeMismatch { peer: Peer::Party(1), .. }
            | TransportError::HandshakeMalformed { peer: Peer::Party(1), .. }
            | TransportError::FrameTooLong { peer: Peer::Party(1), .. },
        ) => {}
        Err(error) => panic!("{error}"),
    }
});
