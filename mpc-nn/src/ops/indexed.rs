//! The common part of a maximum and a sort that carry an index.
//! It goes below the value's bits, so that comparisons carry it along.

use mpc_protocols::sign::SignParameters;

use super::prelude::*;
use super::tensors::offset;
use crate::plan::format::{Index, ceil_log2};

/// The number of elements along the last axis, their index, and comparisons of both together.
pub(super) fn plan<R: Ring>(walk: &mut Walk<'_, R>, node: &Node) -> Result<(usize, Index, SignParameters), PlanError> {
    let input = node.inputs()[0];
    walk.need_plain(input)?;
    let input = walk.graph.node(input);
    let count = input.shape().last().copied().unwrap_or(1);
    let index_bits = ceil_log2(count as f64);
    let index = Index { bits: index_bits, origin: count as i64 - 1, step: -1, count: count as u64 };
    // What is compared is the difference of two values with their index.
    let bits = walk.bits(input, 1)? + index_bits;
    let parameters = walk.settings.comparison(bits).ok().filter(|_| bits <= R::BITS);
    let parameters = parameters.ok_or_else(|| {
        unsupported(node, "k and the bits of the index are more than a comparison may have; use a smaller k")
    })?;
    Ok((count, index, parameters))
}

/// For each position i along the last axis, its elements with count − 1 − i in `index_bits` bits below them.
pub(super) fn candidates<R: Ring>(
    x: &ArithmeticShares<R>,
    count: usize,
    index_bits: u32,
    party: usize,
    shape: &[usize],
) -> Result<Vec<ArithmeticShares<R>>, Failure> {
    let candidate = |index: usize| {
        let elements = x.elements().iter().skip(index).step_by(count).map(|&x| x << index_bits).collect();
        Ok(offset(ArithmeticShares::new(shape, elements)?, (count - 1 - index) as i128, party))
    };
    (0..count).map(candidate).collect()
}
