//! The variant of comparisons that a plan chooses for a link.

use std::time::Duration;

use mpc_nn::plan::{Estimate, Variants};
use mpc_nn::{Comparisons, Correlations, Plan, Preprocessing, Settings};
use mpc_transport::LinkSettings;
use proptest::prelude::*;

use crate::common::{classifier, random_graph};

/// A plan's times in whole nanoseconds and its bytes, written down again.
fn counted(plan: &Plan<u64>, link: LinkSettings, is_beside: bool) -> (u128, u128, u128, u64) {
    let latency = link.latency.as_nanos();
    let carried =
        |bytes: u64| link.bits_per_second.map_or(0, |rate| u128::from(bytes) * 8_000_000_000 / u128::from(rate));
    let (mut preparing, mut online, mut all, mut received) = (0, 0, 0, 0);
    for party in 0..plan.settings().parties {
        let [before, after] = [plan.preprocessing(party), plan.online(party)];
        let most = |sent: u64, other: u64| carried(sent.max(other));
        preparing =
            preparing.max(u128::from(before.rounds) * latency + most(before.bytes_sent(), before.bytes_received()));
        online = online.max(u128::from(after.rounds) * latency + most(after.bytes_sent(), after.bytes_received()));
        let [sent, taken] =
            [before.bytes_sent() + after.bytes_sent(), before.bytes_received() + after.bytes_received()];
        all = all.max(most(sent, taken));
        received += taken;
    }
    let total = if is_beside { online.max(latency + all) } else { preparing + online };
    (preparing, online, total, received)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_variant_that_is_chosen_takes_less(
        choices in proptest::collection::vec(any::<u8>(), 1..8),
        microseconds in 0u64..100_000,
        rate in prop_oneof![Just(None), (10_000u64..1_000_000_000).prop_map(Some)],
        parties in 2usize..4,
        is_ahead in any::<bool>(),
        has_dealer in any::<bool>(),
    ) {
        let settings = if has_dealer { Settings::new(parties) } else { Settings::without_dealer() };
        let preprocessing = if is_ahead { Preprocessing::Ahead } else { Preprocessing::Streamed };
        let link = LinkSettings { latency: Duration::from_micros(microseconds), bits_per_second: rate };
        let graph = random_graph(&choices);
        let Ok(variants) = Variants::<u64>::new(&graph, settings, link, preprocessing) else {
            prop_assert!(!has_dealer);
            return Ok(());
        };
        let times = variants.each().map(|(plan, Estimate { preparing, online, total, bytes })| {
            let counted = counted(plan, link, has_dealer && !is_ahead);
            assert_eq!((preparing.as_nanos(), online.as_nanos(), total.as_nanos(), bytes), counted);
            (total, bytes)
        });
        let faster = if times[1] < times[0] { Comparisons::FewBytes } else { Comparisons::FewRounds };
        prop_assert_eq!(variants.faster(), faster);
        // What is chosen is what stands in the settings, and nothing else is different.
        let chosen = variants.into_faster();
        let asked = Plan::<u64>::new(&graph, Settings { comparisons: faster, ..settings }).unwrap();
        prop_assert_eq!(chosen.settings(), asked.settings());
        prop_assert_eq!(chosen.digest(), asked.digest());
    }
}

#[test]
fn latency_asks_for_few_rounds_and_a_slow_link_for_few_bytes() {
    let correlations = Settings::without_dealer().correlations;
    for correlations in [Correlations::Dealt, correlations] {
        for (link, expected) in [("400ms,unlimited", Comparisons::FewRounds), ("0ms,1Mbit", Comparisons::FewBytes)] {
            let settings = Settings { correlations, ..Settings::new(2) };
            let link = link.parse().unwrap();
            for preprocessing in [Preprocessing::Streamed, Preprocessing::Ahead] {
                let variants = Variants::<u64>::new(&classifier(), settings, link, preprocessing).unwrap();
                assert_eq!(variants.faster(), expected, "{correlations}, {link}");
            }
        }
    }
}

/// A network without comparisons takes the same in both: rounds are the first choice.
#[test]
fn of_equals_few_rounds_is_taken() {
    let mut b = mpc_nn::GraphBuilder::new();
    let x = b.input("x", &[1, 4]).unwrap();
    let y = b.linear("y", x, 3, true).unwrap();
    let graph = b.finish(&[y]).unwrap();
    for settings in [Settings::new(2), Settings::without_dealer()] {
        let variants = Variants::<u64>::new(&graph, settings, LinkSettings::WAN, Preprocessing::Streamed).unwrap();
        let [rounds, bytes] = variants.each().map(|(_, estimate)| estimate);
        assert_eq!((rounds, variants.faster()), (bytes, Comparisons::FewRounds));
    }
}
