//! Dealers and parties on several threads send what they send on one, byte for byte, and come to the same shares.

use std::env;
use std::num::NonZeroUsize;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mpc_protocols::fixed_weights::{FixedWeightShape, FixedWeights};
use mpc_protocols::function::{Function, FunctionPlan, FunctionShape};
use mpc_protocols::lookup::{LookupShape, Table, look_up};
use mpc_protocols::maximum::{GroupShape, Level, maximum_of};
use mpc_protocols::piecewise::{PiecewiseLinear, PiecewiseShape, Step, compare};
use mpc_protocols::relu::relu;
use mpc_protocols::sign::{SignParameters, SignShape, Variant, is_non_negative};
use mpc_protocols::truncation::{LiftShape, truncate};
use mpc_protocols::{Bilinear, CorrelationSource, Dealer, Party, ProtocolError, Request, beaver, in_process};
use mpc_ring::{Convolution, Ring, threads};
use mpc_shares::{ArithmeticShares, Prg, Seed};
use mpc_transport::{Connection, Link, Traffic, TransportError};
use sha2::{Digest, Sha256};

const THREADS: &str = "MPC_THREADS_OF_THIS_TEST";
/// More than a frame of every field for each of three threads, and a multiple of nothing.
const LEN: usize = 30_011;
const F: u32 = 16;
/// The message with which threads are set in the middle of a field, after both seeds and some frames; 0 for none.
static LATE: AtomicUsize = AtomicUsize::new(0);

/// A link that keeps a digest of what it was sent.
struct Digested(Arc<Mutex<Sha256>>);

impl Connection for Digested {
    async fn send(&mut self, message: &[u8]) -> Result<(), TransportError> {
        let mut digest = self.0.lock().unwrap();
        digest.update((message.len() as u64).to_le_bytes());
        digest.update(message);
        if LATE.fetch_sub(1, Ordering::Relaxed) == 1 {
            threads::set(NonZeroUsize::new(3).unwrap()).unwrap();
        }
        Ok(())
    }

    async fn receive(&mut self, _: &mut [u8]) -> Result<(), TransportError> {
        unreachable!("a dealer only sends")
    }

    async fn receive_bounded(&mut self, _: usize) -> Result<Vec<u8>, TransportError> {
        unreachable!("a dealer only sends")
    }
}

struct Protocols {
    signs: [SignShape; 2],
    function: FunctionPlan,
    lookup: LookupShape,
    map: Bilinear,
    layer: FixedWeightShape,
}

impl Protocols {
    fn new() -> Self {
        let parameters = SignParameters::new(31).unwrap();
        let both = [Variant::FewRounds, Variant::FewBytes].map(|variant| parameters.with_variant(variant));
        let function = FunctionPlan::new::<u64>(FunctionShape {
            function: Function::Gelu,
            len: LEN,
            fractional_bits: F,
            shift: F,
            parameters,
            argument: None,
            dividends: None,
        });
        let table = Table { function: Function::Sigmoid, input_bits: 18, output_bits: 21, limit_bits: 24 };
        let convolution = Convolution { padding: [1; 4], ..Convolution::valid([5, 40], [33, 31], [3, 3]) };
        Self {
            signs: both.map(|parameters| SignShape { len: LEN, parameters }),
            function: function.unwrap(),
            lookup: LookupShape { len: LEN / 3, table },
            map: Bilinear::Elementwise { len: LEN },
            layer: FixedWeightShape { mask: 0, map: Bilinear::Convolution(convolution) },
        }
    }

    fn plan(&self) -> Vec<Request> {
        let [rounds, bytes] = self.signs;
        let mut plan = vec![
            Request::WeightMask { len: self.layer.map.right_len() },
            Request::FixedWeights { mask: 0, map: self.layer.map }.modulo::<u64>(61),
            Request::Relu { len: LEN, parameters: rounds.parameters }.modulo::<u64>(57),
            Request::Relu { len: LEN, parameters: bytes.parameters },
            Request::Sign { len: LEN, parameters: rounds.parameters },
            Request::Piecewise { len: LEN, thresholds: 2, parameters: rounds.parameters },
            Request::Lift { len: LEN, bits: 33 },
            Request::Beaver(self.map),
            Request::Square { len: LEN },
            Request::Lookup { len: self.lookup.len, table: self.lookup.table },
            Request::Group { size: 4, len: LEN / 2, parameters: rounds.parameters }.modulo::<u64>(57),
        ];
        plan.extend(self.function.requests());
        plan
    }

    /// The shares that a party has at the end.
    async fn run(
        &self,
        party: &mut Party,
        source: &mut CorrelationSource<'_>,
    ) -> Result<Vec<ArithmeticShares<u64>>, ProtocolError> {
        let mut inputs = Prg::new(Seed::from_bytes([party.index() as u8; 32]));
        let mut input = |len: usize| {
            let mut share = vec![0; len];
            u64::fill_random(&mut share, &mut inputs);
            ArithmeticShares::from_elements(share)
        };
        let map = self.layer.map;
        let weights = (input(map.right_len()), source.next(map.right_len()).await?);
        let layers = FixedWeights::load(party, vec![weights]).await?;
        let prepared = layers[0].prepare(source.next_modulo(61, self.layer).await?)?;
        let mut ends = vec![layers[0].apply(party, &input(map.left_len()), prepared).await?];
        let (x, [rounds, bytes]) = (input(LEN), self.signs);
        ends.push(relu(party, &x, F, source.next_modulo(57, rounds).await?).await?);
        ends.push(relu(party, &x, F, source.next(bytes).await?).await?);
        ends.push(is_non_negative(party, &x, source.next(rounds).await?).await?);
        let shape = PiecewiseShape { sign: rounds, thresholds: 2 };
        let pieces = compare(party, &x, F, &[3, 1 << 20], source.next(shape).await?).await?;
        let step = Step { offset: 5, slope: 7 };
        ends.push(pieces.linear(&PiecewiseLinear { constant: 1, slope: 2, steps: vec![step, step] })?);
        ends.push(truncate(party, &x, F, source.next(LiftShape { len: LEN, bits: 33 }).await?).await?);
        ends.push(beaver::multiply(party, &x, &input(LEN), source.next(self.map).await?).await?);
        ends.push(beaver::square(party, &x, source.next(LEN).await?).await?);
        ends.push(look_up(party, &input(self.lookup.len), source.next(self.lookup).await?).await?);
        let level = Level::Groups(GroupShape { size: 4, len: LEN / 2, parameters: rounds.parameters });
        let candidates = (0..4).map(|_| input(LEN / 2)).collect();
        ends.push(maximum_of(party, candidates, vec![level.draw(57, source).await?]).await?);
        let material = self.function.draw(source).await?;
        ends.push(self.function.apply(party, &x, material).await?);
        Ok(ends)
    }
}

/// A digest of all that is dealt, and of all parties' shares and traffic.
fn digest(parties: usize) -> String {
    let (protocols, digest) = (Protocols::new(), Arc::new(Mutex::new(Sha256::new())));
    let plan = protocols.plan();
    let mut dealer = Dealer::<u64>::new(parties, Seed::from_bytes([1; 32])).unwrap();
    let mut links: Vec<_> = (0..parties).map(|_| Link::new(Digested(Arc::clone(&digest)))).collect();
    smol::block_on(dealer.deal(&mut links, &plan, &mut |_| ())).unwrap();

    let seed = Seed::from_bytes([2; 32]);
    let outcomes = in_process::run_on_one_thread::<u64, _>(parties, &plan, seed, async |party, source| {
        protocols.run(party, source).await
    });
    let mut digest = digest.lock().unwrap();
    for in_process::Outcome { output, online, .. } in outcomes.unwrap() {
        output.iter().flat_map(ArithmeticShares::elements).for_each(|share| digest.update(share.to_le_bytes()));
        let Traffic { rounds, payload_sent, frames_sent, .. } = online;
        [rounds, payload_sent, frames_sent].iter().for_each(|count| digest.update(count.to_le_bytes()));
    }
    digest.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// In a process of its own for each number of threads, which is set once.
#[test]
fn any_number_of_threads_sends_the_same() {
    if let Ok(count) = env::var(THREADS) {
        // So that a few thousand values are cut.
        threads::cut_from(1 << 12);
        match count.parse() {
            Ok(count) => threads::set(count).unwrap(),
            Err(_) => LATE.store(4, Ordering::Relaxed),
        }
        return println!("digests {} {}", digest(2), digest(3));
    }
    let with = |count: &str| {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["any_number_of_threads_sends_the_same", "--exact", "--nocapture"]).env(THREADS, count);
        let output = command.output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let digests =
            printed.lines().find_map(|line| line.split_once("digests ").map(|(_, digests)| digests.to_owned()));
        digests.unwrap_or_else(|| panic!("{printed}{}", String::from_utf8_lossy(&output.stderr)))
    };
    let one = with("1");
    for others in ["2", "3", "late"] {
        assert_eq!(with(others), one, "{others}");
    }
}
