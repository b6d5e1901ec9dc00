//! The transforms, written once over the arithmetic of eight residues.
//!
//! The forward transform takes the coefficients in order through the butterflies of Cooley and Tukey, the inverse takes them
//! back through those of Gentleman and Sande (Longa, Naehrig, "Speeding up the number theoretic transform for faster ideal
//! lattice-based cryptography", 2016). The last three stages of the forward transform work within eight coefficients: each
//! block of 64 is transposed before them, and stays so.
//!
//! Residues between the passes are signed and not fully reduced. The comments bound them as multiples of the prime p, which is
//! below 2^50: a factor is below 4, and anything below 8, so that all are integers that a double holds. A product by a factor
//! of a table, from a value below k, is below M(k) = 1/2 + k/8; a reduced value is below 0.51.

/// The arithmetic of eight residues modulo one prime. A value of the type proves that its instructions are available.
pub(super) trait Arithmetic: Copy {
    /// Eight residues.
    type Octet: Copy;
    /// Eight factors from a table, ready to be multiplied by.
    type Factors: Copy;

    /// Residues from 0 to p − 1.
    fn load_canonical(self, from: &[u64; 8]) -> Self::Octet;
    /// Any residues, reduced and written as 0 to p − 1.
    fn store_canonical(self, values: Self::Octet, to: &mut [u64; 8]);
    /// Residues as [`store`](Self::store) left them.
    fn load(self, from: &[u64; 8]) -> Self::Octet;
    /// Keeps residues as they are.
    fn store(self, values: Self::Octet, to: &mut [u64; 8]);
    /// One factor in all lanes.
    fn factor(self, from: i64) -> Self::Factors;
    /// Eight factors.
    fn factors(self, from: &[i64; 8]) -> Self::Factors;
    /// The sum.
    fn add(self, left: Self::Octet, right: Self::Octet) -> Self::Octet;
    /// The difference.
    fn subtract(self, left: Self::Octet, right: Self::Octet) -> Self::Octet;
    /// The product by factors of a table.
    fn multiply(self, values: Self::Octet, factors: Self::Factors) -> Self::Octet;
    /// The product of two canonical residues, below 1.
    fn product(self, left: Self::Octet, right: Self::Octet) -> Self::Octet;
    /// The representatives around zero.
    fn reduce(self, values: Self::Octet) -> Self::Octet;
    /// Rows become columns.
    fn transpose(self, rows: [Self::Octet; 8]) -> [Self::Octet; 8];
}

/// x + w·y and x − w·y.
#[inline(always)]
fn butterfly<A: Arithmetic>(a: A, x: A::Octet, y: A::Octet, w: A::Factors) -> (A::Octet, A::Octet) {
    let y = a.multiply(y, w);
    (a.add(x, y), a.subtract(x, y))
}

/// x + y and (x − y)·w.
#[inline(always)]
fn inverse_butterfly<A: Arithmetic>(a: A, x: A::Octet, y: A::Octet, w: A::Factors) -> (A::Octet, A::Octet) {
    (a.add(x, y), a.multiply(a.subtract(x, y), w))
}

/// The blocks of eight of the four quarters of `group`, one of each at a time.
#[inline(always)]
fn quarters(group: &mut [[u64; 8]]) -> impl Iterator<Item = [&mut [u64; 8]; 4]> {
    let (low, high) = group.split_at_mut(group.len() / 2);
    let (first, second) = low.split_at_mut(low.len() / 2);
    let (third, fourth) = high.split_at_mut(high.len() / 2);
    first.iter_mut().zip(second).zip(third.iter_mut().zip(fourth)).map(|((a, b), (c, d))| [a, b, c, d])
}

/// The blocks of eight of the two halves of `group`.
#[inline(always)]
fn halves(group: &mut [[u64; 8]]) -> impl Iterator<Item = (&mut [u64; 8], &mut [u64; 8])> {
    let (low, high) = group.split_at_mut(group.len() / 2);
    low.iter_mut().zip(high)
}

/// The forward transform, of canonical residues to canonical residues.
#[inline(always)]
pub(super) fn forward<A: Arithmetic>(a: A, roots: &[i64], values: &mut [u64]) {
    let (head, tail) = roots.split_at(roots.len() / 8);
    let blocks = values.as_chunks_mut::<8>().0;
    // Canonical residues are below 1: the sums are below 1 + M(1) = 1.63.
    let w = a.factor(head[1]);
    for (x, y) in halves(blocks) {
        let (sum, difference) = butterfly(a, a.load_canonical(x), a.load_canonical(y), w);
        a.store(sum, x);
        a.store(difference, y);
    }
    let mut groups = 2;
    if head.len().trailing_zeros().is_multiple_of(2) {
        // From below 1.63 to below 1.63 + M(1.63) = 2.34.
        for (group, w) in blocks.chunks_exact_mut(blocks.len() / 2).zip(&head[2..]) {
            let w = a.factor(*w);
            for (x, y) in halves(group) {
                let (sum, difference) = butterfly(a, a.load(x), a.load(y), w);
                a.store(sum, x);
                a.store(difference, y);
            }
        }
        groups = 4;
    }
    while groups < head.len() {
        let (outer, inner) = (&head[groups..2 * groups], head[2 * groups..4 * groups].as_chunks::<2>().0);
        let size = blocks.len() / groups;
        for ((group, w), inner) in blocks.chunks_exact_mut(size).zip(outer).zip(inner) {
            forward_quarters(a, group, [*w, inner[0], inner[1]]);
        }
        groups *= 4;
    }
    for (rows, factors) in blocks.as_chunks_mut::<8>().0.iter_mut().zip(tail.as_chunks::<56>().0) {
        forward_tail(a, rows, factors.as_chunks().0);
    }
}

/// Two stages on one group. From below k ≤ 2.34 to below 1/2 + M(k) + M(k + M(k)) = 1.5625 + 0.266·k < 2.2; the factor of the
/// second stage is below k + M(k) < 3.2.
#[inline(always)]
fn forward_quarters<A: Arithmetic>(a: A, group: &mut [[u64; 8]], [w, lower, upper]: [i64; 3]) {
    let (w, lower, upper) = (a.factor(w), a.factor(lower), a.factor(upper));
    for [x0, x1, x2, x3] in quarters(group) {
        let (y0, y2) = butterfly(a, a.reduce(a.load(x0)), a.load(x2), w);
        let (y1, y3) = butterfly(a, a.load(x1), a.load(x3), w);
        let (z0, z1) = butterfly(a, y0, y1, lower);
        let (z2, z3) = butterfly(a, y2, y3, upper);
        a.store(z0, x0);
        a.store(z1, x1);
        a.store(z2, x2);
        a.store(z3, x3);
    }
}

/// The last three stages on 64 coefficients: from below 2.2 to below 2.98, 3.86 and 4.85; the factors are below the same.
#[inline(always)]
fn forward_tail<A: Arithmetic>(a: A, rows: &mut [[u64; 8]; 8], factors: &[[i64; 8]]) {
    let mut x = [a.load(&rows[0]); 8];
    for (x, row) in x.iter_mut().zip(rows.iter()) {
        *x = a.load(row);
    }
    let mut x = a.transpose(x);
    let w = a.factors(&factors[0]);
    for r in 0..4 {
        (x[r], x[r + 4]) = butterfly(a, x[r], x[r + 4], w);
    }
    for half in 0..2 {
        let w = a.factors(&factors[1 + half]);
        for r in [4 * half, 4 * half + 1] {
            (x[r], x[r + 2]) = butterfly(a, x[r], x[r + 2], w);
        }
    }
    for pair in 0..4 {
        let w = a.factors(&factors[3 + pair]);
        (x[2 * pair], x[2 * pair + 1]) = butterfly(a, x[2 * pair], x[2 * pair + 1], w);
    }
    for (x, row) in x.into_iter().zip(rows) {
        a.store_canonical(x, row);
    }
}

/// The inverse transform, of canonical residues to canonical residues. `last` are the factors of the last stage.
#[inline(always)]
pub(super) fn inverse<A: Arithmetic>(a: A, roots: &[i64], last: [i64; 2], values: &mut [u64]) {
    let (head, tail) = roots.split_at(roots.len() / 8);
    let blocks = values.as_chunks_mut::<8>().0;
    for (rows, factors) in blocks.as_chunks_mut::<8>().0.iter_mut().zip(tail.as_chunks::<56>().0) {
        inverse_tail(a, rows, factors.as_chunks().0);
    }
    let mut groups = head.len() / 4;
    while groups >= 2 {
        let (outer, inner) = (&head[groups..2 * groups], head[2 * groups..4 * groups].as_chunks::<2>().0);
        let size = blocks.len() / groups;
        for ((group, w), inner) in blocks.chunks_exact_mut(size).zip(outer).zip(inner) {
            inverse_quarters(a, group, [*w, inner[0], inner[1]]);
        }
        groups /= 4;
    }
    if head.len().trailing_zeros().is_multiple_of(2) {
        // From below 2 to 0.51 and to M(4) = 1.
        for (group, w) in blocks.chunks_exact_mut(blocks.len() / 2).zip(&head[2..]) {
            let w = a.factor(*w);
            for (x, y) in halves(group) {
                let (sum, difference) = inverse_butterfly(a, a.load(x), a.load(y), w);
                a.store(a.reduce(sum), x);
                a.store(difference, y);
            }
        }
    }
    let (scale, w) = (a.factor(last[0]), a.factor(last[1]));
    for (x, y) in halves(blocks) {
        let (sum, difference) = inverse_butterfly(a, a.load(x), a.load(y), w);
        a.store_canonical(a.multiply(sum, scale), x);
        a.store_canonical(difference, y);
    }
}

/// Two stages on one group. From below k < 2 to below 2·M(2k) = 1 + k/2 < 2; a factor is below 2k < 4.
#[inline(always)]
fn inverse_quarters<A: Arithmetic>(a: A, group: &mut [[u64; 8]], [w, lower, upper]: [i64; 3]) {
    let (w, lower, upper) = (a.factor(w), a.factor(lower), a.factor(upper));
    for [x0, x1, x2, x3] in quarters(group) {
        let (y0, y1) = inverse_butterfly(a, a.load(x0), a.load(x1), lower);
        let (y2, y3) = inverse_butterfly(a, a.load(x2), a.load(x3), upper);
        let (z0, z2) = inverse_butterfly(a, a.reduce(y0), a.reduce(y2), w);
        let (z1, z3) = inverse_butterfly(a, y1, y3, w);
        a.store(z0, x0);
        a.store(z1, x1);
        a.store(z2, x2);
        a.store(z3, x3);
    }
}

/// The first three stages of the inverse on 64 values. Canonical residues are not negative: their sums are below 2, 4 and 8, and
/// differences of those are below 1, 2 and 4 in size. Row 1 has 4·M(1) = 2.5, all others but row 0 have at most 1.5.
#[inline(always)]
fn inverse_tail<A: Arithmetic>(a: A, rows: &mut [[u64; 8]; 8], factors: &[[i64; 8]]) {
    let mut x = [a.load_canonical(&rows[0]); 8];
    for (x, row) in x.iter_mut().zip(rows.iter()) {
        *x = a.load_canonical(row);
    }
    for pair in 0..4 {
        let w = a.factors(&factors[3 + pair]);
        (x[2 * pair], x[2 * pair + 1]) = inverse_butterfly(a, x[2 * pair], x[2 * pair + 1], w);
    }
    for half in 0..2 {
        let w = a.factors(&factors[1 + half]);
        for r in [4 * half, 4 * half + 1] {
            (x[r], x[r + 2]) = inverse_butterfly(a, x[r], x[r + 2], w);
        }
    }
    let w = a.factors(&factors[0]);
    for r in 0..4 {
        (x[r], x[r + 4]) = inverse_butterfly(a, x[r], x[r + 4], w);
    }
    (x[0], x[1]) = (a.reduce(x[0]), a.reduce(x[1]));
    for (x, row) in a.transpose(x).into_iter().zip(rows) {
        a.store(x, row);
    }
}

/// Adds products of canonical residues to canonical sums.
#[inline(always)]
pub(super) fn multiply_accumulate<A: Arithmetic>(a: A, sums: &mut [u64], left: &[u64], right: &[u64]) {
    let factors = left.as_chunks().0.iter().zip(right.as_chunks().0);
    for (sum, (left, right)) in sums.as_chunks_mut().0.iter_mut().zip(factors) {
        let product = a.product(a.load_canonical(left), a.load_canonical(right));
        a.store_canonical(a.add(a.load_canonical(sum), product), sum);
    }
}

/// Blocks of eight that are summed at a time, so that a factor that is loaded serves all of them.
const TOGETHER: usize = 4;
/// Terms that are summed at a time.
const ROWS: usize = 32;

/// Adds multiples of terms to canonical sums, all of `len` residues. Two sums go at a time: what is loaded of a term serves both.
#[inline(always)]
pub(super) fn add_multiples<A: Arithmetic>(a: A, len: usize, sums: &mut [u64], terms: &[u64], factors: &[i64]) {
    let count = terms.len() / len;
    let mut rows = [[[0; 8]; TOGETHER]; ROWS];
    for part in 0..len / (8 * TOGETHER) {
        for first in (0..count).step_by(ROWS) {
            // Side by side: terms lie a power of two apart, and would be in each other's way in a cache.
            let rows = &mut rows[..ROWS.min(count - first)];
            for (row, term) in rows.iter_mut().zip(terms.chunks_exact(len).skip(first)) {
                row.copy_from_slice(&term.as_chunks().0[part * TOGETHER..][..TOGETHER]);
            }
            for (sums, factors) in sums.chunks_mut(2 * len).zip(factors.chunks(2 * count)) {
                let factors_of = |sum: usize| &factors[sum * count + first..][..rows.len()];
                match sums.split_at_mut(len) {
                    (last, []) => add_to(a, [part_of(last, part)], rows, [factors_of(0)]),
                    (one, other) => {
                        let both = [part_of(one, part), part_of(other, part)];
                        add_to(a, both, rows, [factors_of(0), factors_of(1)]);
                    }
                }
            }
        }
    }
}

fn part_of(sum: &mut [u64], part: usize) -> &mut [[u64; 8]] {
    &mut sum.as_chunks_mut().0[part * TOGETHER..][..TOGETHER]
}

/// Adds multiples of rows to some sums. A factor is hardly above p/2, and a multiple below M(1) = 0.63, so that ten of them and a sum below 1 are below 8.
#[inline(always)]
fn add_to<A: Arithmetic, const SUMS: usize>(
    a: A,
    sums: [&mut [[u64; 8]]; SUMS],
    rows: &[[[u64; 8]; TOGETHER]],
    factors: [&[i64]; SUMS],
) {
    let mut all = [[a.load_canonical(&sums[0][0]); TOGETHER]; SUMS];
    for (all, sum) in all.iter_mut().zip(&sums) {
        for (octet, from) in all.iter_mut().zip(sum.iter()) {
            *octet = a.load_canonical(from);
        }
    }
    for (place, row) in rows.iter().enumerate() {
        let mut values = [a.load_canonical(&row[0]); TOGETHER];
        for (value, from) in values.iter_mut().zip(row) {
            *value = a.load_canonical(from);
        }
        for (all, factors) in all.iter_mut().zip(factors) {
            let factor = a.factor(factors[place]);
            for (octet, &value) in all.iter_mut().zip(&values) {
                *octet = a.add(*octet, a.multiply(value, factor));
            }
        }
        if place % 10 == 9 {
            for octet in all.as_flattened_mut() {
                *octet = a.reduce(*octet);
            }
        }
    }
    for (all, sum) in all.into_iter().zip(sums) {
        for (octet, to) in all.into_iter().zip(sum) {
            a.store_canonical(octet, to);
        }
    }
}
