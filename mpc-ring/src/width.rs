//! The choice of a ring at run time.

use core::fmt;
use core::str::FromStr;

/// The bits of a ring element, where they are chosen at run time; see [`in_ring!`](crate::in_ring).
///
/// ```
/// use mpc_ring::RingBits;
/// assert_eq!("64".parse(), Ok(RingBits::Bits64));
/// assert!("48".parse::<RingBits>().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum RingBits {
    /// Z_2^32.
    Bits32,
    /// Z_2^64.
    #[default]
    Bits64,
    /// Z_2^128.
    Bits128,
}

/// A number of bits that no ring here has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bits of a ring element are 32, 64 or 128")]
pub struct UnknownRing;

impl RingBits {
    /// The number of bits.
    #[must_use]
    pub const fn get(self) -> u32 {
        match self {
            Self::Bits32 => 32,
            Self::Bits64 => 64,
            Self::Bits128 => 128,
        }
    }
}

impl FromStr for RingBits {
    type Err = UnknownRing;

    fn from_str(text: &str) -> Result<Self, UnknownRing> {
        match text {
            "32" => Ok(Self::Bits32),
            "64" => Ok(Self::Bits64),
            "128" => Ok(Self::Bits128),
            _ => Err(UnknownRing),
        }
    }
}

impl fmt::Display for RingBits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(formatter)
    }
}

/// The value of an expression in which a name stands for the ring of so many bits.
///
/// ```
/// use mpc_ring::{Ring, RingBits, in_ring};
/// let bits = in_ring!(RingBits::Bits32, R => R::BITS);
/// assert_eq!(bits, 32);
/// ```
#[macro_export]
macro_rules! in_ring {
    ($bits:expr, $ring:ident => $body:expr) => {
        match $bits {
            $crate::RingBits::Bits32 => {
                type $ring = u32;
                $body
            }
            $crate::RingBits::Bits64 => {
                type $ring = u64;
                $body
            }
            $crate::RingBits::Bits128 => {
                type $ring = u128;
                $body
            }
        }
    };
}
