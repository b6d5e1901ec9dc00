//! The audit of a dealer: what is dealt rightly passes, and every bit that is not is found by all parties.

use mpc_protocols::audit::{self, Auditor, Commitment};
use mpc_protocols::correlation::{self, SEEDS_BYTES};
use mpc_protocols::fixed_weights::{FixedWeights, WeightMask};
use mpc_protocols::{CorrelationSource, Dealer, Party, Place, ProtocolError, Request};
use mpc_shares::Seed;
use mpc_transport::{FrameSource, Link, MemoryTransport, Phase, RecordingError, Traffic, memory_link, memory_network};
use proptest::prelude::*;

use crate::common::{PATIENT, block_on, generator, on_threads, split};
use crate::relations::every_kind;

const SESSION: [u8; 16] = [6; 16];
/// Sessions that are dealt, and those of them that are audited.
const COUNT: u32 = 4;
const AUDITED: u32 = 3;

/// Somebody's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The dealer deals every session from other seeds than it commits to, and tells those.
    Uncommitted,
    /// It tells other seeds than it has dealt from, to which it has committed.
    OtherSeeds,
    /// A party was sent another bit: which party, and which bit of what it was sent in each session.
    Bit(usize, usize),
    /// A party draws other places than it has committed to, or asks for them.
    Asks(usize),
}

/// The records of a session.
struct Kept {
    bytes: Vec<u8>,
    read: usize,
}

impl FrameSource for Kept {
    fn remaining(&self) -> u64 {
        (self.bytes.len() - self.read) as u64
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), RecordingError> {
        let kept = self.bytes.get(self.read..self.read + bytes.len()).ok_or(RecordingError::Ended)?;
        bytes.copy_from_slice(kept);
        self.read += bytes.len();
        Ok(())
    }
}

/// A plan without the masks of weights, which are set up before.
fn plans(len: usize, bits: u32, read: u32) -> [Vec<Request>; 2] {
    let plan = every_kind(len, bits, 3, 2).into_iter().map(|request| request.modulo::<u64>(read));
    let (setup, plan): (Vec<_>, Vec<_>) = plan.enumerate().partition(|(index, _)| *index < 2);
    [setup, plan].map(|plan| plan.into_iter().map(|(_, request)| request).collect())
}

/// A plan that is dealt and audited.
#[derive(Clone, Copy)]
struct Case<'a> {
    setup: &'a [Request],
    plan: &'a [Request],
    read: u32,
    fault: Fault,
}

impl Case<'_> {
    async fn load(&self, party: &mut Party, link: &mut Link, len: usize) -> Vec<FixedWeights<u64>> {
        let mut source = CorrelationSource::begin(link, party.place(), self.setup).await.unwrap();
        let mut layers = Vec::new();
        for len in [3, 2 * len] {
            let weights: Vec<u64> = (0..len as u64).map(|x| x.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
            let share = split(&weights, party.parties()).swap_remove(party.index());
            layers.push((share, source.next_modulo::<WeightMask<u64>>(self.read, len).await.unwrap()));
        }
        source.finish().unwrap();
        FixedWeights::load(party, layers).await.unwrap()
    }

    async fn party(&self, transport: MemoryTransport, mut link: Link, len: usize) -> Result<(), ProtocolError> {
        let mut party = Party::new(transport);
        let (place, plan) = (party.place(), self.plan);
        let weights = self.load(&mut party, &mut link, len).await;
        let commitments = audit::receive_commitments(&mut link, COUNT).await?;
        let mut kept = Vec::new();
        for _ in 0..COUNT {
            let mut bytes = Vec::new();
            let keep = |frame: &[u8]| {
                bytes.extend_from_slice(frame);
                Ok(())
            };
            correlation::record::<u64>(&mut link, place, plan, keep, |_| ()).await?;
            kept.push(bytes);
        }
        party.transport_mut().begin(Phase::Preprocessing, "audit");
        let mut own = generator(40 + place.party as u8);
        let mut places = audit::draw(&mut party, own.seed(), COUNT, AUDITED).await?;
        assert_eq!(party.transport().meter().total(Phase::Preprocessing), audit::draw_traffic(place.parties));
        assert!(places.len() == AUDITED as usize && places.is_sorted_by(|one, other| one < other), "{places:?}");
        if self.fault == Fault::Asks(place.party) {
            // Three of four: one is left that was not drawn.
            places[0] = (0..COUNT).find(|place| !places.contains(place)).unwrap();
            places.sort_unstable();
        }
        let seeds = audit::ask_for_seeds(&mut link, SESSION, &commitments, &places).await?;
        let mut auditor = Auditor::<u64>::new(place, &weights);
        for (&number, seed) in places.iter().zip(seeds) {
            let mut bytes = std::mem::take(&mut kept[number as usize]);
            if let Fault::Bit(at, bit) = self.fault
                && at == place.party
            {
                let bit = relevant_bit(plan, place, bit);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            let before = party.transport().meter().total(Phase::Preprocessing);
            let mut kept = Kept { bytes, read: 0 };
            auditor.audit(&mut party, plan, (number, seed), &mut kept).await?;
            let traffic = party.transport().meter().total(Phase::Preprocessing) - before;
            assert_eq!(traffic, audit::audit_traffic::<u64>(plan, place.parties));
        }
        Ok(())
    }

    async fn dealer(&self, links: &mut [Link]) -> Result<(), ProtocolError> {
        let mut dealer = Dealer::<u64>::new(links.len(), Seed::from_bytes([8; 32]))?;
        dealer.deal(links, self.setup, &mut |_| ()).await?;
        let mut seeds: Vec<_> = (0..COUNT).map(|_| dealer.seed()).collect();
        let commit = |(place, seed): (u32, &Seed)| Commitment::to(seed, SESSION, place);
        audit::send_commitments(links, &(0..).zip(&seeds).map(commit).collect::<Vec<_>>()).await?;
        if self.fault == Fault::Uncommitted {
            seeds = (0..COUNT).map(|_| dealer.seed()).collect();
        }
        for seed in &seeds {
            let other = dealer.seed();
            let seed = if self.fault == Fault::OtherSeeds { &other } else { seed };
            dealer.deal_from(links, self.plan, seed, &mut |_| ()).await?;
        }
        audit::tell_seeds(links, &seeds, AUDITED).await
    }
}

/// The `bit`-th bit that matters of what a party is sent in a session, all of which are counted around.
fn relevant_bit(plan: &[Request], place: Place, bit: usize) -> usize {
    let mut relevant: Vec<usize> = (0..SEEDS_BYTES * 8).collect();
    if place.is_last() {
        // It expands nothing from its second seed.
        relevant.truncate(SEEDS_BYTES * 4);
    }
    let mut from = SEEDS_BYTES * 8;
    for field in plan.iter().flat_map(|request| request.layout::<u64>().unwrap().fields().to_vec()) {
        for part in field.frames().filter(|_| place.is_last()) {
            relevant.extend(from..from + part.len() * field.bits as usize);
            from += field.packed_bytes(part.len()) * 8;
        }
    }
    relevant[bit % relevant.len()]
}

/// The ends of all parties and of the dealer.
fn run(parties: usize, len: usize, case: Case<'_>) -> (Vec<Result<(), ProtocolError>>, Result<(), ProtocolError>) {
    let (mut dealer_ends, party_ends): (Vec<_>, Vec<_>) = (0..parties).map(|_| memory_link(PATIENT)).unzip();
    let ends = memory_network(parties, PATIENT).into_iter().zip(party_ends);
    let party = |(transport, link)| move || block_on(case.party(transport, link, len));
    on_threads(ends.map(party), move || block_on(case.dealer(&mut dealer_ends)))
}

fn is_wrong(result: &Result<(), ProtocolError>) -> bool {
    matches!(result, Err(ProtocolError::WronglyDealt { .. }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_dealt_rightly_passes_and_every_wrong_bit_is_found(
        parties in 2..=5usize,
        len in 1..40usize,
        bits in 4..=32u32,
        read in 1..=64u32,
        at in 0..5usize,
        bit in 0..1usize << 20,
    ) {
        let [setup, plan] = plans(len, bits, read);
        let case = Case { setup: &setup, plan: &plan, read, fault: Fault::None };
        let (ended, dealt) = run(parties, len, case);
        prop_assert!(dealt.is_ok() && ended.iter().all(Result::is_ok), "{ended:?} {dealt:?}");
        // The last party is sent the most.
        let at = if at < parties { at } else { parties - 1 };
        let (ended, _) = run(parties, len, Case { fault: Fault::Bit(at, bit), ..case });
        prop_assert!(ended.iter().all(is_wrong), "bit {bit} at {at}: {ended:?}");
    }
}

#[test]
fn a_dealer_that_deals_otherwise_than_it_committed_is_found() {
    let [setup, plan] = plans(5, 16, 40);
    for fault in [Fault::Uncommitted, Fault::OtherSeeds] {
        for parties in 2..=4 {
            let (ended, _) = run(parties, 5, Case { setup: &setup, plan: &plan, read: 40, fault });
            assert!(ended.iter().all(is_wrong), "{fault:?}: {ended:?}");
        }
    }
}

#[test]
fn seeds_are_told_for_places_that_all_ask_for() {
    let [setup, plan] = plans(5, 16, 40);
    for odd in 0..3 {
        let (ended, dealt) = run(3, 5, Case { setup: &setup, plan: &plan, read: 40, fault: Fault::Asks(odd) });
        assert!(matches!(dealt, Err(ProtocolError::Draw { party }) if party == odd.max(1)), "{dealt:?}");
        // Nobody was told any.
        assert!(ended.iter().all(|end| matches!(end, Err(ProtocolError::LinkToDealer { .. }))), "{ended:?}");
    }
}

/// Every place is drawn about as often as every other one, though one party always chooses the same.
#[test]
fn draws_are_uniform() {
    const DRAWS: usize = 3000;
    let mut drawn = [0u32; 7];
    let transports = memory_network(2, PATIENT).into_iter();
    let draws = |(index, transport): (usize, MemoryTransport)| {
        move || {
            let (mut party, mut own) = (Party::new(transport), generator(71));
            let draw = async {
                let mut all = Vec::new();
                for _ in 0..DRAWS {
                    let seed = if index == 0 { own.seed() } else { Seed::from_bytes([0; 32]) };
                    all.extend(audit::draw(&mut party, seed, 7, 3).await.unwrap());
                }
                all
            };
            block_on(draw)
        }
    };
    let (all, ()) = on_threads(transports.enumerate().map(draws), || ());
    assert_eq!(all[0], all[1]);
    all[0].iter().for_each(|&place| drawn[place as usize] += 1);
    let expected = (DRAWS * 3) as f64 / 7.0;
    // Beyond six deviations of a binomial.
    let allowed = 6.0 * (DRAWS as f64 * 3.0 / 7.0 * 4.0 / 7.0).sqrt();
    assert!(drawn.iter().all(|&count| (f64::from(count) - expected).abs() < allowed), "{drawn:?}");
}

/// 64 bytes to each party, and corrections to the last, whatever is audited: the audit changes nothing else.
#[test]
fn traffic_of_a_plan_without_weights_is_one_byte() {
    assert_eq!(audit::audit_traffic::<u64>(&[Request::Square { len: 1000 }], 3), Traffic::exchange(1, 3));
}
