//! The same relations where two parties make the correlations themselves, every meter as planned.

use std::collections::VecDeque;

use mpc_ot::softspoken::FieldBits;
use mpc_ot::{Method, Pair, PairSettings};
use mpc_protocols::correlation::{OwnRecorded, Provider, Share};
use mpc_protocols::function::Function;
use mpc_protocols::lookup::{Layout, Table};
use mpc_protocols::own::{MAKE, Own, OwnPlan, WeightHolder, recorded_bytes};
use mpc_protocols::sign::{SignParameters, Variant};
use mpc_protocols::{Bilinear, Place, Request};
use mpc_ring::{Convolution, Ring};
use mpc_shares::{Prg, Seed};
use mpc_transport::{FrameSource, Phase, RecordingError, memory_network};
use proptest::prelude::*;

use super::{Opened, check, dealt};
use crate::common::{PATIENT, block_on, chi_square, on_threads};

/// A recording in memory.
struct Kept(VecDeque<u8>);

impl FrameSource for Kept {
    fn remaining(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), RecordingError> {
        if self.0.len() < bytes.len() {
            return Err(RecordingError::Ended);
        }
        let read = self.0.drain(..bytes.len());
        bytes.iter_mut().zip(read).for_each(|(byte, kept)| *byte = kept);
        Ok(())
    }
}

/// The values of every field of a plan that two parties make themselves, each with its weights, and what it says of noise: of an
/// inference that they have recorded and read again.
fn own<R: Ring>(requests: &[Request], holder: WeightHolder, weights: [&[Vec<R>]; 2]) -> (OwnPlan, Vec<Vec<Opened<R>>>) {
    let plan = OwnPlan::new::<R>(requests, holder, 1, |_| u64::MAX).unwrap();
    let fields = of_plan(&plan, requests, weights);
    (plan, fields)
}

/// The values of every field of a plan that two parties make themselves, each with its weights.
fn of_plan<R: Ring>(plan: &OwnPlan, requests: &[Request], weights: [&[Vec<R>]; 2]) -> Vec<Vec<Opened<R>>> {
    let draw = async |party: usize, transport| {
        let (place, method) = (Place { party, parties: 2 }, Method::SoftSpoken(FieldBits::Eight));
        let settings = PairSettings { session: [4; 16], own: party as u8, peer: 1 - party as u8, method };
        let pair = Pair::open(transport, settings, Seed::from_system().unwrap()).await.unwrap();
        let mut own = Own::new(pair, place, Seed::from_system().unwrap()).unwrap();
        own.transport_mut().meter_mut().clear();
        let weights: Vec<&[R]> = weights[party].iter().map(|weights| &weights[..]).collect();
        own.load(plan, &weights).await.unwrap();
        assert_eq!(own.transport().meter().traffic(Phase::Setup, MAKE), plan.loading(place));
        let mut schedule = own.schedule();
        let mut inferences = Vec::new();
        for is_recorded in [false, true] {
            own.transport_mut().meter_mut().clear();
            let mut kept = VecDeque::new();
            let mut provider: Box<dyn Provider> = if is_recorded {
                let keep = |bytes: &[u8]| {
                    kept.extend(bytes);
                    Ok(())
                };
                own.record::<R>(plan, requests, keep, |_| ()).await.unwrap();
                assert_eq!(kept.len() as u64, recorded_bytes::<R>(requests));
                Box::new(OwnRecorded::new(Kept(kept)))
            } else {
                Box::new(own.begin(plan))
            };
            let mut drawn: Vec<Vec<Opened<R>>> = Vec::new();
            for request in requests {
                let layout = request.layout::<R>().unwrap();
                let mut fields: Vec<Opened<R>> = layout.fields().iter().map(Opened::blank).collect();
                let shares = fields.iter_mut().map(|share| share as &mut dyn Share).collect();
                provider.provide(request, shares).await.unwrap();
                drawn.push(fields.into_iter().map(Opened::finish).collect());
            }
            drop(provider);
            let planned = plan.traffic(place, &mut schedule);
            assert_eq!(own.transport().meter().total(Phase::Preprocessing), planned, "{place:?}");
            assert_eq!(schedule, own.schedule());
            inferences.push(drawn);
        }
        inferences.pop().unwrap()
    };
    let draw = &draw;
    let ends = memory_network(2, PATIENT).into_iter().enumerate();
    let (shares, ()) = on_threads(ends.map(|(party, end)| move || block_on(draw(party, end))), || ());
    let mut shares = shares.into_iter();
    let mut sum: Vec<Vec<Opened<R>>> = shares.next().unwrap();
    for share in shares {
        sum.iter_mut().flatten().zip(share.iter().flatten()).for_each(|(sum, share)| sum.add(share));
    }
    // As a party has them they may be wider than their field.
    sum.iter_mut().flatten().for_each(|field| field.add(&Opened::blank(&field.field)));
    sum
}

/// Checks the relations of correlations without a dealer, where one party knows the weights and where they are shared.
fn own_relations_hold<R: Ring>(requests: &[Request], lengths: &[usize], seed: [u8; 32]) {
    let mut generator = Prg::new(Seed::from_bytes(seed));
    let mut tensors =
        |bits: u32| -> Vec<Vec<R>> { lengths.iter().map(|&len| random(len, bits, &mut generator)).collect() };
    // Of 24 bits with the sign.
    let known = tensors(24);
    for owner in [0, 1] {
        let holder = WeightHolder::Party(owner);
        let weights = if owner == 0 { [&known[..], &[]] } else { [&[], &known[..]] };
        let (plan, fields) = own(requests, holder, weights);
        check(requests, known.iter().map(|weights| &weights[..]).collect(), plan.noise(), &fields);
    }
    let parts = [tensors(R::BITS), tensors(R::BITS)];
    let mut total = parts[0].clone();
    total.iter_mut().flatten().zip(parts[1].iter().flatten()).for_each(|(x, &y)| *x = x.wrapping_add(y));
    let (plan, fields) = own(requests, WeightHolder::Both, [&parts[0], &parts[1]]);
    check(requests, total.iter().map(|weights| &weights[..]).collect(), plan.noise(), &fields);
}

/// Requests of all kinds that two parties make: all but masks of weights, with weights of several shapes.
fn every_own_kind<R: Ring>(len: usize, bits: u32, read: u32, planes: u32) -> (Vec<Request>, Vec<usize>) {
    let parameters = SignParameters::new(bits).unwrap();
    let few_bytes = parameters.with_variant(Variant::FewBytes);
    let product = Bilinear::MatrixProduct { rows: 3, inner: len, columns: 2 };
    let image = Convolution {
        batch: 2,
        stride: [2, 1],
        padding: [1, 0, 1, 1],
        groups: 2,
        ..Convolution::valid([2, 4], [4, 3], [3, 2])
    };
    let linear = Convolution { batch: 2, ..Convolution::valid([5, 3], [1, 1], [1, 1]) };
    let point = Convolution { batch: 2, ..Convolution::valid([2, 4], [4, 3], [1, 1]) };
    let [image, linear, point] = [image, linear, point].map(Bilinear::Convolution);
    let requests = vec![
        Request::Relu { len, parameters },
        Request::Beaver(product),
        Request::Beaver(Bilinear::Elementwise { len }),
        Request::Beaver(Bilinear::BatchedMatrixProduct { batch: 2, rows: 2, inner: 3, columns: 1 }),
        Request::Beaver(image),
        Request::Square { len },
        Request::FixedWeights { mask: 0, map: product },
        Request::FixedWeights { mask: 1, map: image },
        Request::FixedWeightsSharedInput { mask: 3, map: point },
        Request::FixedWeights { mask: 2, map: linear },
        Request::BitTriples { width: planes, len },
        Request::DaBits { len },
        Request::EdaBits { len },
        Request::Lift { len, bits },
        Request::Sign { len: 700, parameters },
        Request::Piecewise { len, thresholds: planes as usize, parameters },
        Request::Relu { len: 3, parameters },
        Request::Relu { len, parameters: few_bytes },
        Request::Sign { len: 700, parameters: few_bytes },
        Request::Piecewise { len, thresholds: planes as usize, parameters: few_bytes },
        Request::Relu { len: 3, parameters: few_bytes },
        Request::Lookup { len, table: sigmoid(8) },
        Request::Lookup { len: 3, table: sigmoid(8) },
    ];
    let requests = requests.into_iter().map(|request| request.modulo::<R>(read)).collect();
    (requests, vec![2 * len, image.right_len(), linear.right_len(), point.right_len()])
}

/// Elements of `bits` bits with the sign.
fn random<R: Ring>(len: usize, bits: u32, generator: &mut Prg) -> Vec<R> {
    let mut elements = vec![R::ZERO; len];
    R::fill_random(&mut elements, generator);
    elements.iter().map(|&x| R::from_u128((x.to_i128() >> (R::BITS - bits)) as u128)).collect()
}

/// Products of secrets that are encrypted: one matrix, several, so many that they take two exchanges, of few bits and many.
#[test]
fn products_of_secret_matrices_are_encrypted_where_that_is_cheaper() {
    let products = |width: u32| {
        let maps = [
            Bilinear::BatchedMatrixProduct { batch: 3, rows: 16, inner: 32, columns: 20 },
            Bilinear::MatrixProduct { rows: 40, inner: 70, columns: 30 },
            Bilinear::BatchedMatrixProduct {
                batch: if width == 50 { 23 } else { 2 },
                rows: 64,
                inner: 64,
                columns: 64,
            },
            Bilinear::BatchedMatrixProduct { batch: 2, rows: 2, inner: 3, columns: 2 },
            Bilinear::Elementwise { len: 20 },
        ];
        maps.map(|map| Request::Beaver(map).modulo::<u64>(width))
    };
    for (width, encrypted) in [(50, 3), (47, 3), (33, 3), (1, 0)] {
        let requests = products(width);
        let (plan, fields) = own::<u64>(&requests, WeightHolder::Party(1), [&[], &[]]);
        let noise: Vec<_> = plan.noise().collect();
        assert!(
            noise.iter().enumerate().all(|(at, &noise)| (noise > 1 << 14) == (at < encrypted)),
            "{width}: {noise:?}"
        );
        check(&requests, Vec::new(), noise, &fields);
    }
    // Exact, where the noise would be too much or the product has too many bits.
    let small = &products(48)[..1];
    let exact = OwnPlan::new::<u64>(small, WeightHolder::Both, 1, |_| (1 << 14) - 1).unwrap();
    check::<u64>(
        small,
        Vec::new(),
        exact.noise().inspect(|&noise| assert_eq!(noise, 0)),
        &of_plan(&exact, small, [&[], &[]]),
    );
    assert!(own::<u64>(&products(51)[..1], WeightHolder::Both, [&[], &[]]).0.noise().all(|noise| noise == 0));
}

/// Layers of more bits than a mask that an encryption chooses, with the largest weights: encrypted or exact, whichever of two layers
/// of one input is which.
#[test]
fn wide_layers_are_encrypted_or_exact() {
    let map = Bilinear::MatrixProduct { rows: 5, inner: 60, columns: 70 };
    let mut generator = Prg::new(Seed::from_bytes([8; 32]));
    for (width, exact) in [(51, 0), (57, 0b001), (57, 0b010), (62, 0b100), (64, 0b101), (64, 0)] {
        let requests = [
            Request::FixedWeights { mask: 0, map },
            Request::FixedWeightsSharedInput { mask: 1, map },
            Request::FixedWeights { mask: 1, map },
        ];
        let requests = requests.map(|request| request.modulo::<u64>(width));
        let weights = [0, 1].map(|_| random::<u64>(map.right_len(), 100 - width, &mut generator));
        let owner = width as usize % 2;
        let tolerated = |at: usize| if exact >> at & 1 == 1 { 0 } else { u64::MAX };
        let plan = OwnPlan::new::<u64>(&requests, WeightHolder::Party(owner), 1, tolerated).unwrap();
        let noise: Vec<_> = plan.noise().collect();
        assert!(noise.iter().enumerate().all(|(at, &noise)| (noise == 0) == (exact >> at & 1 == 1)), "{noise:?}");
        let known = if owner == 0 { [&weights[..], &[]] } else { [&[], &weights[..]] };
        let fields = of_plan(&plan, &requests, known);
        check(&requests, weights.iter().map(|weights| &weights[..]).collect(), noise, &fields);
    }
    // Shares of weights take all bits.
    let plan = [Request::FixedWeights { mask: 0, map }.modulo::<u64>(51)];
    let plan = OwnPlan::new::<u64>(&plan, WeightHolder::Both, 1, |_| u64::MAX).unwrap();
    assert!(plan.noise().all(|noise| noise == 0));
}

/// A product with the factors of a normalisation takes a polynomial for each of them.
#[test]
fn products_of_elements_with_weights_are_by_transfers() {
    let shape = Convolution { groups: 384, ..Convolution::valid([384, 384], [12, 1], [1, 1]) };
    let request = |width| [Request::FixedWeights { mask: 0, map: Bilinear::Convolution(shape) }.modulo::<u64>(width)];
    for (width, inferences) in [(48, 1), (62, 1), (62, 1_000)] {
        let plan = OwnPlan::new::<u64>(&request(width), WeightHolder::Party(0), inferences, |_| u64::MAX).unwrap();
        assert!(plan.noise().all(|noise| noise == 0), "{width} bits, {inferences} inferences");
    }
}

/// The segments' polynomials in the distance from the segment's begin, of a table that is rotated by `a`.
pub(super) fn not_rotated<R: Ring>(layout: &Layout, a: u64, entries: &[R]) -> Vec<[R; 3]> {
    let mask = R::low_mask(layout.entry_bits);
    let alpha = R::from_u64(a & u64::low_mask(layout.segment_bits));
    let of = |segment: u64| {
        let entry = (segment + (a >> layout.segment_bits)) & u64::low_mask(layout.index_bits);
        let [q0, q1, q2] = [0, 1, 2].map(|part| entries[3 * entry as usize + part]);
        // q(ε) for ε = δ + α.
        let c0 = q0.wrapping_add(alpha.wrapping_mul(q1.wrapping_add(alpha.wrapping_mul(q2))));
        let c1 = q1.wrapping_add((q2 << 1).wrapping_mul(alpha));
        [c0 & mask, c1 & mask, q2 & mask]
    };
    (0..layout.entries() as u64).map(of).collect()
}

/// A table with `bits` fractional bits.
fn sigmoid(bits: u32) -> Table {
    Table { function: Function::Sigmoid, input_bits: bits, output_bits: bits, limit_bits: bits + 10 }
}

/// Without a dealer, with an owner of weights who has none.
fn own_alone<R: Ring>(requests: &[Request]) -> Vec<Vec<Opened<R>>> {
    own(requests, WeightHolder::Party(0), [&[], &[]]).1
}

/// Tables of every size, of elements that begin and end inside of words: the polynomials are those that a dealer rotates.
#[test]
fn lookups_that_two_parties_make_have_the_polynomials_of_dealt_ones() {
    fn hold<R: Ring>(tables: &[Table]) {
        let lengths = [65, 1, 64, 63].iter().zip(tables.iter().cycle());
        let requests: Vec<_> = lengths.map(|(&len, &table)| Request::Lookup { len, table }).collect();
        let fields = own_alone::<R>(&requests);
        check(&requests, Vec::new(), std::iter::repeat(0), &fields);
        let dealt = dealt::<R>(&requests, 2, [5; 32]);
        for ((request, own), dealt) in requests.iter().zip(&fields).zip(&dealt) {
            let &Request::Lookup { table, .. } = request else { unreachable!("all are lookups") };
            let layout = table.layout(R::BITS).unwrap();
            let polynomials = |fields: &[Opened<R>]| {
                let a = fields[0].elements[0].low_u64() & u64::low_mask(layout.argument_bits());
                not_rotated(&layout, a, &fields[1].elements[..3 * layout.entries()])
            };
            assert!(polynomials(own) == polynomials(dealt), "{table:?}");
        }
    }
    let table = |function, bits| Table { function, ..sigmoid(bits) };
    let tables = [table(Function::Tanh, 4), sigmoid(8), sigmoid(16)];
    assert!(tables.map(|table| table.layout(64).unwrap().index_bits).is_sorted_by(|x, y| x < y));
    hold::<u64>(&tables);
    hold::<u128>(&tables[1..]);
    hold::<u32>(&[sigmoid(5), sigmoid(8)]);
}

/// Neither the index nor what is above or below it is more often one thing than another, whatever the parties do.
#[test]
fn the_index_of_a_lookup_is_uniform() {
    let (len, table) = (1 << 13, sigmoid(5));
    let layout = table.layout(32).unwrap();
    let fields = own_alone::<u32>(&[Request::Lookup { len, table }]);
    let a: Vec<_> = fields[0][0].elements.iter().map(|a| a & u32::low_mask(layout.argument_bits())).collect();
    let count = |values: usize, of: &dyn Fn(u32) -> u32| {
        let mut counts = vec![0; values];
        a.iter().for_each(|&a| counts[of(a) as usize] += 1);
        chi_square(&counts)
    };
    let high = count(layout.entries(), &|a| a >> layout.segment_bits);
    let low = count(16, &|a| a >> (layout.segment_bits - 4) & 15);
    let lowest = count(16, &|a| a & 15);
    for found in [high, low, lowest] {
        assert!((0.1..4.0).contains(&found), "χ² of {found} a degree of freedom");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn what_two_parties_make_satisfies_the_relation_of_its_kind(
        len in 1..100usize,
        bits in SignParameters::MIN_BITS..=SignParameters::MAX_BITS,
        read in 1..=128u32,
        planes in 0..5u32,
        seed: [u8; 32],
    ) {
        fn hold<R: Ring>(len: usize, bits: u32, read: u32, planes: u32, seed: [u8; 32]) {
            let (requests, lengths) = every_own_kind::<R>(len, bits.min(R::BITS), (read - 1) % R::BITS + 1, planes);
            own_relations_hold::<R>(&requests, &lengths, seed);
        }
        hold::<u64>(len, bits, read, planes, seed);
        if read % 2 == 0 {
            hold::<u32>(len, bits, read, planes, seed);
        } else {
            hold::<u128>(len, bits, read, planes, seed);
        }
    }
}
