//! A dry run of a protocol: nothing is sent, every share is zero, and what it draws is its plan.

use alloc::vec::Vec;

use mpc_transport::{Transport, TransportError};

use crate::{CorrelationSource, Party, Place, ProtocolError, Request};

/// The plan of a protocol: what it draws when it runs once at the party of a `place`, on correlations of zeros and with
/// peers that send zeros.
///
/// A plan is public, so that a protocol must draw the same at every party and for all secrets: a dry run with any inputs
/// gives it.
///
/// ```
/// use mpc_protocols::{Place, Request, beaver, session};
/// use mpc_shares::ArithmeticShares;
///
/// let square = async |party: &mut _, source: &mut mpc_protocols::CorrelationSource<'_>| {
///     beaver::square(party, &ArithmeticShares::from_elements(vec![0u64; 3]), source.next(3).await?).await
/// };
/// let plan = smol::block_on(session::plan(Place { party: 0, parties: 2 }, square))?;
/// assert_eq!(plan, [Request::Square { len: 3 }]);
/// # Ok::<(), mpc_protocols::ProtocolError>(())
/// ```
///
/// # Errors
/// The protocol's.
pub async fn plan<O>(
    place: Place,
    protocol: impl AsyncFn(&mut Party, &mut CorrelationSource<'_>) -> Result<O, ProtocolError>,
) -> Result<Vec<Request>, ProtocolError> {
    let mut plan = Vec::new();
    protocol(&mut Party::new(Alone(place)), &mut CorrelationSource::noting(&mut plan)).await?;
    Ok(plan)
}

/// A network whose other parties send zeros, and read nothing.
struct Alone(Place);

impl Transport for Alone {
    fn party(&self) -> usize {
        self.0.party
    }

    fn parties(&self) -> usize {
        self.0.parties
    }

    async fn send(&mut self, _: usize, _: &[u8]) -> Result<(), TransportError> {
        Ok(())
    }

    async fn receive(&mut self, _: usize, message: &mut [u8]) -> Result<(), TransportError> {
        message.fill(0);
        Ok(())
    }

    async fn receive_bounded(&mut self, _: usize, _: usize) -> Result<Vec<u8>, TransportError> {
        Ok(Vec::new())
    }

    async fn exchange(&mut self, _: &[u8], received: &mut [u8]) -> Result<(), TransportError> {
        received.fill(0);
        Ok(())
    }
}
