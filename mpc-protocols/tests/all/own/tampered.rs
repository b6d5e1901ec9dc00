//! Messages of the other party while a lookup is made, cut, longer or twice: a named error at every step.

use std::thread;

use mpc_ot::softspoken::FieldBits;
use mpc_ot::{Method, Pair, PairSettings, Schedule};
use mpc_protocols::function::Function;
use mpc_protocols::lookup::{LookupMask, LookupShape, Table};
use mpc_protocols::own::{Own, OwnPlan, WeightHolder};
use mpc_protocols::{CorrelationSource, Place, ProtocolError, Request};
use mpc_shares::Seed;
use mpc_transport::{MemoryTransport, Transport, TransportError, memory_network};

use crate::common::{PATIENT, block_on};

/// The fault of a message.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Short,
    Long,
    Twice,
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

/// Draws lookups at a party.
async fn draw(
    place: Place,
    transport: impl Transport + 'static,
    shapes: [LookupShape; 2],
) -> Result<(), ProtocolError> {
    let requests = shapes.map(|LookupShape { len, table }| Request::Lookup { len, table });
    let plan = OwnPlan::new::<u64>(&requests, WeightHolder::Party(0), 1, |_| u64::MAX)?;
    let own = place.party as u8;
    let settings = PairSettings { session: [4; 16], own, peer: 1 - own, method: METHOD };
    let pair = Pair::open(transport, settings, Seed::from_system().unwrap()).await?;
    let mut own = Own::new(pair, place, Seed::from_system().unwrap())?;
    let mut source = CorrelationSource::new(own.begin(&plan), &requests);
    for shape in shapes {
        source.next::<LookupMask<u64>>(shape).await?;
    }
    Ok(())
}

#[test]
fn a_peer_that_sends_too_little_too_much_or_twice_is_named_at_every_step_of_a_lookup() {
    let table = Table { function: Function::Sigmoid, input_bits: 8, output_bits: 8, limit_bits: 18 };
    let shapes = [70, 3].map(|len| LookupShape { len, table });
    let requests = shapes.map(|LookupShape { len, table }| Request::Lookup { len, table });
    let plan = OwnPlan::new::<u64>(&requests, WeightHolder::Party(0), 1, |_| u64::MAX).unwrap();
    for party in [0, 1] {
        let place = |party| Place { party, parties: 2 };
        let messages = plan.traffic_by_request(place(party), &mut Schedule::new(METHOD))[0].frames_sent as usize;
        assert!(messages >= 8, "{messages}");
        // Of the handshake, base transfers and the opening before them there are three.
        for (left, fault) in
            (3..3 + messages).flat_map(|left| [Fault::Short, Fault::Long, Fault::Twice].map(|fault| (left, fault)))
        {
            let error = thread::scope(|scope| {
                let mut ends = memory_network(2, PATIENT);
                let tampered = Tampered { inner: ends.remove(party), fault, left };
                let honest = ends.remove(0);
                scope.spawn(move || block_on(draw(place(party), tampered, shapes)));
                scope.spawn(move || block_on(draw(place(1 - party), honest, shapes))).join().unwrap().unwrap_err()
            });
            assert!(
                matches!(error, ProtocolError::Transport(TransportError::WrongLength { .. })),
                "party {party}, message {left}, {fault:?}: {error}"
            );
        }
    }
}
