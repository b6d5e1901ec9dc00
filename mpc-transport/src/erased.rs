//! A transport of any kind behind one type, so that what runs over it is compiled once.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;
use core::pin::Pin;

use crate::{Transport, TransportError};

pub(crate) type Boxed<'a, O> = Pin<Box<dyn Future<Output = Result<O, TransportError>> + Send + 'a>>;

/// Any [`Transport`], its kind known at run time alone: one allocation an operation.
///
/// ```
/// # #[cfg(feature = "std")] {
/// use std::time::Duration;
/// use mpc_transport::{AnyTransport, Transport, memory_network};
///
/// let parties = memory_network(3, Duration::from_secs(5)).into_iter().map(AnyTransport::new);
/// assert_eq!(parties.map(|end| end.party()).collect::<Vec<_>>(), [0, 1, 2]);
/// # }
/// ```
pub struct AnyTransport(Box<dyn Erased>);

impl AnyTransport {
    /// Hides the kind of `transport`.
    pub fn new(transport: impl Transport + 'static) -> Self {
        let mut transport = Some(transport);
        // One that is hidden already gets no second box.
        let hidden = (&mut transport as &mut dyn Any).downcast_mut::<Option<Self>>().and_then(Option::take);
        hidden.or_else(|| transport.map(|transport| Self(Box::new(transport)))).unwrap_or_else(|| unreachable!())
    }
}

impl fmt::Debug for AnyTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("AnyTransport");
        shown.field("party", &self.0.party()).field("parties", &self.0.parties()).finish_non_exhaustive()
    }
}

/// [`Transport`] with futures of one type.
trait Erased: Send {
    fn party(&self) -> usize;
    fn parties(&self) -> usize;
    fn send<'a>(&'a mut self, to: usize, message: &'a [u8]) -> Boxed<'a, ()>;
    fn receive<'a>(&'a mut self, from: usize, message: &'a mut [u8]) -> Boxed<'a, ()>;
    fn receive_bounded(&mut self, from: usize, limit: usize) -> Boxed<'_, Vec<u8>>;
    fn exchange<'a>(&'a mut self, message: &'a [u8], received: &'a mut [u8]) -> Boxed<'a, ()>;
}

impl<T: Transport> Erased for T {
    fn party(&self) -> usize {
        Transport::party(self)
    }

    fn parties(&self) -> usize {
        Transport::parties(self)
    }

    fn send<'a>(&'a mut self, to: usize, message: &'a [u8]) -> Boxed<'a, ()> {
        Box::pin(Transport::send(self, to, message))
    }

    fn receive<'a>(&'a mut self, from: usize, message: &'a mut [u8]) -> Boxed<'a, ()> {
        Box::pin(Transport::receive(self, from, message))
    }

    fn receive_bounded(&mut self, from: usize, limit: usize) -> Boxed<'_, Vec<u8>> {
        Box::pin(Transport::receive_bounded(self, from, limit))
    }

    fn exchange<'a>(&'a mut self, message: &'a [u8], received: &'a mut [u8]) -> Boxed<'a, ()> {
        Box::pin(Transport::exchange(self, message, received))
    }
}

impl Transport for AnyTransport {
    fn party(&self) -> usize {
        self.0.party()
    }

    fn parties(&self) -> usize {
        self.0.parties()
    }

    async fn send(&mut self, to: usize, message: &[u8]) -> Result<(), TransportError> {
        self.0.send(to, message).await
    }

    async fn receive(&mut self, from: usize, message: &mut [u8]) -> Result<(), TransportError> {
        self.0.receive(from, message).await
    }

    async fn receive_bounded(&mut self, from: usize, limit: usize) -> Result<Vec<u8>, TransportError> {
        self.0.receive_bounded(from, limit).await
    }

    async fn exchange(&mut self, message: &[u8], received: &mut [u8]) -> Result<(), TransportError> {
        self.0.exchange(message, received).await
    }
}
