//! Bytes either are the public part of a packed model, which encodes to itself, or are refused by name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mpc_nn::GraphLimits;
use mpc_service::at_rest::packed_model::PublicModel;

fuzz_target!(|bytes: &[u8]| {
    let limits = GraphLimits { bytes: 1 << 14, ..GraphLimits::default() };
    let Ok(model) = PublicModel::from_bytes(bytes, "the fuzzer", &limits) else { return };
    let again = PublicModel::from_bytes(&model.to_bytes(), "the fuzzer", &limits).unwrap();
    assert_eq!(again.to_bytes(), model.to_bytes());
});
