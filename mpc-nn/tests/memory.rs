//! A plan's claim of memory, against what a process takes. One test, in a process of its own: it measures all of it.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

#[path = "all/common.rs"]
mod common;

use std::fs;

use mpc_nn::{ConvolutionOptions, Graph, GraphBuilder, PartySession, Plan, Pool, Preprocessing, Settings};
use mpc_protocols::function::Function;
use mpc_transport::Transport;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use common::{options, random_inputs, random_weights, run_parties};

/// Values of 128,000 elements, so that buffers count and everything else does not; and a layer of `features` × 2048 weights.
fn large(features: usize) -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("x", &[1, 4, 128, 128]).unwrap();
    let options = ConvolutionOptions { padding: [1; 4], ..ConvolutionOptions::new(8, [3, 3]) };
    let x = b.convolution("first", x, options).unwrap();
    let x = b.relu("relu", x).unwrap();
    let y = b.convolution("second", x, options).unwrap();
    let x = b.add("sum", x, y).unwrap();
    let x = b.max_pool("pool", x, Pool::new([2, 2])).unwrap();
    let x = b.square("square", x).unwrap();
    let x = b.average_pool("mean", x, Pool::new([4, 4])).unwrap();
    let x = b.function("gelu", x, Function::Gelu).unwrap();
    let x = b.flatten("flat", x).unwrap();
    let x = b.linear("linear", x, features, true).unwrap();
    b.finish(&[x]).unwrap()
}

fn status(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    let kibibytes: String = line.chars().filter(char::is_ascii_digit).collect();
    kibibytes.parse::<u64>().unwrap() << 10
}

#[test]
fn a_session_takes_no_more_memory_than_its_plan_says() {
    let (streamed, ahead) = (Preprocessing::Streamed, Preprocessing::Ahead);
    for (parties, features, preprocessing) in
        [(2, 10, streamed), (2, 10, ahead), (4, 10, streamed), (3, 10, ahead), (2, 400, streamed), (4, 400, ahead)]
    {
        let graph = large(features);
        let mut random = ChaCha20Rng::seed_from_u64(3);
        let (weights, inputs) = (random_weights(&graph, &mut random), random_inputs(&graph, &mut random));
        let plan = Plan::<u64>::new(&graph, Settings::new(parties)).unwrap();
        let planned: u64 = (0..parties).map(|party| plan.memory_bytes(party, preprocessing)).sum();
        let planned = planned + plan.dealer_memory_bytes();
        // Forgets the peak so far.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = status("VmRSS");
        run_parties(&plan, 1, async |transport, link| {
            let party = transport.party();
            let weights = (party == 0).then_some(&weights);
            let mut session = PartySession::open(transport, link, &plan, weights, options(party as u8)).await.unwrap();
            let inputs = if party == 1 { &inputs[..] } else { &[] };
            session.infer(inputs, preprocessing, &mut ()).await.unwrap();
        });
        let taken = status("VmHWM").saturating_sub(before);
        let case =
            format!("{parties} parties, {features} features, {preprocessing:?}: {planned} planned, {taken} taken");
        println!("{case}");
        assert!(taken <= planned && planned <= 6 * taken, "{case}");
    }
}
