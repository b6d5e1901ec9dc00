//! Records of a connection: what rustls asks for, carried out over bounded buffers.

use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic,
};

use super::buffer::Buffer;
use super::session::{Order, Step};

/// Most that the handshake may want to send at once.
const MAX_OUTGOING_BYTES: usize = 128 << 10;

/// Handles one state of the connection; returns how many bytes of the incoming ones are used up.
pub(super) fn advance<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    order: Order<'_>,
    outgoing: &mut Buffer,
    deliver: &mut impl FnMut(&[u8]),
) -> (usize, Result<Step, rustls::Error>) {
    let mut discard = status.discard;
    let step = match status.state {
        Ok(ConnectionState::ReadTraffic(mut records)) => loop {
            match records.next_record() {
                Some(Ok(record)) => {
                    deliver(record.payload);
                    discard += record.discard;
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(Step::Again),
            }
        },
        Ok(ConnectionState::EncodeTlsData(message)) => encode(message, outgoing).map(|()| Step::Again),
        Ok(ConnectionState::TransmitTlsData(state)) => {
            // It is queued, and everything is sent in order.
            state.done();
            Ok(Step::Again)
        }
        Ok(ConnectionState::WriteTraffic(state)) => carry_out(state, order, outgoing).map(|()| Step::Ready),
        Ok(ConnectionState::BlockedHandshake) => Ok(Step::Blocked),
        Ok(ConnectionState::PeerClosed) => Ok(Step::Ended),
        Ok(ConnectionState::Closed) => Ok(Step::Closed),
        Ok(_) => Err(rustls::Error::General("an unexpected state of the connection".to_owned())),
        Err(error) => Err(error),
    };
    (discard, step)
}

pub(super) fn encode<Data>(mut message: EncodeTlsData<'_, Data>, outgoing: &mut Buffer) -> Result<(), rustls::Error> {
    with_room(outgoing, |space| match message.encode(space) {
        Ok(bytes) => Ok(Ok(bytes)),
        Err(EncodeError::InsufficientSize(size)) => Ok(Err(size)),
        Err(error) => Err(rustls::Error::General(error.to_string())),
    })
}

pub(super) fn carry_out<Data>(
    mut state: WriteTraffic<'_, Data>,
    order: Order<'_>,
    outgoing: &mut Buffer,
) -> Result<(), rustls::Error> {
    match order {
        Order::Nothing => Ok(()),
        Order::Encrypt(pieces) => {
            pieces.into_iter().try_for_each(|piece| with_room(outgoing, |space| room(state.encrypt(piece, space))))
        }
        Order::Close => with_room(outgoing, |space| room(state.queue_close_notify(space))),
    }
}

pub(super) fn room(result: Result<usize, EncryptError>) -> Result<Result<usize, InsufficientSizeError>, rustls::Error> {
    match result {
        Ok(bytes) => Ok(Ok(bytes)),
        Err(EncryptError::InsufficientSize(size)) => Ok(Err(size)),
        Err(error) => Err(rustls::Error::General(error.to_string())),
    }
}

/// Has `write` fill the space of `buffer`, which grows, within limits, where `write` says that it must.
pub(super) fn with_room(
    buffer: &mut Buffer,
    mut write: impl FnMut(&mut [u8]) -> Result<Result<usize, InsufficientSizeError>, rustls::Error>,
) -> Result<(), rustls::Error> {
    loop {
        match write(buffer.space())? {
            Ok(bytes) => {
                buffer.add(bytes);
                return Ok(());
            }
            Err(InsufficientSizeError { required_size }) if required_size <= MAX_OUTGOING_BYTES => {
                buffer.reserve(required_size);
            }
            Err(_) => return Err(rustls::Error::General("a message is too long".to_owned())),
        }
    }
}
