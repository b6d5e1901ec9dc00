use crate::common::{any_value, elements, parties, run, run_shared, signed, split, split_bits};
use mpc_protocols::binary::{self, BitTriples, Planes, and};
use mpc_protocols::comparison::{
    classic_relu, classic_relu_traffic, less_than, less_than_traffic, most_significant_bit, msb_planes, msb_traffic,
};
use mpc_protocols::conversion::{
    a2b_traffic, adder_planes, all_bits, b2a_traffic, bit_to_arithmetic, edabits_traffic, to_arithmetic, to_binary,
    to_binary_with_edabits,
};
use mpc_protocols::{Bilinear, Correlation, CorrelationSource, ProtocolError, Request};
use mpc_ring::Ring;
use mpc_shares::BinaryShares;
use proptest::collection::vec;
use proptest::prelude::*;

fn requests(planes: &[Planes]) -> Vec<Request> {
    planes.iter().map(BitTriples::request).collect()
}

async fn draw(source: &mut CorrelationSource<'_>, planes: &[Planes]) -> Result<Vec<BitTriples>, ProtocolError> {
    let mut triples = Vec::new();
    for &planes in planes {
        triples.push(source.next(planes).await?);
    }
    Ok(triples)
}

fn converts_to_binary<R: Ring>(secret: &[R], parties: usize) {
    let x = split(secret, parties);
    let planes = adder_planes::<R>(secret.len(), parties);
    let bits =
        run::<R, _>(parties, &requests(&planes), a2b_traffic::<R>(secret.len(), parties), async |party, source| {
            to_binary(party, &x[party.index()], draw(source, &planes).await?).await
        });
    assert_eq!(BinaryShares::reconstruct::<R>(&bits).unwrap(), secret);
}

fn converts_with_edabits<R: Ring>(secret: &[R], parties: usize) {
    let (x, len) = (split(secret, parties), secret.len());
    let planes = adder_planes::<R>(len, 2);
    let mut plan = vec![Request::EdaBits { len }];
    plan.extend(requests(&planes));
    let bits = run::<R, _>(parties, &plan, edabits_traffic::<R>(len, parties), async |party, source| {
        let edabits = source.next(len).await?;
        to_binary_with_edabits(party, &x[party.index()], edabits, draw(source, &planes).await?).await
    });
    assert_eq!(BinaryShares::reconstruct::<R>(&bits).unwrap(), secret);
}

fn converts_to_arithmetic<R: Ring>(secret: &[R], width: u32, parties: usize) {
    let x = split_bits(secret, width, parties);
    let len = all_bits(width, secret.len());
    let z = run_shared::<R>(parties, &[Request::DaBits { len }], b2a_traffic(len, parties), async |party, source| {
        to_arithmetic(party, &x[party.index()], source.next(len).await?).await
    });
    assert_eq!(z, secret.iter().map(|&x| x & R::low_mask(width)).collect::<Vec<_>>());
}

fn converts_bits<R: Ring>(secret: &[R], parties: usize) {
    let (x, len) = (split_bits(secret, 1, parties), secret.len());
    let z = run_shared::<R>(parties, &[Request::DaBits { len }], b2a_traffic(len, parties), async |party, source| {
        bit_to_arithmetic(party, &x[party.index()], source.next(len).await?).await
    });
    assert_eq!(z, secret.iter().map(|&x| x & R::ONE).collect::<Vec<_>>());
}

fn finds_the_top_bit<R: Ring>(secret: &[R], parties: usize) {
    let x = split(secret, parties);
    let planes = msb_planes::<R>(secret.len(), parties);
    let bits =
        run::<R, _>(parties, &requests(&planes), msb_traffic::<R>(secret.len(), parties), async |party, source| {
            most_significant_bit(party, &x[party.index()], draw(source, &planes).await?).await
        });
    let expected: Vec<R> = secret.iter().map(|&x| x >> (R::BITS - 1)).collect();
    assert_eq!(BinaryShares::reconstruct::<R>(&bits).unwrap(), expected);
}

fn compares<R: Ring>(x: &[R], y: &[R], parties: usize) {
    let (shares_x, shares_y, len) = (split(x, parties), split(y, parties), x.len());
    let planes = msb_planes::<R>(len, parties);
    let mut plan = requests(&planes);
    plan.push(Request::DaBits { len });
    let z = run_shared::<R>(parties, &plan, less_than_traffic::<R>(len, parties), async |party, source| {
        let (x, y) = (crate::common::copy(&shares_x[party.index()]), &shares_y[party.index()]);
        let triples = draw(source, &planes).await?;
        less_than(party, x, y, triples, source.next(len).await?).await
    });
    let less = signed(x).into_iter().zip(signed(y)).map(|(x, y)| R::from_u64(u64::from(x < y)));
    assert_eq!(z, less.collect::<Vec<_>>());
}

fn rectifies<R: Ring>(x: &[R], parties: usize) {
    let (shares, len) = (split(x, parties), x.len());
    let (planes, map) = (msb_planes::<R>(len, parties), Bilinear::Elementwise { len });
    let mut plan = requests(&planes);
    plan.extend([Request::DaBits { len }, Request::Beaver(map)]);
    let z = run_shared::<R>(parties, &plan, classic_relu_traffic::<R>(len, parties), async |party, source| {
        let triples = draw(source, &planes).await?;
        let (dabits, triple) = (source.next(len).await?, source.next(map).await?);
        classic_relu(party, &shares[party.index()], triples, dabits, triple).await
    });
    assert_eq!(signed(&z), signed(x).into_iter().map(|x| x.max(0)).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn and_is_that_of_bits(
        pairs in vec(any::<(u64, u64)>(), 0..150), width in 0..=64u32, parties in parties(),
    ) {
        let (x, y): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
        let (shares_x, shares_y) = (split_bits(&x, width, parties), split_bits(&y, width, parties));
        let planes = Planes { width, len: x.len() };
        let traffic = binary::and_traffic(planes, parties);
        let z = run::<u64, _>(parties, &requests(&[planes]), traffic, async |party, source| {
            and(party, &shares_x[party.index()], &shares_y[party.index()], source.next(planes).await?).await
        });
        let expected: Vec<_> = pairs.iter().map(|(x, y)| x & y & u64::low_mask(width)).collect();
        prop_assert_eq!(BinaryShares::reconstruct::<u64>(&z).unwrap(), expected);
    }

    #[test]
    fn values_become_bits(values in vec(any_value(), 0..70), wide in vec(any::<u128>(), 0..5), parties in parties()) {
        converts_to_binary(&elements::<u32>(&values), parties);
        converts_to_binary(&elements::<u64>(&values), parties);
        converts_to_binary(&wide, parties);
        converts_with_edabits(&elements::<u32>(&values), parties);
        converts_with_edabits(&elements::<u64>(&values), parties);
        converts_with_edabits(&wide, parties);
    }

    #[test]
    fn bits_become_values(
        values in vec(any_value(), 0..70), wide in vec(any::<u128>(), 0..5), width in 1..=64u32, parties in parties(),
    ) {
        converts_to_arithmetic(&elements::<u32>(&values), width.min(32), parties);
        converts_to_arithmetic(&elements::<u64>(&values), width, parties);
        converts_to_arithmetic(&wide, 2 * width, parties);
        converts_bits(&elements::<u32>(&values), parties);
        converts_bits(&elements::<u64>(&values), parties);
        converts_bits(&wide, parties);
    }

    #[test]
    fn the_top_bit_is_the_sign(
        values in vec(any_value(), 0..70), wide in vec(any::<u128>(), 0..5), parties in parties(),
    ) {
        finds_the_top_bit(&elements::<u32>(&values), parties);
        finds_the_top_bit(&elements::<u64>(&values), parties);
        finds_the_top_bit(&wide, parties);
        rectifies(&elements::<u32>(&values), parties);
        rectifies(&elements::<u64>(&values), parties);
        rectifies(&wide, parties);
    }

    #[test]
    fn less_than_is_that_of_integers(
        pairs in vec((crate::common::signed_below(1 << 62), crate::common::signed_below(1 << 62)), 0..70), parties in parties(),
    ) {
        let (x, y): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
        compares(&elements::<u64>(&x), &elements::<u64>(&y), parties);
        compares(&elements::<u128>(&x), &elements::<u128>(&y), parties);
        let (x, y): (Vec<_>, Vec<_>) = pairs.iter().map(|&(x, y)| (x >> 33, y >> 33)).unzip();
        compares(&elements::<u32>(&x), &elements::<u32>(&y), parties);
    }
}

#[test]
fn eight_parties_convert() {
    let values = [0, 1, -1, i64::MAX, i64::MIN];
    converts_to_binary(&elements::<u64>(&values), 8);
    rectifies(&elements::<u64>(&values), 8);
}
