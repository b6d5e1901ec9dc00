//! Two parties that make their correlations themselves, and run protocols with them.

use std::sync::{Arc, Mutex};
use std::thread;

use crate::common::{PATIENT, Recording, Rounds, elements, signed, split};
use mpc_ot::softspoken::FieldBits;
use mpc_ot::{Method, Pair, PairSettings, Schedule};
use mpc_protocols::own::{Own, traffic};
use mpc_protocols::relu::relu;
use mpc_protocols::sign::{SignParameters, SignShape, is_non_negative};
use mpc_protocols::{CorrelationSource, Party, Place, ProtocolError, Request};
use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, Seed};
use mpc_transport::memory_network;

/// Runs `protocol` at both parties, each with a link for the protocol and one for the correlations of `plan`, and checks that
/// the second one carries what is planned, if it carries the same in both directions.
fn run<R: Ring, O: Send>(
    method: Method,
    plan: &[Request],
    protocol: impl AsyncFn(&mut Party, &mut CorrelationSource<'_>) -> Result<O, ProtocolError> + Sync,
) -> Vec<Result<O, ProtocolError>> {
    let run = async |party: usize, online, preparing| {
        let rounds = Rounds::default();
        let preparing = Recording::new(preparing, &rounds);
        let settings = PairSettings { session: [4; 16], own: party as u8, peer: 1 - party as u8, method };
        let pair = Pair::open(preparing, settings, Seed::from_system().unwrap()).await?;
        rounds.lock().unwrap().clear();
        let mut schedule = pair.schedule();
        let place = Place { party, parties: 2 };
        let mut source = CorrelationSource::new(Own::new(pair, place)?, plan);
        let output = protocol(&mut Party::new(online), &mut source).await?;
        source.finish()?;
        check_traffic::<R>(plan, place, &mut schedule, &rounds);
        Ok(output)
    };
    let run = &run;
    thread::scope(|scope| {
        let ends = memory_network(2, PATIENT).into_iter().zip(memory_network(2, PATIENT)).enumerate();
        let threads: Vec<_> =
            ends.map(|(party, (a, b))| scope.spawn(move || smol::block_on(run(party, a, b)))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn check_traffic<R: Ring>(
    plan: &[Request],
    place: Place,
    schedule: &mut Schedule,
    rounds: &Arc<Mutex<Vec<Vec<Vec<u8>>>>>,
) {
    let planned: Vec<_> = plan.iter().map(|request| traffic(request, R::BITS, place, schedule).unwrap()).collect();
    if planned.iter().all(|traffic| traffic.payload_sent == traffic.payload_received) {
        let rounds = rounds.lock().unwrap();
        let sent: usize = rounds.iter().map(|messages| messages[0].len()).sum();
        assert_eq!(sent as u64, planned.iter().map(|traffic| traffic.payload_sent).sum::<u64>());
        assert_eq!(rounds.len() as u64, planned.iter().map(|traffic| traffic.rounds).sum::<u64>());
    }
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
    let (values, shape) = (values(len, bits), shape(len, bits));
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
    rectifies::<u64>(1024, 32, Method::Silent);
}

#[test]
fn what_the_parties_cannot_make_is_refused_by_name() {
    let plan = [Request::Square { len: 3 }];
    let results = run::<u64, _>(Method::SoftSpoken(FieldBits::Eight), &plan, async |_, source| {
        source.next::<mpc_protocols::beaver::SquarePair<u64>>(3).await.map(drop)
    });
    for result in results {
        let error = result.unwrap_err();
        assert!(matches!(error, ProtocolError::NotMadeByParties { .. }), "{error}");
        assert!(error.to_string().contains("Square"), "{error}");
    }
    let place = Place { party: 0, parties: 2 };
    assert!(traffic(&plan[0], 64, place, &mut Schedule::new(Method::Silent)).is_err());
}
