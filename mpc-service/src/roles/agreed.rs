//! The facts besides its plan that the participants of a session agree on.

use mpc_nn::session::SessionOptions;
use mpc_nn::{EncodingError, InferenceError, Plan};
use mpc_ring::{Ring, RingBits};
use mpc_shares::Seed;
use mpc_transport::Agreement;
use mpc_transport::tls::Certificate;

use crate::at_rest::prepared::{Description, Hold, Recording, StoreError};
use crate::error::ServiceError;
use crate::names::{DepositId, Names, Owner, Refusal, Refused, SessionId, shown};
use crate::terms::Topology;
use crate::wire::message::{DealRequest, Preparation, Work};

/// Everything that the participants of a session must agree on besides its plan.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) session: SessionId,
    pub(crate) work: Work,
    pub(crate) inferences: u32,
    /// By party.
    pub(crate) parties: Vec<Certificate>,
    /// The dealer's certificate; absent where the correlations are stored, or made by the parties.
    pub(crate) dealer: Option<Certificate>,
    /// The certificate of a data owner that is no party. The dealer is not told of it.
    pub(crate) data_owner: Option<Certificate>,
    /// Of a data owner that is a page, the SHA-256 of the servers' keys that it seals to. The dealer is not told of it.
    pub(crate) page: Option<[u8; 32]>,
    /// The model, where it was left with the servers. The dealer is not told of it.
    pub(crate) deposit: Option<DepositId>,
}

impl Agreed {
    /// The fields that handshakes compare.
    fn fields(&self) -> Vec<(String, String)> {
        let work = match self.work {
            Work::Live if self.dealer.is_none() => "inferences without a dealer".to_owned(),
            Work::Live => "inferences with a dealer".to_owned(),
            Work::Prepare(Preparation { batch, audited: 0 }) => format!("prepare batch {batch}"),
            Work::Prepare(Preparation { batch, audited }) => format!("prepare batch {batch}, audit {audited}"),
            Work::Prepared(batch) => format!("inferences of batch {batch}"),
        };
        let dealer = self.dealer.as_ref().map_or_else(|| "none".to_owned(), |dealer| dealer.fingerprint().to_string());
        let mut fields = vec![
            ("work".to_owned(), work),
            ("inferences".to_owned(), self.inferences.to_string()),
            ("dealer".to_owned(), dealer),
        ];
        for (party, certificate) in self.parties.iter().enumerate() {
            fields.push((format!("certificate of party {party}"), certificate.fingerprint().to_string()));
        }
        fields
    }

    /// The facts that a server and one who asks it for a session compare before the parties connect, and servers that hold
    /// shares among each other.
    pub(crate) fn agreement<R: Ring>(&self, plan: &Plan<R>) -> Agreement {
        let data_owner = self.data_owner.iter().map(|owner| owner.fingerprint().to_string());
        let data_owner = data_owner.map(|text| ("certificate of the data owner".to_owned(), text));
        let deposit = self.deposit.iter().map(|id| ("deposit".to_owned(), id.to_string()));
        let page = self.page.iter().map(|keys| ("servers of the page".to_owned(), Owner(*keys).to_string()));
        let fields = self.fields().into_iter().chain(data_owner).chain(page).chain(deposit);
        fields.fold(plan.agreement(self.session), |all, (name, value)| all.with(name, value))
    }

    pub(crate) fn options(&self) -> Result<SessionOptions, ServiceError> {
        let mut options = SessionOptions::new(self.session, Seed::from_system()?);
        options.fields = self.fields();
        Ok(options)
    }

    pub(crate) fn names(&self) -> Names {
        Names(self.parties.iter().map(shown).collect())
    }

    pub(crate) fn in_session(&self) -> impl Fn(InferenceError) -> ServiceError {
        move |source| ServiceError::Session { source: source.into(), names: self.names() }
    }

    /// As [`in_session`](Self::in_session), in an audit: the dealer is named where it has dealt wrongly.
    pub(crate) fn in_audit(&self) -> impl Fn(InferenceError) -> ServiceError {
        move |source| match source.wrongly_dealt() {
            Some(place) => {
                ServiceError::WronglyDealt { dealer: self.dealer.as_ref().map(shown).unwrap_or_default(), place }
            }
            None => self.in_session()(source),
        }
    }

    /// The request of party `party` to the dealer.
    pub(crate) fn deal_request<R: Ring>(&self, plan: &Plan<R>, party: usize) -> DealRequest {
        DealRequest {
            session: self.session,
            party: party as u32,
            work: self.work,
            inferences: self.inferences,
            ring: ring_bits::<R>(),
            settings: *plan.settings(),
            graph: plan.graph().to_bytes(),
        }
    }

    /// Takes a prepared inference out of its store.
    pub(crate) fn claim(&self, hold: Hold<'_>) -> Result<Recording, StoreError> {
        let (batch, place) = (hold.batch(), hold.index());
        let recording = hold.claim()?;
        tracing::debug!(%batch, place, "claimed");
        Ok(recording)
    }

    /// How the data owner is named, which is the last party, or outside.
    pub(crate) fn client_name(&self, setting: Topology) -> String {
        match (setting, self.parties.last()) {
            (Topology::Direct, Some(client)) => shown(client),
            _ => "the data owner".to_owned(),
        }
    }

    /// Whether a stored batch is one of this plan, party and these parties.
    pub(crate) fn suits<R: Ring>(&self, described: &Description, party: usize, plan: &Plan<R>) -> bool {
        let own = self.description(party, plan, None);
        (described.plan, described.party) == (own.plan, own.party) && described.parties == own.parties
    }

    /// The error for bytes that do not suit the session.
    pub(crate) fn in_encoding(&self) -> impl Fn(EncodingError) -> ServiceError {
        move |source| ServiceError::Session { source: Box::new(source.into()), names: self.names() }
    }

    /// The description of a batch; `weights` is the digest of this party's own model.
    pub(crate) fn description<R: Ring>(&self, party: usize, plan: &Plan<R>, weights: Option<[u8; 32]>) -> Description {
        let fingerprint = |certificate: &Certificate| *certificate.fingerprint().as_bytes();
        Description {
            plan: plan.digest(),
            party: party as u32,
            parties: self.parties.iter().map(fingerprint).collect(),
            dealer: self.dealer.as_ref().map(fingerprint).unwrap_or_default(),
            count: self.inferences,
            deposit: self.deposit,
            weights,
        }
    }
}

/// An error where the dealer is one of those who take part.
pub(crate) fn check_dealer<'c>(
    dealer: Option<&Certificate>,
    others: impl IntoIterator<Item = &'c Certificate>,
) -> Result<(), ServiceError> {
    match others.into_iter().find(|other| Some(*other) == dealer) {
        Some(other) => Err(ServiceError::DealerTakesPart { name: shown(other) }),
        None => Ok(()),
    }
}

/// An error where one certificate is that of two parties.
pub(crate) fn check_parties(parties: &[&Certificate]) -> Result<(), ServiceError> {
    let is_earlier = |&(place, party): &(usize, &&Certificate)| parties[..place].contains(party);
    match parties.iter().enumerate().find(is_earlier) {
        Some((_, party)) => Err(ServiceError::PartyTwice { name: shown(party) }),
        None => Ok(()),
    }
}

/// An error where an audit leaves nothing, or there is no dealer to audit.
pub(crate) fn check_audited<R: Ring>(audited: u32, inferences: u32, plan: &Plan<R>) -> Result<(), Refused> {
    match audited {
        0 => Ok(()),
        _ if plan.own().is_some() => Err((Refusal::Differs, "there is no dealer to audit".to_owned())),
        _ if audited < inferences => Ok(()),
        _ => {
            Err((Refusal::Limit, format!("{audited} of {inferences} are to be audited: fewer, so that some are left")))
        }
    }
}

fn ring_bits<R: Ring>() -> RingBits {
    R::BITS.to_string().parse().unwrap_or_else(|_| unreachable!("there are no other rings"))
}
