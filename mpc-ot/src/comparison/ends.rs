//! The transfers of a half, in their order.

use alloc::vec;

use super::shape::Role;
use crate::{OtError, ReceivedBatch, SentBatch};

/// The batches that one party sends.
pub(super) type Sent = vec::IntoIter<SentBatch>;
/// The batches that one party receives.
pub(super) type Received = vec::IntoIter<ReceivedBatch>;

/// A transfer's end, whichever this party has.
pub(super) enum End {
    Sent(SentBatch),
    Received(ReceivedBatch),
}

impl End {
    pub(super) fn take(&mut self, bits: usize) -> Result<Self, OtError> {
        Ok(match self {
            Self::Sent(batch) => Self::Sent(batch.take(bits)?),
            Self::Received(batch) => Self::Received(batch.take(bits)?),
        })
    }

    /// The two ends of one transfer in each direction, sorted.
    pub(super) fn pair(self, other: Self) -> (ReceivedBatch, SentBatch) {
        match (self, other) {
            (Self::Received(received), Self::Sent(sent)) | (Self::Sent(sent), Self::Received(received)) => {
                (received, sent)
            }
            _ => unreachable!("the transfers of a pair have two directions"),
        }
    }
}

/// The transfers of a half: those that the chooser receives, and those that it sends.
pub(super) struct Ends<'a> {
    role: Role,
    sent: &'a mut Sent,
    received: &'a mut Received,
}

impl<'a> Ends<'a> {
    pub(super) fn new(role: Role, sent: &'a mut Sent, received: &'a mut Received) -> Self {
        Self { role, sent, received }
    }

    fn sent(&mut self) -> End {
        End::Sent(self.sent.next().unwrap_or_else(|| unreachable!("every batch was asked for")))
    }

    fn received(&mut self) -> End {
        End::Received(self.received.next().unwrap_or_else(|| unreachable!("every batch was asked for")))
    }

    /// The next transfer that the chooser receives.
    pub(super) fn forth(&mut self) -> End {
        if self.role == Role::Chooser { self.received() } else { self.sent() }
    }

    /// The next transfer that the chooser sends.
    pub(super) fn back(&mut self) -> End {
        if self.role == Role::Chooser { self.sent() } else { self.received() }
    }
}
