//! The truncating ReLU is max(0, x / 2^f) within its bound, for every value within the range.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mpc_fuzz::Rescaling;
use mpc_protocols::Request;
use mpc_protocols::relu::relu;
use mpc_protocols::sign::{SignParameters, SignShape, Variant};

fuzz_target!(|rescaling: Rescaling| {
    let x = rescaling.input.split(&rescaling.elements());
    let parameters = SignParameters::new(rescaling.bits).expect("a number of bits that is supported");
    for variant in [Variant::FewRounds, Variant::FewBytes] {
        let parameters = parameters.with_variant(variant);
        let shape = SignShape { len: rescaling.input.values.len(), parameters };
        let y = rescaling.input.run(&[Request::Relu { len: shape.len, parameters }], async |party, source| {
            relu(party, &x[party.index()], rescaling.shift, source.next(shape).await?).await
        });
        rescaling.check(&y, |x| x.max(0));
    }
});
