//! Protocols that run in the same rounds: their results, and the bytes and rounds of all together.

use mpc_protocols::joint::{self, Joint, JointFuture};
use mpc_protocols::relu::{ReluMask, relu};
use mpc_protocols::sign::{SignParameters, SignShape};
use mpc_protocols::truncation::{LiftMask, LiftShape, truncate};
use mpc_protocols::{Correlation, Party, ProtocolError, in_process, open, sign, truncation};
use mpc_ring::Ring;
use mpc_shares::ArithmeticShares;
use mpc_transport::{Phase, Traffic};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::{elements, parties, signed, split};

const BITS: u32 = 24;
const SHIFT: u32 = 5;
const LABELS: [&str; 3] = ["truncate", "relu", "open"];

fn parameters() -> SignParameters {
    SignParameters::new(BITS).unwrap()
}

/// Runs a truncation, a ReLU and an opening together, of values of their own.
fn together<R: Ring>(values: &[Vec<i64>; 3], parties: usize) {
    let shares = values.each_ref().map(|values| split(&elements::<R>(values), parties));
    let lift = LiftShape { len: values[0].len(), bits: BITS };
    let shape = SignShape { len: values[1].len(), parameters: parameters() };
    let plan = [LiftMask::<R>::request(&lift), ReluMask::<R>::request(&shape)];
    let outcomes = in_process::run_planned::<R, _>(parties, &plan, async |party: &mut Party, source| {
        let (lift, mask) = (source.next(lift).await?, source.next(shape).await?);
        let of = |at: usize| &shares[at][party.index()];
        let (x, y, z) = (of(0), of(1), of(2));
        let (joint, mut lanes) = Joint::new(party, 3);
        lanes.iter_mut().zip(LABELS).for_each(|(lane, label)| lane.transport_mut().begin(Phase::Online, label));
        let [first, second, third] = lanes.as_mut_slice() else { unreachable!() };
        let protocols: Vec<JointFuture<'_, ArithmeticShares<R>, ProtocolError>> = vec![
            Box::pin(async move { truncate(first, x, SHIFT, lift).await }),
            Box::pin(async move { relu(second, y, 0, mask).await }),
            Box::pin(async move { Ok(ArithmeticShares::from_elements(open::open(third, z).await?)) }),
        ];
        let results = joint.run(party, protocols).await?;
        joint::count(party, Phase::Online, &lanes);
        let counted = LABELS.map(|label| party.transport().meter().traffic(Phase::Online, label));
        Ok((results.into_iter().map(ArithmeticShares::into_elements).collect::<Vec<_>>(), counted))
    });
    let outcomes = outcomes.unwrap();

    // All in three rounds, of which the truncation has the first, with the opening; the other two are the ReLU's.
    let parts = [
        truncation::traffic(lift, parties),
        sign::traffic(shape, parties),
        open::traffic(values[2].len(), R::BITS, parties),
    ];
    let frames = parties as u64 - 1;
    let in_rounds = |traffic: Traffic, rounds: u64| {
        let frames = frames * rounds;
        Traffic { rounds, frames_sent: frames, frames_received: frames, ..traffic }
    };
    let expected = [in_rounds(parts[0], 1), in_rounds(parts[1], 2), in_rounds(parts[2], 0)];
    for outcome in &outcomes {
        assert_eq!(outcome.output.1, expected);
        assert_eq!(outcome.online, expected.into_iter().sum());
    }

    let sums = |at: usize| {
        let sum = |i: usize| outcomes.iter().fold(R::ZERO, |sum, outcome| sum.wrapping_add(outcome.output.0[at][i]));
        signed(&(0..values[at].len()).map(sum).collect::<Vec<R>>())
    };
    for (&x, y) in values[0].iter().zip(sums(0)) {
        assert!(((y << SHIFT) - i128::from(x)).abs() * 2 <= (parties as i128) << SHIFT, "{x} >> {SHIFT} gave {y}");
    }
    assert_eq!(sums(1), values[1].iter().map(|&x| i128::from(x.max(0))).collect::<Vec<_>>());
    assert_eq!(signed(&outcomes[0].output.0[2]), values[2].iter().map(|&x| i128::from(x)).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn each_is_right_and_all_take_the_rounds_of_the_longest(
        parties in parties(),
        first in vec(-(1i64 << 20)..1 << 20, 1..40),
        second in vec(-(1i64 << 20)..1 << 20, 1..300),
        third in vec(-(1i64 << 20)..1 << 20, 1..20),
    ) {
        together::<u64>(&[first.clone(), second.clone(), third.clone()], parties);
        together::<u32>(&[first, second, third], parties);
    }
}

/// A party of a joint run has no links, and the first failure is that of all.
#[test]
fn a_protocol_that_fails_ends_all() {
    let outcomes = in_process::run::<u64, _>(2, async |party: &mut Party, _| {
        let (joint, mut lanes) = Joint::new(party, 2);
        let [first, second] = lanes.as_mut_slice() else { unreachable!() };
        let protocols: Vec<JointFuture<'_, (), ProtocolError>> = vec![
            Box::pin(
                async move { open::open::<u64>(first, &ArithmeticShares::from_elements(vec![1])).await.map(|_| ()) },
            ),
            Box::pin(async move { open::open_low_bits::<u64>(second, &[1], 65).await.map(|_| ()) }),
        ];
        match joint.run(party, protocols).await {
            Err(ProtocolError::Parameter { parameter: "bits", value: 65, .. }) => Ok(()),
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(outcomes.unwrap().len(), 2);
}
