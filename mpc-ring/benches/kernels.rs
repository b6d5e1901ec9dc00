//! Convolutions and matrix products by ring and backend; a throughput element is one multiplication.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mpc_ring::{
    Backend, Convolution, MatrixProduct, Ring, convolution_modulo_with, convolution_packed_modulo_with,
    matrix_product_with, pack_weights_with,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::hint::black_box;

/// A layer with square images and kernels.
const fn layer(channels: [usize; 2], size: usize, kernel: usize, stride: usize, padding: usize) -> Convolution {
    Convolution { stride: [stride; 2], padding: [padding; 4], ..Convolution::valid(channels, [size; 2], [kernel; 2]) }
}

/// The distinct layers of a network and how often each occurs.
type Network = (&'static str, &'static [(usize, Convolution)]);

const RESNET32: Network = (
    "ResNet-32",
    &[
        (1, layer([3, 16], 32, 3, 1, 1)),
        (10, layer([16, 16], 32, 3, 1, 1)),
        (1, layer([16, 32], 32, 3, 2, 1)),
        (9, layer([32, 32], 16, 3, 1, 1)),
        (1, layer([32, 64], 16, 3, 2, 1)),
        (9, layer([64, 64], 8, 3, 1, 1)),
    ],
);

const MINIONN: Network = (
    "MiniONN",
    &[
        (1, layer([3, 64], 32, 3, 1, 1)),
        (1, layer([64, 64], 32, 3, 1, 1)),
        (3, layer([64, 64], 16, 3, 1, 1)),
        (1, layer([64, 64], 8, 3, 1, 1)),
        (1, layer([64, 64], 8, 1, 1, 0)),
        (1, layer([64, 16], 8, 1, 1, 0)),
    ],
);

const LAYERS: [(&str, Convolution); 11] = [
    ("3x3, 3 to 16, 32x32", layer([3, 16], 32, 3, 1, 1)),
    ("3x3, 16 to 16, 32x32", layer([16, 16], 32, 3, 1, 1)),
    ("3x3, 16 to 32, 32x32, stride 2", layer([16, 32], 32, 3, 2, 1)),
    ("3x3, 32 to 32, 16x16", layer([32, 32], 16, 3, 1, 1)),
    ("3x3, 64 to 64, 8x8", layer([64, 64], 8, 3, 1, 1)),
    ("1x1, 64 to 64, 32x32", layer([64, 64], 32, 1, 1, 0)),
    ("3x3, 32 to 32, 28x28", layer([32, 32], 28, 3, 1, 1)),
    ("3x3, 64 to 64, 7x7", layer([64, 64], 7, 3, 1, 1)),
    ("3x3, 256 to 256, 4x4", layer([256, 256], 4, 3, 1, 1)),
    ("3x3, 32 to 32, 128x128", layer([32, 32], 128, 3, 1, 1)),
    ("3x3 depthwise, 32, 32x32", Convolution { groups: 32, ..layer([32, 32], 32, 3, 1, 1) }),
];

const PRODUCTS: [MatrixProduct; 5] = [
    MatrixProduct { rows: 64, inner: 64, columns: 64 },
    MatrixProduct { rows: 512, inner: 512, columns: 512 },
    MatrixProduct { rows: 10, inner: 64, columns: 1 },
    MatrixProduct { rows: 128, inner: 1024, columns: 1 },
    MatrixProduct { rows: 1, inner: 1024, columns: 128 },
];

/// Buffers of one convolution, with its weights packed as they are when a model is loaded.
struct Operands<R> {
    backend: Backend,
    shape: Convolution,
    input: Vec<R>,
    weights: Vec<R>,
    packed: Vec<R>,
    output: Vec<R>,
    scratch: Vec<R>,
}

impl<R: Ring> Operands<R> {
    fn new(backend: Backend, shape: Convolution) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        let mut elements = |len: usize| {
            let mut elements = vec![R::ZERO; len];
            R::fill_random(&mut elements, &mut generator);
            elements
        };
        let weights = elements(shape.weight_len());
        let mut packed = vec![R::ZERO; shape.packed_len_with::<R>(backend)];
        pack_weights_with(backend, &shape, &weights, &mut packed);
        Self {
            backend,
            shape,
            input: elements(shape.input_len()),
            weights,
            packed,
            output: elements(shape.output_len()),
            scratch: elements(shape.scratch_len()),
        }
    }

    fn run(&mut self) {
        let Self { backend, shape, input, weights, packed, output, scratch } = self;
        convolution_packed_modulo_with(*backend, R::BITS, shape, black_box(input), weights, packed, output, scratch);
    }

    /// Of a quarter of the bytes of an element nothing is read.
    fn run_packed_modulo(&mut self) {
        let Self { backend, shape, input, weights, packed, output, scratch } = self;
        let bits = R::BITS / 4 * 3;
        convolution_packed_modulo_with(*backend, bits, shape, black_box(input), weights, packed, output, scratch);
    }

    /// By fewer multiplications, where six bits are left.
    fn run_modulo(&mut self) {
        let Self { backend, shape, input, weights, output, scratch, .. } = self;
        convolution_modulo_with(*backend, R::BITS - 6, shape, black_box(input), weights, output, scratch);
    }
}

fn backends() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|backend| backend.is_available())
}

fn network<R: Ring>(criterion: &mut Criterion, (name, layers): Network) {
    let mut group = criterion.benchmark_group(format!("{name}/u{}", R::BITS));
    group.throughput(Throughput::Elements(layers.iter().map(|(n, layer)| *n as u64 * layer.multiplications()).sum()));
    for backend in backends() {
        let repeated = layers.iter().flat_map(|&(n, layer)| std::iter::repeat_n(layer, n));
        let mut operands: Vec<_> = repeated.map(|layer| Operands::<R>::new(backend, layer)).collect();
        group.bench_function(BenchmarkId::from_parameter(format!("{backend:?}")), |bencher| {
            bencher.iter(|| operands.iter_mut().for_each(Operands::run));
        });
        group.bench_function(BenchmarkId::new("packed, modulo less", format!("{backend:?}")), |bencher| {
            bencher.iter(|| operands.iter_mut().for_each(Operands::run_packed_modulo));
        });
        group.bench_function(BenchmarkId::new("modulo less", format!("{backend:?}")), |bencher| {
            bencher.iter(|| operands.iter_mut().for_each(Operands::run_modulo));
        });
    }
}

fn networks(criterion: &mut Criterion) {
    for model in [RESNET32, MINIONN] {
        network::<u32>(criterion, model);
        network::<u64>(criterion, model);
        network::<u128>(criterion, model);
    }
}

fn layers(criterion: &mut Criterion) {
    for (name, shape) in LAYERS {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(shape.multiplications()));
        for backend in backends() {
            let (mut small, mut large) = (Operands::<u32>::new(backend, shape), Operands::<u64>::new(backend, shape));
            group.bench_function(BenchmarkId::new("u32", format!("{backend:?}")), |b| b.iter(|| small.run()));
            group.bench_function(BenchmarkId::new("u64", format!("{backend:?}")), |b| b.iter(|| large.run()));
            group.bench_function(BenchmarkId::new("u64 packed, modulo less", format!("{backend:?}")), |b| {
                b.iter(|| large.run_packed_modulo());
            });
            group.bench_function(BenchmarkId::new("u64 modulo less", format!("{backend:?}")), |b| {
                b.iter(|| large.run_modulo());
            });
        }
    }
}

fn products(criterion: &mut Criterion) {
    for shape in PRODUCTS {
        let MatrixProduct { rows, inner, columns } = shape;
        let mut group = criterion.benchmark_group(format!("{rows}x{inner}x{columns}/u64"));
        group.throughput(Throughput::Elements((rows * inner * columns) as u64));
        let (left, right) = (vec![3u64; rows * inner], vec![5u64; inner * columns]);
        let mut output = vec![0; rows * columns];
        for backend in backends() {
            group.bench_function(BenchmarkId::from_parameter(format!("{backend:?}")), |bencher| {
                bencher.iter(|| matrix_product_with(backend, shape, black_box(&left), &right, &mut output));
            });
        }
    }
}

criterion_group!(benches, networks, layers, products);
criterion_main!(benches);
