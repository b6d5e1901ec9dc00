//! The first bytes of a stranger are an opening, or refused by name.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use mpc_service::wire::message::{Opening, receive};
use mpc_transport::{Connection, memory_link};

fuzz_target!(|bytes: &[u8]| {
    let (mut here, mut there) = memory_link(Duration::from_secs(1));
    smol::block_on(async {
        there.send(bytes).await.unwrap();
        let limit = bytes.len();
        let _: Result<Opening, _> = receive(&mut here, limit, "the fuzzer").await;
        // One byte less is refused before it is read.
        if limit > 0 {
            there.send(bytes).await.unwrap();
            assert!(receive::<_, Opening>(&mut here, limit - 1, "the fuzzer").await.is_err());
        }
    });
});
