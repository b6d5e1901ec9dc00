//! A session: what each party and the dealer compare before anything is dealt.
//!
//! A party opens a [`Session`], the dealer a [`DealerSession`]. Both compare the version of the messages, the number of
//! parties, the session's identity, the ring, the plan and the layout of its correlations on every link; where two differ, each participant ends with an
//! error that names the field and both values. What compares more than that, such as a model, builds on [`connect`],
//! [`connect_to_dealer`] and [`connect_to_parties`].
//!
//! A plan is written once: [`plan`] records what a protocol draws.

mod rehearsal;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use mpc_ring::Ring;
use mpc_shares::Seed;
use mpc_transport::{Agreement, End, Link, Phase, Transport, handshake, handshake_link};
use sha2::{Digest, Sha256};

use crate::{CorrelationSource, Dealer, Party, ProtocolError, Request, correlation};

pub use rehearsal::plan;

/// Label of what is counted for the handshakes, in the phase [`Phase::Setup`].
pub const HANDSHAKE: &str = "handshake";

/// The fields that all participants compare where nothing but a plan is dealt, in ring `R`.
#[must_use]
pub fn agreement<R: Ring>(session: [u8; 16], parties: usize, plan: &[Request]) -> Agreement {
    agreement_on(session, R::BITS, parties, plan, correlation::layout_digest::<R>(plan))
}

fn agreement_on(session: [u8; 16], ring: u32, parties: usize, plan: &[Request], layout: [u8; 32]) -> Agreement {
    let requests = postcard::to_allocvec(plan).expect("requests always encode");
    Agreement::new(session)
        .with("ring", format!("Z_2^{ring}"))
        .with("parties", parties)
        .with("plan", hex(&Sha256::digest(&requests)))
        .with(correlation::LAYOUT, hex(&layout))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One party's session: agreed with the other parties and with the dealer on the plan that it deals.
#[derive(Debug)]
pub struct Session {
    party: Party,
    dealer: Link,
    plan: Vec<Request>,
}

impl Session {
    /// Opens a session in ring `R`, dealt to `plan`: handshakes with the other parties over `transport` and with the
    /// `dealer`.
    ///
    /// # Rounds and communication
    /// One round with the parties, one with the dealer, of at most
    /// [`MAX_AGREEMENT_BYTES`](mpc_transport::MAX_AGREEMENT_BYTES) to each.
    ///
    /// # Errors
    /// [`ProtocolError::Transport`] and [`ProtocolError::LinkToDealer`], both with
    /// [`HandshakeMismatch`](mpc_transport::TransportError::HandshakeMismatch) for a field that differs.
    pub async fn open<R: Ring>(
        transport: impl Transport + 'static,
        mut dealer: Link,
        session: [u8; 16],
        plan: &[Request],
    ) -> Result<Self, ProtocolError> {
        let agreement = agreement::<R>(session, transport.parties(), plan);
        let party = connect(transport, &agreement).await?;
        connect_to_dealer(&mut dealer, &agreement, party.index()).await?;
        Ok(Self { party, dealer, plan: plan.to_vec() })
    }

    /// Runs a protocol with the correlations of the plan, for which the dealer must call [`DealerSession::deal`]. It may
    /// run again, with fresh correlations, unless it failed.
    ///
    /// # Errors
    /// The protocol's; [`ProtocolError::LeftOver`] if it does not use all of the plan.
    pub async fn run<O>(
        &mut self,
        protocol: impl AsyncFn(&mut Party, &mut CorrelationSource<'_>) -> Result<O, ProtocolError>,
    ) -> Result<O, ProtocolError> {
        let mut source = CorrelationSource::begin(&mut self.dealer, self.party.place(), &self.plan).await?;
        let output = protocol(&mut self.party, &mut source).await?;
        source.finish()?;
        Ok(output)
    }

    /// The party, to be used between protocols.
    pub fn party(&mut self) -> &mut Party {
        &mut self.party
    }
}

/// The dealer's session with all parties: agreed with each on the plan that it deals.
#[derive(Debug)]
pub struct DealerSession<R: Ring> {
    dealer: Dealer<R>,
    links: Vec<Link>,
    plan: Vec<Request>,
}

impl<R: Ring> DealerSession<R> {
    /// Opens a session in ring `R`, dealt to `plan` with randomness from `seed`: handshakes over each party's link, by
    /// party.
    ///
    /// # Errors
    /// [`ProtocolError::DealerLink`] names the party, and the field that differs; [`ProtocolError::Share`] for an
    /// unsupported number of parties.
    pub async fn open(
        mut links: Vec<Link>,
        session: [u8; 16],
        plan: &[Request],
        seed: Seed,
    ) -> Result<Self, ProtocolError> {
        let parties = links.len();
        let dealer = Dealer::new(parties, seed)?;
        connect_to_parties(&mut links, &agreement::<R>(session, parties, plan)).await?;
        Ok(Self { dealer, links, plan: plan.to_vec() })
    }

    /// Deals the plan once, with fresh seeds.
    ///
    /// # Errors
    /// As for [`Dealer::deal`].
    pub async fn deal(&mut self) -> Result<(), ProtocolError> {
        self.dealer.deal(&mut self.links, &self.plan, &mut |_| ()).await
    }
}

/// A party that has agreed with all others.
///
/// # Errors
/// [`ProtocolError::Transport`]; a field that differs is named, with both values.
pub async fn connect(transport: impl Transport + 'static, agreement: &Agreement) -> Result<Party, ProtocolError> {
    let mut party = Party::new(transport);
    agree(&mut party, agreement).await?;
    Ok(party)
}

/// Compares an agreement with all other parties, in one round.
///
/// # Errors
/// [`ProtocolError::Transport`]; a field that differs is named, with both values.
pub async fn agree(party: &mut Party, agreement: &Agreement) -> Result<(), ProtocolError> {
    party.transport_mut().begin(Phase::Setup, HANDSHAKE);
    Ok(handshake(party.transport_mut(), agreement).await?)
}

/// Agrees with the dealer over its link to the party of that index.
///
/// # Errors
/// [`ProtocolError::LinkToDealer`]; a field that differs is named, with both values.
pub async fn connect_to_dealer(dealer: &mut Link, agreement: &Agreement, party: usize) -> Result<(), ProtocolError> {
    dealer.begin(Phase::Setup, HANDSHAKE);
    let shaken = handshake_link(dealer, End::First, &on_link(agreement, party)).await;
    shaken.map_err(|source| ProtocolError::LinkToDealer { source })
}

/// Agrees with every party over the dealer's links, by party: with all of them before it ends, so that each is told what
/// differs.
///
/// # Errors
/// [`ProtocolError::DealerLink`] names the first party with which something differs.
pub async fn connect_to_parties(links: &mut [Link], agreement: &Agreement) -> Result<(), ProtocolError> {
    let mut shaken = Ok(());
    for (party, link) in links.iter_mut().enumerate() {
        link.begin(Phase::Setup, HANDSHAKE);
        let with_party = handshake_link(link, End::Second, &on_link(agreement, party)).await;
        shaken = shaken.and(with_party.map_err(|source| ProtocolError::DealerLink { party, source }));
    }
    shaken
}

/// The fields that a party and the dealer compare: also which party the link is for.
fn on_link(agreement: &Agreement, party: usize) -> Agreement {
    agreement.clone().with("dealer's link to party", party)
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use mpc_transport::{Peer, TransportError, memory_link, memory_network};

    use super::*;

    /// It would deal or read other values without a word: the plan is the same.
    #[test]
    fn a_participant_with_another_layout_is_named() {
        let plan = [Request::Square { len: 3 }];
        let layout = correlation::layout_digest::<u64>(&plan);
        // Parties 0 and 1, then the dealer.
        for odd in 0..3 {
            let agreement_of = |participant: usize| {
                let mut layout = layout;
                layout[0] ^= u8::from(participant == odd);
                agreement_on([7; 16], u64::BITS, 2, &plan, layout)
            };
            let wait = Duration::from_secs(20);
            let (mut dealer_links, party_links): (Vec<_>, Vec<_>) = (0..2).map(|_| memory_link(wait)).unzip();
            let ends = memory_network(2, wait).into_iter().zip(party_links).enumerate();
            let errors: Vec<ProtocolError> = thread::scope(|scope| {
                let open = |(party, (end, mut link))| {
                    let agreement = agreement_of(party);
                    let open = async move {
                        let party = connect(end, &agreement).await?;
                        connect_to_dealer(&mut link, &agreement, party.index()).await
                    };
                    scope.spawn(move || smol::block_on(open).unwrap_err())
                };
                let parties: Vec<_> = ends.map(open).collect();
                let dealer = smol::block_on(connect_to_parties(&mut dealer_links, &agreement_of(2))).unwrap_err();
                parties.into_iter().map(|party| party.join().unwrap()).chain([dealer]).collect()
            });
            for (participant, error) in errors.into_iter().enumerate() {
                let source = match error {
                    ProtocolError::Transport(source)
                    | ProtocolError::LinkToDealer { source }
                    | ProtocolError::DealerLink { source, .. } => source,
                    other => panic!("{other}"),
                };
                match source {
                    TransportError::HandshakeMismatch { field, .. } => assert_eq!(field, correlation::LAYOUT),
                    // The parties differ, and neither calls the dealer.
                    TransportError::Closed { peer: Peer::OtherEnd } if odd < 2 && participant == 2 => {}
                    other => panic!("participant {participant} of {odd}: {other}"),
                }
            }
        }
    }
}
