use mpc_ot::comparison::{ComparisonMasks, ComparisonShape, LEAF_BITS, MAX_BITS, MIN_BITS};
use mpc_ot::softspoken::FieldBits;
use mpc_ot::{Method, OtError, Schedule};
use mpc_ring::Ring;
use mpc_transport::Phase;
use proptest::prelude::*;

use crate::pair::{both, run};

/// Both parties' shares of each shape, made in one session, with the traffic checked.
fn made_all<R: Ring>(shapes: &[ComparisonShape], method: Method) -> Vec<[ComparisonMasks<R>; 2]> {
    let mut made = run(both(method), async |party, pair| {
        let mut pair = pair.unwrap();
        let mut made = Vec::new();
        for (index, shape) in shapes.iter().enumerate() {
            let label = index.to_string();
            pair.begin(Phase::Preprocessing, &label);
            let mut schedule = pair.schedule();
            let expected = shape.traffic(&mut schedule, party == 0);
            made.push(ComparisonMasks::<R>::generate(&mut pair, *shape, party == 0).await.unwrap());
            assert_eq!(pair.transport().meter().traffic(Phase::Preprocessing, &label), expected);
            assert_eq!(pair.schedule(), schedule);
        }
        made
    });
    let second = made.pop().unwrap();
    made.pop().unwrap().into_iter().zip(second).map(|(first, second)| [first, second]).collect()
}

fn check_all<R: Ring>(shapes: &[ComparisonShape]) {
    shapes.iter().zip(made_all::<R>(shapes, SOFT)).for_each(|(shape, made)| drop(check(*shape, &made)));
}

fn bit(plane: &[u64], index: usize) -> u64 {
    plane[index / 64] >> (index % 64) & 1
}

/// The sum of both parties' shares modulo 2^bits.
fn sum<R: Ring>(of: impl Fn(usize) -> Vec<R>, bits: u32) -> Vec<R> {
    of(0).into_iter().zip(of(1)).map(|(x, y)| x.wrapping_add(y) & R::low_mask(bits)).collect()
}

fn xor(of: impl Fn(usize) -> Vec<u64>) -> Vec<u64> {
    of(0).into_iter().zip(of(1)).map(|(x, y)| x ^ y).collect()
}

/// Checks every relation that a dealer's values satisfy, and gives r and d.
fn check<R: Ring>(shape: ComparisonShape, made: &[ComparisonMasks<R>; 2]) -> (Vec<R>, Vec<u64>) {
    let ComparisonShape { len, bits, ring_bits } = shape;
    let (k, words) = (bits as usize, len.div_ceil(64));
    let leaves = (k - 2).div_ceil(LEAF_BITS);
    let r = sum(|party| made[party].mask.to_vec(), ring_bits);
    assert!(r.iter().all(|&r| r & !R::low_mask(bits) == R::ZERO), "r has k bits");

    let (tables, signs) = (xor(|party| made[party].tables.to_vec()), xor(|party| made[party].sign.to_vec()));
    assert_eq!(tables.len(), len.div_ceil(2) * leaves);
    let low = u64::low_mask(bits - 2);
    for (index, block) in r.chunks(64).enumerate() {
        let pairs = block.len().div_ceil(2);
        let tables = &tables[index * 32 * leaves..][..leaves * pairs];
        for (element, r) in block.iter().map(|r| r.low_u64()).enumerate() {
            assert_eq!(signs[index] >> element & 1, r >> (bits - 2) & 1);
            for leaf in 0..leaves {
                let table = (tables[leaf * pairs + element / 2] >> (32 * (element % 2))) as u32;
                assert_eq!(u64::from(table), (1 << (((r & low) >> (LEAF_BITS * leaf)) & 31)) - 1);
            }
        }
        if !block.len().is_multiple_of(2) {
            assert!((0..leaves).all(|leaf| tables[leaf * pairs + pairs - 1] >> 32 == 0));
        }
    }

    let less = xor(|party| made[party].less_bits.to_vec());
    let equal = xor(|party| made[party].equal_bits.to_vec());
    assert_eq!((less.len(), equal.len()), (leaves * words, (leaves - 1) * words));
    let of_equal = |set: usize, word: usize| {
        (0..leaves - 1).filter(|j| set >> j & 1 == 1).fold(u64::MAX, |all, j| all & equal[j * words + word])
    };
    let mut factors: Vec<(Option<usize>, usize)> = Vec::new();
    factors.extend((1..1 << (leaves - 1)).filter(|set: &usize| set.count_ones() > 1).map(|set| (None, set)));
    for leaf in 0..leaves {
        factors.extend((1..1 << (leaves - 1 - leaf)).map(|set: usize| (Some(leaf), set << leaf)));
    }
    let product = |(leaf, set): (Option<usize>, usize), word: usize| {
        of_equal(set, word) & leaf.map_or(u64::MAX, |leaf| less[leaf * words + word])
    };
    let blocks = (0..words).collect::<Vec<_>>();
    let expected = blocks
        .chunks(8)
        .flat_map(|block| factors.iter().flat_map(move |&factor| block.iter().map(move |&word| product(factor, word))));
    assert!(expected.eq(xor(|party| made[party].products.to_vec())));

    let flip = xor(|party| made[party].flip.to_vec());
    let d: Vec<R> = (0..len).map(|index| R::from_u64(bit(&flip, index))).collect();
    let top: Vec<R> = r.iter().map(|&r| r >> (bits - 1)).collect();
    let times_d = |x: &[R]| x.iter().zip(&d).map(|(x, d)| x.wrapping_mul(*d)).collect::<Vec<_>>();
    let top_bits = ring_bits - bits;
    let within = |x: Vec<R>| x.into_iter().map(|x| x & R::low_mask(top_bits)).collect::<Vec<_>>();
    assert!(sum(|party| made[party].flip_in_ring.to_vec(), ring_bits) == d);
    assert!(sum(|party| made[party].top.to_vec(), top_bits) == within(top.clone()));
    assert!(sum(|party| made[party].flipped_mask.to_vec(), ring_bits) == times_d(&r));
    assert!(sum(|party| made[party].flipped_top.to_vec(), top_bits) == within(times_d(&top)));
    (r, flip)
}

fn shape(len: usize, bits: u32, ring_bits: u32) -> ComparisonShape {
    ComparisonShape { len, bits, ring_bits }
}

const SOFT: Method = Method::SoftSpoken(FieldBits::Four);

#[test]
fn every_width_satisfies_the_dealers_relations() {
    check_all::<u64>(&(MIN_BITS..=MAX_BITS).map(|bits| shape(67, bits, 64)).collect::<Vec<_>>());
}

#[test]
fn edge_lengths_and_rings() {
    check_all::<u64>(&[0, 1, 2, 63, 64, 65, 127, 128, 129, 600].map(|len| shape(len, 12, 48)));
    check_all::<u32>(&[16, 17, 32].map(|ring_bits| shape(130, 16, ring_bits)));
    check_all::<u32>(&[shape(130, 32, 32)]);
    check_all::<u128>(&[shape(130, 40, 128)]);
}

#[test]
fn an_element_of_32_bits_costs_what_the_design_says() {
    for (ring_bits, from_chooser, from_other) in [(48, 335, 438), (64, 367, 518)] {
        // One half is empty: the second party chooses for all 64 elements.
        let shape = shape(64, 32, ring_bits);
        assert_eq!(shape.transfers(), [74, 34]);
        let opened = |first: bool| {
            let mut schedule = Schedule::new(SOFT);
            let with_transfers = shape.traffic(&mut schedule, first);
            let [forth, back] = shape.transfers().map(|transfers| FieldBits::Four.extension_bytes(64 * transfers));
            // A party sends for the transfers that it receives; the first one sends those that the chooser receives.
            let (sent, received) = if first { (back, forth) } else { (forth, back) };
            (with_transfers.payload_sent - sent as u64, with_transfers.payload_received - received as u64)
        };
        let [chooser, other] = [from_chooser, from_other].map(|bits: u64| 64 * bits / 8);
        assert_eq!((opened(true), opened(false)), ((other, chooser), (chooser, other)));
        assert_eq!(shape.rounds(), 33);
    }
}

#[test]
fn masks_from_silent_transfers_are_uniform() {
    let shape = shape(4096, 32, 48);
    let made = made_all::<u64>(&[shape], Method::Silent).remove(0);
    let (r, flip) = check(shape, &made);
    let balanced = |what: &str, ones: u64| assert!((1850..2250).contains(&ones), "{what}: {ones} of 4,096 bits are 1");
    let ones = |plane: &[u64]| plane.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
    balanced("d", ones(&flip));
    for bit in 0..32 {
        balanced("r", r.iter().map(|r| r >> bit & 1).sum());
        for masks in &made {
            balanced("share of r", masks.mask.iter().map(|share| share >> bit & 1).sum());
            balanced("share of d·r", masks.flipped_mask.iter().map(|share| share >> bit & 1).sum());
        }
    }
    for masks in &made {
        balanced("share of r's sign", ones(&masks.sign));
        masks.products.chunks(83 * 8).flat_map(|block| block.chunks(8)).for_each(|plane| {
            assert!((150..362).contains(&ones(plane)), "{} of 512", ones(plane));
        });
    }
}

#[test]
fn shapes_that_cannot_be_are_refused() {
    run(both(SOFT), async |party, pair| {
        let mut pair = pair.unwrap();
        for (bits, ring_bits) in [(2, 64), (48, 64), (32, 31), (32, 65)] {
            let result = ComparisonMasks::<u64>::generate(&mut pair, shape(1, bits, ring_bits), party == 0).await;
            assert!(matches!(result.err(), Some(OtError::Parameter { .. })));
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn random_shapes(len in 0..400usize, bits in MIN_BITS..=MAX_BITS, above in 0..30u32) {
        let ring_bits = (bits + above).min(64);
        check_all::<u64>(&[shape(len, bits, ring_bits)]);
    }
}
