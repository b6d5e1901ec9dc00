//! The dealer's walk through the fields of a correlation.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::mem;
use core::pin::Pin;

use mpc_ring::kernels::vectorized;
use mpc_ring::{Ring, packing, threads};
use mpc_shares::{Prg, SecretVec, Seed, Stretch};
use mpc_transport::{Connection, Link};

use super::at_rest::BLOCK;
use super::fields::Correlation;
use super::layout::{CORRECTION_FRAME_BYTES, Field, Form, Layout, Origin};
use crate::ProtocolError;
use crate::bilinear::FixedRight;

/// Values that only the dealer knows; zeroised on drop.
pub(crate) type Secret<E> = SecretVec<E>;

/// A correlation as a dealer makes it for all parties.
pub(crate) trait Deal<R: Ring>: Correlation {
    /// Walks through the fields that [`Correlation::from_fields`] takes, in the same order: those that are uniform are the
    /// sums of the parties' shares, and the others are computed from them and from the dealer's own randomness.
    fn deal(
        shape: &Self::Shape,
        dealing: &mut Dealing<'_, R>,
    ) -> impl Future<Output = Result<(), ProtocolError>> + Send;

    /// The elements that the dealer works with besides the fields.
    fn scratch(_: &Self::Shape) -> usize {
        0
    }
}

/// A request's kind and shape, whatever they are.
pub(crate) trait Kind<R: Ring>: Send + Sync {
    /// As [`Layout::modulo`].
    fn layout(&self) -> Result<Layout, ProtocolError>;
    /// As [`Deal::scratch`].
    fn scratch(&self) -> usize;
    /// As [`Deal::deal`].
    fn deal<'a>(&'a self, dealing: &'a mut Dealing<'_, R>) -> Dealt<'a>;
}

type Dealt<'a> = Pin<Box<dyn Future<Output = Result<(), ProtocolError>> + Send + 'a>>;

/// The correlation `C` of a shape, for results of a width.
pub(crate) struct Of<C: Correlation> {
    pub(crate) shape: C::Shape,
    pub(crate) width: u32,
}

impl<R: Ring, C: Deal<R>> Kind<R> for Of<C> {
    fn layout(&self) -> Result<Layout, ProtocolError> {
        Layout::modulo::<C>(&self.shape, self.width)
    }

    fn scratch(&self) -> usize {
        C::scratch(&self.shape)
    }

    fn deal<'a>(&'a self, dealing: &'a mut Dealing<'_, R>) -> Dealt<'a> {
        Box::pin(C::deal(&self.shape, dealing))
    }
}

/// Where the corrections of a session go.
pub(crate) enum Corrections<'a> {
    /// To the last party.
    Sent(&'a mut Link),
    /// Nowhere: they are dealt again.
    Compared(&'a mut dyn Compare),
}

/// Takes corrections that are dealt again.
pub(crate) trait Compare: Send {
    /// Takes the next frame of a field, with so many values.
    fn take(&mut self, field: &Field, len: usize, frame: &[u8]) -> Result<(), ProtocolError>;
}

/// The dealer's view of one session: every party's generator, its own, and the link to the last party.
pub(crate) struct Dealing<'a, R: Ring> {
    generators: Vec<Prg>,
    /// Of the parties but the last, for what is dealt apart; of an auditor its own alone.
    apart: Vec<Prg>,
    own: Prg,
    corrections: Corrections<'a>,
    /// The frame sent last.
    frame: Secret<u8>,
    /// The weight masks of a model, in the order in which they were set up.
    pub(crate) weight_masks: &'a mut Vec<FixedRight<R>>,
    /// The mask of the last layer's input.
    pub(crate) input_mask: Secret<R>,
    /// The fields of the correlation in hand that have not been dealt.
    fields: vec::IntoIter<Field>,
}

/// The seeds of a session that follow from one: each party's, and the dealer's own.
pub(crate) struct SessionSeeds {
    pub(crate) parties: Vec<Seed>,
    own: Seed,
}

impl SessionSeeds {
    pub(crate) fn from_one(seed: &Seed, parties: usize) -> Self {
        let mut generator = Prg::new(Seed::copy_of(seed.expose()));
        Self { parties: (0..parties).map(|_| generator.seed()).collect(), own: generator.seed() }
    }
}

impl<'a, R: Ring> Dealing<'a, R> {
    /// The beginning of a session.
    pub(crate) fn new(
        SessionSeeds { parties, own }: SessionSeeds,
        apart: Vec<Prg>,
        corrections: Corrections<'a>,
        weight_masks: &'a mut Vec<FixedRight<R>>,
    ) -> Self {
        Self {
            generators: parties.into_iter().map(Prg::new).collect(),
            apart,
            own: Prg::new(own),
            corrections,
            frame: SecretVec::zeros(CORRECTION_FRAME_BYTES),
            weight_masks,
            input_mask: SecretVec::zeros(0),
            fields: Vec::new().into_iter(),
        }
    }

    /// Deals one correlation, all of its fields.
    pub(super) async fn deal(&mut self, kind: &dyn Kind<R>) -> Result<(), ProtocolError> {
        self.fields = kind.layout()?.into_fields();
        kind.deal(self).await?;
        assert!(self.fields.next().is_none(), "a field was not dealt");
        Ok(())
    }

    fn field(&mut self) -> Field {
        self.fields.next().unwrap_or_else(|| unreachable!("one more field than the correlation has"))
    }

    /// Whole values are as many as the next field has.
    fn expect(&self, len: usize) {
        let field = self.fields.as_slice().first();
        assert_eq!(field.map(|field| field.len), Some(len), "{field:?}");
    }

    /// The bits of the next field.
    pub(crate) fn width(&self) -> u32 {
        self.fields.as_slice().first().map_or(0, |field| field.bits)
    }

    /// The weight mask of an index.
    pub(crate) fn weight_mask(&self, mask: usize) -> Result<&FixedRight<R>, ProtocolError> {
        let known = self.weight_masks.len();
        self.weight_masks.get(mask).ok_or(ProtocolError::UnknownMask { mask, known })
    }

    /// Random elements of the dealer's own.
    pub(crate) fn random(&mut self, len: usize) -> Secret<R> {
        let own = self.own.set_aside(len * R::BYTES);
        let mut elements = SecretVec::zeros(len);
        threads::for_each_block(
            &mut elements,
            BLOCK,
            |_| (),
            |from, elements, ()| {
                R::fill_random(elements, &mut own.reader(from * R::BYTES));
            },
        );
        elements
    }

    /// The next field: the sum of every party's uniform share.
    pub(crate) fn uniform(&mut self) -> Secret<R> {
        self.combine(R::wrapping_add)
    }

    /// The next field: the XOR of every party's uniform words.
    pub(crate) fn uniform_words(&mut self) -> Secret<u64> {
        self.combine(|x, y| x ^ y)
    }

    fn combine<E: Ring>(&mut self, operation: impl Fn(E, E) -> E + Sync) -> Secret<E> {
        let len = self.field().len;
        let first = self.generators[0].set_aside(len * E::BYTES);
        let others = set_aside::<E>(&mut self.generators[1..], len);
        let mut total = SecretVec::zeros(len);
        threads::for_each_block(&mut total, BLOCK, SecretVec::zeros, |from, total, share| {
            E::fill_random(total, &mut first.reader(from * E::BYTES));
            apply_shares(&others, from, total, share, &operation);
        });
        total
    }

    /// Makes `values` the sum of the parties' shares of the next field: the last party is sent what the others' lack.
    pub(crate) async fn dealt(&mut self, values: &[R]) -> Result<(), ProtocolError> {
        self.expect(values.len());
        self.dealt_by(BLOCK, |from, block| block.copy_from_slice(&values[from..][..block.len()])).await
    }

    /// As [`dealt`](Self::dealt), of values that are made block by block, so that they stay in the cache: `fill` writes those
    /// from a position on, a multiple of `block`.
    pub(crate) async fn dealt_by(
        &mut self,
        block: usize,
        fill: impl FnMut(usize, &mut [R]) + Send,
    ) -> Result<(), ProtocolError> {
        let field = self.field();
        let others = match field.origin {
            Origin::DealtApart => &mut self.apart,
            Origin::Uniform | Origin::Dealt => without_last(&mut self.generators),
        };
        let shares = set_aside::<R>(others, field.len);
        self.correct(field, block, shares, R::wrapping_sub, fill).await
    }

    /// Makes `words` the XOR of the parties' shares of the next field.
    pub(crate) async fn dealt_words(&mut self, words: &[u64]) -> Result<(), ProtocolError> {
        self.expect(words.len());
        self.dealt_words_by(BLOCK, |from, block| block.copy_from_slice(&words[from..][..block.len()])).await
    }

    /// As [`dealt_by`](Self::dealt_by), for words.
    pub(crate) async fn dealt_words_by(
        &mut self,
        block: usize,
        fill: impl FnMut(usize, &mut [u64]) + Send,
    ) -> Result<(), ProtocolError> {
        let field = self.field();
        let shares = set_aside::<u64>(without_last(&mut self.generators), field.len);
        self.correct(field, block, shares, |x, y| x ^ y, fill).await
    }

    /// Makes the items that `fill` writes, by their index, the sum of the parties' shares of the next field; the others'
    /// shares are expansions of seeds of their own.
    pub(crate) async fn expansion(
        &mut self,
        mut fill: impl FnMut(usize, &mut [R]) + Send,
    ) -> Result<(), ProtocolError> {
        let field = self.field();
        let Form::Packed { item } = field.form else { unreachable!("{field:?} is dealt as items") };
        let others = without_last(&mut self.generators).iter_mut();
        let shares = others.map(|generator| Prg::new(generator.seed()).set_aside(field.len * R::BYTES)).collect();
        let fill = |from: usize, values: &mut [R]| fill(from / item, values);
        self.correct(field, item, shares, R::wrapping_sub, fill).await
    }

    /// Sends the last party what the others' shares lack of a field, whose values `fill` writes block by block.
    async fn correct<E: Ring>(
        &mut self,
        field: Field,
        block: usize,
        shares: Vec<Stretch>,
        without: impl Fn(E, E) -> E,
        mut fill: impl FnMut(usize, &mut [E]),
    ) -> Result<(), ProtocolError> {
        if field.bits == 0 {
            // No bit of the shares matters.
            return Ok(());
        }
        let block = block.clamp(1, field.len.max(1));
        let (mut values, mut share) = (Secret::zeros(block), Secret::zeros(block));
        let (corrections, bytes) = (&mut self.corrections, &mut self.frame);
        let mut frame = Frame { field, corrections, last: shares.len(), bytes, filled: 0 };
        for from in (0..field.len).step_by(block) {
            let values = &mut values[..block.min(field.len - from)];
            fill(from, values);
            apply_shares(&shares, from, values, &mut share, &without);
            frame.append(values).await?;
        }
        frame.send().await
    }
}

/// All generators but the last party's.
fn without_last(generators: &mut [Prg]) -> &mut [Prg] {
    generators.split_last_mut().unwrap_or_else(|| unreachable!("there are two parties or more")).1
}

/// The next values of each generator.
fn set_aside<E: Ring>(generators: &mut [Prg], len: usize) -> Vec<Stretch> {
    generators.iter_mut().map(|generator| generator.set_aside(len * E::BYTES)).collect()
}

/// The frame of a field that is being filled.
struct Frame<'a, 'c> {
    field: Field,
    corrections: &'a mut Corrections<'c>,
    last: usize,
    bytes: &'a mut [u8],
    /// The number of values in it.
    filled: usize,
}

impl Frame<'_, '_> {
    /// Appends values, and sends each frame that is full.
    async fn append<E: Ring>(&mut self, mut values: &[E]) -> Result<(), ProtocolError> {
        let field = self.field;
        while !values.is_empty() {
            let (now, later) = values.split_at(values.len().min(field.frame_len() - self.filled));
            let from = field.packed_bytes(self.filled);
            packing::pack(now, field.bits, &mut self.bytes[from..][..field.packed_bytes(now.len())]);
            self.filled += now.len();
            if self.filled == field.frame_len() {
                self.send().await?;
            }
            values = later;
        }
        Ok(())
    }

    /// Sends what is in it, if anything is.
    async fn send(&mut self) -> Result<(), ProtocolError> {
        let filled = mem::take(&mut self.filled);
        if filled == 0 {
            return Ok(());
        }
        let frame = &self.bytes[..self.field.packed_bytes(filled)];
        match self.corrections {
            Corrections::Sent(link) => send(link, self.last, frame).await,
            Corrections::Compared(by) => by.take(&self.field, filled, frame),
        }
    }
}

/// One frame over the dealer's link to `party`.
pub(super) async fn send(link: &mut Link, party: usize, frame: &[u8]) -> Result<(), ProtocolError> {
    link.send(frame).await.map_err(|source| ProtocolError::DealerLink { party, source })
}

/// Applies all shares from a position on to `values`.
fn apply_shares<E: Ring>(
    shares: &[Stretch],
    from: usize,
    values: &mut [E],
    share: &mut [E],
    operation: impl Fn(E, E) -> E,
) {
    let share = &mut share[..values.len()];
    for stretch in shares {
        E::fill_random(share, &mut stretch.reader(from * E::BYTES));
        vectorized(|| values.iter_mut().zip(share.iter()).for_each(|(x, &y)| *x = operation(*x, y)));
    }
}
