//! How two parties make the correlations of a plan, and what that costs them: known before anything is sent.

use alloc::boxed::Box;
use alloc::vec::Vec;

use mpc_he::{HeError, Modulus};
use mpc_ot::Schedule;
use mpc_ring::{Ring, packing};
use mpc_transport::Traffic;

use super::bits::Bits;
use super::comparison::{GROUP, Group, PART, Part};
use super::cost::Account;
use super::encrypted::{self, Encrypted};
use super::layers::{self, Layer};
use super::lookup::Lookup;
use super::piecewise::Pieces;
use super::transfers::Product;
use crate::sign::SignParameters;
use crate::{Bilinear, Place, ProtocolError, Request};

/// The bytes of an element while it is made, and of what is kept of it.
const GROUP_BYTES: u64 = 320;

/// The holder of the weights of linear layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightHolder {
    /// One of the two parties knows them.
    Party(usize),
    /// They are shared.
    Both,
}

impl WeightHolder {
    pub(super) fn includes(self, party: usize) -> bool {
        match self {
            Self::Party(holder) => holder == party,
            Self::Both => true,
        }
    }
}

/// How two parties make the correlations of a plan.
#[derive(Clone, Debug)]
pub struct OwnPlan {
    pub(super) makings: Vec<Making>,
    pub(super) groups: Vec<Group>,
    pub(super) holder: WeightHolder,
}

/// How one correlation is made.
#[derive(Clone, Debug)]
pub(super) struct Making {
    pub(super) how: How,
    /// Whether its numbers take more than 64 bits.
    pub(super) is_wide: bool,
}

#[derive(Clone, Debug)]
pub(super) enum How {
    Compared {
        len: usize,
        parts: Vec<Part>,
    },
    /// Of each threshold its parts, of one where there is none.
    Pieces {
        pieces: Pieces,
        parts: Vec<Vec<Part>>,
    },
    Bits(Bits),
    Lookup(Lookup),
    Layer(Box<Layer>),
    /// A layer by transfers, with the weights' index; whether its input's mask is that of the layer before.
    ExactLayer {
        product: Product,
        mask: usize,
        is_given: bool,
    },
    Triple(Product),
    EncryptedTriple(Encrypted),
    Square(Product),
}

impl OwnPlan {
    /// Plans how two parties make `requests` in ring `R`. `inferences` is the number of times that the plan is expected to run:
    /// with more of them, more is sent once and less each time. `tolerated` has, by the index of a request, how many units its product
    /// may be off: one that is exact is taken where its encryption would have more noise, unless it is of at most 50 bits with
    /// fixed weights. [`noise`](Self::noise) says what there is.
    ///
    /// # Errors
    /// [`ProtocolError::NotMadeByParties`], [`ProtocolError::Encryption`] for the first request that they cannot make.
    pub fn new<R: Ring>(
        requests: &[Request],
        holder: WeightHolder,
        inferences: u64,
        tolerated: impl Fn(usize) -> u64,
    ) -> Result<Self, ProtocolError> {
        let mut planning =
            Planning { holder, inferences, begun: (0, 0), products: 0, groups: Vec::new(), open: Vec::new() };
        let makings = requests.iter().enumerate().map(|(at, request)| planning.request::<R>(request, tolerated(at)));
        let makings = makings.collect::<Result<Vec<_>, _>>()?;
        let mut plan = Self { makings, groups: planning.groups, holder };
        plan.mark_ends();
        Ok(plan)
    }

    /// Marks the last part of each group.
    fn mark_ends(&mut self) {
        let mut is_used = alloc::vec![false; self.groups.len()];
        for making in self.makings.iter_mut().rev() {
            let parts: Vec<&mut Part> = match &mut making.how {
                How::Compared { parts, .. } => parts.iter_mut().collect(),
                How::Pieces { parts, .. } => parts.iter_mut().flatten().collect(),
                _ => continue,
            };
            for part in parts.into_iter().rev() {
                part.is_last = !core::mem::replace(&mut is_used[part.group], true);
            }
        }
    }

    pub(super) fn layers(&self) -> Vec<&Layer> {
        let layers = self.makings.iter().filter_map(|making| match &making.how {
            How::Layer(layer) => Some(&**layer),
            _ => None,
        });
        layers.collect()
    }

    /// Whether products of secrets are encrypted.
    pub(super) fn encrypts_products(&self) -> bool {
        self.makings.iter().any(|making| matches!(making.how, How::EncryptedTriple(_)))
    }

    /// How far the shares of encrypted products may be off, in units of the last place of the product: for each request, zero
    /// where they are exact.
    pub fn noise(&self) -> impl Iterator<Item = u64> {
        // Of weights that are shared, each party's part is encrypted.
        let encryptions = if self.holder == WeightHolder::Both { 2 } else { 1 };
        let of = move |layer: &Layer| layer.noise().saturating_mul(encryptions);
        self.makings.iter().map(move |making| match &making.how {
            How::Layer(layer) => of(layer),
            How::EncryptedTriple(product) => product.noise(),
            _ => 0,
        })
    }

    /// About how many bytes a party holds besides correlations while it makes them: no less than it does.
    #[must_use]
    pub fn memory(&self, place: Place) -> u64 {
        let [encrypts, evaluates] = self.sides(place);
        let kept = self.makings.iter().map(|making| match &making.how {
            // Its weights, each as 128 bits.
            How::ExactLayer { product, .. } if evaluates => 16 * product.map.right_len() as u64,
            How::Layer(layer) => layer.kept(encrypts, evaluates),
            _ => 0,
        });
        let groups = self.groups.iter().map(|group| group.len as u64 * GROUP_BYTES).max().unwrap_or(0);
        let products = self.makings.iter().map(|making| match &making.how {
            How::ExactLayer { product, .. } | How::Triple(product) | How::Square(product) => product.memory(),
            How::Layer(layer) => layer.memory(encrypts, evaluates),
            How::EncryptedTriple(product) => product.memory(),
            How::Bits(bits) => bits.memory(),
            How::Lookup(lookup) => lookup.memory(),
            How::Pieces { pieces, .. } => pieces.memory(),
            _ => 0,
        });
        // Of groups one is in the making, and one of each size is in use.
        kept.sum::<u64>() + 3 * groups + products.max().unwrap_or(0)
    }

    /// The traffic of a party when a model is loaded: [`Own::load`](super::Own::load).
    #[must_use]
    pub fn loading(&self, place: Place) -> Traffic {
        // Loading takes no transfers.
        let mut schedule = Schedule::new(mpc_ot::Method::SILENT);
        let mut account = Account::new(&mut schedule);
        let [encrypts, evaluates] = self.sides(place);
        layers::loading_cost(&self.layers(), &mut account, encrypts, evaluates);
        if self.encrypts_products() {
            encrypted::Seeds::cost(&mut account);
        }
        account.total()
    }

    /// Whether a party encrypts the inputs of layers, and whether it evaluates layers.
    pub(super) fn sides(&self, place: Place) -> [bool; 2] {
        [self.holder.includes(1 - place.party.min(1)), self.holder.includes(place.party)]
    }

    /// The traffic of a party that makes each request, from the state `schedule` of its pair on, which goes on.
    pub fn traffic_by_request(&self, place: Place, schedule: &mut Schedule) -> Vec<Traffic> {
        let mut made = alloc::vec![false; self.groups.len()];
        let cost = |making: &Making| {
            let mut account = Account::new(schedule);
            self.cost(making, place, &mut made, &mut account);
            account.total()
        };
        self.makings.iter().map(cost).collect()
    }

    /// The traffic of a party that makes all requests once, from the state `schedule` of its pair on, which goes on.
    pub fn traffic(&self, place: Place, schedule: &mut Schedule) -> Traffic {
        self.traffic_by_request(place, schedule).into_iter().sum()
    }

    /// The cost of the groups of some parts that were not made before.
    fn groups_cost(&self, parts: &[Part], place: Place, made: &mut [bool], account: &mut Account<'_>) {
        for part in parts {
            if !core::mem::replace(&mut made[part.group], true) {
                let shape = self.groups[part.group].shape();
                let traffic = shape.traffic(account.schedule(), place.is_first());
                account.add(traffic);
            }
        }
    }

    fn cost(&self, making: &Making, place: Place, made: &mut [bool], account: &mut Account<'_>) {
        let [encrypts, evaluates] = self.sides(place);
        match &making.how {
            How::Compared { parts, .. } => self.groups_cost(parts, place, made, account),
            How::Pieces { pieces, parts } => {
                parts.iter().for_each(|parts| self.groups_cost(parts, place, made, account));
                pieces.cost(account);
            }
            How::Bits(bits) => bits.cost(account, place.is_first()),
            How::Lookup(lookup) => lookup.cost(account, place.is_first()),
            How::Layer(layer) => layer.cost(account, encrypts, evaluates),
            How::ExactLayer { product, .. } => product.cost(account, encrypts, evaluates),
            How::Triple(product) => product.cost(account, true, true),
            How::EncryptedTriple(product) => product.cost(account),
            How::Square(product) => product.cost(account, place.is_first(), !place.is_first()),
        }
    }
}

/// A plan in the making.
struct Planning {
    holder: WeightHolder,
    inferences: u64,
    /// Layers so far, and images whose encryption has begun.
    begun: (u32, usize),
    /// Layers of encrypted products of secrets so far.
    products: u32,
    groups: Vec<Group>,
    /// The groups that are not full, by index.
    open: Vec<usize>,
}

impl Planning {
    fn request<R: Ring>(&mut self, request: &Request, tolerated: u64) -> Result<Making, ProtocolError> {
        let layout = request.layout::<R>()?;
        let is_wide = layout.fields().iter().any(|field| field.bits > u64::BITS);
        let (inner, width) = match request {
            Request::Modulo { bits, of } => (&**of, *bits),
            whole => (whole, R::BITS),
        };
        let how = match *inner {
            Request::Sign { len, parameters } | Request::Relu { len, parameters } => {
                How::Compared { len, parts: self.comparison(len, parameters, width.max(parameters.bits())) }
            }
            Request::Piecewise { len, thresholds, parameters } => {
                let bits = width.max(parameters.bits());
                let pieces =
                    Pieces { len, thresholds, parameters, widths: [width, width.saturating_sub(parameters.bits())] };
                let parts = (0..thresholds.max(1)).map(|_| self.comparison(len, parameters, bits)).collect();
                How::Pieces { pieces, parts }
            }
            Request::BitTriples { width, len } => {
                How::Bits(Bits::Triples { bits: width as usize * packing::words_for(len) * 64 })
            }
            Request::DaBits { len } => How::Bits(Bits::Shared { len, width }),
            Request::EdaBits { len } => How::Bits(Bits::Elements { len, width: R::BITS }),
            Request::Lift { len, bits } => How::Bits(Bits::Mask { len, bits, width: width.max(bits) }),
            Request::Lookup { len, table } => How::Lookup(Lookup::new(len, table, R::BITS, width)?),
            Request::FixedWeights { mask, map } => self.layer(request, (mask, map, width), false, tolerated)?,
            Request::FixedWeightsSharedInput { mask, map } => {
                self.layer(request, (mask, map, width), true, tolerated)?
            }
            Request::Beaver(map) => self.triple(request, map, width, tolerated)?,
            Request::Square { len } => How::Square(Product::new(request, Bilinear::Elementwise { len }, width)?),
            _ => return Err(ProtocolError::NotMadeByParties { request: Box::new(request.clone()) }),
        };
        Ok(Making { how, is_wide })
    }

    /// Cuts a comparison into parts of groups.
    fn comparison(&mut self, len: usize, parameters: SignParameters, ring_bits: u32) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut from = 0;
        while from < len {
            let fits = |&index: &usize| {
                let group: &Group = &self.groups[index];
                group.parameters == parameters && group.ring_bits == ring_bits && group.len < GROUP
            };
            let group = self.open.iter().copied().find(fits).unwrap_or_else(|| {
                self.groups.push(Group { len: 0, parameters, ring_bits });
                self.open.push(self.groups.len() - 1);
                self.groups.len() - 1
            });
            let at = self.groups[group].len;
            let taken = (len - from).min(GROUP - at);
            self.groups[group].len += taken.next_multiple_of(PART);
            parts.push(Part { group, at, from, len: taken, is_last: false });
            from += taken;
        }
        let Self { open, groups, .. } = self;
        open.retain(|&index| groups[index].len < GROUP);
        parts
    }

    /// A layer by encryption, or exactly by transfers: where that is cheaper, and where an encryption cannot be or is too noisy.
    fn layer(
        &mut self,
        request: &Request,
        (mask, map, width): (usize, Bilinear, u32),
        is_given: bool,
        tolerated: u64,
    ) -> Result<How, ProtocolError> {
        let is_narrow = width <= Modulus::SMALLEST.bits();
        // Shares of weights take all bits.
        let modulus = Modulus::holding(width).filter(|_| is_narrow || self.holder != WeightHolder::Both);
        let unsupported = HeError::Unsupported { reason: "its products have more bits than an encryption" };
        let layer = modulus
            .ok_or(unsupported)
            .and_then(|modulus| Layer::new((mask, map), modulus, is_given, self.inferences, self.begun))
            .map_err(|source| layers::refused(request, source));
        let product = Product::new(request, map, width);
        let is_exact = match (&layer, &product) {
            (Ok(layer), Ok(product)) => {
                let [transfers, encryption] =
                    [product.price(false), layer.price()].map(|price| price.of(self.inferences));
                transfers < encryption || !is_narrow && layer.noise() > tolerated
            }
            (Err(_), Ok(_)) => !is_narrow,
            (_, Err(_)) => false,
        };
        if is_exact {
            return Ok(How::ExactLayer { product: product?, mask, is_given });
        }
        let layer = layer?;
        self.begun = layer.ends(self.begun);
        Ok(How::Layer(Box::new(layer)))
    }

    /// A product of secrets, by encryption or by transfers.
    fn triple(&mut self, request: &Request, map: Bilinear, width: u32, tolerated: u64) -> Result<How, ProtocolError> {
        let product = Product::new(request, map, width);
        let encrypted = Encrypted::new(map, width, self.products).filter(|encrypted| encrypted.noise() <= tolerated);
        let encrypted = encrypted.filter(|encrypted| match &product {
            Ok(product) => encrypted.price().of(1) < product.price(true).of(1),
            Err(_) => true,
        });
        match encrypted {
            Some(encrypted) => {
                self.products = encrypted.end();
                Ok(How::EncryptedTriple(encrypted))
            }
            None => Ok(How::Triple(product?)),
        }
    }
}
