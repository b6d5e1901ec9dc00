//! Bytes either are the hint of a layout, of exactly the planned length, or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mpc_he::{Hint, Layout, Linear, Modulus, PublicSeed};

fuzz_target!(|input: (u8, u8, u8, &[u8])| {
    let (bits, rows, columns, bytes) = input;
    let modulus = Modulus::holding(u32::from(bits) % 65).expect("up to 64 bits");
    let Ok(layer) = Linear::left_product(rows.into(), columns.into(), 1) else { return };
    let layout = Layout::search(&layer, modulus, 1, false).expect("a vector fits");
    // Most inputs are too short: the rest is zeros.
    let mut hint = bytes.to_vec();
    if bytes.first().is_some_and(|&byte| byte < 128) {
        hint.resize(layout.hint_bytes(), 0);
    }
    let parsed = Hint::from_bytes(&layout, &PublicSeed::from_bytes([1; 32]), 0, &hint);
    assert_eq!(parsed.is_ok(), hint.len() == layout.hint_bytes());
});
