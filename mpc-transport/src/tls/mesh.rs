//! Builds a network: each party dials those of smaller index and accepts those of greater index.

use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use super::{Certificate, Identity, SecureError, SecureLink};
use crate::TcpSettings;
use crate::dial::{Reception, Task, TimeLimit, join};

/// How long a new connection has for its handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

type Links = Vec<(usize, SecureLink)>;

/// The link to each node, none to `party` itself.
pub(super) async fn connect(
    party: usize,
    listener: Option<TcpListener>,
    nodes: &[(String, Certificate)],
    identity: &Identity,
    settings: &TcpSettings,
) -> Result<Vec<Option<SecureLink>>, SecureError> {
    let no_such_party = SecureError::NoSuchParty { party, parties: nodes.len() };
    let (before, after) = nodes.split_at_checked(party).ok_or(no_such_party.clone())?;
    let (_, after) = after.split_first().ok_or(no_such_party)?;
    let after: Vec<_> = after.iter().map(|(_, certificate)| certificate.clone()).collect();
    let arrivals = Arrivals::new(party + 1, &after);
    let mut tasks: VecDeque<Task<'_, _>> = VecDeque::new();
    tasks.push_back(Box::pin(arrivals.accept_all(listener, identity, *settings)));
    for (peer, (address, certificate)) in before.iter().enumerate() {
        tasks.push_back(Box::pin(async move {
            let link = SecureLink::connect(address, identity, certificate, settings).await?;
            Ok(vec![(peer, link)])
        }));
    }
    let mut links: Vec<_> = nodes.iter().map(|_| None).collect();
    for (peer, link) in join(tasks).await? {
        links[peer] = Some(link);
    }
    Ok(links)
}

/// The link to `peer`, which connects.
pub(super) async fn accept_one(
    listener: TcpListener,
    identity: &Identity,
    peer: &Certificate,
    settings: &TcpSettings,
) -> Result<SecureLink, SecureError> {
    let accepted = Arrivals::new(0, std::slice::from_ref(peer)).accept_all(Some(listener), identity, *settings).await?;
    Ok(accepted.into_iter().map(|(_, link)| link).next().unwrap_or_else(|| unreachable!("one is awaited")))
}

/// The links accepted so far.
struct Arrivals<'a> {
    /// The index of the first party that is expected.
    first: usize,
    expected: &'a [Certificate],
    links: Vec<Option<SecureLink>>,
    /// Why the last one was refused.
    refused: Option<SecureError>,
}

impl<'a> Arrivals<'a> {
    fn new(first: usize, expected: &'a [Certificate]) -> Self {
        Self { first, expected, links: expected.iter().map(|_| None).collect(), refused: None }
    }

    async fn accept_all(
        mut self,
        listener: Option<TcpListener>,
        identity: &'a Identity,
        settings: TcpSettings,
    ) -> Result<Links, SecureError> {
        if self.missing().is_none() {
            return Ok(Vec::new());
        }
        let time = TimeLimit::new(settings.connect_deadline);
        let failed = |error: io::Error| SecureError::Listen { reason: error.to_string() };
        let mut reception = Reception::new(listener).map_err(failed)?;
        let (expected, settings) = (self.expected, TcpSettings { connect_deadline: HANDSHAKE_DEADLINE, ..settings });
        let greet = |stream| -> Task<'a, _> {
            Box::pin(async move { SecureLink::accept(stream, identity, expected, &settings).await })
        };
        while let Some(peer) = self.missing() {
            match time.within(reception.next(greet)).await {
                Some(Ok(link)) => self.add(link),
                // Strangers can try anything: why they were refused is reported only if a party never comes.
                Some(Err(error)) => self.refused = Some(error),
                None => return Err(self.refused.unwrap_or(SecureError::Timeout { peer, after: time.elapsed() })),
            }
        }
        Ok((self.first..).zip(self.links.into_iter().flatten()).collect())
    }

    /// The name of the first party that has yet to connect.
    fn missing(&self) -> Option<String> {
        let mut places = self.expected.iter().zip(&self.links);
        places.find(|(_, link)| link.is_none()).map(|(certificate, _)| certificate.name().to_owned())
    }

    /// Keeps the link if it is the first of its peer.
    fn add(&mut self, link: SecureLink) {
        let mut places = self.expected.iter().zip(&mut self.links);
        let place = places.find(|(certificate, place)| *certificate == link.peer() && place.is_none());
        if let Some((_, place)) = place {
            *place = Some(link);
        }
    }
}
