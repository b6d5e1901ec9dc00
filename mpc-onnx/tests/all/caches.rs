//! Attention behind keys and values that were there before, as onnxruntime's optimiser and its builder of language models write it.

use mpc_nn::{Network, evaluate};
use ndarray::{ArrayD, IxDyn};
use rten_onnx::onnx::{AttributeProto, AttributeType, DataType, GraphProto, NodeProto, TensorProto};

use crate::cases;
use crate::models::{floats, graph, imported, info, integers, ints, node, open};

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), r#type: Some(AttributeType::INT), ..ints(name, &[]) }
}

fn contributed(operator: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto { domain: Some("com.microsoft".into()), attribute, ..node(operator, inputs, outputs) }
}

/// A network of one node, with float inputs of these shapes.
fn network(nodes: Vec<NodeProto>, inputs: &[(&str, &[i64])], outputs: &[&str], weights: Vec<TensorProto>) -> Network {
    let sizes = |shape: &[i64]| shape.iter().copied().map(Some).collect::<Vec<_>>();
    let input = inputs.iter().map(|(name, shape)| info(name, DataType::FLOAT, &sizes(shape))).collect();
    let output = outputs.iter().map(|name| open(name)).collect();
    imported(GraphProto { input, output, ..graph(nodes, weights) }).unwrap()
}

fn values(shape: &[usize], seed: usize) -> ArrayD<f32> {
    let count: usize = shape.iter().product();
    let values = (0..count).map(|at| ((at * 37 + seed * 11) % 29) as f32 / 10.0 - 1.4).collect();
    ArrayD::from_shape_vec(IxDyn(shape), values).unwrap()
}

/// The results in the clear, which private ones are near.
fn results(network: &Network, inputs: &[ArrayD<f32>]) -> Vec<ArrayD<f32>> {
    let clear = evaluate(&network.graph, &network.weights, inputs).unwrap();
    let private = cases::infer(network, inputs).unwrap();
    for (clear, private) in clear.iter().zip(private) {
        assert!(clear.iter().zip(&private).all(|(clear, private)| (f64::from(*clear) - private).abs() < 2e-3));
    }
    clear
}

/// The attention of one query over keys and values that it sees.
fn attended(query: [f32; 2], seen: &[([f32; 2], [f32; 2])]) -> [f32; 2] {
    let score = |key: [f32; 2]| ((query[0] * key[0] + query[1] * key[1]) / 2f32.sqrt()).exp();
    let sum: f32 = seen.iter().map(|(key, _)| score(*key)).sum();
    [0, 1].map(|at| seen.iter().map(|(key, value)| score(*key) * value[at]).sum::<f32>() / sum)
}

fn pair(array: &ArrayD<f32>, first: usize) -> [f32; 2] {
    let values = array.as_slice().unwrap();
    [values[2 * first], values[2 * first + 1]]
}

/// Two heads of queries and one of keys, each of two numbers, which are turned by an angle of 0.3 a step; a window of two steps.
#[test]
fn queries_of_a_group_share_keys_behind_a_cache() {
    let angles = [0.0f32, 0.3, 0.6];
    let weights = vec![
        integers("last", &[2]),
        integers("total", &[3]),
        floats("cosines", &[3, 1], &angles.map(f32::cos)),
        floats("sines", &[3, 1], &angles.map(f32::sin)),
    ];
    let operands = ["q", "k", "v", "keys", "values", "last", "total", "cosines", "sines"];
    let attributes =
        vec![int("num_heads", 2), int("kv_num_heads", 1), int("do_rotary", 1), int("local_window_size", 2)];
    let node = contributed("GroupQueryAttention", &operands, &["y", "present", "others"], attributes);
    let shapes: [(&str, &[i64]); 5] =
        [("q", &[1, 2, 4]), ("k", &[1, 2, 2]), ("v", &[1, 2, 2]), ("keys", &[1, 1, 1, 2]), ("values", &[1, 1, 1, 2])];
    let network = network(vec![node], &shapes, &["y", "present"], weights);
    let inputs: Vec<_> = shapes
        .iter()
        .enumerate()
        .map(|(seed, (_, shape))| values(&shape.iter().map(|&size| size as usize).collect::<Vec<_>>(), seed))
        .collect();
    let [q, k, v, keys, past] = inputs.as_slice() else { unreachable!() };
    let turned = |x: [f32; 2], at: usize| {
        let (sine, cosine) = angles[at].sin_cos();
        [x[0] * cosine - x[1] * sine, x[1] * cosine + x[0] * sine]
    };
    let all =
        [(pair(keys, 0), pair(past, 0)), (turned(pair(k, 0), 1), pair(v, 0)), (turned(pair(k, 1), 2), pair(v, 1))];
    let found = results(&network, &inputs);
    for (step, seen) in [(0, &all[..2]), (1, &all[1..])] {
        for head in 0..2 {
            let expected = attended(turned(pair(q, 2 * step + head), step + 1), seen);
            let found = pair(&found[0], 2 * step + head);
            assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-4));
        }
    }
    for (at, (key, _)) in all.iter().enumerate() {
        assert!(pair(&found[1], at).iter().zip(key).all(|(found, key)| (found - key).abs() < 1e-5));
    }
}

/// The lengths of two sequences, as a mask of the data owner's gives them: what is behind a sequence is not seen.
#[test]
fn lengths_of_sequences_may_be_private() {
    let cast = NodeProto { attribute: vec![int("to", DataType::INT32.0.into())], ..node("Cast", &["n"], &["last"]) };
    let attributes = || vec![int("num_heads", 2), int("kv_num_heads", 1)];
    let operands = |last| ["x", "", "", "", "", last, "total"];
    let attention = |last| contributed("GroupQueryAttention", &operands(last), &["y"], attributes());
    let weights = || vec![integers("total", &[3]), integers("fixed", &[2, 1])];
    let x = values(&[2, 3, 8], 5);
    let public = network(vec![attention("fixed")], &[("x", &[2, 3, 8])], &["y"], weights());
    let private = network(vec![cast, attention("last")], &[("n", &[2]), ("x", &[2, 3, 8])], &["y"], weights());
    let lengths = ArrayD::from_shape_vec(IxDyn(&[2]), vec![2.0, 1.0]).unwrap();
    let expected = results(&public, std::slice::from_ref(&x)).remove(0);
    let found = results(&private, &[lengths, x]).remove(0);
    assert!(found.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-5));
    // A row behind the end of its sequence sees the two keys that there are.
    let value = |row: usize| [0, 1].map(|at| values(&[2, 3, 8], 5)[[1, row, 6 + at]]);
    let row = [0, 1].map(|at| expected[[1, 2, at]]);
    let is_between = |at: usize| (row[at] - value(0)[at]) * (row[at] - value(1)[at]) <= 0.0;
    assert!(is_between(0) && is_between(1));
}

/// Attention of a weight that repeats its input, and of three inputs, behind the same cache.
#[test]
fn both_attentions_of_onnxruntime_take_a_cache_and_give_one() {
    let mut repeated = vec![0.0; 4 * 12];
    (0..12).for_each(|column| repeated[column % 4 * 12 + column] = 1.0);
    let weights = vec![floats("w", &[4, 12], &repeated), floats("b", &[12], &[0.0; 12]), integers("axis", &[0])];
    let gather = |place: i64, output: &str| {
        let index = NodeProto {
            attribute: vec![ints("value_ints", &[place])],
            ..node("Constant", &[], &[&format!("i{output}")])
        };
        let taken = NodeProto {
            attribute: vec![int("axis", 0)],
            ..node("Gather", &["past", &format!("i{output}")], &[&format!("g{output}")])
        };
        [index, taken, node("Squeeze", &[&format!("g{output}"), "axis"], &[output])]
    };
    let attributes = || vec![int("num_heads", 2), int("unidirectional", 1)];
    let nodes = [
        gather(0, "keys").to_vec(),
        gather(1, "values").to_vec(),
        vec![
            contributed("Attention", &["x", "w", "b", "", "past"], &["y", "present"], attributes()),
            contributed(
                "MultiHeadAttention",
                &["x", "x", "x", "", "", "", "keys", "values"],
                &["z", "all_keys", "all_values"],
                attributes(),
            ),
        ],
    ];
    let shapes: [(&str, &[i64]); 2] = [("x", &[1, 2, 4]), ("past", &[2, 1, 2, 1, 2])];
    let network = network(nodes.concat(), &shapes, &["y", "z", "present", "all_keys"], weights);
    let (x, past) = (values(&[1, 2, 4], 1), values(&[2, 1, 2, 1, 2], 2));
    let found = results(&network, &[x.clone(), past.clone()]);
    for (step, head) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let own = |step: usize| (pair(&x, 2 * step + head), pair(&x, 2 * step + head));
        let seen: Vec<_> =
            [(pair(&past, head), pair(&past, 2 + head))].into_iter().chain((0..=step).map(own)).collect();
        let expected = attended(own(step).0, &seen);
        for found in &found[..2] {
            let found = pair(found, 2 * step + head);
            assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-4));
        }
    }
    assert_eq!(found[2].shape(), [2, 1, 2, 3, 2]);
    assert_eq!(found[2].as_slice().unwrap()[..12], *found[3].as_slice().unwrap());
}

/// Of more keys than queries each query sees those up to its own place, and the last one sees all, as onnxruntime has it.
#[test]
fn the_last_query_of_a_causal_attention_sees_every_key() {
    let inputs = ["q", "k", "k", "", "", "", "past", "past"];
    let node = contributed("MultiHeadAttention", &inputs, &["y"], vec![int("num_heads", 1), int("unidirectional", 1)]);
    let shapes: [(&str, &[i64]); 3] = [("q", &[1, 3, 2]), ("k", &[1, 5, 2]), ("past", &[1, 1, 1, 2])];
    let network = network(vec![node], &shapes, &["y"], vec![]);
    let (q, k, past) = (values(&[1, 3, 2], 1), values(&[1, 5, 2], 2), values(&[1, 1, 1, 2], 3));
    let found = results(&network, &[q.clone(), k.clone(), past.clone()]);
    for (step, seen) in [(0, 1), (1, 2), (2, 5)] {
        let keys = [pair(&past, 0)].into_iter().chain((0..seen).map(|step| pair(&k, step)));
        let expected = attended(pair(&q, step), &keys.map(|key| (key, key)).collect::<Vec<_>>());
        let found = pair(&found[0], step);
        assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-4), "{step}");
    }
}
