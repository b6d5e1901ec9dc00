//! The protocols that no network uses: general conversions and comparisons, sorting.

use mpc_protocols::binary::{BitTriples, Planes};
use mpc_protocols::comparison::{classic_relu, less_than, msb_planes};
use mpc_protocols::conversion::{adder_planes, all_bits, to_arithmetic, to_binary, to_binary_with_edabits};
use mpc_protocols::{
    Bilinear, CorrelationSource, Dealer, Party, Place, ProtocolError, Request, open, session, sharing,
};
use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, Prg};
use mpc_transport::Link;

use crate::inference::{Failure, network, secret_seed, together};
use crate::opened::{Marks, Opened};
use crate::request::{mark_public, mark_secret};

/// Runs all of them with secret inputs, and compares the results.
pub fn run<R: Ring>(parties: usize) -> Result<(), Failure> {
    let plan = smol::block_on(session::plan(Place { party: 0, parties }, protocol::<R>))?;
    let (ends, mut dealer_ends) = network(parties, Marks::Openings);
    let mut dealer = Dealer::<R>::new(parties, secret_seed())?;
    let deal = async { dealer.deal(&mut dealer_ends, &plan, &mut |_| ()).await };
    let results = together(deal, ends.into_iter().map(|end| party::<R>(end, &plan)))?;
    if results.iter().all(|result| *result == expected()) {
        Ok(())
    } else {
        Err(format!("{results:?} instead of {:?}", expected::<R>()).into())
    }
}

async fn party<R: Ring>((transport, mut link): (Opened, Link), plan: &[Request]) -> Result<Vec<R>, ProtocolError> {
    let mut party = Party::new(transport);
    let mut source = CorrelationSource::begin(&mut link, party.place(), plan).await?;
    let results = protocol(&mut party, &mut source).await?;
    source.finish()?;
    Ok(results)
}

/// x and y, of party 0.
fn operands<R: Ring>() -> [Vec<R>; 2] {
    [
        vec![R::from_u64(5), R::from_u64(7).wrapping_neg(), R::ZERO],
        vec![R::from_u64(6), R::from_u64(9).wrapping_neg(), R::ONE],
    ]
}

/// max(x, 0), x < y, x by two conversions there and back.
fn expected<R: Ring>() -> Vec<R> {
    let [x, _] = operands::<R>();
    [vec![x[0], R::ZERO, R::ZERO, R::ONE, R::ZERO, R::ONE], x.clone(), x].concat()
}

async fn protocol<R: Ring>(party: &mut Party, source: &mut CorrelationSource<'_>) -> Result<Vec<R>, ProtocolError> {
    let mut generator = Prg::new(secret_seed());
    let secret = (party.index() == 0).then(operands::<R>);
    let mut shared = Vec::new();
    for operand in 0..2 {
        let own = secret.as_ref().map(|secret| &secret[operand][..]);
        own.into_iter().for_each(mark_secret);
        shared.push(sharing::share(party, 0, &[3], own, &mut generator).await?);
    }
    let [x, y] = [0, 1].map(|operand| &shared[operand]);
    let (len, parties) = (x.len(), party.parties());
    let triples = draw(source, &msb_planes::<R>(len, parties)).await?;
    let (bits, triple) = (source.next(len).await?, source.next(Bilinear::Elementwise { len }).await?);
    let mut results = vec![classic_relu(party, x, triples, bits, triple).await?];
    let triples = draw(source, &msb_planes::<R>(len, parties)).await?;
    let left = ArithmeticShares::from_elements(x.elements().to_vec());
    results.push(less_than(party, left, y, triples, source.next(len).await?).await?);
    let triples = draw(source, &adder_planes::<R>(len, parties)).await?;
    let binary = to_binary(party, x, triples).await?;
    results.push(to_arithmetic(party, &binary, source.next(all_bits(R::BITS, len)).await?).await?);
    let bits = source.next(len).await?;
    let triples = draw(source, &adder_planes::<R>(len, 2)).await?;
    let binary = to_binary_with_edabits(party, x, bits, triples).await?;
    results.push(to_arithmetic(party, &binary, source.next(all_bits(R::BITS, len)).await?).await?);
    let mut opened = Vec::new();
    for result in &results {
        opened.extend(open::open(party, result).await?);
    }
    mark_public(&opened);
    Ok(opened)
}

async fn draw(source: &mut CorrelationSource<'_>, planes: &[Planes]) -> Result<Vec<BitTriples>, ProtocolError> {
    let mut triples = Vec::new();
    for &planes in planes {
        triples.push(source.next(planes).await?);
    }
    Ok(triples)
}
