//! The error of a truncation is within its bound, for every value within the range.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mpc_fuzz::Rescaling;
use mpc_protocols::Request;
use mpc_protocols::truncation::{LiftShape, truncate};

fuzz_target!(|rescaling: Rescaling| {
    let x = rescaling.input.split(&rescaling.elements());
    let shape = LiftShape { len: rescaling.input.values.len(), bits: rescaling.bits };
    let plan = [Request::Lift { len: shape.len, bits: shape.bits }];
    let y = rescaling.input.run(&plan, async |party, source| {
        truncate(party, &x[party.index()], rescaling.shift, source.next(shape).await?).await
    });
    rescaling.check(&y, |x| x);
});
