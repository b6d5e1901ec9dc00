//! Packing and bit slicing; a throughput element is one ring element.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mpc_ring::bitslice::{from_planes, to_planes};
use mpc_ring::packing::{pack, packed_len, unpack, words_for};
use std::hint::black_box;

const COUNT: usize = 16_384;

fn packing(criterion: &mut Criterion) {
    for bits in [1, 12, 32, 40, 43, 64] {
        let mut group = criterion.benchmark_group(format!("pack/u64/{bits} bits"));
        group.throughput(Throughput::Elements(COUNT as u64));
        let mut elements = vec![0x0123_4567_89ab_cdefu64; COUNT];
        let mut bytes = vec![0; packed_len(COUNT, bits)];
        group.bench_function("pack", |bencher| bencher.iter(|| pack(black_box(&elements), bits, &mut bytes)));
        group.bench_function("unpack", |bencher| bencher.iter(|| unpack(black_box(&bytes), bits, &mut elements)));
    }
}

fn bit_slicing(criterion: &mut Criterion) {
    for width in [16, 40, 64] {
        let mut group = criterion.benchmark_group(format!("planes/u64/{width} bits"));
        group.throughput(Throughput::Elements(COUNT as u64));
        let mut elements = vec![0x0123_4567_89ab_cdefu64; COUNT];
        let mut planes = vec![0; width as usize * words_for(COUNT)];
        group.bench_function("to", |bencher| bencher.iter(|| to_planes(black_box(&elements), width, &mut planes)));
        group.bench_function("from", |bencher| bencher.iter(|| from_planes(black_box(&planes), width, &mut elements)));
    }
}

criterion_group!(benches, packing, bit_slicing);
criterion_main!(benches);
