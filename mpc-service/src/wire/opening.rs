//! How a connection to a service begins, in one place for all services: it is authenticated, says what it is for within its
//! deadline, and is answered or refused.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use mpc_transport::TcpSettings;
use mpc_transport::tls::{Certificate, SecureLink};
use smol::Async;

use crate::admin::Status;
use crate::error::ServiceError;
use crate::names::{Refusal, Refused, shown};
use crate::wire::connections::{Connections, Place};
use crate::wire::link::{Boxed, Endpoint, tell_of_silence, within};
use crate::wire::message::{self, Opening};

/// How long a peer has to authenticate itself, and then to say what it wants.
const OPENING_DEADLINE: Duration = Duration::from_secs(10);

/// The reason why a service that stops begins nothing.
const STOPS: &str = "this service stops, and begins no session; try again";

/// A service that is called.
pub(crate) trait Service: Send + Sync + 'static {
    /// The requests that the service takes.
    type Request: Send;

    /// The identity of the service, and how it waits.
    fn endpoint(&self) -> &Endpoint;

    /// Its state, for operators.
    fn status(&self) -> &Status;

    /// Those who may connect at all.
    fn known(&self) -> Vec<Certificate>;

    /// The longest first message, in bytes.
    fn longest_opening(&self) -> usize;

    /// How many sessions one peer may have at a time.
    fn sessions_per_peer(&self) -> usize;

    /// Whether a caller may ask for that.
    fn admit(&self, caller: &Certificate, opening: Opening) -> Result<Self::Request, Refused>;

    /// Serves a call to its end.
    fn serve(self: Arc<Self>, caller: Caller, request: Self::Request) -> Boxed<'static, Result<(), ServiceError>>;

    /// Whether somebody of a session that has begun has yet to call: a service that stops lets them in.
    fn awaits(&self) -> bool;

    /// Whether a call may be one of those.
    fn is_awaited(&self, opening: &Opening) -> bool;

    /// Called about four times a second, however many connections come.
    fn sweep(&self);
}

/// An authenticated peer that has called.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) link: SecureLink,
    pub(crate) certificate: Certificate,
    /// How it is named in messages.
    pub(crate) name: String,
    /// Counts the connection as one of this peer.
    _place: Option<Place>,
    /// That of the service.
    status: Status,
}

impl Caller {
    /// Grants what was asked for, or refuses it and gives nothing.
    pub(crate) async fn answer<T>(&mut self, decision: Result<T, Refused>) -> Result<Option<T>, ServiceError> {
        match decision {
            Ok(granted) => message::accept(&mut self.link, &self.name).await.map(|()| Some(granted)),
            Err(refused) => {
                self.refuse(refused).await;
                Ok(None)
            }
        }
    }

    /// Refuses what was asked for, and logs it.
    pub(crate) async fn refuse(&mut self, (refusal, reason): Refused) {
        tracing::warn!(peer = %self.name, %reason, "refused");
        self.status.metrics().refused(refusal);
        message::refuse(&mut self.link, refusal, &reason, &self.name).await;
    }
}

/// Authenticates a peer and takes its request in; nothing if the request is refused. While the service stops, it is one of a
/// session that has begun.
pub(crate) async fn receive<S: Service>(
    service: &S,
    connections: &Arc<Connections>,
    stream: Async<TcpStream>,
) -> Result<Option<(Caller, S::Request)>, ServiceError> {
    let is_late = service.status().is_stopping();
    let endpoint = service.endpoint();
    let settings = TcpSettings { connect_deadline: OPENING_DEADLINE, ..endpoint.settings };
    let link = SecureLink::accept(stream, &endpoint.identity, &service.known(), &settings).await;
    let mut link = link.map_err(|source| {
        service.status().metrics().stranger();
        ServiceError::connect("a caller", source)
    })?;
    let certificate = link.peer().clone();
    let place = connections.place(certificate.fingerprint());
    tell_of_silence(&mut link);
    let status = service.status().clone();
    let mut caller = Caller { link, name: shown(&certificate), certificate, _place: None, status };
    match place {
        Ok(place) => caller._place = Some(place),
        Err(refused) => {
            caller.refuse(refused).await;
            return Ok(None);
        }
    }
    let silent = ServiceError::Silent { peer: caller.name.clone(), seconds: OPENING_DEADLINE.as_secs() };
    let first = message::receive(&mut caller.link, service.longest_opening(), &caller.name);
    let admitted = match within(OPENING_DEADLINE, silent, first).await {
        Ok(opening) if is_late && !service.is_awaited(&opening) => Err((Refusal::Busy, STOPS.to_owned())),
        Ok(opening) => service.admit(&caller.certificate, opening),
        // What nobody of this version sends is a reason to refuse like others; its cause is all in the refusal.
        Err(error @ (ServiceError::Malformed { .. } | ServiceError::Version { .. })) => Err(error.refusal()),
        Err(error) => {
            let (refusal, reason) = error.refusal();
            caller.status.metrics().refused(refusal);
            message::refuse(&mut caller.link, refusal, &reason, &caller.name).await;
            return Err(error);
        }
    };
    match admitted {
        Ok(request) => Ok(Some((caller, request))),
        Err(refused) => {
            caller.refuse(refused).await;
            Ok(None)
        }
    }
}
