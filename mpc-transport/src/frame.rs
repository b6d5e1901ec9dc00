//! The frame: a little-endian u32 length, then that many bytes. For implementors of [`Transport`](crate::Transport).

use crate::{Peer, TransportError};

/// Bytes that each frame adds to its message on the wire.
pub const FRAME_HEADER_BYTES: usize = 4;

/// Longest message of one frame, in bytes (1 GiB).
pub const MAX_FRAME_BYTES: usize = 1 << 30;

/// The header of a frame that carries `bytes` bytes to or from `peer`.
///
/// # Errors
/// [`TransportError::FrameTooLong`] beyond [`MAX_FRAME_BYTES`].
pub fn header(peer: Peer, bytes: usize) -> Result<[u8; FRAME_HEADER_BYTES], TransportError> {
    check_limit(peer, bytes, MAX_FRAME_BYTES)?;
    // MAX_FRAME_BYTES < 2^32, so nothing is cut off.
    Ok((bytes as u32).to_le_bytes())
}

/// The message length that a received header announces, in bytes.
pub fn announced(header: [u8; FRAME_HEADER_BYTES]) -> usize {
    usize::try_from(u32::from_le_bytes(header)).unwrap_or(usize::MAX)
}

/// Refuses a message of `got` bytes from or to `peer` where `limit` are allowed.
///
/// # Errors
/// [`TransportError::FrameTooLong`].
pub fn check_limit(peer: Peer, got: usize, limit: usize) -> Result<(), TransportError> {
    if got > limit { Err(TransportError::FrameTooLong { peer, limit, got }) } else { Ok(()) }
}

/// Refuses a message of `got` bytes from `peer` where the plan says `expected`.
///
/// # Errors
/// [`TransportError::WrongLength`].
pub fn check_exact(peer: Peer, got: usize, expected: usize) -> Result<(), TransportError> {
    if got != expected { Err(TransportError::WrongLength { peer, expected, got }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_announces_its_length() {
        for bytes in [0, 1, 255, 65_536, MAX_FRAME_BYTES] {
            assert_eq!(announced(header(Peer::OtherEnd, bytes).unwrap()), bytes);
        }
    }

    #[test]
    fn a_longer_frame_is_refused() {
        let got = MAX_FRAME_BYTES + 1;
        let peer = Peer::Party(3);
        assert_eq!(header(peer, got), Err(TransportError::FrameTooLong { peer, limit: MAX_FRAME_BYTES, got }));
    }
}
