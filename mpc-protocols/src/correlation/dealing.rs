//! The dealer's walk through the fields of a correlation.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::pin::Pin;

use mpc_ring::{Ring, packing};
use mpc_shares::{Prg, SecretVec};
use mpc_transport::{Connection, Link};

use super::fields::Correlation;
use super::layout::{Field, Form, Layout};
use crate::ProtocolError;
use crate::bilinear::FixedRight;

/// Values that only the dealer knows; zeroised on drop.
pub(crate) type Secret<E> = SecretVec<E>;

/// x_i·y_i for each i.
pub(crate) fn products<R: Ring>(x: &[R], y: &[R]) -> Secret<R> {
    x.iter().zip(y).map(|(&x, &y)| x.wrapping_mul(y)).collect()
}

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

/// The dealer's view of one session: every party's generator, its own, and the link to the last party.
pub(crate) struct Dealing<'a, R: Ring> {
    pub(super) generators: Vec<Prg>,
    pub(super) own: Prg,
    pub(super) link: &'a mut Link,
    /// The frame sent last.
    pub(super) frame: Secret<u8>,
    /// The weight masks of a model, in the order in which they were set up.
    pub(crate) weight_masks: &'a mut Vec<FixedRight<R>>,
    /// The mask of the last layer's input.
    pub(crate) input_mask: Secret<R>,
    /// The fields of the correlation in hand that have not been dealt.
    pub(super) fields: vec::IntoIter<Field>,
}

impl<R: Ring> Dealing<'_, R> {
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

    /// The weight mask of an index.
    pub(crate) fn weight_mask(&self, mask: usize) -> Result<&FixedRight<R>, ProtocolError> {
        let known = self.weight_masks.len();
        self.weight_masks.get(mask).ok_or(ProtocolError::UnknownMask { mask, known })
    }

    /// Random elements of the dealer's own.
    pub(crate) fn random(&mut self, len: usize) -> Secret<R> {
        let mut elements = SecretVec::zeros(len);
        R::fill_random(&mut elements, &mut self.own);
        elements
    }

    /// The next field: the sum of every party's uniform share.
    pub(crate) fn uniform(&mut self) -> Secret<R> {
        let len = self.field().len;
        self.combine(len, R::wrapping_add)
    }

    /// The next field: the XOR of every party's uniform words.
    pub(crate) fn uniform_words(&mut self) -> Secret<u64> {
        let len = self.field().len;
        self.combine(len, |x, y| x ^ y)
    }

    fn combine<E: Ring>(&mut self, len: usize, operation: impl Fn(E, E) -> E) -> Secret<E> {
        let mut total = SecretVec::zeros(len);
        let mut share = SecretVec::zeros(len.min(SHARE_ELEMENTS));
        for part in total.chunks_mut(SHARE_ELEMENTS) {
            apply_shares(&mut self.generators, part, &mut share, &operation);
        }
        total
    }

    /// Makes `values` the sum of the parties' shares of the next field: the last party is sent what the others' lack.
    pub(crate) async fn dealt(&mut self, values: Secret<R>) -> Result<(), ProtocolError> {
        self.correct(values, R::wrapping_sub).await
    }

    /// Makes `words` the XOR of the parties' shares of the next field.
    pub(crate) async fn dealt_words(&mut self, words: Secret<u64>) -> Result<(), ProtocolError> {
        self.correct(words, |x, y| x ^ y).await
    }

    async fn correct<E: Ring>(
        &mut self,
        mut values: Secret<E>,
        without: impl Fn(E, E) -> E,
    ) -> Result<(), ProtocolError> {
        let field = self.field();
        assert_eq!(values.len(), field.len, "{field:?}");
        let mut share = Secret::zeros(values.len().min(SHARE_ELEMENTS));
        let (_, others) = split_last(&mut self.generators);
        for part in values.chunks_mut(field.frame_len()) {
            for block in part.chunks_mut(SHARE_ELEMENTS) {
                apply_shares(others, block, &mut share, &without);
            }
            if field.bits > 0 {
                send_packed(self.link, others.len(), part, field, &mut self.frame).await?;
            }
        }
        Ok(())
    }

    /// Makes the items that `fill` writes, by their index, the sum of the parties' shares of the next field; the others'
    /// shares are expansions of seeds of their own. Only a frame is held at a time.
    pub(crate) async fn expansion(&mut self, mut fill: impl FnMut(usize, &mut [R])) -> Result<(), ProtocolError> {
        let field = self.field();
        let Form::Packed { item } = field.form else { unreachable!("{field:?} is dealt as items") };
        let (_, others) = split_last(&mut self.generators);
        let mut others: Vec<_> = others.iter_mut().map(|generator| Prg::new(generator.seed())).collect();
        let last = others.len();
        let mut pending = Secret::zeros(field.frame_len() + item);
        let mut share = Secret::zeros(item);
        let mut filled = 0;
        let items = field.len / item;
        for index in 0..items {
            let values = &mut pending[filled..filled + item];
            fill(index, values);
            apply_shares(&mut others, values, &mut share, R::wrapping_sub);
            filled += item;
            let ended = index + 1 == items;
            while filled >= field.frame_len() || (ended && filled > 0) {
                let sent = filled.min(field.frame_len());
                send_packed(self.link, last, &pending[..sent], field, &mut self.frame).await?;
                pending.copy_within(sent..filled, 0);
                filled -= sent;
            }
        }
        Ok(())
    }
}

/// The last party's generator, and the others'.
fn split_last(generators: &mut [Prg]) -> (&mut Prg, &mut [Prg]) {
    generators.split_last_mut().unwrap_or_else(|| unreachable!("there are two parties or more"))
}

/// Sends the last party one frame of a field.
async fn send_packed<E: Ring>(
    link: &mut Link,
    last: usize,
    values: &[E],
    field: Field,
    frame: &mut [u8],
) -> Result<(), ProtocolError> {
    let frame = &mut frame[..field.packed_bytes(values.len())];
    packing::pack(values, field.bits, frame);
    send(link, last, frame).await
}

/// One frame over the dealer's link to `party`.
pub(super) async fn send(link: &mut Link, party: usize, frame: &[u8]) -> Result<(), ProtocolError> {
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
