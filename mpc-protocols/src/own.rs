//! Two parties as the makers of their own correlations: no dealer, and nobody else to trust.
//!
//! Their correlations satisfy the same relations as a dealer's, field by field, so that protocols do not see the difference;
//! only products of matrices are off by the noise of their encryption ([`OwnPlan::noise`]). [`OwnPlan`] says how each is
//! made and what it costs, and refuses by name what two parties cannot make: products that would take more than 128 GiB of
//! transfers, and layers that no encryption has room for. Where there are two ways, it takes the cheaper one.
//!
//! | correlation | how it is made |
//! |---|---|
//! | comparisons, ReLUs | [`mpc_ot::comparison`], in groups of 2^18 elements of however many layers |
//! | products with fixed weights | [`mpc_he`]; exactly by transfers where weights of more than 50 bits are shared, and where that is cheaper |
//! | products of secret matrices | [`mpc_he`] modulo 2^50; small ones, and with more bits, exactly by transfers |
//! | other products of secrets, squares | a transfer for each bit of an operand |
//! | masks with their bits, bits in the ring | a transfer for each bit |
//! | lookups | a one-hot vector of the table's index, and a transfer in each direction for each of its entries |
//! | triples of bits | two transfers, and no message |

mod bits;
mod comparison;
mod cost;
mod encrypted;
mod layers;
mod lookup;
mod maker;
mod piecewise;
mod plan;
mod record;
mod scaled;
mod transfers;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::vec::Vec;

use mpc_ot::{OtError, Pair, Schedule};
use mpc_ring::Ring;
use mpc_shares::{Prg, SecretVec, Seed};
use mpc_transport::{AnyTransport, Metered, Phase};

use crate::correlation::{Provided, Provider, Share};
use crate::{Place, ProtocolError, Request};
use comparison::{Masks, Part};
use encrypted::{Begun, Seeds};
use layers::{Inference, LoadedLayers};
use maker::{Maker, put_all};
use piecewise::Pieces;
use plan::{How, Making};
use transfers::Product;

pub use encrypted::PRODUCT_BITS;
pub use plan::{OwnPlan, WeightHolder};
pub use record::recorded_bytes;

/// Label of what is counted for correlations, in the phases [`Phase::Setup`] and [`Phase::Preprocessing`].
pub const MAKE: &str = "make correlations";

/// A party that makes its correlations together with the other one of two, over a link of their own.
///
/// # Security
/// Semi-honest, under the assumptions of [`mpc_ot`] and [`mpc_he`]. All state stays in memory and serves one session.
///
/// # Rounds and communication
/// [`OwnPlan`] tells them before anything runs. For a ReLU with k = 32 in a ring of 48 bits: 335 bits in one direction and
/// 438 in the other, which change places in the middle of the elements, besides the random OTs; 34 rounds for 2^18 elements. In few
/// bytes 172 and 271 bits.
pub struct Own {
    maker: Maker,
    layers: LoadedLayers,
    /// The weights of exact layers, by the index of their mask: as 128 bits.
    weights: Vec<SecretVec<u128>>,
    /// For products of secrets that are encrypted.
    seeds: Option<Seeds>,
}

impl Own {
    /// Correlations over `pair`, which is open. `seed` is fresh, from the operating system.
    ///
    /// # Errors
    /// [`ProtocolError::Parameter`] for another number of parties than two.
    pub fn new(pair: Pair, place: Place, seed: Seed) -> Result<Self, ProtocolError> {
        if place.parties != 2 || place.party > 1 {
            let (value, allowed) = (place.parties as u64, "two parties make their own correlations");
            return Err(ProtocolError::Parameter {
                protocol: "own correlations",
                parameter: "parties",
                value,
                allowed,
            });
        }
        let maker = Maker { pair, place, generator: Prg::new(seed) };
        Ok(Self { maker, layers: LoadedLayers::default(), weights: Vec::new(), seeds: None })
    }

    /// Loads a model's weights for all inferences of a plan: at a party that has weights (those that it knows, or its shares of
    /// them) by the index of their mask.
    ///
    /// # Rounds and communication
    /// [`OwnPlan::loading`]: a hint for each layer, from a party that has weights to the other, and seeds of 32 bytes.
    ///
    /// # Errors
    /// [`ProtocolError::UnknownMask`], [`ProtocolError::OperandLength`] for weights that are not the plan's;
    /// [`ProtocolError::Encryption`] for a hint that cannot be; [`ProtocolError::Transport`].
    pub async fn load<R: Ring>(&mut self, plan: &OwnPlan, weights: &[&[R]]) -> Result<(), ProtocolError> {
        let Maker { pair, place, generator } = &mut self.maker;
        pair.begin(Phase::Setup, MAKE);
        let [encrypts, evaluates] = plan.sides(*place);
        let known = evaluates.then_some(weights);
        self.layers = LoadedLayers::load(pair, generator, &plan.layers(), known, encrypts).await?;
        self.seeds = if plan.encrypts_products() { Some(Seeds::exchange(pair, generator).await?) } else { None };
        let is_exact = |mask: usize| {
            let uses = |making: &Making| matches!(making.how, How::ExactLayer { mask: used, .. } if used == mask);
            plan.makings.iter().any(uses)
        };
        let wide = |(mask, elements): (usize, &&[R])| {
            let kept = if evaluates && is_exact(mask) { *elements } else { &[] };
            kept.iter().map(|element| element.to_i128() as u128).collect()
        };
        self.weights = weights.iter().enumerate().map(wide).collect();
        Ok(())
    }

    /// Begins to make the correlations of a plan once, whose model was loaded: its layers are refused without it
    /// ([`ProtocolError::UnknownMask`]).
    pub fn begin<'a>(&'a mut self, plan: &'a OwnPlan) -> OwnInference<'a> {
        let (made, input) = (BTreeMap::new(), SecretVec::zeros(0));
        let (inference, begun) = (Inference::new(), Begun::default());
        OwnInference { own: self, plan, next: 0, made, inference, begun, input }
    }

    /// The public state of the transfers, to plan from.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        self.maker.pair.schedule()
    }

    /// The link to the other party, to clear what was counted.
    pub fn transport_mut(&mut self) -> &mut Metered<AnyTransport> {
        self.maker.pair.transport_mut()
    }

    /// The link to the other party, and what passed through it.
    #[must_use]
    pub fn transport(&self) -> &Metered<AnyTransport> {
        self.maker.pair.transport()
    }
}

impl core::fmt::Debug for Own {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Own").field("place", &self.maker.place).finish_non_exhaustive()
    }
}

/// The provider of one run of a plan.
pub struct OwnInference<'a> {
    own: &'a mut Own,
    plan: &'a OwnPlan,
    /// The request that comes next.
    next: usize,
    /// Groups of which something is still to be used.
    made: BTreeMap<usize, Masks>,
    inference: Inference,
    begun: Begun,
    /// This party's part of the last layer's mask.
    input: SecretVec<u128>,
}

impl core::fmt::Debug for OwnInference<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("OwnInference").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Provider for OwnInference<'_> {
    fn provide<'a>(&'a mut self, request: &'a Request, mut shares: Vec<&'a mut dyn Share>) -> Provided<'a> {
        Box::pin(async move {
            let plan = self.plan;
            let Some(Making { how, is_wide }) = plan.makings.get(self.next) else {
                return Err(ProtocolError::RanDry { asked: Box::new(request.clone()) });
            };
            self.next += 1;
            self.own.maker.pair.begin(Phase::Preprocessing, MAKE);
            if *is_wide { self.make::<u128>(how, &mut shares).await } else { self.make::<u64>(how, &mut shares).await }
        })
    }
}

impl OwnInference<'_> {
    async fn make<E: Ring>(&mut self, how: &How, shares: &mut [&mut dyn Share]) -> Result<(), ProtocolError> {
        let Own { maker, layers, seeds, .. } = &mut *self.own;
        match how {
            How::Pieces { pieces, parts } => self.pieces::<E>(*pieces, parts, shares).await,
            How::Compared { len, parts } => {
                for part in parts {
                    let plan = self.plan;
                    let masks = group(&mut self.made, maker, plan, part).await?;
                    masks.put(&plan.groups[part.group], part, *len, shares);
                    if part.is_last {
                        self.made.remove(&part.group);
                    }
                }
                Ok(())
            }
            How::Bits(bits) => bits.make::<E>(maker, shares).await,
            How::Lookup(lookup) => lookup.make::<E>(maker, shares).await,
            How::Layer(layer) => {
                layers.check(layer, self.plan.sides(maker.place))?;
                self.inference.layer(layer, layers, maker, &mut self.input, shares).await
            }
            &How::ExactLayer { product, mask, is_given } => {
                self.exact_layer::<E>(product, mask, is_given, shares).await
            }
            How::Triple(product) => {
                let &Product { map, width } = product;
                let (a, b) = (maker.random::<E>(map.left_len(), width), maker.random::<E>(map.right_len(), width));
                let mut c = product.make(&mut maker.pair, Some(&a), Some(&b)).await?;
                map.accumulate_modulo(width, &a, &b, &mut c);
                put_all(shares, &[&a, &b, &c]);
                Ok(())
            }
            How::EncryptedTriple(product) => {
                let [a, b, c] = product.make(seeds.as_ref(), &mut self.begun, maker).await?;
                put_all(shares, &[&a, &b, &c]);
                Ok(())
            }
            How::Square(product) => {
                let a = maker.random::<E>(product.map.left_len(), product.width);
                let square = product.square(maker, &a).await?;
                put_all(shares, &[&a, &square]);
                Ok(())
            }
        }
    }

    async fn pieces<E: Ring>(
        &mut self,
        pieces: Pieces,
        parts: &[Vec<Part>],
        shares: &mut [&mut dyn Share],
    ) -> Result<(), ProtocolError> {
        let (plan, maker) = (self.plan, &mut self.own.maker);
        let mut gathered = pieces.gathered::<E>();
        for (threshold, parts) in parts.iter().enumerate() {
            for part in parts {
                let masks = group(&mut self.made, maker, plan, part).await?;
                pieces.put((&plan.groups[part.group], part), masks, threshold, &mut gathered, shares);
                if part.is_last {
                    self.made.remove(&part.group);
                }
            }
        }
        pieces.multiply(maker, &gathered, shares).await
    }

    async fn exact_layer<E: Ring>(
        &mut self,
        product: Product,
        mask: usize,
        is_given: bool,
        shares: &mut [&mut dyn Share],
    ) -> Result<(), ProtocolError> {
        let Product { map, width } = product;
        let Own { maker, weights, .. } = &mut *self.own;
        let [encrypts, evaluates] = self.plan.sides(maker.place);
        if !is_given {
            let mask =
                if encrypts { maker.random::<E>(map.left_len(), width) } else { SecretVec::zeros(map.left_len()) };
            self.input = mask.iter().map(|element| element.to_u128()).collect();
        }
        let a: SecretVec<E> = self.input.iter().map(|&element| E::from_u128(element)).collect();
        let known = weights.len();
        let w: SecretVec<E> = match weights.get(mask) {
            Some(weights) if evaluates => weights.iter().map(|&element| E::from_u128(element)).collect(),
            None if evaluates => return Err(ProtocolError::UnknownMask { mask, known }),
            _ => SecretVec::zeros(0),
        };
        if evaluates {
            crate::error::check_len("fixed weights", map.right_len(), w.len())?;
        }
        let (x, y) = (encrypts.then_some(&a[..]), evaluates.then_some(&w[..]));
        let mut c = product.make(&mut maker.pair, x, y).await?;
        if encrypts && evaluates {
            map.accumulate_modulo(width, &a, &w, &mut c);
        }
        if is_given {
            put_all(shares, &[&c]);
        } else {
            put_all(shares, &[&a, &c]);
        }
        Ok(())
    }
}

/// The group of a part, which is made if it was not.
async fn group<'m>(
    made: &'m mut BTreeMap<usize, Masks>,
    maker: &mut Maker,
    plan: &OwnPlan,
    part: &Part,
) -> Result<&'m Masks, ProtocolError> {
    Ok(match made.entry(part.group) {
        Entry::Occupied(made) => made.into_mut(),
        Entry::Vacant(place) => {
            let masks = Masks::generate(&mut maker.pair, &plan.groups[part.group], maker.place.is_first()).await?;
            place.insert(masks)
        }
    })
}

impl From<OtError> for ProtocolError {
    fn from(error: OtError) -> Self {
        match error {
            OtError::Transport(error) => Self::Transport(error),
            other => Self::ObliviousTransfer(other),
        }
    }
}
