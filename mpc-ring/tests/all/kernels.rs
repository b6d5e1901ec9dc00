//! Every backend against a naive product and a naive convolution.

use std::ops::Range;

use mpc_ring::kernels::{gather_xor_with, lookup_with};
use mpc_ring::{
    Backend, Convolution, MatrixProduct, Ring, ShapeError, convolution, convolution_modulo_with, convolution_packed,
    convolution_packed_modulo_with, convolution_with, matrix_product, matrix_product_with, pack_weights,
    pack_weights_with,
};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

fn backends() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|backend| backend.is_available())
}

fn random_elements<R: Ring>(len: usize, seed: u64) -> Vec<R> {
    let mut elements = vec![R::ZERO; len];
    R::fill_random(&mut elements, &mut ChaCha8Rng::seed_from_u64(seed));
    elements
}

fn naive_product<R: Ring>(shape: MatrixProduct, left: &[R], right: &[R], output: &mut [R]) {
    for row in 0..shape.rows {
        for column in 0..shape.columns {
            for k in 0..shape.inner {
                let product = left[row * shape.inner + k].wrapping_mul(right[k * shape.columns + column]);
                let sum = &mut output[row * shape.columns + column];
                *sum = sum.wrapping_add(product);
            }
        }
    }
}

fn naive_convolution<R: Ring>(shape: &Convolution, input: &[R], weights: &[R], output: &mut [R]) {
    let (height, width) = (shape.output_height(), shape.output_width());
    let (group_in, group_out) = (shape.input_channels / shape.groups, shape.output_channels / shape.groups);
    for (position, output) in output.iter_mut().enumerate() {
        let (x, y) = (position % width, position / width % height);
        let plane = position / width / height;
        let (channel, image) = (plane % shape.output_channels, plane / shape.output_channels);
        for tap in 0..group_in * shape.kernel[0] * shape.kernel[1] {
            let (kx, ky) = (tap % shape.kernel[1], tap / shape.kernel[1] % shape.kernel[0]);
            let source = channel / group_out * group_in + tap / shape.kernel[1] / shape.kernel[0];
            let row = (y * shape.stride[0] + ky * shape.dilation[0]).checked_sub(shape.padding[0]);
            let column = (x * shape.stride[1] + kx * shape.dilation[1]).checked_sub(shape.padding[1]);
            let (Some(row), Some(column)) = (row, column) else { continue };
            if row < shape.height && column < shape.width {
                let element = ((image * shape.input_channels + source) * shape.height + row) * shape.width + column;
                let weight = channel * group_in * shape.kernel[0] * shape.kernel[1] + tap;
                *output = output.wrapping_add(weights[weight].wrapping_mul(input[element]));
            }
        }
    }
}

fn check_product<R: Ring>(shape: MatrixProduct, seed: u64) {
    let left = random_elements::<R>(shape.rows * shape.inner, seed);
    let right = random_elements::<R>(shape.inner * shape.columns, seed + 1);
    let start = random_elements::<R>(shape.rows * shape.columns, seed + 2);
    let mut expected = start.clone();
    naive_product(shape, &left, &right, &mut expected);
    for backend in backends() {
        let mut output = start.clone();
        matrix_product_with(backend, shape, &left, &right, &mut output);
        assert!(output == expected, "{backend:?} {} bits {shape:?}", R::BITS);
    }
}

fn check_convolution<R: Ring>(shape: &Convolution, seed: u64) {
    let input = random_elements::<R>(shape.input_len(), seed);
    let weights = random_elements::<R>(shape.weight_len(), seed + 1);
    let start = random_elements::<R>(shape.output_len(), seed + 2);
    let mut expected = start.clone();
    naive_convolution(shape, &input, &weights, &mut expected);
    for backend in backends() {
        let mut output = start.clone();
        let mut scratch = random_elements(shape.scratch_len(), seed + 3);
        convolution_with(backend, shape, &input, &weights, &mut output, &mut scratch);
        assert!(output == expected, "{backend:?} {} bits {shape:?}", R::BITS);
        let mut packed = random_elements(shape.packed_len_with::<R>(backend), seed + 4);
        pack_weights_with(backend, shape, &weights, &mut packed);
        let mut output = start.clone();
        convolution_packed_modulo_with(backend, R::BITS, shape, &input, &weights, &packed, &mut output, &mut scratch);
        assert!(output == expected, "{backend:?}, packed, {} bits {shape:?}", R::BITS);
        let low = |elements: &[R], bits: u32| elements.iter().map(|&x| x & R::low_mask(bits)).collect::<Vec<_>>();
        for bits in [R::BITS - 6, R::BITS - 5] {
            output.copy_from_slice(&start);
            convolution_modulo_with(backend, bits, shape, &input, &weights, &mut output, &mut scratch);
            assert!(low(&output, bits) == low(&expected, bits), "{backend:?} modulo 2^{bits} {shape:?}");
        }
        // What is not packed is the same as above.
        for bits in [R::BITS - 9, R::BITS / 2 + 1, 9].into_iter().filter(|_| !packed.is_empty()) {
            output.copy_from_slice(&start);
            let (weights, packed) = (&weights, &packed);
            convolution_packed_modulo_with(backend, bits, shape, &input, weights, packed, &mut output, &mut scratch);
            assert!(low(&output, bits) == low(&expected, bits), "{backend:?}, packed, modulo 2^{bits} {shape:?}");
        }
    }
}

fn check_product_in_every_ring(shape: MatrixProduct, seed: u64) {
    check_product::<u32>(shape, seed);
    check_product::<u64>(shape, seed);
    check_product::<u128>(shape, seed);
}

fn check_convolution_in_every_ring(shape: &Convolution, seed: u64) {
    check_convolution::<u32>(shape, seed);
    check_convolution::<u64>(shape, seed);
    check_convolution::<u128>(shape, seed);
}

prop_compose! {
    fn any_product()(rows in 0usize..40, inner in 0usize..80, columns in 0usize..80) -> MatrixProduct {
        MatrixProduct { rows, inner, columns }
    }
}

prop_compose! {
    fn any_convolution(channels: (Range<usize>, Range<usize>))(
        batch in 1usize..3,
        groups in 1usize..4,
        channels in channels,
        extents in (1usize..20, 1usize..40),
        kernel in (1usize..6, 1usize..6),
        stride in (1usize..4, 1usize..4),
        padding in (0usize..4, 0usize..4, 0usize..4, 0usize..4),
        dilation in (1usize..4, 1usize..4),
        dense in any::<bool>(),
    ) -> Convolution {
        Convolution {
            batch,
            input_channels: channels.0 * groups,
            output_channels: channels.1 * groups,
            height: extents.0,
            width: extents.1,
            kernel: [kernel.0, kernel.1],
            stride: if dense { [1, 1] } else { [stride.0, stride.1] },
            padding: [padding.0, padding.1, padding.2, padding.3],
            dilation: if dense { [1, 1] } else { [dilation.0, dilation.1] },
            groups,
        }
    }
}

/// The shape of a layer with square images, kernels and strides.
fn square(channels: [usize; 2], size: usize, kernel: usize, stride: usize, padding: usize) -> Convolution {
    Convolution { stride: [stride; 2], padding: [padding; 4], ..Convolution::valid(channels, [size; 2], [kernel; 2]) }
}

proptest! {
    #[test]
    fn products_equal_the_naive_one(shape in any_product(), seed in 0..u64::MAX / 2) {
        check_product_in_every_ring(shape, seed);
    }

    #[test]
    fn convolutions_equal_the_naive_one(shape in any_convolution((1..5, 1..20)), seed in 0..u64::MAX / 2) {
        prop_assume!(shape.validate().is_ok());
        check_convolution_in_every_ring(&shape, seed);
    }

    #[test]
    fn convolutions_of_many_channels_equal_the_naive_one(
        shape in any_convolution((8..40, 8..40)), seed in 0..u64::MAX / 2,
    ) {
        prop_assume!(shape.validate().is_ok() && shape.multiplications() < 2_000_000);
        check_convolution_in_every_ring(&shape, seed);
    }

    #[test]
    fn no_shape_panics(shape in arbitrary_convolution()) {
        if shape.validate().is_ok() {
            let lengths = (shape.input_len(), shape.weight_len(), shape.output_len(), shape.scratch_len());
            prop_assert!(lengths.0 > 0 && lengths.1 > 0 && lengths.2 > 0);
            prop_assert!(shape.multiplications() > 0);
        }
    }
}

prop_compose! {
    /// Extents of every magnitude, most of which overflow somewhere.
    fn arbitrary_convolution()(extents in prop::collection::vec((any::<usize>(), 0u32..64), 15)) -> Convolution {
        let e: Vec<usize> = extents.into_iter().map(|(value, shift)| value >> shift).collect();
        Convolution {
            batch: e[0],
            input_channels: e[1],
            output_channels: e[2],
            height: e[3],
            width: e[4],
            kernel: [e[5], e[6]],
            stride: [e[7], e[8]],
            padding: [e[9], e[10], e[11], e[12]],
            dilation: [e[13], e[14]],
            groups: e[1].min(e[2]).min(1),
        }
    }
}

#[test]
fn products_of_many_blocks() {
    for (rows, inner, columns) in
        [(200, 700, 37), (9, 800, 16), (3, 1000, 50), (1, 385, 33), (5, 2000, 1), (64, 64, 64)]
    {
        check_product_in_every_ring(MatrixProduct { rows, inner, columns }, 7);
    }
}

#[test]
fn convolutions_of_many_blocks() {
    for shape in [
        square([3, 16], 32, 3, 1, 1),
        square([16, 32], 32, 3, 2, 1),
        square([64, 64], 8, 3, 1, 1),
        square([100, 5], 9, 3, 1, 1),
        square([50, 7], 12, 1, 2, 0),
        square([70, 9], 10, 2, 2, 0),
        square([2, 3], 45, 21, 1, 10),
        square([40, 2], 130, 3, 1, 1),
        square([3, 2], 700, 3, 2, 1),
        square([50, 33], 4, 3, 1, 1),
        square([13, 40], 11, 3, 1, 1),
        square([13, 17], 36, 3, 2, 1),
        square([6, 20], 6, 3, 1, 0),
        square([400, 10], 1, 1, 1, 0),
        square([6, 20], 5, 5, 1, 0),
        square([20, 6], 7, 3, 1, 0),
        Convolution { groups: 24, ..square([24, 24], 14, 3, 1, 1) },
        Convolution { groups: 8, batch: 3, ..square([8, 16], 14, 5, 2, 2) },
    ] {
        check_convolution_in_every_ring(&shape, 11);
    }
}

#[test]
fn fully_connected_layers_of_batches() {
    // Images that fill no vector, one and more at a time; sums of one part and of many; images of several positions; groups.
    let layer = |channels, batch| Convolution { batch, ..Convolution::valid(channels, [1, 1], [1, 1]) };
    let layers = [
        layer([300, 7], 2),
        layer([800, 33], 12),
        layer([33, 90], 70),
        layer([2, 1000], 33),
        Convolution { groups: 3, ..layer([300, 60], 5) },
        Convolution { batch: 3, ..Convolution::valid([9, 40], [5, 4], [5, 4]) },
    ];
    for (seed, shape) in layers.iter().enumerate() {
        check_convolution_in_every_ring(shape, seed as u64);
    }
}

#[test]
fn layers_of_networks_are_right_modulo_less() {
    // All cuts: one block and many, one chunk of channels and many, tiles that are not full, several images, groups.
    let layers = [
        square([16, 16], 32, 3, 1, 1),
        Convolution { batch: 3, ..square([64, 72], 8, 3, 1, 1) },
        Convolution { batch: 2, groups: 2, ..square([64, 48], 16, 3, 1, 1) },
        square([400, 9], 28, 3, 1, 1),
        square([100, 100], 20, 3, 1, 1),
        square([24, 40], 20, 5, 1, 0),
        square([40, 40], 33, 3, 1, 0),
        Convolution { padding: [0, 9, 2, 0], ..Convolution::valid([20, 31], [40, 13], [3, 3]) },
    ];
    for (seed, shape) in layers.iter().enumerate() {
        check_convolution_in_every_ring(shape, seed as u64);
        let operands = [shape.input_len(), shape.weight_len()].map(|len| random_elements::<u64>(len, seed as u64));
        let mut outputs = [(); 2].map(|()| vec![0; shape.output_len()]);
        let mut scratch = vec![0; shape.scratch_len()];
        for (bits, output) in [64, 58].into_iter().zip(&mut outputs) {
            convolution_modulo_with(Backend::detect(), bits, shape, &operands[0], &operands[1], output, &mut scratch);
        }
        if !matches!(Backend::detect(), Backend::Avx512 | Backend::Amx) {
            assert!(outputs[0] != outputs[1], "{shape:?} takes fewer multiplications");
        }
    }
}

#[test]
fn the_detected_backend_is_available() {
    assert!(Backend::detect().is_available() && Backend::Portable.is_available());
    let shape = MatrixProduct { rows: 9, inner: 20, columns: 21 };
    let (left, right) = (random_elements::<u64>(180, 1), random_elements::<u64>(420, 2));
    let (mut output, mut expected) = (vec![0; 189], vec![0; 189]);
    matrix_product(shape, &left, &right, &mut output);
    naive_product(shape, &left, &right, &mut expected);
    assert_eq!(output, expected);
}

#[test]
fn a_backend_can_be_forced() {
    let fastest = backends().last().unwrap();
    let expected = if cfg!(mpc_ring_backend = "portable") {
        Backend::Portable
    } else if cfg!(mpc_ring_backend = "avx2") {
        Backend::Avx2
    } else if cfg!(mpc_ring_backend = "avx512") {
        Backend::Avx512
    } else if cfg!(mpc_ring_backend = "amx") {
        Backend::Amx
    } else {
        fastest
    };
    assert_eq!(Backend::detect(), expected);
}

#[test]
fn sums_of_many_large_terms_are_exact() {
    let shape = Convolution { padding: [0; 4], ..square([1900, 16], 10, 3, 1, 0) };
    let (input, weights) = (vec![u64::MAX; shape.input_len()], vec![u64::MAX; shape.weight_len()]);
    for backend in backends() {
        let mut packed = vec![0; shape.packed_len_with::<u64>(backend)];
        pack_weights_with(backend, &shape, &weights, &mut packed);
        let (mut output, mut scratch) = (vec![0; shape.output_len()], vec![0; shape.scratch_len()]);
        convolution_packed_modulo_with(
            backend,
            u64::BITS,
            &shape,
            &input,
            &weights,
            &packed,
            &mut output,
            &mut scratch,
        );
        // (−1)·(−1), 9 · 1900 times.
        assert!(output.iter().all(|&sum| sum == 17_100), "{backend:?}");
    }
}

#[test]
#[should_panic(expected = "the packed weights' length")]
fn packed_weights_of_another_length_are_refused() {
    let shape = square([16, 16], 16, 3, 1, 1);
    let packed = vec![0u64; shape.packed_len::<u64>() + 1];
    let mut scratch = vec![0; shape.scratch_len()];
    let (input, weights) = (vec![0; shape.input_len()], vec![0; shape.weight_len()]);
    convolution_packed(&shape, &input, &weights, &packed, &mut vec![0; shape.output_len()], &mut scratch);
}

#[test]
fn weights_are_packed_for_the_detected_backend() {
    let shape = square([16, 16], 16, 3, 1, 1);
    let weights = random_elements::<u64>(shape.weight_len(), 1);
    let mut packed = vec![0; shape.packed_len::<u64>()];
    pack_weights(&shape, &weights, &mut packed);
    let mut expected = vec![0; shape.packed_len_with::<u64>(Backend::detect())];
    pack_weights_with(Backend::detect(), &shape, &weights, &mut expected);
    assert_eq!(packed, expected);
    assert_eq!(shape.packed_len_with::<u64>(Backend::Portable), 0);
}

#[test]
#[should_panic(expected = "the scratch's length")]
fn short_scratch_is_refused() {
    let shape = square([1, 1], 4, 3, 1, 1);
    let mut scratch = vec![0; shape.scratch_len() - 1];
    convolution(&shape, &[0u64; 16], &[0; 9], &mut [0; 16], &mut scratch);
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let valid = square([4, 6], 8, 3, 1, 1);
    assert_eq!(valid.validate(), Ok(()));
    let zero = Convolution { stride: [1, 0], ..valid };
    assert_eq!(zero.validate(), Err(ShapeError::Zero { extent: "horizontal stride" }));
    let groups = Convolution { groups: 4, ..valid };
    assert_eq!(groups.validate(), Err(ShapeError::Groups { groups: 4, channels: 6, extent: "output_channels" }));
    let kernel = Convolution { kernel: [3, 6], dilation: [1, 2], ..valid };
    assert_eq!(kernel.validate(), Err(ShapeError::KernelTooLarge { extent: "width", span: 11, padded: 10 }));
    let huge = Convolution { batch: usize::MAX, ..valid };
    assert_eq!(huge.validate(), Err(ShapeError::Overflow { what: "input" }));
    let padding = Convolution { padding: [usize::MAX, 0, 1, 0], ..valid };
    assert_eq!(padding.validate(), Err(ShapeError::Overflow { what: "padded height" }));
    assert_eq!(
        kernel.validate().unwrap_err().to_string(),
        "the kernel spans 11 along the width, the padded input has 10"
    );
}

#[test]
fn multiplications_of_resnet32_layers() {
    assert_eq!(square([3, 16], 32, 3, 1, 1).multiplications(), 442_368);
    assert_eq!(square([16, 16], 32, 3, 1, 1).multiplications(), 2_359_296);
    assert_eq!(square([16, 32], 32, 3, 2, 1).output_width(), 16);
}

#[test]
fn every_backend_reads_tables_alike() {
    for seed in 0..50 {
        let tables: [u64; 32] = random_elements(32, seed).try_into().unwrap();
        let indices: [u32; 64] = random_elements(64, seed + 1000).try_into().unwrap();
        for (shift, below) in [0, 5, 25, 27, 31].into_iter().flat_map(|shift| [(shift, false), (shift, true)]) {
            let (mut here, mut under) = (0, 0);
            for i in 0..64 {
                let table = (tables[i / 2] >> (32 * (i % 2))) as u32;
                let v = (indices[i] >> shift) & 31;
                let bit = |v: u32| u64::from((table >> v) & 1);
                here |= bit(v) << i;
                under |= (if v == 0 { u64::from(below) } else { bit(v - 1) }) << i;
            }
            for backend in backends() {
                assert_eq!(lookup_with(backend, &tables, &indices, shift, below), [here, under], "{backend:?}");
            }
        }
    }
}

#[test]
fn every_backend_adds_up_the_same_places() {
    for (seed, logarithm) in [(1, 0), (2, 1), (3, 10)] {
        adds_up::<1>(logarithm, seed);
        adds_up::<2>(logarithm, seed);
    }
}

/// With `L` lanes.
fn adds_up<const L: usize>(logarithm: u32, seed: u64) {
    let table: Vec<[u128; L]> = random_elements(L << logarithm, seed).as_chunks().0.to_vec();
    let before: [Vec<u128>; L] = core::array::from_fn(|lane| random_elements(33, seed + 10 + lane as u64));
    let places: Vec<[u32; 10]> = random_elements::<u32>(340, seed + 20).as_chunks().0.to_vec();
    let sum = |places: &[u32; 10], lane: usize| {
        places.iter().fold(0, |sum, &place| sum ^ table[place as usize % table.len()][lane])
    };
    let expected: [Vec<u128>; L] = core::array::from_fn(|lane| {
        before[lane].iter().zip(&places).map(|(x, places)| x ^ sum(places, lane)).collect()
    });
    for backend in backends() {
        let mut outputs = before.clone();
        gather_xor_with(backend, &table, &places, outputs.each_mut().map(|lane| &mut lane[..]));
        assert_eq!(outputs, expected, "{backend:?}");
    }
}
