//! The rate of random OTs: one party sends and the other receives, each on a thread of its own.
#![allow(missing_docs)]

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mpc_ot::softspoken::FieldBits;
use mpc_ot::{Batch, Method, Pair, PairSettings};
use mpc_shares::Seed;
use mpc_transport::memory_network;

const COUNT: usize = 1 << 20;

/// The time of `calls` batches of [`COUNT`] transfers with strings of `bits` bits in one direction, in a session that runs.
fn time(method: Method, bits: usize, calls: u64) -> Duration {
    let times: Vec<Duration> = std::thread::scope(|scope| {
        let ends = memory_network(2, Duration::from_secs(600)).into_iter().enumerate();
        let threads: Vec<_> = ends
            .map(|(party, end)| {
                scope.spawn(move || {
                    smol::block_on(async {
                        let indices = [0, 1];
                        let (own, peer) = (indices[party], indices[1 - party]);
                        let settings = PairSettings { session: [0; 16], own, peer, method };
                        let mut pair = Pair::open(end, settings, Seed::from_system().unwrap()).await.unwrap();
                        let warm_up = [Batch { count: 6_000_000, bits: 1 }];
                        let batches = [Batch { count: COUNT, bits }];
                        let call = |batches| if party == 0 { (batches, &[][..]) } else { (&[][..], batches) };
                        let (sends, receives) = call(&warm_up[..]);
                        pair.random(sends, receives).await.unwrap();
                        let (sends, receives) = call(&batches[..]);
                        let started = Instant::now();
                        for _ in 0..calls {
                            pair.random(sends, receives).await.unwrap();
                        }
                        started.elapsed()
                    })
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    times.into_iter().max().unwrap_or_default()
}

fn random_ots(c: &mut Criterion) {
    let mut group = c.benchmark_group("random OTs");
    group.throughput(Throughput::Elements(COUNT as u64)).sample_size(10);
    for (name, method) in [
        ("silent", Method::SILENT),
        ("softspoken 4", Method::SoftSpoken(FieldBits::Four)),
        ("softspoken 8", Method::SoftSpoken(FieldBits::Eight)),
    ] {
        for bits in [1, 16] {
            group.bench_function(format!("{name}, {bits} bits"), |b| b.iter_custom(|calls| time(method, bits, calls)));
        }
    }
    group.finish();
}

criterion_group!(benches, random_ots);
criterion_main!(benches);
