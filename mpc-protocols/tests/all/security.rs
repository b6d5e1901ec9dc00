//! The pitfalls: what the parties see is uniform, fresh in every session, and no seed serves twice.
//!
//! All generators have fixed seeds, so that a statistic is the same in every run.

use crate::common::{PATIENT, Recording, Rounds, block_on, chi_square, opened_elements, opened_planes, session, split};
use mpc_protocols::conversion::DaBits;
use mpc_protocols::correlation::SEEDS_BYTES;
use mpc_protocols::fixed_weights::{FixedWeightShape, FixedWeights};
use mpc_protocols::fourier::{Series, SeriesShape, evaluate};
use mpc_protocols::function::Function;
use mpc_protocols::lookup::{LookupShape, Table, look_up};
use mpc_protocols::maximum::{GroupShape, Level, maximum_of};
use mpc_protocols::piecewise::{PiecewiseShape, compare};
use mpc_protocols::relu::relu;
use mpc_protocols::sign::{SignParameters, SignShape, Variant};
use mpc_protocols::truncation::{LiftMask, LiftShape, carry_width, truncate, truncate_between_two};
use mpc_protocols::{Bilinear, Correlation, CorrelationSource, Dealer, Party, ProtocolError, Request, beaver};
use mpc_shares::Seed;
use mpc_transport::{Connection, Link, memory_link, memory_network};

const PARTIES: usize = 3;
const LEN: usize = 40_000;

fn seen(
    dealer: &mut Dealer<u64>,
    plan: &[Request],
    protocol: impl AsyncFn(&mut Party, &mut CorrelationSource<'_>) -> Result<(), ProtocolError> + Sync,
) -> Vec<Vec<Vec<u8>>> {
    seen_among(PARTIES, dealer, plan, protocol)
}

/// The rounds as party 0 saw them: every party's message in each.
fn seen_among(
    parties: usize,
    dealer: &mut Dealer<u64>,
    plan: &[Request],
    protocol: impl AsyncFn(&mut Party, &mut CorrelationSource<'_>) -> Result<(), ProtocolError> + Sync,
) -> Vec<Vec<Vec<u8>>> {
    let rounds: Vec<Rounds> = (0..parties).map(|_| Rounds::default()).collect();
    let network = memory_network(parties, PATIENT).into_iter().zip(&rounds);
    let network = network.map(|(transport, rounds)| Recording::new(transport, rounds)).collect();
    let (ended, dealt) = session(dealer, plan, network, PATIENT, protocol);
    dealt.unwrap();
    ended.into_iter().for_each(|(result, _)| result.unwrap());
    std::mem::take(&mut rounds[0].lock().unwrap())
}

fn dealer() -> Dealer<u64> {
    Dealer::new(PARTIES, Seed::from_bytes([17; 32])).unwrap()
}

fn relu_shape(len: usize) -> SignShape {
    SignShape { len, parameters: SignParameters::new(32).unwrap() }
}

/// The messages that open a ReLU of one fixed secret.
fn relu_of(dealer: &mut Dealer<u64>, secret: i64, len: usize) -> Vec<Vec<Vec<u8>>> {
    relu_in(dealer, secret, relu_shape(len))
}

fn relu_in(dealer: &mut Dealer<u64>, secret: i64, shape: SignShape) -> Vec<Vec<Vec<u8>>> {
    let len = shape.len;
    let x = split(&vec![secret as u64; len], PARTIES);
    let plan = [Request::Relu { len, parameters: shape.parameters }];
    seen(dealer, &plan, async |party, source| {
        relu(party, &x[party.index()], 16, source.next(shape).await?).await.map(drop)
    })
}

/// Each byte of `bits`-bit elements is uniform, and so is each pair of neighbouring elements' low bits.
fn assert_uniform(what: &str, elements: &[u64], bits: u32) {
    for shift in (0..bits).step_by(8) {
        let width = (bits - shift).min(8);
        let mut counts = vec![0; 1 << width];
        elements.iter().for_each(|x| counts[((x >> shift) & ((1 << width) - 1)) as usize] += 1);
        assert_near_one(&format!("{what}, from bit {shift}"), chi_square(&counts));
    }
    let mut counts = vec![0; 256];
    elements.as_chunks::<2>().0.iter().for_each(|[x, y]| counts[((x & 15) << 4 | y & 15) as usize] += 1);
    assert_near_one(&format!("{what}, neighbours"), chi_square(&counts));
}

/// With 255 degrees of freedom the standard deviation is 0.09.
fn assert_near_one(what: &str, statistic: f64) {
    assert!((0.6..1.5).contains(&statistic), "{what}: χ² per degree of freedom is {statistic}");
}

/// The bits of several planes, as one number per element, are uniform.
fn assert_uniform_planes(what: &str, planes: &[Vec<bool>]) {
    for group in planes.chunks(8) {
        let mut counts = vec![0; 1 << group.len()];
        for i in 0..group[0].len() {
            counts[group.iter().fold(0, |value, plane| value << 1 | usize::from(plane[i]))] += 1;
        }
        if group.len() > 4 {
            assert_near_one(what, chi_square(&counts));
        } else {
            let expected = group[0].len() as f64 / counts.len() as f64;
            let off = counts.iter().map(|&count| (count as f64 / expected - 1.0).abs()).fold(0.0, f64::max);
            assert!(off < 0.05, "{what}: {counts:?}");
        }
    }
}

/// The messages of a round are `bits`-bit elements, uniform each on its own and in sum.
fn assert_uniform_round(what: &str, messages: &[Vec<u8>], bits: u32, len: usize) {
    assert_eq!(messages.len(), PARTIES);
    assert_uniform(what, &opened_elements(messages, bits, len), bits);
    for message in messages {
        assert_uniform(what, &opened_elements(std::slice::from_ref(message), bits, len), bits);
    }
}

#[test]
fn a_relu_opens_uniform_values() {
    let mut dealer = dealer();
    for secret in [0, 1, -1, 5 << 16, -(5 << 16), (1 << 45) + 12_345, -(1 << 45)] {
        let rounds = relu_of(&mut dealer, secret, LEN);
        assert_eq!(rounds.len(), 3);
        assert_uniform_round("c", &rounds[0], 32, LEN);
        let leaves = opened_planes(&rounds[1], LEN);
        assert_eq!(leaves.len(), 11);
        assert_uniform_planes("leaf bits", &leaves);
        // Together with c, which chose the leaves.
        let c = opened_elements(&rounds[0], 32, LEN);
        let with_c = [leaves[0].clone(), leaves[5].clone()].into_iter();
        let low_bits = (0..4).map(|bit| c.iter().map(|c| (c >> bit) & 1 == 1).collect());
        assert_uniform_planes("leaf bits with c", &with_c.chain(low_bits).collect::<Vec<_>>());
        let flipped = opened_planes(&rounds[2], LEN);
        let top_of_c = c.iter().map(|c| (c >> 30) & 1 == 1).collect();
        let top_leaf = leaves[10].clone();
        assert_uniform_planes("β", &[flipped[0].clone(), top_of_c, top_leaf]);
        for message in &rounds[2] {
            assert_uniform_planes("a share of β", &opened_planes(std::slice::from_ref(message), LEN));
        }
    }
}

/// With leaves of three bits: c, the bits of leaves, those of groups, and β are uniform, each with what chose it.
#[test]
fn a_relu_of_few_bytes_opens_uniform_values() {
    let mut dealer = dealer();
    let SignShape { len, parameters } = relu_shape(LEN);
    let shape = SignShape { len, parameters: parameters.with_variant(Variant::FewBytes) };
    for secret in [0, 1, -1, 5 << 16, -(5 << 16), (1 << 45) + 12_345, -(1 << 45)] {
        let rounds = relu_in(&mut dealer, secret, shape);
        assert_eq!(rounds.len(), 4);
        assert_uniform_round("c", &rounds[0], 32, LEN);
        let c = opened_elements(&rounds[0], 32, LEN);
        let bit_of_c = |bit: u32| c.iter().map(|c| (c >> bit) & 1 == 1).collect::<Vec<_>>();
        let (leaves, groups) = (opened_planes(&rounds[1], LEN), opened_planes(&rounds[2], LEN));
        assert_eq!((leaves.len(), groups.len()), (19, 5));
        assert_uniform_planes("leaf bits", &leaves);
        let with_c = groups.iter().cloned().chain([12, 13, 14].map(bit_of_c));
        assert_uniform_planes("bits of groups with c", &with_c.collect::<Vec<_>>());
        // The second leaf has bits 3 to 5 of c, and its lt and eq are planes 1 and 10.
        let second = [leaves[1].clone(), leaves[10].clone()].into_iter().chain([2, 3, 4, 5, 6, 30].map(bit_of_c));
        assert_uniform_planes("leaf bits with c", &second.collect::<Vec<_>>());
        // The second group has leaves 4 to 6, and its lt and eq are planes 1 and 3.
        let of_leaves = [4, 5, 6, 13, 14, 15].map(|plane: usize| leaves[plane].clone());
        let group = [groups[1].clone(), groups[3].clone()];
        assert_uniform_planes("bits of groups with those of leaves", &[&group[..], &of_leaves].concat());
        let flipped = opened_planes(&rounds[3], LEN);
        assert_uniform_planes("β", &[&[flipped[0].clone(), bit_of_c(30), leaves[9].clone()], &groups[..]].concat());
        for message in rounds[1..].iter().flatten() {
            let share = opened_planes(std::slice::from_ref(message), LEN);
            // Eight planes at a time or up to three, whose statistics are not too wide.
            let last = share.len() % 8;
            assert_uniform_planes("a share", &share[..share.len() - last + last.min(3)]);
        }
    }
}

/// In a group of four: three differences are opened under masks of their own, and the other comparisons are of differences of these.
#[test]
fn a_maximum_of_groups_opens_uniform_values() {
    const GROUPS: usize = LEN / 4;
    let parameters = relu_shape(1).parameters;
    let level = Level::Groups(GroupShape { size: 4, len: GROUPS, parameters });
    let plan = [level.request::<u64>()];
    for secrets in [[0; 4], [1, 2, 3, 4], [-(1 << 28), 1 << 28, 5, 1 << 28]] {
        let shares = secrets.map(|secret: i64| split(&vec![secret as u64; GROUPS], PARTIES));
        let rounds = seen(&mut dealer(), &plan, async |party, source| {
            let candidates = shares.iter().map(|shares| crate::common::copy(&shares[party.index()])).collect();
            maximum_of(party, candidates, vec![level.draw(64, source).await?]).await.map(drop)
        });
        assert_eq!(rounds.len(), 3);
        assert_uniform_round("c", &rounds[0], 32, 3 * GROUPS);
        let [leaves, flipped] = [1, 2].map(|round: usize| opened_planes(&rounds[round], 6 * GROUPS));
        assert_eq!((leaves.len(), flipped.len()), (11, 1));
        assert_uniform_planes("leaf bits", &leaves);
        assert_uniform_planes("β", &flipped);
        // Of `count` elements of each group the one of a place: in blocks of 64 groups, place after place.
        let at = |count: usize, place: usize, group: usize| {
            let block = group / 64;
            64 * block * count + place * (GROUPS - 64 * block).min(64) + group % 64
        };
        let of_place = |plane: &[bool], place| (0..GROUPS).map(|group| plane[at(6, place, group)]).collect::<Vec<_>>();
        let c = opened_elements(&rounds[0], 32, 3 * GROUPS);
        let bit_of_c = |place, bit: u32| (0..GROUPS).map(|group| c[at(3, place, group)] >> bit & 1 == 1).collect();
        let betas: Vec<_> = (0..6).map(|place| of_place(&flipped[0], place)).collect();
        assert_uniform_planes("all β of a group, with c", &[betas, vec![bit_of_c(0, 30), bit_of_c(1, 30)]].concat());
        let lowest = (0..6).map(|place| of_place(&leaves[0], place));
        let with_c = [bit_of_c(0, 2), bit_of_c(2, 2)];
        assert_uniform_planes("the lowest leaves of a group, with c", &lowest.chain(with_c).collect::<Vec<_>>());
        for message in rounds[1..].iter().flatten() {
            let share = opened_planes(std::slice::from_ref(message), 6 * GROUPS);
            assert_uniform_planes("a share", &share[..share.len().min(8)]);
        }
    }
}

/// Two thresholds read the same tables, at the same entries where the thresholds are equal: what is opened of one says
/// nothing of the other.
#[test]
fn comparisons_with_one_mask_open_uniform_values() {
    let sign = relu_shape(LEN);
    let shape = PiecewiseShape { sign, thresholds: 3 };
    let plan = [Request::Piecewise { len: LEN, thresholds: 3, parameters: sign.parameters }];
    for secret in [0, -(7 << 16), 3 << 30] {
        let x = split(&vec![secret as u64; LEN], PARTIES);
        let rounds = seen(&mut dealer(), &plan, async |party, source| {
            let thresholds = [0, 0, 9u64 << 10];
            compare(party, &x[party.index()], 16, &thresholds, source.next(shape).await?).await.map(drop)
        });
        assert_eq!(rounds.len(), 3);
        assert_uniform_round("c", &rounds[0], 32, LEN);
        let leaves = opened_planes(&rounds[1], LEN);
        assert_eq!(leaves.len(), 33);
        assert_uniform_planes("leaf bits", &leaves);
        // The same leaf of all thresholds, and with the bits of c that chose the entry.
        let c = opened_elements(&rounds[0], 32, LEN);
        let low_bits = (0..2).map(|bit| c.iter().map(|c| (c >> bit) & 1 == 1).collect());
        let same: Vec<_> =
            [0, 11, 22, 5, 16, 27].into_iter().map(|plane: usize| leaves[plane].clone()).chain(low_bits).collect();
        assert_uniform_planes("one leaf of three thresholds, with c", &same);
        let flipped = opened_planes(&rounds[2], LEN);
        assert_eq!(flipped.len(), 3);
        let top_of_c = c.iter().map(|c| (c >> 30) & 1 == 1).collect();
        assert_uniform_planes("β", &flipped.iter().cloned().chain([top_of_c, leaves[10].clone()]).collect::<Vec<_>>());
    }
}

#[test]
fn a_lookup_opens_uniform_values() {
    let len = LEN;
    let table = Table { function: Function::Sigmoid, input_bits: 18, output_bits: 21, limit_bits: 24 };
    let layout = table.layout(64).unwrap();
    let shape = LookupShape { len, table };
    for secret in [0, u64::from(layout.multiplier) * layout.span / 3, u64::from(layout.multiplier) * layout.span] {
        let u = split(&vec![secret; len], PARTIES);
        let rounds = seen(&mut dealer(), &[Request::Lookup { len, table }], async |party, source| {
            look_up(party, &u[party.index()], source.next(shape).await?).await.map(drop)
        });
        assert_eq!(rounds.len(), 2);
        assert_uniform_round("e", &rounds[0], layout.argument_bits(), len);
        assert_uniform_round("c of the truncation", &rounds[1], layout.result_bits, len);
        // What is opened of the result has nothing to do with the entry that was read.
        let e = opened_elements(&rounds[0], layout.argument_bits(), len);
        let c = opened_elements(&rounds[1], layout.result_bits, len);
        let mut counts = vec![0; 256];
        let joint =
            e.iter().zip(&c).map(|(e, c)| (e >> (layout.argument_bits() - 4)) << 4 | c >> (layout.result_bits - 4));
        joint.for_each(|both| counts[both as usize] += 1);
        assert_near_one("e with c", chi_square(&counts));
    }
}

#[test]
fn a_series_opens_uniform_values() {
    let (len, table) = (LEN, Table { function: Function::Sigmoid, input_bits: 18, output_bits: 21, limit_bits: 26 });
    let series = Series::of(table, 64).unwrap().unwrap();
    let shape = SeriesShape { len, series };
    for secret in [0u64, 1_000_000, 21 << 18] {
        let u = split(&vec![secret; len], PARTIES);
        let rounds = seen(&mut dealer(), &[Request::Series { len, series }], async |party, source| {
            evaluate(party, &u[party.index()], source.next(shape).await?).await.map(drop)
        });
        assert_eq!(rounds.len(), 2);
        let (w, k) = (series.argument_bits, series.result_bits);
        assert_uniform_round("e", &rounds[0], w, len);
        assert_uniform_round("c of the truncation", &rounds[1], k, len);
        let (e, c) = (opened_elements(&rounds[0], w, len), opened_elements(&rounds[1], k, len));
        let mut counts = vec![0; 256];
        e.iter().zip(&c).for_each(|(e, c)| counts[((e >> (w - 4)) << 4 | c >> (k - 4)) as usize] += 1);
        assert_near_one("e with c", chi_square(&counts));
    }
}

#[test]
fn a_carry_opens_uniform_bits() {
    for secret in [0u64, 12_345_678, (-98_765_432i64).cast_unsigned()] {
        let x = split(&vec![secret; LEN], 2);
        let plan = [DaBits::<u64>::request(&LEN).modulo::<u64>(carry_width(32, 64))];
        let mut dealer = Dealer::new(2, Seed::from_bytes([17; 32])).unwrap();
        let rounds = seen_among(2, &mut dealer, &plan, async |party, source| {
            let bits = source.next_modulo(carry_width(32, 64), LEN).await?;
            truncate_between_two(party, &x[party.index()], 16, 32, bits).await.map(drop)
        });
        assert_eq!(rounds.len(), 1);
        let planes = opened_planes(&rounds[0], LEN);
        assert_eq!(planes.len(), 1);
        assert_uniform_planes("the carry's masked bit", &planes);
    }
}

#[test]
fn a_truncation_opens_uniform_values() {
    for bits in [29, 48] {
        let (x, shape) = (split(&vec![12_345_678u64; LEN], PARTIES), LiftShape { len: LEN, bits });
        let rounds = seen(&mut dealer(), &[Request::Lift { len: LEN, bits }], async |party, source| {
            truncate(party, &x[party.index()], 16, source.next(shape).await?).await.map(drop)
        });
        assert_uniform_round("c", &rounds[0], bits, LEN);
    }
}

#[test]
fn a_layer_and_a_product_open_uniform_values() {
    let map = Bilinear::Elementwise { len: LEN };
    let plan = [Request::WeightMask { len: LEN }, Request::FixedWeights { mask: 0, map }, Request::Beaver(map)];
    let x = split(&vec![3u64; LEN], PARTIES);
    let rounds = seen(&mut dealer(), &plan, async |party, source| {
        let x = &x[party.index()];
        let layers = FixedWeights::load(party, vec![(crate::common::copy(x), source.next(LEN).await?)]).await?;
        let layer = layers[0].prepare(source.next(FixedWeightShape { mask: 0, map }).await?)?;
        layers[0].apply(party, x, layer).await?;
        beaver::multiply(party, x, x, source.next(map).await?).await.map(drop)
    });
    assert_uniform_round("Δ", &rounds[0], 64, LEN);
    assert_uniform_round("E", &rounds[1], 64, LEN);
    assert_uniform_round("x − a and y − b", &rounds[2], 64, 2 * LEN);
    // The mask of the weights and that of the input have nothing to do with each other.
    let (delta, e) = (opened_elements(&rounds[0], 64, LEN), opened_elements(&rounds[1], 64, LEN));
    let differences: Vec<_> = delta.iter().zip(e).map(|(x, y)| x.wrapping_sub(y)).collect();
    assert_uniform("Δ − E", &differences, 64);
}

#[test]
fn two_sessions_of_one_dealer_open_different_values() {
    let mut dealer = dealer();
    let (first, second) = (relu_of(&mut dealer, 42 << 16, 64), relu_of(&mut dealer, 42 << 16, 64));
    for (first, second) in first.iter().zip(&second) {
        assert!(first.iter().zip(second).all(|(x, y)| x != y), "a message was sent twice");
    }
    let (x, y) = (opened_elements(&first[0], 32, 64), opened_elements(&second[0], 32, 64));
    assert!(x.iter().zip(&y).filter(|(x, y)| x == y).count() < 3);
}

/// The seeds that each party gets from the dealer at the beginning of a session.
fn seeds(dealer: &mut Dealer<u64>, parties: usize) -> Vec<[u8; 32]> {
    let (mut dealer_ends, party_ends): (Vec<_>, Vec<_>) = (0..parties).map(|_| memory_link(PATIENT)).unzip();
    block_on(dealer.deal(&mut dealer_ends, &[], &mut |_| ())).unwrap();
    let receive = |mut end: Link| {
        let mut seeds = [0; SEEDS_BYTES];
        block_on(end.receive(&mut seeds)).unwrap();
        seeds
    };
    party_ends.into_iter().flat_map(|end| receive(end).as_chunks().0.to_vec()).collect()
}

#[test]
fn no_seed_is_given_twice() {
    for parties in 2..=8 {
        let mut dealer = Dealer::new(parties, Seed::from_bytes([3; 32])).unwrap();
        let mut all: Vec<_> = (0..50).flat_map(|_| seeds(&mut dealer, parties)).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 50 * 2 * parties);
    }
}

/// Any n − 1 parties' shares of a mask say nothing of it: c less their shares is uniform, for a fixed secret.
#[test]
fn all_but_one_share_of_the_mask_say_nothing_of_what_is_opened() {
    let bits = 32;
    let x = split(&vec![99u64 << 16; LEN], PARTIES);
    let shape = LiftShape { len: LEN, bits };
    let rounds = seen(&mut dealer(), &[Request::Lift { len: LEN, bits }], async |party, source| {
        let mask: LiftMask<u64> = source.next(shape).await?;
        truncate(party, &x[party.index()], 16, mask).await.map(drop)
    });
    let c = opened_elements(&rounds[0], bits, LEN);
    for left_out in 0..PARTIES {
        // A party's message is its share of the mask and what it knows itself.
        let known: Vec<_> = rounds[0].iter().enumerate().filter(|&(party, _)| party != left_out).collect();
        let known: Vec<_> = known.into_iter().map(|(_, message)| message.clone()).collect();
        let known = opened_elements(&known, bits, LEN);
        let rest: Vec<_> = c.iter().zip(&known).map(|(c, known)| c.wrapping_sub(*known) & 0xffff_ffff).collect();
        assert_uniform("c less the shares of all but one", &rest, bits);
        let mut counts = vec![0; 256];
        c.iter().zip(&known).for_each(|(c, known)| counts[((c >> 28) << 4 | known >> 28) as usize] += 1);
        assert_near_one("c with the shares of all but one", chi_square(&counts));
    }
}
