//! From the masks of comparisons to the fields of their correlations.

use alloc::vec::Vec;

use mpc_ot::comparison::{ComparisonMasks, ComparisonShape, LeafShares};
use mpc_ot::{OtError, Pair};
use mpc_ring::kernels::TABLE_BLOCK;
use mpc_ring::{Ring, packing};

use super::maker::put_at;
use crate::correlation::Share;
use crate::sign::SignParameters;

/// Elements that are made at a time: about 190 bytes of memory each.
pub(super) const GROUP: usize = 1 << 18;
/// A part of a group begins at a multiple of this, so that its tables and monomials are blocks of the group's.
pub(super) const PART: usize = 512;
/// Words of a block of products.
const LANES: usize = PART / 64;

/// Masks that are made together: of however many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) len: usize,
    pub(super) parameters: SignParameters,
    /// The bits of r's shares.
    pub(super) ring_bits: u32,
}

impl Group {
    pub(super) fn shape(&self) -> ComparisonShape {
        let Self { len, parameters, ring_bits } = *self;
        ComparisonShape { len, bits: parameters.bits(), ring_bits, variant: parameters.variant() }
    }
}

/// A part of a request's elements, which is a part of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The index of the group.
    pub(super) group: usize,
    /// Where it begins in the group.
    pub(super) at: usize,
    /// Where it begins in the request.
    pub(super) from: usize,
    pub(super) len: usize,
    /// Whether nothing of the group is used after it.
    pub(super) is_last: bool,
}

/// A group as it was made.
pub(super) enum Masks {
    Narrow(ComparisonMasks<u64>),
    Wide(ComparisonMasks<u128>),
}

impl Masks {
    pub(super) async fn generate(pair: &mut Pair, group: &Group, first: bool) -> Result<Self, OtError> {
        Ok(if group.ring_bits <= u64::BITS {
            Self::Narrow(ComparisonMasks::generate(pair, group.shape(), first).await?)
        } else {
            Self::Wide(ComparisonMasks::generate(pair, group.shape(), first).await?)
        })
    }

    /// Fills a part of a sign's fields, or with all of them a ReLU's, for a request of `len` elements.
    pub(super) fn put(&self, group: &Group, part: &Part, len: usize, shares: &mut [&mut dyn Share]) {
        let places: Vec<_> = (0..shares.len()).map(Some).collect();
        self.put_fields(group, part, len, &places, shares);
    }

    /// As [`put`](Self::put), where field i of a ReLU goes to the share at place i, if there is one.
    pub(super) fn put_fields(
        &self,
        group: &Group,
        part: &Part,
        len: usize,
        places: &[Option<usize>],
        shares: &mut [&mut dyn Share],
    ) {
        match self {
            Self::Narrow(masks) => put(masks, group, part, len, places, shares),
            Self::Wide(masks) => put(masks, group, part, len, places, shares),
        }
    }

    /// Copies a part's shares of r and its top bit.
    pub(super) fn gather<E: Ring>(&self, part: &Part, mask: &mut [E], top: &mut [E]) {
        match self {
            Self::Narrow(masks) => [(&masks.mask, mask), (&masks.top, top)].map(|(from, to)| part.copy(from, to)),
            Self::Wide(masks) => [(&masks.mask, mask), (&masks.top, top)].map(|(from, to)| part.copy(from, to)),
        };
    }

    /// Copies a part's flip bits.
    pub(super) fn gather_flip(&self, part: &Part, flip: &mut [u64]) {
        let planes = match self {
            Self::Narrow(masks) => &masks.flip,
            Self::Wide(masks) => &masks.flip,
        };
        let words = packing::words_for(part.len);
        flip[part.from / 64..][..words].copy_from_slice(&planes[part.at / 64..][..words]);
        // Bits behind the last element are those of the group.
        if let (Some(last), used @ 1..) = (flip.last_mut(), (part.from + part.len) % 64) {
            *last &= u64::low_mask(used as u32);
        }
    }
}

impl Part {
    fn copy<A: Ring, B: Ring>(&self, from: &[A], to: &mut [B]) {
        let (from, to) = (&from[self.at..][..self.len], &mut to[self.from..][..self.len]);
        from.iter().zip(to).for_each(|(from, to)| *to = B::from_u128(from.to_u128()));
    }
}

fn put<E: Ring>(
    masks: &ComparisonMasks<E>,
    group: &Group,
    part: &Part,
    len: usize,
    places: &[Option<usize>],
    shares: &mut [&mut dyn Share],
) {
    let piece = Piece { part, words: packing::words_for(len), group_words: packing::words_for(group.len) };
    let planes = |words: &[u64]| words.len() / piece.group_words.max(1);
    let mut places = places.iter();
    let mut fill = |values: Values<'_, E>| {
        if let Some(&Some(place)) = places.next() {
            piece.put(&values, &mut *shares[place]);
        }
    };
    match &masks.leaves {
        LeafShares::Tables(tables) => {
            fill(Values::Elements(&masks.mask));
            fill(Values::Tables(tables, group.parameters.leaves()));
            fill(Values::Planes(&masks.sign, 1));
        }
        LeafShares::Bits { bits, products } => {
            fill(Values::Planes(bits, planes(bits)));
            fill(Values::Planes(&masks.sign, 1));
            fill(Values::Elements(&masks.mask));
            fill(Values::Products(products, planes(products)));
        }
    }
    for level in &masks.levels {
        fill(Values::Planes(&level.less_bits, planes(&level.less_bits)));
        fill(Values::Planes(&level.equal_bits, planes(&level.equal_bits)));
    }
    fill(Values::Planes(&masks.flip, 1));
    for level in &masks.levels {
        fill(Values::Products(&level.products, planes(&level.products)));
    }
    fill(Values::Elements(&masks.flip_in_ring));
    fill(Values::Elements(&masks.top));
    fill(Values::Elements(&masks.flipped_mask));
    fill(Values::Elements(&masks.flipped_top));
}

/// The values of a group for one field.
enum Values<'a, E> {
    Elements(&'a [E]),
    /// A number of planes, one after the other.
    Planes(&'a [u64], usize),
    /// In blocks of [`TABLE_BLOCK`] elements, the tables of a number of leaves.
    Tables(&'a [u64], usize),
    /// In blocks of [`LANES`] words, a number of products.
    Products(&'a [u64], usize),
}

/// The place of a part in its group, and in its request of `words` words.
struct Piece<'a> {
    part: &'a Part,
    words: usize,
    group_words: usize,
}

impl Piece<'_> {
    fn put<E: Ring>(&self, values: &Values<'_, E>, share: &mut dyn Share) {
        let &Part { at, from, len, .. } = self.part;
        let (first, start, words) = (at / 64, from / 64, packing::words_for(len));
        match *values {
            Values::Elements(elements) => put_at(&elements[at..at + len], share, from),
            Values::Planes(planes, count) => {
                for plane in 0..count {
                    put_at(&planes[plane * self.group_words + first..][..words], share, plane * self.words + start);
                }
            }
            Values::Tables(tables, leaves) => {
                let lines = tables[at / 2 * leaves..].chunks(TABLE_BLOCK / 2);
                let mut to = from / 2 * leaves;
                // Of the last block fewer elements may be used.
                for (line, words) in lines.zip(
                    (0..len)
                        .step_by(TABLE_BLOCK)
                        .flat_map(|element| core::iter::repeat_n((len - element).min(TABLE_BLOCK).div_ceil(2), leaves)),
                ) {
                    put_at(&line[..words], share, to);
                    to += words;
                }
            }
            Values::Products(products, count) => {
                let lines = products[first * count..].chunks(LANES);
                let mut to = start * count;
                for (line, words) in lines.zip(
                    (0..words).step_by(LANES).flat_map(|word| core::iter::repeat_n((words - word).min(LANES), count)),
                ) {
                    put_at(&line[..words], share, to);
                    to += words;
                }
            }
        }
    }
}
