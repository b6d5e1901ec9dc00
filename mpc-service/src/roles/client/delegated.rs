//! Queries of a data owner that computes nothing: it sends shares of its inputs to servers that do.

use std::time::Instant;

use mpc_nn::Plan;
use mpc_nn::delegation::{OutputShare, reconstruct, split_inputs};
use mpc_ring::Ring;
use mpc_shares::{Prg, SecretVec, Seed};
use mpc_transport::tls::SecureLink;
use mpc_transport::{Connection, Traffic};
use ndarray::ArrayD;

use super::prepared::Chosen;
use super::{Client, Revealed};
use crate::at_rest::prepared::Hold;
use crate::error::{ServiceError, in_link};
use crate::roles::agreed::Agreed;
use crate::roles::report::{Event, InferenceReport, Watch};
use crate::wire::message;

impl Client {
    /// Sends shares of the inputs to the servers, and puts together the shares of the outputs that they send back.
    pub(super) async fn run_delegated<R: Ring>(
        &self,
        plan: &Plan<R>,
        agreed: &Agreed,
        mut links: Vec<SecureLink>,
        inputs: &[Vec<ArrayD<f32>>],
        stored: Option<Chosen<'_>>,
        watch: &mut dyn Watch,
    ) -> Result<(Revealed, Vec<InferenceReport>), ServiceError> {
        let failed = agreed.in_session();
        let mut generator = Prg::new(Seed::from_system()?);
        let (store, batch) = stored.as_ref().map(|chosen| (chosen.store, chosen.batch)).unzip();
        let mut holds = stored.into_iter().flat_map(|chosen| chosen.holds);
        let (mut outputs, mut reports) = (Vec::new(), Vec::new());
        for (inference, inputs) in (0..).zip(inputs) {
            let hold = holds.next();
            let place = hold.as_ref().map(Hold::index);
            // The servers use theirs up as soon as they have the inputs.
            if let Some(hold) = hold {
                agreed.claim(hold)?;
            }
            let began = Instant::now();
            let mut traffic = Traffic::default();
            let shares = split_inputs(plan, inputs, &mut generator).map_err(&failed)?;
            for (peer, (link, share)) in self.servers.iter().zip(links.iter_mut().zip(&shares)) {
                let bytes = share.to_bytes();
                link.send(&bytes).await.map_err(in_link(&peer.name()))?;
                traffic += Traffic::send(bytes.len() as u64);
            }
            let mut results = Vec::new();
            for (party, (peer, link)) in self.servers.iter().zip(&mut links).enumerate() {
                let mut bytes = SecretVec::zeros(plan.output_share_bytes());
                link.receive(&mut bytes).await.map_err(in_link(&peer.name()))?;
                traffic += Traffic { rounds: u64::from(party == 0), ..Traffic::receive(bytes.len() as u64) };
                results.push(OutputShare::from_bytes(plan, party, &bytes).map_err(agreed.in_encoding())?);
            }
            let revealed = reconstruct(plan, &results).map_err(&failed)?;
            watch.take(inference, &revealed);
            outputs.push(Some(revealed));
            reports.push(InferenceReport::outside(began.elapsed(), traffic));
            if let (Some(store), Some(batch), Some(place)) = (store, batch, place) {
                store.confirm(batch, place)?;
            }
            watch.see(Event::Inferred { inference });
        }
        for (peer, link) in self.servers.iter().zip(&mut links) {
            message::await_grant(link, &peer.name()).await?;
        }
        Ok((outputs, reports))
    }
}
