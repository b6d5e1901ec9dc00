//! Steps that wait for nothing of each other: they run in the same rounds, and all is counted as planned.

use mpc_nn::{Comparisons, Graph, GraphBuilder, NodeId, Plan, Pool, Preprocessing, Settings, WeightKnowledge};
use mpc_protocols::function::Function;
use proptest::prelude::*;

use crate::harness::{How, check, check_how};

/// Two ways of different lengths from one input to a sum.
fn two_ways() -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[1, 6]).unwrap();
    let left = b.linear("left", x, 5, true).unwrap();
    let left = b.relu("left relu", left).unwrap();
    let left = b.linear("left again", left, 4, true).unwrap();
    let left = b.function("left sigmoid", left, Function::Sigmoid).unwrap();
    let square = b.square("square", x).unwrap();
    let right = b.linear("right", square, 4, true).unwrap();
    let right = b.function("right tanh", right, Function::Tanh).unwrap();
    let sum = b.add("sum", left, right).unwrap();
    b.finish(&[sum]).unwrap()
}

#[test]
fn ways_that_do_not_meet_share_their_rounds() {
    let plan = Plan::<u64>::new(&two_ways(), Settings::new(2)).unwrap();
    let beside: Vec<_> = plan.steps().iter().filter(|step| step.way > Some(0)).map(|step| step.name.as_str()).collect();
    // Left: a layer, a ReLU, a layer, a sigmoid. The right way's square is beside the layer, its truncation and layer beside the
    // ReLU, and its tanh beside the sigmoid.
    assert_eq!(beside, ["square", "square:truncate", "right", "right tanh"]);
    assert_eq!(plan.online(1).rounds, 1 + 3 + 1 + 5 + 1);
    // A ReLU, and the thresholds of a sigmoid, take one round more.
    let few_bytes = Settings { comparisons: Comparisons::FewBytes, ..Settings::new(2) };
    let plan = Plan::<u64>::new(&two_ways(), few_bytes).unwrap();
    assert_eq!(plan.online(1).rounds, 1 + 4 + 1 + 6 + 1);
    check::<u64>(&two_ways(), few_bytes, 0.001, Preprocessing::Streamed);
    for parties in [2, 3] {
        for how in [How::InTurn(Preprocessing::Streamed), How::InTurn(Preprocessing::Ahead), How::Pipelined] {
            check_how::<u64>(&two_ways(), Settings::new(parties), 0.001, how);
        }
    }
    let owner = Settings { weights: WeightKnowledge::Owner, ..Settings::new(2) };
    check::<u64>(&two_ways(), owner, 0.001, Preprocessing::Streamed);
    check::<u128>(&two_ways(), Settings::new(2), 0.001, Preprocessing::Streamed);
}

/// The largest of each of `rows` rows, as in a softmax.
fn largest(rows: usize, elements: usize) -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[1, 1, rows, elements]).unwrap();
    let pool = Pool { stride: [1, elements], ..Pool::new([1, elements]) };
    let largest = b.max_pool("largest", x, pool).unwrap();
    b.finish(&[largest]).unwrap()
}

/// Of softmaxes of 12 and 64 tokens with 12 heads, and of large tensors; two parties who make their correlations have pairs alone.
#[test]
fn maxima_of_small_tensors_compare_up_to_four_at_once() {
    let without_dealer = Settings { comparisons: Comparisons::FewRounds, ..Settings::without_dealer() };
    let few_bytes = Settings { comparisons: Comparisons::FewBytes, ..Settings::new(2) };
    for (rows, elements, expected) in [
        (144, 12, [6, 12, 16]),
        (768, 64, [12, 18, 24]),
        (1, 2, [3, 3, 4]),
        (20_000, 4, [6, 6, 8]),
        (3, 10, [6, 12, 16]),
    ] {
        let graph = largest(rows, elements);
        let rounds = [Settings::new(2), without_dealer, few_bytes].map(|settings| {
            let plan = Plan::<u64>::new(&graph, settings).unwrap();
            // One more to reveal them.
            plan.online(1).rounds - 1
        });
        assert_eq!(rounds, expected, "{rows} rows of {elements}");
    }
    for settings in [Settings::new(2), Settings::new(3), few_bytes] {
        check::<u64>(&largest(70, 13), settings, 0.001, Preprocessing::Streamed);
    }
    check::<u128>(&largest(3, 4), Settings::new(2), 0.001, Preprocessing::Ahead);
}

/// An operation that is added to a graph, and which earlier nodes it reads.
type Choice = (u8, usize, usize);

fn random_graph(choices: &[Choice], outputs: usize) -> Graph {
    let mut b = GraphBuilder::new();
    let mut nodes: Vec<NodeId> = ["x", "y"].map(|name| b.input(name, &[1, 4]).unwrap()).into();
    for (number, &(operation, first, second)) in choices.iter().enumerate() {
        let (name, at) = (number.to_string(), |choice: usize| nodes[choice % nodes.len()]);
        let (x, y) = (at(first), at(second));
        let node = match operation {
            0 => b.linear(&name, x, 4, true).unwrap(),
            1 => b.relu(&name, x).unwrap(),
            2 => b.function(&name, x, Function::Tanh).unwrap(),
            3 => {
                // Products stay small.
                let [x, y] = [(x, "left"), (y, "right")]
                    .map(|(x, side)| b.function(&format!("{name} {side}"), x, Function::Sigmoid).unwrap());
                b.multiply(&name, x, y).unwrap()
            }
            4 => b.add(&name, x, y).unwrap(),
            5 => b.reshape(&name, x, &[1, 4]).unwrap(),
            _ => b.scale(&name, x, 0.3).unwrap(),
        };
        nodes.push(node);
    }
    let mut last: Vec<NodeId> = nodes.iter().rev().take(outputs.min(choices.len())).copied().collect();
    // Every input is read.
    last.push(b.add("both", nodes[0], nodes[1]).unwrap());
    b.finish(&last).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The harness compares every party's results with those in the clear, and its traffic with the plan's, step by step.
    #[test]
    fn any_graph_gives_its_values_in_the_planned_rounds(
        choices in proptest::collection::vec((0u8..7, 0usize..16, 0usize..16), 1..14),
        outputs in 1usize..4,
        parties in 2usize..4,
        is_ahead in any::<bool>(),
        few_bytes in any::<bool>(),
    ) {
        let comparisons = if few_bytes { Comparisons::FewBytes } else { Comparisons::FewRounds };
        let graph = random_graph(&choices, outputs);
        let preprocessing = if is_ahead { Preprocessing::Ahead } else { Preprocessing::Streamed };
        check::<u64>(&graph, Settings { comparisons, ..Settings::new(parties) }, 0.02, preprocessing);
    }
}
