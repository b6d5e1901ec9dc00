//! The code around the instructions, with tiles in plain Rust, against the portable backend.

extern crate std;

use std::vec;
use std::vec::Vec;

use super::*;
use crate::kernels::{Backend, avx512, convolution_with};

fn elements<R: Ring>(len: usize, seed: u64) -> Vec<R> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 32
    };
    (0..len).map(|_| R::from_u64(next() << 32 | next())).collect()
}

fn check<R: Ring>(shape: &Convolution, input: &[R], weights: &[R]) {
    let start = elements::<R>(shape.output_len(), 3);
    let mut packed = vec![0; packed_len::<R>(shape)];
    pack(shape, weights, &mut packed);
    let (mut expected, mut scratch) = (start.clone(), vec![R::ZERO; shape.scratch_len()]);
    convolution_with(Backend::Portable, shape, input, weights, &mut expected, &mut scratch);
    for bytes in 1..=R::BYTES {
        let run = |convolve: fn(Convolve<'_, R>)| {
            // What scratch and the output hold before must not matter, and must be kept.
            let (mut output, mut scratch) = (start.clone(), vec![0xab; scratch_len::<R>(shape)]);
            let (group, packed, output, scratch) = (shape, &packed, &mut output, &mut scratch);
            convolve(Convolve { group, bytes, input, packed, output, scratch });
            let above = R::BITS - 8 * bytes as u32;
            let is_equal = output.iter().zip(&expected).all(|(&x, &y)| x << above == y << above);
            assert!(is_equal, "{bytes} of {} bytes, {shape:?}", R::BYTES);
        };
        // Slow, and large shapes differ in nothing that bytes have a part in.
        if bytes == R::BYTES || bytes + 1 == R::BYTES && shape.multiplications() < 1_000_000 {
            run(|work| work.run_by::<Emulated>());
        }
        if is_available() {
            run(|work| avx512::vectorized(work));
        }
    }
}

fn shape(channels: [usize; 2], size: [usize; 2], kernel: [usize; 2]) -> Convolution {
    Convolution { padding: [1; 4], ..Convolution::valid(channels, size, kernel) }
}

#[test]
fn tiles_of_bytes_equal_the_portable_backend() {
    for shape in [
        shape([16, 16], [5, 32], [3, 3]),
        shape([8, 1], [1, 1], [1, 1]),
        shape([13, 17], [7, 9], [3, 3]),
        shape([70, 33], [4, 17], [2, 5]),
        shape([33, 40], [9, 8], [1, 1]),
        Convolution { stride: [2, 2], ..shape([32, 20], [12, 13], [3, 3]) },
        Convolution { stride: [1, 3], dilation: [2, 2], padding: [0, 3, 2, 1], ..shape([9, 16], [11, 30], [3, 4]) },
        Convolution { padding: [0; 4], ..shape([64, 5], [3, 40], [3, 3]) },
        // Several blocks of rows.
        shape([40, 2], [10, 130], [2, 3]),
        shape([1000, 1], [3, 100], [1, 1]),
    ] {
        shape.validate().unwrap();
        check::<u64>(&shape, &elements(shape.input_len(), 1), &elements(shape.weight_len(), 2));
        check::<u32>(&shape, &elements(shape.input_len(), 1), &elements(shape.weight_len(), 2));
    }
}

#[test]
fn sums_of_many_large_terms_do_not_overflow() {
    let shape = Convolution { padding: [0; 4], ..shape([1900, 2], [3, 3], [3, 3]) };
    assert!(shape.input_channels * 9 > MAX_TERMS);
    check::<u64>(&shape, &vec![u64::MAX; shape.input_len()], &vec![u64::MAX; shape.weight_len()]);
    check::<u32>(&shape, &vec![u32::MAX; shape.input_len()], &vec![u32::MAX; shape.weight_len()]);
}

#[test]
fn layers_of_networks_pay_and_others_do_not() {
    for (channels, width) in [([16, 16], 32), ([32, 32], 16), ([64, 64], 8), ([512, 512], 7)] {
        assert!(pays::<u64>(&shape(channels, [width; 2], [3, 3])), "{channels:?}");
    }
    assert!(pays::<u32>(&shape([64, 256], [56, 56], [1, 1])));
    for (channels, width) in [([3, 16], 32), ([1, 1], 32), ([64, 10], 1)] {
        assert!(!pays::<u64>(&Convolution { padding: [0; 4], ..shape(channels, [width; 2], [1, 1]) }), "{channels:?}");
    }
    // Of a wide kernel each column has a copy of the input.
    let wide = Convolution { padding: [0; 4], ..shape([1, 16], [1, 100_000], [1, 400]) };
    assert!(!pays::<u64>(&wide) && pays::<u64>(&Convolution { width: 600, ..wide }));
    assert!(!pays::<u128>(&shape([64, 64], [8, 8], [3, 3])));
}
