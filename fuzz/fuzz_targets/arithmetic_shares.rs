//! Bytes either are the encoding of shares within the limit, which encode to the same bytes again, or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mpc_ring::Ring;
use mpc_shares::ArithmeticShares;

const LIMIT: usize = 100;

fn decode<R: Ring>(bytes: &[u8]) {
    if let Ok(shares) = ArithmeticShares::<R>::from_bytes(bytes, LIMIT) {
        assert!(shares.len() <= LIMIT);
        assert!(ArithmeticShares::from_bytes(&shares.to_bytes(), LIMIT).is_ok_and(|again| again == shares));
    }
}

fuzz_target!(|bytes: &[u8]| {
    decode::<u32>(bytes);
    decode::<u64>(bytes);
    decode::<u128>(bytes);
});
