//! A peer's messages of base and extended transfers are taken in whole, or refused by name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mpc_ot::OtError;
use mpc_ot::base::{BaseReceiver, BaseSender, Context, RECEIVER_BYTES, SENDER_BYTES};
use mpc_ot::ferret::{FerretReceiver, ParameterSet};
use mpc_ot::products::receive_corrections;
use mpc_ot::softspoken::{FieldBits, SoftSpokenSender};
use mpc_shares::{Prg, SecretVec, Seed};

const CONTEXT: Context = Context { session: [7; 16], sender: 0 };

fn generator() -> Prg {
    Prg::new(Seed::from_bytes([1; 32]))
}

/// A message that begins as the input and has the right length, so that its content is looked at.
fn padded(input: &[u8], honest: &[u8]) -> Vec<u8> {
    input.iter().chain(honest.get(input.len()..).unwrap_or_default()).take(honest.len()).copied().collect()
}

fn refused_or_taken<T>(result: Result<T, OtError>) {
    match result {
        Ok(_) | Err(OtError::MessageLength { .. } | OtError::InvalidPoint { .. } | OtError::ReflectedPoint { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

fuzz_target!(|input: (u8, &[u8])| {
    let (step, bytes) = input;
    match step % 6 {
        0 => refused_or_taken(BaseReceiver::new(CONTEXT, 5, &mut generator()).finish(bytes)),
        1 => {
            let honest = BaseSender::new(CONTEXT, &mut generator());
            let message = padded(bytes, honest.message());
            assert_eq!(message.len(), SENDER_BYTES);
            refused_or_taken(BaseReceiver::new(CONTEXT, 5, &mut generator()).finish(&message));
        }
        2 => {
            let honest = BaseReceiver::new(CONTEXT, 5, &mut generator());
            let message = padded(bytes, honest.message());
            assert_eq!(message.len(), RECEIVER_BYTES);
            refused_or_taken(BaseSender::new(CONTEXT, &mut generator()).finish(&message));
        }
        3 => {
            let setup = padded(bytes, &[0; mpc_ot::softspoken::SETUP_BYTES]);
            let mut sender =
                SoftSpokenSender::new(FieldBits::Two, &[3; 128], 5, 9, &setup).expect("of the right length");
            refused_or_taken(sender.extend(bytes.len() / 504 * 64, bytes));
        }
        4 => {
            let base = SecretVec::zeros(ParameterSet::B10.base());
            let mut receiver = FerretReceiver::new(ParameterSet::B10, 9, base).expect("of the right length");
            refused_or_taken(receiver.extend(bytes.len() / 160, bytes, |_| ()));
        }
        _ => refused_or_taken(receive_corrections(bytes.len() * 8, bytes)),
    }
});
