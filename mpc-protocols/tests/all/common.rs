//! Shared by the tests: parties on one thread or on many, secrets, and what a party sees.
#![allow(dead_code, reason = "not every test file uses everything")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mpc_protocols::in_process::{Outcome, run_on_one_thread};
pub use mpc_protocols::in_process::{block_on, on_threads};
use mpc_protocols::{CorrelationSource, Dealer, Party, ProtocolError, Request};
use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, BinaryShares, Prg, Seed};
use mpc_transport::{Link, Traffic, Transport, TransportError, memory_link};
use proptest::prelude::*;
use proptest::sample::select;

/// Long enough that only a deadlock reaches it.
pub const PATIENT: Duration = Duration::from_secs(20);

/// The numbers of parties that most tests use.
pub fn parties() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 2..=5usize, 1 => Just(8usize)]
}

/// A generator that gives the same stream in every run.
pub fn generator(seed: u8) -> Prg {
    Prg::new(Seed::from_bytes([seed; 32]))
}

pub fn split<R: Ring>(secret: &[R], parties: usize) -> Vec<ArithmeticShares<R>> {
    ArithmeticShares::split(&[secret.len()], secret, parties, &mut generator(91)).unwrap()
}

pub fn split_bits<R: Ring>(secret: &[R], width: u32, parties: usize) -> Vec<BinaryShares> {
    BinaryShares::split(secret, width, parties, &mut generator(92)).unwrap()
}

/// A second copy, which the library itself does not offer.
pub fn copy<R: Ring>(shares: &ArithmeticShares<R>) -> ArithmeticShares<R> {
    ArithmeticShares::new(shares.shape(), shares.elements().to_vec()).unwrap()
}

/// Runs a protocol, checks what each party sent and received, and gives the outputs.
pub fn run<R: Ring, O>(
    parties: usize,
    plan: &[Request],
    expected: Traffic,
    protocol: impl AsyncFn(&mut Party, &mut CorrelationSource<'_>) -> Result<O, ProtocolError>,
) -> Vec<O> {
    run_unequal::<R, O>(parties, plan, |_| expected, protocol)
}

/// As [`run`], where the parties' traffic differs.
pub fn run_unequal<R: Ring, O>(
    parties: usize,
    plan: &[Request],
    expected: impl Fn(usize) -> Traffic,
    protocol: impl AsyncFn(&mut Party, &mut CorrelationSource<'_>) -> Result<O, ProtocolError>,
) -> Vec<O> {
    let outcomes = run_on_one_thread::<R, O>(parties, plan, Seed::from_bytes([93; 32]), protocol).unwrap();
    as_expected(outcomes, &expected)
}

/// The outputs of parties whose traffic was as expected.
fn as_expected<O>(outcomes: Vec<Outcome<O>>, expected: &dyn Fn(usize) -> Traffic) -> Vec<O> {
    let parties = outcomes.len();
    let compared = outcomes.into_iter().enumerate().map(|(party, outcome)| {
        assert_eq!(outcome.online, expected(party), "traffic of party {party} of {parties}");
        outcome.output
    });
    compared.collect()
}

/// As [`run`], for a protocol that ends with shares: the secret that they share.
pub fn run_shared<R: Ring>(
    parties: usize,
    plan: &[Request],
    expected: Traffic,
    protocol: impl AsyncFn(&mut Party, &mut CorrelationSource<'_>) -> Result<ArithmeticShares<R>, ProtocolError>,
) -> Vec<R> {
    ArithmeticShares::reconstruct(&run::<R, _>(parties, plan, expected, protocol)).unwrap()
}

/// The end of a party: its result, and the party with its transport.
pub type Ended<O> = (Result<O, ProtocolError>, Party);

/// One session of `dealer`, every party on a thread of its own, with all that went wrong.
pub fn session<R: Ring, O: Send, T: Transport + 'static>(
    dealer: &mut Dealer<R>,
    plan: &[Request],
    transports: Vec<T>,
    deadline: Duration,
    protocol: impl AsyncFn(&mut Party, &mut CorrelationSource<'_>) -> Result<O, ProtocolError> + Sync,
) -> (Vec<Ended<O>>, Result<(), ProtocolError>) {
    let (mut dealer_ends, party_ends): (Vec<_>, Vec<_>) = transports.iter().map(|_| memory_link(deadline)).unzip();
    let protocol = &protocol;
    let running = transports
        .into_iter()
        .zip(party_ends)
        .map(|(transport, link)| move || block_on(party(Party::new(transport), link, plan, protocol)));
    let (ended, dealt) = on_threads(running, move || block_on(dealer.deal(&mut dealer_ends, plan, &mut |_| ())));
    // A party that ends early keeps its link until the dealer is done, which else might fail for that.
    (ended.into_iter().map(|(ended, _link)| ended).collect(), dealt)
}

async fn party<O>(
    mut party: Party,
    mut link: Link,
    plan: &[Request],
    protocol: impl AsyncFn(&mut Party, &mut CorrelationSource<'_>) -> Result<O, ProtocolError>,
) -> (Ended<O>, Link) {
    let result = async {
        let mut source = CorrelationSource::begin(&mut link, party.place(), plan).await?;
        let output = protocol(&mut party, &mut source).await?;
        source.finish()?;
        Ok(output)
    }
    .await;
    ((result, party), link)
}

/// Each round: a party's message and those of the others.
pub type Rounds = Arc<Mutex<Vec<Vec<Vec<u8>>>>>;

/// A transport that notes each round.
pub struct Recording<T> {
    inner: T,
    rounds: Rounds,
}

impl<T: Transport> Recording<T> {
    pub fn new(inner: T, rounds: &Rounds) -> Self {
        Self { inner, rounds: Arc::clone(rounds) }
    }
}

impl<T: Transport> Transport for Recording<T> {
    fn party(&self) -> usize {
        self.inner.party()
    }

    fn parties(&self) -> usize {
        self.inner.parties()
    }

    async fn send(&mut self, to: usize, message: &[u8]) -> Result<(), TransportError> {
        self.inner.send(to, message).await
    }

    async fn receive(&mut self, from: usize, message: &mut [u8]) -> Result<(), TransportError> {
        self.inner.receive(from, message).await
    }

    async fn receive_bounded(&mut self, from: usize, limit: usize) -> Result<Vec<u8>, TransportError> {
        self.inner.receive_bounded(from, limit).await
    }

    async fn exchange(&mut self, message: &[u8], received: &mut [u8]) -> Result<(), TransportError> {
        self.inner.exchange(message, received).await?;
        let others = received.chunks(message.len().max(1)).map(<[u8]>::to_vec);
        self.rounds.lock().unwrap().push([message.to_vec()].into_iter().chain(others).collect());
        Ok(())
    }
}

/// The result of the opening of a round: the sum of all parties' messages in `bits` bits.
pub fn opened_elements(messages: &[Vec<u8>], bits: u32, len: usize) -> Vec<u64> {
    let mut sum = vec![0u64; len];
    let mut share = vec![0u64; len];
    for message in messages {
        mpc_ring::packing::unpack(message, bits, &mut share);
        sum.iter_mut().zip(&share).for_each(|(x, &y)| *x = x.wrapping_add(y) & u64::low_mask(bits));
    }
    sum
}

/// The result of the opening of planes of `len` bits, a multiple of 8.
pub fn opened_planes(messages: &[Vec<u8>], len: usize) -> Vec<Vec<bool>> {
    assert!(len.is_multiple_of(8));
    let xor = messages.iter().fold(vec![0u8; messages[0].len()], |mut sum, message| {
        sum.iter_mut().zip(message).for_each(|(x, y)| *x ^= y);
        sum
    });
    let bits = |plane: &[u8]| (0..len).map(|i| (plane[i / 8] >> (i % 8)) & 1 == 1).collect();
    xor.chunks(len / 8).map(bits).collect()
}

/// Pearson's χ² of counts that should be equal, per degree of freedom: near 1 for a uniform distribution.
pub fn chi_square(counts: &[u64]) -> f64 {
    let expected = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
    let sum: f64 = counts.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum();
    sum / (counts.len() - 1) as f64
}

/// Values of any size, with those at the edges often among them.
pub fn any_value() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), signed_below(1 << 20), edges(i64::MAX)]
}

/// Values of magnitude below `bound`.
pub fn signed_below(bound: i64) -> impl Strategy<Value = i64> {
    prop_oneof![1 - bound..bound, edges(bound - 1)]
}

/// 0, ±1, ±`largest` and the values next to them, and powers of two.
fn edges(largest: i64) -> impl Strategy<Value = i64> {
    let powers = (0..63).map(|bit| 1i64 << bit).take_while(move |&power| power <= largest);
    let magnitudes: Vec<_> = [0, 1, largest - 1, largest].into_iter().chain(powers).collect();
    (select(magnitudes), any::<bool>()).prop_map(|(x, negative)| if negative { -x } else { x })
}

/// The ring elements of signed values.
pub fn elements<R: Ring>(values: &[i64]) -> Vec<R> {
    values.iter().map(|&x| R::from_i128(x.into())).collect()
}

/// The signed values of ring elements.
pub fn signed<R: Ring>(elements: &[R]) -> Vec<i128> {
    elements.iter().map(|x| x.to_i128()).collect()
}
