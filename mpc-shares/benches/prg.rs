//! The rate at which seeds expand, and at which tensors are split.
#![allow(missing_docs)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, Prg, Seed};
use rand_core::Rng;

const BYTES: usize = 1 << 20;

fn expansion(c: &mut Criterion) {
    let mut group = c.benchmark_group("prg");
    group.throughput(Throughput::Bytes(BYTES as u64));
    let mut generator = Prg::new(Seed::from_bytes([1; 32]));
    let mut bytes = vec![0; BYTES];
    group.bench_function("bytes", |b| b.iter(|| generator.fill_bytes(&mut bytes)));
    let mut elements = vec![0u64; BYTES / 8];
    group.bench_function("elements", |b| b.iter(|| u64::fill_random(&mut elements, &mut generator)));
    group.bench_function("split among 3", |b| {
        b.iter(|| ArithmeticShares::split(&[elements.len()], &elements, 3, &mut generator));
    });
    group.finish();
}

criterion_group!(benches, expansion);
criterion_main!(benches);
