//! The makers of correlations, as a party sees them.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;
use core::pin::Pin;

use mpc_shares::Prg;

use super::layout::Field;
use super::request::Request;
use crate::ProtocolError;

/// The end of what a provider does, with the party's shares filled.
pub type Provided<'a> = Pin<Box<dyn Future<Output = Result<(), ProtocolError>> + Send + 'a>>;

/// The maker of a party's correlations in one session: a dealer, a recording, or the parties jointly.
///
/// All parties of a session have providers of one kind, that were begun with the same plan. What they make satisfies the
/// relation of each correlation's kind, and says nothing else about the other parties' shares.
pub trait Provider: Send {
    /// Makes this party's shares of `request`, the next of the plan: one for each field of its
    /// [`Layout`](super::Layout), in that order.
    fn provide<'a>(&'a mut self, request: &'a Request, shares: Vec<&'a mut dyn Share>) -> Provided<'a>;
}

/// One party's share of a field, as a provider fills it.
pub trait Share: Send {
    /// The field.
    fn field(&self) -> &Field;

    /// Fills it with the next values of a generator, at once or when they are read: uniform, and this party's own choice.
    fn expand(&mut self, generator: &mut Prg);

    /// Fills a part of it from packed values, of which the field's bits are given.
    fn unpack(&mut self, part: Range<usize>, bytes: &[u8]);

    /// The place of all values, packed in the field's bits, if they may stay so.
    fn packed(&mut self) -> Option<&mut [u8]>;
}
