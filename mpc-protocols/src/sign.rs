//! The sign of a shared value, for any number of parties, in 3 rounds: a masked opening, one-time tables of leaves, and a
//! polynomial in public bits whose monomials were dealt.
//!
//! Let y' = y + 2^{k−2}, which is below 2^{k−1}, and c = y' + r mod 2^k be opened, r uniform in k bits. Then bit k−2 of
//! y' = c − r is 1 exactly where y ≥ 0, and it is c_{k−2} ⊕ r_{k−2} ⊕ t with the borrow t = [c_low < r_low] of the
//! k−2 bits below. These are cut into L leaves of 5 bits. For each leaf the dealer shares a one-time table of
//! (v < r_i, v = r_i) for all v, which is read at the public index c_i. With all lt_i and eq_j masked by dealt random
//! bits ρ_i and σ_j and opened, t = ⊕_i lt_i·Π_{j>i} eq_j is a polynomial in public bits over dealt monomials.
//!
//! One-time tables: Ishai, Kushilevitz, Meldgaard, Orlandi, Paskin-Cherniavsky, "On the power of correlated randomness
//! in secure computation" (TCC 2013).

use alloc::vec;
use alloc::vec::Vec;
use mpc_ring::kernels::{TABLE_BLOCK, lookup};
use mpc_ring::{Ring, packing};
use mpc_shares::{ArithmeticShares, BinaryShares, SecretVec};
use mpc_transport::{Traffic, Transport};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::dealer::{Dealing, Secret};
use crate::error::check_correlation;
use crate::open::{self, open_owned, open_planes};
use crate::request::Field;
use crate::truncation::{TruncateReduce, check_bits, random_bits};
use crate::{Correlation, CorrelationSource, Party, ProtocolError, Request};

/// Bits of a leaf: a table of 2^5 entries of two bits fills one word.
const LEAF_BITS: u32 = 5;
/// Where the table's equality half begins.
const EQUAL_HALF: u32 = 1 << LEAF_BITS;
/// More leaves than this would need more than 2^8 dealt monomials per element.
const MAX_LEAVES: u32 = 8;

/// k: the number of bits in which a value is compared; |y| < 2^{k−2} must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct SignParameters {
    bits: u32,
}

impl SignParameters {
    /// The smallest k.
    pub const MIN_BITS: u32 = 3;
    /// The largest k.
    pub const MAX_BITS: u32 = MAX_LEAVES * LEAF_BITS + 2;

    /// Comparison in `bits` bits.
    ///
    /// # Errors
    /// [`ProtocolError::Parameter`] outside [`MIN_BITS`](Self::MIN_BITS) to [`MAX_BITS`](Self::MAX_BITS).
    pub fn new(bits: u32) -> Result<Self, ProtocolError> {
        if (Self::MIN_BITS..=Self::MAX_BITS).contains(&bits) {
            return Ok(Self { bits });
        }
        let allowed = "3 to 42 bits";
        Err(ProtocolError::Parameter { protocol: "sign", parameter: "k", value: u64::from(bits), allowed })
    }

    /// k.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// L: the number of leaves.
    #[must_use]
    pub fn leaves(self) -> usize {
        (self.bits - 2).div_ceil(LEAF_BITS) as usize
    }

    /// The number of bits opened in the second round: every lt_i, and every eq_j but the lowest leaf's.
    #[must_use]
    pub fn leaf_bits_opened(self) -> usize {
        2 * self.leaves() - 1
    }

    /// Subsets of {σ_1, …, σ_{L−1}}, the empty one included.
    fn subsets(self) -> usize {
        1 << (self.leaves() - 1)
    }

    /// Subsets of {σ_j : j > i}, the empty one included.
    fn subsets_above(self, leaf: usize) -> usize {
        1 << (self.leaves() - 1 - leaf)
    }

    /// Where the products of ρ_`leaf` begin among those of all leaves.
    fn less_offset(self, leaf: usize) -> usize {
        (0..leaf).map(|i| self.subsets_above(i)).sum()
    }

    /// The number of products that are not random bits themselves.
    fn dealt_products(self) -> usize {
        (self.subsets() - self.leaves()) + (self.less_offset(self.leaves()) - self.leaves())
    }

    /// The fields of corrections, in the order of dealing: r, tables, products, r_{k−2}, d.
    pub(crate) fn corrections<R: Ring>(self, len: usize) -> [Field; 5] {
        let plane = packing::words_for(len);
        let elements = Field { len, bits: R::BITS };
        let words = |len| Field { len, bits: u64::BITS };
        [elements, words(len * self.leaves()), words(self.dealt_products() * plane), words(plane), elements]
    }

    /// Where Π_{j∈S} σ_j is: bit j−1 of the set's index stands for σ_j. The empty set has none.
    fn equal_factor(self, set: usize) -> Factor {
        let highest = set.ilog2() as usize;
        if set.is_power_of_two() { Factor::EqualBit(highest) } else { Factor::Product(set - highest - 2) }
    }

    /// Where ρ_i·Π_{j∈S} σ_j is: bit j−i−1 of the set's index stands for σ_j.
    fn less_factor(self, leaf: usize, set: usize) -> Factor {
        let before = self.subsets() - self.leaves() + self.less_offset(leaf) - leaf;
        if set == 0 { Factor::LessBit(leaf) } else { Factor::Product(before + set - 1) }
    }

    /// The two factors of each product, in the order in which the products are dealt: of σ only, then with each ρ_i.
    fn products(self) -> impl Iterator<Item = [Factor; 2]> {
        let of_equal = (1..self.subsets()).filter(|set| !set.is_power_of_two()).map(move |set| {
            let lowest = set & set.wrapping_neg();
            [self.equal_factor(lowest), self.equal_factor(set ^ lowest)]
        });
        let with_less = (0..self.leaves()).flat_map(move |leaf| {
            (1..self.subsets_above(leaf)).map(move |set| [Factor::LessBit(leaf), self.equal_factor(set << leaf)])
        });
        of_equal.chain(with_less)
    }
}

/// A random bit of the borrow's polynomial, or a dealt product of some.
#[derive(Clone, Copy)]
enum Factor {
    /// ρ_i.
    LessBit(usize),
    /// σ_{j+1}.
    EqualBit(usize),
    /// A product, by its place in the order of dealing.
    Product(usize),
}

impl TryFrom<u32> for SignParameters {
    type Error = ProtocolError;

    fn try_from(bits: u32) -> Result<Self, ProtocolError> {
        Self::new(bits)
    }
}

impl From<SignParameters> for u32 {
    fn from(parameters: SignParameters) -> u32 {
        parameters.bits
    }
}

/// The number of elements and the bits of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SignShape {
    /// The number of elements.
    pub len: usize,
    /// The bits of the comparison.
    pub parameters: SignParameters,
}

/// The random bits ρ_i, σ_j and their products, as planes: either one party's XOR shares or the dealer's values.
struct Monomials {
    words: usize,
    /// ρ_0 … ρ_{L−1}.
    less_bits: SecretVec<u64>,
    /// σ_1 … σ_{L−1}.
    equal_bits: SecretVec<u64>,
    /// The products, in the order of [`SignParameters::products`].
    products: SecretVec<u64>,
}

impl Monomials {
    fn plane(&self, factor: Factor) -> &[u64] {
        let (planes, index) = match factor {
            Factor::LessBit(index) => (&self.less_bits, index),
            Factor::EqualBit(index) => (&self.equal_bits, index),
            Factor::Product(index) => (&self.products, index),
        };
        &planes[index * self.words..][..self.words]
    }

    /// Multiplies the dealer's bits out.
    fn fill_products(&mut self, parameters: SignParameters) {
        for (index, [x, y]) in parameters.products().enumerate() {
            let product: SecretVec<u64> = self.plane(x).iter().zip(self.plane(y)).map(|(&x, &y)| x & y).collect();
            self.products[index * self.words..][..self.words].copy_from_slice(&product);
        }
    }
}

/// One party's share of what one sign needs: consumed by its use.
pub struct SignMask<R: Ring> {
    parameters: SignParameters,
    /// r, uniform in k bits, shared in the ring.
    mask: ArithmeticShares<R>,
    /// `<T_i>` for each leaf, in blocks of 64 elements: leaf after leaf, element after element.
    tables: SecretVec<u64>,
    monomials: Monomials,
    /// `<r_{k−2}>`.
    mask_sign: BinaryShares,
    /// A random bit d, in XOR shares …
    flip: BinaryShares,
    /// … and in the ring.
    flip_in_ring: ArithmeticShares<R>,
}

impl<R: Ring> core::fmt::Debug for SignMask<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SignMask").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

impl<R: Ring> Correlation<R> for SignMask<R> {
    type Shape = SignShape;

    fn request(shape: &SignShape) -> Request {
        Request::Sign { len: shape.len, parameters: shape.parameters }
    }

    async fn draw<T: Transport>(shape: &SignShape, source: &mut CorrelationSource<T>) -> Result<Self, ProtocolError> {
        let SignShape { len, parameters } = *shape;
        check_bits::<R>(parameters.bits, 0)?;
        let words = packing::words_for(len);
        let leaves = parameters.leaves();
        let less_bits = SecretVec::from(source.uniform(leaves * words));
        let equal_bits = SecretVec::from(source.uniform((leaves - 1) * words));
        let flip = BinaryShares::new(1, len, source.uniform(words))?;
        let mask = ArithmeticShares::from_elements(source.elements(len, R::BITS).await?);
        let tables = SecretVec::from(source.words(len * leaves).await?);
        let products = SecretVec::from(source.words(parameters.dealt_products() * words).await?);
        let monomials = Monomials { words, less_bits, equal_bits, products };
        let mask_sign = BinaryShares::new(1, len, source.words(words).await?)?;
        let flip_in_ring = ArithmeticShares::from_elements(source.elements(len, R::BITS).await?);
        Ok(Self { parameters, mask, tables, monomials, mask_sign, flip, flip_in_ring })
    }
}

/// What the dealer knows of a sign's correlation, for those built on it.
pub(crate) struct DealtSign<R: Ring> {
    /// r.
    pub(crate) mask: Secret<R>,
    /// d.
    pub(crate) flip: Secret<R>,
}

pub(crate) async fn deal<R: Ring, T: Transport>(
    dealing: &mut Dealing<'_, T>,
    len: usize,
    parameters: SignParameters,
) -> Result<DealtSign<R>, ProtocolError> {
    check_bits::<R>(parameters.bits, 0)?;
    let words = packing::words_for(len);
    let leaves = parameters.leaves();
    let less_bits = dealing.uniform_words(leaves * words);
    let equal_bits = dealing.uniform_words((leaves - 1) * words);
    let flip_words = dealing.uniform_words(words);
    let mask = random_bits::<R, T>(dealing, len, parameters.bits);
    dealing.elements(Secret::copy_of(&mask), R::BITS).await?;
    dealing.words(leaf_tables(&mask, parameters)).await?;
    let products = Secret::zeros(parameters.dealt_products() * words);
    let mut monomials = Monomials { words, less_bits, equal_bits, products };
    monomials.fill_products(parameters);
    dealing.words(monomials.products).await?;
    dealing.words(bit_plane(&mask, parameters.bits - 2).into()).await?;
    let flip = SecretVec::from(BinaryShares::new(1, len, flip_words.into_vec())?.to_elements::<R>()?);
    dealing.elements(Secret::copy_of(&flip), R::BITS).await?;
    Ok(DealtSign { mask, flip })
}

/// T_i[v] = (v < r_i, v = r_i) for every element and leaf, in the blocks that [`read_tables`] reads.
fn leaf_tables<R: Ring>(mask: &[R], parameters: SignParameters) -> Secret<u64> {
    let low = low_bits_mask(parameters);
    let mut tables = Vec::with_capacity(mask.len() * parameters.leaves());
    for block in mask.chunks(64) {
        for leaf in 0..parameters.leaves() as u32 {
            tables.extend(block.iter().map(|r| {
                let value = leaf_of(r.low_u64() & low, leaf);
                ((1 << value) - 1) | (1 << (EQUAL_HALF + value))
            }));
        }
    }
    tables.into()
}

fn low_bits_mask(parameters: SignParameters) -> u64 {
    u64::low_mask(parameters.bits - 2)
}

#[inline]
fn leaf_of(low: u64, leaf: u32) -> u32 {
    ((low >> (leaf * LEAF_BITS)) as u32) & (EQUAL_HALF - 1)
}

/// This party's shares of lt_i (L planes) and of eq_j for j ≥ 1 (L−1 planes), read at the public c.
fn read_tables<R: Ring>(tables: &[u64], opened: &[R], parameters: SignParameters) -> SecretVec<u64> {
    let (leaves, words) = (parameters.leaves(), packing::words_for(opened.len()));
    let low = low_bits_mask(parameters);
    let mut planes = SecretVec::zeros(parameters.leaf_bits_opened() * words);
    let mut padded = Zeroizing::new([0; TABLE_BLOCK]);
    for (word, (block, entries)) in opened.chunks(TABLE_BLOCK).zip(tables.chunks(TABLE_BLOCK * leaves)).enumerate() {
        let mut indices = [0; TABLE_BLOCK];
        indices.iter_mut().zip(block).for_each(|(index, c)| *index = c.low_u64() & low);
        for (leaf, table) in entries.chunks_exact(block.len()).enumerate() {
            let table = table.first_chunk().unwrap_or_else(|| {
                padded[..table.len()].copy_from_slice(table);
                &padded
            });
            let [less, equal] = lookup(table, &indices, leaf as u32 * LEAF_BITS);
            planes[leaf * words + word] = less;
            if leaf > 0 {
                planes[(leaves + leaf - 1) * words + word] = equal;
            }
        }
    }
    planes
}

/// Bit `bit` of each element, 64 elements a word.
fn bit_plane<R: Ring>(elements: &[R], bit: u32) -> Vec<u64> {
    let word = |block: &[R]| {
        let bits = block.iter().enumerate().map(|(i, &element)| ((element >> bit).low_u64() & 1) << i);
        bits.fold(0, |word, bit| word | bit)
    };
    elements.chunks(64).map(word).collect()
}

/// Words of a plane that are worked on together, so that the compiler can use vectors.
const LANES: usize = 8;

/// This party's share of the borrow t = ⊕_i lt_i·Π_{j>i} eq_j, from the opened lt_i ⊕ ρ_i and eq_j ⊕ σ_j.
fn borrow(opened: &[u64], monomials: &Monomials, parameters: SignParameters, first: bool) -> Vec<u64> {
    let (words, leaves) = (monomials.words, parameters.leaves());
    let opened_plane = |plane: usize| &opened[plane * words..][..words];
    let equal: Vec<&[u64]> =
        (1..parameters.subsets()).map(|set| monomials.plane(parameters.equal_factor(set))).collect();
    let mut coefficients = vec![[0u64; LANES]; parameters.subsets()];
    let mut borrow = vec![0; words];
    for leaf in 0..leaves {
        let sets = parameters.subsets_above(leaf);
        let less: Vec<&[u64]> = (0..sets).map(|set| monomials.plane(parameters.less_factor(leaf, set))).collect();
        for (lane, borrow) in borrow.chunks_mut(LANES).enumerate() {
            let used = lane * LANES..lane * LANES + borrow.len();
            let less_opened = lanes(&opened_plane(leaf)[used.clone()]);
            // The factor lt_i = less ⊕ ρ_i, times each monomial in the σ of the leaves above.
            coefficients[0] = lanes(&less[0][used.clone()]);
            if first {
                coefficients[0].iter_mut().zip(less_opened).for_each(|(x, y)| *x ^= y);
            }
            for set in 1..sets {
                let monomial = lanes(&equal[(set << leaf) - 1][used.clone()]);
                let product = lanes(&less[set][used.clone()]);
                coefficients[set] = core::array::from_fn(|i| (less_opened[i] & monomial[i]) ^ product[i]);
            }
            let sum = evaluate(&mut coefficients[..sets], |variable| {
                lanes(&opened_plane(leaves + leaf + variable)[used.clone()])
            });
            borrow.iter_mut().zip(sum).for_each(|(x, y)| *x ^= y);
        }
    }
    coefficients.as_flattened_mut().zeroize();
    borrow
}

/// Up to [`LANES`] words, and zeros behind them.
#[inline(always)]
fn lanes(words: &[u64]) -> [u64; LANES] {
    match words.first_chunk() {
        Some(full) => *full,
        None => core::array::from_fn(|i| words.get(i).copied().unwrap_or(0)),
    }
}

/// Σ_S coefficient_S·Π_{j∉S} v_j over subsets S of the variables, folding the highest variable first.
#[inline(always)]
fn evaluate(coefficients: &mut [[u64; LANES]], value: impl Fn(usize) -> [u64; LANES]) -> [u64; LANES] {
    let mut half = coefficients.len() / 2;
    while half > 0 {
        let variable = value(half.trailing_zeros() as usize);
        let (without, with) = coefficients.split_at_mut(half);
        for (x, y) in without.iter_mut().zip(&with[..half]) {
            *x = core::array::from_fn(|i| (x[i] & variable[i]) ^ y[i]);
        }
        half /= 2;
    }
    coefficients[0]
}

/// A sign as all parties know it after three rounds: the masked value c and the flipped sign β = [y ≥ 0] ⊕ d are public.
pub(crate) struct OpenedSign<R: Ring> {
    /// c = y + 2^{k−2} + r modulo 2^k.
    pub(crate) opened: Vec<R>,
    /// β, 64 elements a word.
    pub(crate) flipped: Vec<u64>,
    /// This party's share of r.
    pub(crate) mask: ArithmeticShares<R>,
    /// This party's share of d.
    pub(crate) flip: ArithmeticShares<R>,
}

impl<R: Ring> OpenedSign<R> {
    /// β of one element, as a mask of all ones or zeros.
    #[inline]
    pub(crate) fn flipped_mask(&self, element: usize) -> R {
        R::from_u64((self.flipped[element / 64] >> (element % 64)) & 1).wrapping_neg()
    }
}

/// Opens c and β for y = x / 2^`shift`.
pub(crate) async fn open_sign<R: Ring, T: Transport>(
    party: &mut Party<T>,
    x: &[R],
    shift: u32,
    correlation: SignMask<R>,
) -> Result<OpenedSign<R>, ProtocolError> {
    let SignMask { parameters, mask, tables, monomials, mask_sign, mut flip, flip_in_ring } = correlation;
    let bits = parameters.bits;
    check_bits::<R>(bits, shift)?;
    check_correlation("sign", "elements", mask.len(), x.len())?;
    let first = party.is_first();

    let masked = TruncateReduce::new(party, bits, shift).masked(x, mask.elements());
    let opened = open_owned(party, masked, bits).await?;

    let mut leaves = read_tables(&tables, &opened, parameters);
    // lt_i ⊕ ρ_i, then eq_j ⊕ σ_j.
    let masks = monomials.less_bits.iter().chain(monomials.equal_bits.iter());
    leaves.iter_mut().zip(masks).for_each(|(x, &y)| *x ^= y);
    let leaves = open_planes(party, leaves, x.len()).await?;

    let borrow = borrow(&leaves, &monomials, parameters, first);
    flip.xor(&mask_sign)?;
    flip.xor(&BinaryShares::new(1, x.len(), borrow)?)?;
    if first {
        flip.xor(&BinaryShares::new(1, x.len(), bit_plane(&opened, bits - 2))?)?;
    }
    let flipped = open::open_bits(party, &flip).await?;
    Ok(OpenedSign { opened, flipped, mask, flip: flip_in_ring })
}

/// Shares of the bit [x ≥ 0] as 0 or 1 in the ring, for |x| < 2^{k−2}.
///
/// # Security
/// Opened are values masked by uniform dealt bits: c by r, every leaf bit by ρ or σ, the sign by d.
///
/// # Rounds and communication
/// 3 rounds; k + 2L bits per element to each other party: 5.5 bytes for k = 32 ([`traffic`]).
///
/// # Errors
/// [`ProtocolError::Parameter`], [`ProtocolError::WrongCorrelation`], [`ProtocolError::Transport`].
pub async fn is_non_negative<R: Ring, T: Transport>(
    party: &mut Party<T>,
    x: &ArithmeticShares<R>,
    correlation: SignMask<R>,
) -> Result<ArithmeticShares<R>, ProtocolError> {
    let sign = open_sign(party, x.elements(), 0, correlation).await?;
    let first = R::from_u64(u64::from(party.is_first()));
    let bit = |(element, &d): (usize, &R)| {
        // b = β ⊕ d = β + (1 − 2β)·d
        let flipped = sign.flipped_mask(element);
        (first & flipped).wrapping_add((d ^ flipped).wrapping_sub(flipped))
    };
    Ok(ArithmeticShares::new(x.shape(), sign.flip.elements().iter().enumerate().map(bit).collect())?)
}

/// What each party sends and receives for the sign of `shape.len` elements: three rounds.
#[must_use]
pub fn traffic(shape: SignShape, parties: usize) -> Traffic {
    let SignShape { len, parameters } = shape;
    if len == 0 {
        return open::traffic(0, parameters.bits, parties);
    }
    open::traffic(len, parameters.bits, parties)
        + open::traffic_of_planes(parameters.leaf_bits_opened(), len, parties)
        + open::traffic_of_planes(1, len, parties)
}
