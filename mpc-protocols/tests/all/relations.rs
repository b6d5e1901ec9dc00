//! Every kind of correlation through the seam that all providers have: what the layout says is what travels, and the
//! shares satisfy the kind's relation, written down here once more.

mod comparison;
mod group;
mod own;
mod plain;
mod series;

use std::iter;
use std::ops::Range;

use crate::common::{PATIENT, block_on, on_threads};
use mpc_protocols::correlation::{self, Dealt, Field, Form, Provider, Share};
use mpc_protocols::fourier::Series;
use mpc_protocols::function::Function;
use mpc_protocols::lookup::Table;
use mpc_protocols::sign::{SignParameters, Variant};
use mpc_protocols::{Bilinear, Dealer, Place, Request};
use mpc_ring::{Ring, bitslice, packing};
use mpc_shares::{Prg, Seed};
use mpc_transport::{Link, Phase, memory_link};
use own::not_rotated;
use proptest::prelude::*;

use self::plain::{applied, products, top};

/// A party's share of a field in the open.
#[derive(Debug)]
struct Opened<R> {
    field: Field,
    elements: Vec<R>,
    words: Vec<u64>,
    packed: Vec<u8>,
    /// The bytes that were received for it.
    received: usize,
}

impl<R: Ring> Opened<R> {
    fn blank(field: &Field) -> Self {
        let is_words = field.form == Form::Words;
        let (elements, words) = if is_words { (0, field.len) } else { (field.len, 0) };
        let (elements, words) = (vec![R::ZERO; elements], vec![0; words]);
        Self { field: *field, elements, words, packed: Vec::new(), received: 0 }
    }

    /// Unpacks what stayed packed.
    fn finish(mut self) -> Self {
        if !self.packed.is_empty() {
            packing::unpack(&self.packed, self.field.bits, &mut self.elements);
        }
        self
    }

    /// Adds another party's share.
    fn add(&mut self, other: &Self) {
        let mask = R::low_mask(self.field.bits.min(R::BITS));
        self.elements.iter_mut().zip(&other.elements).for_each(|(x, &y)| *x = x.wrapping_add(y) & mask);
        self.words.iter_mut().zip(&other.words).for_each(|(x, &y)| *x ^= y);
    }
}

impl<R: Ring> Share for Opened<R> {
    fn field(&self) -> &Field {
        &self.field
    }

    fn expand(&mut self, generator: &mut Prg) {
        match self.field.form {
            Form::Elements => R::fill_random(&mut self.elements, generator),
            Form::Words => u64::fill_random(&mut self.words, generator),
            Form::Packed { .. } => R::fill_random(&mut self.elements, &mut Prg::new(generator.seed())),
        }
    }

    fn unpack(&mut self, part: Range<usize>, bytes: &[u8]) {
        self.received += bytes.len();
        match self.field.form {
            Form::Words => packing::unpack(bytes, self.field.bits, &mut self.words[part]),
            _ => packing::unpack(bytes, self.field.bits, &mut self.elements[part]),
        }
    }

    fn packed(&mut self) -> Option<&mut [u8]> {
        let Form::Packed { .. } = self.field.form else { return None };
        self.received = self.field.packed_bytes(self.field.len);
        self.packed = vec![0; self.received];
        Some(&mut self.packed)
    }
}

/// Draws a whole plan at one party, and checks what its link carried against the layouts.
async fn draw<R: Ring>(mut link: Link, place: Place, plan: &[Request]) -> Vec<Vec<Opened<R>>> {
    link.begin(Phase::Preprocessing, "correlations");
    let mut provider = Dealt::begin(&mut link, place).await.unwrap();
    let mut drawn = Vec::new();
    for request in plan {
        let layout = request.layout::<R>().unwrap();
        let mut fields: Vec<Opened<R>> = layout.fields().iter().map(Opened::blank).collect();
        let shares = fields.iter_mut().map(|share| share as &mut dyn Share).collect();
        provider.provide(request, shares).await.unwrap();
        let received: usize = fields.iter().map(|share| share.received).sum();
        let planned = if place.is_last() { layout.traffic().payload_received } else { 0 };
        assert_eq!(received as u64, planned, "{request:?} at {place:?}");
        assert!(fields.iter().all(|share| share.received == 0 || share.field.origin.is_dealt()));
        drawn.push(fields.into_iter().map(Opened::finish).collect());
    }
    drop(provider);
    assert_eq!(link.meter().total(Phase::Preprocessing), correlation::traffic::<R>(plan, place), "{place:?}");
    drawn
}

/// The values of every field of a plan that is dealt to `parties` parties.
fn dealt<R: Ring>(plan: &[Request], parties: usize, seed: [u8; 32]) -> Vec<Vec<Opened<R>>> {
    let (mut dealer_ends, party_ends): (Vec<_>, Vec<_>) = (0..parties).map(|_| memory_link(PATIENT)).unzip();
    let mut dealer = Dealer::<R>::new(parties, Seed::from_bytes(seed)).unwrap();
    let run = |(party, link)| move || block_on(draw::<R>(link, Place { party, parties }, plan));
    let deal = move || block_on(dealer.deal(&mut dealer_ends, plan, &mut |_| ())).unwrap();
    let (shares, ()) = on_threads(party_ends.into_iter().enumerate().map(run), deal);
    let add = |mut sum: Vec<Vec<Opened<R>>>, share: Vec<Vec<Opened<R>>>| {
        sum.iter_mut().flatten().zip(share.iter().flatten()).for_each(|(sum, share)| sum.add(share));
        sum
    };
    let zeros = plan.iter().map(|request| request.layout::<R>().unwrap().fields().iter().map(Opened::blank).collect());
    shares.into_iter().fold(zeros.collect(), add)
}

/// The fields of a correlation that have not been checked yet, and the bits of its results that are read.
struct Fields<'a, R> {
    left: std::slice::Iter<'a, Opened<R>>,
    width: u32,
}

impl<'a, R: Ring> Fields<'a, R> {
    fn elements(&mut self) -> &'a [R] {
        let field = self.left.next().unwrap();
        assert_ne!(field.field.form, Form::Words);
        &field.elements
    }

    fn words(&mut self) -> &'a [u64] {
        let field = self.left.next().unwrap();
        assert_eq!(field.field.form, Form::Words);
        &field.words
    }

    /// The next field has the elements `expected`, modulo 2^`bits`.
    fn are(&mut self, bits: u32, expected: impl IntoIterator<Item = R>) {
        let expected: Vec<R> = expected.into_iter().map(|x| x & R::low_mask(bits)).collect();
        assert!(self.elements() == expected);
    }

    /// The next field has the elements `expected`, in as many bits as are read, but for `noise` units.
    fn are_about(&mut self, noise: u64, expected: &[R]) {
        let above = R::BITS - self.width;
        for (found, &expected) in self.elements().iter().zip(expected) {
            let error = (found.wrapping_sub(expected) << above).to_i128() >> above;
            assert!(
                error.unsigned_abs() <= u128::from(noise),
                "off by {error} modulo 2^{}, {noise} allowed",
                self.width
            );
        }
    }

    /// The next field has the elements `expected`, in as many bits as are read.
    fn are_read(&mut self, expected: impl IntoIterator<Item = R>) {
        self.are(self.width, expected);
    }

    /// The next field has the elements `expected`, which are read behind k bits.
    fn are_above(&mut self, k: u32, expected: impl IntoIterator<Item = R>) {
        let field = self.left.as_slice()[0].field;
        assert_eq!(field.bits, self.width.saturating_sub(k));
        self.are(field.bits, expected);
    }

    /// r of k bits, which is returned.
    fn mask(&mut self, bits: u32) -> &'a [R] {
        assert_eq!(self.left.as_slice()[0].field.bits, self.width.max(bits));
        let r = self.elements();
        assert!(r.iter().all(|&r| r & !R::low_mask(bits) == R::ZERO));
        r
    }

    /// A mask of k bits and its top bit.
    fn lift(&mut self, bits: u32) {
        let r = self.mask(bits);
        self.are_above(bits, top(r, bits));
    }

    /// The polynomials of a table, rotated by a: the same ones of all elements, read where 101 arguments of each are opened.
    fn lookup(&mut self, table: Table) {
        let layout = table.layout(R::BITS).unwrap();
        let (a, entries) = (self.elements(), self.elements());
        let last = u64::from(layout.multiplier) * layout.span;
        let unit = f64::from(1u32 << table.output_bits);
        // A fit is within 2^−12 of the function.
        let tolerance = 2.0 + unit / 4096.0;
        let mut polynomials: Option<Vec<[R; 3]>> = None;
        for (a, entries) in a.iter().zip(entries.chunks(3 * layout.entries())) {
            let a = a.low_u64() & u64::low_mask(layout.argument_bits());
            let expected = polynomials.get_or_insert_with(|| not_rotated(&layout, a, entries));
            assert!(not_rotated(&layout, a, entries) == *expected, "the tables of two elements differ");
            for u in (0..=100).map(|part| last * part / 100) {
                let e = (u + a) & u64::low_mask(layout.argument_bits());
                let entry = &entries[3 * (e >> layout.segment_bits) as usize..];
                let epsilon = R::from_u64(e & u64::low_mask(layout.segment_bits));
                let above_constant = epsilon.wrapping_mul(entry[1].wrapping_add(epsilon.wrapping_mul(entry[2])));
                let value = entry[0].wrapping_add(above_constant);
                // As a signed number of the entry's bits.
                let above = R::BITS - layout.entry_bits;
                let value = (value << above).to_i128() >> (above + layout.guard_bits);
                let x = layout.low as f64 + u as f64 / f64::from(layout.multiplier);
                let exact = table.function.evaluate(x / f64::from(1u32 << table.input_bits)) * unit;
                assert!((value as f64 - exact).abs() < tolerance, "{value} instead of {exact}");
            }
        }
        self.lift(layout.result_bits);
    }

    fn series(&mut self, series: &Series) {
        let (masks, dealt) = (self.elements(), self.elements());
        series::add_up(series, masks, dealt);
        self.lift(series.result_bits);
    }
}

/// Checks the relation of every correlation of a plan. Of each request's products with weights `noise` has the units by which
/// they may be off.
fn check<'a, R: Ring>(
    plan: &[Request],
    mut weights: Vec<&'a [R]>,
    noise: impl IntoIterator<Item = u64>,
    dealt: &'a [Vec<Opened<R>>],
) {
    let mut input: &[R] = &[];
    for ((request, fields), noise) in plan.iter().zip(dealt).zip(noise) {
        let (request, width) = match request {
            Request::Modulo { bits, of } => (&**of, *bits),
            whole => (whole, R::BITS),
        };
        let mut fields = Fields { left: fields.iter(), width };
        match *request {
            Request::Beaver(map) => {
                let (a, b) = (fields.elements(), fields.elements());
                fields.are_about(noise, &applied(&map, a, b));
            }
            Request::Square { .. } => {
                let a = fields.elements();
                fields.are_read(products(a, a));
            }
            Request::WeightMask { .. } => weights.push(fields.elements()),
            Request::FixedWeights { mask, map } => {
                input = fields.elements();
                fields.are_about(noise, &applied(&map, input, weights[mask]));
            }
            Request::FixedWeightsSharedInput { mask, map } => {
                fields.are_about(noise, &applied(&map, input, weights[mask]));
            }
            Request::BitTriples { .. } => {
                let (a, b, c) = (fields.words(), fields.words(), fields.words());
                assert!(a.iter().zip(b).map(|(&a, &b)| a & b).eq(c.iter().copied()));
            }
            Request::DaBits { len } => {
                let bits = fields.words();
                fields.are_read((0..len).map(|i| R::from_u64((bits[i / 64] >> (i % 64)) & 1)));
            }
            Request::EdaBits { len } => {
                let mut elements = vec![R::ZERO; len];
                let in_ring = fields.elements();
                bitslice::from_planes(fields.words(), R::BITS, &mut elements);
                assert!(in_ring == elements);
            }
            Request::Lift { bits, .. } => fields.lift(bits),
            Request::Sign { len, parameters } => fields.sign(parameters, len),
            Request::Relu { len, parameters } => fields.relu(parameters, len),
            Request::Piecewise { len, thresholds, parameters } => fields.piecewise(parameters, thresholds, len),
            Request::Lookup { table, .. } => fields.lookup(table),
            Request::Series { series, .. } => fields.series(&series),
            Request::Group { size, len, parameters } => fields.group(size, parameters, len),
            _ => unreachable!("a request of another kind"),
        }
        assert!(fields.left.next().is_none(), "{request:?} has more fields than its relation");
    }
}

/// One request of every kind.
pub(crate) fn every_kind(len: usize, bits: u32, width: u32, thresholds: usize) -> Vec<Request> {
    let map = Bilinear::MatrixProduct { rows: 3, inner: len, columns: 2 };
    let parameters = SignParameters::new(bits).unwrap();
    let few_bytes = parameters.with_variant(Variant::FewBytes);
    let table = Table { function: Function::Sigmoid, input_bits: 8, output_bits: 8, limit_bits: 18 };
    vec![
        Request::WeightMask { len: 3 },
        Request::WeightMask { len: 2 * len },
        Request::Beaver(map),
        Request::Square { len },
        Request::FixedWeights { mask: 1, map },
        Request::FixedWeightsSharedInput { mask: 1, map },
        Request::BitTriples { width, len },
        Request::DaBits { len },
        Request::EdaBits { len },
        Request::Lift { len, bits },
        Request::Sign { len, parameters },
        Request::Relu { len, parameters },
        Request::Piecewise { len, thresholds, parameters },
        Request::Sign { len, parameters: few_bytes },
        Request::Relu { len, parameters: few_bytes },
        Request::Piecewise { len, thresholds, parameters: few_bytes },
        Request::Lookup { len, table },
        Request::Series { len, series: series::sigmoid() },
        Request::Group { size: 3, len, parameters },
        Request::Group { size: 4, len, parameters },
    ]
}

fn relations_hold<R: Ring>(plan: &[Request], parties: usize, seed: [u8; 32]) {
    check::<R>(plan, Vec::new(), iter::repeat(0), &dealt::<R>(plan, parties, seed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_correlation_satisfies_its_relation(
        parties in 2..=8usize,
        len in 0..150usize,
        bits in SignParameters::MIN_BITS..=SignParameters::MAX_BITS,
        width in 0..70u32,
        thresholds in 0..4usize,
        seed: [u8; 32],
    ) {
        let plan = |ring_bits: u32| every_kind(len, bits.min(ring_bits), width, thresholds);
        relations_hold::<u32>(&plan(32), parties, seed);
        relations_hold::<u64>(&plan(64), parties, seed);
        relations_hold::<u128>(&plan(128), parties, seed);
    }

    #[test]
    fn every_correlation_satisfies_its_relation_modulo_what_is_read(
        parties in 2..=4usize,
        len in 0..100usize,
        bits in SignParameters::MIN_BITS..=SignParameters::MAX_BITS,
        read in 1..=128u32,
        seed: [u8; 32],
    ) {
        fn narrow<R: Ring>(len: usize, bits: u32, read: u32) -> Vec<Request> {
            let read = (read - 1) % R::BITS + 1;
            every_kind(len, bits.min(R::BITS), 3, 2).into_iter().map(|request| request.modulo::<R>(read)).collect()
        }
        relations_hold::<u32>(&narrow::<u32>(len, bits, read), parties, seed);
        relations_hold::<u64>(&narrow::<u64>(len, bits, read), parties, seed);
        relations_hold::<u128>(&narrow::<u128>(len, bits, read), parties, seed);
    }
}

/// Of every kind and number of parties; some fields take several frames.
#[test]
fn every_number_of_parties_and_every_ring() {
    for parties in 2..=8 {
        relations_hold::<u32>(&every_kind(65, 32, 3, 2), parties, [1; 32]);
        relations_hold::<u64>(&every_kind(65, 32, 3, 2), parties, [2; 32]);
        relations_hold::<u128>(&every_kind(65, 42, 3, 2), parties, [3; 32]);
    }
    relations_hold::<u64>(&every_kind(20_000, 32, 1, 1)[..16], 2, [4; 32]);
}
