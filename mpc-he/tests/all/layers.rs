//! Sums of shares: the plain layer within the proven bound, for every kind of layer.

use mpc_he::{COEFFICIENTS, HeError, Layout, Linear, Modulus};
use mpc_ring::Convolution;
use proptest::prelude::*;

use super::common::{distance, elements, generator, infer, mask, plain_convolution, square};

/// Encrypts a layer and compares it with `plain`, a function of the modulus, the mask and the weights. The weights are uniform in
/// their bits, and the extremes of them.
fn check(layer: &Linear, given: bool, seed: u64, plain: impl Fn(Modulus, &[u64], &[u64]) -> Vec<u64>) {
    let larger = Modulus::holding(51 + (seed % 14) as u32).unwrap();
    for (modulus, bits, inferences) in [
        (Modulus::SMALLEST, 50, 1),
        (Modulus::SMALLEST, 24, 1_000_000),
        (larger, larger.weight_bits(), [1, 1_000_000][seed as usize % 2]),
    ] {
        let layout = Layout::search(layer, modulus, inferences, given).unwrap();
        let mut weights = elements(layer.weight_len(), modulus, bits, &mut generator(seed));
        let extremes = [(1u64 << (bits - 1)).wrapping_neg() & mask(modulus), (1 << (bits - 1)) - 1];
        weights.iter_mut().enumerate().filter(|(i, _)| i % 3 == 1).for_each(|(i, weight)| *weight = extremes[i % 2]);
        let mut masks = elements(layer.input_len(), modulus, modulus.bits(), &mut generator(seed + 1));
        let extremes = [0, mask(modulus), 1 << (modulus.bits() - 1)];
        masks.iter_mut().enumerate().filter(|(i, _)| i % 5 == 1).for_each(|(i, mask)| *mask = extremes[i % 3]);
        let [used, sum] = infer(&layout, &weights, bits, given.then_some(&masks), seed + 2);
        if given {
            assert_eq!(used, masks);
        }
        let bound = layout.noise(bits).unwrap().with_flooding();
        let error = distance(modulus, &sum, &plain(modulus, &used, &weights));
        assert!(error <= bound, "{error} units, at most {bound} were proved, {layout:?}");
    }
}

fn check_convolution(shape: &Convolution, given: bool, seed: u64) {
    let layer = Linear::convolution(shape).unwrap();
    assert_eq!(
        [layer.input_len(), layer.weight_len(), layer.output_len()],
        [shape.input_len(), shape.weight_len(), shape.output_len()]
    );
    check(&layer, given, seed, |modulus, mask, weights| plain_convolution(shape, modulus, mask, weights));
}

/// The transposed convolution by its definition: each element adds its multiple of the kernel.
fn plain_transposed(
    (shape, output_padding): (&Convolution, [usize; 2]),
    modulus: Modulus,
    input: &[u64],
    weights: &[u64],
) -> Vec<u64> {
    let extent = |axis: usize| {
        let full = ([shape.height, shape.width][axis] - 1) * shape.stride[axis]
            + (shape.kernel[axis] - 1) * shape.dilation[axis];
        full + 1 + output_padding[axis] - shape.padding[axis] - shape.padding[axis + 2]
    };
    let [height, width] = [extent(0), extent(1)];
    let [group_in, group_out] = [shape.input_channels / shape.groups, shape.output_channels / shape.groups];
    let mut output = vec![0u64; shape.output_channels * height * width];
    for (i, value) in input.iter().enumerate() {
        let [channel, y, x] = [i / shape.width / shape.height, i / shape.width % shape.height, i % shape.width];
        for tap in 0..group_out * shape.kernel[0] * shape.kernel[1] {
            let [kx, ky] = [tap % shape.kernel[1], tap / shape.kernel[1] % shape.kernel[0]];
            let to = channel / group_in * group_out + tap / shape.kernel[1] / shape.kernel[0];
            let row = (y * shape.stride[0] + ky * shape.dilation[0]).checked_sub(shape.padding[0]);
            let column = (x * shape.stride[1] + kx * shape.dilation[1]).checked_sub(shape.padding[1]);
            let (Some(row), Some(column)) = (row, column) else { continue };
            if row < height && column < width {
                let weight = weights[channel * group_out * shape.kernel[0] * shape.kernel[1] + tap];
                let sum = &mut output[(to * height + row) * width + column];
                *sum = sum.wrapping_add(value.wrapping_mul(weight)) & mask(modulus);
            }
        }
    }
    output
}

fn plain_product([rows, inner, columns]: [usize; 3], modulus: Modulus, left: &[u64], right: &[u64]) -> Vec<u64> {
    let place = |place: usize| -> u64 {
        let terms =
            (0..inner).map(|k| left[place / columns * inner + k].wrapping_mul(right[k * columns + place % columns]));
        terms.fold(0, u64::wrapping_add) & mask(modulus)
    };
    (0..rows * columns).map(place).collect()
}

fn shapes() -> impl Strategy<Value = Convolution> {
    let extents = ([1usize..4, 1..4, 3..15, 3..15, 1..4, 1..4], [1usize..4, 1..4, 1..3, 1..3, 1..4]);
    let padding = [0usize..3, 0..3, 0..3, 0..3];
    (extents, padding).prop_map(|(([inputs, outputs, height, width, rows, columns], rest), padding)| Convolution {
        batch: 1,
        input_channels: inputs * rest[4],
        output_channels: outputs * rest[4],
        height: height + 2,
        width: width + 2,
        kernel: [rows, columns],
        stride: [rest[0], rest[1]],
        padding,
        dilation: [rest[2], rest[3]],
        groups: rest[4],
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn convolutions(shape in shapes(), given: bool, seed: u64) {
        check_convolution(&shape, given, seed / 2);
    }

    #[test]
    fn transposed_convolutions(shape in shapes(), given: bool, seed: u64, extra in [0usize..2, 0..2]) {
        let reach = [0, 1].map(|axis| (shape.kernel[axis] - 1) * shape.dilation[axis]);
        let padding = core::array::from_fn(|side| shape.padding[side].min(reach[side % 2] + 1));
        let shape = Convolution { padding, ..shape };
        let layer = Linear::transposed(&shape, extra).unwrap();
        check(&layer, given, seed / 2, |modulus, mask, weights| {
            plain_transposed((&shape, extra), modulus, mask, weights)
        });
    }

    #[test]
    fn matrix_products(extents in [1usize..40, 1..60, 1..30], given: bool, seed: u64) {
        let [rows, inner, columns] = extents;
        let layer = Linear::left_product(rows, inner, columns).unwrap();
        check(&layer, given, seed / 2, |modulus, mask, weights| plain_product(extents, modulus, weights, mask));
        let layer = Linear::right_product(rows, inner, columns).unwrap();
        check(&layer, given, seed / 2, |modulus, mask, weights| plain_product(extents, modulus, mask, weights));
    }
}

#[test]
fn layers_of_networks() {
    for (channels, size, stride) in [([16, 8], 32, 1), ([16, 5], 32, 2), ([64, 3], 8, 1)] {
        check_convolution(&Convolution { padding: [1; 4], stride: [stride; 2], ..square(channels, size, 3) }, false, 5);
    }
    // Several tiles of rows, whose halos are encrypted twice; a depthwise layer; an image that is subsampled.
    check_convolution(&Convolution { padding: [3; 4], stride: [2; 2], ..square([1, 2], 112, 7) }, false, 6);
    check_convolution(&Convolution { padding: [1; 4], groups: 6, ..square([6, 6], 14, 3) }, false, 7);
    check_convolution(&Convolution { stride: [2; 2], ..square([8, 4], 56, 1) }, false, 8);
    let layer = Linear::left_product(10, 4_100, 1).unwrap();
    check(&layer, false, 9, |modulus, mask, weights| plain_product([10, 4_100, 1], modulus, weights, mask));
}

#[test]
fn sizes_that_just_fit_and_just_do_not() {
    // One image is the whole polynomial, and one column more needs tiles of rows.
    for (height, width, tiles) in [(64, 64, 1), (64, 65, 2)] {
        let shape = Convolution { height, width, ..square([1, 1], 64, 3) };
        let layout = Layout::search(&Linear::convolution(&shape).unwrap(), Modulus::SMALLEST, 1, false).unwrap();
        assert_eq!(layout.input_polynomials(), tiles);
        check_convolution(&shape, false, 10);
    }
    // One row of the kernel's positions is the whole polynomial, and one column more does not fit.
    let shape = Convolution { height: 3, width: 2_048, kernel: [2, 2], ..square([1, 1], 1, 1) };
    check_convolution(&shape, false, 11);
    let wide = Linear::convolution(&Convolution { width: 2_049, ..shape }).unwrap();
    let error = Layout::search(&wide, Modulus::SMALLEST, 1, false).unwrap_err();
    assert_eq!(error, HeError::TooWide { needed: 4_098, available: COEFFICIENTS });
    assert!(error.to_string().contains("split the image"));
}

#[test]
fn layers_that_cannot_be_encrypted_are_refused() {
    let shape = square([1, 1], 8, 3);
    let refused =
        |layer: Result<Linear, HeError>| matches!(layer, Err(HeError::Unsupported { .. } | HeError::Shape(_)));
    assert!(refused(Linear::convolution(&Convolution { batch: 2, ..shape })));
    assert!(refused(Linear::convolution(&Convolution { groups: 0, ..shape })));
    assert!(refused(Linear::convolution(&Convolution { stride: [1 << 40, 1], ..shape })));
    assert!(refused(Linear::convolution(&Convolution { input_channels: 1 << 24, ..shape })));
    for zero in [[0, 1], [1, 0]] {
        assert!(refused(Linear::transposed(&Convolution { dilation: zero, ..shape }, [0; 2])));
        assert!(refused(Linear::transposed(&Convolution { stride: zero, ..shape }, [0; 2])));
        assert!(refused(Linear::transposed(&Convolution { kernel: zero, ..shape }, [0; 2])));
        assert!(refused(Linear::transposed(&Convolution { height: zero[0], width: zero[1], ..shape }, [0; 2])));
    }
    assert!(refused(Linear::transposed(&Convolution { groups: 0, ..shape }, [0; 2])));
    assert!(refused(Linear::transposed(&Convolution { padding: [usize::MAX; 4], ..shape }, [0; 2])));
    assert!(refused(Linear::transposed(&Convolution { padding: [6, 0, 6, 0], ..shape }, [0; 2])));
    assert!(refused(Linear::left_product(0, 1, 1)));
    assert!(refused(Linear::right_product(1, usize::MAX, usize::MAX)));
}
