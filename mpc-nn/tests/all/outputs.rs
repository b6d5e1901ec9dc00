//! Everything that a recipient learns of an output: f fractional bits, and an index that there is.

use std::collections::BTreeMap;

use mpc_nn::delegation::{reconstruct, split_inputs, split_model};
use mpc_nn::{
    Graph, GraphBuilder, InferenceError, Inputs, ModelSource, OutputShare, Owner, PartySession, Plan, Preprocessing,
    Recipients, Roles, Settings, Weights, evaluate, in_process,
};
use mpc_ring::Ring;
use mpc_shares::{Prg, Seed};
use mpc_transport::Transport;
use ndarray::ArrayD;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::common::{options, random_inputs, random_weights, run_parties};

/// Products, means of 4 and of 3 elements, and a sum of values with different fractional bits.
fn numbers() -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[3, 4]).unwrap();
    let scores = b.linear("scores", x, 5, true).unwrap();
    let square = b.square("square", x).unwrap();
    let mean = b.mean("mean of four", x, &[1]).unwrap();
    let third = b.mean("mean of three", square, &[0]).unwrap();
    let sum = b.add("sum", square, x).unwrap();
    b.finish(&[scores, square, mean, third, sum, x]).unwrap()
}

fn assert_whole(values: &ArrayD<f64>, unit: f64, what: &str) {
    for value in values {
        let units = value / unit;
        assert!((units - units.round()).abs() < 1e-6, "{what}: {value} is {units} units");
    }
}

fn check_numbers<R: Ring>(settings: Settings) {
    let graph = numbers();
    let mut random = ChaCha20Rng::seed_from_u64(3);
    let (weights, inputs) = (random_weights(&graph, &mut random), random_inputs(&graph, &mut random));
    let plan = Plan::<R>::new(&graph, settings).unwrap();
    let plain = evaluate(&graph, &weights, &inputs).unwrap();
    let outputs = in_process::infer(&plan, &weights, &inputs).unwrap();
    let unit = f64::from(settings.fractional_bits).exp2().recip();
    for ((output, plain), &id) in outputs.iter().zip(&plain).zip(graph.outputs()) {
        let name = graph.node(id).name();
        // A third of a sum that has lost two bits, as a third is more than a quarter.
        assert_whole(output, if name == "mean of three" { 4.0 * unit / 3.0 } else { unit }, name);
        // The share-dependent rounding is of half a unit for each party; weights and inputs are rounded, too.
        let error = output.iter().zip(plain).map(|(x, &y)| (x - f64::from(y)).abs()).fold(0.0, f64::max);
        assert!(error < (settings.parties as f64 + 6.0) * unit, "{name}: {} units", error / unit);
    }
}

/// A product has 2f fractional bits: what is below f is the weights' and the input's alone.
#[test]
fn numbers_are_revealed_with_f_fractional_bits() {
    let owners: [&[Owner]; 3] = [&[Owner::Party(1)], &[Owner::Party(0), Owner::Party(1)], &[Owner::Outside]];
    for owners in owners {
        let roles = Roles { recipients: Some(Recipients::new(owners).unwrap()), ..Roles::default() };
        for parties in [2, 3, 8] {
            check_numbers::<u64>(Settings { roles, ..Settings::new(parties) });
        }
        let settings = Settings { roles, ..Settings::new(2) };
        check_numbers::<u64>(Settings { fractional_bits: 10, comparison_bits: 26, ..settings });
        check_numbers::<u128>(settings);
    }
    check_numbers::<u32>(Settings { fractional_bits: 8, comparison_bits: 16, ..Settings::new(3) });
}

/// The shares of the outputs of an outsourced inference, and its plan.
fn shares(graph: &Graph, parties: usize) -> (Plan<u64>, Vec<OutputShare<u64>>) {
    let mut random = ChaCha20Rng::seed_from_u64(5);
    let (weights, inputs) = (random_weights(graph, &mut random), random_inputs(graph, &mut random));
    let roles = Roles::new(Owner::Outside, Owner::Outside);
    let plan = Plan::new(graph, Settings { roles, ..Settings::new(parties) }).unwrap();
    let generator = || Prg::new(Seed::from_bytes([5; 32]));
    let shares = run_parties(&plan, 1, async |transport, link| {
        let party = transport.party();
        let model = ModelSource::Share(split_model(&plan, &weights, &mut generator()).unwrap().remove(party));
        let outside = Some(split_inputs(&plan, &inputs, &mut generator()).unwrap().remove(party));
        let mut session = PartySession::open(transport, link, &plan, model, options(party as u8)).await.unwrap();
        let outputs = session.infer(Inputs { own: &[], outside }, Preprocessing::Streamed, &mut ()).await.unwrap();
        outputs.share.unwrap()
    });
    (plan, shares)
}

/// The elements of an encoded share.
fn elements(bytes: &[u8], count: usize) -> Vec<u64> {
    bytes[bytes.len() - 8 * count..].as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect()
}

#[test]
fn shares_of_an_output_have_nothing_below_its_last_place() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[1, 20]).unwrap();
    let y = b.square("y", x).unwrap();
    let graph = b.finish(&[y]).unwrap();
    for parties in [2, 3] {
        let (_, shares) = shares(&graph, parties);
        for share in shares {
            let elements = elements(&share.to_bytes(), 20);
            assert!(elements.iter().all(|element| element % (1 << 16) == 0));
            assert!(elements.iter().any(|element| element >> 60 != 0));
        }
    }
}

/// Two bits hold four indices of three classes.
#[test]
fn an_index_that_is_none_is_an_error_and_no_result() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[1, 3]).unwrap();
    let class = b.arg_max("class", x).unwrap();
    let [_, best] = b.top_k("best", x, 1).unwrap();
    let negative = b.scale("negative", best, -1.0).unwrap();
    let shifted = b.offset("shifted", negative, 7.0).unwrap();
    let graph = b.finish(&[class, shifted]).unwrap();
    let (plan, shares) = shares(&graph, 3);
    for (output, name) in ["class", "shifted"].into_iter().enumerate() {
        let mut results = Vec::new();
        for added in 0..4 {
            let changed = shares.iter().map(|share| {
                let mut bytes = share.to_bytes();
                let at = bytes.len() - 16 + 8 * output;
                bytes[at] = bytes[at].wrapping_add(if share.party() == 1 { added } else { 0 });
                OutputShare::from_bytes(&plan, share.party(), &bytes).unwrap()
            });
            match reconstruct(&plan, &changed.collect::<Vec<_>>()) {
                Ok(outputs) => results.push(outputs[output][[0, 0]]),
                Err(InferenceError::IndexRange { output, index: 0, count: 3 }) => assert_eq!(output, name),
                Err(other) => panic!("{other}"),
            }
        }
        results.sort_by(f64::total_cmp);
        assert_eq!(results, if output == 0 { [0.0, 1.0, 2.0] } else { [5.0, 6.0, 7.0] });
    }
}

/// Both zeros of floating point are equal, as they are in a private run: the first one is in front.
#[test]
fn a_rank_takes_both_zeros_for_equal() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[1, 3]).unwrap();
    let [_, places] = b.top_k("best", x, 3).unwrap();
    let graph = b.finish(&[places]).unwrap();
    let weights = Weights::for_graph(&graph, BTreeMap::new()).unwrap();
    let x = ArrayD::from_shape_vec(vec![1, 3], vec![-0.0, 0.0, 1.0]).unwrap();
    let found = evaluate(&graph, &weights, &[x]).unwrap().remove(0);
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [2.0, 0.0, 1.0]);
}
