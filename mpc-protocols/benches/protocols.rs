//! The truncating ReLU against the classic one, functions with tables, a layer with fixed weights, and the dealer's rate.
#![allow(missing_docs)]

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mpc_protocols::fixed_weights::{FixedWeightShape, FixedWeights};
use mpc_protocols::function::{Function, FunctionPlan, FunctionShape};
use mpc_protocols::relu::relu;
use mpc_protocols::sign::{SignParameters, SignShape};
use mpc_protocols::{Bilinear, CorrelationSource, Dealer, Place, Request, comparison, in_process};
use mpc_ring::Convolution;
use mpc_shares::{ArithmeticShares, Seed};
use mpc_transport::memory_link;

const LEN: usize = 16_384;

fn shares(len: usize) -> ArithmeticShares<u64> {
    ArithmeticShares::from_elements((0..len as u64).map(|i| i << 16).collect())
}

/// Dealing, and both parties' work: all three on threads of their own.
fn activations(c: &mut Criterion) {
    let mut group = c.benchmark_group("16,384 elements, two parties and the dealer");
    group.throughput(Throughput::Elements(LEN as u64)).sample_size(20);
    let shape = SignShape { len: LEN, parameters: SignParameters::new(32).expect("32 bits are supported") };
    let plan = [Request::Relu { len: LEN, parameters: shape.parameters }];
    group.bench_function("truncating ReLU", |b| {
        b.iter(|| {
            in_process::run_planned::<u64, _>(2, &plan, async |party, source| {
                relu(party, &shares(LEN), 16, source.next(shape).await?).await
            })
        });
    });
    let planes = comparison::msb_planes::<u64>(LEN, 2);
    let map = Bilinear::Elementwise { len: LEN };
    let mut plan: Vec<_> = planes.iter().map(|p| Request::BitTriples { width: p.width, len: p.len }).collect();
    plan.extend([Request::DaBits { len: LEN }, Request::Beaver(map)]);
    group.bench_function("classic ReLU, without truncation", |b| {
        b.iter(|| {
            in_process::run_planned::<u64, _>(2, &plan, async |party, source| {
                let mut triples = Vec::new();
                for &planes in &planes {
                    triples.push(source.next(planes).await?);
                }
                let (dabits, triple) = (source.next(LEN).await?, source.next(map).await?);
                comparison::classic_relu(party, &shares(LEN), triples, dabits, triple).await
            })
        });
    });
    group.finish();
}

/// Functions with tables, from dealing to the result: all three on threads of their own.
fn functions(c: &mut Criterion) {
    const LEN: usize = 10_000;
    let mut group = c.benchmark_group("10,000 elements, two parties and the dealer");
    group.throughput(Throughput::Elements(LEN as u64)).sample_size(10);
    let parameters = SignParameters::new(32).expect("32 bits are supported");
    for function in [Function::Sigmoid, Function::Gelu, Function::Sqrt] {
        let shape = FunctionShape {
            function,
            len: LEN,
            fractional_bits: 16,
            shift: 16,
            parameters,
            argument: None,
            dividends: None,
        };
        let plan = FunctionPlan::new::<u64>(shape).expect("a function that is supported");
        let requests = plan.requests();
        group.bench_function(format!("{function:?}"), |b| {
            b.iter(|| {
                in_process::run_planned::<u64, _>(2, &requests, async |party, source| {
                    let material = plan.draw(source).await?;
                    plan.apply(party, &shares(LEN), material).await
                })
            });
        });
    }
    group.finish();
}

/// A layer of ResNet-32: 32 to 32 channels, 16×16, 3×3.
fn layer(c: &mut Criterion) {
    let shape = Convolution { padding: [1; 4], ..Convolution::valid([32, 32], [16, 16], [3, 3]) };
    let map = Bilinear::Convolution(shape);
    let (weights, input) = (map.right_len(), map.left_len());
    let plan = [Request::WeightMask { len: weights }, Request::FixedWeights { mask: 0, map }];
    let mut group = c.benchmark_group("convolution 32×16×16 by 3×3");
    group.sample_size(20);
    group.bench_function("fixed weights: loading, dealing and one inference", |b| {
        b.iter(|| {
            in_process::run_planned::<u64, _>(2, &plan, async |party, source| {
                let layer = (shares(weights), source.next(weights).await?);
                let layers = FixedWeights::load(party, vec![layer]).await?;
                let prepared = layers[0].prepare(source.next(FixedWeightShape { mask: 0, map }).await?)?;
                layers[0].apply(party, &shares(input), prepared).await
            })
        });
    });
    group.finish();
}

/// The dealer alone: the corrections go to a thread that throws them away.
fn dealing(c: &mut Criterion) {
    let mut group = c.benchmark_group("dealing a ReLU of 32 bits");
    group.throughput(Throughput::Elements(LEN as u64)).sample_size(20);
    let parameters = SignParameters::new(32).expect("32 bits are supported");
    let plan = [Request::Relu { len: LEN, parameters }];
    let shape = SignShape { len: LEN, parameters };
    let patience = Duration::from_secs(10);
    for parties in [2, 4] {
        let mut dealer = Dealer::<u64>::new(parties, Seed::from_bytes([1; 32])).expect("a supported number");
        group.bench_function(format!("{parties} parties"), |b| {
            b.iter(|| {
                std::thread::scope(|scope| {
                    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
                    for _ in 0..parties {
                        let (our_end, their_end) = memory_link(patience);
                        ours.push(our_end);
                        theirs.push(their_end);
                    }
                    let mut last = theirs.pop().expect("there are parties");
                    let (plan, place) = (&plan, Place { party: parties - 1, parties });
                    scope.spawn(move || {
                        smol::block_on(async {
                            let mut source = CorrelationSource::begin(&mut last, place, plan).await?;
                            source.next::<mpc_protocols::relu::ReluMask<u64>>(shape).await
                        })
                    });
                    smol::block_on(dealer.deal(&mut ours, plan, &mut |_| ())).expect("the links are open");
                });
            });
        });
    }
    group.finish();
}

criterion_group!(benches, activations, functions, layer, dealing);
criterion_main!(benches);
