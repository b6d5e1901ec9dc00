//! The dealer: fills a plan with correlations, knowing neither inputs nor weights.

use alloc::vec::Vec;
use mpc_ring::{Ring, packing};
use mpc_shares::{Prg, SecretVec, Seed, check_parties};
use mpc_transport::Link;

use crate::bilinear::FixedRight;
use crate::lookup::{self, LookupShape};
use crate::piecewise::{self, PiecewiseShape};
use crate::request::{CORRECTION_FRAME_BYTES, frame_elements};
use crate::sign::{self, SignShape};
use crate::{ProtocolError, Request, beaver, binary, conversion, fixed_weights, relu, truncation};

/// Values that only the dealer knows; zeroised on drop.
pub(crate) type Secret<E> = SecretVec<E>;

/// x_i·y_i for each i.
pub(crate) fn products<R: Ring>(x: &[R], y: &[R]) -> Secret<R> {
    x.iter().zip(y).map(|(&x, &y)| x.wrapping_mul(y)).collect()
}

/// The trusted dealer of a group of parties: it colludes with none of them.
///
/// It keeps the masks of a model's weights, set up once, and deals each session with fresh seeds. Its memory is bounded
/// by the weight masks and the largest single correlation, not by the plan.
#[derive(Debug)]
pub struct Dealer<R: Ring> {
    parties: usize,
    generator: Prg,
    weight_masks: Vec<FixedRight<R>>,
}

impl<R: Ring> Dealer<R> {
    /// A dealer for `parties` parties, with randomness from `seed`.
    ///
    /// # Errors
    /// [`ProtocolError::Share`] for an unsupported number of parties.
    pub fn new(parties: usize, seed: Seed) -> Result<Self, ProtocolError> {
        check_parties(parties)?;
        Ok(Self { parties, generator: Prg::new(seed), weight_masks: Vec::new() })
    }

    /// Deals one session: a fresh seed to every party, then, correlation by correlation, the corrections to the last.
    ///
    /// `links[i]` leads to party i. `progress` is called after each correlation with its index.
    ///
    /// # Security
    /// Every session has seeds of its own; a party sees its seed alone. Weight masks requested here are kept and may be
    /// used by this and later sessions; those of a session that fails are forgotten.
    ///
    /// # Rounds and communication
    /// One-way: 32 bytes to each party and [`Request::traffic`] to the last.
    ///
    /// # Errors
    /// [`ProtocolError::DealerLink`], [`ProtocolError::UnknownMask`].
    pub async fn deal(
        &mut self,
        links: &mut [Link],
        plan: &[Request],
        mut progress: impl FnMut(usize) + Send,
    ) -> Result<(), ProtocolError> {
        crate::error::check_len("dealer links", self.parties, links.len())?;
        let mut generators = Vec::with_capacity(self.parties);
        for (party, link) in links.iter_mut().enumerate() {
            let seed = self.generator.seed();
            send(link, party, seed.expose()).await?;
            generators.push(Prg::new(seed));
        }
        let own = Prg::new(self.generator.seed());
        let Some(link) = links.last_mut() else { return Ok(()) };
        let mut dealing = Dealing { generators, own, link, frame: Secret::zeros(CORRECTION_FRAME_BYTES) };
        let known = self.weight_masks.len();
        let mut input_mask = Secret::zeros(0);
        for (index, request) in plan.iter().enumerate() {
            let dealt = self.deal_one(&mut dealing, request, &mut input_mask).await;
            if dealt.is_err() {
                self.weight_masks.truncate(known);
                return dealt;
            }
            progress(index);
        }
        Ok(())
    }

    fn weight_mask(&self, mask: usize) -> Result<&FixedRight<R>, ProtocolError> {
        let known = self.weight_masks.len();
        self.weight_masks.get(mask).ok_or(ProtocolError::UnknownMask { mask, known })
    }

    /// Deals one correlation; `input_mask` is the mask of the last layer's input.
    async fn deal_one(
        &mut self,
        dealing: &mut Dealing<'_>,
        request: &Request,
        input_mask: &mut Secret<R>,
    ) -> Result<(), ProtocolError> {
        match request {
            Request::Beaver(map) => beaver::deal_triple::<R>(dealing, map).await,
            Request::Square { len } => beaver::deal_square::<R>(dealing, *len).await,
            Request::WeightMask { len } => {
                self.weight_masks.push(FixedRight::new(dealing.uniform(*len)));
                Ok(())
            }
            Request::FixedWeights { mask, map } => {
                *input_mask = fixed_weights::deal_pair(dealing, map, self.weight_mask(*mask)?).await?;
                Ok(())
            }
            Request::FixedWeightsAgain { mask, map } => {
                fixed_weights::deal_product(dealing, map, self.weight_mask(*mask)?, input_mask).await
            }
            Request::BitTriples { width, len } => binary::deal_triples(dealing, *width, *len).await,
            Request::DaBits { len } => conversion::deal_dabits::<R>(dealing, *len).await,
            Request::EdaBits { len } => conversion::deal_edabits::<R>(dealing, *len).await,
            Request::Lift { len, bits } => truncation::deal_lift::<R>(dealing, *len, *bits).await,
            Request::Sign { len, parameters } => {
                sign::deal::<R>(dealing, *len, *parameters).await?;
                Ok(())
            }
            Request::Relu { len, parameters } => relu::deal::<R>(dealing, *len, *parameters).await,
            Request::Lookup { len, table } => {
                lookup::deal::<R>(dealing, LookupShape { len: *len, table: *table }).await
            }
            Request::Piecewise { len, thresholds, parameters } => {
                let sign = SignShape { len: *len, parameters: *parameters };
                piecewise::deal::<R>(dealing, PiecewiseShape { sign, thresholds: *thresholds }).await
            }
        }
    }
}

/// The dealer's view of one session: every party's generator, its own, and the link to the last party.
pub(crate) struct Dealing<'a> {
    generators: Vec<Prg>,
    own: Prg,
    link: &'a mut Link,
    /// The frame sent last.
    frame: Secret<u8>,
}

impl Dealing<'_> {
    /// Random elements of the dealer's own.
    pub(crate) fn random<R: Ring>(&mut self, len: usize) -> Secret<R> {
        let mut elements = SecretVec::zeros(len);
        R::fill_random(&mut elements, &mut self.own);
        elements
    }

    /// The sum of every party's [`uniform`](crate::CorrelationSource::uniform) share.
    pub(crate) fn uniform<R: Ring>(&mut self, len: usize) -> Secret<R> {
        self.combine(len, R::wrapping_add)
    }

    /// The XOR of every party's uniform words.
    pub(crate) fn uniform_words(&mut self, len: usize) -> Secret<u64> {
        self.combine(len, |x, y| x ^ y)
    }

    fn combine<R: Ring>(&mut self, len: usize, operation: impl Fn(R, R) -> R) -> Secret<R> {
        let mut total = SecretVec::zeros(len);
        let mut share = SecretVec::zeros(len.min(SHARE_ELEMENTS));
        for part in total.chunks_mut(SHARE_ELEMENTS) {
            apply_shares(&mut self.generators, part, &mut share, &operation);
        }
        total
    }

    /// Makes `values` the sum of the parties' shares, modulo 2^`bits`: the last party is sent what the others' lack.
    pub(crate) async fn elements<R: Ring>(&mut self, values: Secret<R>, bits: u32) -> Result<(), ProtocolError> {
        self.correct(values, bits, R::wrapping_sub).await
    }

    /// Makes `words` the XOR of the parties' shares.
    pub(crate) async fn words(&mut self, words: Secret<u64>) -> Result<(), ProtocolError> {
        self.correct(words, u64::BITS, |x, y| x ^ y).await
    }

    /// Makes `items` items of `item_len` elements that `fill` writes, by their index, the sum of the parties' shares modulo
    /// 2^`bits`, a multiple of 8; the others' shares are expansions of seeds of their own. Only a frame is held at a time.
    pub(crate) async fn expansion<R: Ring>(
        &mut self,
        items: usize,
        item_len: usize,
        bits: u32,
        mut fill: impl FnMut(usize, &mut [R]),
    ) -> Result<(), ProtocolError> {
        let (_, others) =
            self.generators.split_last_mut().unwrap_or_else(|| unreachable!("there are two parties or more"));
        let mut others: Vec<_> = others.iter_mut().map(|generator| Prg::new(generator.seed())).collect();
        let last = others.len();
        let frame_elements = frame_elements(bits);
        let mut pending = Secret::zeros(frame_elements + item_len);
        let mut share = Secret::zeros(item_len);
        let mut filled = 0;
        for item in 0..items {
            let values = &mut pending[filled..filled + item_len];
            fill(item, values);
            apply_shares(&mut others, values, &mut share, R::wrapping_sub);
            filled += item_len;
            let ended = item + 1 == items;
            while filled >= frame_elements || (ended && filled > 0) {
                let sent = filled.min(frame_elements);
                let frame = &mut self.frame[..packing::packed_len(sent, bits)];
                packing::pack(&pending[..sent], bits, frame);
                send(self.link, last, frame).await?;
                pending.copy_within(sent..filled, 0);
                filled -= sent;
            }
        }
        Ok(())
    }

    async fn correct<R: Ring>(
        &mut self,
        mut values: Secret<R>,
        bits: u32,
        without: impl Fn(R, R) -> R,
    ) -> Result<(), ProtocolError> {
        let frame_elements = frame_elements(bits);
        let mut share = Secret::zeros(values.len().min(SHARE_ELEMENTS));
        let (_, others) =
            self.generators.split_last_mut().unwrap_or_else(|| unreachable!("there are two parties or more"));
        for part in values.chunks_mut(frame_elements) {
            for block in part.chunks_mut(SHARE_ELEMENTS) {
                apply_shares(others, block, &mut share, &without);
            }
            if bits > 0 {
                let frame = &mut self.frame[..packing::packed_len(part.len(), bits)];
                packing::pack(part, bits, frame);
                send(self.link, others.len(), frame).await?;
            }
        }
        Ok(())
    }
}

/// One frame over the dealer's link to `party`.
async fn send(link: &mut Link, party: usize, frame: &[u8]) -> Result<(), ProtocolError> {
    link.send(frame).await.map_err(|source| ProtocolError::DealerLink { party, source })
}

/// Elements whose shares are expanded at a time, so that they stay in the cache.
const SHARE_ELEMENTS: usize = 1024;

/// Applies every generator's next shares to `values`.
fn apply_shares<R: Ring>(generators: &mut [Prg], values: &mut [R], share: &mut [R], operation: impl Fn(R, R) -> R) {
    let share = &mut share[..values.len()];
    for generator in generators {
        R::fill_random(share, generator);
        values.iter_mut().zip(share.iter()).for_each(|(x, &y)| *x = operation(*x, y));
    }
}
