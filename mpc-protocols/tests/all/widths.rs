//! Protocols of whose operands only some low bits are right, and of whose results only some low bits are read: nothing that
//! is dealt or opened is wider, and those bits of the result are what they are in the whole ring.

use crate::common::{copy, elements, generator, run, run_unequal, split};
use mpc_protocols::fixed_weights::{self, FixedWeightShape, FixedWeights, WeightMask};
use mpc_protocols::piecewise::{self, PiecewiseLinear, PiecewiseShape, Step, compare};
use mpc_protocols::relu::{self, ReluMask, relu};
use mpc_protocols::sign::{SignParameters, SignShape, Variant};
use mpc_protocols::truncation::{self, LiftMask, LiftShape, truncate};
use mpc_protocols::{Bilinear, CorrelationSource, Party, ProtocolError, Request, beaver, open};
use mpc_ring::{Convolution, Ring};
use mpc_shares::ArithmeticShares;
use mpc_transport::Traffic;
use proptest::collection::vec;
use proptest::prelude::*;

/// Shares that are right modulo 2^`width` alone.
fn narrow<R: Ring>(secret: &[R], width: u32, parties: usize) -> Vec<ArithmeticShares<R>> {
    let mut noise = generator(17);
    split(secret, parties)
        .into_iter()
        .map(|share| {
            let mut above = vec![R::ZERO; share.len()];
            R::fill_random(&mut above, &mut noise);
            let low = R::low_mask(width);
            let with_noise = share.elements().iter().zip(above).map(|(&x, noise)| (x & low) | (noise & !low));
            ArithmeticShares::from_elements(with_noise.collect())
        })
        .collect()
}

/// The secret modulo 2^`width`.
fn low_bits<R: Ring>(shares: &[ArithmeticShares<R>], width: u32) -> Vec<R> {
    let secret = ArithmeticShares::reconstruct(shares).unwrap();
    secret.into_iter().map(|x| x & R::low_mask(width)).collect()
}

/// As a signed number of `width` bits.
fn signed<R: Ring>(x: R, width: u32) -> i128 {
    (x << (R::BITS - width)).to_i128() >> (R::BITS - width)
}

/// A width that the ring has.
fn fitting<R: Ring>(width: u32) -> u32 {
    (width - 1) % R::BITS + 1
}

fn product<R: Ring>(map: &Bilinear, x: &[R], y: &[R], width: u32) -> Vec<R> {
    let mut z = vec![R::ZERO; map.output_len()];
    map.accumulate(x, y, &mut z);
    z.into_iter().map(|z| z & R::low_mask(width)).collect()
}

/// Products of two secrets, and squares.
fn multiplies<R: Ring>(map: Bilinear, x: &[R], y: &[R], width: u32, parties: usize) {
    let (left, right) = (narrow(x, width, parties), narrow(y, width, parties));
    let (triple, pair) = (Request::Beaver(map), Request::Square { len: x.len() });
    let plan = [triple, pair].map(|request| request.modulo::<R>(width));
    let traffic = beaver::traffic(&map, width, parties) + open::traffic(x.len(), width, parties);
    let results = run::<R, _>(parties, &plan, traffic, async |party, source| {
        let (x, y) = (&left[party.index()], &right[party.index()]);
        let product = beaver::multiply(party, x, y, source.next_modulo(width, map).await?).await?;
        Ok([product, beaver::square(party, x, source.next_modulo(width, x.len()).await?).await?])
    });
    let [products, squares] = [0, 1].map(|at| results.iter().map(|result| copy(&result[at])).collect::<Vec<_>>());
    assert_eq!(low_bits(&products, width), product(&map, x, y, width));
    assert_eq!(low_bits(&squares, width), product(&Bilinear::Elementwise { len: x.len() }, x, x, width));
}

/// A layer with weights of which more bits are opened than this one reads, as where another layer reads more of them.
fn applies<R: Ring>(map: Bilinear, x: &[R], weights: &[R], widths: [u32; 2], parties: usize, owner: Option<usize>) {
    let [width, loaded] = [widths[0].min(widths[1]), widths[0].max(widths[1])];
    let (shape, other) = (FixedWeightShape { mask: 1, map }, 3);
    let plan = [
        Request::WeightMask { len: other }.modulo::<R>(1),
        Request::WeightMask { len: weights.len() }.modulo::<R>(loaded),
        Request::FixedWeights { mask: 1, map }.modulo::<R>(width),
    ];
    let xs = narrow(x, width, parties);
    let whole = || narrow(weights, loaded, parties);
    let known = |owner: usize| {
        let own = |party| if party == owner { weights.to_vec() } else { vec![R::ZERO; weights.len()] };
        (0..parties).map(|party| ArithmeticShares::from_elements(own(party))).collect()
    };
    let shares = owner.map_or_else(whole, known);
    let traffic = |party| {
        let load = fixed_weights::load_traffic([(other, 1), (weights.len(), loaded)], parties);
        load + owner.map_or(fixed_weights::traffic(&map, width, parties), |owner| {
            fixed_weights::traffic_at_owner(&map, width, party, owner, parties)
        })
    };
    let outputs = run_unequal::<R, _>(parties, &plan, traffic, async |party, source| {
        let first: WeightMask<R> = source.next_modulo(1, other).await?;
        let second = source.next_modulo(loaded, weights.len()).await?;
        let zeros = ArithmeticShares::from_elements(vec![R::ZERO; other]);
        let layers = vec![(zeros, first), (copy(&shares[party.index()]), second)];
        let layer = FixedWeights::load(party, layers).await?.remove(1);
        let prepared = layer.prepare(source.next_modulo(width, shape).await?)?;
        match owner {
            None => layer.apply(party, &xs[party.index()], prepared).await,
            Some(owner) => layer.apply_at_owner(party, owner, &xs[party.index()], prepared).await,
        }
    });
    assert_eq!(low_bits(&outputs, width), product(&map, x, weights, width));
}

fn any_ring<R: Ring>(seeds: &[u128]) -> Vec<R> {
    seeds.iter().map(|&x| R::from_u128(x)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn products_have_the_bits_that_are_read(
        width in 1..=128u32, parties in 2..=4usize, pairs in vec(any::<(u128, u128)>(), 1..40),
    ) {
        let (x, y): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let map = Bilinear::Elementwise { len: x.len() };
        multiplies::<u32>(map, &any_ring(&x), &any_ring(&y), fitting::<u32>(width), parties);
        multiplies::<u64>(map, &any_ring(&x), &any_ring(&y), fitting::<u64>(width), parties);
        multiplies::<u128>(map, &any_ring(&x), &any_ring(&y), fitting::<u128>(width), parties);
    }

    #[test]
    fn layers_have_the_bits_that_are_read(
        widths: [u8; 2], parties in 2..=4usize, x in vec(any::<u128>(), 24), weights in vec(any::<u128>(), 36),
        owner in prop_oneof![Just(None), (0..2usize).prop_map(Some)],
    ) {
        let map = Bilinear::Convolution(
            Convolution { padding: [1; 4], ..Convolution::valid([2, 2], [3, 4], [3, 3]) }
        );
        fn of<R: Ring>(widths: [u8; 2]) -> [u32; 2] {
            widths.map(|width| u32::from(width) % R::BITS + 1)
        }
        applies::<u32>(map, &any_ring(&x), &any_ring(&weights), of::<u32>(widths), parties, owner);
        applies::<u64>(map, &any_ring(&x), &any_ring(&weights), of::<u64>(widths), parties, owner);
        applies::<u128>(map, &any_ring(&x), &any_ring(&weights), of::<u128>(widths), parties, owner);
    }
}

/// A step that truncates: k, the bits that are cut off, those of the result that are read, and the number of parties.
#[derive(Clone, Copy, Debug)]
struct Truncating {
    bits: u32,
    shift: u32,
    width: u32,
    parties: usize,
}

impl Truncating {
    /// In a ring that may be too small for all of it.
    fn within<R: Ring>(self) -> Self {
        let bits = self.bits.min(R::BITS);
        Self { bits, shift: self.shift.min(R::BITS - bits), width: fitting::<R>(self.width), ..self }
    }

    /// The largest magnitude that is allowed, in units of the operand.
    fn bound(self) -> i64 {
        let margin = if self.shift == 0 { 0 } else { self.parties as i64 };
        ((((1i64 << (self.bits - 2)) - margin) << self.shift) - 1).max(0)
    }

    /// All over the allowed range, at its ends, and around zero.
    fn values(self, seeds: &[i64]) -> Vec<i64> {
        let bound = self.bound();
        let spread = seeds.iter().map(|x| x.checked_rem(bound + 1).unwrap_or(0));
        let edges = (0..3).flat_map(|d| [d, -d, bound - d, d - bound]).map(|x| x.clamp(-bound, bound));
        spread.chain(edges).collect()
    }

    /// Runs it on operands of which only k and the shift's bits are right; the results that are read are `expected`, but for
    /// the roundings of each party.
    fn check<R: Ring>(
        self,
        values: &[i64],
        request: Request,
        traffic: Traffic,
        expected: impl Fn(i128) -> i128,
        protocol: impl AsyncFn(
            &mut Party,
            &mut CorrelationSource<'_>,
            &ArithmeticShares<R>,
        ) -> Result<ArithmeticShares<R>, ProtocolError>,
    ) {
        let Self { bits, shift, width, parties } = self;
        let x = narrow(&elements::<R>(values), bits + shift, parties);
        let plan = [request.modulo::<R>(width)];
        let y = run::<R, _>(parties, &plan, traffic, async |party, source| {
            let own = &x[party.index()];
            protocol(party, source, own).await
        });
        let results = low_bits(&y, width);
        for (&x, y) in values.iter().zip(results) {
            let half = if shift == 0 { 0 } else { 1 << (shift - 1) };
            let expected = expected((i128::from(x) + half) >> shift);
            // Modulo what is read.
            let error = signed(y.wrapping_sub(R::from_i128(expected)) & R::low_mask(width), width);
            let limit = if shift == 0 { 0 } else { parties as i128 - 1 };
            assert!(error.abs() <= limit, "{x} gave {y:?} and not {expected}: {self:?}");
        }
    }

    fn everything<R: Ring>(self, seeds: &[i64]) {
        let this = self.within::<R>();
        let Self { bits, shift, width, parties } = this;
        let values = this.values(seeds);
        let len = values.len();
        let lift = LiftShape { len, bits };
        let traffic = truncation::traffic(lift, parties);
        this.check::<R>(
            &values,
            Request::Lift { len, bits },
            traffic,
            |y| y,
            async |party, source, x| {
                let mask: LiftMask<R> = source.next_modulo(width, lift).await?;
                truncate(party, x, shift, mask).await
            },
        );
        for variant in [Variant::FewRounds, Variant::FewBytes] {
            let parameters = SignParameters::new(bits).unwrap().with_variant(variant);
            this.compared::<R>(&values, SignShape { len, parameters });
        }
    }

    fn compared<R: Ring>(self, values: &[i64], sign: SignShape) {
        let (Self { shift, width, parties, .. }, SignShape { len, parameters }) = (self, sign);
        let traffic = relu::traffic(sign, parties);
        self.check::<R>(
            values,
            Request::Relu { len, parameters },
            traffic,
            |y| y.max(0),
            async |party, source, x| {
                let mask: ReluMask<R> = source.next_modulo(width, sign).await?;
                relu(party, x, shift, mask).await
            },
        );
        // |y|, as a piecewise linear function.
        let shape = PiecewiseShape { sign, thresholds: 1 };
        let step = Step { offset: R::ZERO, slope: R::from_u64(2) };
        let magnitude = PiecewiseLinear { constant: R::ZERO, slope: R::ONE.wrapping_neg(), steps: vec![step] };
        let (request, traffic) =
            (Request::Piecewise { len, thresholds: 1, parameters }, piecewise::traffic(shape, parties));
        self.check::<R>(values, request, traffic, i128::abs, async |party, source, x| {
            let mask = source.next_modulo(width, shape).await?;
            compare(party, x, shift, &[R::ZERO], mask).await?.linear(&magnitude)
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn truncating_steps_read_what_they_say(
        bits in SignParameters::MIN_BITS..=SignParameters::MAX_BITS, shift in 0..=24u32, width in 1..=128u32,
        parties in 2..=4usize, seeds in vec(any::<i64>(), 0..40),
    ) {
        // Values of several parties' roundings need room.
        let shift = if bits < 6 { 0 } else { shift };
        let step = Truncating { bits, shift, width, parties };
        step.everything::<u32>(&seeds);
        step.everything::<u64>(&seeds);
        step.everything::<u128>(&seeds);
    }
}

/// Every k with the width of a layer behind it.
#[test]
fn every_k_reads_what_it_says() {
    for bits in SignParameters::MIN_BITS..=SignParameters::MAX_BITS {
        for parties in [2, 3, 4] {
            let shift = if bits < 6 { 0 } else { 16 };
            Truncating { bits, shift, width: (bits + 16).min(64), parties }.everything::<u64>(&[]);
        }
    }
}

/// k = 32 and f = 16: the masks of a ReLU in front of a layer, and of that layer.
#[test]
fn what_is_dealt_has_the_width_that_is_read() {
    let parameters = SignParameters::new(32).unwrap();
    let bits = |request: Request| {
        let layout = request.modulo::<u64>(48).layout::<u64>().unwrap();
        layout.fields().iter().map(|field| field.bits).collect::<Vec<_>>()
    };
    let map = Bilinear::Elementwise { len: 1 };
    assert_eq!(bits(Request::Lift { len: 1, bits: 32 }), [48, 16]);
    assert_eq!(bits(Request::FixedWeights { mask: 0, map }), [48, 48]);
    assert_eq!(bits(Request::Beaver(map)), [48, 48, 48]);
    // r, tables, r's sign; ρ, σ, d, their products, d in the ring; r_top, d·r, d·r_top.
    assert_eq!(bits(Request::Relu { len: 1, parameters }), [48, 64, 64, 64, 64, 64, 64, 48, 16, 48, 16]);
    // Of groups also products of several d; in the end of all, with r and with r_top.
    let expected = [48, 64, 64, 64, 64, 64, 64, 48, 16, 48, 48, 16];
    assert_eq!(bits(Request::Group { size: 4, len: 1, parameters }), expected);
    // r's low bits and its sign, r, products of the bits; of leaves and of groups ρ and σ, d, their products.
    let parameters = parameters.with_variant(Variant::FewBytes);
    let expected = [64, 64, 48, 64, 64, 64, 64, 64, 64, 64, 64, 48, 16, 48, 16];
    assert_eq!(bits(Request::Relu { len: 1, parameters }), expected);
}

#[test]
fn a_width_that_no_ring_has_is_refused() {
    for bits in [0, 65] {
        let request = Request::Modulo { bits, of: Box::new(Request::Square { len: 1 }) };
        assert!(matches!(request.layout::<u64>(), Err(ProtocolError::Parameter { parameter: "width", .. })));
    }
}
