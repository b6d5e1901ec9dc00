//! A plan's claim of memory, against what two parties take. One test, in a process of its own: it measures all of it.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

use std::time::Duration;
use std::{fs, thread};

use mpc_ot::softspoken::FieldBits;
use mpc_ot::{Method, Pair, PairSettings};
use mpc_protocols::in_process::block_on;
use mpc_protocols::own::{Own, OwnPlan, WeightHolder};
use mpc_protocols::{Bilinear, Place, Request};
use mpc_shares::Seed;
use mpc_transport::{MemoryTransport, memory_network};

/// Of two parties' stacks, allocators, seeds and keys.
const BESIDES: u64 = 8 << 20;

fn status(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    let kibibytes: String = line.chars().filter(char::is_ascii_digit).collect();
    kibibytes.parse::<u64>().unwrap() << 10
}

async fn make(party: usize, end: MemoryTransport, plan: &OwnPlan, requests: &[Request], weights: &[&[u64]]) {
    let method = Method::SoftSpoken(FieldBits::Eight);
    let settings = PairSettings { session: [4; 16], own: party as u8, peer: 1 - party as u8, method };
    let pair = Pair::open(end, settings, Seed::from_system().unwrap()).await.unwrap();
    let mut own = Own::new(pair, Place { party, parties: 2 }, Seed::from_system().unwrap()).unwrap();
    own.load(plan, weights).await.unwrap();
    own.record::<u64>(plan, requests, |_| Ok(()), |_| ()).await.unwrap();
}

#[test]
fn parties_take_no_more_memory_than_a_plan_of_encryptions_says() {
    let product = |rows, inner, columns| Bilinear::MatrixProduct { rows, inner, columns };
    let layer = |map| Request::FixedWeights { mask: 0, map };
    // The largest first: an allocator may keep what was freed. Of this one a party holds many input polynomials for few outputs.
    let cases = [
        (layer(product(4096, 256, 4)), 2),
        (Request::Beaver(Bilinear::BatchedMatrixProduct { batch: 4, rows: 128, inner: 64, columns: 128 }), 0),
        (layer(product(2048, 128, 40)), 1),
    ];
    for (request, holders) in cases {
        let len = if let Request::FixedWeights { map, .. } = &request { map.right_len() } else { 0 };
        let (requests, weights) = ([request.modulo::<u64>(48)], vec![3; len]);
        let holder = if holders == 2 { WeightHolder::Both } else { WeightHolder::Party(0) };
        let plan = OwnPlan::new::<u64>(&requests, holder, 1, |_| u64::MAX).unwrap();
        let correlations: u64 =
            requests[0].layout::<u64>().unwrap().fields().iter().map(|field| field.len as u64).sum();
        let planned: u64 = (0..2).map(|party| plan.memory(Place { party, parties: 2 }) + 8 * correlations).sum();
        // Forgets the peak so far.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = status("VmRSS");
        thread::scope(|scope| {
            for (party, end) in memory_network(2, Duration::from_secs(300)).into_iter().enumerate() {
                let known: Vec<&[u64]> = (party < holders).then_some(&weights[..]).into_iter().collect();
                let (plan, requests) = (&plan, &requests);
                scope.spawn(move || block_on(make(party, end, plan, requests, &known)));
            }
        });
        let taken = status("VmHWM").saturating_sub(before);
        let case = format!("{requests:?}, {holders} holders: {planned} planned, {taken} taken");
        println!("{case}");
        assert!(taken <= planned + BESIDES, "{case}");
    }
}
