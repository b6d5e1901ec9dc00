//! Bytes either are the encoding of binary shares within the limit, whose padding is zero, or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mpc_shares::BinaryShares;

const LIMIT: usize = 100;

fuzz_target!(|bytes: &[u8]| {
    let Ok(shares) = BinaryShares::from_bytes(bytes, LIMIT) else { return };
    assert!(shares.words().len() <= LIMIT);
    assert!(BinaryShares::from_bytes(&shares.to_bytes(), LIMIT).is_ok_and(|again| again == shares));
    let ones: u32 = shares.words().iter().map(|word| word.count_ones()).sum();
    assert!(u64::from(ones) <= shares.len() as u64 * u64::from(shares.width()));
    if let Ok(values) = shares.to_elements::<u128>() {
        assert!(BinaryShares::from_elements(&values, shares.width()).is_ok_and(|again| again == shares));
    }
});
