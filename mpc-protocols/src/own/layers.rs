//! Linear layers with fixed weights: encrypted by the party that has the input's mask, evaluated by the one that has weights.
//!
//! The weights themselves take the place of the dealer's mask of them: nothing is opened when a model is loaded, and
//! C = A ∗ W. Where one party has the weights, A is the other's alone; where both have shares of them, A is the sum of both
//! parties', each encrypts its own, and A_i ∗ W_i is local.
//!
//! The product is modulo 2^50, or up to 2^64 where one party has the weights, and differs from the true one by the noise that
//! [`mpc_he`] bounds.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use mpc_he::{
    Ciphertext, Encryption, Evaluation, HeError, Hint, Layout, Linear, Modulus, OPENING_BYTES, POLYNOMIAL_BYTES,
    PublicSeed, Weights,
};
use mpc_ot::Pair;
use mpc_ring::{Convolution, Ring};
use mpc_shares::{Prg, SecretVec};

use super::cost::{Account, Price};
use super::maker::{Maker, put_at};
use crate::correlation::Share;
use crate::{Bilinear, ProtocolError, Request};

/// A layer that is encrypted: the map with weights of any size, once for each image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    /// Its number among all layers.
    pub(super) number: u32,
    pub(super) mask: usize,
    map: Bilinear,
    layout: Layout,
    images: usize,
    /// Images whose encryption begins with this layer.
    new_images: usize,
    /// Whether its input's mask is that of the layer before.
    pub(super) is_given: bool,
}

impl Layer {
    /// A layer whose products are modulo `modulus`. `begun` has the number of layers and of images before it.
    ///
    /// # Errors
    /// [`HeError`] for a layer that cannot be encrypted.
    pub(super) fn new(
        (mask, map): (usize, Bilinear),
        modulus: Modulus,
        is_given: bool,
        inferences: u64,
        begun: (u32, usize),
    ) -> Result<Self, HeError> {
        let (linear, images) = linear(&map)?;
        let layout = Layout::search(&linear, modulus, inferences, is_given)?;
        // That there is a bound.
        layout.noise(modulus.weight_bits())?;
        let (number, new_images) = (begun.0, images.saturating_sub(begun.1));
        Ok(Self { number, mask, map, layout, images, new_images, is_given })
    }

    /// The number of layers and of images up to this one.
    pub(super) fn ends(&self, begun: (u32, usize)) -> (u32, usize) {
        (self.number + 1, begun.1.max(self.images))
    }

    /// How far one encryption's shares of the product may be off, in units.
    pub(super) fn noise(&self) -> u64 {
        // The layout was found to have a bound.
        self.layout.noise(self.layout.modulus().weight_bits()).map_or(u64::MAX, |bound| bound.with_flooding())
    }

    /// Its price, but for what begins an inference. Whoever waits for one layer's message waits for the next one's, too.
    pub(super) fn price(&self) -> Price {
        let bytes = self.images * self.layout.message_bytes();
        let polynomials = 2 * self.images * (self.layout.input_polynomials() + self.layout.output_polynomials());
        Price { once: self.hint_bytes() as u64, bytes: bytes as u64, rounds: 0, polynomials: polynomials as u64 }
    }

    pub(super) fn hint_bytes(&self) -> usize {
        self.layout.hint_bytes()
    }

    /// The bytes that a party holds of it for all inferences.
    pub(super) fn kept(&self, encrypts: bool, evaluates: bool) -> u64 {
        let of = |is: bool, bytes: usize| if is { bytes as u64 } else { 0 };
        of(encrypts, self.layout.output_polynomials() * POLYNOMIAL_BYTES) + of(evaluates, self.layout.weight_bytes())
    }

    /// The bytes that a party holds besides while it is loaded or made.
    pub(super) fn memory(&self, encrypts: bool, evaluates: bool) -> u64 {
        let working = if evaluates { self.layout.working_bytes() as u64 } else { 0 };
        // A hint in bytes, and its coefficients in 8 bytes each; an input as it was before, as a copy, and as what is sent.
        let passing = (self.bytes() + 3 * self.hint_bytes()) as u64 * (u64::from(encrypts) + u64::from(evaluates));
        let elements = 64 * self.map.left_len() + 32 * (self.map.right_len() + self.map.output_len());
        working + passing + elements as u64
    }

    /// The bytes of one inference from the party that encrypts.
    fn bytes(&self) -> usize {
        self.new_images * OPENING_BYTES + self.images * self.layout.message_bytes()
    }

    /// The cost for a party that encrypts, evaluates, or both.
    pub(super) fn cost(&self, account: &mut Account<'_>, encrypts: bool, evaluates: bool) {
        let of = |is: bool| if is { self.bytes() } else { 0 };
        account.exchange(of(encrypts), of(evaluates));
    }

    /// Weights in the order in which the layout has them, in its modulus.
    fn weights<R: Ring>(&self, weights: &[R]) -> SecretVec<u64> {
        match is_product(&self.map) {
            Some([inner, columns]) => {
                (0..inner * columns).map(|at| self.weight(&weights[at % columns * inner + at / columns])).collect()
            }
            None => weights.iter().map(|weight| self.weight(weight)).collect(),
        }
    }

    fn weight<R: Ring>(&self, weight: &R) -> u64 {
        weight.low_u64() & u64::low_mask(self.layout.modulus().bits())
    }
}

/// A fully connected layer with several inputs: its elements of an input and of an output.
fn is_product(map: &Bilinear) -> Option<[usize; 2]> {
    match map {
        Bilinear::Convolution(shape)
            if shape.batch > 1
                && shape.groups == 1
                && [shape.height, shape.width, shape.output_height(), shape.output_width()] == [1; 4]
                && shape.kernel == [1, 1] =>
        {
            Some([shape.input_channels, shape.output_channels])
        }
        _ => None,
    }
}

/// The layer of one image, and the number of images.
fn linear(map: &Bilinear) -> Result<(Linear, usize), HeError> {
    match (map, is_product(map)) {
        (Bilinear::Convolution(shape), Some([inner, columns])) => {
            Ok((Linear::right_product(shape.batch, inner, columns)?, 1))
        }
        (Bilinear::Convolution(shape), None) => {
            Ok((Linear::convolution(&Convolution { batch: 1, ..*shape })?, shape.batch))
        }
        (&Bilinear::MatrixProduct { rows, inner, columns }, _) => Ok((Linear::right_product(rows, inner, columns)?, 1)),
        _ => Err(HeError::Unsupported { reason: "it is no convolution and no product of one matrix" }),
    }
}

/// A party's part of a model's layers, for all inferences.
#[derive(Default)]
pub(super) struct LoadedLayers {
    /// The hints of the other party's weights, by the number of the layer.
    hints: Vec<Hint>,
    hint_seed: Option<PublicSeed>,
    /// This party's weights.
    weights: Vec<Weights>,
    /// The same for the product with its own mask, where both parties have weights.
    local: Vec<SecretVec<u64>>,
}

/// The cost of [`LoadedLayers::load`].
pub(super) fn loading_cost(layers: &[&Layer], account: &mut Account<'_>, encrypts: bool, evaluates: bool) {
    if layers.is_empty() {
        return;
    }
    let of = |is: bool, bytes: usize| if is { bytes } else { 0 };
    account.exchange(of(evaluates, PublicSeed::BYTES), of(encrypts, PublicSeed::BYTES));
    for layer in layers {
        account.exchange(of(evaluates, layer.hint_bytes()), of(encrypts, layer.hint_bytes()));
    }
}

impl LoadedLayers {
    /// Makes the hints of this party's weights, and receives those of the other's. `weights` are by the index of their mask.
    pub(super) async fn load<R: Ring>(
        pair: &mut Pair,
        generator: &mut Prg,
        layers: &[&Layer],
        weights: Option<&[&[R]]>,
        receives: bool,
    ) -> Result<Self, ProtocolError> {
        let mut loaded = Self::default();
        if layers.is_empty() {
            return Ok(loaded);
        }
        let own_seed = weights.map(|_| PublicSeed::random(generator));
        let seed_message = own_seed.map_or(Vec::new(), |seed| seed.to_bytes().to_vec());
        let mut seed = [0; PublicSeed::BYTES];
        pair.exchange(&seed_message, if receives { &mut seed } else { &mut [] }).await?;
        loaded.hint_seed = receives.then(|| PublicSeed::from_bytes(seed));
        for layer in layers {
            let mut message = Vec::new();
            if let (Some(weights), Some(seed)) = (weights, &own_seed) {
                let known = weights.len();
                let unknown = ProtocolError::UnknownMask { mask: layer.mask, known };
                let elements = *weights.get(layer.mask).ok_or(unknown)?;
                crate::error::check_len("fixed weights", layer.map.right_len(), elements.len())?;
                let ordered = layer.weights(elements);
                let bits = layer.layout.modulus().weight_bits();
                let (prepared, hint) = Weights::new(&layer.layout, &ordered, bits, seed, layer.number, generator)?;
                loaded.weights.push(prepared);
                if receives {
                    loaded.local.push(elements.iter().map(|weight| layer.weight(weight)).collect());
                }
                message = hint;
            }
            let mut hint = vec![0; if receives { layer.hint_bytes() } else { 0 }];
            pair.exchange(&message, &mut hint).await?;
            if let Some(seed) = &loaded.hint_seed {
                loaded.hints.push(Hint::from_bytes(&layer.layout, seed, layer.number, &hint)?);
            }
        }
        Ok(loaded)
    }

    /// Checks that a party has loaded its part of a layer: without a hint it would make no mask for the layer's input.
    ///
    /// # Errors
    /// [`ProtocolError::UnknownMask`].
    pub(super) fn check(&self, layer: &Layer, [encrypts, evaluates]: [bool; 2]) -> Result<(), ProtocolError> {
        for (is_needed, known) in [(encrypts, self.hints.len()), (evaluates, self.weights.len())] {
            if is_needed && layer.number as usize >= known {
                return Err(ProtocolError::UnknownMask { mask: layer.mask, known });
            }
        }
        Ok(())
    }
}

/// One inference's layers at a party.
pub(super) struct Inference {
    encryptions: Vec<Encryption>,
    evaluations: Vec<Evaluation>,
}

impl Inference {
    pub(super) fn new() -> Self {
        Self { encryptions: Vec::new(), evaluations: Vec::new() }
    }

    /// Makes one layer, and fills the shares of A, unless the layer before had it, and of C. `mask` is this party's part of the last
    /// layer's A, and becomes that of this one's.
    pub(super) async fn layer(
        &mut self,
        layer: &Layer,
        loaded: &LoadedLayers,
        Maker { pair, generator, .. }: &mut Maker,
        mask: &mut SecretVec<u128>,
        shares: &mut [&mut dyn Share],
    ) -> Result<(), ProtocolError> {
        let mut own: SecretVec<u64> = if layer.is_given {
            mask.iter().map(|element| element.low_u64()).collect()
        } else {
            SecretVec::zeros(layer.map.left_len())
        };
        let number = layer.number as usize;
        let mut product = SecretVec::<u64>::zeros(layer.map.output_len());
        let mut message = Vec::new();
        if let (Some(hint), Some(seed)) = (loaded.hints.get(number), &loaded.hint_seed) {
            message = self.encrypt(layer, hint, seed, generator, &mut own, &mut product)?;
        }
        let weights = loaded.weights.get(number);
        let mut received = vec![0; if weights.is_some() { layer.bytes() } else { 0 }];
        pair.exchange(&message, &mut received).await?;
        if let Some(weights) = weights {
            self.evaluate(layer, weights, &received, generator, &mut product)?;
        }
        if let Some(weights) = loaded.local.get(number) {
            layer.map.accumulate(&own, weights, &mut product);
        }
        let mut shares = shares.iter_mut();
        if !layer.is_given
            && let Some(share) = shares.next()
        {
            put_at(&own, *share, 0);
            *mask = own.iter().map(|&element| u128::from(element)).collect();
        }
        if let Some(share) = shares.next() {
            put_at(&product, *share, 0);
        }
        Ok(())
    }

    /// Encrypts this party's mask, image by image, and adds its share of the product.
    fn encrypt(
        &mut self,
        layer: &Layer,
        hint: &Hint,
        seed: &PublicSeed,
        generator: &mut Prg,
        own: &mut SecretVec<u64>,
        product: &mut [u64],
    ) -> Result<Vec<u8>, ProtocolError> {
        let mut message = Vec::with_capacity(layer.bytes());
        let len = layer.map.left_len() / layer.images;
        let mut masks = SecretVec::zeros(layer.map.left_len());
        let out = product.len() / layer.images;
        for (image, (mask, product)) in masks.chunks_mut(len).zip(product.chunks_mut(out)).enumerate() {
            if image == self.encryptions.len() {
                let (encryption, opening) = Encryption::begin(seed, generator);
                self.encryptions.push(encryption);
                message.extend_from_slice(&opening);
            }
            let given = layer.is_given.then(|| &own[image * len..][..len]);
            let encrypted = self.encryptions[image].layer(hint, given, generator)?;
            message.extend_from_slice(&encrypted.message);
            mask.copy_from_slice(&encrypted.mask);
            product.iter_mut().zip(encrypted.share.iter()).for_each(|(sum, share)| *sum = sum.wrapping_add(*share));
        }
        *own = masks;
        Ok(message)
    }

    /// Adds this party's share of the product of its weights with the mask that the other encrypted.
    fn evaluate(
        &mut self,
        layer: &Layer,
        weights: &Weights,
        mut received: &[u8],
        generator: &mut Prg,
        product: &mut [u64],
    ) -> Result<(), ProtocolError> {
        let out = product.len() / layer.images;
        for (image, product) in product.chunks_mut(out).enumerate() {
            if image == self.evaluations.len() {
                let (opening, rest) = received.split_at(OPENING_BYTES);
                received = rest;
                self.evaluations.push(Evaluation::from_bytes(opening)?);
            }
            let (message, rest) = received.split_at(layer.layout.message_bytes());
            received = rest;
            let message = Ciphertext::from_bytes(&layer.layout, message)?;
            let share = self.evaluations[image].layer(weights, &message, generator)?;
            product.iter_mut().zip(share.iter()).for_each(|(sum, share)| *sum = sum.wrapping_add(*share));
        }
        Ok(())
    }
}

impl From<HeError> for ProtocolError {
    fn from(source: HeError) -> Self {
        Self::Encryption { layer: None, source }
    }
}

/// That a request's layer cannot be encrypted.
pub(super) fn refused(request: &Request, source: HeError) -> ProtocolError {
    ProtocolError::Encryption { layer: Some(Box::new(request.clone())), source }
}
