//! Sorting shared values, by a network of comparisons that is the same for all values.
//!
//! Batcher's merge exchange sort, for any number of values: Knuth, *The Art of Computer Programming*, volume 3, section
//! 5.2.2, algorithm M. All comparisons of a layer share their rounds, and each is one ReLU: with d = relu(x − y),
//! the larger is y + d and the smaller x − d.

use alloc::vec::Vec;

use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, SecretVec, ShareError};
use mpc_transport::Traffic;

use crate::error::check_len;
use crate::relu::{ReluMask, relu};
use crate::sign::{self, SignParameters, SignShape};
use crate::{Party, ProtocolError};

/// The layers of the network for `count` values: pairs (i, j) with i < j, after which the larger is at i.
///
/// ```
/// use mpc_protocols::sort::network;
/// assert_eq!(network(3), [vec![(0, 2)], vec![(0, 1)], vec![(1, 2)]]);
/// ```
#[must_use]
pub fn network(count: usize) -> Vec<Vec<(usize, usize)>> {
    layers(count).map(|layer| layer.pairs().collect()).collect()
}

/// One layer of a network: the pairs (i, i + distance) for each i below `end` whose bit p, a power of two, is r.
#[derive(Clone, Copy)]
struct Layer {
    end: usize,
    p: usize,
    r: usize,
    distance: usize,
}

impl Layer {
    fn pairs(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.end).filter(move |i| i & self.p == self.r).map(move |i| (i, i + self.distance))
    }

    /// The number of pairs.
    fn len(self) -> usize {
        let (periods, rest) = (self.end / (2 * self.p), self.end % (2 * self.p));
        periods * self.p + if self.r == 0 { rest.min(self.p) } else { rest.saturating_sub(self.p) }
    }
}

/// The layers that are not empty.
fn layers(count: usize) -> impl Iterator<Item = Layer> {
    let largest = count.next_power_of_two() / 2;
    let powers = core::iter::successors(Some(largest), |p| Some(p / 2)).take_while(|&p| p > 0);
    let of_power = move |p: usize| {
        let merges =
            core::iter::successors(Some((p, largest, 0)), move |&(_, q, _)| (q > p).then(|| (q - p, q / 2, p)));
        merges.map(move |(distance, _, r)| Layer { end: count.saturating_sub(distance), p, r, distance })
    };
    powers.flat_map(of_power).filter(|layer| layer.len() > 0)
}

/// The shapes of the comparisons that sort `count` tensors of `len` elements, layer by layer.
#[must_use]
pub fn shapes(count: usize, len: usize, parameters: SignParameters) -> Vec<SignShape> {
    layers(count).map(|layer| SignShape { len: layer.len() * len, parameters }).collect()
}

/// Sorts tensors of one shape element by element: at each position the largest comes first. Exact, where differences are
/// below 2^{k−2}.
///
/// # Security
/// As for [`relu`]; which values are compared does not depend on them.
///
/// # Rounds and communication
/// The rounds of a ReLU for each layer, of which there are ⌈log₂ m⌉·(⌈log₂ m⌉ + 1)/2 for m tensors ([`traffic`]).
///
/// # Errors
/// As for [`relu`]; [`ProtocolError::Share`] if the shapes differ; [`ProtocolError::OperandLength`] if the correlations do
/// not fit the number of tensors.
pub async fn sort<R: Ring>(
    party: &mut Party,
    mut tensors: Vec<ArithmeticShares<R>>,
    correlations: Vec<ReluMask<R>>,
) -> Result<Vec<ArithmeticShares<R>>, ProtocolError> {
    let shape = tensors.first().map(|tensor| tensor.shape().to_vec()).unwrap_or_default();
    if let Some(other) = tensors.iter().find(|tensor| tensor.shape() != shape) {
        return Err(ShareError::ShapesDiffer { left: shape, right: other.shape().to_vec() }.into());
    }
    let layers = network(tensors.len());
    check_len("sort, layers", layers.len(), correlations.len())?;
    let len: usize = shape.iter().product();
    for (layer, correlation) in layers.into_iter().zip(correlations) {
        let difference = |&(i, j): &(usize, usize)| {
            tensors[i].elements().iter().zip(tensors[j].elements()).map(|(&x, &y)| x.wrapping_sub(y))
        };
        let differences: SecretVec<R> = layer.iter().flat_map(difference).collect();
        let differences = ArithmeticShares::from_elements(differences.into_vec());
        let excess = relu(party, &differences, 0, correlation).await?;
        for (&(i, j), excess) in layer.iter().zip(excess.elements().chunks_exact(len.max(1))) {
            let (front, back) = tensors.split_at_mut(j);
            let pairs = front[i].elements_mut().iter_mut().zip(back[0].elements_mut());
            for ((x, y), &d) in pairs.zip(excess) {
                (*x, *y) = (y.wrapping_add(d), x.wrapping_sub(d));
            }
        }
    }
    Ok(tensors)
}

/// The traffic of each party in [`sort`].
#[must_use]
pub fn traffic(count: usize, len: usize, parameters: SignParameters, parties: usize) -> Traffic {
    shapes(count, len, parameters).into_iter().map(|shape| sign::traffic(shape, parties)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network that sorts every sequence of zeros and ones sorts everything.
    #[test]
    fn every_network_sorts_all_zeros_and_ones() {
        for count in 1..=12usize {
            let layers = network(count);
            let levels = count.next_power_of_two().trailing_zeros() as usize;
            assert!(layers.len() <= levels * (levels + 1) / 2);
            assert!(layers.iter().map(Vec::len).eq(super::layers(count).map(Layer::len)));
            for layer in &layers {
                let mut used: Vec<_> = layer.iter().flat_map(|&(i, j)| [i, j]).collect();
                used.sort_unstable();
                assert!(used.windows(2).all(|pair| pair[0] < pair[1]), "a value is compared twice in one layer");
            }
            for bits in 0..1usize << count {
                let mut values: Vec<_> = (0..count).map(|i| bits >> i & 1).collect();
                for (i, j) in layers.iter().flatten().copied() {
                    if values[i] < values[j] {
                        values.swap(i, j);
                    }
                }
                assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
            }
        }
    }
}
