//! Every protocol in every ring, compiled with this crate for all programs.
//!
//! Protocols are generic over the ring, so that each program would compile its own: tests and examples by the dozen. At a
//! debug build's level of optimisation the compiler takes an instance from a crate below that has it, and this one has
//! them all. A release build inlines across crates instead, and goes without.

use alloc::vec;
use alloc::vec::Vec;

use mpc_ring::{Ring, RingBits, in_ring};
use mpc_shares::{ArithmeticShares, BinaryShares, Seed};

use crate::binary::{BitTriples, Planes};
use crate::fixed_weights::{FixedWeightShape, FixedWeights};
use crate::function::{Function, FunctionPlan, FunctionShape};
use crate::maximum::{Grouping, Tournament};
use crate::sign::{SignParameters, SignShape};
use crate::{
    Bilinear, CorrelationSource, Party, Place, ProtocolError, beaver, comparison, conversion, in_process, maximum,
    open, relu, session, sharing, sign, sort,
};

/// Runs every protocol on one element, at every party and the dealer.
///
/// # Errors
/// Those of the protocols.
pub fn run(ring: RingBits, parties: usize) -> Result<(), ProtocolError> {
    in_ring!(ring, R => run_in::<R>(parties))
}

fn run_in<R: Ring>(parties: usize) -> Result<(), ProtocolError> {
    let plan = smol::block_on(session::plan(Place { party: 0, parties }, every_protocol::<R>))?;
    in_process::run_on_one_thread::<R, _>(parties, &plan, Seed::from_bytes([1; 32]), every_protocol::<R>).map(drop)
}

/// The bits of the comparisons, which every ring has.
const COMPARISON_BITS: u32 = 20;

async fn every_protocol<R: Ring>(party: &mut Party, source: &mut CorrelationSource<'_>) -> Result<(), ProtocolError> {
    let parameters = SignParameters::new(COMPARISON_BITS)?;
    products::<R>(party, source).await?;
    conversions::<R>(party, source).await?;

    let shape = SignShape { len: 1, parameters };
    let x = one::<R>();
    sign::is_non_negative(party, &x, source.next(shape).await?).await?;
    relu::relu(party, &x, 0, source.next(shape).await?).await?;
    for candidates in 2..=4 {
        let tournament = Tournament { candidates, len: 1, parameters, grouping: Grouping::Four };
        let mut masks = Vec::new();
        for level in tournament.levels() {
            masks.push(level.draw(R::BITS, source).await?);
        }
        maximum::maximum_of(party, (0..candidates).map(|_| one::<R>()).collect(), masks).await?;
    }
    let mut masks = Vec::new();
    for shape in sort::shapes(2, 1, parameters) {
        masks.push(source.next(shape).await?);
    }
    sort::sort(party, vec![one::<R>(), one()], masks).await?;

    let function = FunctionShape {
        function: Function::Gelu,
        len: 1,
        fractional_bits: 8,
        shift: 0,
        parameters,
        argument: None,
        dividends: None,
    };
    let function = FunctionPlan::new::<R>(function)?;
    let material = function.draw(source).await?;
    let y = function.apply(party, &x, material).await?;

    let secret = [R::ONE];
    let secret = (party.index() == 0).then_some(&secret[..]);
    let shared = sharing::share(party, 0, &[1], secret, &mut in_process::generator()?).await?;
    sharing::reveal(party, 1, &shared).await?;
    sharing::reveal_to(party, &[0, 1], &y).await?;
    open::open_low_bits(party, y.elements(), 8).await.map(drop)
}

async fn products<R: Ring>(party: &mut Party, source: &mut CorrelationSource<'_>) -> Result<(), ProtocolError> {
    let (x, map) = (one::<R>(), Bilinear::Elementwise { len: 1 });
    let product = beaver::multiply(party, &x, &x, source.next(map).await?).await?;
    let square = beaver::square(party, &x, source.next(1).await?).await?;
    let shape = FixedWeightShape { mask: 0, map };
    let layers = FixedWeights::load(party, vec![(one(), source.next(1).await?)]).await?;
    for layer in &layers {
        let prepared = layer.prepare(source.next(shape).await?)?;
        layer.apply(party, &product, prepared).await?;
        let prepared = layer.prepare(source.next(shape).await?)?;
        layer.apply_at_owner(party, 0, &square, prepared).await?;
        let prepared = layer.prepare(source.next(shape).await?)?;
        let again = layer.prepare_again(&prepared, source.next(shape).await?)?;
        let (_, opened) = prepared.open(party, None, &x).await?;
        layer.multiply(&opened, again)?;
    }
    Ok(())
}

async fn conversions<R: Ring>(party: &mut Party, source: &mut CorrelationSource<'_>) -> Result<(), ProtocolError> {
    let (x, parties) = (one::<R>(), party.parties());
    let triples = draw(source, comparison::msb_planes::<R>(1, parties)).await?;
    let less = comparison::less_than(party, one(), &x, triples, source.next(1).await?).await?;
    let triples = draw(source, comparison::msb_planes::<R>(1, parties)).await?;
    let (bits, product) = (source.next(1).await?, source.next(Bilinear::Elementwise { len: 1 }).await?);
    comparison::classic_relu(party, &less, triples, bits, product).await?;
    let triples = draw(source, conversion::adder_planes::<R>(1, parties)).await?;
    conversion::to_binary(party, &x, triples).await?;
    let bits = source.next(1).await?;
    let triples = draw(source, conversion::adder_planes::<R>(1, 2)).await?;
    conversion::to_binary_with_edabits(party, &x, bits, triples).await?;
    let bits = source.next(conversion::all_bits(R::BITS, 1)).await?;
    conversion::to_arithmetic::<R>(party, &BinaryShares::zeros(R::BITS, 1), bits).await.map(drop)
}

async fn draw(source: &mut CorrelationSource<'_>, planes: Vec<Planes>) -> Result<Vec<BitTriples>, ProtocolError> {
    let mut triples = Vec::new();
    for planes in planes {
        triples.push(source.next(planes).await?);
    }
    Ok(triples)
}

fn one<R: Ring>() -> ArithmeticShares<R> {
    ArithmeticShares::from_elements(vec![R::ONE])
}
