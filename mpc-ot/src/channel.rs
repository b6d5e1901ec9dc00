//! Messages of two lengths between two parties.

use mpc_transport::{AnyTransport, Metered, Traffic, Transport};

use crate::OtError;

/// Longest frame of what only one party sends.
const FRAME_BYTES: usize = 1 << 16;

/// Sends `message` and receives `received` from the other party, at once: as much as both send in an exchange, whose reads
/// and writes alternate, and then what the longer message has beyond it.
pub(crate) async fn exchange(
    transport: &mut Metered<AnyTransport>,
    message: &[u8],
    received: &mut [u8],
) -> Result<(), OtError> {
    let common = message.len().min(received.len());
    let peer = 1 - transport.party();
    let (message, longer) = message.split_at(common);
    let (received, awaited) = received.split_at_mut(common);
    if common > 0 {
        transport.exchange(message, received).await?;
    }
    for frame in longer.chunks(FRAME_BYTES) {
        transport.send(peer, frame).await?;
    }
    for frame in awaited.chunks_mut(FRAME_BYTES) {
        transport.receive(peer, frame).await?;
    }
    Ok(())
}

/// The traffic of [`Pair::exchange`](crate::Pair::exchange) for the party that sends `sent` bytes and receives `received`.
#[must_use]
pub fn traffic(sent: usize, received: usize) -> Traffic {
    let common = sent.min(received);
    let both = if common > 0 { Traffic::exchange(common as u64, 2) } else { Traffic::default() };
    let frames = |bytes: usize| bytes.div_ceil(FRAME_BYTES) as u64;
    let [longer, awaited] = [sent, received].map(|bytes| bytes - common);
    let rest = Traffic {
        payload_sent: longer as u64,
        payload_received: awaited as u64,
        frames_sent: frames(longer),
        frames_received: frames(awaited),
        rounds: u64::from(awaited > 0),
    };
    both + rest
}
