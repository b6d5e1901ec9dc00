use mpc_protocols::sign::{SignParameters, SignShape};
use mpc_protocols::*;
use mpc_shares::ArithmeticShares;

#[test]
fn relu_works() {
    for n in 2..=4 {
        let p = SignParameters::new(32).unwrap();
        let len = 1000;
        let secret: Vec<u64> = (0..len as i64).map(|i| ((i * 7919 - 3_000_000) * 65536 + i * 77) as u64).collect();
        let shape = SignShape { len, parameters: p };
        let out = in_process::run::<u64, _>(n, &[Request::Relu { len, parameters: p }], async |party, source| {
            let mut g = in_process::generator()?;
            let mask = source.next::<u64, relu::ReluMask<u64>>(shape).await?;
            let secret = (party.index() == 1).then_some(&secret[..]);
            let x: ArithmeticShares<u64> = sharing::share(party, 1, &[len], secret, &mut g).await?;
            let y = relu::relu(party, &x, 16, mask).await?;
            open::open(party, &y).await
        })
        .unwrap();
        for i in 0..len {
            let want = ((secret[i] as i64) >> 16).max(0);
            let got = out[0].output[i] as i64;
            assert!((got - want).abs() <= n as i64 - 1 , "{i} {got} {want} n={n}");
        }
    }
}

#[test]
fn classic_works() {
    for n in 2..=5 {
        let len = 100;
        let secret: Vec<u64> = (0..len as i64).map(|i| ((i * 7919 - 300_000) * 65536 + i * 77) as u64).collect();
        let planes = comparison::msb_planes::<u64>(len, n);
        let map = Bilinear::Elementwise { len };
        let mut plan: Vec<_> = planes.iter().map(|p| Request::BitTriples { width: p.width, len: p.len }).collect();
        plan.push(Request::DaBits { len });
        plan.push(Request::Beaver(map));
        let adder = conversion::adder_planes::<u64>(len, n);
        plan.extend(adder.iter().map(|p| Request::BitTriples { width: p.width, len: p.len }));
        let all = conversion::all_bits(64, len);
        plan.push(Request::DaBits { len: all });
        let out = in_process::run::<u64, _>(n, &plan, async |party, source| {
            let mut g = in_process::generator()?;
            let secret = (party.index() == 1).then_some(&secret[..]);
            let x: ArithmeticShares<u64> = sharing::share(party, 1, &[len], secret, &mut g).await?;
            let mut triples = vec![];
            for p in &planes { triples.push(source.next(*p).await?); }
            let y = comparison::classic_relu(party, &x, triples, source.next(len).await?, source.next(map).await?).await?;
            let mut triples = vec![];
            for p in &adder { triples.push(source.next(*p).await?); }
            let b = conversion::to_binary(party, &x, triples).await?;
            let z = conversion::to_arithmetic::<u64, _>(party, &b, source.next(all).await?).await?;
            Ok((open::open(party, &y).await?, open::open(party, &z).await?))
        })
        .unwrap();
        let want: Vec<u64> = secret.iter().map(|&x| (x as i64).max(0) as u64).collect();
        assert_eq!(out[0].output.0, want, "n={n}");
        assert_eq!(out[0].output.1, secret, "n={n}");
    }
}
