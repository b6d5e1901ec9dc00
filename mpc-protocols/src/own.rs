//! Two parties as the makers of their own correlations: no dealer, and nobody else to trust.
//!
//! Their correlations satisfy the same relations as a dealer's, field by field, so that protocols do not see the difference. So far they make what comparisons and ReLUs consume; [`Own`] refuses every other request by name.

mod comparison;

use alloc::boxed::Box;
use alloc::vec::Vec;

use mpc_ot::comparison::ComparisonShape;
use mpc_ot::{OtError, Pair, Schedule};
use mpc_transport::Traffic;

use crate::correlation::{Provided, Provider, Share};
use crate::sign::SignParameters;
use crate::{Place, ProtocolError, Request};

/// The provider of a party that makes its correlations together with the other one of two, over a link of their own.
///
/// # Security
/// Semi-honest, under the assumptions of [`mpc_ot`]. The transfers' state stays in memory and serves one session.
///
/// # Rounds and communication
/// [`traffic`] tells them before anything runs. For a ReLU with k = 32 in a ring of 64 bits: 367 bits in one direction and
/// 518 in the other, which change places in the middle of the elements, besides the random OTs; 34 rounds for 2^18 elements.
pub struct Own {
    pair: Pair,
    place: Place,
}

impl Own {
    /// Correlations over `pair`, which is open.
    ///
    /// # Errors
    /// [`ProtocolError::Parameter`] for another number of parties than two.
    pub fn new(pair: Pair, place: Place) -> Result<Self, ProtocolError> {
        if place.parties == 2 {
            return Ok(Self { pair, place });
        }
        let (value, allowed) = (place.parties as u64, "two parties make their own correlations");
        Err(ProtocolError::Parameter { protocol: "own correlations", parameter: "parties", value, allowed })
    }

    /// The link and the transfers' state.
    #[must_use]
    pub fn into_pair(self) -> Pair {
        self.pair
    }
}

impl core::fmt::Debug for Own {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Own").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Provider for Own {
    fn provide<'a>(&'a mut self, request: &'a Request, mut shares: Vec<&'a mut dyn Share>) -> Provided<'a> {
        Box::pin(async move {
            let (len, parameters) = comparison_of(request)?;
            let first = self.place.is_first();
            let ring_bits = shares.first().map_or(0, |share| share.field().bits);
            if ring_bits <= u64::BITS {
                comparison::fill::<u64>(&mut self.pair, len, parameters, first, &mut shares).await?;
            } else {
                comparison::fill::<u128>(&mut self.pair, len, parameters, first, &mut shares).await?;
            }
            Ok(())
        })
    }
}

/// The elements and the size of a comparison, if the request is one.
fn comparison_of(request: &Request) -> Result<(usize, SignParameters), ProtocolError> {
    match *request {
        Request::Sign { len, parameters } | Request::Relu { len, parameters } => Ok((len, parameters)),
        _ => Err(ProtocolError::NotMadeByParties { request: Box::new(request.clone()) }),
    }
}

/// The traffic of a party that makes `request` in a ring of `ring_bits` bits with [`Own`], from the state `schedule` of its
/// pair on, which goes on.
///
/// # Errors
/// [`ProtocolError::NotMadeByParties`].
pub fn traffic(
    request: &Request,
    ring_bits: u32,
    place: Place,
    schedule: &mut Schedule,
) -> Result<Traffic, ProtocolError> {
    let (len, parameters) = comparison_of(request)?;
    let chunk = |len| ComparisonShape { len, bits: parameters.bits(), ring_bits };
    Ok(comparison::chunks(len).map(|part| chunk(part.len()).traffic(schedule, place.is_first())).sum())
}

impl From<OtError> for ProtocolError {
    fn from(error: OtError) -> Self {
        match error {
            OtError::Transport(error) => Self::Transport(error),
            other => Self::ObliviousTransfer(other),
        }
    }
}
