//! The relation of groups of which the largest value is found.

use mpc_protocols::sign::SignParameters;
use mpc_ring::Ring;

use super::Fields;
use super::plain::{products, top};

/// The comparisons of a group, those with its last value first.
fn pairs(size: usize) -> Vec<[usize; 2]> {
    let all = (0..size).flat_map(|j| (0..j).map(move |i| [i, j]));
    let mut pairs: Vec<_> = all.collect();
    pairs.sort_by_key(|&[i, j]| (j != size - 1, i, j));
    pairs
}

/// Of `all`, which has `count` elements of each group, those of one place: 64 groups have their first ones, then their second ones.
fn of_place<R: Copy>(all: &[R], count: usize, place: usize, len: usize) -> Vec<R> {
    let element = |group: usize| {
        let (block, lane) = (group / 64, group % 64);
        all[64 * block * count + place * (len - 64 * block).min(64) + lane]
    };
    (0..len).map(element).collect()
}

/// The other way round.
fn interleaved<R: Copy>(places: &[Vec<R>], len: usize) -> Vec<R> {
    let blocks = (0..len).step_by(64);
    let blocks = blocks.map(|from| from..len.min(from + 64));
    blocks.flat_map(|block| places.iter().flat_map(move |place| place[block.clone()].iter().copied())).collect()
}

impl<R: Ring> Fields<'_, R> {
    pub(super) fn group(&mut self, size: usize, parameters: SignParameters, len: usize) {
        let (k, pairs) = (parameters.bits(), pairs(size));
        let opened = self.mask(k);
        let r: Vec<_> = (0..size - 1).map(|value| of_place(opened, size - 1, value, len)).collect();
        let difference = |&[i, j]: &[usize; 2]| {
            let zeros = vec![R::ZERO; len];
            let differences = r[i].iter().zip(r.get(j).unwrap_or(&zeros));
            differences.map(|(&x, &y)| x.wrapping_sub(y) & R::low_mask(k)).collect()
        };
        self.tables(k, &interleaved(&pairs.iter().map(difference).collect::<Vec<Vec<R>>>(), len));
        let d = self.threshold(parameters, pairs.len() * len);
        self.are_above(k, top(opened, k));

        let (mut several, mut masked, mut masked_top) = (vec![], vec![], vec![]);
        for (value, r) in r.iter().enumerate() {
            let own: Vec<_> = (0..pairs.len()).filter(|&pair| pairs[pair].contains(&value)).collect();
            for set in 1..1usize << own.len() {
                let factors = own.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1);
                let factors: Vec<_> = factors.map(|(_, &pair)| of_place(&d, pairs.len(), pair, len)).collect();
                let product = factors.iter().skip(1).fold(factors[0].clone(), |product, d| products(&product, d));
                masked.push(products(&product, r));
                masked_top.push(products(&product, &top(r, k)));
                if factors.len() > 1 {
                    several.push(product);
                }
            }
        }
        self.are_read(interleaved(&several, len));
        self.are_read(interleaved(&masked, len));
        self.are_above(k, interleaved(&masked_top, len));
    }
}
