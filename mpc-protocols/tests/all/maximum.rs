use crate::common::{PATIENT, elements, parties, run_shared, session, signed, split};
use mpc_protocols::maximum::{GroupShape, Grouping, Level, LevelMask, Tournament, maximum, maximum_of};
use mpc_protocols::relu;
use mpc_protocols::sign::{SignParameters, SignShape, Variant};
use mpc_protocols::{CorrelationSource, Dealer, Party, ProtocolError, Request};
use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, Seed};
use mpc_transport::memory_network;
use proptest::collection::vec;
use proptest::prelude::*;

fn parameters(bits: u32) -> SignParameters {
    SignParameters::new(bits).unwrap()
}

/// Candidates of which the largest is sought, and how.
#[derive(Clone, Copy, Debug)]
struct Sought {
    tournament: Tournament,
    /// The bits of the result that are read.
    width: u32,
    parties: usize,
}

impl Sought {
    fn of(candidates: &[Vec<i64>], parameters: SignParameters, grouping: Grouping, parties: usize) -> Self {
        let (len, candidates) = (candidates[0].len(), candidates.len());
        Self { tournament: Tournament { candidates, len, parameters, grouping }, width: u32::MAX, parties }
    }

    async fn run<R: Ring>(
        self,
        party: &mut Party,
        source: &mut CorrelationSource<'_>,
        shares: &[Vec<ArithmeticShares<R>>],
    ) -> Result<ArithmeticShares<R>, ProtocolError> {
        let own = shares.iter().map(|shares| crate::common::copy(&shares[party.index()])).collect();
        let mut masks = Vec::new();
        for level in self.tournament.levels() {
            masks.push(level.draw(self.width.min(R::BITS), source).await?);
        }
        maximum_of(party, own, masks).await
    }

    /// The result is the largest candidate, modulo what is read, for what the tournament says that it sends.
    fn is_found<R: Ring>(self, candidates: &[Vec<i64>]) {
        let Self { tournament, width, parties } = self;
        let width = width.min(R::BITS);
        let plan: Vec<_> = tournament.levels().iter().map(|level| level.request::<R>().modulo::<R>(width)).collect();
        let shares: Vec<_> = candidates.iter().map(|x| split(&elements::<R>(x), parties)).collect();
        let z = run_shared::<R>(parties, &plan, tournament.traffic(parties), async |party, source| {
            self.run(party, source, &shares).await
        });
        let largest = |i: usize| candidates.iter().map(|x| x[i]).max().unwrap();
        let expected: Vec<_> = (0..candidates[0].len()).map(largest).collect();
        let above = R::BITS - width;
        let read: Vec<R> = z.iter().map(|&z| z << above).collect();
        let expected: Vec<R> = elements::<R>(&expected).into_iter().map(|z| z << above).collect();
        assert!(read == expected, "{self:?}: {candidates:?} gave {:?}", signed(&z));
    }
}

/// Every way to give `count` candidates the values of a set.
fn assignments(values: &[i64], count: usize) -> Vec<Vec<i64>> {
    let choices = values.len();
    let candidate = |place: u32| {
        (0..choices.pow(count as u32)).map(|choice| values[choice / choices.pow(place) % choices]).collect()
    };
    (0..count as u32).map(candidate).collect()
}

/// The smallest and the largest value whose difference is below 2^{k−2}.
fn ends(bits: u32) -> [i64; 2] {
    [-(1 << (bits - 3)), (1 << (bits - 3)) - 1]
}

/// All orders, and ties of all patterns, of values as far apart as they may be and next to each other.
fn every_order_is_right<R: Ring>(bits: u32, parties: usize) {
    let [low, high] = ends(bits);
    for size in [3, 4] {
        for values in [[low, -1, 0, high], [low, low + 1, high - 1, high], [0, 1, 2, 3].map(|x: i64| x.min(high))] {
            let candidates = assignments(&values.map(|x| x.clamp(low, high)), size);
            let sought = Sought::of(&candidates, parameters(bits), Grouping::Four, parties);
            assert!(matches!(sought.tournament.levels()[..], [Level::Groups(group)] if group.size == size));
            sought.is_found::<R>(&candidates);
        }
    }
}

#[test]
fn every_order_of_a_group_is_right() {
    for bits in SignParameters::MIN_BITS..=SignParameters::MAX_BITS {
        every_order_is_right::<u64>(bits, 2);
    }
    for parties in [3, 4, 8] {
        every_order_is_right::<u64>(32, parties);
    }
    for bits in [3, 7, 20, 31, 32] {
        every_order_is_right::<u32>(bits, 2);
        every_order_is_right::<u32>(bits, 3);
    }
    for bits in [3, 32, 47] {
        every_order_is_right::<u128>(bits, 2);
        every_order_is_right::<u128>(bits, 4);
    }
}

/// Candidates with as many elements each, many of which are the same.
fn candidates() -> impl Strategy<Value = Vec<Vec<i64>>> {
    let len = prop_oneof![3 => 1..8usize, 1 => 60..70usize, 1 => 120..140usize];
    let value = prop_oneof![any::<i64>(), -2..=2i64, Just(i64::MAX), Just(i64::MIN)];
    (1..=17usize, len).prop_flat_map(move |(m, len)| vec(vec(value.clone(), len), m))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_maximum_is_exact(
        bits in 3..=42u32, parties in parties(), pairs in vec(any::<(i64, i64)>(), 1..70),
    ) {
        // |x − y| < 2^{k−2} for |x|, |y| < 2^{k−3}.
        let half = 1i64 << (bits - 3);
        let (x, y): (Vec<_>, Vec<_>) = pairs.iter().map(|(x, y)| (x % half, y % half)).unzip();
        let (shares_x, shares_y) = (split(&elements::<u64>(&x), parties), split(&elements::<u64>(&y), parties));
        let shape = SignShape { len: x.len(), parameters: parameters(bits) };
        let plan = [Request::Relu { len: shape.len, parameters: shape.parameters }];
        let z = run_shared::<u64>(parties, &plan, relu::traffic(shape, parties), async |party, source| {
            let x = crate::common::copy(&shares_x[party.index()]);
            maximum(party, x, &shares_y[party.index()], source.next(shape).await?).await
        });
        let expected: Vec<_> = x.iter().zip(&y).map(|(&x, &y)| i128::from(x.max(y))).collect();
        prop_assert_eq!(signed(&z), expected);
    }

    #[test]
    fn the_maximum_of_many_is_exact(
        candidates in candidates(), bits in 3..=47u32, width in 1..=128u32, parties in parties(),
    ) {
        let all = |bits: u32| {
            let [low, high] = ends(bits);
            let within = |&x: &i64| if (low..=high).contains(&x) { x } else { x.rem_euclid(high - low + 1) + low };
            candidates.iter().map(|candidate| candidate.iter().map(within).collect()).collect::<Vec<Vec<i64>>>()
        };
        for grouping in [Grouping::Two, Grouping::Four] {
            for variant in [Variant::FewRounds, Variant::FewBytes] {
                let sought = |bits: u32| {
                    let parameters = parameters(bits).with_variant(variant);
                    // The winners of a level are compared in the next one.
                    Sought { width: width.max(bits), ..Sought::of(&candidates, parameters, grouping, parties) }
                };
                sought(bits).is_found::<u64>(&all(bits));
                sought(bits).is_found::<u128>(&all(bits));
                sought(bits.min(32)).is_found::<u32>(&all(bits.min(32)));
            }
        }
    }
}

/// The levels of a tournament in 32 bits: how many candidates are compared, and how often.
fn levels(candidates: usize, len: usize, grouping: Grouping) -> Vec<(usize, usize)> {
    let tournament = Tournament { candidates, len, parameters: parameters(32), grouping };
    let level = |level| match level {
        Level::Pairs(shape) => (2, shape.len),
        Level::Groups(shape) => (shape.size, shape.len),
    };
    tournament.levels().into_iter().map(level).collect()
}

#[test]
fn small_tensors_have_groups_and_large_ones_pairs() {
    assert_eq!(levels(9, 5, Grouping::Two), [(2, 20), (2, 10), (2, 5), (2, 5)]);
    // As of softmaxes of 12 and 64 tokens, with 12 heads.
    assert_eq!(levels(12, 144, Grouping::Four), [(4, 3 * 144), (3, 144)]);
    assert_eq!(levels(64, 768, Grouping::Four), [(2, 32 * 768), (2, 16 * 768), (4, 4 * 768), (4, 768)]);
    // Bytes first, and rounds where few values are left.
    assert_eq!(levels(16, 5_000, Grouping::Four), [(2, 8 * 5_000), (2, 4 * 5_000), (4, 5_000)]);
    assert_eq!(levels(4, 6_000, Grouping::Four), [(4, 6_000)]);
    assert_eq!(levels(4, 6_500, Grouping::Four), [(2, 13_000), (2, 6_500)]);
    assert_eq!([0, 1, 2].map(|candidates| levels(candidates, 3, Grouping::Four)), [vec![], vec![], vec![(2, 3)]]);
    // In as few levels as up to four at once allow.
    for candidates in 1..=300 {
        let levels = levels(candidates, 1, Grouping::Four);
        assert_eq!(levels.len(), (0..).find(|&level| 4usize.pow(level) >= candidates).unwrap() as usize);
        let few_bytes = parameters(32).with_variant(Variant::FewBytes);
        let tournament = Tournament { candidates, len: 1, parameters: few_bytes, grouping: Grouping::Four };
        assert!(tournament.levels().iter().all(|level| matches!(level, Level::Pairs(_))));
    }
}

/// Neither more levels than there are winners to find, nor groups of another size or number, before anything is sent.
#[test]
fn levels_that_do_not_fit_a_tournament_are_refused() {
    let parameters = parameters(32);
    let (pair, group) = (SignShape { len: 3, parameters }, |size, len| GroupShape { size, len, parameters });
    let groups = [group(4, 3), group(3, 6), group(4, 2)];
    let mut plan = vec![Request::Relu { len: 3, parameters }; 3];
    plan.extend(groups.map(|GroupShape { size, len, parameters }| Request::Group { size, len, parameters }));
    let (ended, _) = session(
        &mut Dealer::<u64>::new(2, Seed::from_bytes([5; 32])).unwrap(),
        &plan,
        memory_network(2, PATIENT),
        PATIENT,
        async |party, source| {
            let candidates = |count| (0..count).map(|_| ArithmeticShares::from_elements(vec![1u64; 3])).collect();
            let too_many = vec![LevelMask::Pairs(source.next(pair).await?), LevelMask::Pairs(source.next(pair).await?)];
            let too_few = vec![LevelMask::Pairs(source.next(pair).await?)];
            let mut errors = vec![
                maximum_of::<u64>(party, candidates(2), too_many).await.map(drop).unwrap_err(),
                maximum_of::<u64>(party, candidates(3), too_few).await.map(drop).unwrap_err(),
            ];
            for (count, group) in [3, 4, 4].into_iter().zip(groups) {
                let mask = vec![LevelMask::Groups(source.next(group).await?)];
                errors.push(maximum_of::<u64>(party, candidates(count), mask).await.map(drop).unwrap_err());
            }
            Ok(errors)
        },
    );
    for (result, _) in ended {
        let errors = result.unwrap();
        assert!(errors[..2].iter().all(|error| matches!(error, ProtocolError::OperandLength { .. })), "{errors:?}");
        let sizes = |error: &_| match error {
            ProtocolError::WrongCorrelation { correlation, operand, .. } => Some([*correlation, *operand]),
            _ => None,
        };
        assert_eq!(errors[2..].iter().map(sizes).collect::<Vec<_>>(), [Some([4, 3]), Some([3, 4]), Some([2, 3])]);
    }
}

#[test]
fn groups_that_cannot_be_are_refused() {
    let parameters = parameters(32);
    for (size, parameters) in
        [(0, parameters), (2, parameters), (5, parameters), (4, parameters.with_variant(Variant::FewBytes))]
    {
        let refused = Request::Group { size, len: 1, parameters }.layout::<u64>();
        assert!(matches!(refused, Err(ProtocolError::Parameter { protocol: "maximum", .. })), "{refused:?}");
    }
    let wide = Request::Group { size: 4, len: 1, parameters: SignParameters::new(33).unwrap() };
    assert!(wide.layout::<u32>().is_err());
}
