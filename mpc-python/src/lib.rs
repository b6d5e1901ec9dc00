#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod arrays;
mod client;
mod error;
mod network;
mod packed;
mod settings;
mod work;

use pyo3::prelude::*;

/// The native part of the package `mpc`, whose Python gives it the types that a person works with.
#[pymodule]
mod _native {
    #[pymodule_export]
    const MAX_BATCH: u32 = mpc_service::at_rest::prepared::MAX_BATCH;
    #[pymodule_export]
    use crate::client::Client;
    #[pymodule_export]
    use crate::network::Network;
    #[pymodule_export]
    use crate::packed::{PrivateModel, PublicModel};
    #[pymodule_export]
    use crate::settings::Settings;
}
