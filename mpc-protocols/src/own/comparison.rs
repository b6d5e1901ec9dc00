//! From the masks of comparisons to the fields of their correlations.

use alloc::vec::Vec;
use core::ops::Range;

use mpc_ot::Pair;
use mpc_ot::comparison::{ComparisonMasks, ComparisonShape};
use mpc_ring::{Ring, packing};
use mpc_shares::SecretVec;

use crate::ProtocolError;
use crate::correlation::Share;
use crate::sign::SignParameters;

/// Elements that are made at a time: about 190 bytes of memory each. A multiple of 512, so that tables and monomials of a part
/// are a part of all of them.
const CHUNK: usize = 1 << 18;

/// The parts of `len` elements, one after the other.
pub(super) fn chunks(len: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len).step_by(CHUNK).map(move |from| from..len.min(from + CHUNK))
}

/// Fills a sign's fields, or with all of them a ReLU's.
pub(super) async fn fill<E: Ring>(
    pair: &mut Pair,
    len: usize,
    parameters: SignParameters,
    first: bool,
    shares: &mut [&mut dyn Share],
) -> Result<(), ProtocolError> {
    let ring_bits = shares.first().map_or(0, |share| share.field().bits);
    let words = packing::words_for(len);
    for part in chunks(len) {
        let shape = ComparisonShape { len: part.len(), bits: parameters.bits(), ring_bits };
        let masks = ComparisonMasks::<E>::generate(pair, shape, first).await?;
        let leaves = parameters.leaves();
        let (at, word, part_words) = (part.start, part.start / 64, packing::words_for(part.len()));
        let products = masks.products.len() / part_words.max(1);
        let mut fields = shares.iter_mut();
        let mut put = |values: Values<'_, E>, starts: Vec<usize>| {
            if let Some(share) = fields.next() {
                values.put(*share, &starts);
            }
        };
        put(Values::Elements(&masks.mask), [at].into());
        put(Values::Words(&masks.tables), [at / 2 * leaves].into());
        put(Values::Words(&masks.sign), [word].into());
        // One plane after the other, of which this part has some words.
        let planes = |count: usize| (0..count).map(|plane| plane * words + word).collect();
        put(Values::Words(&masks.less_bits), planes(leaves));
        put(Values::Words(&masks.equal_bits), planes(leaves - 1));
        put(Values::Words(&masks.flip), [word].into());
        put(Values::Words(&masks.products), [products * word].into());
        put(Values::Elements(&masks.flip_in_ring), [at].into());
        put(Values::Elements(&masks.top), [at].into());
        put(Values::Elements(&masks.flipped_mask), [at].into());
        put(Values::Elements(&masks.flipped_top), [at].into());
    }
    Ok(())
}

/// A part of a field.
enum Values<'a, E> {
    Elements(&'a [E]),
    Words(&'a [u64]),
}

impl<E: Ring> Values<'_, E> {
    /// Puts equal pieces of them where each starts.
    fn put(&self, share: &mut dyn Share, starts: &[usize]) {
        match self {
            Self::Elements(elements) => put_pieces(elements, share, starts),
            Self::Words(words) => put_pieces(words, share, starts),
        }
    }
}

fn put_pieces<E: Ring>(values: &[E], share: &mut dyn Share, starts: &[usize]) {
    let field = *share.field();
    let len = values.len() / starts.len().max(1);
    if len == 0 || field.bits == 0 {
        return;
    }
    let mut bytes = SecretVec::<u8>::zeros(field.packed_bytes(len));
    for (piece, &start) in values.chunks_exact(len).zip(starts) {
        packing::pack(piece, field.bits, &mut bytes);
        share.unpack(start..start + len, &bytes);
    }
}
