//! The largest value of each of many groups of three or four, in the rounds of one comparison.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use mpc_ring::kernels::{Work, vectorized, vectorized_whole};
use mpc_ring::{Ring, threads};
use mpc_shares::SecretVec;
use mpc_transport::Traffic;

use crate::binary::times_bit;
use crate::correlation::{AtRest, Deal, Dealing, Fields, Secret};
use crate::error::check_correlation;
use crate::open;
use crate::sign::compare::{self, compare_opened};
use crate::sign::masks::{MaskBits, ThresholdMask, deal_tables, times_masks, unpack_bits};
use crate::sign::{SignParameters, SignShape, Variant};
use crate::truncation::{TruncateReduce, check_bits, deal_top_bits, lifted, lifted_times_bit, random_bits};
use crate::{Correlation, Party, ProtocolError, Request};

/// Groups that are next to each other in the order of everything that a group has several of: one comparison of each, then the
/// next one of each. Their bits fill a word.
const LANES: usize = u64::BITS as usize;
/// Groups whose shares are read at a time, so that they stay in the cache.
const AT_ONCE: usize = 2 * LANES;

/// The number of groups, of values in each, and the bits of the comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupShape {
    /// The number of values of a group: 3 or 4.
    pub size: usize,
    /// The number of groups.
    pub len: usize,
    /// The bits of the comparisons, which are in few rounds.
    pub parameters: SignParameters,
}

impl GroupShape {
    /// Of each comparison the two values i < j: it is [x_i ≥ x_j]. Those with the last value come first.
    fn pairs(self) -> &'static [[usize; 2]] {
        match self.size {
            3 => &[[0, 2], [1, 2], [0, 1]],
            _ => &[[0, 3], [1, 3], [2, 3], [0, 1], [0, 2], [1, 2]],
        }
    }

    /// The differences to the last value, which are opened.
    fn opened(self) -> usize {
        self.size - 1
    }

    /// The comparisons of value i, by their place among all, and whether i is the second of the two.
    fn comparisons(self, i: usize) -> impl Iterator<Item = (usize, bool)> {
        let pairs = self.pairs().iter().enumerate();
        pairs.filter(move |(_, pair)| pair.contains(&i)).map(move |(place, pair)| (place, pair[1] == i))
    }

    /// The sets of comparisons of one value, the empty one included.
    fn sets(self) -> usize {
        1 << self.opened()
    }

    /// The products of the bits d of a value's comparisons, by value and set of its comparisons.
    fn products(self) -> Vec<Product> {
        let of_value = move |value: usize| {
            (1..self.sets()).map(move |set| {
                let places = self.comparisons(value).enumerate().filter(move |(at, _)| set >> at & 1 == 1);
                Product { value, pairs: places.map(|(_, (place, _))| place).collect() }
            })
        };
        (0..self.opened()).flat_map(of_value).collect()
    }

    /// All comparisons.
    fn signs(self) -> SignShape {
        SignShape { len: self.pairs().len() * self.len, parameters: self.parameters }
    }

    fn check<R: Ring>(self) -> Result<(), ProtocolError> {
        check_bits::<R>(self.parameters.bits(), 0)?;
        let refused =
            |parameter, value, allowed| ProtocolError::Parameter { protocol: "maximum", parameter, value, allowed };
        if !matches!(self.size, 3 | 4) {
            return Err(refused("values of a group", self.size as u64, "3 or 4"));
        }
        match self.parameters.variant() {
            Variant::FewRounds => Ok(()),
            Variant::FewBytes => Err(refused("comparison", u32::from(self.parameters).into(), "in few rounds")),
        }
    }
}

/// A product of bits d, which is dealt by itself, with the mask of a value and with the mask's top bit.
struct Product {
    value: usize,
    pairs: Vec<usize>,
}

/// One party's share of what the largest values of groups need: consumed by its use.
///
/// All of it is in blocks of 64 groups: what is listed first of each, then what is listed next.
pub struct GroupMask<R: Ring> {
    shape: GroupShape,
    /// r of each difference that is opened, uniform in k bits. The mask of every other difference is that of these masks.
    mask: AtRest<R>,
    bits: MaskBits,
    threshold: ThresholdMask<R>,
    /// r_top, modulo 2^{w−k} for a result of w bits.
    top: AtRest<R>,
    /// Π d of each set of two comparisons of a value and more.
    products: AtRest<R>,
    /// Π d·r of each set of comparisons that is not empty.
    masked: AtRest<R>,
    /// Π d·r_top, likewise and modulo 2^{w−k}.
    masked_top: AtRest<R>,
}

impl<R: Ring> fmt::Debug for GroupMask<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupMask").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl<R: Ring> Correlation for GroupMask<R> {
    type Shape = GroupShape;
    type Ring = R;

    fn request(&GroupShape { size, len, parameters }: &GroupShape) -> Request {
        Request::Group { size, len, parameters }
    }

    fn from_fields(shape: &GroupShape, fields: &mut Fields<R>) -> Result<Self, ProtocolError> {
        shape.check::<R>()?;
        let (width, k) = (fields.width(), shape.parameters.bits());
        let top_bits = width.saturating_sub(k);
        let (opened, with_masks) = (shape.opened() * shape.len, shape.products().len() * shape.len);
        // Opened in k bits, whatever is read of the result.
        let mask = fields.dealt(opened, width.max(k));
        let bits = MaskBits::of_tables(shape.signs(), fields);
        let threshold = ThresholdMask::from_fields(shape.signs(), fields)?;
        let top = fields.dealt(opened, top_bits);
        let products = fields.dealt(of_several(shape.products()).count() * shape.len, width);
        let masked = fields.dealt(with_masks, width);
        let masked_top = fields.dealt(with_masks, top_bits);
        Ok(Self { shape: *shape, mask, bits, threshold, top, products, masked, masked_top })
    }
}

/// Those that are not a bit d by itself, which the comparison has.
fn of_several(products: Vec<Product>) -> impl Iterator<Item = Product> {
    products.into_iter().filter(|product| product.pairs.len() > 1)
}

impl<R: Ring> Deal<R> for GroupMask<R> {
    async fn deal(shape: &GroupShape, dealing: &mut Dealing<'_, R>) -> Result<(), ProtocolError> {
        let k = shape.parameters.bits();
        let mask = random_bits(dealing, shape.opened() * shape.len, k);
        dealing.dealt(&mask).await?;
        let all = with_differences(&mask, *shape, R::ZERO);
        deal_tables(dealing, &all, shape.parameters).await?;
        drop(all);
        let flips = ThresholdMask::deal(shape.signs(), dealing).await?;
        deal_top_bits(dealing, &mask, k).await?;
        let (several, products) = (of_several(shape.products()).collect(), shape.products());
        for (products, with) in [(&several, None), (&products, Some(0)), (&products, Some(k - 1))] {
            let dealt = DealtProducts { shape: *shape, products, flips: &flips, mask: &mask, with };
            dealing
                .dealt_by(products.len() * LANES, |from, values| vectorized_whole(dealt.block(from, values)))
                .await?;
        }
        Ok(())
    }
}

/// The elements of differences to the last value, and behind them in each block those of all other differences, modulo 2^k: x_i −
/// x_j is (x_i − x) − (x_j − x). Each of these is moved by `offset`.
fn with_differences<R: Ring>(opened: &[R], shape: GroupShape, offset: R) -> Secret<R> {
    let (pairs, low) = (shape.pairs(), R::low_mask(shape.parameters.bits()));
    let mut all = SecretVec::zeros(pairs.len() * shape.len);
    let blocks = all.chunks_mut(pairs.len() * LANES).zip(opened.chunks(shape.opened() * LANES));
    for (all, opened) in blocks {
        let len = all.len() / pairs.len();
        let (own, others) = all.split_at_mut(opened.len());
        own.copy_from_slice(opened);
        for (&[i, j], difference) in pairs[shape.opened()..].iter().zip(others.chunks_exact_mut(len)) {
            let [left, right] = [i, j].map(|value| &opened[value * len..][..len]);
            vectorized(|| {
                for (difference, (&x, &y)) in difference.iter_mut().zip(left.iter().zip(right)) {
                    *difference = x.wrapping_sub(y).wrapping_add(offset) & low;
                }
            });
        }
    }
    all
}

/// Products of bits d as a dealer makes them: alone, or with r without its lowest `with` bits.
struct DealtProducts<'a, R> {
    shape: GroupShape,
    products: &'a [Product],
    flips: &'a [u64],
    mask: &'a [R],
    with: Option<u32>,
}

impl<'a, R: Ring> DealtProducts<'a, R> {
    /// The block that begins at a position among all products.
    fn block(&'a self, from: usize, values: &'a mut [R]) -> DealtBlock<'a, R> {
        DealtBlock { of: self, first: from / self.products.len(), values }
    }
}

struct DealtBlock<'a, R> {
    of: &'a DealtProducts<'a, R>,
    /// The number of the first group.
    first: usize,
    values: &'a mut [R],
}

impl<R: Ring> Work for DealtBlock<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { of: &DealtProducts { shape, products, flips, mask, with }, first, values } = self;
        let len = values.len() / products.len();
        for (product, values) in products.iter().zip(values.chunks_exact_mut(len.max(1))) {
            let flip = |&pair: &usize| bits_at(flips, first * shape.pairs().len() + pair * len);
            let word = product.pairs.iter().map(flip).fold(u64::MAX, |product, flip| product & flip);
            unpack_bits(&[word], 0, values);
            if let Some(shift) = with {
                times_masks(values, &mask[first * shape.opened() + product.value * len..], shift);
            }
        }
    }
}

/// The 64 bits from a position on, and zeros behind the last one.
#[inline(always)]
fn bits_at(words: &[u64], position: usize) -> u64 {
    let (word, shift) = (position / LANES, position % LANES);
    let above = if shift == 0 { 0 } else { words.get(word + 1).map_or(0, |next| next << (LANES - shift)) };
    words[word] >> shift | above
}

/// Shares of the largest value of each group, of which `values` have the first of every group, then the second.
pub(super) async fn largest<R: Ring>(
    party: &mut Party,
    values: &[SecretVec<R>],
    correlation: GroupMask<R>,
) -> Result<SecretVec<R>, ProtocolError> {
    let GroupMask { shape, mask, bits, threshold, top, products, masked, masked_top } = correlation;
    let Some((last, others)) = values.split_last() else { return Ok(SecretVec::zeros(0)) };
    check_correlation("maximum", "values of a group", shape.size, values.len())?;
    check_correlation("maximum", "groups", shape.len, last.len())?;
    let k = shape.parameters.bits();
    let c = TruncateReduce::new(party, k, 0).open(party, &differences(others, last), &mask).await?;
    let opened = with_differences(&c, shape, R::ONE << (k - 2));
    drop(c);
    let (flipped, flips) = compare_opened(party, &opened, &[R::ZERO], shape.parameters, bits, vec![threshold]).await?;
    let [flips] = flips.try_into().unwrap_or_else(|_| unreachable!("one threshold has one flip"));

    let (first, pairs, sets) = (party.is_first(), shape.pairs().len(), shape.products().len());
    let counted = [
        (shape.opened(), &mask),
        (shape.opened(), &top),
        (pairs, &flips),
        (of_several(shape.products()).count(), &products),
        (sets, &masked),
        (sets, &masked_top),
    ];
    let mut results = SecretVec::copy_of(last);
    let scratch = |groups: usize| {
        (counted.map(|(count, _)| SecretVec::zeros(count * groups)), SecretVec::zeros(shape.sets() * LANES))
    };
    threads::for_each_block(&mut results, AT_ONCE, scratch, |from, results, (shares, coefficients)| {
        for (share, (count, dealt)) in shares.iter_mut().zip(counted) {
            dealt.read(count * from, &mut share[..count * results.len()]);
        }
        let shares = shares.each_ref().map(|share| &share[..]);
        let opened = &opened[pairs * from..];
        vectorized_whole(AddLargest { shape, first, opened, flipped: &flipped, from, shares, coefficients, results });
    });
    Ok(results)
}

/// The differences of the values of each group to its last one.
fn differences<R: Ring>(others: &[SecretVec<R>], last: &[R]) -> SecretVec<R> {
    let mut differences = SecretVec::zeros(others.len() * last.len());
    let blocks = differences.chunks_mut(others.len() * LANES).zip(last.chunks(LANES));
    for (block, (differences, last)) in blocks.enumerate() {
        for (differences, other) in differences.chunks_exact_mut(last.len()).zip(others) {
            let other = &other[block * LANES..];
            for (difference, (&x, &y)) in differences.iter_mut().zip(other.iter().zip(last)) {
                *difference = x.wrapping_sub(y);
            }
        }
    }
    differences
}

/// Adds what the largest of each group has more than the last: Σ_i w_i·y_i.
struct AddLargest<'a, R> {
    shape: GroupShape,
    first: bool,
    /// c of every comparison of these groups.
    opened: &'a [R],
    /// All β.
    flipped: &'a [u64],
    /// The number of the first of these groups.
    from: usize,
    /// This party's of r, r_top, d, Π d, Π d·r and Π d·r_top.
    shares: [&'a [R]; 6],
    /// Room for w_i·y_i, by the set of those d that it is yet to be multiplied by.
    coefficients: &'a mut [R],
    results: &'a mut [R],
}

impl<R: Ring> Work for AddLargest<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { shape, first, opened, flipped, from, shares, coefficients, results } = self;
        let [mask, top, flips, products, masked, masked_top] = shares;
        let (bits, sets, pairs) = (shape.parameters.bits(), shape.sets(), shape.pairs().len());
        let several = sets - 1 - shape.opened();
        for (block, results) in results.chunks_mut(LANES).enumerate() {
            let (at, len) = (block * LANES, results.len());
            for value in 0..shape.opened() {
                let c = run_of(opened, pairs, value, at, len);
                let own = [mask, top].map(|shares| run_of(shares, shape.opened(), value, at, len));
                for i in 0..len {
                    coefficients[i] = lifted(first, c[i], bits, own[0][i], own[1][i]);
                }
                for set in 1..sets {
                    let product = if set.is_power_of_two() {
                        let (pair, _) = comparison(shape, value, set.ilog2());
                        run_of(flips, pairs, pair, at, len)
                    } else {
                        let place = value * several + set - set.ilog2() as usize - 2;
                        run_of(products, several * shape.opened(), place, at, len)
                    };
                    let place = value * (sets - 1) + set - 1;
                    let [masked, masked_top] =
                        [masked, masked_top].map(|shares| run_of(shares, (sets - 1) * shape.opened(), place, at, len));
                    let coefficient = &mut coefficients[set * LANES..][..len];
                    for i in 0..len {
                        coefficient[i] = lifted_times_bit(c[i], bits, product[i], masked[i], masked_top[i]);
                    }
                }
                for variable in (0..shape.opened() as u32).rev() {
                    let (pair, is_second) = comparison(shape, value, variable);
                    let beta = bits_at(flipped, (from + at) * pairs + pair * len);
                    fold(coefficients, 1 << variable, len, if is_second { !beta } else { beta });
                }
                for (result, &product) in results.iter_mut().zip(&*coefficients) {
                    *result = result.wrapping_add(product);
                }
            }
        }
    }
}

/// The comparison of a value that is the bit `variable` of a set.
#[inline(always)]
fn comparison(shape: GroupShape, value: usize, variable: u32) -> (usize, bool) {
    shape
        .comparisons(value)
        .nth(variable as usize)
        .unwrap_or_else(|| unreachable!("a value is compared with each other"))
}

/// The elements at place `index` of `count` of the block that begins at the group `at`, of `len` groups.
#[inline(always)]
fn run_of<R>(all: &[R], count: usize, index: usize, at: usize, len: usize) -> &[R] {
    &all[count * at + index * len..][..len]
}

/// b·z = β·z + (1 − 2β)·d·z in place of z, for a bit b = β ⊕ d, and all z of the first `half` sets, which are those without d.
#[inline(always)]
fn fold<R: Ring>(coefficients: &mut [R], half: usize, len: usize, beta: u64) {
    let (without, with) = coefficients.split_at_mut(half * LANES);
    for (without, with) in without.chunks_exact_mut(LANES).zip(with.chunks_exact(LANES)) {
        for (i, (z, &flipped)) in without.iter_mut().zip(with).enumerate().take(len) {
            let beta = R::from_u64((beta >> i) & 1).wrapping_neg();
            *z = times_bit(*z, flipped, beta);
        }
    }
}

/// The traffic of each party in [`largest`].
pub(super) fn traffic(shape: GroupShape, parties: usize) -> Traffic {
    open::traffic(shape.opened() * shape.len, shape.parameters.bits(), parties)
        + compare::traffic_of_opened(shape.signs(), 1, parties)
}
