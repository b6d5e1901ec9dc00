//! Bytes either are images of the shape that is asked for, all finite, or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mpc_models::read_npy_images;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(images) = read_npy_images(bytes, [1, 2, 2]) {
        assert_eq!(images.shape()[1..], [1, 2, 2]);
        assert!(images.len() * 4 < bytes.len() && images.iter().all(|pixel| pixel.is_finite()));
    }
});
