//! Private runs against the plaintext reference, and plans against meters.

use mpc_nn::{
    Comparisons, ConvolutionOptions, Graph, GraphBuilder, Owner, Plan, PlanError, Pool, Preprocessing, Roles, Settings,
    WeightKnowledge, Weights, evaluate, ideal,
};
use mpc_protocols::function::Function;
use mpc_transport::Traffic;
use ndarray::ArrayD;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::common::random_weights;
use crate::harness::{How, check, check_how, run};

fn convolution(output_channels: usize, kernel: usize, stride: usize) -> ConvolutionOptions {
    ConvolutionOptions {
        stride: [stride; 2],
        padding: [kernel / 2; 4],
        bias: true,
        ..ConvolutionOptions::new(output_channels, [kernel; 2])
    }
}

/// Every layer that there is: a residual block with an option-A shortcut, pools, concat, flatten, linear, two outputs.
fn everything(batch: usize) -> Graph {
    let mut b = GraphBuilder::new();
    let image = b.input("image", &[batch, 2, 9, 8]).unwrap();
    let stem = b.convolution("stem", image, convolution(4, 3, 1)).unwrap();
    let x = b.relu("relu1", stem).unwrap();
    let left = b.convolution("left", x, convolution(8, 3, 2)).unwrap();
    let shortcut = b.slice("slice", x, &[0; 4], &[batch, 4, 9, 8], &[1, 1, 2, 2]).unwrap();
    let shortcut = b.pad("pad", shortcut, &[0, 2, 0, 0], &[0, 2, 0, 0]).unwrap();
    let sum = b.add("sum", left, shortcut).unwrap();
    let x = b.relu("relu2", sum).unwrap();
    let largest = b.max_pool("max", x, Pool { stride: [2, 2], padding: [1; 4], ..Pool::new([3, 3]) }).unwrap();
    let mean = b.average_pool("mean", x, Pool { stride: [2, 2], padding: [1; 4], ..Pool::new([3, 3]) }).unwrap();
    let both = b.concat("concat", &[largest, mean], 1).unwrap();
    let again = b.convolution("again", both, ConvolutionOptions { groups: 2, ..convolution(4, 1, 1) }).unwrap();
    let pooled = b.global_average_pool("global", again).unwrap();
    let flat = b.flatten("flat", pooled).unwrap();
    let out = b.linear("out", flat, 3, true).unwrap();
    b.finish(&[out, sum]).unwrap()
}

#[test]
fn every_layer_for_every_number_of_parties() {
    for parties in [2, 3, 4, 5, 8] {
        check::<u64>(&everything(1), Settings::new(parties), 0.0005, Preprocessing::Streamed);
        let few_bytes = Settings { comparisons: Comparisons::FewBytes, ..Settings::new(parties) };
        check::<u64>(&everything(1), few_bytes, 0.0005, Preprocessing::Ahead);
    }
}

/// A block with a convolution in its shortcut, a second use of its sum, and three projections of one value.
fn branches() -> Graph {
    let mut b = GraphBuilder::new();
    let image = b.input("image", &[2, 2, 6, 6]).unwrap();
    let main = b.convolution("main", image, convolution(4, 3, 2)).unwrap();
    let main = b.relu("relu", main).unwrap();
    let main = b.convolution("main2", main, convolution(4, 3, 1)).unwrap();
    let shortcut = b.convolution("shortcut", image, convolution(4, 1, 2)).unwrap();
    let sum = b.add("sum", main, shortcut).unwrap();
    let flat = b.flatten("flat", sum).unwrap();
    let projections = ["query", "key", "value"].map(|name| b.linear(name, flat, 5, true).unwrap());
    let product = b.multiply("product", projections[0], projections[1]).unwrap();
    let all = b.add("all", product, projections[2]).unwrap();
    b.finish(&[all]).unwrap()
}

#[test]
fn layers_with_one_input_open_it_once() {
    let plan = Plan::<u64>::new(&branches(), Settings::new(2)).unwrap();
    let done_elsewhere: Vec<_> = plan.steps().iter().filter(|step| step.is_branch).map(|step| &step.name[..]).collect();
    assert_eq!(done_elsewhere, ["shortcut", "key", "value"]);
    for step in plan.steps().iter().filter(|step| step.is_branch) {
        assert!(step.requests.is_empty() && step.online.iter().all(Traffic::is_empty));
    }
    // Main, relu, main2, the sum's truncation, query, the truncations of both factors in one round, and product; one party
    // waits for the input's share, the other for the output's.
    assert_eq!([0, 1].map(|party| plan.online(party).rounds), [1 + 3 + 1 + 1 + 1 + 1 + 1 + 1; 2]);
    for parties in [2, 3] {
        for preprocessing in [Preprocessing::Streamed, Preprocessing::Ahead] {
            check::<u64>(&branches(), Settings::new(parties), 0.001, preprocessing);
        }
        let settings = Settings { weights: WeightKnowledge::Owner, ..Settings::new(parties) };
        check::<u64>(&branches(), settings, 0.001, Preprocessing::Streamed);
    }
}

/// The layer that is read first is not the one that comes first in the graph: correlations keep the graph's order.
#[test]
fn layers_with_one_input_may_be_read_in_another_order() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[2, 3]).unwrap();
    let [first, late, early] = ["first", "late", "early"].map(|name| b.linear(name, x, 4, true).unwrap());
    let relu = b.relu("relu", early).unwrap();
    let longest = b.relu("relu2", relu).unwrap();
    let sum = b.add("sum", longest, first).unwrap();
    let all = b.add("all", sum, late).unwrap();
    let graph = b.finish(&[all]).unwrap();
    let plan = Plan::<u64>::new(&graph, Settings::new(2)).unwrap();
    let done_elsewhere: Vec<_> = plan.steps().iter().filter(|step| step.is_branch).map(|step| &step.name[..]).collect();
    assert_eq!(done_elsewhere, ["early", "late"]);
    for preprocessing in [Preprocessing::Streamed, Preprocessing::Ahead] {
        check::<u64>(&graph, Settings::new(2), 0.001, preprocessing);
    }
}

#[test]
fn steps_of_one_name_are_counted_apart() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[1, 3]).unwrap();
    let square = b.square("a", x).unwrap();
    // A truncation goes before it.
    let taken = b.square("a:truncate", square).unwrap();
    let graph = b.finish(&[taken]).unwrap();
    let plan = Plan::<u64>::new(&graph, Settings::new(2)).unwrap();
    let names: Vec<_> = plan.steps().iter().map(|step| step.name.as_str()).collect();
    assert!(names.contains(&"a:truncate") && names.contains(&"a:truncate#2"), "{names:?}");
    check::<u64>(&graph, Settings::new(2), 0.01, Preprocessing::Streamed);
}

#[test]
fn preprocessing_overlaps_the_inference_before() {
    for parties in [2, 3] {
        check_how::<u64>(&everything(1), Settings::new(parties), 0.0005, How::Pipelined);
    }
    check_how::<u128>(&everything(1), Settings::new(2), 0.0005, How::Pipelined);
}

#[test]
fn batches_and_other_roles() {
    let settings = Settings { roles: Roles::new(2, 0), ..Settings::new(3) };
    check::<u64>(&everything(3), settings, 0.0005, Preprocessing::Ahead);
}

#[test]
fn one_party_may_own_both() {
    let settings = Settings { roles: Roles::new(1, 1), ..Settings::new(2) };
    check::<u64>(&everything(1), settings, 0.0005, Preprocessing::Ahead);
}

#[test]
fn other_rings_and_precisions() {
    for (fractional_bits, comparison_bits, tolerance) in [(8, 22, 0.5), (12, 28, 0.05), (20, 40, 0.0003)] {
        let settings = Settings { fractional_bits, comparison_bits, ..Settings::new(3) };
        check::<u64>(&everything(1), settings, tolerance, Preprocessing::Streamed);
        check::<u128>(&everything(1), settings, tolerance, Preprocessing::Streamed);
    }
    let settings = Settings { fractional_bits: 8, comparison_bits: 16, ..Settings::new(2) };
    check::<u32>(&everything(1), settings, 0.6, Preprocessing::Streamed);
}

#[test]
fn the_model_owner_may_compute_with_its_weights_in_the_clear() {
    for parties in [2, 3, 4] {
        let settings = Settings { weights: WeightKnowledge::Owner, ..Settings::new(parties) };
        check::<u64>(&everything(1), settings, 0.0005, Preprocessing::Streamed);
        let plan = Plan::<u64>::new(&everything(1), settings).unwrap();
        // Linear layers: the owner sends nothing, and every other party 8 bytes per input element, to the owner alone.
        let linear = plan.steps().iter().filter(|step| step.action.kind() == "linear");
        for step in linear {
            assert_eq!((step.online[0].bytes_sent(), step.online[0].rounds), (0, 1));
            assert_eq!((step.online[1].frames_sent, step.online[1].rounds), (1, 0));
        }
    }
}

/// The operations on tensors of any rank, with pending divisors and every way to meet them.
fn tensors() -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[2, 3, 4]).unwrap();
    let rows = b.input("rows", &[6, 4]).unwrap();
    // A sum, a mean that is not a power of two, and both added to something undivided.
    let total = b.sum("total", x, &[0, 2]).unwrap();
    let mean = b.mean("mean", x, &[1, 0]).unwrap();
    let centred = b.gather("repeat", mean, 1, &[0, 0, 0]).unwrap();
    let centred = b.gather("repeat again", centred, 0, &[0, 0]).unwrap();
    let centred = b.scale("negative", centred, -1.0).unwrap();
    let centred = b.add("centred", x, centred).unwrap();
    let variance = b.square("squares", centred).unwrap();
    let variance = b.mean("variance", variance, &[2]).unwrap();
    let variance = b.offset("epsilon", variance, 0.001).unwrap();
    let scaled = b.multiply("scaled", centred, variance).unwrap();
    let scaled = b.scale_channels("gamma", scaled, 4, 1).unwrap();
    let scaled = b.offset_channels("beta", scaled, 3, 4).unwrap();
    // Attention: products of secret matrices, scaled by an irrational number.
    let query = b.linear_tied("query", rows, 4, true, "tied").unwrap();
    let key = b.linear_tied("key", query, 4, true, "tied").unwrap();
    let query = b.reshape("queries", query, &[2, 3, 4]).unwrap();
    let key = b.reshape("keys", key, &[2, 3, 4]).unwrap();
    let key = b.transpose("transposed", key, &[0, 2, 1]).unwrap();
    let scores = b.matrix_product("scores", query, key).unwrap();
    let scores = b.scale("by the root", scores, 0.353_553_38).unwrap();
    let mixed = b.matrix_product("mixed", scores, scaled).unwrap();
    let constant = b.parameter("constant", &[2, 3, 4]).unwrap();
    let mixed = b.add("plus constant", mixed, constant).unwrap();
    let doubled = [vec![(0, 1.0)], vec![(0, 0.75), (1, 0.25)], vec![(1, 0.3), (2, 0.7)], vec![(2, -1.5)]];
    let resized = b.combine("resized", mixed, 1, &doubled).unwrap();
    let product = b.multiply("product", resized, resized).unwrap();
    let best = b.arg_max("best", centred).unwrap();
    let best = b.reshape("best of each", best, &[6]).unwrap();
    b.finish(&[total, product, best, scaled]).unwrap()
}

#[test]
fn tensors_of_any_rank() {
    for parties in [2, 3, 4, 8] {
        check::<u64>(&tensors(), Settings::new(parties), 0.0005, Preprocessing::Streamed);
    }
    let settings = Settings { fractional_bits: 20, comparison_bits: 36, ..Settings::new(2) };
    check::<u64>(&tensors(), settings, 0.0003, Preprocessing::Ahead);
    check::<u128>(&tensors(), settings, 0.0003, Preprocessing::Ahead);
    let settings = Settings { fractional_bits: 8, comparison_bits: 18, ..Settings::new(2) };
    check::<u32>(&tensors(), settings, 0.6, Preprocessing::Streamed);
}

#[test]
fn the_largest_in_falling_order_with_their_indices() {
    for (columns, kept) in [(1, 1), (5, 2), (6, 6), (8, 3)] {
        let mut b = GraphBuilder::new();
        let x = b.input("x", &[3, columns]).unwrap();
        let [values, indices] = b.top_k("top", x, kept).unwrap();
        let doubled = b.scale("doubled", values, 2.0).unwrap();
        let graph = b.finish(&[indices, doubled]).unwrap();
        for parties in [2, 3] {
            check::<u64>(&graph, Settings::new(parties), 0.0005, Preprocessing::Streamed);
        }
        let bytes = postcard::to_allocvec(&graph).unwrap();
        assert_eq!(postcard::from_bytes::<Graph>(&bytes).unwrap(), graph);
    }
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[1, 4]).unwrap();
    let [values, indices] = b.top_k("top", x, 4).unwrap();
    let graph = b.clone().finish(&[values, indices]).unwrap();
    let outputs =
        infer(&graph, Settings::new(2), ArrayD::from_shape_vec(vec![1, 4], vec![2.0, 3.0, -1.0, 3.0]).unwrap());
    assert_eq!(outputs[1].iter().copied().collect::<Vec<_>>(), [1.0, 3.0, 0.0, 2.0]);
    // What is ranked is no number, and its index none to compute with.
    let relu = b.relu("relu", indices).unwrap();
    let graph = b.finish(&[relu]).unwrap();
    assert!(matches!(Plan::<u64>::new(&graph, Settings::new(2)), Err(PlanError::Unsupported { .. })));
}

/// One private run of a graph without parameters.
fn infer(graph: &Graph, settings: Settings, input: ArrayD<f32>) -> Vec<ArrayD<f64>> {
    let weights = Weights::for_graph(graph, Default::default()).unwrap();
    let plan = Plan::<u64>::new(graph, settings).unwrap();
    run(&plan, &weights, &[vec![input]], How::InTurn(Preprocessing::Streamed)).remove(1).outputs.remove(0).unwrap()
}

#[test]
fn the_bound_is_for_the_mean_and_not_for_the_sum() {
    // Values near the bound of 2^6, whose sums over a window of 9 or 16 are far above it.
    let settings = Settings { fractional_bits: 12, comparison_bits: 20, ..Settings::new(2) };
    for (kernel, behind) in [(3, "relu"), (4, "relu"), (3, "max"), (4, "max"), (3, "square"), (3, "scaled")] {
        let mut b = GraphBuilder::new();
        let x = b.input("x", &[1, 1, 12, 12]).unwrap();
        let mean = b.average_pool("mean", x, Pool::new([kernel; 2])).unwrap();
        let y = match behind {
            "relu" => b.relu("y", mean),
            "max" => b.max_pool("y", mean, Pool::new([1, 1])),
            "scaled" => b.scale("half", mean, 0.5).and_then(|half| b.relu("y", half)),
            _ => b.scale("small", mean, 0.03).and_then(|small| b.square("y", small)),
        };
        let graph = b.finish(&[y.unwrap()]).unwrap();
        for value in [60.0, -60.0] {
            let expected = match behind {
                "relu" => f64::max(value, 0.0),
                "max" => value,
                "scaled" => f64::max(value / 2.0, 0.0),
                _ => (value * 0.03).powi(2),
            };
            let outputs = infer(&graph, settings, ArrayD::from_elem(vec![1, 1, 12, 12], value as f32));
            for &output in &outputs[0] {
                assert!((output - expected).abs() < 0.02, "{behind} of a mean of {value} gave {output}");
            }
        }
    }
}

/// A divisor that is pending makes a value larger than its mean, which leaves a public factor less room.
#[test]
fn means_of_products_have_room_for_factors() {
    let values = [9.0, 21.0, 90.0, -110.0];
    for order in ["factor behind", "factor before", "mean of means"] {
        let mut b = GraphBuilder::new();
        let x = b.input("x", &[4, 32, 32]).unwrap();
        let square = b.square("square", x).unwrap();
        let y = match order {
            "factor behind" => b.mean("mean", square, &[1, 2]).and_then(|mean| b.scale("y", mean, 0.3)),
            "factor before" => b.scale("part", square, 0.3).and_then(|part| b.mean("y", part, &[1, 2])),
            _ => {
                let rows = b.mean("rows", square, &[1]).and_then(|rows| b.scale("part", rows, 0.3));
                rows.and_then(|rows| b.mean("y", rows, &[2]))
            }
        };
        let graph = b.finish(&[y.unwrap()]).unwrap();
        let x = ArrayD::from_shape_fn(&[4, 32, 32][..], |place| values[place[0]]);
        for parties in [2, 3] {
            let outputs = infer(&graph, Settings::new(parties), x.clone());
            for (&output, value) in outputs[0].iter().zip(values.map(f64::from)) {
                let expected = 0.3 * value * value;
                assert!((output - expected).abs() < 1e-4 * expected, "{order}: {output}, not {expected}");
            }
        }
    }
}

#[test]
fn an_index_is_the_first_of_equal_ones_and_only_revealed() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[2, 5]).unwrap();
    let best = b.arg_max("best", x).unwrap();
    let graph = b.clone().finish(&[best]).unwrap();
    let x = ArrayD::from_shape_vec(vec![2, 5], vec![-3.0, 7.5, -1.0, 7.5, 0.0, -9.0, -9.0, -9.5, -9.0, -10.0]);
    let inputs = x.unwrap();
    let outputs = infer(&graph, Settings::new(2), inputs.clone());
    assert_eq!(outputs[0].iter().copied().collect::<Vec<_>>(), [1.0, 0.0]);
    // The index counted from the end, which is still no number to compute with.
    let from_end = b.scale("negative", best, -1.0).unwrap();
    let from_end = b.offset("from the end", from_end, 4.0).unwrap();
    let graph = b.clone().finish(&[from_end]).unwrap();
    let outputs = infer(&graph, Settings::new(2), inputs);
    assert_eq!(outputs[0].iter().copied().collect::<Vec<_>>(), [3.0, 4.0]);
    let relu = b.relu("relu", best).unwrap();
    let graph = b.finish(&[relu]).unwrap();
    assert!(matches!(Plan::<u64>::new(&graph, Settings::new(2)), Err(PlanError::Unsupported { .. })));
}

#[test]
fn two_owners_of_inputs() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[2, 3]).unwrap();
    let y = b.input("y", &[2, 4]).unwrap();
    let both = b.concat("both", &[x, y], 1).unwrap();
    let hidden = b.linear("hidden", both, 5, true).unwrap();
    let out = b.relu("out", hidden).unwrap();
    let graph = b.finish(&[out]).unwrap();
    let mut settings = Settings::new(3);
    settings.roles.input_owners[0] = Some(Owner::Party(2));
    let weights = random_weights(&graph, &mut ChaCha20Rng::seed_from_u64(3));
    let plan = Plan::<u64>::new(&graph, settings).unwrap();
    assert_eq!(plan.input_owners(), [2, 1].map(Owner::Party));
    let inputs = [ArrayD::from_elem(vec![2, 3], 0.5), ArrayD::from_elem(vec![2, 4], -1.25)];
    let private = mpc_nn::in_process::infer(&plan, &weights, &inputs).unwrap();
    let plain = evaluate(&graph, &weights, &inputs).unwrap();
    let worst = private[0].iter().zip(&plain[0]).map(|(x, &y)| (x - f64::from(y)).abs()).fold(0.0, f64::max);
    assert!(worst < 0.0005, "largest error {worst}");
    // An input that another party owns is not asked for, and one too few is an error.
    let error = mpc_nn::in_process::infer(&plan, &weights, &inputs[..1]).unwrap_err();
    assert!(error.to_string().contains("2 inputs are needed"), "{error}");
    settings.roles.input_owners[0] = Some(Owner::Party(3));
    assert!(matches!(Plan::<u64>::new(&graph, settings), Err(PlanError::Role { party: 3, .. })));
}

/// Functions behind a product, behind a mean whose divisor is pending, and of one another: attention in small.
fn functions() -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[4, 6]).unwrap();
    let hidden = b.linear("hidden", x, 6, true).unwrap();
    let gelu = b.function("gelu", hidden, Function::Gelu).unwrap();
    let mean = b.mean("mean", gelu, &[0]).unwrap();
    let tanh = b.function("tanh", mean, Function::Tanh).unwrap();
    let sigmoid = b.function("sigmoid", gelu, Function::Sigmoid).unwrap();
    let gated = b.multiply("gated", gelu, sigmoid).unwrap();
    // A softmax along the last axis.
    let rows = b.reshape("rows", gated, &[1, 4, 1, 6]).unwrap();
    let largest = b.max_pool("largest", rows, Pool::new([1, 6])).unwrap();
    let largest = b.gather("repeat", largest, 3, &[0; 6]).unwrap();
    let negative = b.scale("negative", largest, -1.0).unwrap();
    let shifted = b.add("shifted", rows, negative).unwrap();
    let exponentials = b.function("exp", shifted, Function::Exp).unwrap();
    let total = b.sum("total", exponentials, &[3]).unwrap();
    let reciprocal = b.function("reciprocal", total, Function::PositiveReciprocal).unwrap();
    let softmax = b.multiply("softmax", exponentials, reciprocal).unwrap();
    let clipped = b.function("clipped", x, Function::Clip { low: -0.25, high: 0.5 }).unwrap();
    let root = b.square("squares", x).unwrap();
    let root = b.offset("epsilon", root, 0.01).unwrap();
    let root = b.function("root", root, Function::Sqrt).unwrap();
    b.finish(&[softmax, tanh, clipped, root]).unwrap()
}

#[test]
fn functions_of_each_element() {
    for parties in [2, 3, 4] {
        check::<u64>(&functions(), Settings::new(parties), 0.0005, Preprocessing::Streamed);
    }
    check::<u128>(&functions(), Settings::new(2), 0.0005, Preprocessing::Ahead);
    let settings = Settings { fractional_bits: 20, comparison_bits: 40, ..Settings::new(2) };
    check::<u128>(&functions(), settings, 0.0002, Preprocessing::Ahead);
}

/// Each weight is rounded to 16 bits, and what that leaves goes into the next one: 4,096 of them are off by half a unit.
#[test]
fn roundings_of_weights_do_not_add_up() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[1, 4096]).unwrap();
    let y = b.linear("y", x, 1, false).unwrap();
    let graph = b.finish(&[y]).unwrap();
    let weights = random_weights(&graph, &mut ChaCha20Rng::seed_from_u64(3));
    let plan = Plan::<u64>::new(&graph, Settings::new(2)).unwrap();
    let ones = ArrayD::from_elem(&[1, 4096][..], 1.0);
    let sum = ideal::evaluate(&plan, &weights, &[ones], |_, _| ()).unwrap()[0][[0, 0]];
    let exact: f64 = weights.get("y.weight").unwrap().iter().map(|&weight| f64::from(weight)).sum();
    assert!((sum - exact).abs() <= 0.501 / 65_536.0, "{sum} instead of {exact}");
}
