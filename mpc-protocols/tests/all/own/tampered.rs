//! Messages of the other party while correlations are made, cut, longer, twice or with what is no residue: a named error at every
//! step.

use std::ops::Range;
use std::thread;

use mpc_he::{HeError, OPENING_BYTES, PublicSeed};
use mpc_ot::softspoken::FieldBits;
use mpc_ot::{Method, Pair, PairSettings, Schedule};
use mpc_protocols::function::Function;
use mpc_protocols::lookup::Table;
use mpc_protocols::own::{Own, OwnPlan, WeightHolder};
use mpc_protocols::{Bilinear, Place, ProtocolError, Request};
use mpc_shares::Seed;
use mpc_transport::{MemoryTransport, Transport, TransportError, memory_network};

use crate::common::{PATIENT, block_on};

/// The fault of a message.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Short,
    Long,
    Twice,
    /// Ones in place of the bytes from here on.
    Ones(usize),
}

/// A transport that spoils one message, counted from the last on which it was told to begin.
struct Tampered {
    inner: MemoryTransport,
    fault: Fault,
    /// Messages before the spoiled one.
    left: usize,
}

impl Tampered {
    async fn spoil(&mut self, to: usize, message: &[u8]) -> Result<(), TransportError> {
        let left = self.left;
        self.left = left.wrapping_sub(1);
        match (left, self.fault) {
            (0, Fault::Short) => self.inner.send(to, &message[1..]).await,
            (0, Fault::Long) => self.inner.send(to, &[message, &[0]].concat()).await,
            (0, Fault::Twice) => {
                self.inner.send(to, message).await?;
                self.inner.send(to, message).await
            }
            (0, Fault::Ones(from)) => {
                let (kept, rest) = message.split_at(from.min(message.len()));
                self.inner.send(to, &[kept, &vec![0xff; rest.len()]].concat()).await
            }
            _ => self.inner.send(to, message).await,
        }
    }
}

impl Transport for Tampered {
    fn party(&self) -> usize {
        self.inner.party()
    }

    fn parties(&self) -> usize {
        self.inner.parties()
    }

    async fn send(&mut self, to: usize, message: &[u8]) -> Result<(), TransportError> {
        self.spoil(to, message).await
    }

    async fn receive(&mut self, from: usize, message: &mut [u8]) -> Result<(), TransportError> {
        self.inner.receive(from, message).await
    }

    async fn receive_bounded(&mut self, from: usize, limit: usize) -> Result<Vec<u8>, TransportError> {
        self.inner.receive_bounded(from, limit).await
    }

    async fn exchange(&mut self, message: &[u8], received: &mut [u8]) -> Result<(), TransportError> {
        let peer = 1 - self.party();
        self.spoil(peer, message).await?;
        self.inner.receive(peer, received).await
    }
}

const METHOD: Method = Method::SoftSpoken(FieldBits::Eight);

/// Makes the correlations of requests at a party.
async fn draw(place: Place, transport: impl Transport + 'static, requests: &[Request]) -> Result<(), ProtocolError> {
    let plan = plan(requests);
    let own = place.party as u8;
    let settings = PairSettings { session: [4; 16], own, peer: 1 - own, method: METHOD };
    let pair = Pair::open(transport, settings, Seed::from_system().unwrap()).await?;
    let mut own = Own::new(pair, place, Seed::from_system().unwrap())?;
    own.load::<u64>(&plan, &[]).await?;
    own.record::<u64>(&plan, requests, |_| Ok(()), |_| ()).await
}

fn plan(requests: &[Request]) -> OwnPlan {
    OwnPlan::new::<u64>(requests, WeightHolder::Party(0), 1, |_| u64::MAX).unwrap()
}

fn place(party: usize) -> Place {
    Place { party, parties: 2 }
}

/// Messages of the handshake, base transfers and the opening.
const BEFORE: usize = 3;

/// The error of a party whose peer `party` spoils its message number `left`.
fn spoiled(requests: &[Request], party: usize, left: usize, fault: Fault) -> ProtocolError {
    thread::scope(|scope| {
        let mut ends = memory_network(2, PATIENT);
        let tampered = Tampered { inner: ends.remove(party), fault, left };
        let honest = ends.remove(0);
        scope.spawn(move || block_on(draw(place(party), tampered, requests)));
        scope.spawn(move || block_on(draw(place(1 - party), honest, requests))).join().unwrap().unwrap_err()
    })
}

/// Spoils each of some messages in its length.
fn check_lengths(requests: &[Request], messages: Range<usize>) {
    for party in [0, 1] {
        for (left, fault) in
            messages.clone().flat_map(|left| [Fault::Short, Fault::Long, Fault::Twice].map(|fault| (left, fault)))
        {
            let error = spoiled(requests, party, left, fault);
            assert!(
                matches!(error, ProtocolError::Transport(TransportError::WrongLength { .. })),
                "party {party}, message {left}, {fault:?}: {error}"
            );
        }
    }
}

#[test]
fn a_peer_that_sends_too_little_too_much_or_twice_is_named_at_every_step_of_a_lookup() {
    let table = Table { function: Function::Sigmoid, input_bits: 8, output_bits: 8, limit_bits: 18 };
    let requests = [70, 3].map(|len| Request::Lookup { len, table });
    for party in [0, 1] {
        let traffic = plan(&requests).traffic_by_request(place(party), &mut Schedule::new(METHOD));
        let messages = traffic[0].frames_sent as usize;
        assert!(messages >= 8, "{messages}");
        check_lengths(&requests, BEFORE..BEFORE + messages);
    }
}

/// The seed of the hints, and two products whose messages differ in length; the second's would be missed if it came late.
#[test]
fn a_peer_whose_encrypted_products_are_not_what_they_should_be_is_named_at_every_step() {
    let products = [20, 40, 2].map(|columns| Bilinear::BatchedMatrixProduct { batch: 2, rows: 24, inner: 16, columns });
    let requests = products.map(|map| Request::Beaver(map).modulo::<u64>(48));
    assert!(plan(&requests[..2]).noise().all(|noise| noise > 0));
    check_lengths(&requests, BEFORE..BEFORE + 3);
    for party in [0, 1] {
        let residue = |left, from| match spoiled(&requests, party, left, Fault::Ones(from)) {
            ProtocolError::Encryption { source: HeError::Residue { what, .. }, .. } => what,
            error => panic!("party {party}, message {left}: {error}"),
        };
        assert_eq!(residue(BEFORE + 1, PublicSeed::BYTES), "begin of an inference");
        // Nothing but what is behind the opening.
        assert_eq!(residue(BEFORE + 1, OPENING_BYTES), "message of a layer");
        assert_eq!(residue(BEFORE + 2, 0), "message of a layer");
    }
}
