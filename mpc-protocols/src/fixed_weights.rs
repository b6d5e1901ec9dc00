//! Linear layers whose shared weights serve many inferences: the weights are opened under a mask once, and each
//! inference opens its input alone and computes one convolution per party.
//!
//! With Δ = W − B opened at load, a fresh pair (A, C = A ∗ B) and E = X − A opened, X ∗ W = E ∗ W + A ∗ Δ + C.
//! A weight mask is used again with a fresh A each time, which reveals nothing: Δ is opened only once.

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use mpc_ring::{Ring, packing};
use mpc_shares::{ArithmeticShares, SecretVec};
use mpc_transport::Traffic;

use crate::beaver::{difference, open_difference};
use crate::bilinear::FixedRight;
use crate::correlation::{AtRest, Deal, Dealing, Fields};
use crate::error::check_len;
use crate::open::{self, open_all};
use crate::{Bilinear, Correlation, Party, Place, ProtocolError, Request, sharing};

/// The most bytes of a message in which several layers are opened: a model's may be more than a frame holds, and need no more
/// memory.
const LOAD_MESSAGE: usize = 1 << 28;

/// One party's share of a random mask of a layer's weights, which the dealer remembers. It is uniform modulo 2^w where w bits
/// of the layer's results are read.
#[derive(Debug)]
pub struct WeightMask<R: Ring> {
    mask: AtRest<R>,
    width: u32,
}

impl<R: Ring> Correlation for WeightMask<R> {
    type Shape = usize;
    type Ring = R;

    fn request(&len: &usize) -> Request {
        Request::WeightMask { len }
    }

    fn from_fields(&len: &usize, fields: &mut Fields<R>) -> Result<Self, ProtocolError> {
        let width = fields.width();
        Ok(Self { mask: fields.uniform(len, width), width })
    }
}

impl<R: Ring> Deal<R> for WeightMask<R> {
    async fn deal(_: &usize, dealing: &mut Dealing<'_, R>) -> Result<(), ProtocolError> {
        let mask = FixedRight::new(dealing.uniform());
        dealing.weight_masks.push(mask);
        Ok(())
    }
}

/// One party's share of (a, a ∗ b) for a fresh random a, b being the weight mask with index `mask`: modulo 2^w, of which w
/// bits of the product are read.
#[derive(Debug)]
pub struct FixedWeightPair<R: Ring> {
    width: u32,
    a: AtRest<R>,
    product: FixedWeightProduct<R>,
}

/// Which weight mask, and the layer's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedWeightShape {
    /// The index of the weight mask, in the order of set-up.
    pub mask: usize,
    /// The linear layer, with the weights on the right.
    pub map: Bilinear,
}

impl<R: Ring> Correlation for FixedWeightPair<R> {
    type Shape = FixedWeightShape;
    type Ring = R;

    fn request(shape: &FixedWeightShape) -> Request {
        Request::FixedWeights { mask: shape.mask, map: shape.map }
    }

    fn from_fields(shape: &FixedWeightShape, fields: &mut Fields<R>) -> Result<Self, ProtocolError> {
        let a = fields.uniform(shape.map.left_len(), fields.width());
        Ok(Self { width: fields.width(), a, product: FixedWeightProduct::from_fields(shape, fields)? })
    }
}

impl<R: Ring> Deal<R> for FixedWeightPair<R> {
    async fn deal(shape: &FixedWeightShape, dealing: &mut Dealing<'_, R>) -> Result<(), ProtocolError> {
        dealing.input_mask = dealing.uniform();
        FixedWeightProduct::deal(shape, dealing).await
    }

    fn scratch(shape: &FixedWeightShape) -> usize {
        shape.map.scratch_len()
    }
}

/// One party's share of a ∗ b, b being the weight mask with index `mask` and a that of the [`FixedWeightPair`] before it: for
/// another layer with the same input.
#[derive(Debug)]
pub struct FixedWeightProduct<R: Ring> {
    map: Bilinear,
    width: u32,
    c: AtRest<R>,
}

impl<R: Ring> Correlation for FixedWeightProduct<R> {
    type Shape = FixedWeightShape;
    type Ring = R;

    fn request(shape: &FixedWeightShape) -> Request {
        Request::FixedWeightsSharedInput { mask: shape.mask, map: shape.map }
    }

    fn from_fields(shape: &FixedWeightShape, fields: &mut Fields<R>) -> Result<Self, ProtocolError> {
        let width = fields.width();
        Ok(Self { map: shape.map, width, c: fields.dealt_apart(shape.map.output_len(), width) })
    }
}

impl<R: Ring> Deal<R> for FixedWeightProduct<R> {
    async fn deal(
        &FixedWeightShape { mask, map }: &FixedWeightShape,
        dealing: &mut Dealing<'_, R>,
    ) -> Result<(), ProtocolError> {
        let (weights, a) = (dealing.weight_mask(mask)?, &dealing.input_mask);
        check_len("fixed weights, mask", map.right_len(), weights.len())?;
        check_len("fixed weights, input", map.left_len(), a.len())?;
        let mut c = SecretVec::zeros(map.output_len());
        weights.accumulate(dealing.width(), &map, a, &mut c);
        dealing.dealt(&c).await
    }

    fn scratch(shape: &FixedWeightShape) -> usize {
        // With the a that is kept.
        shape.map.scratch_len() + shape.map.left_len()
    }
}

/// A layer's weights as one party holds them for the life of a loaded model: its share, and the public Δ = W − B.
#[derive(Debug)]
pub struct FixedWeights<R: Ring> {
    shares: FixedRight<R>,
    difference: FixedRight<R>,
}

impl<R: Ring> FixedWeights<R> {
    /// Loads the shared weights of a model's layers: opens them all under their masks, once.
    ///
    /// # Security
    /// W − B is uniform since B is, modulo 2^w as it is opened, and is opened once in the life of B.
    ///
    /// # Rounds and communication
    /// 1 round for all layers together, or one for each 256 MiB where they are more; w/8 bytes per weight of a mask of w bits to
    /// each other party ([`load_traffic`]).
    ///
    /// # Errors
    /// [`ProtocolError::OperandLength`], [`ProtocolError::Transport`].
    pub async fn load(
        party: &mut Party,
        layers: Vec<(ArithmeticShares<R>, WeightMask<R>)>,
    ) -> Result<Vec<Self>, ProtocolError> {
        Self::load_within(party, layers, LOAD_MESSAGE).await
    }

    async fn load_within(
        party: &mut Party,
        layers: Vec<(ArithmeticShares<R>, WeightMask<R>)>,
        message: usize,
    ) -> Result<Vec<Self>, ProtocolError> {
        layers.iter().try_for_each(|(shares, mask)| check_len("fixed weights", mask.mask.len(), shares.len()))?;
        let counts =
            messages(layers.iter().map(|(shares, mask)| packing::packed_len(shares.len(), mask.width)), message);
        let mut loaded = Vec::with_capacity(layers.len());
        let mut layers = layers.into_iter();
        for count in counts {
            let group: Vec<_> = layers.by_ref().take(count).collect();
            let runs = group
                .iter()
                .map(|(shares, WeightMask { mask, width })| (shares.len(), *width, difference(shares, mask)));
            let opened = open_all(party, runs.collect()).await?;
            loaded.extend(group.into_iter().zip(opened).map(|((shares, _), difference)| {
                let shares = FixedRight::new(shares.into_elements().into());
                Self { shares, difference: FixedRight::new(difference) }
            }));
        }
        Ok(loaded)
    }

    /// The weights as they were loaded before: this party's share, and Δ. Of weights that no mask hides, since they take the
    /// mask's place in every correlation, there is no Δ.
    ///
    /// # Panics
    /// If there are not as many elements of both, where there is a Δ.
    #[must_use]
    pub fn restore(shares: ArithmeticShares<R>, difference: Vec<R>) -> Self {
        assert!(difference.is_empty() || shares.len() == difference.len(), "a share and a difference for each weight");
        let right = |elements: Vec<R>| FixedRight::new(elements.into());
        Self { shares: right(shares.into_elements()), difference: right(difference) }
    }

    /// This party's share of the weights.
    #[must_use]
    pub fn share(&self) -> &[R] {
        self.shares.elements()
    }

    /// Δ = W − B, which every party knows; nothing for weights that no mask hides.
    #[must_use]
    pub fn difference(&self) -> &[R] {
        self.difference.elements()
    }

    /// This party's share of the mask B = W − Δ, in a sharing of its own.
    pub(crate) fn mask_share(&self, place: Place) -> FixedRight<R> {
        let mut share = SecretVec::copy_of(self.shares.elements());
        if place.party == 0 {
            let difference = self.difference.elements().iter();
            share.iter_mut().zip(difference).for_each(|(x, &y)| *x = x.wrapping_sub(y));
        }
        FixedRight::new(share)
    }

    /// Computes all that can be computed before the input is there: Z = A ∗ Δ + C. The first time, weights are packed
    /// for the layer's shape, once for all inferences.
    ///
    /// # Errors
    /// [`ProtocolError::OperandLength`] if the pair is for a layer with another number of weights.
    pub fn prepare(&self, pair: FixedWeightPair<R>) -> Result<PreparedLayer<R>, ProtocolError> {
        let FixedWeightPair { width, a: mask, product } = pair;
        Ok(PreparedLayer { width, product: self.prepare_product(&mask, product)?, mask })
    }

    /// As [`prepare`](Self::prepare) for a further layer with the input of `first`: its mask A serves both.
    ///
    /// # Errors
    /// [`ProtocolError::OperandLength`] if the product is for a layer with another number of weights or inputs.
    pub fn prepare_again(
        &self,
        first: &PreparedLayer<R>,
        product: FixedWeightProduct<R>,
    ) -> Result<PreparedProduct<R>, ProtocolError> {
        self.prepare_product(&first.mask, product)
    }

    fn prepare_product(
        &self,
        mask: &AtRest<R>,
        product: FixedWeightProduct<R>,
    ) -> Result<PreparedProduct<R>, ProtocolError> {
        let FixedWeightProduct { map, width, c: mut offset } = product;
        check_len("fixed weights", map.right_len(), self.shares.len())?;
        check_len("fixed weights, input", map.left_len(), mask.len())?;
        if self.difference.len() > 0 {
            let (mask, mut sums) = (mask.copy(), offset.all());
            self.difference.accumulate(width, &map, &mask, &mut sums);
            offset = AtRest::packed(&sums, width);
        }
        self.shares.pack(&map);
        Ok(PreparedProduct { map, width, offset })
    }

    /// Shares of x ∗ W modulo 2^w, w being the width of the layer's pair, in the shape of the map's output: one local
    /// convolution. No more than the w low bits of x are read; the weights' mask must have no fewer.
    ///
    /// # Security
    /// Opened is E = x − A modulo 2^w, uniform since A is fresh.
    ///
    /// # Rounds and communication
    /// 1 round; w/8 bytes per element of x to each other party ([`traffic`]).
    ///
    /// # Errors
    /// [`ProtocolError::OperandLength`], [`ProtocolError::Transport`].
    pub async fn apply(
        &self,
        party: &mut Party,
        x: &ArithmeticShares<R>,
        layer: PreparedLayer<R>,
    ) -> Result<ArithmeticShares<R>, ProtocolError> {
        let (product, opened) = layer.open(party, None, x).await?;
        self.multiply(&opened, product)
    }

    /// As [`apply`](Self::apply), where party `owner` knows the weights: its share is W itself, the others' are zeros.
    /// Only the others send, and only the owner computes a convolution.
    ///
    /// # Security
    /// The owner alone learns E = x − A modulo 2^w, uniform since A is fresh.
    ///
    /// # Rounds and communication
    /// 1 round for the owner; w/8 bytes per element of x from each other party ([`traffic_at_owner`]).
    ///
    /// # Errors
    /// [`ProtocolError::OperandLength`], [`ProtocolError::Transport`].
    pub async fn apply_at_owner(
        &self,
        party: &mut Party,
        owner: usize,
        x: &ArithmeticShares<R>,
        layer: PreparedLayer<R>,
    ) -> Result<ArithmeticShares<R>, ProtocolError> {
        let (product, opened) = layer.open(party, Some(owner), x).await?;
        self.multiply(&opened, product)
    }

    /// Shares of x ∗ W for the x that was opened, in the shape of the map's output. Without a message.
    ///
    /// # Errors
    /// [`ProtocolError::OperandLength`] if it was another layer's input.
    pub fn multiply(
        &self,
        opened: &OpenedInput<R>,
        product: PreparedProduct<R>,
    ) -> Result<ArithmeticShares<R>, ProtocolError> {
        let PreparedProduct { map, width, offset } = product;
        let mut offset = offset.shares();
        if let Some(opened) = &opened.0 {
            check_len("fixed weights, input", map.left_len(), opened.len())?;
            self.shares.accumulate(width, &map, opened, offset.elements_mut());
        }
        Ok(offset.reshape(&map.output_shape())?)
    }
}

/// One use of a layer, ready for its input: the input's mask A and Z = A ∗ Δ + C. Consumed by its use.
#[derive(Debug)]
pub struct PreparedLayer<R: Ring> {
    width: u32,
    mask: AtRest<R>,
    product: PreparedProduct<R>,
}

/// One use of a layer whose input's mask is elsewhere: Z = A ∗ Δ + C. Consumed by its use.
#[derive(Debug)]
pub struct PreparedProduct<R: Ring> {
    map: Bilinear,
    width: u32,
    offset: AtRest<R>,
}

/// E = x − A as those know it to whom it was opened, for the layer with that mask and all that
/// [share](FixedWeights::prepare_again) it.
#[derive(Debug)]
pub struct OpenedInput<R: Ring>(Option<SecretVec<R>>);

impl<R: Ring> PreparedLayer<R> {
    /// Opens the layer's input under its mask, to all parties or to the one that knows the weights. What is left of the layer
    /// is [multiplied](FixedWeights::multiply) without a message, and so are others with the same input.
    ///
    /// # Security
    /// Opened is E = x − A, uniform since A is fresh; once, for however many layers.
    ///
    /// # Rounds and communication
    /// As [`FixedWeights::apply`] or [`FixedWeights::apply_at_owner`].
    ///
    /// # Errors
    /// [`ProtocolError::OperandLength`], [`ProtocolError::Transport`].
    pub async fn open(
        self,
        party: &mut Party,
        owner: Option<usize>,
        x: &ArithmeticShares<R>,
    ) -> Result<(PreparedProduct<R>, OpenedInput<R>), ProtocolError> {
        let Self { width, mask, product } = self;
        check_len("fixed weights, input", mask.len(), x.len())?;
        let opened = match owner {
            None => Some(open_difference(party, x, &mask, width).await?),
            Some(owner) => {
                let mut differences = SecretVec::zeros(x.len());
                difference(x, &mask)(0..x.len(), &mut differences);
                let differences = ArithmeticShares::from_elements(differences.into_vec());
                sharing::reveal_low_bits(party, owner, &differences, width).await?.map(SecretVec::from)
            }
        };
        Ok((product, OpenedInput(opened)))
    }
}

/// The traffic of each party in [`FixedWeights::load`]: the number of weights under each mask, and its width.
#[must_use]
pub fn load_traffic(masks: impl IntoIterator<Item = (usize, u32)>, parties: usize) -> Traffic {
    let exchanges = load_messages(masks).into_iter().map(|bytes| Traffic::exchange(bytes, parties));
    exchanges.fold(Traffic::default(), |sum, traffic| sum + traffic)
}

/// The bytes of each message of a party in [`FixedWeights::load`]: the number of weights under each mask, and its width.
#[must_use]
pub fn load_messages(masks: impl IntoIterator<Item = (usize, u32)>) -> Vec<u64> {
    let layers: Vec<_> = masks.into_iter().map(|(len, width)| packing::packed_len(len, width)).collect();
    let mut rest = layers.iter();
    let counts = messages(layers.iter().copied(), LOAD_MESSAGE).into_iter();
    counts.map(|count| rest.by_ref().take(count).map(|&bytes| bytes as u64).sum()).collect()
}

/// How many layers of these bytes go into each message of [`FixedWeights::load`]: as many as `most` bytes hold, one at least, and
/// one message where there is no layer.
fn messages(layers: impl IntoIterator<Item = usize>, most: usize) -> Vec<usize> {
    let (mut counts, mut bytes) = (Vec::from([0]), 0_usize);
    for layer in layers {
        bytes = bytes.saturating_add(layer);
        match counts.last_mut() {
            Some(count) if bytes <= most || *count == 0 => *count += 1,
            _ => {
                counts.push(1);
                bytes = layer;
            }
        }
    }
    counts
}

/// The traffic of each party in [`FixedWeights::apply`] with a pair of `width` bits.
#[must_use]
pub fn traffic(map: &Bilinear, width: u32, parties: usize) -> Traffic {
    open::traffic(map.left_len(), width, parties)
}

/// The traffic of party `party` in [`FixedWeights::apply_at_owner`] with a pair of `width` bits.
#[must_use]
pub fn traffic_at_owner(map: &Bilinear, width: u32, party: usize, owner: usize, parties: usize) -> Traffic {
    sharing::reveal_traffic(map.left_len(), width, party, owner, parties)
}
