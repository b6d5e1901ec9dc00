//! Files on disk: packed models, encrypted files, stores of prepared inferences, shares of models.

pub mod encrypted_file;
pub mod model_shares;
pub mod packed_model;
pub mod prepared;
pub mod private_file;
#[cfg(feature = "postgres")]
mod sealed;
#[cfg(test)]
mod small_disk;
