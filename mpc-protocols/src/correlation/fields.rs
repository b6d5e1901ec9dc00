//! A correlation from its fields: one walk says which there are, and makes the correlation of them.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use mpc_ring::{Ring, packing};
use mpc_shares::Prg;

use super::at_rest::{AtRest, BitsAtRest};
use super::layout::{Field, Form, Layout, Origin};
use super::packed::{Expansion, Packed};
use super::provider::Share;
use super::request::Request;
use crate::ProtocolError;

/// One party's share of a correlation. Consumed by value by the protocol that uses it; never cloned, so never used twice:
///
/// ```compile_fail,E0382
/// use mpc_protocols::{Party, ProtocolError, beaver};
/// use mpc_shares::ArithmeticShares;
/// # type Shares = ArithmeticShares<u64>;
///
/// async fn twice(party: &mut Party, x: &Shares, pair: beaver::SquarePair<u64>) -> Result<(), ProtocolError> {
///     beaver::square(party, x, pair).await?;
///     beaver::square(party, x, pair).await.map(drop)
/// }
/// ```
pub trait Correlation: Sized {
    /// The public shape that a plan fixes.
    type Shape: Send + Sync + 'static;
    /// The ring in which it is shared; of no matter where all is shared in XOR.
    type Ring: Ring;

    /// The plan's entry for this shape.
    fn request(shape: &Self::Shape) -> Request;

    /// Takes its fields in order: the one statement of its content.
    ///
    /// # Errors
    /// [`ProtocolError::Parameter`] for a shape that cannot be.
    fn from_fields(shape: &Self::Shape, fields: &mut Fields<Self::Ring>) -> Result<Self, ProtocolError>;
}

impl Layout {
    /// The fields of a correlation of a shape.
    ///
    /// # Errors
    /// [`ProtocolError::Parameter`] for a shape that cannot be.
    pub fn of<C: Correlation>(shape: &C::Shape) -> Result<Self, ProtocolError> {
        Self::modulo::<C>(shape, C::Ring::BITS)
    }

    /// The fields of a correlation of a shape whose results are read modulo 2^`width` only.
    ///
    /// # Errors
    /// [`ProtocolError::Parameter`] for a shape that cannot be, for a width of 0, or for more than the ring has.
    pub fn modulo<C: Correlation>(shape: &C::Shape, width: u32) -> Result<Self, ProtocolError> {
        if !(1..=C::Ring::BITS).contains(&width) {
            let (value, allowed) = (width.into(), "1 bit to the ring's bits");
            return Err(ProtocolError::Parameter { protocol: "correlation", parameter: "width", value, allowed });
        }
        let mut fields = Fields { walk: Walk::Listed(Vec::new()), width };
        C::from_fields(shape, &mut fields)?;
        match fields.walk {
            Walk::Listed(fields) => Ok(Self(fields)),
            Walk::Made(_) => unreachable!("a walk goes on as it began"),
        }
    }
}

/// The fields of a correlation as it takes them, one after the other.
#[derive(Debug)]
pub struct Fields<R: Ring> {
    walk: Walk<R>,
    width: u32,
}

#[derive(Debug)]
enum Walk<R: Ring> {
    /// The fields that are asked for are listed, and left empty.
    Listed(Vec<Field>),
    /// The fields that are asked for were made.
    Made(vec::IntoIter<Made<R>>),
}

impl<R: Ring> Fields<R> {
    pub(super) fn made(shares: Vec<Made<R>>, width: u32) -> Self {
        Self { walk: Walk::Made(shares.into_iter()), width }
    }

    /// The bits of a result that are read: all of the ring's, or those that a plan says. What is shared in the ring is
    /// dealt in no more than it takes for them.
    pub(crate) fn width(&self) -> u32 {
        self.width
    }

    fn next(&mut self, field: Field) -> Values<R> {
        match &mut self.walk {
            Walk::Listed(fields) => {
                fields.push(field);
                Values::blank(&field)
            }
            Walk::Made(shares) => {
                let share = shares.next().unwrap_or_else(|| unreachable!("every field was listed before"));
                debug_assert_eq!(share.field, field);
                share.values
            }
        }
    }

    fn elements(&mut self, field: Field) -> AtRest<R> {
        let Values::Elements(elements) = self.next(field) else { unreachable!("{field:?} was made") };
        elements
    }

    fn words(&mut self, field: Field) -> AtRest<u64> {
        let Values::Words(words) = self.next(field) else { unreachable!("{field:?} was made") };
        words
    }

    fn bits(&mut self, origin: Origin, width: u32, len: usize) -> BitsAtRest {
        BitsAtRest::new(width, len, self.words(Field::words(origin, width as usize * packing::words_for(len))))
    }

    /// Uniformly random elements, modulo 2^`bits`.
    pub(crate) fn uniform(&mut self, len: usize, bits: u32) -> AtRest<R> {
        self.elements(Field::elements::<R>(Origin::Uniform, len, bits))
    }

    /// Uniformly random words.
    pub(crate) fn uniform_words(&mut self, len: usize) -> AtRest<u64> {
        self.words(Field::words(Origin::Uniform, len))
    }

    /// Uniformly random values of `width` bits.
    pub(crate) fn uniform_bits(&mut self, width: u32, len: usize) -> BitsAtRest {
        self.bits(Origin::Uniform, width, len)
    }

    /// Dealt elements, modulo 2^`bits`.
    pub(crate) fn dealt(&mut self, len: usize, bits: u32) -> AtRest<R> {
        self.elements(Field::elements::<R>(Origin::Dealt, len, bits))
    }

    /// As [`dealt`](Self::dealt), of values that follow from masks of weights.
    pub(crate) fn dealt_apart(&mut self, len: usize, bits: u32) -> AtRest<R> {
        self.elements(Field::elements::<R>(Origin::DealtApart, len, bits))
    }

    /// Dealt words.
    pub(crate) fn dealt_words(&mut self, len: usize) -> AtRest<u64> {
        self.words(Field::words(Origin::Dealt, len))
    }

    /// Dealt values of `width` bits.
    pub(crate) fn dealt_bits(&mut self, width: u32, len: usize) -> BitsAtRest {
        self.bits(Origin::Dealt, width, len)
    }

    /// Dealt items of `item` elements, modulo 2^`bits`, a multiple of 8, that are expanded as they are read.
    pub(crate) fn expansion(&mut self, items: usize, item: usize, bits: u32) -> Expansion {
        let field = Field::packed::<R>(items, item, bits);
        let Values::Items(packed) = self.next(field) else { unreachable!("{field:?} was made") };
        Expansion::new(packed, item, bits)
    }
}

/// A party's share of a field, as it was made.
#[derive(Debug)]
pub(crate) struct Made<R: Ring> {
    field: Field,
    values: Values<R>,
}

#[derive(Debug)]
enum Values<R: Ring> {
    Elements(AtRest<R>),
    Words(AtRest<u64>),
    Items(Packed),
}

impl<R: Ring> Values<R> {
    fn blank(&Field { form, len, bits, .. }: &Field) -> Self {
        match form {
            Form::Elements => Self::Elements(AtRest::blank(len, bits)),
            Form::Words => Self::Words(AtRest::blank(len, bits)),
            Form::Packed { .. } => Self::Items(Packed::blank()),
        }
    }
}

impl<R: Ring> Made<R> {
    /// Nothing, to be filled.
    pub(crate) fn blank(field: &Field) -> Self {
        Self { field: *field, values: Values::blank(field) }
    }

    /// Hands the values out packed, frame by frame, each in the beginning of `frame`.
    pub(crate) fn keep<E>(&mut self, frame: &mut [u8], keep: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let field = self.field;
        match &mut self.values {
            Values::Elements(elements) => elements.keep(&field, frame, keep),
            Values::Words(words) => words.keep(&field, frame, keep),
            Values::Items(packed) => {
                packed.bytes(&field).chunks(field.packed_bytes(field.frame_len())).try_for_each(keep)
            }
        }
    }
}

impl<R: Ring> Share for Made<R> {
    fn field(&self) -> &Field {
        &self.field
    }

    fn expand(&mut self, generator: &mut Prg) {
        match &mut self.values {
            Values::Elements(elements) => elements.set_aside(generator),
            Values::Words(words) => words.set_aside(generator),
            Values::Items(packed) => *packed = Packed::seed::<R>(generator, self.field.len),
        }
    }

    fn unpack(&mut self, part: Range<usize>, bytes: &[u8]) {
        match &mut self.values {
            Values::Elements(elements) => elements.unpack(part, bytes),
            Values::Words(words) => words.unpack(part, bytes),
            Values::Items(packed) => {
                let from = packing::packed_len(part.start, self.field.bits);
                packed.bytes(&self.field)[from..][..bytes.len()].copy_from_slice(bytes);
            }
        }
    }

    fn packed(&mut self) -> Option<&mut [u8]> {
        Some(match &mut self.values {
            Values::Elements(elements) => elements.bytes(),
            Values::Words(words) => words.bytes(),
            Values::Items(packed) => packed.bytes(&self.field),
        })
    }
}
