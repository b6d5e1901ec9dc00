//! Why a command ends without success, and its exit code.

use crate::files::FilesError;
use crate::fixed_point::{fitting, planned};
use crate::inspect::InspectError;
use crate::run::error::{InputError, RunError};
use mpc_models::tensors::TensorError;
use mpc_nn::PlanError;
use mpc_onnx::{ImportError, OnnxError};
use mpc_service::at_rest::private_file::DiskError;
use mpc_service::names::Refusal;
use mpc_service::{Kind, PackError, ServiceError, StoreError, TermsError};
use mpc_transport::tls::CertificateError;

/// Why a command ends without success.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Wrong arguments, or a model or input that cannot be used: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// A key or certificate: exit code 2.
    #[error("{file}: {source}")]
    Key {
        /// The file.
        file: String,
        /// The fault.
        source: CertificateError,
    },
    /// A fault of this side: exit code 1.
    #[error("{0}")]
    Own(String),
    /// Before a run started: exit code 2.
    #[error(transparent)]
    Input(#[from] InputError),
    /// While it ran: exit code 1.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A session that had come so far.
    #[error("{source}; {session}")]
    Session {
        /// How far, and where its results are.
        session: String,
        /// Why it ended.
        source: Box<Failure>,
    },
    /// A session, preparation or deposit.
    #[error("{}{}", .0, flags(.0))]
    Service(#[from] ServiceError),
}

impl Failure {
    /// The exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Key { .. } | Self::Input(_) => 2,
            Self::Own(_) | Self::Run(_) => 1,
            Self::Session { source, .. } => source.code(),
            Self::Service(error) => match error {
                ServiceError::Pack(_)
                | ServiceError::Plan(_)
                | ServiceError::Input(_)
                | ServiceError::Unfit(_)
                | ServiceError::Servers { .. }
                | ServiceError::NoDealer
                | ServiceError::NeedlessDealer
                | ServiceError::NoRecipient
                | ServiceError::Recipients { .. }
                | ServiceError::SeveralOwners { .. }
                | ServiceError::DealerTakesPart { .. }
                | ServiceError::PartyTwice { .. }
                | ServiceError::NotOutsourced
                | ServiceError::Arguments(_)
                | ServiceError::NothingPrepared { .. } => 2,
                _ => match error.kind() {
                    Kind::Differs => 3,
                    Kind::PeerLost => 4,
                    Kind::TimedOut => 5,
                    Kind::Refused => 6,
                    _ => 1,
                },
            },
        }
    }
}

/// The flags to type, where an error of the library only says what is missing.
fn flags(error: &ServiceError) -> String {
    let flags = match error {
        ServiceError::Restored { batch, until, .. } => {
            return format!(" (`mpc store STORE --burn {batch} --until {until}`)");
        }
        ServiceError::Servers { .. } => " (--connect HOST:PORT=FILE.crt for each)",
        ServiceError::Elsewhere { .. } => " (--connect, --server: HOST:PORT,HOST:PORT=FILE.crt)",
        ServiceError::Unplaced { .. } => " (--advertise HOST:PORT there)",
        ServiceError::NoDealer => " (--dealer HOST:PORT=FILE.crt)",
        ServiceError::NeedlessDealer => " (leave --dealer out)",
        ServiceError::NoRecipient => " (--results FOLDER)",
        ServiceError::Recipients { .. } => " (--reveal-to says who may learn it)",
        ServiceError::SeveralOwners { .. } => " (--model-owner FILE.crt)",
        ServiceError::NotDeposited { .. } => " (`mpc deposit`)",
        ServiceError::Replaced { .. } | ServiceError::Refused { refusal: Refusal::Replaced, .. } => {
            " (`mpc store STORE --remove BATCH`, `mpc prepare`)"
        }
        ServiceError::Refused { refusal: Refusal::Restored, .. } => {
            " (`mpc store STORE --burn BATCH --until N` at the side that was restored)"
        }
        ServiceError::NotOutsourced => " (`mpc pack --outsourced`)",
        ServiceError::NothingPrepared { .. } => " (`mpc prepare`, or `mpc query` without --store)",
        _ => "",
    };
    flags.to_owned()
}

macro_rules! usage {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Usage(error.to_string())
            }
        }
    )*};
}

usage!(FilesError, ImportError, InspectError, OnnxError, TensorError);

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        Self::Usage(planned(&error))
    }
}

impl From<TermsError> for Failure {
    fn from(error: TermsError) -> Self {
        let fitting = if let TermsError::Plan(plan) = &error { fitting(plan) } else { String::new() };
        Self::Usage(format!("{error}{fitting}"))
    }
}

impl From<PackError> for Failure {
    fn from(error: PackError) -> Self {
        let advice = match &error {
            PackError::Plan(TermsError::Plan(plan)) => fitting(plan),
            PackError::TooLarge { .. } => " (--max-network)".to_owned(),
            _ => String::new(),
        };
        Self::Usage(format!("{error}{advice}"))
    }
}

macro_rules! own {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Own(error.to_string())
            }
        }
    )*};
}

own!(StoreError, DiskError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_with_its_flag() {
        let error = ServiceError::NoDealer;
        assert!(!error.to_string().contains("--"), "{error}");
        let text = Failure::from(error).to_string();
        assert!(text.ends_with("which this session needs (--dealer HOST:PORT=FILE.crt)"), "{text}");
    }
}
