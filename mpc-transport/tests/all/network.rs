//! Networks of either kind, and parties that run on threads of their own.
#![allow(dead_code, reason = "each file of tests uses another part")]

use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::thread;
use std::time::Duration;

#[cfg(feature = "tls")]
use mpc_transport::tls::{Identity, SecureTransport};
use mpc_transport::{Emulated, LinkSettings, MemoryTransport, TcpSettings, TcpTransport, Transport, memory_network};
/// Far beyond what any test needs.
pub const PATIENT: Duration = Duration::from_secs(60);

/// Short, for tests that wait for it to pass.
pub const BRIEF: Duration = Duration::from_millis(500);

/// A way to link parties.
pub trait Network {
    type End: Transport + 'static;

    fn build(parties: usize, deadline: Duration) -> Vec<Self::End>;
}

pub struct Memory;

impl Network for Memory {
    type End = MemoryTransport;

    fn build(parties: usize, deadline: Duration) -> Vec<MemoryTransport> {
        memory_network(parties, deadline)
    }
}

/// TCP over loopback.
pub struct Tcp;

impl Network for Tcp {
    type End = TcpTransport;

    fn build(parties: usize, deadline: Duration) -> Vec<TcpTransport> {
        tcp_network(parties, TcpSettings { deadline, ..TcpSettings::default() })
    }
}

/// TCP over loopback that never polls.
pub struct SleepingTcp;

impl Network for SleepingTcp {
    type End = TcpTransport;

    fn build(parties: usize, deadline: Duration) -> Vec<TcpTransport> {
        tcp_network(parties, TcpSettings { deadline, poll: Duration::ZERO, ..TcpSettings::default() })
    }
}

/// Memory behind a link of 0.1 ms and 10 Gb/s.
pub struct EmulatedMemory;

impl Network for EmulatedMemory {
    type End = Emulated<MemoryTransport>;

    fn build(parties: usize, deadline: Duration) -> Vec<Self::End> {
        let link = LinkSettings { latency: Duration::from_micros(100), bits_per_second: Some(10_000_000_000) };
        memory_network(parties, deadline).into_iter().map(|end| Emulated::new(end, link)).collect()
    }
}

/// TLS over loopback.
#[cfg(feature = "tls")]
pub struct Secure;

#[cfg(feature = "tls")]
impl Network for Secure {
    type End = SecureTransport;

    fn build(parties: usize, deadline: Duration) -> Vec<SecureTransport> {
        secure_network(parties, TcpSettings { deadline, ..TcpSettings::default() })
    }
}

/// TLS over loopback that never polls.
#[cfg(feature = "tls")]
pub struct SleepingSecure;

#[cfg(feature = "tls")]
impl Network for SleepingSecure {
    type End = SecureTransport;

    fn build(parties: usize, deadline: Duration) -> Vec<SecureTransport> {
        secure_network(parties, TcpSettings { deadline, poll: Duration::ZERO, ..TcpSettings::default() })
    }
}

pub fn tcp_network(parties: usize, settings: TcpSettings) -> Vec<TcpTransport> {
    let (listeners, addresses) = listeners(parties);
    let ends = (0..parties).zip(listeners).collect();
    run(ends, async |(party, listener)| TcpTransport::connect(party, listener, &addresses, settings).await.unwrap())
}

#[cfg(feature = "tls")]
pub fn secure_network(parties: usize, settings: TcpSettings) -> Vec<SecureTransport> {
    let identities: Vec<_> =
        (0..parties).map(|party| Identity::generate(&format!("party-{party}"), 1).unwrap()).collect();
    let (listeners, addresses) = listeners(parties);
    let certificates = identities.iter().map(|identity| identity.certificate().clone());
    let nodes: Vec<_> = addresses.iter().map(SocketAddr::to_string).zip(certificates).collect();
    let ends = identities.into_iter().zip(listeners).enumerate().collect();
    run(ends, async |(party, (identity, listener))| {
        SecureTransport::connect(party, listener, &nodes, &identity, settings).await.unwrap()
    })
}

pub fn listeners(parties: usize) -> (Vec<TcpListener>, Vec<SocketAddr>) {
    let listeners: Vec<_> = (0..parties).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    (listeners, addresses)
}

/// Runs `party` for each end at once; the results are in the order of the ends.
pub fn run<T: Send, R: Send>(ends: Vec<T>, party: impl AsyncFn(T) -> R + Sync) -> Vec<R> {
    let party = &party;
    let mut results: Vec<_> = ends.iter().map(|_| None).collect();
    let noting = ends.into_iter().zip(&mut results).map(|(end, result)| {
        let task: Task = Box::new(move || *result = Some(block_on(party(end))));
        task
    });
    join_threads(noting.collect());
    results.into_iter().flatten().collect()
}

/// Boxed and without a result, so that threads are compiled once.
type Task<'a> = Box<dyn FnOnce() + Send + 'a>;

fn join_threads(tasks: Vec<Task>) {
    thread::scope(|scope| tasks.into_iter().for_each(|task| drop(scope.spawn(task))));
}

/// As smol's, but compiled once and not for each future.
pub fn block_on<'a, T>(future: impl Future<Output = T> + 'a) -> T {
    let mut output = None;
    let noting: Pin<Box<dyn Future<Output = ()> + '_>> = Box::pin(async { output = Some(future.await) });
    smol::block_on(noting);
    output.unwrap()
}
