//! The shares of models that their owners have left with a server, encrypted at rest.

use std::fs;
use std::path::PathBuf;

use mpc_nn::GraphLimits;
use mpc_shares::SecretVec;
use zeroize::Zeroizing;

use crate::at_rest::encrypted_file::{EncryptedReader, EncryptedWriter, FileKey};
use crate::at_rest::packed_model::{PackError, PublicModel};
use crate::at_rest::prepared::StoreError;
use crate::at_rest::private_file::{DiskError, create_private_folder};
use crate::names::PlanDigest;
use crate::terms::MAX_PUBLIC_BYTES;

const SHARE: &str = "share";

/// A folder of model shares, each with the public part of its model.
#[derive(Debug)]
pub struct ModelShares {
    folder: PathBuf,
    key: FileKey,
    limits: GraphLimits,
}

impl ModelShares {
    /// Opens a folder, which is made if it is not there; models must be within `limits`.
    ///
    /// # Errors
    /// [`StoreError::Folder`].
    pub fn open(folder: impl Into<PathBuf>, key: FileKey, limits: GraphLimits) -> Result<Self, StoreError> {
        let shares = Self { folder: folder.into(), key, limits };
        let made = create_private_folder(&shares.folder);
        made.map_err(|source| StoreError::Folder { path: shares.folder.clone(), source })?;
        Ok(shares)
    }

    /// The plans of the models that are there, in no order.
    ///
    /// # Errors
    /// [`StoreError::Folder`].
    pub fn plans(&self) -> Result<Vec<PlanDigest>, StoreError> {
        let failed = |source| StoreError::Folder { path: self.folder.clone(), source };
        let entries = fs::read_dir(&self.folder).map_err(failed)?;
        let digest = |entry: std::io::Result<fs::DirEntry>| {
            entry.ok()?.file_name().to_str()?.strip_suffix(SHARE)?.strip_suffix('.')?.parse().ok()
        };
        Ok(entries.filter_map(digest).collect())
    }

    /// Keeps a share, in place of one of the same plan.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn keep(&self, plan: PlanDigest, public: &[u8], share: &[u8]) -> Result<(), StoreError> {
        let mut writer = EncryptedWriter::create(self.path(plan), &self.key, &plan.to_string())?;
        writer.write(&(public.len() as u64).to_le_bytes())?;
        writer.write(public)?;
        writer.write(share)?;
        Ok(writer.finish()?)
    }

    /// The public part of the model of a plan; `None` if there is none.
    ///
    /// # Errors
    /// [`PackError`].
    pub fn public(&self, plan: PlanDigest) -> Result<Option<PublicModel>, PackError> {
        Ok(self.read(plan)?.map(|(public, _)| public))
    }

    /// The share of the model of a plan, which has `bytes` bytes; `None` if there is none.
    ///
    /// # Errors
    /// [`PackError`].
    pub fn share(&self, plan: PlanDigest, bytes: usize) -> Result<Option<SecretVec<u8>>, PackError> {
        let Some((_, mut reader)) = self.read(plan)? else { return Ok(None) };
        let mut share = SecretVec::zeros(bytes);
        reader.read(&mut share)?;
        reader.finish()?;
        Ok(Some(share))
    }

    fn read(&self, plan: PlanDigest) -> Result<Option<(PublicModel, EncryptedReader)>, PackError> {
        let path = self.path(plan);
        if !path.is_file() {
            return Ok(None);
        }
        let mut reader = EncryptedReader::open(&path, &self.key, &plan.to_string())?;
        let mut length = [0; 8];
        reader.read(&mut length)?;
        let length = usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > MAX_PUBLIC_BYTES {
            return Err(DiskError::Damaged { path }.into());
        }
        let mut public = Zeroizing::new(vec![0; length]);
        reader.read(&mut public)?;
        let public = PublicModel::from_bytes(&public, &path.display().to_string(), &self.limits)?;
        Ok(Some((public, reader)))
    }

    fn path(&self, plan: PlanDigest) -> PathBuf {
        self.folder.join(format!("{plan}.{SHARE}"))
    }
}
