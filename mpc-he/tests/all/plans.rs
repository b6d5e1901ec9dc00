//! Bytes of whole networks, and bounds on the noise.

use std::collections::HashMap;

use mpc_he::{
    COEFFICIENTS, Encryption, HeError, Hint, Layout, Linear, Modulus, OPENING_BYTES, PRIMES, PublicSeed, Weights,
};
use mpc_ring::Convolution;

use super::common::{elements, generator, square};

/// A convolution that keeps the image's extent but for its stride.
fn layer(channels: [usize; 2], size: usize, kernel: usize, stride: usize) -> Convolution {
    Convolution { stride: [stride; 2], padding: [(kernel - 1) / 2; 4], ..square(channels, size, kernel) }
}

fn resnet32() -> Vec<Convolution> {
    let mut layers = vec![layer([3, 16], 32, 3, 1)];
    layers.extend([layer([16, 16], 32, 3, 1); 10]);
    layers.push(layer([16, 32], 32, 3, 2));
    layers.extend([layer([32, 32], 16, 3, 1); 9]);
    layers.push(layer([32, 64], 16, 3, 2));
    layers.extend([layer([64, 64], 8, 3, 1); 9]);
    layers
}

fn minionn() -> Vec<Convolution> {
    let sizes = [
        (3, 64, 32, 3),
        (64, 64, 32, 3),
        (64, 64, 16, 3),
        (64, 64, 16, 3),
        (64, 64, 8, 3),
        (64, 64, 8, 1),
        (64, 16, 8, 1),
    ];
    sizes.map(|(inputs, outputs, size, kernel)| layer([inputs, outputs], size, kernel, 1)).to_vec()
}

fn resnet50() -> Vec<Convolution> {
    let mut layers = vec![layer([3, 64], 224, 7, 2)];
    let (mut channels, mut size) = (64, 56);
    for (stage, (inner, blocks)) in [(64, 3), (128, 4), (256, 6), (512, 3)].into_iter().enumerate() {
        for block in 0..blocks {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            layers.push(layer([channels, inner], size, 1, 1));
            layers.push(layer([inner, inner], size, 3, stride));
            layers.push(layer([inner, 4 * inner], size / stride, 1, 1));
            if block == 0 {
                layers.push(layer([channels, 4 * inner], size, 1, stride));
            }
            (channels, size) = (4 * inner, size / stride);
        }
    }
    layers
}

/// Bytes of all hints and of one inference, as `cost` says them of each layer; equal layers are asked once.
fn bytes(layers: &[Convolution], inferences: u64, cost: impl Fn(&Layout) -> [usize; 2]) -> [usize; 2] {
    let mut costs = HashMap::new();
    layers.iter().fold([0, OPENING_BYTES], |[hints, messages], shape| {
        let layout =
            Layout::search(&Linear::convolution(shape).unwrap(), Modulus::SMALLEST, inferences, false).unwrap();
        let [hint, message] = *costs.entry(layout).or_insert_with(|| cost(&layout));
        [hints + hint, messages + message]
    })
}

fn planned(layout: &Layout) -> [usize; 2] {
    [layout.hint_bytes(), layout.message_bytes()]
}

/// The lengths of a hint and of a message that were made.
fn encoded(layout: &Layout, given: bool) -> [usize; 2] {
    let mut generator = generator(1);
    let seed = PublicSeed::random(&mut generator);
    let weights = elements(layout.layer().weight_len(), layout.modulus(), 24, &mut generator);
    let (_, hint) = Weights::new(layout, &weights, 24, &seed, 0, &mut generator).unwrap();
    let masks = given.then(|| elements(layout.layer().input_len(), layout.modulus(), 50, &mut generator));
    let (mut encryption, opening) = Encryption::begin(&seed, &mut generator);
    assert_eq!(opening.len(), OPENING_BYTES);
    let checked = Hint::from_bytes(layout, &seed, 0, &hint).unwrap();
    let encrypted = encryption.layer(&checked, masks.as_deref(), &mut generator).unwrap();
    assert_eq!([hint.len(), encrypted.message.len()], planned(layout));
    [hint.len(), encrypted.message.len()]
}

#[test]
fn networks_have_the_bytes_of_the_readme() {
    let chosen = |layout: &Layout| encoded(layout, false);
    assert_eq!(bytes(&resnet32(), 1, chosen), [11_448_320, 8_854_540]);
    assert_eq!(bytes(&resnet32(), 1_000, chosen), [30_244_864, 2_813_902]);
    assert_eq!(bytes(&minionn(), 1, chosen), [4_126_720, 3_110_048]);
    assert_eq!(bytes(&minionn(), 1_000, chosen), [10_649_600, 1_038_198]);
    // The weights of ResNet-50 as transforms would take gigabytes.
    assert_eq!(bytes(&resnet50(), 1, planned), [239_882_240, 168_441_296]);
    assert_eq!(bytes(&resnet50(), 8, planned), [461_580_288, 78_320_472]);
}

#[test]
fn ties_are_won_by_the_fewest_polynomials() {
    let layout =
        Layout::search(&Linear::convolution(&layer([16, 16], 32, 3, 1)).unwrap(), Modulus::SMALLEST, 1_000, false)
            .unwrap();
    assert_eq!([layout.input_polynomials(), layout.output_polynomials()], [6, 16]);
    assert_eq!(layout.hint_bytes(), 16 * 26_624);
    // 1,024 masks of 52 bits and 132 zeros of 100 bits for each channel.
    assert_eq!(layout.message_bytes(), 16 * (1_024 * 52 + 132 * 100) / 8);
    assert_eq!(*layout.layer(), Linear::convolution(&layer([16, 16], 32, 3, 1)).unwrap());
}

#[test]
fn a_mask_that_is_known_costs_100_bits() {
    let layer = Linear::left_product(10, 64, 1).unwrap();
    for inferences in [1_000_000, u64::MAX] {
        let [chosen, known] = [false, true]
            .map(|given| encoded(&Layout::search(&layer, Modulus::SMALLEST, inferences, given).unwrap(), given));
        assert_eq!([chosen, known], [[10 * 26_624, 64 * 52 / 8], [10 * 26_624, 64 * 100 / 8]]);
    }
}

#[test]
fn more_inferences_never_make_longer_messages() {
    let layer = Linear::convolution(&layer([16, 16], 32, 3, 1)).unwrap();
    let messages = [1, 8, 1_000, 1 << 48, u64::MAX]
        .map(|inferences| Layout::search(&layer, Modulus::SMALLEST, inferences, false).unwrap().message_bytes());
    assert!(messages.is_sorted_by(|few, many| few >= many), "{messages:?}");
}

#[test]
fn the_noise_of_networks_vanishes_in_a_truncation() {
    for shape in resnet50().iter().chain(&resnet32()) {
        let layout = Layout::search(&Linear::convolution(shape).unwrap(), Modulus::SMALLEST, 1, false).unwrap();
        // Fixed point with 16 bits after the point, of weights below 128.
        let bound = layout.noise(24).unwrap();
        assert!(bound.units() <= 84, "{bound:?}");
        assert_eq!(bound.with_flooding(), bound.units() + 8_192);
        assert_eq!(bound.check(16), Ok(()));
    }
}

#[test]
fn a_layer_that_is_too_noisy_is_refused_by_name() {
    let layout = Layout::search(&Linear::left_product(16, 4_608, 1).unwrap(), Modulus::SMALLEST, 1, false).unwrap();
    let bound = layout.noise(50).unwrap();
    let error = bound.check(8).unwrap_err();
    let HeError::Noise { weight_bits: 50, units, tolerated: 64, needed_shift } = error else { panic!("{error}") };
    assert_eq!(units, bound.with_flooding());
    assert_eq!(bound.check(needed_shift), Ok(()));
    assert!(bound.check(needed_shift - 1).is_err());
    assert!(error.to_string().contains("truncation by at least"));
    for bits in [0, 51] {
        assert!(layout.noise(bits).is_err());
    }
    assert_eq!(PRIMES.map(|prime| prime % (4 * COEFFICIENTS as u64)), [1, 1]);
}
