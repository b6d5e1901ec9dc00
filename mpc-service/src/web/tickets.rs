//! Tickets: a request is served once, and soon after the server has said that it may be sent.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ring::hmac;

use super::problem::Problem;
use crate::at_rest::private_file::random;
use crate::names::hexadecimal;

/// How long a ticket is good for.
const LIFETIME: Duration = Duration::from_secs(300);
/// The most tickets that are spent in that time.
const MAX_SPENT: usize = 1 << 16;

const RANDOM_BYTES: usize = 16;
/// The bytes of a ticket: when it ends, random bytes, and this server's code over both.
pub(crate) const TICKET_BYTES: usize = 8 + RANDOM_BYTES + 32;

/// A ticket, as it comes.
pub(crate) struct Ticket(pub(crate) [u8; TICKET_BYTES]);

hexadecimal!(Ticket, "a ticket has 112 hexadecimal digits");

/// Issues tickets, and takes each once. Those of another run of the server are none of its own.
pub(crate) struct Tickets {
    key: hmac::Key,
    began: Instant,
    /// The random bytes of those that were taken, and when each ends.
    spent: Mutex<HashMap<[u8; RANDOM_BYTES], u64>>,
}

impl Tickets {
    pub(crate) fn new() -> Result<Self, Problem> {
        let key = random::<32>().map_err(|_| Problem::Internal)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        Ok(Self { key, began: Instant::now(), spent: Mutex::default() })
    }

    pub(crate) fn issue(&self) -> Result<Ticket, Problem> {
        self.issue_until((self.began.elapsed() + LIFETIME).as_secs())
    }

    fn issue_until(&self, end: u64) -> Result<Ticket, Problem> {
        let mut ticket = [0; TICKET_BYTES];
        let (facts, code) = ticket.split_at_mut(8 + RANDOM_BYTES);
        facts[..8].copy_from_slice(&end.to_le_bytes());
        facts[8..].copy_from_slice(&random::<RANDOM_BYTES>().map_err(|_| Problem::Internal)?);
        code.copy_from_slice(hmac::sign(&self.key, facts).as_ref());
        Ok(Ticket(ticket))
    }

    /// Takes a ticket, which serves once.
    pub(crate) fn spend(&self, ticket: &Ticket) -> Result<(), Problem> {
        let (facts, code) = ticket.0.split_at(8 + RANDOM_BYTES);
        hmac::verify(&self.key, facts, code).map_err(|_| Problem::Ticket)?;
        let (end, random) = facts.split_at(8);
        let end = u64::from_le_bytes(end.try_into().unwrap_or_default());
        let random = random.try_into().unwrap_or_default();
        let now = self.began.elapsed().as_secs();
        if end <= now {
            return Err(Problem::Ticket);
        }
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.contains_key(&random) {
            return Err(Problem::Replayed);
        }
        if spent.len() >= MAX_SPENT {
            spent.retain(|_, end| *end > now);
        }
        if spent.len() >= MAX_SPENT {
            return Err(Problem::Busy("too many requests for now: try again in some minutes".to_owned()));
        }
        spent.insert(random, end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_serves_once_at_the_server_that_gave_it() {
        let (server, other) = (Tickets::new().unwrap(), Tickets::new().unwrap());
        let ticket = server.issue().unwrap();
        assert!(matches!(other.spend(&ticket), Err(Problem::Ticket)));
        assert!(server.spend(&ticket).is_ok());
        assert!(matches!(server.spend(&ticket), Err(Problem::Replayed)));
        assert!(server.spend(&server.issue().unwrap()).is_ok());
    }

    #[test]
    fn changed_and_old_tickets_are_refused() {
        let server = Tickets::new().unwrap();
        for at in 0..TICKET_BYTES {
            let mut ticket = server.issue().unwrap();
            ticket.0[at] ^= 1;
            assert!(matches!(server.spend(&ticket), Err(Problem::Ticket)), "byte {at}");
        }
        assert!(matches!(server.spend(&server.issue_until(0).unwrap()), Err(Problem::Ticket)));
    }
}
