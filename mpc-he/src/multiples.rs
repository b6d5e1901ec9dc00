//! Products with polynomials of weights that have few coefficients: sums of multiples of the inputs, without a transform for each
//! pair of an input and an output.
//!
//! A polynomial of weights Σ w·X^e has the same exponents e for every pair of a layer. So the inputs times X^e, which are few, are
//! transformed once, and an output is Σ w·(input·X^e).

use alloc::vec::Vec;
use core::ops::Range;

use mpc_shares::SecretVec;

use crate::Layout;
use crate::ring::{Poly, Transforms};

/// Multiples of so many inputs times a power of X are summed at a time: 32 MiB of them.
pub(crate) const TERMS: usize = 512;
/// Outputs that are summed at a time.
pub(crate) const OUTPUTS: usize = 64;

/// The sums of the products of a group's `inputs` and `weights`, all as transforms, for these output chunks.
pub(crate) fn sums(
    layout: &Layout,
    weights: &SecretVec<u64>,
    group: usize,
    outputs: Range<usize>,
    inputs: &[Poly],
) -> Vec<Poly> {
    let exponents: Vec<_> = layout.weights(group, 0, 0).map(|(exponent, _)| exponent).collect();
    let powers: Vec<_> = exponents.iter().map(|&exponent| Poly::power(exponent).forward()).collect();
    let mut sums = Transforms::zeros(outputs.len());
    let together = (TERMS / exponents.len()).max(1);
    for (inputs, first) in inputs.chunks(together).zip((0..).step_by(together)) {
        let mut terms = Transforms::zeros(inputs.len() * exponents.len());
        let pairs = inputs.iter().flat_map(|input| powers.iter().map(move |power| (input, power)));
        pairs.enumerate().for_each(|(place, (input, power))| terms.multiply_accumulate(place, input, power));
        let mut factors = SecretVec::zeros(outputs.len() * terms.len());
        let rows = factors.chunks_exact_mut(exponents.len());
        let chunks = outputs.clone().flat_map(|output| (first..first + inputs.len()).map(move |input| (input, output)));
        for (row, (input, output)) in rows.zip(chunks) {
            // Chunks with fewer channels have some of the exponents, in the same order.
            let mut places = exponents.iter().zip(row);
            for (exponent, weight) in layout.weights(group, input, output) {
                let (_, factor) = places.find(|&(&other, _)| other == exponent).expect("all chunks have the same");
                *factor = layout.modulus.signed(weights[weight]);
            }
        }
        sums.add_multiples(&terms, &factors);
    }
    sums.polys().collect()
}
