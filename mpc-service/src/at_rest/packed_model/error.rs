//! Why a model cannot be packed, or a packed model not be read.

use mpc_nn::file::FileError;
use mpc_nn::{EncodingError, GraphError, WeightsError};

use crate::at_rest::private_file::DiskError;
use crate::terms::TermsError;

/// Why a model cannot be packed, or a packed model not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// A file that cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file that cannot be written.
    #[error(transparent)]
    Write(#[from] DiskError),
    /// Another kind of file, another version, or a damaged one.
    #[error("{file} is not a packed model of this version ({reason}); pack it again with this version")]
    Format {
        /// The file, or who sent it.
        file: String,
        /// The fault.
        reason: String,
    },
    /// A network that is larger than those of others may be.
    #[error("{file}: {source}")]
    TooLarge {
        /// The file, or who sent it.
        file: String,
        /// [`EncodingError::TooLarge`].
        source: Box<EncodingError>,
    },
    /// Weights that are not the network's.
    #[error("{file}: {source}")]
    Weights {
        /// The file.
        file: String,
        /// The fault.
        source: WeightsError,
    },
    /// A graph that cannot reveal what the terms say.
    #[error("the terms do not suit the network: {0}")]
    Graph(#[from] GraphError),
    /// Terms for which there is no plan.
    #[error("there is no plan for these terms: {0}")]
    Plan(#[from] TermsError),
}
