//! Encoding of shares by serde, bounded and checked on decode.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use mpc_ring::{Ring, read_all, write_all};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::{ArithmeticShares, BinaryShares, SecretVec, ShareError};

/// No tensor has more dimensions than this.
const MAX_DIMENSIONS: usize = 16;
/// Bytes of an encoding beyond those of the elements: dimensions, lengths and the ring, of at most 10 bytes each.
const MAX_HEADER_BYTES: usize = 10 * (MAX_DIMENSIONS + 4);

/// The form of arithmetic shares on the wire. Nothing of it is trusted before [`ArithmeticWire::check`].
#[derive(Serialize, Deserialize)]
struct ArithmeticWire {
    ring_bits: u32,
    shape: Vec<u64>,
    elements: SecretBytes,
}

#[derive(Serialize, Deserialize)]
struct BinaryWire {
    width: u32,
    len: u64,
    words: SecretBytes,
}

/// Bytes in one allocation, zeroised on drop: the derived code for `Vec<u8>` would leave copies as it grows.
struct SecretBytes(SecretVec<u8>);

impl Serialize for SecretBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(BytesVisitor).map(Self)
    }
}

struct BytesVisitor;

impl<'de> Visitor<'de> for BytesVisitor {
    type Value = SecretVec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<SecretVec<u8>, E> {
        Ok(SecretVec::copy_of(bytes))
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<SecretVec<u8>, E> {
        Ok(bytes.into())
    }

    /// Formats without bytes of their own, such as JSON, have a sequence of numbers.
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<SecretVec<u8>, A::Error> {
        let mut failure = None;
        let bytes = core::iter::from_fn(|| {
            sequence.next_element().unwrap_or_else(|error| {
                failure = Some(error);
                None
            })
        });
        let bytes = bytes.collect();
        failure.map_or(Ok(bytes), Err)
    }
}

impl ArithmeticWire {
    fn of<R: Ring>(shares: &ArithmeticShares<R>) -> Self {
        let mut elements = SecretVec::zeros(shares.len() * R::BYTES);
        write_all(shares.elements(), &mut elements);
        let shape = shares.shape().iter().map(|&length| length as u64).collect();
        Self { ring_bits: R::BITS, shape, elements: SecretBytes(elements) }
    }

    fn check<R: Ring>(&self) -> Result<ArithmeticShares<R>, ShareError> {
        if self.ring_bits != R::BITS {
            return Err(malformed("it is of another ring"));
        }
        if self.shape.len() > MAX_DIMENSIONS {
            return Err(malformed("it has too many dimensions"));
        }
        let shape = self.shape.iter().map(|&length| usize::try_from(length)).collect::<Result<Vec<_>, _>>();
        let shape = shape.map_err(|_| malformed("a dimension is too large for this machine"))?;
        ArithmeticShares::new(&shape, self.elements.elements("it ends within an element")?)
    }
}

impl BinaryWire {
    fn of(shares: &BinaryShares) -> Self {
        let mut words = SecretVec::zeros(shares.words().len() * 8);
        write_all(shares.words(), &mut words);
        Self { width: shares.width(), len: shares.len() as u64, words: SecretBytes(words) }
    }

    fn check(&self) -> Result<BinaryShares, ShareError> {
        let len = usize::try_from(self.len).map_err(|_| malformed("the length is too large for this machine"))?;
        // Values without bits take no bytes, so that nothing would bound their number.
        if self.width == 0 && len > 0 {
            return Err(malformed("its values have no bits"));
        }
        BinaryShares::new(self.width, len, self.words.elements("it ends within a word")?)
    }
}

impl SecretBytes {
    fn elements<R: Ring>(&self, otherwise: &'static str) -> Result<Vec<R>, ShareError> {
        if !self.0.len().is_multiple_of(R::BYTES) {
            return Err(malformed(otherwise));
        }
        let mut elements = vec![R::ZERO; self.0.len() / R::BYTES];
        read_all(&self.0, &mut elements);
        Ok(elements)
    }
}

fn malformed(reason: &'static str) -> ShareError {
    ShareError::Malformed { reason }
}

impl<R: Ring> Serialize for ArithmeticShares<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ArithmeticWire::of(self).serialize(serializer)
    }
}

impl<'de, R: Ring> Deserialize<'de> for ArithmeticShares<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ArithmeticWire::deserialize(deserializer)?.check().map_err(D::Error::custom)
    }
}

impl Serialize for BinaryShares {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        BinaryWire::of(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for BinaryShares {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BinaryWire::deserialize(deserializer)?.check().map_err(D::Error::custom)
    }
}

/// `header` bounds the bytes of the encoding beyond the `payload`, so that the buffer, once allocated, never moves.
fn encode<T: Serialize>(value: &T, payload: usize, header: usize) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(vec![0; payload + header]);
    let used = postcard::to_slice(value, &mut bytes).expect("the buffer is large enough").len();
    bytes.truncate(used);
    bytes
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8], limit: usize, element_bytes: usize) -> Result<T, ShareError> {
    // Lengths inside are checked against the bytes that are there, so bounding the bytes bounds the memory.
    let bound = limit.saturating_mul(element_bytes).saturating_add(MAX_HEADER_BYTES);
    if bytes.len() > bound {
        return Err(ShareError::TooLarge { declared: (bytes.len() / element_bytes) as u64, limit: limit as u64 });
    }
    let (value, rest) =
        postcard::take_from_bytes(bytes).map_err(|_| malformed("it is cut short or its fields are not valid"))?;
    if rest.is_empty() { Ok(value) } else { Err(malformed("bytes follow its end")) }
}

fn check_limit(declared: usize, limit: usize) -> Result<(), ShareError> {
    let (declared, limit) = (declared as u64, limit as u64);
    if declared <= limit { Ok(()) } else { Err(ShareError::TooLarge { declared, limit }) }
}

impl<R: Ring> ArithmeticShares<R> {
    /// The encoding of these shares (postcard), to be sent to the one party that they are for, or stored encrypted.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        encode(self, self.len() * R::BYTES, 10 * (self.shape().len() + 4))
    }

    /// Shares from an encoding that is not trusted, of at most `limit` elements and 16 dimensions.
    ///
    /// # Errors
    /// [`ShareError::TooLarge`], [`ShareError::Malformed`], [`ShareError::Length`].
    pub fn from_bytes(bytes: &[u8], limit: usize) -> Result<Self, ShareError> {
        let wire = decode::<ArithmeticWire>(bytes, limit, R::BYTES)?;
        check_limit(wire.elements.0.len() / R::BYTES, limit)?;
        wire.check()
    }
}

impl BinaryShares {
    /// The encoding of these shares (postcard).
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        encode(self, self.words().len() * 8, MAX_HEADER_BYTES)
    }

    /// Shares from an encoding that is not trusted, of at most `limit` words of 64 bits.
    ///
    /// # Errors
    /// [`ShareError::TooLarge`], [`ShareError::Malformed`], [`ShareError::Length`].
    pub fn from_bytes(bytes: &[u8], limit: usize) -> Result<Self, ShareError> {
        let wire = decode::<BinaryWire>(bytes, limit, 8)?;
        check_limit(wire.words.0.len() / 8, limit)?;
        wire.check()
    }
}
