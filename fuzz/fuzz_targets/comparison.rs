//! The classic comparison and both variants of the sign agree with that of integers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mpc_fuzz::{Input, copy, requests, triples};
use mpc_protocols::Request;
use mpc_protocols::comparison::{less_than, msb_planes};
use mpc_protocols::sign::{SignParameters, SignShape, Variant, is_non_negative};

fuzz_target!(|input: (u32, Input<(i64, i64)>)| {
    let (bits, input) = input;
    let bits = SignParameters::MIN_BITS + bits % (SignParameters::MAX_BITS - SignParameters::MIN_BITS + 1);
    let parameters = SignParameters::new(bits).expect("a number of bits that is supported");
    // |x − y| < 2^{k−2}
    let half = 1i64 << (bits - 3);
    let (x, y): (Vec<_>, Vec<_>) = input.values.iter().map(|&(x, y)| ((x % half) as u64, (y % half) as u64)).unzip();
    let less: Vec<_> = x.iter().zip(&y).map(|(&x, &y)| u64::from((x as i64) < y as i64)).collect();
    let (shares_x, shares_y, len) = (input.split(&x), input.split(&y), x.len());

    let planes = msb_planes::<u64>(len, input.parties);
    let mut plan = requests(&planes);
    plan.push(Request::DaBits { len });
    let classic = input.run(&plan, async |party, source| {
        let (x, y) = (copy(&shares_x[party.index()]), &shares_y[party.index()]);
        let triples = triples(source, &planes).await?;
        less_than(party, x, y, triples, source.next(len).await?).await
    });
    assert_eq!(classic, less);

    for variant in [Variant::FewRounds, Variant::FewBytes] {
        let parameters = parameters.with_variant(variant);
        let shape = SignShape { len, parameters };
        let not_less = input.run(&[Request::Sign { len, parameters }], async |party, source| {
            let mut x = copy(&shares_x[party.index()]);
            x.subtract(&shares_y[party.index()])?;
            is_non_negative(party, &x, source.next(shape).await?).await
        });
        assert!(not_less.iter().zip(&less).all(|(&not_less, &less)| not_less + less == 1));
    }
});
