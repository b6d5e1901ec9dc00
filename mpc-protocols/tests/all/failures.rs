use std::time::Duration;

use crate::common::{Ended, PATIENT, block_on, session, split};
use mpc_protocols::beaver::SquarePair;
use mpc_protocols::binary::{BitTriples, Planes, and};
use mpc_protocols::fixed_weights::{FixedWeightPair, FixedWeightShape, FixedWeights, WeightMask};
use mpc_protocols::maximum::{GroupMask, GroupShape};
use mpc_protocols::relu::{ReluMask, relu};
use mpc_protocols::sign::{SignParameters, SignShape};
use mpc_protocols::truncation::{LiftMask, LiftShape, truncate};
use mpc_protocols::{
    Bilinear, CorrelationSource, Dealer, Party, ProtocolError, Request, beaver, comparison, conversion, in_process,
    maximum, open, sharing,
};
use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, BinaryShares, Seed, ShareError};
use mpc_transport::{
    AnyTransport, Connection, Link, MemoryTransport, Metered, Peer, Transport, TransportError, memory_link,
    memory_network,
};

const SHORT: Duration = Duration::from_millis(200);

fn dealer<R: Ring>(parties: usize) -> Dealer<R> {
    Dealer::new(parties, Seed::from_bytes([5; 32])).unwrap()
}

/// The error of every party and of the dealer, in a session in which none may succeed.
fn errors<R: Ring, O: Send + std::fmt::Debug>(
    parties: usize,
    plan: &[Request],
    deadline: Duration,
    protocol: impl AsyncFn(&mut Party, &mut CorrelationSource<'_>) -> Result<O, ProtocolError> + Sync,
) -> (Vec<ProtocolError>, Result<(), ProtocolError>) {
    let network = memory_network(parties, deadline);
    let (ended, dealt) = session(&mut dealer::<R>(parties), plan, network, deadline, protocol);
    (ended.into_iter().map(|(result, _): Ended<O>| result.unwrap_err()).collect(), dealt)
}

fn shape(len: usize, bits: u32) -> SignShape {
    SignShape { len, parameters: SignParameters::new(bits).unwrap() }
}

#[test]
fn another_correlation_than_planned_is_named() {
    let plan = [Request::Square { len: 4 }];
    let (errors, _) = errors::<u64, _>(2, &plan, PATIENT, async |_, source| source.next::<SquarePair<u64>>(5).await);
    for error in errors {
        let ProtocolError::PlanDiffers { planned, asked } = error else { panic!("{error}") };
        assert_eq!((*planned, *asked), (Request::Square { len: 4 }, Request::Square { len: 5 }));
    }
}

#[test]
fn a_source_that_ran_dry_says_so() {
    let (errors, dealt) = errors::<u64, _>(3, &[], PATIENT, async |_, source| source.next::<SquarePair<u64>>(5).await);
    assert!(
        errors
            .iter()
            .all(|error| matches!(error, ProtocolError::RanDry { asked } if **asked == Request::Square { len: 5 }))
    );
    assert!(dealt.is_ok());
}

#[test]
fn what_is_left_over_is_counted() {
    let plan = [Request::Square { len: 4 }, Request::DaBits { len: 1 }, Request::DaBits { len: 1 }];
    let (errors, _) = errors::<u64, _>(2, &plan, PATIENT, async |_, source| source.next::<SquarePair<u64>>(4).await);
    assert!(errors.iter().all(|error| matches!(error, ProtocolError::LeftOver { count: 2 })), "{errors:?}");
}

#[test]
fn correlations_of_another_size_are_refused_before_anything_is_sent() {
    let x = || ArithmeticShares::from_elements(vec![1u64; 3]);
    let parameters = shape(4, 32).parameters;
    let plan = [
        Request::Square { len: 4 },
        Request::Lift { len: 4, bits: 32 },
        Request::Relu { len: 4, parameters },
        Request::BitTriples { width: 2, len: 4 },
        Request::BitTriples { width: 1, len: 4 },
        Request::DaBits { len: 4 },
        Request::EdaBits { len: 4 },
        Request::Beaver(Bilinear::Elementwise { len: 4 }),
    ];
    let map = Bilinear::Elementwise { len: 4 };
    let network = memory_network(2, SHORT);
    let (ended, _) = session(&mut dealer::<u64>(2), &plan, network, SHORT, async |party, source| {
        let bit = BinaryShares::zeros(1, 3);
        Ok(vec![
            beaver::square(party, &x(), source.next(4).await?).await.map(drop).unwrap_err(),
            truncate(party, &x(), 16, source.next(LiftShape { len: 4, bits: 32 }).await?).await.map(drop).unwrap_err(),
            relu(party, &x(), 16, source.next(shape(4, 32)).await?).await.map(drop).unwrap_err(),
            and(party, &bit, &bit, source.next(Planes { width: 2, len: 4 }).await?).await.map(drop).unwrap_err(),
            and(party, &bit, &bit, source.next(Planes { width: 1, len: 4 }).await?).await.map(drop).unwrap_err(),
            conversion::bit_to_arithmetic::<u64>(party, &bit, source.next(4).await?).await.map(drop).unwrap_err(),
            conversion::to_binary_with_edabits(party, &x(), source.next(4).await?, vec![]).await.map(drop).unwrap_err(),
            beaver::multiply(party, &x(), &x(), source.next(map).await?).await.map(drop).unwrap_err(),
        ])
    });
    for (result, _) in ended {
        let mut errors = result.unwrap();
        assert!(matches!(errors.pop(), Some(ProtocolError::OperandLength { expected: 4, got: 3, .. })));
        let planes = errors.remove(3);
        assert!(matches!(planes, ProtocolError::WrongCorrelation { unit: "planes", correlation: 2, operand: 1, .. }));
        for error in errors {
            let ProtocolError::WrongCorrelation { correlation: 4, operand: 3, .. } = error else { panic!("{error}") };
        }
    }
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let (ended, _) = session(&mut dealer::<u64>(2), &[], memory_network(2, SHORT), SHORT, async |party, _| {
        let x = || ArithmeticShares::from_elements(vec![1u64; 3]);
        let two = ArithmeticShares::from_elements(vec![1u64; 2]);
        let mut generator = crate::common::generator(1);
        Ok(vec![
            conversion::to_binary(party, &x(), vec![]).await.map(drop).unwrap_err(),
            comparison::most_significant_bit(party, &x(), vec![]).await.map(drop).unwrap_err(),
            maximum::maximum_of::<u64>(party, vec![], vec![]).await.map(drop).unwrap_err(),
            maximum::maximum_of(party, vec![x(), x()], vec![]).await.map(drop).unwrap_err(),
            sharing::share::<u64>(party, party.index(), &[3], Some(&[1]), &mut generator).await.map(drop).unwrap_err(),
            maximum::maximum_of(party, vec![x(), two], vec![]).await.map(drop).unwrap_err(),
        ])
    });
    for (result, _) in ended {
        let mut errors = result.unwrap();
        let shapes = errors.pop();
        assert!(matches!(shapes, Some(ProtocolError::Share(ShareError::ShapesDiffer { .. }))), "{shapes:?}");
        for error in errors {
            let ProtocolError::OperandLength { .. } = error else { panic!("{error}") };
        }
    }
}

#[test]
fn values_wider_than_the_ring_are_refused() {
    let len = conversion::all_bits(33, 2);
    let (errors, _) = errors::<u32, _>(2, &[Request::DaBits { len }], PATIENT, async |party, source| {
        let values = BinaryShares::zeros(33, 2);
        conversion::to_arithmetic::<u32>(party, &values, source.next(len).await?).await
    });
    let refused = |error: &_| matches!(error, ProtocolError::Share(ShareError::Width { width: 33, limit: 32 }));
    assert!(errors.iter().all(refused), "{errors:?}");
}

#[test]
fn parameters_outside_the_range_are_refused() {
    for bits in [0, 1, 2, 48, u32::MAX] {
        let error = SignParameters::new(bits).unwrap_err();
        assert!(matches!(error, ProtocolError::Parameter { parameter: "k", value, .. } if value == u64::from(bits)));
    }
    for bits in [0, 33] {
        let (all, _) =
            errors::<u32, _>(2, &[], PATIENT, async |party, _| open::open_low_bits(party, &[1u32], bits).await);
        assert!(all.iter().all(|error| matches!(error, ProtocolError::Parameter { parameter: "bits", .. })));
    }
    // More bits than the ring has, at the dealer and at every party.
    let shape = shape(4, 33);
    let plan = [Request::Relu { len: 4, parameters: shape.parameters }];
    let (all, dealt) = errors::<u32, _>(3, &plan, PATIENT, async |_, source| source.next::<ReluMask<u32>>(shape).await);
    assert!(all.iter().chain(dealt.as_ref().err()).all(|error| matches!(error, ProtocolError::Parameter { .. })));
    assert!(dealt.is_err());
    // More bits than remain after the shift.
    let lift = LiftShape { len: 1, bits: 49 };
    let (all, _) = errors::<u64, _>(2, &[Request::Lift { len: 1, bits: 49 }], PATIENT, async |party, source| {
        let mask: LiftMask<u64> = source.next(lift).await?;
        truncate(party, &ArithmeticShares::from_elements(vec![1]), 16, mask).await
    });
    assert!(all.iter().all(|error| matches!(error, ProtocolError::Parameter { value: 49, .. })));
    let (all, _) = errors::<u64, _>(2, &[Request::Lift { len: 1, bits: 49 }], PATIENT, async |party, source| {
        let mask: LiftMask<u64> = source.next(lift).await?;
        truncate(party, &ArithmeticShares::from_elements(vec![1]), u32::MAX, mask).await
    });
    assert!(all.iter().all(|error| matches!(error, ProtocolError::Parameter { .. })));
}

#[test]
fn nine_parties_have_no_dealer() {
    for parties in [0, 1, 9] {
        let error = Dealer::<u64>::new(parties, Seed::from_bytes([0; 32])).unwrap_err();
        assert!(matches!(error, ProtocolError::Share(ShareError::Parties { .. })));
    }
    let mut links = [memory_link(SHORT).0];
    let error = block_on(dealer::<u64>(2).deal(&mut links, &[], &mut |_| ())).unwrap_err();
    assert!(matches!(error, ProtocolError::OperandLength { expected: 2, got: 1, .. }));
}

#[test]
fn a_mask_that_was_not_set_up_is_named() {
    let map = Bilinear::Elementwise { len: 2 };
    let shape = FixedWeightShape { mask: 1, map };
    let plan = [Request::WeightMask { len: 2 }, Request::FixedWeights { mask: 1, map }];
    let protocol = async |_: &mut Party, source: &mut CorrelationSource<'_>| {
        let _mask: WeightMask<u64> = source.next(2).await?;
        source.next::<FixedWeightPair<u64>>(shape).await
    };
    let mut dealer = dealer::<u64>(2);
    let (ended, dealt) = session(&mut dealer, &plan, memory_network(2, SHORT), SHORT, protocol);
    assert!(matches!(dealt, Err(ProtocolError::UnknownMask { mask: 1, known: 1 })));
    let (last, _) = &ended[1];
    assert!(matches!(last, Err(ProtocolError::Transport(TransportError::Closed { .. }))), "{last:?}");
    // The masks of a session that failed are forgotten, so that a repeated one counts from where it began.
    let plan = [Request::FixedWeights { mask: 0, map }];
    let (_, dealt) = session(&mut dealer, &plan, memory_network(2, SHORT), SHORT, async |_, _| Ok(()));
    assert!(matches!(dealt, Err(ProtocolError::UnknownMask { mask: 0, known: 0 })));
}

/// The last party sees a closed link only; the dealer knows why.
#[test]
fn a_run_in_one_process_names_the_cause() {
    let map = Bilinear::Elementwise { len: 2 };
    let plan = [Request::FixedWeights { mask: 0, map }];
    let protocol = async |_: &mut _, source: &mut CorrelationSource<'_>| {
        source.next::<FixedWeightPair<u64>>(FixedWeightShape { mask: 0, map }).await.map(drop)
    };
    let seed = Seed::from_bytes([1; 32]);
    let on_one_thread = in_process::run_on_one_thread::<u64, _>(2, &plan, seed, protocol).unwrap_err();
    let on_many = in_process::run_planned::<u64, _>(2, &plan, protocol).unwrap_err();
    for error in [on_one_thread, on_many] {
        assert!(matches!(error, ProtocolError::UnknownMask { mask: 0, known: 0 }), "{error}");
    }
}

#[test]
fn a_pair_for_another_layer_is_refused() {
    let map = Bilinear::MatrixProduct { rows: 1, inner: 2, columns: 3 };
    let plan = [Request::WeightMask { len: 6 }, Request::WeightMask { len: 4 }, Request::FixedWeights { mask: 0, map }];
    let (errors, _) = errors::<u64, _>(2, &plan, PATIENT, async |party, source| {
        let _other: WeightMask<u64> = source.next(6).await?;
        let layer = (ArithmeticShares::from_elements(vec![1u64; 4]), source.next(4).await?);
        let layers = FixedWeights::load(party, vec![layer]).await?;
        layers[0].prepare(source.next(FixedWeightShape { mask: 0, map }).await?).map(drop)
    });
    assert!(errors.iter().all(|error| matches!(error, ProtocolError::OperandLength { expected: 6, got: 4, .. })));
}

/// The dealer has no mask for the input of a layer that comes first, or the mask of another size.
#[test]
fn a_product_without_its_pair_is_refused() {
    let map = |inner| Bilinear::MatrixProduct { rows: 1, inner, columns: 3 };
    let again = Request::FixedWeightsSharedInput { mask: 0, map: map(2) };
    let other = Request::FixedWeights { mask: 1, map: map(3) };
    for (before, got) in [(vec![], 0), (vec![other], 3)] {
        let mut plan = vec![Request::WeightMask { len: 6 }, Request::WeightMask { len: 9 }];
        plan.extend(before);
        plan.push(again.clone());
        let (_, dealt) = session(&mut dealer::<u64>(2), &plan, memory_network(2, SHORT), SHORT, async |_, _| Ok(()));
        let error = dealt.unwrap_err();
        assert!(matches!(error, ProtocolError::OperandLength { expected: 2, got: n, .. } if n == got), "{error}");
    }
}

/// A ReLU at all parties but `party`, which does something else in the second round.
fn relu_against(
    misbehaving: usize,
    deadline: Duration,
    misbehave: impl AsyncFn(&mut Metered<AnyTransport>) + Sync,
) -> Vec<ProtocolError> {
    let (parties, shape) = (3, shape(100, 32));
    let plan = [Request::Relu { len: shape.len, parameters: shape.parameters }];
    let x = split(&vec![7u64; shape.len], parties);
    let network = memory_network(parties, deadline);
    let protocol = async |party: &mut Party, source: &mut CorrelationSource<'_>| {
        let mask: ReluMask<u64> = source.next(shape).await?;
        if party.index() == misbehaving {
            open::open_low_bits(party, x[party.index()].elements(), 32).await?;
            misbehave(party.transport_mut()).await;
            return Ok(());
        }
        relu(party, &x[party.index()], 16, mask).await.map(drop)
    };
    let (ended, dealt) = session(&mut dealer::<u64>(parties), &plan, network, deadline, protocol);
    assert!(dealt.is_ok());
    let others = ended.into_iter().enumerate().filter(|&(party, _)| party != misbehaving);
    others.map(|(_, (result, _))| result.unwrap_err()).collect()
}

#[test]
fn a_peer_that_closes_is_named() {
    for misbehaving in 0..3 {
        let leave = async |transport: &mut Metered<AnyTransport>| {
            *transport = Metered::new(AnyTransport::new(memory_network(1, SHORT).remove(0)));
        };
        for error in relu_against(misbehaving, PATIENT, leave) {
            // The first to notice names the peer and closes too: the other may see that first.
            assert!(matches!(error, ProtocolError::Transport(TransportError::Closed { .. })), "{error}");
        }
    }
}

#[test]
fn a_peer_that_stalls_is_named() {
    let errors = relu_against(1, SHORT, async |_| {
        smol::Timer::after(3 * SHORT).await;
    });
    let named = |error: &_| match error {
        ProtocolError::Transport(TransportError::Timeout { peer: Peer::Party(1), .. }) => true,
        ProtocolError::Transport(TransportError::Closed { .. }) => false,
        other => panic!("{other}"),
    };
    assert!(errors.iter().any(named));
}

#[test]
fn a_frame_of_a_wrong_length_is_named() {
    for misbehaving in 0..3 {
        let errors = relu_against(misbehaving, PATIENT, async |transport| {
            for peer in (0..3).filter(|&peer| peer != misbehaving) {
                let _ = transport.send(peer, &[0; 5]).await;
            }
        });
        let named = |error: &_| match error {
            ProtocolError::Transport(TransportError::WrongLength { peer, got: 5, .. }) => {
                *peer == Peer::Party(misbehaving)
            }
            ProtocolError::Transport(TransportError::Closed { .. }) => false,
            other => panic!("{other}"),
        };
        assert!(errors.iter().any(named), "{errors:?}");
    }
}

/// The dealer sends seeds and part of the first correction, and is gone.
#[test]
fn a_dealer_that_dies_is_named() {
    let (parties, shape) = (3, shape(100, 32));
    let plan = [Request::Relu { len: shape.len, parameters: shape.parameters }];
    for frames in 0..4usize {
        let (dealer_ends, party_ends): (Vec<_>, Vec<_>) = (0..parties).map(|_| memory_link(PATIENT)).unzip();
        let dealing = std::thread::spawn(move || {
            block_on(async {
                let mut ends = dealer_ends;
                for end in ends.iter_mut().take(if frames == 0 { 1 } else { parties }) {
                    end.send(&[9; 64]).await.unwrap();
                }
                let lengths = [800, 2400, 166];
                for &length in lengths.iter().take(frames.saturating_sub(1)) {
                    ends.last_mut().unwrap().send(&vec![1; length]).await.unwrap();
                }
            });
        });
        let results: Vec<_> = std::thread::scope(|scope| {
            let run = |(transport, mut link): (MemoryTransport, Link)| {
                let mut party = Party::new(transport);
                block_on(async {
                    let mut source = CorrelationSource::begin(&mut link, party.place(), &plan).await?;
                    let mask: ReluMask<u64> = source.next(shape).await?;
                    relu(&mut party, &ArithmeticShares::from_elements(vec![1; 100]), 16, mask).await
                })
            };
            let ends = memory_network(parties, PATIENT).into_iter().zip(party_ends);
            let threads: Vec<_> = ends.map(|ends| scope.spawn(move || run(ends))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        dealing.join().unwrap();
        for result in results {
            let error = result.unwrap_err();
            let expected = TransportError::Closed { peer: Peer::Party(0) };
            let ProtocolError::Transport(error) = error else { panic!("{error}") };
            assert_eq!(std::mem::discriminant(&error), std::mem::discriminant(&expected), "{error}");
        }
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let asked = || Box::new(Request::Square { len: 2 });
    let cases = [
        (ProtocolError::RanDry { asked: asked() }, "ran dry"),
        (ProtocolError::LeftOver { count: 3 }, "3 correlations of the plan were left over"),
        (ProtocolError::PlanDiffers { planned: asked(), asked: asked() }, "plan and execution differ"),
        (ProtocolError::UnknownMask { mask: 4, known: 2 }, "weight mask 4 was not set up: 2 masks are known"),
    ];
    for (error, part) in cases {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn debug_shows_no_share() {
    let transports = memory_network(2, PATIENT);
    let plan = [
        Request::Square { len: 1 },
        Request::Relu { len: 1, parameters: shape(1, 32).parameters },
        Request::BitTriples { width: 1, len: 1 },
        Request::Group { size: 4, len: 1, parameters: shape(1, 32).parameters },
        Request::WeightMask { len: 1 },
    ];
    let group = GroupShape { size: 4, len: 1, parameters: shape(1, 32).parameters };
    let (ended, _) = session(&mut dealer::<u64>(2), &plan, transports, PATIENT, async |party, source| {
        let secret = format!("{:?}", source.next::<SquarePair<u64>>(1).await?)
            + &format!("{:?}", source.next::<ReluMask<u64>>(shape(1, 32)).await?)
            + &format!("{:?}", source.next::<BitTriples>(Planes { width: 1, len: 1 }).await?)
            + &format!("{:?}", source.next::<GroupMask<u64>>(group).await?);
        let weights = ArithmeticShares::from_elements(vec![1u64]);
        let layers = FixedWeights::load(party, vec![(weights, source.next(1).await?)]).await?;
        open::open(party, &ArithmeticShares::from_elements(vec![0xabcd_u64])).await?;
        Ok(secret + &format!("{layers:?} {party:?}"))
    });
    for (result, _) in ended {
        let text = result.unwrap();
        // Shapes and parameters are all the numbers there are.
        let numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|number| number.len() > 2);
        assert_eq!(numbers.count(), 0, "{text}");
    }
}
