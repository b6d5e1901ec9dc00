//! Number-theoretic transforms and pointwise products of 4,096 coefficients, by backend.

use criterion::{Criterion, criterion_group, criterion_main};
use mpc_ring::Backend;
use mpc_ring::kernels::Ntt;
use std::hint::black_box;

const N: usize = 4096;
static NTT: Ntt<N> = Ntt::new(1_125_899_906_826_241);

fn transforms(criterion: &mut Criterion) {
    let factor: [u64; N] = core::array::from_fn(|i| i as u64 * 0x1234_5678_9abc % NTT.prime());
    for backend in [Backend::Portable, Backend::Avx2, Backend::Avx512].into_iter().filter(|b| b.is_available()) {
        let mut group = criterion.benchmark_group(format!("ntt/{N} coefficients/{backend:?}"));
        let mut values = factor;
        group.bench_function("forward", |bencher| {
            bencher.iter(|| NTT.forward_with(backend, black_box(&mut values)));
        });
        group.bench_function("inverse", |bencher| {
            bencher.iter(|| NTT.inverse_with(backend, black_box(&mut values)));
        });
        group.bench_function("multiply and accumulate", |bencher| {
            bencher.iter(|| NTT.multiply_accumulate_with(backend, black_box(&mut values), &factor, &factor));
        });
        let (terms, factors) = (vec![factor; 64], [-123_456_789; 16 * 64]);
        let mut sums = vec![factor; 16];
        group.bench_function("16 sums of multiples of 64", |bencher| {
            bencher.iter(|| NTT.add_multiples_with(backend, black_box(&mut sums), &terms, &factors));
        });
    }
}

criterion_group!(benches, transforms);
criterion_main!(benches);
