//! Two parties that make their correlations themselves, and run protocols with them.

mod tampered;

use crate::common::{PATIENT, block_on, elements, on_threads, signed, split};
use mpc_ot::comparison::{ComparisonShape, Variant};
use mpc_ot::softspoken::FieldBits;
use mpc_ot::{Batch, Method, Pair, PairSettings, Schedule};
use mpc_protocols::fixed_weights::{FixedWeightPair, FixedWeightShape};
use mpc_protocols::function::{Function, FunctionPlan, FunctionShape};
use mpc_protocols::lookup::Table;
use mpc_protocols::own::{Own, OwnPlan, WeightHolder};
use mpc_protocols::relu::relu;
use mpc_protocols::sign::{SignParameters, SignShape, is_non_negative};
use mpc_protocols::{Bilinear, CorrelationSource, Party, Place, ProtocolError, Request};
use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, Seed};
use mpc_transport::{Phase, memory_network};

/// Runs `protocol` at both parties, each with a link for the protocol and one for the correlations of `requests`, and checks that
/// the second one carries what is planned.
fn run<R: Ring, O: Send>(
    method: Method,
    requests: &[Request],
    protocol: impl AsyncFn(&mut Party, &mut CorrelationSource<'_>) -> Result<O, ProtocolError> + Sync,
) -> Vec<Result<O, ProtocolError>> {
    let plan = OwnPlan::new::<R>(requests, WeightHolder::Party(0), 1, |_| u64::MAX).unwrap();
    let run = async |party: usize, online, preparing| {
        let settings = PairSettings { session: [4; 16], own: party as u8, peer: 1 - party as u8, method };
        let pair = Pair::open(preparing, settings, Seed::from_system().unwrap()).await?;
        let place = Place { party, parties: 2 };
        let mut own = Own::new(pair, place, Seed::from_system().unwrap())?;
        let mut schedule = own.schedule();
        let mut source = CorrelationSource::new(own.begin(&plan), requests);
        let output = protocol(&mut Party::new(online), &mut source).await?;
        source.finish()?;
        let planned = plan.traffic(place, &mut schedule);
        assert_eq!(own.transport().meter().total(Phase::Preprocessing), planned, "party {party}");
        Ok(output)
    };
    let run = &run;
    let ends = memory_network(2, PATIENT).into_iter().zip(memory_network(2, PATIENT)).enumerate();
    on_threads(ends.map(|(party, (a, b))| move || block_on(run(party, a, b))), || ()).0
}

/// Values all over the range of k bits.
fn values(len: usize, bits: u32) -> Vec<i64> {
    let bound = 1i64 << (bits - 2);
    let edges = [0, 1, -1, bound - 1, 1 - bound];
    (0..len as i64).map(|i| edges.get(i as usize).copied().unwrap_or(i * 0x9e37_79b9_7f4a % bound)).collect()
}

fn shape(len: usize, bits: u32) -> SignShape {
    SignShape { len, parameters: SignParameters::new(bits).unwrap() }
}

fn rectifies<R: Ring>(len: usize, bits: u32, method: Method) {
    for variant in [Variant::FewRounds, Variant::FewBytes] {
        let SignShape { len, parameters } = shape(len, bits);
        rectifies_in::<R>(SignShape { len, parameters: parameters.with_variant(variant) }, method);
    }
}

fn rectifies_in<R: Ring>(shape: SignShape, method: Method) {
    let (len, bits) = (shape.len, shape.parameters.bits());
    let values = values(len, bits);
    let x = split(&elements::<R>(&values), 2);
    let plan =
        [Request::Relu { len, parameters: shape.parameters }, Request::Sign { len, parameters: shape.parameters }];
    let results = run::<R, _>(method, &plan, async |party, source| {
        let x = &x[party.index()];
        let y = relu(party, x, 0, source.next(shape).await?).await?;
        Ok((y, is_non_negative(party, x, source.next(shape).await?).await?))
    });
    let (y, bit): (Vec<_>, Vec<_>) = results.into_iter().map(Result::unwrap).unzip();
    let value = |shares: &[ArithmeticShares<R>]| signed(&ArithmeticShares::reconstruct(shares).unwrap());
    assert_eq!(value(&y), values.iter().map(|&x| i128::from(x.max(0))).collect::<Vec<_>>(), "{bits} bits");
    assert_eq!(value(&bit), values.iter().map(|&x| i128::from(x >= 0)).collect::<Vec<_>>(), "{bits} bits");
}

#[test]
fn relus_and_signs_are_right_without_a_dealer() {
    let soft = Method::SoftSpoken(FieldBits::Four);
    for (len, bits) in [(0, 32), (1, 32), (128, 32), (150, 17), (70, 42)] {
        rectifies::<u64>(len, bits, soft);
    }
    rectifies::<u32>(130, 32, soft);
    rectifies::<u128>(65, 42, soft);
    rectifies::<u64>(1024, 32, Method::SILENT);
}

#[test]
fn relus_of_several_layers_are_made_in_few_rounds() {
    let parameters = SignParameters::new(32).unwrap();
    let layers = [100_000, 200_000, 3_000].map(|len| Request::Relu { len, parameters }.modulo::<u64>(48));
    let plan = OwnPlan::new::<u64>(&layers, WeightHolder::Party(0), 1, |_| u64::MAX).unwrap();
    let place = Place { party: 0, parties: 2 };
    // Two groups, the first of which is full.
    let traffic = plan.traffic_by_request(place, &mut Schedule::new(Method::SoftSpoken(FieldBits::Eight)));
    let rounds: Vec<_> = traffic.iter().map(|traffic| traffic.rounds).collect();
    assert_eq!(rounds, [34, 34, 0]);
    for variant in [Variant::FewRounds, Variant::FewBytes] {
        let parameters = parameters.with_variant(variant);
        let (full, mut schedule) =
            (Request::Relu { len: 1 << 18, parameters }.modulo::<u64>(48), Schedule::new(Method::SILENT));
        let plan = OwnPlan::new::<u64>(&[full], WeightHolder::Party(0), 1, |_| u64::MAX).unwrap();
        let shape = ComparisonShape { len: 1 << 18, bits: 32, ring_bits: 48, variant };
        assert_eq!(plan.traffic(place, &mut schedule.clone()), shape.traffic(&mut schedule, true));
    }
}

/// A private function of arguments all over the range, at its edges and near zero, within the plan's bound.
fn applies<R: Ring>(function: Function, f: u32, k: u32, method: Method) {
    let parameters = SignParameters::new(k).unwrap();
    let shape =
        FunctionShape { function, len: 0, fractional_bits: f, shift: 0, parameters, argument: None, dividends: None };
    let scale = f64::from(f).exp2();
    let (low, high) = FunctionPlan::tabulated::<R>(shape).unwrap().range();
    let [low, high] = [(low * scale) as i64 + 16, (high * scale) as i64 - 16];
    let everywhere = (0..=60).map(|i| low + ((high - low) as i128 * i / 60) as i64);
    let near = (-30..=30).map(|i| i * (1 << f) / 5 + i % 7);
    // Where the function is there and in the range of its results.
    let largest = f64::from(k - 3 - f).exp2();
    let fits = |x: &i64| {
        let argument = *x as f64 / scale;
        (low..=high).contains(x) && is_defined(function, *x) && function.evaluate(argument).abs() < largest
    };
    let x: Vec<_> = everywhere.chain(near).filter(fits).collect();
    assert!(x.len() > 20, "{function:?}");
    let plan = FunctionPlan::tabulated::<R>(FunctionShape { len: x.len(), ..shape }).unwrap();
    let (shares, bound) = (split(&elements::<R>(&x), 2), plan.error_bound(2).unwrap());
    let results = run::<R, _>(method, &plan.requests(), async |party, source| {
        let material = plan.draw(source).await?;
        plan.apply(party, &shares[party.index()], material).await
    });
    let results: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    for (&x, y) in x.iter().zip(signed(&ArithmeticShares::reconstruct(&results).unwrap())) {
        let (value, exact) = (y as f64 / scale, function.evaluate(x as f64 / scale));
        assert!((value - exact).abs() <= bound.at(exact), "{function:?} of {x}: {value}, not {exact}");
    }
}

/// Whether a function has a value there.
fn is_defined(function: Function, x: i64) -> bool {
    match function {
        Function::Log | Function::Sqrt | Function::Power { .. } | Function::PositiveReciprocal => x > 0,
        Function::ExpNonPositive => x <= 0,
        _ => true,
    }
}

#[test]
fn functions_are_right_without_a_dealer() {
    let soft = Method::SoftSpoken(FieldBits::Eight);
    for function in [
        Function::Sigmoid,
        Function::Tanh,
        Function::Silu,
        Function::Gelu,
        Function::GeluTanh,
        Function::Exp,
        Function::ExpNonPositive,
        Function::Log,
        Function::Sqrt,
        Function::Reciprocal,
        Function::PositiveReciprocal,
        Function::Power { exponent: -0.5 },
    ] {
        applies::<u64>(function, 16, 32, soft);
    }
    applies::<u64>(Function::Sigmoid, 16, 32, Method::SILENT);
    applies::<u64>(Function::Gelu, 12, 28, soft);
    applies::<u128>(Function::Silu, 20, 40, soft);
    applies::<u32>(Function::Sigmoid, 8, 18, soft);
}

/// 1,283 bits one way and 534 the other for the GELU with f = 16, and 244 random OTs.
#[test]
fn a_lookup_costs_what_it_promises() {
    let table = Table { function: Function::GeluTanh, input_bits: 16, output_bits: 16, limit_bits: 26 };
    let layout = table.layout(64).unwrap();
    assert_eq!([layout.index_bits, layout.segment_bits, layout.entry_bits, layout.result_bits], [6, 15, 48, 16]);
    let len = 4096;
    let plan = OwnPlan::new::<u64>(&[Request::Lookup { len, table }], WeightHolder::Party(0), 1, |_| u64::MAX).unwrap();
    let soft = Method::SoftSpoken(FieldBits::Eight);
    // In the silent extension what party 0 receives first belongs to the wait for its transfers.
    for (method, [first, second]) in [(soft, [9, 7]), (Method::SILENT, [8, 7])] {
        for (party, bits, transfers, rounds) in
            [(0, [534, 1283], [103, 141], first), (1, [1283, 534], [141, 103], second)]
        {
            let [sends, receives] = transfers.map(|count| [Batch { count: count * len, bits: 1 }]);
            let random = Schedule::new(method).random(&sends, &receives);
            let traffic = plan.traffic(Place { party, parties: 2 }, &mut Schedule::new(method));
            let [sent, received] = bits.map(|bits| bits * len as u64 / 8);
            assert_eq!(traffic.payload_sent - random.payload_sent, sent);
            assert_eq!(traffic.payload_received - random.payload_received, received);
            assert_eq!(traffic.rounds - random.rounds, rounds, "{method:?}, party {party}");
        }
    }
}

#[test]
fn what_the_parties_cannot_make_is_refused_by_name() {
    let huge = Bilinear::MatrixProduct { rows: 1 << 14, inner: 1 << 12, columns: 1 << 12 };
    let batched = Bilinear::BatchedMatrixProduct { batch: 2, rows: 1, inner: 2, columns: 2 };
    let refused = [
        (Request::WeightMask { len: 3 }, "WeightMask"),
        (Request::Beaver(huge), "Beaver"),
        (Request::FixedWeights { mask: 0, map: batched }.modulo::<u64>(48), "BatchedMatrixProduct"),
    ];
    for (request, name) in refused {
        let plan = [Request::DaBits { len: 1 }, request];
        let error = OwnPlan::new::<u64>(&plan, WeightHolder::Party(0), 1, |_| u64::MAX).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

/// The party that encrypts would give away its input with a mask of zeros.
#[test]
fn a_layer_whose_weights_were_not_loaded_is_refused_by_name() {
    let map = Bilinear::MatrixProduct { rows: 1, inner: 2, columns: 3 };
    let plan = [Request::FixedWeights { mask: 0, map }];
    let results = run::<u32, _>(Method::SoftSpoken(FieldBits::Eight), &plan, async |_, source| {
        source.next::<FixedWeightPair<u32>>(FixedWeightShape { mask: 0, map }).await.map(drop)
    });
    for result in results {
        let error = result.unwrap_err();
        assert!(matches!(error, ProtocolError::UnknownMask { mask: 0, known: 0 }), "{error}");
    }
}

/// A weight that has more bits than are left by the product would be another one.
#[test]
fn a_weight_that_is_too_large_is_refused_by_name() {
    let map = Bilinear::MatrixProduct { rows: 1, inner: 20, columns: 30 };
    let request = [Request::FixedWeights { mask: 0, map }.modulo::<u64>(60)];
    let plan = OwnPlan::new::<u64>(&request, WeightHolder::Party(0), 1, |_| u64::MAX).unwrap();
    let load = async |party: usize, transport, weight: i64| {
        let method = Method::SoftSpoken(FieldBits::Eight);
        let settings = PairSettings { session: [4; 16], own: party as u8, peer: 1 - party as u8, method };
        let pair = Pair::open(transport, settings, Seed::from_system().unwrap()).await?;
        let mut own = Own::new(pair, Place { party, parties: 2 }, Seed::from_system().unwrap())?;
        let mut weights = vec![0u64; map.right_len()];
        weights[77] = weight.cast_unsigned();
        let weights: &[&[u64]] = if party == 0 { &[&weights] } else { &[] };
        own.load(&plan, weights).await
    };
    let load = &load;
    for (weight, fits) in [((1 << 39) - 1, true), (-(1 << 39), true), (1 << 39, false), (-(1 << 39) - 1, false)] {
        let ends = memory_network(2, PATIENT).into_iter().enumerate();
        let load = |(party, end)| move || block_on(load(party, end, weight)).err().map(|error| error.to_string());
        let (errors, ()) = on_threads(ends.map(load), || ());
        assert_eq!(errors[0].is_none(), fits, "{errors:?}");
        // Transposed as the layer reads it.
        assert!(errors[0].iter().all(|error| error.contains("has more than 40 bits")), "{errors:?}");
    }
}

#[test]
fn memory_has_the_weights_of_every_exact_layer() {
    let map = Bilinear::MatrixProduct { rows: 1, inner: 100, columns: 100 };
    let plan = [0, 1, 2].map(|mask| Request::FixedWeights { mask, map });
    let plan = OwnPlan::new::<u64>(&plan, WeightHolder::Party(0), 1, |_| 0).unwrap();
    let [holder, other] = [0, 1].map(|party| plan.memory(Place { party, parties: 2 }));
    assert_eq!(holder - other, 3 * 16 * 10_000);
}

#[test]
fn three_parties_make_none() {
    let run = |party: usize, transport| async move {
        let (own, peer) = (party as u8, 1 - party as u8);
        let settings = PairSettings { session: [4; 16], own, peer, method: Method::SoftSpoken(FieldBits::Eight) };
        let pair = Pair::open(transport, settings, Seed::from_system().unwrap()).await.unwrap();
        Own::new(pair, Place { party, parties: 3 }, Seed::from_system().unwrap()).unwrap_err().to_string()
    };
    let ends = memory_network(2, PATIENT).into_iter().enumerate();
    for error in on_threads(ends.map(|(party, end)| move || block_on(run(party, end))), || ()).0 {
        assert!(error.contains("two parties make their own correlations"), "{error}");
    }
}
