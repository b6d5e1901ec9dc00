//! Frames pass whole, or are refused by name: of a wrong length, or beyond the receiver's limit.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use mpc_transport::{MAX_FRAME_BYTES, Peer, Transport, TransportError, frame, memory_network};

fn header_is_the_length(bytes: usize) {
    match frame::header(Peer::Party(1), bytes) {
        Ok(header) => assert_eq!(frame::announced(header), bytes),
        Err(error) => {
            assert!(bytes > MAX_FRAME_BYTES);
            assert_eq!(
                error,
                TransportError::FrameTooLong { peer: Peer::Party(1), limit: MAX_FRAME_BYTES, got: bytes }
            );
        }
    }
}

async fn pass(message: &[u8], expected: Option<usize>, limit: usize) {
    let mut ends = memory_network(2, Duration::from_secs(10));
    let (got, [a, b]) = (message.len(), ends.get_disjoint_mut([0, 1]).expect("a network of two"));
    a.send(1, message).await.expect("there is room for one message");
    if let Some(expected) = expected {
        let mut received = vec![0; expected];
        match b.receive(0, &mut received).await {
            Ok(()) => assert_eq!(received, message),
            Err(error) => assert_eq!(error, TransportError::WrongLength { peer: Peer::Party(0), expected, got }),
        }
    } else {
        match b.receive_bounded(0, limit).await {
            Ok(received) => assert_eq!(received, message),
            Err(error) => assert_eq!(error, TransportError::FrameTooLong { peer: Peer::Party(0), limit, got }),
        }
    }
}

fuzz_target!(|input: (usize, &[u8], Option<u16>, u8)| {
    let (bytes, message, expected, limit) = input;
    header_is_the_length(bytes);
    smol::block_on(pass(message, expected.map(usize::from), limit.into()));
});
