//! The numbers of the documentation, literally, and what the dealer's links really carry.

use std::thread;

use crate::common::{PATIENT, block_on, on_threads};
use mpc_protocols::beaver::{BeaverTriple, SquarePair};
use mpc_protocols::binary::{BitTriples, Planes};
use mpc_protocols::conversion::{DaBits, EdaBits};
use mpc_protocols::fixed_weights::{self, FixedWeightPair, FixedWeightProduct, FixedWeightShape, WeightMask};
use mpc_protocols::fourier::{Series, SeriesMask, SeriesShape};
use mpc_protocols::function::Function;
use mpc_protocols::lookup::{LookupMask, LookupShape, Table};
use mpc_protocols::maximum::{GroupMask, GroupShape, Grouping, Tournament};
use mpc_protocols::piecewise::{PiecewiseMask, PiecewiseShape};
use mpc_protocols::relu::ReluMask;
use mpc_protocols::sign::{SignMask, SignParameters, SignShape, Variant};
use mpc_protocols::truncation::{self, LiftMask, LiftShape};
use mpc_protocols::{
    Bilinear, Correlation, CorrelationSource, Dealer, Place, ProtocolError, Request, beaver, binary, comparison,
    conversion, correlation, open, relu, sharing, sign,
};
use mpc_ring::Ring;
use mpc_shares::Seed;
use mpc_transport::{Link, Phase, Traffic, memory_link};

/// Bytes sent to each other party, and rounds.
fn sent(traffic: Traffic, parties: usize) -> (u64, u64) {
    assert_eq!(traffic.payload_sent % (parties as u64 - 1), 0);
    (traffic.payload_sent / (parties as u64 - 1), traffic.rounds)
}

#[test]
fn what_the_documentation_claims() {
    let len = 800;
    for parties in [2, 3, 8] {
        let sign_shape = SignShape { len, parameters: SignParameters::new(32).unwrap() };
        // 5.5 bytes an element, 3 rounds.
        assert_eq!(sent(relu::traffic(sign_shape, parties), parties), (4_400, 3));
        assert_eq!(sent(sign::traffic(sign_shape, parties), parties), (4_400, 3));
        // 57 bits, 4 rounds.
        let few_bytes = SignShape { parameters: sign_shape.parameters.with_variant(Variant::FewBytes), ..sign_shape };
        assert_eq!(sent(relu::traffic(few_bytes, parties), parties), (5_700, 4));
        assert_eq!(sent(truncation::traffic(LiftShape { len, bits: 32 }, parties), parties), (3_200, 1));
        assert_eq!(sent(open::traffic(len, 64, parties), parties), (6_400, 1));
        assert_eq!(sent(open::traffic_of_planes(1, len, parties), parties), (100, 1));
        assert_eq!(sent(conversion::b2a_traffic(len, parties), parties), (100, 1));
        assert_eq!(sent(binary::and_traffic(Planes { width: 1, len }, parties), parties), (200, 1));
        let product = beaver::traffic(&Bilinear::Elementwise { len }, 64, parties);
        assert_eq!(sent(product, parties), (12_800, 1));
        // Fixed weights: 8 bytes an input element, whatever the weights.
        let map = Bilinear::MatrixProduct { rows: 8, inner: 100, columns: 50 };
        assert_eq!(sent(fixed_weights::traffic(&map, 64, parties), parties), (6_400, 1));
        // Nine candidates: 8 ReLUs an element in 4 levels, or 4 groups of three in 2. A group has 100 bits, and one of four 168.
        let parameters = SignParameters::new(32).unwrap();
        let maximum = |candidates, grouping| {
            let tournament = Tournament { candidates, len, parameters, grouping };
            sent(tournament.traffic(parties), parties)
        };
        assert_eq!(maximum(9, Grouping::Two), (8 * 4_400, 12));
        assert_eq!(maximum(9, Grouping::Four), (4 * 10_000, 6));
        assert_eq!(maximum(4, Grouping::Four), (16_800, 3));
        assert_eq!(sent(sharing::traffic(0, 0, parties), parties), (32, 0));
    }
    // 62.875 bytes an element, 9 rounds.
    assert_eq!(sent(comparison::classic_relu_traffic::<u64>(len, 2), 2), (50_300, 9));
    assert_eq!(sent(comparison::msb_traffic::<u64>(len, 2), 2), (37_400, 7));
    assert_eq!(sent(comparison::less_than_traffic::<u64>(len, 2), 2), (37_500, 8));
    assert_eq!(sent(conversion::a2b_traffic::<u64>(len, 2), 2), (89_600, 7));
    assert_eq!(sent(conversion::edabits_traffic::<u64>(len, 3), 3), (96_000, 8));
}

#[test]
fn what_the_dealer_sends_per_element() {
    let len = 640;
    let bytes = |request: Request| request.traffic::<u64>().payload_received as f64 / len as f64;
    let parameters = SignParameters::new(32).unwrap();
    assert_eq!(bytes(Request::Relu { len, parameters }), 66.5);
    assert_eq!(bytes(Request::Sign { len, parameters }), 50.5);
    let few_bytes = parameters.with_variant(Variant::FewBytes);
    assert_eq!(bytes(Request::Relu { len, parameters: few_bytes }), 41.5);
    assert_eq!(bytes(Request::Sign { len, parameters: few_bytes }), 25.5);
    let narrow = |parameters| bytes(Request::Relu { len, parameters }.modulo::<u64>(48));
    assert_eq!([parameters, few_bytes].map(narrow), [56.5, 31.5]);
    // A group of three or four, modulo 2^64, 2^48 and 2^32.
    let group = |size, width| bytes(Request::Group { size, len, parameters }.modulo::<u64>(width));
    assert_eq!([64, 48, 32].map(|width| group(3, width)), [239.5, 197.5, 155.5]);
    assert_eq!([64, 48, 32].map(|width| group(4, width)), [639.0, 507.0, 375.0]);
    assert_eq!(bytes(Request::Lift { len, bits: 32 }), 12.0);
    assert_eq!(bytes(Request::Beaver(Bilinear::Elementwise { len })), 8.0);
    assert_eq!(bytes(Request::Square { len }), 8.0);
    assert_eq!(bytes(Request::DaBits { len }), 8.0);
    assert_eq!(bytes(Request::EdaBits { len }), 8.0);
    assert_eq!(bytes(Request::BitTriples { width: 8, len }), 1.0);
    assert_eq!(bytes(Request::WeightMask { len }), 0.0);
    let triples = |planes: Vec<Planes>| planes.iter().map(|planes| bytes(BitTriples::request(planes))).sum::<f64>();
    assert_eq!(triples(comparison::msb_planes::<u64>(len, 2)), 23.375);
    assert_eq!(triples(conversion::adder_planes::<u64>(len, 2)), 56.0);
    // For a layer, by its output.
    let map = Bilinear::MatrixProduct { rows: 8, inner: 100, columns: 80 };
    assert_eq!(bytes(Request::FixedWeights { mask: 0, map }), 8.0);
}

/// More bits than the ring has: refused when dealt, but priced without a panic.
#[test]
fn the_price_of_what_cannot_be_dealt_is_no_panic() {
    let parameters = SignParameters::new(42).unwrap();
    let _ = Request::Relu { len: 8, parameters }.traffic::<u32>();
    let _ = Request::Group { size: 4, len: 8, parameters }.traffic::<u32>();
    let _ = Request::Lift { len: 8, bits: 65 }.traffic::<u64>();
    let _ = Request::Piecewise { len: 8, thresholds: 2, parameters }.traffic::<u32>();
    let fine = Table { input_bits: 30, output_bits: 30, ..table(Function::Sigmoid) };
    assert_eq!(Request::Lookup { len: 8, table: fine }.traffic::<u32>(), Traffic::default());
    let wide = Series { argument_bits: 33, ..series(Function::Sigmoid) };
    assert_eq!(Request::Series { len: 8, series: wide }.traffic::<u32>(), Traffic::default());
}

fn table(function: Function) -> Table {
    Table { function, input_bits: 8, output_bits: 8, limit_bits: 18 }
}

fn series(function: Function) -> Series {
    Series::of(table(function), 32).unwrap().unwrap()
}

/// Every kind of request, at a size that needs several frames and at sizes that do not fill a word.
fn every_request(len: usize) -> Vec<Request> {
    let map = Bilinear::MatrixProduct { rows: 3, inner: len, columns: 2 };
    let bits = |bits| SignParameters::new(bits).unwrap();
    vec![
        Request::Beaver(Bilinear::Elementwise { len }),
        Request::Beaver(map),
        Request::Square { len },
        Request::WeightMask { len: 2 * len },
        Request::FixedWeights { mask: 0, map },
        Request::FixedWeightsSharedInput { mask: 0, map },
        Request::BitTriples { width: 3, len },
        Request::DaBits { len },
        Request::EdaBits { len },
        Request::Lift { len, bits: 32 },
        Request::Lift { len, bits: 29 },
        Request::Sign { len, parameters: bits(3) },
        Request::Sign { len, parameters: bits(30) },
        Request::Relu { len, parameters: bits(32) },
        Request::Relu { len, parameters: bits(7) },
        Request::Piecewise { len, thresholds: 3, parameters: bits(32) },
        Request::Piecewise { len, thresholds: 0, parameters: bits(20) },
        Request::Lookup { len: len.min(2_000), table: table(Function::Sigmoid) },
        Request::Lookup { len: len.min(2_000), table: table(Function::Sqrt) },
    ]
}

/// Comparisons in few bytes.
fn few_bytes(len: usize) -> Vec<Request> {
    let bits = |bits| SignParameters::new(bits).unwrap().with_variant(Variant::FewBytes);
    vec![
        Request::Sign { len, parameters: bits(3) },
        Request::Relu { len, parameters: bits(32) },
        Request::Piecewise { len, thresholds: 2, parameters: bits(30) },
    ]
}

/// The largest of groups.
fn groups(len: usize) -> Vec<Request> {
    let bits = |bits| SignParameters::new(bits).unwrap();
    vec![
        Request::Group { size: 3, len, parameters: bits(3) },
        Request::Group { size: 4, len, parameters: bits(32) },
        Request::Group { size: 3, len, parameters: bits(29) },
    ]
}

fn of_series(len: usize) -> Vec<Request> {
    [Function::Gelu, Function::Sqrt].map(|function| Request::Series { len, series: series(function) }).to_vec()
}

async fn draw<R: Ring>(source: &mut CorrelationSource<'_>, request: &Request) -> Result<(), ProtocolError> {
    async fn next<C: Correlation>(source: &mut CorrelationSource<'_>, shape: C::Shape) -> Result<(), ProtocolError> {
        source.next::<C>(shape).await.map(drop)
    }
    match *request {
        Request::Beaver(map) => next::<BeaverTriple<R>>(source, map).await,
        Request::Square { len } => next::<SquarePair<R>>(source, len).await,
        Request::WeightMask { len } => next::<WeightMask<R>>(source, len).await,
        Request::FixedWeights { mask, map } => next::<FixedWeightPair<R>>(source, FixedWeightShape { mask, map }).await,
        Request::FixedWeightsSharedInput { mask, map } => {
            next::<FixedWeightProduct<R>>(source, FixedWeightShape { mask, map }).await
        }
        Request::BitTriples { width, len } => next::<BitTriples>(source, Planes { width, len }).await,
        Request::DaBits { len } => next::<DaBits<R>>(source, len).await,
        Request::EdaBits { len } => next::<EdaBits<R>>(source, len).await,
        Request::Lift { len, bits } => next::<LiftMask<R>>(source, LiftShape { len, bits }).await,
        Request::Sign { len, parameters } => next::<SignMask<R>>(source, SignShape { len, parameters }).await,
        Request::Relu { len, parameters } => next::<ReluMask<R>>(source, SignShape { len, parameters }).await,
        Request::Piecewise { len, thresholds, parameters } => {
            let shape = PiecewiseShape { sign: SignShape { len, parameters }, thresholds };
            next::<PiecewiseMask<R>>(source, shape).await
        }
        Request::Lookup { len, table } => next::<LookupMask<R>>(source, LookupShape { len, table }).await,
        Request::Series { len, series } => next::<SeriesMask<R>>(source, SeriesShape { len, series }).await,
        Request::Group { size, len, parameters } => {
            next::<GroupMask<R>>(source, GroupShape { size, len, parameters }).await
        }
        _ => unreachable!("a request of another kind"),
    }
}

/// The traffic on a party's end of its link in a session that draws all of the plan.
async fn metered<R: Ring>(mut link: Link, place: Place, plan: &[Request]) -> Traffic {
    link.begin(Phase::Preprocessing, "correlations");
    let mut source = CorrelationSource::begin(&mut link, place, plan).await.unwrap();
    for request in plan {
        draw::<R>(&mut source, request).await.unwrap();
    }
    source.finish().unwrap();
    link.meter().total(Phase::Preprocessing)
}

fn links_carry_what_is_predicted<R: Ring>(plan: &[Request], parties: usize) {
    let (mut dealer_ends, party_ends): (Vec<_>, Vec<_>) = (0..parties).map(|_| memory_link(PATIENT)).unzip();
    let mut dealer = Dealer::<R>::new(parties, Seed::from_bytes([1; 32])).unwrap();
    let run = |(party, link)| move || block_on(metered::<R>(link, Place { party, parties }, plan));
    let deal = || block_on(dealer.deal(&mut dealer_ends, plan, &mut |_| ())).unwrap();
    let (received, ()) = on_threads(party_ends.into_iter().enumerate().map(run), deal);
    for (party, received) in received.into_iter().enumerate() {
        let place = Place { party, parties };
        assert_eq!(received, correlation::traffic::<R>(plan, place), "party {party}");
        let dealt = dealer_ends[party].meter().total(Phase::Setup);
        assert_eq!((dealt.payload_sent, dealt.frames_sent), (received.payload_received, received.frames_received));
        assert!(place.is_last() || received == Traffic::receive(64), "party {party}");
    }
}

#[test]
fn the_dealers_links_carry_what_is_predicted() {
    for parties in [2, 3, 4] {
        for len in [0, 1, 63, 64, 65, 1000] {
            links_carry_what_is_predicted::<u64>(&every_request(len), parties);
            links_carry_what_is_predicted::<u64>(&few_bytes(len), parties);
            links_carry_what_is_predicted::<u64>(&of_series(len), parties);
            links_carry_what_is_predicted::<u64>(&groups(len), parties);
        }
        links_carry_what_is_predicted::<u32>(&every_request(100), parties);
        links_carry_what_is_predicted::<u128>(&every_request(100), parties);
    }
    // Several frames for one correlation.
    links_carry_what_is_predicted::<u64>(&every_request(40_000), 2);
    links_carry_what_is_predicted::<u64>(&few_bytes(40_000), 2);
    links_carry_what_is_predicted::<u64>(&of_series(40_000), 2);
    links_carry_what_is_predicted::<u64>(&groups(40_000), 2);
    for request in every_request(77) {
        let mut plan = vec![Request::WeightMask { len: 154 }];
        if let Request::FixedWeightsSharedInput { mask, map } = request {
            plan.push(Request::FixedWeights { mask, map });
        }
        plan.push(request);
        links_carry_what_is_predicted::<u64>(&plan, 3);
    }
}

/// FNV-1a of all that the dealer sends the last party for a plan.
fn digest<R: Ring>(parties: usize, plan: &[Request]) -> u64 {
    let (mut dealer_ends, mut party_ends): (Vec<_>, Vec<_>) = (0..parties).map(|_| memory_link(PATIENT)).unzip();
    let mut dealer = Dealer::<R>::new(parties, Seed::from_bytes([1; 32])).unwrap();
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    let keep = |bytes: &[u8]| {
        bytes.iter().for_each(|&byte| digest = (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        Ok(())
    };
    thread::scope(|scope| {
        scope.spawn(|| block_on(dealer.deal(&mut dealer_ends, plan, &mut |_| ())).unwrap());
        let last = party_ends.last_mut().unwrap();
        let place = Place { party: parties - 1, parties };
        block_on(correlation::record::<R>(last, place, plan, keep, |_| ())).unwrap();
    });
    digest
}

/// A change here is one of the wire format: parties and dealers of two releases would not work together, and recordings
/// that were kept could not be used.
#[test]
fn what_is_dealt_for_a_seed_does_not_change() {
    let found = [
        digest::<u64>(2, &every_request(65)),
        digest::<u32>(2, &every_request(65)),
        digest::<u128>(2, &every_request(65)),
        digest::<u64>(3, &every_request(1000)),
        digest::<u32>(3, &every_request(1000)),
        digest::<u128>(3, &every_request(1000)),
        digest::<u64>(8, &every_request(64)),
        digest::<u32>(8, &every_request(64)),
        digest::<u128>(8, &every_request(64)),
        digest::<u64>(2, &every_request(40000)),
        digest::<u64>(2, &few_bytes(65)),
        digest::<u32>(3, &few_bytes(1000)),
        digest::<u128>(8, &few_bytes(64)),
        digest::<u64>(2, &of_series(65)),
        digest::<u32>(3, &of_series(1000)),
        digest::<u128>(8, &of_series(64)),
        digest::<u64>(2, &groups(65)),
        digest::<u32>(3, &groups(1000)),
        digest::<u128>(8, &groups(64)),
    ];
    let expected = [
        0x9848_dd43_9f0a_0ace,
        0xa512_08b2_bdd2_787b,
        0xc03e_b78e_6587_e2a6,
        0x6529_79a2_1b23_e03a,
        0x9546_af7c_7c97_7d3e,
        0xdb8a_954f_5b92_5d97,
        0x35db_20f5_b381_32f1,
        0x3adf_44da_0505_8e3b,
        0x994d_f174_d82c_17fb,
        0xde2d_6c7f_c7d2_2d2a,
        0x18d3_9b73_cf93_c9c9,
        0x3e95_1f20_2600_299e,
        0xec32_544d_4fd3_b280,
        0x2fb2_8d90_18ec_4534,
        0x9f09_f680_d4fc_5563,
        0x6f14_f167_dbd2_c787,
        0xed8a_95db_5b9e_b371,
        0x5772_6f7b_e4b1_4af8,
        0x4816_d049_9c86_c2a9,
    ];
    assert_eq!(found, expected, "{found:#x?}");
}
