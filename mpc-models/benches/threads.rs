//! Dealing, and a party's ReLU with the expansion of its shares: each alone, first on one thread and then on as many as there are
//! cores.
#![allow(missing_docs)]

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mpc_models::resnet32;
use mpc_nn::{Plan, Settings};
use mpc_protocols::relu::{ReluMask, relu};
use mpc_protocols::sign::{SignParameters, SignShape};
use mpc_protocols::{Correlation, CorrelationSource, Dealer, Party, Place};
use mpc_ring::threads;
use mpc_shares::{ArithmeticShares, Seed};
use mpc_transport::{Connection, Link, Transport, TransportError};

const PARTIES: usize = 2;

/// An end of a link that takes everything and gives zeros.
struct Nobody;

impl Connection for Nobody {
    async fn send(&mut self, message: &[u8]) -> Result<(), TransportError> {
        black_box(message);
        Ok(())
    }

    async fn receive(&mut self, message: &mut [u8]) -> Result<(), TransportError> {
        message.fill(0);
        Ok(())
    }

    async fn receive_bounded(&mut self, _: usize) -> Result<Vec<u8>, TransportError> {
        Ok(Vec::new())
    }
}

/// A party whose peer is nobody.
struct Alone {
    party: usize,
}

impl Transport for Alone {
    fn party(&self) -> usize {
        self.party
    }

    fn parties(&self) -> usize {
        PARTIES
    }

    async fn send(&mut self, _: usize, message: &[u8]) -> Result<(), TransportError> {
        Nobody.send(message).await
    }

    async fn receive(&mut self, _: usize, message: &mut [u8]) -> Result<(), TransportError> {
        Nobody.receive(message).await
    }

    async fn receive_bounded(&mut self, _: usize, limit: usize) -> Result<Vec<u8>, TransportError> {
        Nobody.receive_bounded(limit).await
    }

    async fn exchange(&mut self, message: &[u8], received: &mut [u8]) -> Result<(), TransportError> {
        Nobody.send(message).await?;
        Nobody.receive(received).await
    }
}

fn dealing(c: &mut Criterion) {
    let mut group = c.benchmark_group("dealing ResNet-32");
    group.sample_size(20);
    for (parties, batch) in [(2, 1), (2, 16), (4, 1)] {
        let graph = resnet32(batch, resnet32::CLASSES).expect("a graph");
        let plan = Plan::<u64>::new(&graph, Settings::new(parties)).expect("a plan");
        let mut dealer = Dealer::<u64>::new(parties, Seed::from_bytes([1; 32])).expect("a supported number");
        let mut links: Vec<_> = (0..parties).map(|_| Link::new(Nobody)).collect();
        let deal = |dealer: &mut Dealer<u64>, links: &mut [Link], requests: &[_]| {
            smol::block_on(dealer.deal(links, requests, &mut |_| ())).expect("links that take everything");
        };
        deal(&mut dealer, &mut links, &plan.setup_requests());
        let requests = plan.requests();
        group.throughput(Throughput::Elements(batch as u64));
        let name = format!("{parties} parties, batch {batch}, threads");
        group.bench_function(BenchmarkId::new(name, threads::count()), |b| {
            b.iter(|| deal(&mut dealer, &mut links, &requests));
        });
    }
    group.finish();
}

fn activation(c: &mut Criterion) {
    let mut group = c.benchmark_group("ReLU of 32 bits at a party");
    group.sample_size(20);
    for (party, len) in [(0, 10_000), (0, 100_000), (0, 1_000_000), (1, 1_000_000)] {
        let place = Place { party, parties: PARTIES };
        let shape = SignShape { len, parameters: SignParameters::new(32).expect("32 bits are supported") };
        let plan = [ReluMask::<u64>::request(&shape)];
        let x = ArithmeticShares::from_elements((0..len as u64).map(|i| i << 16).collect());
        let (mut alone, mut link) = (Party::new(Alone { party }), Link::new(Nobody));
        group.throughput(Throughput::Elements(len as u64));
        let name = format!("party {party}, {len} elements, threads");
        group.bench_function(BenchmarkId::new(name, threads::count()), |b| {
            b.iter(|| {
                smol::block_on(async {
                    let mut source = CorrelationSource::begin(&mut link, place, &plan).await?;
                    relu(&mut alone, &x, 16, source.next(shape).await?).await
                })
                .expect("a peer that sends zeros")
            });
        });
    }
    group.finish();
}

/// Both again, on all cores.
fn on_all_cores(c: &mut Criterion) {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    threads::set(NonZeroUsize::new(cores.max(2)).expect("two or more")).expect("threads that were not set before");
    dealing(c);
    activation(c);
}

criterion_group!(benches, dealing, activation, on_all_cores);
criterion_main!(benches);
