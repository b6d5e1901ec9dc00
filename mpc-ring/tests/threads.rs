//! Several threads compute what one does.

use std::num::NonZeroUsize;

use mpc_ring::threads::{self, ThreadsError};
use mpc_ring::{Convolution, Ring, convolution, convolution_modulo, convolution_packed, pack_weights};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

fn random_elements(len: usize, seed: u64) -> Vec<u64> {
    let mut elements = vec![0; len];
    u64::fill_random(&mut elements, &mut ChaCha8Rng::seed_from_u64(seed));
    elements
}

/// Image by image and channel by channel, each too little for more than one thread.
fn one_by_one(shape: &Convolution, input: &[u64], weights: &[u64], output: &mut [u64]) {
    let (group_in, group_out) = (shape.input_channels / shape.groups, shape.output_channels / shape.groups);
    let one = Convolution { batch: 1, groups: 1, input_channels: group_in, output_channels: 1, ..*shape };
    let mut scratch = vec![0; one.scratch_len()];
    for (index, output) in output.chunks_exact_mut(one.output_len()).enumerate() {
        let (image, channel) = (index / shape.output_channels, index % shape.output_channels);
        let input = &input[(image * shape.groups + channel / group_out) * one.input_len()..][..one.input_len()];
        convolution(&one, input, &weights[channel * one.weight_len()..][..one.weight_len()], output, &mut scratch);
    }
}

#[test]
fn several_threads_compute_the_same() {
    assert_eq!(threads::count(), 1);
    threads::set(NonZeroUsize::new(3).unwrap()).unwrap();
    assert_eq!(threads::count(), 3);
    assert_eq!(threads::set(NonZeroUsize::new(2).unwrap()), Err(ThreadsError::AlreadySet));
    assert_eq!(threads::set(NonZeroUsize::MIN), Err(ThreadsError::AlreadySet));

    let layer = Convolution { padding: [1; 4], ..Convolution::valid([24, 70], [13, 17], [3, 3]) };
    for shape in [
        layer,
        Convolution { batch: 2, ..layer },
        Convolution { batch: 7, output_channels: 33, ..layer },
        Convolution { batch: 5, groups: 2, ..layer },
        Convolution { output_channels: 3, ..layer },
        Convolution { batch: 4, input_channels: 40, output_channels: 40, height: 28, width: 28, ..layer },
        Convolution { input_channels: 64, output_channels: 80, height: 28, width: 28, ..layer },
        Convolution { stride: [2, 2], output_channels: 129, ..layer },
        Convolution { height: 3, width: 3, padding: [0; 4], output_channels: 5000, ..layer },
    ] {
        let (input, weights) = (random_elements(shape.input_len(), 1), random_elements(shape.weight_len(), 2));
        let start = random_elements(shape.output_len(), 3);
        let mut expected = start.clone();
        one_by_one(&shape, &input, &weights, &mut expected);
        let (mut output, mut scratch) = (start.clone(), vec![0; shape.scratch_len()]);
        convolution(&shape, &input, &weights, &mut output, &mut scratch);
        assert!(output == expected, "{shape:?}");
        let mut modulo = start.clone();
        convolution_modulo(58, &shape, &input, &weights, &mut modulo, &mut scratch);
        assert!(modulo.iter().zip(&expected).all(|(x, y)| x << 6 == y << 6), "modulo 2^58, {shape:?}");
        let mut packed = vec![0; shape.packed_len::<u64>()];
        pack_weights(&shape, &weights, &mut packed);
        let mut output = start;
        convolution_packed(&shape, &input, &weights, &packed, &mut output, &mut scratch);
        assert!(output == expected, "packed, {shape:?}");
    }
}
