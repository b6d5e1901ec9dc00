//! Rows of tables that private tokens choose.

use mpc_nn::{Encoding, Network, OneHot, Plan, Settings, evaluate, ideal, in_process};
use mpc_onnx::Reason;
use mpc_ring::Ring;
use ndarray::ArrayD;
use proptest::prelude::*;
use rten_onnx::onnx::{AttributeProto, AttributeType, DataType, GraphProto, NodeProto, TensorProto};

use crate::cases::encode;
use crate::models::{floats, graph, imported, info, integers, ints, node, open};

/// Entry (row, column) of a table: a number of eight fractional bits.
fn entry(row: usize, column: usize) -> f32 {
    ((row * 37 + column * 11) % 509) as f32 / 256.0 - 1.0
}

fn table(name: &str, classes: usize, features: usize) -> TensorProto {
    let values: Vec<f32> = (0..classes * features).map(|place| entry(place / features, place % features)).collect();
    floats(name, &[classes as i64, features as i64], &values)
}

/// A network of one input of tokens.
fn network(
    tokens: usize,
    nodes: Vec<NodeProto>,
    weights: Vec<TensorProto>,
    outputs: &[&str],
) -> Result<Network, Vec<Reason>> {
    let input = vec![info("x", DataType::INT64, &[Some(1), Some(tokens as i64)])];
    imported(GraphProto { input, output: outputs.iter().map(|name| open(name)).collect(), ..graph(nodes, weights) })
}

fn lookup(classes: usize, features: usize, tokens: usize) -> Network {
    let nodes = vec![node("Gather", &["table", "x"], &["y"])];
    network(tokens, nodes, vec![table("table", classes, features)], &["y"]).unwrap()
}

/// The tokens as the graph takes them.
fn encoded(network: &Network, tokens: &[f32]) -> ArrayD<f32> {
    let shape = network.graph.node(network.graph.inputs()[0]).shape();
    ArrayD::from_shape_vec(shape, encode(tokens, network.inputs[0].encoding)).unwrap()
}

/// Checks that a private run and its ideal give the entries themselves.
fn check<R: Ring>([classes, features]: [usize; 2], chosen: &[usize], settings: Settings) {
    let network = lookup(classes, features, chosen.len());
    assert_eq!(network.inputs[0].encoding, Encoding::OneHot(OneHot::for_table(classes, features)));
    let tokens: Vec<f32> = chosen.iter().map(|&class| class as f32).collect();
    let inputs = [encoded(&network, &tokens)];
    let expected = chosen.iter().flat_map(|&class| (0..features).map(move |column| f64::from(entry(class, column))));
    let expected: Vec<f64> = expected.collect();
    let plan = Plan::<R>::new(&network.graph, settings).unwrap();
    let private = in_process::infer(&plan, &network.weights, &inputs).unwrap().remove(0);
    assert_eq!(private.shape(), [1, chosen.len(), features]);
    assert_eq!(private.into_iter().collect::<Vec<_>>(), expected);
    let ideal = ideal::evaluate(&plan, &network.weights, &inputs, |_, _| ()).unwrap().remove(0);
    assert_eq!(ideal.into_iter().collect::<Vec<_>>(), expected);
}

/// A table, and the tokens that choose from it.
fn choice() -> impl Strategy<Value = ([usize; 2], Vec<usize>)> {
    let classes = prop_oneof![Just(1usize), Just(2), Just(7), Just(30), Just(1000), 1usize..1500];
    (classes, 1usize..6).prop_flat_map(|(classes, features)| {
        (Just([classes, features]), prop::collection::vec(prop_oneof![0..classes, Just(classes - 1)], 1..5))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_private_lookup_is_the_row_itself((table, chosen) in choice(), parties in 2usize..=4) {
        check::<u64>(table, &chosen, Settings::new(parties));
        check::<u64>(table, &chosen, Settings { fractional_bits: 12, comparison_bits: 36, ..Settings::new(parties) });
        check::<u32>(table, &chosen, Settings { fractional_bits: 8, comparison_bits: 18, ..Settings::new(parties) });
        check::<u128>(table, &chosen, Settings { fractional_bits: 24, comparison_bits: 42, ..Settings::new(parties) });
    }
}

#[test]
fn every_row_of_a_table_that_no_digit_divides() {
    for classes in [577, 600, 601] {
        let chosen: Vec<usize> = (0..classes).collect();
        assert!(OneHot::for_table(classes, 1).low() > 1);
        check::<u64>([classes, 1], &chosen, Settings::new(2));
    }
}

#[test]
fn two_rows_take_a_round_more_and_fewer_bytes() {
    for (classes, rows, elements, rounds) in [(30, [1, 30], 30, 1), (1000, [15, 67], 67 + 15 * 3, 2)] {
        let network = lookup(classes, 2, 3);
        let encoding = OneHot::for_table(classes, 2);
        assert_eq!([encoding.low(), encoding.high()], rows);
        for parties in 2..=4 {
            let plan = Plan::<u64>::new(&network.graph, Settings::new(parties)).unwrap();
            let others = parties as u64 - 1;
            // A share of the input comes, three tokens are opened, and a share of the result goes to its recipient.
            let (opened, revealed) = (3 * elements * 8 * others, 3 * 2 * 8);
            assert_eq!(plan.online(0).payload_sent, opened + revealed);
            assert_eq!(plan.online(0).rounds, 1 + rounds);
        }
    }
}

#[test]
fn nothing_is_opened_wider_than_what_reads_the_row() {
    let nodes = vec![node("Gather", &["table", "x"], &["h"]), node("Relu", &["h"], &["y"])];
    let network = network(3, nodes, vec![table("table", 1000, 2)], &["y"]).unwrap();
    let plan = Plan::<u64>::new(&network.graph, Settings::new(2)).unwrap();
    let opened = |kind: &str| {
        let mut steps = plan.steps().iter().filter(|step| step.action.kind() == kind && step.online[0].rounds > 0);
        (steps.next().unwrap().online[0].payload_sent, steps.count())
    };
    // In k = 32 bits: nothing is truncated.
    assert_eq!([opened("linear"), opened("product")], [(3 * 67 * 4, 0), (3 * 15 * 3 * 4, 0)]);
    assert!(plan.steps().iter().all(|step| step.action.kind() != "truncation"));
}

/// As a network has it that reads tokens in several ways.
#[test]
fn one_input_chooses_from_tables_of_all_sizes_and_is_a_number() {
    let cast = AttributeProto {
        name: Some("to".into()),
        i: Some(DataType::FLOAT.0.into()),
        r#type: Some(AttributeType::INT),
        ..Default::default()
    };
    let nodes = |more: Vec<NodeProto>| {
        let number = NodeProto { attribute: vec![cast.clone()], ..node("Cast", &["x"], &["number"]) };
        let lookups = [("small", "a"), ("large", "b"), ("wide", "c")];
        let lookups = lookups.map(|(table, row)| node("Gather", &[table, "x"], &[row]));
        [vec![number], lookups.to_vec(), more].concat()
    };
    let weights = || vec![table("small", 30, 1), table("large", 1000, 1), table("wide", 999, 4)];
    let tokens = [0.0, 29.0, 7.0];
    let check = |network: Network, rows: OneHot| {
        assert_eq!(network.inputs[0].encoding, Encoding::OneHot(rows));
        let inputs = [encoded(&network, &tokens)];
        let clear = evaluate(&network.graph, &network.weights, &inputs).unwrap();
        let plan = Plan::<u64>::new(&network.graph, Settings::new(2)).unwrap();
        let private = in_process::infer(&plan, &network.weights, &inputs).unwrap();
        for (private, clear) in private.iter().zip(&clear) {
            assert!(private.iter().zip(clear).all(|(private, &clear)| *private == f64::from(clear)));
        }
        let expected = |features: usize| {
            let row = move |&token: &f32| (0..features).map(move |column| entry(token as usize, column));
            tokens.iter().flat_map(row).collect::<Vec<_>>()
        };
        assert_eq!(clear[0].iter().copied().collect::<Vec<_>>(), tokens);
        for (output, features) in clear[1..4].iter().zip([1, 1, 4]) {
            assert_eq!(output.iter().copied().collect::<Vec<_>>(), expected(features));
        }
        clear
    };
    let outputs = ["number", "a", "b", "c"];
    check(network(3, nodes(vec![]), weights(), &outputs).unwrap(), OneHot::for_table(1000, 4).without_negative());
    // Rows that are an output of their own are whole.
    let one_hot = node("OneHot", &["x", "depth", "values"], &["rows"]);
    let more = vec![integers("depth", &[40]), floats("values", &[2], &[0.0, 1.0])];
    let with_rows = network(3, nodes(vec![one_hot]), [weights(), more].concat(), &["number", "a", "b", "c", "rows"]);
    let clear = check(with_rows.unwrap(), OneHot::whole(1000).without_negative());
    assert!(clear[4].indexed_iter().all(|(at, &y)| (y == 1.0) == (at[2] as f32 == tokens[at[1]])));
}

/// A number below 0 counts from the end of a table, so of two tables it would be one row of the smaller one alone.
#[test]
fn negative_tokens_are_taken_where_all_readers_agree() {
    let weights = || vec![table("small", 30, 1), table("other", 30, 2), table("large", 1000, 1)];
    let takes = |tables: [&str; 2], operator: &str| {
        let [first, second] = tables;
        let nodes = vec![
            node("Gather", &[first, "x"], &["a"]),
            node("Gather", &[second, "x"], &["b"]),
            node(operator, &["x"], &["c"]),
        ];
        let network = network(2, nodes, weights(), &["a", "b", "c"]).unwrap();
        network.inputs[0].encoding.rows().unwrap().takes_negative()
    };
    let shape = "Shape";
    assert!(takes(["small", "other"], shape));
    assert!(!takes(["small", "large"], shape));
    assert!(!takes(["large", "small"], shape));
    assert!(!takes(["small", "other"], "Neg"));
    // Each element has a table of its own.
    let mut turned = node("Transpose", &["x"], &["turned"]);
    turned.attribute = vec![ints("perm", &[1, 0])];
    let nodes = vec![
        turned,
        node("Gather", &["turned", "first"], &["left"]),
        node("Gather", &["turned", "second"], &["right"]),
        node("Gather", &["small", "left"], &["a"]),
        node("Gather", &["large", "right"], &["b"]),
    ];
    let more = vec![integers("first", &[0]), integers("second", &[1])];
    let each = network(2, nodes, [weights(), more].concat(), &["a", "b"]).unwrap();
    assert_eq!(each.inputs[0].encoding.rows().map(|rows| rows.takes_negative()), Some(true));
    assert_eq!(each.inputs[0].limits, [30, 1000]);
}

#[test]
fn tokens_that_are_chosen_and_moved_first() {
    let mut turned = node("Transpose", &["x"], &["turned"]);
    turned.attribute = vec![ints("perm", &[1, 0])];
    let nodes =
        vec![turned, node("Gather", &["turned", "last"], &["chosen"]), node("Gather", &["table", "chosen"], &["y"])];
    let network = network(4, nodes, vec![integers("last", &[3, 1]), table("table", 1000, 2)], &["y"]).unwrap();
    let inputs = [encoded(&network, &[5.0, 6.0, 7.0, 999.0])];
    let plan = Plan::<u64>::new(&network.graph, Settings::new(3)).unwrap();
    let private = in_process::infer(&plan, &network.weights, &inputs).unwrap().remove(0);
    let expected = [[999, 0], [999, 1], [6, 0], [6, 1]].map(|[row, column]| f64::from(entry(row, column)));
    assert_eq!(private.into_iter().collect::<Vec<_>>(), expected);
}
