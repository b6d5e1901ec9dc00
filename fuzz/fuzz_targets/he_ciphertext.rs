//! Bytes either are the messages of an inference, which encode to the same bytes and can be evaluated, or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mpc_he::{Ciphertext, Evaluation, Layout, Linear, Modulus, OPENING_BYTES, PublicSeed, Weights};
use mpc_shares::{Prg, Seed};

fuzz_target!(|input: (bool, u8, u8, u16, &[u8])| {
    let (given, bits, columns, cut, bytes) = input;
    let modulus = Modulus::holding(u32::from(bits) % 65).expect("up to 64 bits");
    let Ok(layer) = Linear::left_product(2, columns.into(), 3) else { return };
    let layout = Layout::search(&layer, modulus, 1_000, given).expect("a vector fits");
    let mut message = bytes.to_vec();
    if bytes.first().is_some_and(|&byte| byte < 128) {
        message.resize(layout.message_bytes(), 0);
    }
    let mut opening = bytes[bytes.len().min(cut.into())..].to_vec();
    if opening.first().is_some_and(|&byte| byte < 128) {
        opening.resize(OPENING_BYTES, 0);
    }
    let message = Ciphertext::from_bytes(&layout, &message).map(|parsed| {
        assert_eq!(parsed.to_bytes(), message);
        parsed
    });
    let evaluation = Evaluation::from_bytes(&opening);
    assert!(evaluation.is_err() || opening.len() == OPENING_BYTES);
    if let (Ok(message), Ok(evaluation)) = (message, evaluation) {
        let mut generator = Prg::new(Seed::from_bytes([2; 32]));
        let seed = PublicSeed::from_bytes([1; 32]);
        let weights = vec![1; layer.weight_len()];
        let (weights, _) = Weights::new(&layout, &weights, 2, &seed, 0, &mut generator).expect("the weights fit");
        assert!(evaluation.layer(&weights, &message, &mut generator).is_ok());
    }
});
