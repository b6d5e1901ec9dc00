use mpc_ot::comparison::{Chain, ComparisonMasks, ComparisonShape, LeafShares, MAX_BITS, MIN_BITS, Variant};
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

/// The tables of five bits are those of r.
fn check_tables<R: Ring>(shape: ComparisonShape, tables: &[u64], r: &[R]) {
    let leaves = shape.variant.leaves(shape.bits);
    assert_eq!(tables.len(), shape.len.div_ceil(2) * leaves);
    let low = u64::low_mask(shape.bits - 2);
    for (index, block) in r.chunks(64).enumerate() {
        let pairs = block.len().div_ceil(2);
        let tables = &tables[index * 32 * leaves..][..leaves * pairs];
        for (element, r) in block.iter().map(|r| r.low_u64()).enumerate() {
            for leaf in 0..leaves {
                let table = (tables[leaf * pairs + element / 2] >> (32 * (element % 2))) as u32;
                assert_eq!(u64::from(table), (1 << (((r & low) >> (5 * leaf)) & 31)) - 1);
            }
        }
        if !block.len().is_multiple_of(2) {
            assert!((0..leaves).all(|leaf| tables[leaf * pairs + pairs - 1] >> 32 == 0));
        }
    }
}

/// The products are those of the bits: of σ by ascending set, then of each ρ with the sets of σ above it, chain after chain.
fn check_products(words: usize, chains: &[Chain], less: &[u64], equal: &[u64], products: &[u64]) {
    let total = |of: fn(&Chain) -> usize| chains.iter().map(of).sum::<usize>() * words;
    assert_eq!((less.len(), equal.len()), (total(|chain| chain.less), total(|chain| chain.equal)));
    // Factors by plane, of which those of ρ come first.
    let mut factors: Vec<Vec<&[u64]>> = Vec::new();
    let (mut first_less, mut first_equal) = (0, 0);
    for chain in chains {
        let plane = |planes: &'_ [u64], index: usize| index * words..(index + 1) * words.min(planes.len());
        let of_set = |set: usize| {
            let bits = (0..chain.equal).filter(move |j| set >> j & 1 == 1);
            bits.map(|j| &equal[plane(equal, first_equal + j)]).collect::<Vec<_>>()
        };
        factors.extend((1..1 << chain.equal).filter(|set: &usize| set.count_ones() > 1).map(of_set));
        for part in 0..chain.less {
            let above = part + 1 + chain.equal - chain.less;
            factors.extend((1..1 << (chain.equal - above)).map(|set: usize| {
                let mut factors = of_set(set << above);
                factors.push(&less[plane(less, first_less + part)]);
                factors
            }));
        }
        first_less += chain.less;
        first_equal += chain.equal;
    }
    let product = |factors: &[&[u64]], word: usize| factors.iter().fold(u64::MAX, |all, factor| all & factor[word]);
    let blocks = (0..words).collect::<Vec<_>>();
    let expected = blocks.chunks(8).flat_map(|block| {
        factors.iter().flat_map(move |factors| block.iter().map(move |&word| product(factors, word)))
    });
    assert!(expected.eq(products.iter().copied()));
}

/// The shares that are read at leaves are those of r.
fn check_leaves<R: Ring>(shape: ComparisonShape, made: &[ComparisonMasks<R>; 2], r: &[R]) {
    let words = shape.len.div_ceil(64);
    match made.each_ref().map(|made| &made.leaves) {
        [LeafShares::Tables(first), LeafShares::Tables(second)] => {
            check_tables(shape, &xor(|party| [first, second][party].to_vec()), r);
        }
        [LeafShares::Bits { bits, products }, LeafShares::Bits { bits: other, products: others }] => {
            let bits = xor(|party| [bits, other][party].to_vec());
            for (plane, bit) in bits.chunks_exact(words.max(1)).zip(0..) {
                assert!(r.iter().enumerate().all(|(index, r)| self::bit(plane, index) == (*r >> bit).low_u64() & 1));
            }
            let products = xor(|party| [products, others][party].to_vec());
            check_products(words, &shape.variant.leaf_chains(shape.bits), &[], &bits, &products);
        }
        _ => panic!("both parties have the same"),
    }
}

/// Checks every relation that a dealer's values satisfy, and gives r and d.
fn check<R: Ring>(shape: ComparisonShape, made: &[ComparisonMasks<R>; 2]) -> (Vec<R>, Vec<u64>) {
    let ComparisonShape { len, bits, ring_bits, variant } = shape;
    let r = sum(|party| made[party].mask.to_vec(), ring_bits);
    assert!(r.iter().all(|&r| r & !R::low_mask(bits) == R::ZERO), "r has k bits");
    check_leaves(shape, made, &r);
    let signs = xor(|party| made[party].sign.to_vec());
    assert!(r.iter().enumerate().all(|(index, r)| bit(&signs, index) == (*r >> (bits - 2)).low_u64() & 1));
    for (level, chains) in variant.levels(bits).iter().enumerate() {
        let shares = made.each_ref().map(|made| &made.levels[level]);
        let less = xor(|party| shares[party].less_bits.to_vec());
        let equal = xor(|party| shares[party].equal_bits.to_vec());
        let products = xor(|party| shares[party].products.to_vec());
        check_products(len.div_ceil(64), chains, &less, &equal, &products);
    }

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
    ComparisonShape { len, bits, ring_bits, variant: Variant::FewRounds }
}

/// The same with either variant.
fn both_variants(shape: ComparisonShape) -> [ComparisonShape; 2] {
    [Variant::FewRounds, Variant::FewBytes].map(|variant| ComparisonShape { variant, ..shape })
}

const SOFT: Method = Method::SoftSpoken(FieldBits::Four);

#[test]
fn every_width_satisfies_the_dealers_relations() {
    check_all::<u64>(&(MIN_BITS..=MAX_BITS).flat_map(|bits| both_variants(shape(67, bits, 64))).collect::<Vec<_>>());
}

#[test]
fn edge_lengths_and_rings() {
    let lengths = [0, 1, 2, 63, 64, 65, 127, 128, 129, 600].map(|len| both_variants(shape(len, 18, 48)));
    check_all::<u64>(lengths.as_flattened());
    check_all::<u32>([16, 17, 32].map(|ring_bits| both_variants(shape(130, 16, ring_bits))).as_flattened());
    check_all::<u32>(&[shape(130, 32, 32)]);
    check_all::<u128>(&[shape(130, 40, 128)]);
}

#[test]
fn an_element_of_32_bits_costs_what_the_design_says() {
    let (few_rounds, few_bytes) = ((Variant::FewRounds, [74, 34]), (Variant::FewBytes, [81, 37]));
    for ((variant, transfers), ring_bits, from_chooser, from_other) in
        [(few_rounds, 48, 335, 438), (few_rounds, 64, 367, 518), (few_bytes, 48, 172, 271), (few_bytes, 64, 204, 351)]
    {
        // One half is empty: the second party chooses for all 64 elements.
        let shape = ComparisonShape { variant, ..shape(64, 32, ring_bits) };
        assert_eq!(shape.transfers(), transfers);
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
    let made = made_all::<u64>(&[shape], Method::SILENT).remove(0);
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
        masks.levels[0].products.chunks(83 * 8).flat_map(|block| block.chunks(8)).for_each(|plane| {
            assert!((150..362).contains(&ones(plane)), "{} of 512", ones(plane));
        });
    }
}

#[test]
fn shares_of_products_of_leaves_are_uniform() {
    let shape = ComparisonShape { variant: Variant::FewBytes, ..shape(4096, 32, 48) };
    let made = made_all::<u64>(&[shape], Method::SILENT).remove(0);
    check(shape, &made);
    let is_balanced = |words: &[u64]| {
        assert!(words.chunks(8).all(|plane| {
            let ones: u32 = plane.iter().map(|word| word.count_ones()).sum();
            (150..362).contains(&ones)
        }));
    };
    for masks in &made {
        let LeafShares::Bits { bits, products } = &masks.leaves else { panic!("products of bits are made") };
        [&bits[..], products].into_iter().for_each(is_balanced);
        for level in &masks.levels {
            [&level.less_bits, &level.equal_bits, &level.products].into_iter().for_each(|words| is_balanced(words));
        }
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
        check_all::<u64>(&both_variants(shape(len, bits, ring_bits)));
    }
}
