//! Where correlated OTs come from: one state for each direction, and what both parties know of it.

use alloc::vec::Vec;

use mpc_shares::SecretVec;
use rand_core::CryptoRng;

use crate::OtError;
use crate::ferret::{FerretReceiver, FerretSender, ParameterSet, trees_for};
use crate::softspoken::{FieldBits, SoftSpokenReceiver, SoftSpokenSender};

/// How OTs are extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// Silent extension under learning parity with noise, with sets up to this one: 0.73 bits a transfer with
    /// [`ParameterSet::B11`], which takes the least time, 0.21 bits with [`ParameterSet::B13`].
    Silent(ParameterSet),
    /// SoftSpoken alone: 15 to 63 bits a transfer, without that assumption.
    SoftSpoken(FieldBits),
}

impl Method {
    /// The silent extension that takes the least time.
    pub const SILENT: Self = Self::Silent(ParameterSet::B11);

    /// The field of the extension that begins everything.
    pub(crate) const fn field(self) -> FieldBits {
        match self {
            Self::Silent(_) => FieldBits::Eight,
            Self::SoftSpoken(field) => field,
        }
    }
}

/// The public state of a silent extension: it depends on the numbers of transfers that were asked for, and on nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    set: ParameterSet,
    /// The largest set that a demand may lead to.
    largest: ParameterSet,
    /// Trees of the current round that are done in each lane.
    done: usize,
    /// Transfers that are there.
    rest: usize,
}

/// The steps of a silent extension that a demand of transfers leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    /// Trees of the current set whose transfers become the base of a larger one, which then goes on.
    upgrade: Option<(usize, ParameterSet)>,
    /// Trees of the set that goes on, in each lane.
    trees: usize,
}

impl Progress {
    /// At the beginning.
    pub(crate) const fn new(method: Method) -> Self {
        let largest = match method {
            Method::Silent(largest) => largest,
            Method::SoftSpoken(_) => ParameterSet::B10,
        };
        Self { set: ParameterSet::B10, largest, done: 0, rest: 0 }
    }

    /// The steps for `count` transfers, the bytes from sender to receiver, and the progress after them.
    pub(crate) fn demand(self, count: usize) -> (Steps, usize, Self) {
        let Some(lacking) = count.checked_sub(self.rest).filter(|&lacking| lacking > 0) else {
            return (Steps { upgrade: None, trees: 0 }, 0, Self { rest: self.rest - count, ..self });
        };
        let target = ParameterSet::for_count(lacking, self.largest);
        let mut next = self;
        let mut bytes = 0;
        let mut upgrade = None;
        if target > self.set {
            let (trees, given) = trees_for(self.set, self.done, target.base());
            bytes = self.set.tree_bytes(trees);
            next = Self { set: target, done: 0, rest: self.rest + given - target.base(), ..self };
            upgrade = Some((trees, target));
        }
        let (trees, given) = trees_for(next.set, next.done, count.saturating_sub(next.rest));
        bytes += next.set.tree_bytes(trees);
        next.done = (next.done + trees) % next.set.trees();
        next.rest = next.rest + given - count;
        (Steps { upgrade, trees }, bytes, next)
    }
}

/// Cuts strings off a stream for the base of a larger set, and keeps what is left.
struct BaseFiller {
    base: SecretVec<u128>,
    filled: usize,
}

impl BaseFiller {
    fn new(set: ParameterSet) -> Self {
        Self { base: SecretVec::zeros(set.base()), filled: 0 }
    }

    fn take<'s>(&mut self, strings: &'s [u128]) -> &'s [u128] {
        let taken = strings.len().min(self.base.len() - self.filled);
        self.base[self.filled..][..taken].copy_from_slice(&strings[..taken]);
        self.filled += taken;
        &strings[taken..]
    }
}

/// Transfers that are made and not used: fewer than two steps.
#[derive(Default)]
struct Rest(Option<SecretVec<u128>>);

impl Rest {
    fn add(&mut self, strings: &[u128]) {
        if strings.is_empty() {
            return;
        }
        let before = self.0.take();
        let before = before.as_deref().unwrap_or_default();
        self.0 = Some(before.iter().chain(strings).copied().collect());
    }

    /// Gives all to `take`, and keeps what that gives back.
    fn offer(&mut self, take: &mut dyn FnMut(&[u128]) -> usize) {
        if let Some(strings) = self.0.take() {
            let left = take(&strings);
            self.add(&strings[strings.len() - left..]);
        }
    }
}

/// The two kinds of an end's state.
enum Kind<Silent, Soft> {
    Silent(Silent, Rest),
    Soft(Soft),
}

/// The sender's end of one direction.
pub(crate) struct CotSender {
    salt: u128,
    delta: zeroize::Zeroizing<u128>,
    kind: Kind<FerretSender, SoftSpokenSender>,
}

/// The receiver's end of one direction.
pub(crate) struct CotReceiver {
    salt: u128,
    kind: Kind<FerretReceiver, SoftSpokenReceiver>,
}

/// Bytes of the receiver's first message: the setup of SoftSpoken, and with the silent method its only extension.
pub(crate) const fn opening_bytes(method: Method) -> usize {
    let extension = match method {
        Method::Silent(_) => method.field().extension_bytes(ParameterSet::B10.base()),
        Method::SoftSpoken(_) => 0,
    };
    crate::softspoken::SETUP_BYTES + extension
}

impl CotReceiver {
    /// The state, and the receiver's first message.
    pub(crate) fn new(
        method: Method,
        strings: &[[u128; 2]],
        salt: u128,
        generator: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<u8>), OtError> {
        let mut soft = SoftSpokenReceiver::new(method.field(), strings, salt, generator);
        let mut message = soft.setup().to_vec();
        if let Method::SoftSpoken(_) = method {
            return Ok((Self { salt, kind: Kind::Soft(soft) }, message));
        }
        let (cots, extension) = soft.extend(ParameterSet::B10.base());
        message.extend_from_slice(&extension);
        let silent = FerretReceiver::new(ParameterSet::B10, salt, cots.into_strings())?;
        Ok((Self { salt, kind: Kind::Silent(silent, Rest::default()) }, message))
    }

    /// The message to the sender for `count` transfers, and where it comes from.
    pub(crate) fn request(&mut self, count: usize) -> (Option<crate::Cots>, Vec<u8>) {
        match &mut self.kind {
            Kind::Silent(..) => (None, Vec::new()),
            Kind::Soft(soft) => {
                let (cots, message) = soft.extend(count);
                (Some(cots), message)
            }
        }
    }

    /// Makes the transfers of `steps` from the sender's message. `take` gets strings, and gives back how many it does not need.
    pub(crate) fn extend(
        &mut self,
        steps: Steps,
        message: &[u8],
        mut take: impl FnMut(&[u128]) -> usize,
    ) -> Result<(), OtError> {
        let Kind::Silent(silent, rest) = &mut self.kind else { return Ok(()) };
        rest.offer(&mut take);
        let mut message = message;
        if let Some((trees, set)) = steps.upgrade {
            let (first, others) = message.split_at(silent.tree_bytes(trees).min(message.len()));
            message = others;
            let mut base = BaseFiller::new(set);
            silent.extend(trees, first, |strings| rest.add(base.take(strings)))?;
            *silent = FerretReceiver::new(set, self.salt, base.base)?;
            rest.offer(&mut take);
        }
        silent.extend(steps.trees, message, |strings| {
            let left = take(strings);
            rest.add(&strings[strings.len() - left..]);
        })
    }
}

impl CotSender {
    /// The state from the receiver's first message.
    pub(crate) fn new(
        method: Method,
        strings: &[u128],
        delta: u128,
        salt: u128,
        message: &[u8],
    ) -> Result<Self, OtError> {
        crate::error::check_message("the first extension", message, opening_bytes(method))?;
        let (setup, extension) = message.split_at(crate::softspoken::SETUP_BYTES);
        let mut soft = SoftSpokenSender::new(method.field(), strings, delta, salt, setup)?;
        let kind = if let Method::Silent(_) = method {
            let cots = soft.extend(ParameterSet::B10.base(), extension)?;
            Kind::Silent(FerretSender::new(ParameterSet::B10, salt, delta, cots.into_strings())?, Rest::default())
        } else {
            Kind::Soft(soft)
        };
        Ok(Self { salt, delta: zeroize::Zeroizing::new(delta), kind })
    }

    /// Δ.
    pub(crate) fn delta(&self) -> u128 {
        *self.delta
    }

    /// Makes the transfers of `steps` and their message to the receiver. `take` gets strings, and gives back how many it does
    /// not need.
    pub(crate) fn extend(
        &mut self,
        steps: Steps,
        generator: &mut impl CryptoRng,
        mut take: impl FnMut(&[u128]) -> usize,
    ) -> Result<Vec<u8>, OtError> {
        let mut message = Vec::new();
        let Kind::Silent(silent, rest) = &mut self.kind else { return Ok(message) };
        rest.offer(&mut take);
        if let Some((trees, set)) = steps.upgrade {
            let mut base = BaseFiller::new(set);
            silent.extend(trees, generator, &mut message, |strings| rest.add(base.take(strings)));
            *silent = FerretSender::new(set, self.salt, *self.delta, base.base)?;
            rest.offer(&mut take);
        }
        silent.extend(steps.trees, generator, &mut message, |strings| {
            let left = take(strings);
            rest.add(&strings[strings.len() - left..]);
        });
        Ok(message)
    }

    /// Makes transfers from the receiver's message, where the method needs one.
    pub(crate) fn answer(&mut self, count: usize, message: &[u8]) -> Result<Option<crate::Cots>, OtError> {
        match &mut self.kind {
            Kind::Silent(..) => Ok(None),
            Kind::Soft(soft) => soft.extend(count, message).map(Some),
        }
    }
}
