//! The holder of the mask: hints, and the encryption of one inference.

use alloc::vec;
use alloc::vec::Vec;
use mpc_ring::Ring;
use mpc_shares::{Prg, SecretVec};

use crate::layout::Role;
use crate::message::{Ciphertext, read_hint, write_opening};
use crate::modulus::{CHOSEN_BITS, split};
use crate::ring::{COEFFICIENTS, PRIMES, Poly, Q, add, compose, residues, subtract};
use crate::sample::{binomial, ternary, uniform};
use crate::{HeError, Layout, PublicSeed};

/// One layer's hint at the holder of the mask: checked, and ready for every inference.
pub struct Hint {
    layout: Layout,
    seed: PublicSeed,
    layer: u32,
    /// Transforms, one an output polynomial.
    polynomials: Vec<Poly>,
}

impl Hint {
    /// The hint that the holder of the weights sent for layer number `layer` of the model with this seed. The bytes are not
    /// trusted.
    ///
    /// # Errors
    /// [`HeError::Length`], [`HeError::Padding`].
    pub fn from_bytes(layout: &Layout, seed: &PublicSeed, layer: u32, bytes: &[u8]) -> Result<Self, HeError> {
        let rounded = read_hint(layout, bytes)?;
        let polynomials = rounded.chunks_exact(COEFFICIENTS).map(|rounded| {
            let mut poly = Poly::zero();
            for (place, &value) in rounded.iter().enumerate() {
                // The largest rounded value stands for q, which is 0.
                poly.set(place, residues(layout.modulus.of_hints().scale_up(value)));
            }
            poly.forward()
        });
        Ok(Self { layout: *layout, seed: *seed, layer, polynomials: polynomials.collect() })
    }

    /// The layout.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

/// One inference at the holder of the mask: a fresh secret, under which each layer is encrypted once.
pub struct Encryption {
    secret: Poly,
    seed: PublicSeed,
    model: PublicSeed,
    next: u32,
}

/// An encrypted layer: the message to the holder of the weights, and what the holder of the mask keeps.
pub struct Encrypted {
    /// The message, of [`Layout::message_bytes`].
    pub message: Vec<u8>,
    /// The mask of the layer's input, in the layout's modulus.
    pub mask: SecretVec<u64>,
    /// The share of the layer on the mask, in the layout's modulus.
    pub share: SecretVec<u64>,
}

impl Encryption {
    /// Begins an inference of the model with this seed. Returns the [`OPENING_BYTES`](crate::OPENING_BYTES) to be sent before
    /// the layers' messages.
    pub fn begin(model: &PublicSeed, generator: &mut Prg) -> (Self, Vec<u8>) {
        let secret = ternary(generator).forward();
        let mut product = binomial(generator).forward();
        product.multiply_accumulate(&model.model(), &secret);
        let seed = PublicSeed::random(generator);
        let message = write_opening(&seed, &product);
        (Self { secret, seed, model: *model, next: 0 }, message)
    }

    /// Encrypts a layer. `given` is the mask of its input if the layout says that it is known before; otherwise it is chosen
    /// here.
    ///
    /// # Errors
    /// [`HeError::Order`] unless the layer comes after all before it, [`HeError::Elements`] if `given` is not what the layout
    /// says, [`HeError::Unsupported`] if the hint belongs to another model.
    pub fn layer(&mut self, hint: &Hint, given: Option<&[u64]>, generator: &mut Prg) -> Result<Encrypted, HeError> {
        self.check(hint)?;
        let (message, mask) = self.message(&hint.layout, hint.layer, given, generator)?;
        Ok(Encrypted { message, mask, share: self.share(hint)? })
    }

    /// The message of layer number `layer` and its mask, as [`layer`](Self::layer), without its hint.
    ///
    /// # Errors
    /// As for [`layer`](Self::layer).
    pub fn message(
        &mut self,
        layout: &Layout,
        layer: u32,
        given: Option<&[u64]>,
        generator: &mut Prg,
    ) -> Result<(Vec<u8>, SecretVec<u64>), HeError> {
        let expected = if layout.is_given { layout.layer.input_len() } else { 0 };
        let actual = given.map_or(0, <[u64]>::len);
        if given.is_some() != layout.is_given || actual != expected {
            return Err(HeError::Elements { what: "masks that are known before", expected, actual });
        }
        if layer < self.next {
            return Err(HeError::Order { layer, next: self.next });
        }
        self.next = layer + 1;
        let mut mask = SecretVec::zeros(layout.layer.input_len());
        match given {
            Some(given) => mask.iter_mut().zip(given).for_each(|(mask, &given)| *mask = layout.modulus.reduce(given)),
            // An element that no output reads is masked too.
            None => {
                u64::fill_random(&mut mask, generator);
                mask.iter_mut().for_each(|mask| *mask = layout.modulus.reduce(*mask));
            }
        }
        let message = self.encrypt((layout, layer), &mut mask, generator).to_bytes();
        Ok((message, mask))
    }

    fn check(&self, hint: &Hint) -> Result<(), HeError> {
        let fits = hint.seed == self.model;
        fits.then_some(()).ok_or(HeError::Unsupported { reason: "its hint is of another model" })
    }

    /// Chooses the masks that are not known, and says what the seed does not.
    fn encrypt(&self, (layout, layer): (&Layout, u32), mask: &mut [u64], generator: &mut Prg) -> Ciphertext {
        let (mut a, mut beta) = (self.model.layer(layer), self.seed.layer(layer));
        let mut is_known = vec![!layout.is_chosen(); mask.len()];
        let [chosen, whole] = layout.message_coefficients();
        let mut message = Ciphertext { chosen: Vec::with_capacity(chosen), whole: Vec::with_capacity(whole) };
        for piece in layout.pieces() {
            let mut noisy = Poly::zero();
            noisy.multiply_accumulate(&uniform(&mut a), &self.secret);
            let mut noisy = noisy.inverse();
            noisy.add(&binomial(generator));
            let beta = uniform(&mut beta);
            for (place, role) in layout.roles(piece, &mut is_known).into_iter().enumerate() {
                let (noisy, beta) = (noisy.get(place), beta.get(place));
                match role {
                    Role::Free => {}
                    Role::Zero => message.whole.push(noisy),
                    Role::Known(index) => {
                        let scaled = residues(layout.modulus.scale_up(mask[index]));
                        message.whole.push([0, 1].map(|k| add(k, noisy[k], scaled[k])));
                    }
                    Role::Fresh(index) => {
                        let (value, rest) = split(compose([0, 1].map(|k| subtract(k, beta[k], noisy[k]))));
                        mask[index] = value;
                        message.chosen.push((rest + (1 << (CHOSEN_BITS - 1))) as u64);
                    }
                }
            }
        }
        message
    }

    /// The share of a layer, whose message was or will be made.
    ///
    /// # Errors
    /// [`HeError::Unsupported`] if the hint belongs to another model.
    pub fn share(&self, hint: &Hint) -> Result<SecretVec<u64>, HeError> {
        self.check(hint)?;
        let layout = &hint.layout;
        let mut share = SecretVec::zeros(layout.layer.output_len());
        let [_, chunks] = layout.chunks();
        for (index, hint) in hint.polynomials.iter().enumerate() {
            let [tile, group] = [index / chunks / layout.layer.groups, index / chunks % layout.layer.groups];
            let mut product = Poly::zero();
            product.multiply_accumulate(hint, &self.secret);
            let product = product.inverse();
            for (place, output) in layout.outputs(tile, group, index % chunks) {
                share[output] = layout.modulus.scale_down(Q - compose(product.get(place)));
            }
        }
        Ok(share)
    }
}

const _: () = assert!(PRIMES[0] > PRIMES[1], "the composition of residues needs this order");
