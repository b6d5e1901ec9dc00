//! Encoding of shares by serde, bounded and checked on decode.

use alloc::vec;
use alloc::vec::Vec;
use mpc_ring::{Ring, read_all, write_all};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use zeroize::{Zeroize, Zeroizing};

use crate::{ArithmeticShares, BinaryShares, ShareError};

/// No tensor has more dimensions than this.
const MAX_DIMENSIONS: usize = 16;

/// What stands on the wire; nothing of it is trusted before [`ArithmeticWire::check`].
#[derive(Serialize, Deserialize)]
struct ArithmeticWire {
    ring_bits: u32,
    shape: Vec<u64>,
    elements: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct BinaryWire {
    width: u32,
    len: u64,
    words: Vec<u8>,
}

impl Drop for ArithmeticWire {
    fn drop(&mut self) {
        self.elements.zeroize();
    }
}

impl Drop for BinaryWire {
    fn drop(&mut self) {
        self.words.zeroize();
    }
}

impl ArithmeticWire {
    fn of<R: Ring>(shares: &ArithmeticShares<R>) -> Self {
        let mut elements = vec![0; shares.len() * R::BYTES];
        write_all(shares.elements(), &mut elements);
        Self { ring_bits: R::BITS, shape: shares.shape().iter().map(|&d| d as u64).collect(), elements }
    }

    fn check<R: Ring>(&self) -> Result<ArithmeticShares<R>, ShareError> {
        let malformed = |reason| ShareError::Malformed { reason };
        if self.ring_bits != R::BITS {
            return Err(malformed("it is of another ring"));
        }
        if self.shape.len() > MAX_DIMENSIONS {
            return Err(malformed("it has too many dimensions"));
        }
        let shape = self.shape.iter().map(|&d| usize::try_from(d)).collect::<Result<Vec<_>, _>>();
        let shape = shape.map_err(|_| malformed("a dimension is too large for this machine"))?;
        if !self.elements.len().is_multiple_of(R::BYTES) {
            return Err(malformed("it ends within an element"));
        }
        let mut elements = vec![R::ZERO; self.elements.len() / R::BYTES];
        read_all(&self.elements, &mut elements);
        ArithmeticShares::new(&shape, elements)
    }
}

impl BinaryWire {
    fn of(shares: &BinaryShares) -> Self {
        let mut words = vec![0; shares.words().len() * 8];
        write_all(shares.words(), &mut words);
        Self { width: shares.width(), len: shares.len() as u64, words }
    }

    fn check(&self) -> Result<BinaryShares, ShareError> {
        let malformed = |reason| ShareError::Malformed { reason };
        let len = usize::try_from(self.len).map_err(|_| malformed("the length is too large for this machine"))?;
        if !self.words.len().is_multiple_of(8) {
            return Err(malformed("it ends within a word"));
        }
        let mut words = vec![0u64; self.words.len() / 8];
        read_all(&self.words, &mut words);
        BinaryShares::new(self.width, len, words)
    }
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

fn encode<T: Serialize>(value: &T) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(postcard::to_allocvec(value).expect("shares always encode"))
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8], limit: usize, element_bytes: usize) -> Result<T, ShareError> {
    // Lengths inside are checked against the bytes that are there, so bounding the bytes bounds the memory.
    let bound = limit.saturating_mul(element_bytes).saturating_add(256);
    if bytes.len() > bound {
        return Err(ShareError::TooLarge { declared: (bytes.len() / element_bytes) as u64, limit: limit as u64 });
    }
    let (value, rest) = postcard::take_from_bytes(bytes)
        .map_err(|_| ShareError::Malformed { reason: "it is cut short or its fields are not valid" })?;
    if rest.is_empty() { Ok(value) } else { Err(ShareError::Malformed { reason: "bytes follow its end" }) }
}

impl<R: Ring> ArithmeticShares<R> {
    /// The encoding of these shares (postcard), to be sent to the one party that they are for, or stored encrypted.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        encode(self)
    }

    /// Shares from an encoding that is not trusted, of at most `limit` elements.
    ///
    /// # Errors
    /// [`ShareError::TooLarge`], [`ShareError::Malformed`], [`ShareError::Length`].
    pub fn from_bytes(bytes: &[u8], limit: usize) -> Result<Self, ShareError> {
        decode::<ArithmeticWire>(bytes, limit, R::BYTES)?.check()
    }
}

impl BinaryShares {
    /// The encoding of these shares (postcard).
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        encode(self)
    }

    /// Shares from an encoding that is not trusted, of at most `limit` words of 64 bits.
    ///
    /// # Errors
    /// [`ShareError::TooLarge`], [`ShareError::Malformed`], [`ShareError::Length`].
    pub fn from_bytes(bytes: &[u8], limit: usize) -> Result<Self, ShareError> {
        decode::<BinaryWire>(bytes, limit, 8)?.check()
    }
}
