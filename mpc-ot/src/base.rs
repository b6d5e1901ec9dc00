//! 128 base OTs over the Ristretto group: the only step that uses public-key cryptography.
//!
//! The endemic OT of Masny and Rindal, "Endemic Oblivious Transfer" (CCS 2019), section 5.1 with Diffie–Hellman as its key
//! agreement. The receiver with choice c draws a scalar a and a random point r_{1−c}, and sends (r_0, r_1) with
//! r_c = a·G − H_c(r_{1−c}). The sender draws b and sends b·G. String i comes from b·(r_i + H_i(r_{1−i})), of which the
//! receiver knows the one with i = c as a·(b·G). The two messages do not depend on each other.
//!
//! # Security
//! Secure against either party under the computational Diffie–Hellman assumption, with SHA-512 as a random oracle. A future
//! quantum computer that has a recording of the messages breaks it.
//!
//! # Rounds and communication
//! One round: [`RECEIVER_BYTES`] from the receiver, [`SENDER_BYTES`] from the sender.

use alloc::vec::Vec;

use curve25519_dalek::traits::IsIdentity;
use curve25519_dalek::{RistrettoPoint, Scalar, ristretto::CompressedRistretto};
use rand_core::CryptoRng;
use sha2::{Digest, Sha512};
use subtle::{Choice, ConditionallySelectable};
use zeroize::{Zeroize, Zeroizing};

use crate::OtError;
use crate::error::check_message;

/// The number of base OTs, one for each bit of the correlation Δ.
pub const COUNT: usize = 128;
/// Bytes of the receiver's message.
pub const RECEIVER_BYTES: usize = COUNT * 2 * POINT;
/// Bytes of the sender's message.
pub const SENDER_BYTES: usize = COUNT * POINT;

const POINT: usize = 32;
const STEP_TO_SENDER: &str = "the base OTs' receiver";
const STEP_TO_RECEIVER: &str = "the base OTs' sender";

/// The domain of every hash of a session: its identity, and which of the two directions it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The session's identity, fresh for each session.
    pub session: [u8; 16],
    /// The index of the party that has Δ, and so receives in the base OTs.
    pub sender: u8,
}

impl Context {
    fn hash(&self, purpose: &[u8]) -> Sha512 {
        Sha512::new()
            .chain_update(b"mpc-ot 1 base ")
            .chain_update(purpose)
            .chain_update(self.session)
            .chain_update([self.sender])
    }

    /// H_c: the hash to the group.
    fn to_group(self, index: usize, choice: u8, point: &[u8]) -> RistrettoPoint {
        let hash =
            self.hash(b"point").chain_update((index as u32).to_le_bytes()).chain_update([choice]).chain_update(point);
        RistrettoPoint::from_uniform_bytes(&hash.finalize().into())
    }

    /// The string of a shared point.
    fn to_string(self, index: usize, choice: u8, messages: [&[u8]; 2], shared: &RistrettoPoint) -> u128 {
        let hash = self.hash(b"string").chain_update((index as u32).to_le_bytes()).chain_update([choice]);
        let hash = hash.chain_update(messages[0]).chain_update(messages[1]);
        let mut digest: [u8; 64] = hash.chain_update(shared.compress().as_bytes()).finalize().into();
        let mut string = [0; 16];
        string.copy_from_slice(&digest[..16]);
        digest.zeroize();
        u128::from_le_bytes(string)
    }
}

fn random_scalar(generator: &mut impl CryptoRng) -> Zeroizing<Scalar> {
    let mut bytes = Zeroizing::new([0; 64]);
    generator.fill_bytes(&mut *bytes);
    Zeroizing::new(Scalar::from_bytes_mod_order_wide(&bytes))
}

fn decode(index: usize, bytes: &[u8]) -> Result<RistrettoPoint, OtError> {
    let point = CompressedRistretto::from_slice(bytes).ok().and_then(|point| point.decompress());
    point.filter(|point| !point.is_identity()).ok_or(OtError::InvalidPoint { index })
}

/// The receiver between its two steps. Zeroised on drop; not `Clone`, no `Debug`.
pub struct BaseReceiver {
    context: Context,
    choices: Zeroizing<u128>,
    secrets: Vec<Zeroizing<Scalar>>,
    message: Vec<u8>,
}

impl BaseReceiver {
    /// Draws the secrets for the choices, bit i for OT i.
    #[must_use]
    pub fn new(context: Context, choices: u128, generator: &mut impl CryptoRng) -> Self {
        let mut message = Vec::with_capacity(RECEIVER_BYTES);
        let mut secrets = Vec::with_capacity(COUNT);
        for index in 0..COUNT {
            let choice = (choices >> index) as u8 & 1;
            let secret = random_scalar(generator);
            let mut uniform = [0; 64];
            generator.fill_bytes(&mut uniform);
            let other = RistrettoPoint::from_uniform_bytes(&uniform).compress();
            let mut point = RistrettoPoint::mul_base(&secret) - context.to_group(index, choice, other.as_bytes());
            let chosen = point.compress();
            point.zeroize();
            let second = Choice::from(choice);
            for (at_zero, at_one) in [(chosen, other), (other, chosen)] {
                let bytes = at_zero.as_bytes().iter().zip(at_one.as_bytes());
                message.extend(bytes.map(|(zero, one)| u8::conditional_select(zero, one, second)));
            }
            secrets.push(secret);
        }
        Self { context, choices: Zeroizing::new(choices), secrets, message }
    }

    /// The message to the sender, of [`RECEIVER_BYTES`].
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// The chosen strings, from the sender's message.
    ///
    /// # Errors
    /// [`OtError::MessageLength`], [`OtError::InvalidPoint`], [`OtError::ReflectedPoint`].
    pub fn finish(self, message: &[u8]) -> Result<Zeroizing<Vec<u128>>, OtError> {
        check_message(STEP_TO_RECEIVER, message, SENDER_BYTES)?;
        let mut strings = Zeroizing::new(Vec::with_capacity(COUNT));
        let points = message.chunks_exact(POINT).zip(self.message.chunks_exact(2 * POINT));
        for (index, ((theirs, ours), secret)) in points.zip(&self.secrets).enumerate() {
            if ours.chunks_exact(POINT).any(|point| point == theirs) {
                return Err(OtError::ReflectedPoint { index });
            }
            let mut shared = decode(index, theirs)? * **secret;
            let choice = (*self.choices >> index) as u8 & 1;
            strings.push(self.context.to_string(index, choice, [ours, theirs], &shared));
            shared.zeroize();
        }
        Ok(strings)
    }
}

/// The sender between its two steps. Zeroised on drop; not `Clone`, no `Debug`.
pub struct BaseSender {
    context: Context,
    secrets: Vec<Zeroizing<Scalar>>,
    message: Vec<u8>,
}

impl BaseSender {
    /// Draws the secrets.
    #[must_use]
    pub fn new(context: Context, generator: &mut impl CryptoRng) -> Self {
        let secrets: Vec<_> = (0..COUNT).map(|_| random_scalar(generator)).collect();
        let point = |secret: &Zeroizing<Scalar>| RistrettoPoint::mul_base(secret).compress().to_bytes();
        let message = secrets.iter().flat_map(point).collect();
        Self { context, secrets, message }
    }

    /// The message to the receiver, of [`SENDER_BYTES`].
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Both strings of each OT, from the receiver's message.
    ///
    /// # Errors
    /// [`OtError::MessageLength`], [`OtError::InvalidPoint`], [`OtError::ReflectedPoint`].
    pub fn finish(self, message: &[u8]) -> Result<Zeroizing<Vec<[u128; 2]>>, OtError> {
        check_message(STEP_TO_SENDER, message, RECEIVER_BYTES)?;
        let mut strings = Zeroizing::new(Vec::with_capacity(COUNT));
        let points = message.chunks_exact(2 * POINT).zip(self.message.chunks_exact(POINT));
        for (index, ((theirs, ours), secret)) in points.zip(&self.secrets).enumerate() {
            let halves = [&theirs[..POINT], &theirs[POINT..]];
            let mut pair = [0; 2];
            for (choice, string) in pair.iter_mut().enumerate() {
                if halves[choice] == ours {
                    return Err(OtError::ReflectedPoint { index: 2 * index + choice });
                }
                let point = decode(2 * index + choice, halves[choice])?;
                let hashed = self.context.to_group(index, choice as u8, halves[1 - choice]);
                let mut shared = (point + hashed) * **secret;
                *string = self.context.to_string(index, choice as u8, [theirs, ours], &shared);
                shared.zeroize();
            }
            strings.push(pair);
        }
        Ok(strings)
    }
}
