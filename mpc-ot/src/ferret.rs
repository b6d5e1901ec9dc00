//! Silent correlated OTs: a short message makes millions of them.
//!
//! Yang, Weng, Lan, Zhang, Wang, "Ferret: fast extension for correlated OT with small communication" (CCS 2020), with regular
//! noise and a 10-local code (its figure 8), and the correlated trees of Guo et al., "Half-tree" (EUROCRYPT 2023, section 4).
//! A round has t trees of 2^d leaves. Of each tree the receiver lacks one leaf, where its string differs by Δ: together one
//! noisy vector. To it both add the same random linear combinations of k correlated OTs that they have, ten for each place. A set
//! with two lanes does so twice side by side, each lane with trees and correlated OTs of its own, and the same ten places.
//!
//! The receiver's noise positions are the choice bits of the correlated OTs that open the trees. They are uniform for the
//! sender already, so that no correction travels: all messages go from the sender to the receiver.
//!
//! # Security
//! Semi-honest, under learning parity with noise for the sets in [`ParameterSet`] and circular-correlation robustness of the
//! hash. A sender that deviates can learn choice bits from whether the receiver fails (selective failure); the check of the
//! paper's figure 7 is not done. No index or branch depends on a secret: the code's places are public, trees are walked whole.
//!
//! # Rounds and communication
//! 16·d bytes a tree from sender to receiver; no round of its own, as no message depends on an answer.

mod code;
mod end;
mod parameters;
mod strings;

pub(crate) use end::trees_for;
pub use end::{FerretReceiver, FerretSender};
pub use parameters::ParameterSet;
