//! Beaver's product is that of the ring.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mpc_fuzz::Input;
use mpc_protocols::{Bilinear, Request, beaver};

fuzz_target!(|input: Input<(u64, u64)>| {
    let (x, y): (Vec<_>, Vec<_>) = input.values.iter().copied().unzip();
    let map = Bilinear::Elementwise { len: x.len() };
    let (shares_x, shares_y) = (input.split(&x), input.split(&y));
    let z = input.run(&[Request::Beaver(map)], async |party, source| {
        let triple = source.next(map).await?;
        beaver::multiply(party, &shares_x[party.index()], &shares_y[party.index()], triple).await
    });
    assert!(z.iter().zip(&input.values).all(|(&z, &(x, y))| z == x.wrapping_mul(y)));
});
