//! The content of a correlation: its fields in order. Traffic, frames and memory follow from it.

use alloc::vec::{self, Vec};
use core::ops::Range;

use mpc_ring::{Ring, packing};
use mpc_shares::Seed;
use mpc_transport::Traffic;
use sha2::{Digest, Sha256};

use super::request::Request;
use crate::place::Place;

/// The field of a handshake that compares [`layout_digest`].
pub const LAYOUT: &str = "layout of correlations";

/// The dealer's corrections travel in frames of at most this many bytes.
pub const CORRECTION_FRAME_BYTES: usize = 1 << 16;

/// The first frame of a session at every party: its seed, and the one from which it expands what is [dealt
/// apart](Origin::DealtApart).
pub const SEEDS_BYTES: usize = 2 * Seed::BYTES;

/// The origin of a field's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Uniformly random: every party's share is its own choice.
    Uniform,
    /// Fixed by those who make the correlation.
    Dealt,
    /// Fixed by masks that outlive the session, those of weights: a dealer has the shares expand from a seed of their own, which
    /// no [audit](crate::audit) makes known.
    DealtApart,
}

impl Origin {
    /// Whether those who make the correlation fix the values.
    #[must_use]
    pub fn is_dealt(self) -> bool {
        self != Self::Uniform
    }
}

/// The form in which a party holds its share of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Ring elements, shared in the ring.
    Elements,
    /// Words of 64 bits, shared in XOR.
    Words,
    /// Ring elements in items, each of which has a part that is read.
    Packed {
        /// The elements of an item.
        item: usize,
    },
}

/// A run of values in a correlation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where the values come from.
    pub origin: Origin,
    /// How a share of them is held.
    pub form: Form,
    /// The number of values.
    pub len: usize,
    /// The bits of each that matter, and that travel.
    pub bits: u32,
    /// The bytes of each in memory.
    bytes: usize,
}

impl Field {
    pub(crate) fn elements<R: Ring>(origin: Origin, len: usize, bits: u32) -> Self {
        Self { origin, form: Form::Elements, len, bits, bytes: R::BYTES }
    }

    pub(crate) fn words(origin: Origin, len: usize) -> Self {
        Self { origin, form: Form::Words, len, bits: u64::BITS, bytes: u64::BYTES }
    }

    pub(crate) fn packed<R: Ring>(items: usize, item: usize, bits: u32) -> Self {
        Self { origin: Origin::Dealt, form: Form::Packed { item }, len: items * item, bits, bytes: R::BYTES }
    }

    /// The bytes that some of the values take, packed.
    #[must_use]
    pub fn packed_bytes(&self, values: usize) -> usize {
        packing::packed_len(values, self.bits)
    }

    /// Values in a full frame: a multiple of 8, so that every frame begins at a byte.
    pub(crate) fn frame_len(&self) -> usize {
        CORRECTION_FRAME_BYTES / self.bits.max(1) as usize * 8
    }

    /// The values of each frame in which the last party receives this field.
    pub fn frames(self) -> impl ExactSizeIterator<Item = Range<usize>> {
        self.cut(if self.origin.is_dealt() { self.len } else { 0 })
    }

    /// The values of each frame in which a party keeps this field, where two parties make all of it.
    pub(crate) fn kept_frames(self) -> impl ExactSizeIterator<Item = Range<usize>> {
        self.cut(self.len)
    }

    fn cut(self, len: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
        let len = if self.bits > 0 { len } else { 0 };
        (0..len).step_by(self.frame_len()).map(move |from| from..len.min(from + self.frame_len()))
    }

    fn traffic(&self) -> Traffic {
        let frames_received = self.frames().len() as u64;
        let payload_received = if frames_received > 0 { self.packed_bytes(self.len) as u64 } else { 0 };
        Traffic { payload_received, frames_received, ..Traffic::default() }
    }

    /// The bytes of an expanded share, apart from items, which never are all at once.
    fn expanded_memory(&self) -> u64 {
        if let Form::Packed { .. } = self.form { 0 } else { (self.len * self.bytes) as u64 }
    }
}

/// The fields of a correlation, in the order in which they are made and used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout(pub(crate) Vec<Field>);

impl Layout {
    /// The fields.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.0
    }

    /// The lengths of the frames that [`traffic`](Self::traffic) counts, in the order in which they arrive.
    pub fn frame_lengths(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().flat_map(|field| field.frames().map(move |part| field.packed_bytes(part.len())))
    }

    /// The bytes in which a party keeps all fields, where two parties make them.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.0.iter().map(|field| field.packed_bytes(field.len) as u64).sum()
    }

    /// The traffic of the last party with the dealer, apart from its seed; the others receive their seed alone.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.0.iter().map(Field::traffic).sum()
    }

    /// The bytes that a party holds of all fields until they are used: the corrections at the last party. A share that expands
    /// from a seed is a few words.
    #[must_use]
    pub fn memory(&self, place: Place) -> u64 {
        let dealt = self.0.iter().filter(|field| place.is_last() && field.origin.is_dealt());
        dealt.map(|field| field.packed_bytes(field.len) as u64).sum()
    }

    /// The bytes of all fields that are expanded at once.
    pub(crate) fn expanded_memory(&self) -> u64 {
        self.0.iter().map(Field::expanded_memory).sum()
    }

    pub(crate) fn into_fields(self) -> vec::IntoIter<Field> {
        self.0.into_iter()
    }
}

/// SHA-256 of the layouts of a plan's correlations in ring `R`: two participants with one digest make, send and read the same
/// fields in the same order, whatever versions of this crate they have.
#[must_use]
pub fn layout_digest<R: Ring>(plan: &[Request]) -> [u8; 32] {
    // A correlation that cannot be is refused when it is dealt and drawn.
    digest_of(plan.iter().map(|request| request.layout::<R>().unwrap_or_default()))
}

fn digest_of(layouts: impl Iterator<Item = Layout>) -> [u8; 32] {
    let mut digest = Sha256::new();
    for layout in layouts {
        digest.update((layout.fields().len() as u64).to_le_bytes());
        for &Field { origin, form, len, bits, bytes } in layout.fields() {
            let (form, item) = match form {
                Form::Elements => (0, 0),
                Form::Words => (1, 0),
                Form::Packed { item } => (2, item),
            };
            digest.update([origin as u8, form]);
            [len as u64, bits.into(), bytes as u64, item as u64].iter().for_each(|n| digest.update(n.to_le_bytes()));
        }
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn every_property_of_a_field_and_their_order_are_in_the_digest() {
        let field = Field::elements::<u64>(Origin::Dealt, 8, 32);
        let fields = [
            field,
            Field { origin: Origin::Uniform, ..field },
            Field { origin: Origin::DealtApart, ..field },
            Field { form: Form::Words, ..field },
            Field { form: Form::Packed { item: 2 }, ..field },
            Field { form: Form::Packed { item: 4 }, ..field },
            Field { len: 9, ..field },
            Field { bits: 33, ..field },
            Field::elements::<u32>(Origin::Dealt, 8, 32),
        ];
        let mut layouts: Vec<Vec<Layout>> = fields.iter().map(|&field| vec![Layout(vec![field])]).collect();
        layouts.extend([vec![], vec![Layout::default()]]);
        layouts.push(vec![Layout(vec![fields[0], fields[1]])]);
        layouts.push(vec![Layout(vec![fields[1], fields[0]])]);
        layouts.push(vec![Layout(vec![fields[0]]), Layout(vec![fields[1]])]);
        let mut digests: Vec<_> = layouts.into_iter().map(|layouts| digest_of(layouts.into_iter())).collect();
        let count = digests.len();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), count);
    }
}
