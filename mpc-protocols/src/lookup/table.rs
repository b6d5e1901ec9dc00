//! The public part of a lookup.

use serde::{Deserialize, Serialize};

use crate::function::Function;

/// A tabulated function with its scales: everything else about a lookup follows from it and the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// The function; its smooth part is tabulated.
    pub function: Function,
    /// Fractional bits of the argument.
    pub input_bits: u32,
    /// Fractional bits of the result.
    pub output_bits: u32,
    /// Results are below 2^`limit_bits` units in the last place.
    pub limit_bits: u32,
}
