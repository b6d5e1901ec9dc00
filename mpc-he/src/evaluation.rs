//! The holder of the weights: their preparation with the hint, and the evaluation of one inference.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use mpc_ring::{Ring, threads};
use mpc_shares::{Prg, SecretVec};

use crate::layout::{Piece, Role};
use crate::message::{Ciphertext, read_opening, write_hint};
use crate::modulus::CHOSEN_BITS;
use crate::noise::FLOODING_BITS;
use crate::ring::{COEFFICIENTS, PRIMES, Poly, compose, reduce, small_residues, subtract};
use crate::sample::{binomial, ternary, uniform};
use crate::{HeError, Layout, PublicSeed, multiples};

/// One layer's weights at their holder, ready for every inference: transforms of 64 KiB for each pair of an input and an output
/// chunk, and one for each output polynomial. The weights of more than 2,048 pairs are kept in 8 bytes each, and transformed for
/// each inference. Zeroised on drop.
pub struct Weights {
    layout: Layout,
    seed: PublicSeed,
    layer: u32,
    weights: Kept,
    /// The secret of each output polynomial's hint.
    secrets: Vec<Poly>,
}

enum Kept {
    /// One a group, output chunk and input chunk.
    Transforms(Vec<Poly>),
    Elements(SecretVec<u64>),
}

impl Weights {
    /// Prepares weights in the layout's modulus, whose signed values have at most `weight_bits` bits, for layer number `layer` of
    /// the model with this seed. Returns the hint for the holder of the mask, of [`Layout::hint_bytes`].
    ///
    /// # Errors
    /// [`HeError::Elements`], and [`HeError::Weight`] for a weight with more bits.
    pub fn new(
        layout: &Layout,
        weights: &[u64],
        weight_bits: u32,
        seed: &PublicSeed,
        layer: u32,
        generator: &mut Prg,
    ) -> Result<(Self, Vec<u8>), HeError> {
        let expected = layout.layer.weight_len();
        if weights.len() != expected {
            return Err(HeError::Elements { what: "weights", expected, actual: weights.len() });
        }
        layout.noise(weight_bits)?;
        // All are looked at, whichever are too large.
        let too_large = |weight: u64| layout.modulus.is_beyond(weight, weight_bits);
        if weights.iter().fold(false, |wrong, &weight| wrong | too_large(weight)) {
            let index = weights.iter().position(|&weight| too_large(weight)).unwrap_or(0);
            return Err(HeError::Weight { index, bits: weight_bits });
        }
        let kept = if layout.keeps_transforms() {
            Kept::Transforms((0..layout.weight_polynomials()).map(|index| transform(layout, weights, index)).collect())
        } else {
            Kept::Elements(weights.iter().copied().collect())
        };
        let mut prepared = Self { layout: *layout, seed: *seed, layer, weights: kept, secrets: Vec::new() };
        let hint = prepared.hint(generator);
        Ok((prepared, hint))
    }

    /// The layout.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    fn hint(&mut self, generator: &mut Prg) -> Vec<u8> {
        let model = self.seed.model();
        let mut stream = self.seed.layer(self.layer);
        let mut rounded = Vec::with_capacity(self.layout.output_polynomials() * COEFFICIENTS);
        let (mut publics, mut secrets) = (Vec::new(), Vec::with_capacity(self.layout.output_polynomials()));
        for piece in self.layout.pieces() {
            publics.push(uniform(&mut stream));
            if publics.len() < self.layout.chunks()[0] {
                continue;
            }
            for mut hint in self.sums(piece.group, &publics) {
                let secret = ternary(generator).forward();
                hint.multiply_accumulate(&model, &secret);
                let mut hint = hint.inverse();
                hint.add(&binomial(generator));
                let round = |place| self.layout.modulus.of_hints().scale_down(compose(hint.get(place)));
                rounded.extend((0..COEFFICIENTS).map(round));
                secrets.push(secret);
            }
            publics.clear();
        }
        self.secrets = secrets;
        write_hint(&self.layout, &rounded)
    }

    /// The sum of the products for every output chunk; some at a time on all threads where weights are not kept as transforms.
    fn sums(&self, group: usize, inputs: &[Poly]) -> impl Iterator<Item = Poly> {
        let (outputs, together) = (self.layout.chunks()[1], self.layout.sums_together());
        let parts = move |range: Range<usize>, len| {
            range.clone().step_by(len).map(move |first| first..range.end.min(first + len))
        };
        parts(0..outputs, together).flat_map(move |outputs| {
            let mut all: Vec<_> =
                parts(outputs, self.layout.sums_of_a_thread()).map(|outputs| (outputs, Vec::new())).collect();
            threads::for_each(all.iter_mut(), |(outputs, sums)| *sums = self.sums_of(group, outputs.clone(), inputs));
            all.into_iter().flat_map(|(_, sums)| sums)
        })
    }

    fn sums_of(&self, group: usize, outputs: Range<usize>, inputs: &[Poly]) -> Vec<Poly> {
        if let (Kept::Elements(weights), true) = (&self.weights, self.layout.has_few_coefficients()) {
            return multiples::sums(&self.layout, weights, group, outputs, inputs);
        }
        let sum = |output| {
            let mut sum = Poly::zero();
            self.add(group, output, inputs, &mut sum);
            sum
        };
        outputs.map(sum).collect()
    }

    /// Adds the products of a group's input polynomials and the weights of an output chunk, as transforms.
    fn add(&self, group: usize, output: usize, inputs: &[Poly], sum: &mut Poly) {
        let first = (group * self.layout.chunks()[1] + output) * inputs.len();
        for (input, index) in inputs.iter().zip(first..) {
            match &self.weights {
                Kept::Transforms(weights) => sum.multiply_accumulate(input, &weights[index]),
                Kept::Elements(weights) => sum.multiply_accumulate(input, &transform(&self.layout, weights, index)),
            }
        }
    }
}

/// The transform of polynomial `index` of the weights.
fn transform(layout: &Layout, weights: &[u64], index: usize) -> Poly {
    let [inputs, outputs] = layout.chunks();
    let mut poly = Poly::zero();
    for (place, weight) in layout.weights(index / inputs / outputs, index % inputs, index / inputs % outputs) {
        poly.set(place, small_residues(layout.modulus.signed(weights[weight])));
    }
    poly.forward()
}

/// One inference at the holder of the weights.
pub struct Evaluation {
    seed: PublicSeed,
    product: Poly,
}

impl Evaluation {
    /// The inference that the holder of the mask began, from bytes that are not trusted.
    ///
    /// # Errors
    /// [`HeError::Length`], [`HeError::Residue`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeError> {
        let (seed, product) = read_opening(bytes)?;
        Ok(Self { seed, product })
    }

    /// The share of a layer on the mask, in the layout's modulus, from the layer's message. It has the flooding of ±2^13 units.
    ///
    /// # Errors
    /// [`HeError::Elements`] if the message is of another layout.
    pub fn layer(
        &self,
        weights: &Weights,
        message: &Ciphertext,
        generator: &mut Prg,
    ) -> Result<SecretVec<u64>, HeError> {
        let mut share = self.layer_without_flooding(weights, message)?;
        let mut noise = SecretVec::<u64>::zeros(share.len());
        u64::fill_random(&mut noise, generator);
        for (share, noise) in share.iter_mut().zip(&*noise) {
            let noise = (noise >> (u64::BITS - FLOODING_BITS - 1)).wrapping_sub(1 << FLOODING_BITS);
            *share = weights.layout.modulus.reduce(share.wrapping_add(noise));
        }
        Ok(share)
    }

    pub(crate) fn layer_without_flooding(
        &self,
        weights: &Weights,
        message: &Ciphertext,
    ) -> Result<SecretVec<u64>, HeError> {
        let layout = &weights.layout;
        let [chosen, whole] = layout.message_coefficients();
        let actual = message.chosen.len() + message.whole.len();
        if [message.chosen.len(), message.whole.len()] != [chosen, whole] {
            return Err(HeError::Elements { what: "coefficients in a message", expected: chosen + whole, actual });
        }
        let mut share = SecretVec::zeros(layout.layer.output_len());
        let mut received = Received {
            beta: self.seed.layer(weights.layer),
            is_known: vec![!layout.is_chosen(); layout.layer.input_len()],
            chosen: message.chosen.iter(),
            whole: message.whole.iter(),
        };
        let mut inputs = Vec::with_capacity(layout.chunks()[0]);
        let mut secrets = weights.secrets.iter();
        for piece in layout.pieces() {
            inputs.push(received.next(layout, piece).forward());
            if inputs.len() < layout.chunks()[0] {
                continue;
            }
            let secrets = secrets.by_ref().take(layout.chunks()[1]);
            for (output, (mut sum, secret)) in weights.sums(piece.group, &inputs).zip(secrets).enumerate() {
                sum.multiply_accumulate(&self.product, secret);
                let sum = sum.inverse();
                for (place, index) in layout.outputs(piece.tile, piece.group, output) {
                    share[index] = layout.modulus.scale_down(compose(sum.get(place)));
                }
            }
            inputs.clear();
        }
        Ok(share)
    }
}

/// A message as it is read, polynomial by polynomial.
struct Received<'a> {
    beta: Prg,
    is_known: Vec<bool>,
    chosen: core::slice::Iter<'a, u64>,
    whole: core::slice::Iter<'a, [u64; 2]>,
}

impl Received<'_> {
    /// The next ciphertext: β less ε where a mask was chosen, the coefficient itself where it had to be given, and β elsewhere.
    fn next(&mut self, layout: &Layout, piece: Piece) -> Poly {
        let mut poly = uniform(&mut self.beta);
        for (place, role) in layout.roles(piece, &mut self.is_known).into_iter().enumerate() {
            match role {
                Role::Free => {}
                Role::Zero | Role::Known(_) => poly.set(place, *self.whole.next().expect("the message was counted")),
                Role::Fresh(_) => {
                    let rest = *self.chosen.next().expect("the message was counted");
                    // ε as a sum that is not negative: twice the prime is above 2^50, four times above 2^51.
                    let rest = [0, 1].map(|k| reduce(k, u128::from(rest + 4 * PRIMES[k] - (1 << (CHOSEN_BITS - 1)))));
                    let beta = poly.get(place);
                    poly.set(place, [0, 1].map(|k| subtract(k, beta[k], rest[k])));
                }
            }
        }
        poly
    }
}

#[cfg(test)]
mod tests {
    use mpc_ring::Convolution;
    use mpc_shares::Seed;

    use super::*;
    use crate::{Encryption, Linear, Modulus};

    #[test]
    fn weights_that_are_transformed_each_time_have_the_same_shares() {
        let layer = Linear::right_product(7, 300, 40).unwrap();
        let layout = Layout::search(&layer, Modulus::SMALLEST, 1, false).unwrap();
        assert!(layout.keeps_transforms() && layout.weight_polynomials() > 1);
        let mut generator = Prg::new(Seed::from_bytes([6; 32]));
        let elements: Vec<u64> = (0..layer.weight_len() as u64).map(|i| i * i % 1_000).collect();
        let seed = PublicSeed::random(&mut generator);
        let (mut weights, _) = Weights::new(&layout, &elements, 20, &seed, 0, &mut generator).unwrap();
        let (mut encryption, opening) = Encryption::begin(&seed, &mut generator);
        let (message, _) = encryption.message(&layout, 0, None, &mut generator).unwrap();
        let message = Ciphertext::from_bytes(&layout, &message).unwrap();
        let evaluation = Evaluation::from_bytes(&opening).unwrap();
        let share = evaluation.layer_without_flooding(&weights, &message).unwrap();
        weights.weights = Kept::Elements(elements.into_iter().collect());
        assert_eq!(*evaluation.layer_without_flooding(&weights, &message).unwrap(), *share);
    }

    /// Of one and several channels of a side in a polynomial, of chunks that have fewer, of groups, and of more terms than are
    /// summed at a time.
    #[test]
    fn sums_of_multiples_are_sums_of_products() {
        let grouped = Convolution { groups: 2, ..Convolution::valid([6, 10], [9, 11], [2, 2]) };
        let layers = [
            (Linear::right_product(7, 50, 40).unwrap(), [3, 7]),
            (Linear::right_product(2_000, 600, 3).unwrap(), [2, 1]),
            (Linear::left_product(70, 2, 900).unwrap(), [1, 1]),
            (Linear::convolution(&grouped).unwrap(), [2, 3]),
        ];
        let mut generator = Prg::new(Seed::from_bytes([8; 32]));
        let seed = PublicSeed::random(&mut generator);
        for (layer, channels) in layers {
            let layout = Layout { channels, ..Layout::search(&layer, Modulus::SMALLEST, 1, false).unwrap() };
            let element = |i: u64| layout.modulus.reduce((i * i % 1_000).wrapping_sub(500));
            let elements: Vec<u64> = (0..layer.weight_len() as u64).map(element).collect();
            let (weights, _) = Weights::new(&layout, &elements, 20, &seed, 0, &mut generator).unwrap();
            let mut stream = seed.layer(1);
            let [inputs, outputs] = layout.chunks();
            let inputs: Vec<_> = (0..inputs).map(|_| uniform(&mut stream)).collect();
            let elements = elements.into_iter().collect();
            for (group, first) in [(0, 0), (layer.groups - 1, outputs / 2)] {
                let products = weights.sums(group, &inputs).skip(first);
                let multiples = multiples::sums(&layout, &elements, group, first..outputs, &inputs);
                assert_eq!(multiples.len(), outputs - first);
                let all = multiples.iter().zip(products);
                all.for_each(|(one, other)| assert!((0..COEFFICIENTS).all(|place| one.get(place) == other.get(place))));
            }
        }
    }
}
