//! The parts that several tests need.

use mpc_ot::base::{BaseReceiver, BaseSender, Context};
use mpc_ot::softspoken::{FieldBits, SoftSpokenReceiver, SoftSpokenSender};
use mpc_ot::{Cots, OtError};
use mpc_shares::{Prg, Seed};

pub const CONTEXT: Context = Context { session: [7; 16], sender: 0 };

pub fn generator(seed: u8) -> Prg {
    Prg::new(Seed::from_bytes([seed; 32]))
}

/// The two ends of SoftSpoken after their setup, and Δ.
pub fn softspoken(field: FieldBits, delta: u128) -> Result<(SoftSpokenSender, SoftSpokenReceiver), OtError> {
    let receiver = BaseReceiver::new(CONTEXT, !delta, &mut generator(1));
    let sender = BaseSender::new(CONTEXT, &mut generator(2));
    let messages = [receiver.message().to_vec(), sender.message().to_vec()];
    let strings = sender.finish(&messages[0])?;
    let chosen = receiver.finish(&messages[1])?;
    let receiver = SoftSpokenReceiver::new(field, &strings, 5, &mut generator(3));
    let sender = SoftSpokenSender::new(field, &chosen, delta, 5, receiver.setup())?;
    Ok((sender, receiver))
}

/// Checks x, x ⊕ c·Δ, and that the choices are in the lowest bits.
pub fn check_correlation(sent: &Cots, received: &Cots, delta: u128) {
    assert_eq!(delta & 1, 1);
    assert_eq!(sent.len(), received.len());
    for (x, y) in sent.strings().iter().zip(received.strings()) {
        let choice = y & 1;
        assert_eq!(x & 1, 0);
        assert_eq!(x ^ (choice * delta), *y);
    }
}
