//! From arithmetic to binary shares and back: the identity.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mpc_fuzz::{Input, requests, triples};
use mpc_protocols::Request;
use mpc_protocols::conversion::{adder_planes, all_bits, to_arithmetic, to_binary};

fuzz_target!(|input: Input<u32>| {
    let secret = &input.values;
    let planes = adder_planes::<u32>(secret.len(), input.parties);
    let bits = all_bits(u32::BITS, secret.len());
    let mut plan = requests(&planes);
    plan.push(Request::DaBits { len: bits });
    let x = input.split(secret);
    let z = input.run::<u32>(&plan, async |party, source| {
        let binary = to_binary(party, &x[party.index()], triples(source, &planes).await?).await?;
        to_arithmetic(party, &binary, source.next(bits).await?).await
    });
    assert_eq!(&z, secret);
});
