//! The relations of comparisons, in both variants.

use mpc_protocols::sign::{SignParameters, Variant};
use mpc_ring::kernels::TABLE_BLOCK;
use mpc_ring::{Ring, packing};

use super::Fields;
use super::plain::{products, top};

/// The number of groups of so many leaves of three bits.
const GROUPS: [usize; 16] = [0, 1, 1, 1, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5];

impl<'a, R: Ring> Fields<'a, R> {
    pub(super) fn sign(&mut self, parameters: SignParameters, len: usize) {
        self.mask_and_leaves(parameters);
        self.threshold(parameters, len);
    }

    pub(super) fn relu(&mut self, parameters: SignParameters, len: usize) {
        let k = parameters.bits();
        let r = self.mask_and_leaves(parameters);
        let d = self.threshold(parameters, len);
        self.are_above(k, top(r, k));
        self.are_read(products(&d, r));
        self.are_above(k, products(&d, &top(r, k)));
    }

    pub(super) fn piecewise(&mut self, parameters: SignParameters, thresholds: usize, len: usize) {
        let k = parameters.bits();
        let r = self.mask_and_leaves(parameters);
        self.are_above(k, top(r, k));
        for _ in 0..thresholds {
            let d = self.threshold(parameters, len);
            self.are_read(products(&d, r));
            self.are_above(k, products(&d, &top(r, k)));
        }
    }

    /// r with what is read of its leaves and its bit k−2.
    fn mask_and_leaves(&mut self, parameters: SignParameters) -> &'a [R] {
        match parameters.variant() {
            Variant::FewRounds => self.mask_and_tables(parameters.bits()),
            Variant::FewBytes => self.mask_of_bits(parameters.bits()),
        }
    }

    fn mask_and_tables(&mut self, bits: u32) -> &'a [R] {
        let r = self.mask(bits);
        self.tables(bits, r);
        r
    }

    /// The tables of r's leaves, and its bit k−2.
    pub(super) fn tables(&mut self, bits: u32, r: &[R]) {
        let (tables, signs) = (self.words(), self.words());
        let leaves = (bits as usize - 2).div_ceil(5);
        for (index, block) in r.chunks(TABLE_BLOCK).enumerate() {
            let pairs = block.len().div_ceil(2);
            let tables = &tables[index * TABLE_BLOCK / 2 * leaves..][..leaves * pairs];
            for (element, r) in block.iter().map(|r| r.low_u64()).enumerate() {
                assert_eq!((signs[index] >> element) & 1, (r >> (bits - 2)) & 1);
                for leaf in 0..leaves {
                    let table = (tables[leaf * pairs + element / 2] >> (32 * (element % 2))) as u32;
                    let digit = ((r & u64::low_mask(bits - 2)) >> (5 * leaf)) & 31;
                    assert_eq!(u64::from(table), (1 << digit) - 1, "v < {digit}");
                }
            }
        }
    }

    /// The k−2 low bits of r, bit k−2, r, and the products of each three bits.
    fn mask_of_bits(&mut self, bits: u32) -> &'a [R] {
        let (planes, signs) = (self.words(), self.words());
        let r = self.mask(bits);
        let words = packing::words_for(r.len());
        let all = planes.chunks_exact(words.max(1)).chain([signs]);
        for (plane, bit) in all.zip(0..) {
            let is_same = |(index, r): (usize, &R)| (plane[index / 64] >> (index % 64)) & 1 == (r.low_u64() >> bit) & 1;
            assert!(r.iter().enumerate().all(is_same), "bit {bit} of {bits}");
        }
        let low = bits as usize - 2;
        let mut factors = Vec::new();
        for leaf in (0..low).step_by(3) {
            let sets = (1..1usize << (low - leaf).min(3)).filter(|set| set.count_ones() > 1);
            factors.extend(sets.map(|set| (0..3).filter(|bit| set >> bit & 1 == 1).map(|bit| leaf + bit).collect()));
        }
        self.are_products(words, &factors, planes);
        r
    }

    /// The monomials of a borrow, and d, which is returned.
    pub(super) fn threshold(&mut self, parameters: SignParameters, len: usize) -> Vec<R> {
        let words = packing::words_for(len);
        let mut levels = Vec::new();
        for parts in levels_of(parameters) {
            let [less, equal] = [self.words(), self.words()];
            let count = parts.iter().sum::<usize>();
            assert_eq!((less.len(), equal.len()), (count * words, (count - 1) * words));
            levels.push((parts, [less, equal].concat(), count));
        }
        let flip = self.words();
        for (parts, bits, count) in levels {
            let mut factors = Vec::new();
            let mut from = 0;
            for part in parts {
                chain(from, part, count, &mut factors);
                from += part;
            }
            self.are_products(words, &factors, &bits);
        }
        let d: Vec<R> = (0..len).map(|i| R::from_u64((flip[i / 64] >> (i % 64)) & 1)).collect();
        self.are_read(d.iter().copied());
        d
    }

    /// The next field has the products of planes, each of the planes of an index: eight words of every product, then the next
    /// eight.
    fn are_products(&mut self, words: usize, factors: &[Vec<usize>], planes: &[u64]) {
        let product = |factors: &[usize], word: usize| {
            factors.iter().fold(u64::MAX, |product, plane| product & planes[plane * words + word])
        };
        let blocks = (0..words).collect::<Vec<_>>();
        let expected = blocks.chunks(8).flat_map(|block| {
            factors.iter().flat_map(move |factors| block.iter().map(move |&word| product(factors, word)))
        });
        assert!(expected.eq(self.words().iter().copied()));
    }
}

/// The parts of each chain of every level, the lowest first.
fn levels_of(parameters: SignParameters) -> Vec<Vec<usize>> {
    let low = parameters.bits() as usize - 2;
    if parameters.variant() == Variant::FewRounds {
        return vec![vec![low.div_ceil(5)]];
    }
    let leaves = low.div_ceil(3);
    let groups = GROUPS[leaves];
    let sizes = (0..groups).map(|group| leaves / groups + usize::from(group < leaves % groups)).collect();
    if groups == 1 { vec![sizes] } else { vec![sizes, vec![groups]] }
}

/// The factors of the products of parts `from`.. of a level with `count` parts, of which ρ_i has plane i, and σ_j, for j > 0, plane
/// `count` + j − 1: sets of two and more σ by rising index, then of each ρ_i with those above it.
fn chain(from: usize, parts: usize, count: usize, factors: &mut Vec<Vec<usize>>) {
    let lowest = from.max(1);
    let of_set = |set: usize, above: usize| {
        (above..from + parts).filter(move |j| set >> (j - above) & 1 == 1).map(move |j| count + j - 1)
    };
    let sets = (1..1usize << (from + parts - lowest)).filter(|set| set.count_ones() > 1);
    factors.extend(sets.map(|set| of_set(set, lowest).collect()));
    for part in from..from + parts {
        let sets = 1..1usize << (from + parts - part - 1);
        factors.extend(sets.map(|set| [part].into_iter().chain(of_set(set, part + 1)).collect()));
    }
}
