//! Two parties that make random OTs in both directions.

use alloc::vec::Vec;

use mpc_shares::{Prg, Seed};
use mpc_transport::{Agreement, AnyTransport, Metered, Phase, Traffic, Transport, handshake};
use rand_core::Rng;
use sha2::{Digest, Sha256};

use crate::OtError;
use crate::base::{self, BaseReceiver, BaseSender, Context};
use crate::channel::{self, exchange};
use crate::correlated::{CotReceiver, CotSender, Method, Progress, opening_bytes};
use crate::ferret::ParameterSet;
use crate::random::{Batch, Filler, ReceivedBatch, SentBatch, Tweaked};
use crate::softspoken::FieldBits;

/// Label of what is counted in [`Pair::open`] after its handshake, in the phase [`Phase::Setup`].
pub const OPENING: &str = "ot opening";

/// The terms that both parties of a [`Pair`] agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairSettings {
    /// The session's identity, fresh for each session.
    pub session: [u8; 16],
    /// This party's index among all parties, of which this pair may be two of many.
    pub own: u8,
    /// The index of the other party.
    pub peer: u8,
    /// How OTs are extended.
    pub method: Method,
}

/// The public part of a [`Pair`]'s state: it tells bytes and rounds before anything runs.
///
/// ```
/// use mpc_ot::ferret::ParameterSet;
/// use mpc_ot::{Batch, Method, Schedule};
///
/// let mut schedule = Schedule::new(Method::Silent(ParameterSet::B13));
/// let batches = [Batch { count: 10_000_000, bits: 1 }];
/// let traffic = schedule.random(&batches, &batches);
/// assert!(traffic.payload_sent < 500_000, "{traffic:?}");
/// assert_eq!(traffic.rounds, 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    method: Method,
    sending: Progress,
    receiving: Progress,
}

impl Schedule {
    /// The state of a pair that is open.
    #[must_use]
    pub const fn new(method: Method) -> Self {
        let start = Progress::new(method);
        Self { method, sending: start, receiving: start }
    }

    /// The cost of [`Pair::open`] for each party, after its handshake.
    #[must_use]
    pub fn opening(method: Method) -> Traffic {
        let base = base::RECEIVER_BYTES + base::SENDER_BYTES;
        channel::traffic(base, base) + channel::traffic(opening_bytes(method), opening_bytes(method))
    }

    /// The cost of the next [`Pair::random`] for this party; the state goes on to the one after it.
    pub fn random(&mut self, sends: &[Batch], receives: &[Batch]) -> Traffic {
        let [sends, receives] = [sends, receives].map(total);
        let lengths = match self.method {
            Method::Silent(_) => {
                let (_, sent, sending) = self.sending.demand(sends);
                let (_, received, receiving) = self.receiving.demand(receives);
                (self.sending, self.receiving) = (sending, receiving);
                [sent, received]
            }
            Method::SoftSpoken(field) => [receives, sends].map(|count| field.extension_bytes(count)),
        };
        channel::traffic(lengths[0], lengths[1])
    }
}

fn total(batches: &[Batch]) -> usize {
    batches.iter().fold(0, |total: usize, batch| total.saturating_add(batch.count))
}

/// One party's end of a session that makes random OTs in both directions with one other party.
///
/// # Security
/// Semi-honest. The state (Δ, seeds, the strings that begin a round) stays in the memory of one session: it is never stored,
/// never `Clone`, zeroised on drop. See the crate's documentation for the assumptions.
///
/// # Rounds and communication
/// [`Schedule`] tells them exactly.
pub struct Pair {
    transport: Metered<AnyTransport>,
    schedule: Schedule,
    sending: CotSender,
    sent_tweaks: Tweaked,
    receiving: CotReceiver,
    received_tweaks: Tweaked,
    generator: Prg,
    /// Whether an earlier step did not end.
    interrupted: bool,
}

impl core::fmt::Debug for Pair {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Pair").field("schedule", &self.schedule).finish_non_exhaustive()
    }
}

impl Pair {
    /// Agrees with the other party on session, method and parameters, then makes base OTs and begins an extension in each
    /// direction. `seed` is fresh, from the operating system.
    ///
    /// # Rounds and communication
    /// The handshake, then [`Schedule::opening`].
    ///
    /// # Errors
    /// [`OtError::Parameter`] for a network of other than two or one party with two indices; [`OtError::Transport`] where the
    /// parties disagree or the link fails; [`OtError::InvalidPoint`] and [`OtError::ReflectedPoint`] for a peer that attacks.
    pub async fn open(
        transport: impl Transport + 'static,
        settings: PairSettings,
        seed: Seed,
    ) -> Result<Self, OtError> {
        check(transport.parties(), settings)?;
        let mut transport = Metered::new(AnyTransport::new(transport));
        transport.begin(Phase::Setup, "ot handshake");
        let agreement = agreement(transport.party(), settings);
        handshake(&mut transport, &agreement).await?;
        transport.begin(Phase::Setup, OPENING);

        let mut generator = Prg::new(seed);
        let PairSettings { session, own, peer, method } = settings;
        let [ours, theirs] = [own, peer].map(|sender| Context { session, sender });
        let delta = u128::from(generator.next_u64()) << 64 | u128::from(generator.next_u64()) | 1;
        let (receiver, sender) =
            (BaseReceiver::new(ours, !delta, &mut generator), BaseSender::new(theirs, &mut generator));
        let message = [receiver.message(), sender.message()].concat();
        let mut received = alloc::vec![0; message.len()];
        exchange(&mut transport, &message, &mut received).await?;
        // The peer's message as a receiver comes first, as ours does.
        let (to_sender, to_receiver) = received.split_at(base::RECEIVER_BYTES);
        let salts = [salt(ours, receiver.message(), to_receiver), salt(theirs, to_sender, sender.message())];
        let (chosen, strings) = (receiver.finish(to_receiver)?, sender.finish(to_sender)?);

        let (receiving, message) = CotReceiver::new(method, &strings, salts[1], &mut generator)?;
        let mut received = alloc::vec![0; opening_bytes(method)];
        exchange(&mut transport, &message, &mut received).await?;
        let sending = CotSender::new(method, &chosen, delta, salts[0], &received)?;
        let [sent_tweaks, received_tweaks] = salts.map(Tweaked::new);
        let schedule = Schedule::new(method);
        Ok(Self {
            transport,
            schedule,
            sending,
            sent_tweaks,
            receiving,
            received_tweaks,
            generator,
            interrupted: false,
        })
    }

    /// The public part of the state, to plan from.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// The link to the other party, and what passed through it.
    #[must_use]
    pub fn transport(&self) -> &Metered<AnyTransport> {
        &self.transport
    }

    /// The link to the other party, to clear what was counted.
    pub fn transport_mut(&mut self) -> &mut Metered<AnyTransport> {
        &mut self.transport
    }

    /// Counts what follows under `phase` and `label`.
    pub fn begin(&mut self, phase: Phase, label: &str) {
        self.transport.begin(phase, label);
    }

    /// Makes random OTs: this party is the sender of `sends` and the receiver of `receives`, and the other party asks for the
    /// same with the two exchanged.
    ///
    /// # Rounds and communication
    /// One round, or none where enough correlated OTs are left; [`Schedule::random`] tells the bytes.
    ///
    /// # Errors
    /// [`OtError::Parameter`] for strings of no bits or too many; [`OtError::Exhausted`]; [`OtError::Interrupted`];
    /// [`OtError::Transport`].
    pub async fn random(
        &mut self,
        sends: &[Batch],
        receives: &[Batch],
    ) -> Result<(Vec<SentBatch>, Vec<ReceivedBatch>), OtError> {
        self.sent_tweaks.check(sends)?;
        self.received_tweaks.check(receives)?;
        self.begin_step()?;
        let made = match self.schedule.method {
            Method::Silent(_) => self.silent(sends, receives).await?,
            Method::SoftSpoken(field) => self.soft(field, sends, receives).await?,
        };
        self.interrupted = false;
        Ok(made)
    }

    /// The generator of what this party chooses alone.
    pub(crate) fn generator(&mut self) -> &mut Prg {
        &mut self.generator
    }

    /// Sends and receives the messages of a product's round: as long as planned, or an error.
    ///
    /// # Errors
    /// [`OtError::Interrupted`], [`OtError::Transport`].
    pub async fn exchange(&mut self, message: &[u8], received: &mut [u8]) -> Result<(), OtError> {
        self.begin_step()?;
        exchange(&mut self.transport, message, received).await?;
        self.interrupted = false;
        Ok(())
    }

    fn begin_step(&mut self) -> Result<(), OtError> {
        if self.interrupted {
            return Err(OtError::Interrupted);
        }
        self.interrupted = true;
        Ok(())
    }

    async fn silent(
        &mut self,
        sends: &[Batch],
        receives: &[Batch],
    ) -> Result<(Vec<SentBatch>, Vec<ReceivedBatch>), OtError> {
        let (send_steps, _, sending) = self.schedule.sending.demand(total(sends));
        let (receive_steps, bytes, receiving) = self.schedule.receiving.demand(total(receives));
        let mut generator = self.fresh_generator()?;
        let mut sent = Filler::new(&mut self.sent_tweaks, self.sending.delta(), sends);
        let message = self.sending.extend(send_steps, &mut generator, |strings| sent.take(strings).len())?;
        let mut received = alloc::vec![0; bytes];
        exchange(&mut self.transport, &message, &mut received).await?;
        let mut chosen = Filler::new(&mut self.received_tweaks, 0, receives);
        self.receiving.extend(receive_steps, &received, |strings| chosen.take(strings).len())?;
        let made = (sent.finish(), chosen.finish());
        (self.schedule.sending, self.schedule.receiving) = (sending, receiving);
        Ok(made)
    }

    async fn soft(
        &mut self,
        field: FieldBits,
        sends: &[Batch],
        receives: &[Batch],
    ) -> Result<(Vec<SentBatch>, Vec<ReceivedBatch>), OtError> {
        let (cots, message) = self.receiving.request(total(receives));
        let mut received = alloc::vec![0; field.extension_bytes(total(sends))];
        exchange(&mut self.transport, &message, &mut received).await?;
        let mut chosen = Filler::new(&mut self.received_tweaks, 0, receives);
        if let Some(cots) = cots {
            chosen.take(cots.strings());
        }
        let mut sent = Filler::new(&mut self.sent_tweaks, self.sending.delta(), sends);
        if let Some(cots) = self.sending.answer(total(sends), &received)? {
            sent.take(cots.strings());
        }
        Ok((sent.finish(), chosen.finish()))
    }

    /// A generator for one step. Fresh randomness of the operating system goes in, so that a restored snapshot of a machine
    /// does not repeat it.
    fn fresh_generator(&mut self) -> Result<Prg, OtError> {
        let mut bytes = zeroize::Zeroizing::new([0; Seed::BYTES]);
        self.generator.fill_bytes(&mut *bytes);
        #[cfg(feature = "std")]
        bytes.iter_mut().zip(Seed::from_system()?.expose()).for_each(|(byte, system)| *byte ^= system);
        Ok(Prg::new(Seed::from_bytes(*bytes)))
    }
}

fn check(parties: usize, settings: PairSettings) -> Result<(), OtError> {
    if parties != 2 {
        let allowed = "a network of two";
        return Err(OtError::Parameter { parameter: "parties of a link", value: parties as u64, allowed });
    }
    if settings.own == settings.peer {
        let (value, allowed) = (u64::from(settings.peer), "two different indices");
        return Err(OtError::Parameter { parameter: "index of the peer", value, allowed });
    }
    Ok(())
}

/// The terms as both parties say them: the indices are in the order of the link.
fn agreement(place: usize, settings: PairSettings) -> Agreement {
    let PairSettings { session, own, peer, method } = settings;
    let [first, second] = if place == 0 { [own, peer] } else { [peer, own] };
    let method = match method {
        Method::Silent(largest) => alloc::format!("silent to {largest:?}, {}", ParameterSet::digest()),
        Method::SoftSpoken(field) => alloc::format!("softspoken, {} bits", field.bits()),
    };
    Agreement::new(session).with("pair", alloc::format!("{first}, {second}")).with("oblivious transfer", method)
}

/// A name of one direction of a session that neither party chose alone.
fn salt(context: Context, receiver_message: &[u8], sender_message: &[u8]) -> u128 {
    let hash =
        Sha256::new().chain_update(b"mpc-ot 1 salt ").chain_update(context.session).chain_update([context.sender]);
    let digest: [u8; 32] = hash.chain_update(receiver_message).chain_update(sender_message).finalize().into();
    digest[..16].iter().fold(0, |salt, &byte| salt << 8 | u128::from(byte))
}
