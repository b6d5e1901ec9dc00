//! The time of one exchange between two parties, each on a thread of its own.

#[path = "../tests/all/network.rs"]
mod network;

use std::hint::black_box;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mpc_transport::{AnyTransport, MemoryTransport, TcpSettings, TcpTransport, Transport, memory_network};
use network::{PATIENT, tcp_network};

const SIZES: [usize; 3] = [64, 128 << 10, 1 << 20];
const POLLS: [(&str, Duration); 2] = [("polling", mpc_transport::DEFAULT_POLL), ("sleeping", Duration::ZERO)];

fn memory(poll: Duration) -> Vec<MemoryTransport> {
    let mut ends = memory_network(2, PATIENT);
    ends.iter_mut().for_each(|end| end.set_poll(poll));
    ends
}

fn tcp(poll: Duration) -> Vec<TcpTransport> {
    tcp_network(2, TcpSettings { poll, ..TcpSettings::default() })
}

async fn rounds(end: &mut impl Transport, bytes: usize, count: u64) {
    let (message, mut received) = (vec![1; bytes], vec![0; bytes]);
    for _ in 0..count {
        end.exchange(black_box(&message), &mut received).await.unwrap();
    }
}

/// Measures rounds of `bytes` bytes, with the other party on a thread that lasts as long as the network.
fn measure<T: Transport + 'static>(c: &mut Criterion, name: &str, ends: Vec<T>) {
    let mut group = c.benchmark_group(name);
    let [mut ours, mut theirs]: [T; 2] = ends.try_into().unwrap_or_else(|_| unreachable!("a network of two"));
    let (orders, received) = mpsc::channel::<(usize, u64)>();
    let peer = thread::spawn(move || {
        for (bytes, count) in received {
            smol::block_on(rounds(&mut theirs, bytes, count));
        }
    });
    for bytes in SIZES {
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |b| {
            b.iter_custom(|count| {
                orders.send((bytes, count)).unwrap();
                let started = Instant::now();
                smol::block_on(rounds(&mut ours, bytes, count));
                started.elapsed()
            });
        });
    }
    drop(orders);
    peer.join().unwrap();
}

fn bench(c: &mut Criterion) {
    for (name, poll) in POLLS {
        measure(c, &format!("memory, {name}"), memory(poll));
        measure(c, &format!("tcp, {name}"), tcp(poll));
        measure(c, &format!("tcp behind one type, {name}"), tcp(poll).into_iter().map(AnyTransport::new).collect());
        #[cfg(feature = "tls")]
        measure(c, &format!("tls, {name}"), network::secure_network(2, TcpSettings { poll, ..TcpSettings::default() }));
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = bench
}
criterion_main!(benches);
