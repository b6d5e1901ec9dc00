//! The shares of models that their owners have left with a server, encrypted at rest.
//!
//! Each owner has two places for a plan: one for the share that sessions use, and one for the share that is to follow it
//! once all servers have theirs. A switch renames the second over the first.
//!
//! ```text
//! shares/PLAN.OWNER.share     in use
//! shares/PLAN.OWNER.staged    there, and not in use unless another server has switched
//! ```

use std::fs;
use std::path::PathBuf;

use mpc_nn::GraphLimits;
use mpc_shares::SecretVec;
use zeroize::Zeroizing;

use crate::at_rest::encrypted_file::{EncryptedReader, EncryptedWriter, FileKey};
use crate::at_rest::packed_model::{PackError, PublicModel};
use crate::at_rest::prepared::StoreError;
use crate::at_rest::private_file::{DiskError, TEMPORARY, create_private_folder, is_old, sync_folder};
use crate::names::{DepositId, Owner, PlanDigest};
use crate::terms::MAX_PUBLIC_BYTES;

/// Behind the names of shares in use.
const SHARE: &str = "share";
/// Behind the names of shares that are to follow.
const STAGED: &str = "staged";

/// A folder of model shares, each with the public part of its model. One server uses it.
#[derive(Debug)]
pub struct ModelShares {
    folder: PathBuf,
    key: FileKey,
    limits: GraphLimits,
}

/// A share that was found; it is read from the file that was there then, whatever replaces it.
pub(crate) struct Found {
    id: DepositId,
    public: PublicModel,
    reader: EncryptedReader,
}

impl Found {
    /// The share itself, which has `bytes` bytes.
    pub(crate) fn read(mut self, bytes: usize) -> Result<SecretVec<u8>, DiskError> {
        let mut share = SecretVec::zeros(bytes);
        self.reader.read(&mut share)?;
        self.reader.finish()?;
        Ok(share)
    }
}

impl ModelShares {
    /// Opens a folder, which is made if it is not there, and removes what a crash has left; models must be within `limits`.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn open(folder: impl Into<PathBuf>, key: FileKey, limits: GraphLimits) -> Result<Self, StoreError> {
        let shares = Self { folder: folder.into(), key, limits };
        create_private_folder(&shares.folder).map_err(|source| shares.failed(source))?;
        let is_left = |path: &PathBuf| path.extension().is_some_and(|end| end == TEMPORARY) && is_old(path);
        for path in shares.names()?.iter().map(|name| shares.folder.join(name)).filter(is_left) {
            match fs::remove_file(path) {
                // Another machine that shares the folder has removed it.
                Err(source) if source.kind() == std::io::ErrorKind::NotFound => {}
                removed => removed.map_err(|source| shares.failed(source))?,
            }
        }
        Ok(shares)
    }

    /// Keeps a share that is not used before [`switch`](Self::switch), in place of one of this plan and owner that was not
    /// either.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn stage(&self, plan: PlanDigest, id: DepositId, public: &[u8], share: &[u8]) -> Result<(), StoreError> {
        let path = self.path(plan, id.owner, STAGED);
        let mut writer = EncryptedWriter::create(path, &self.key, &label(plan, id.owner))?;
        writer.write(&id.version)?;
        writer.write(&(public.len() as u64).to_le_bytes())?;
        writer.write(public)?;
        writer.write(share)?;
        Ok(writer.finish()?)
    }

    /// Has sessions use a share that was kept, in place of the owner's earlier one of this plan; whether it is there.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn switch(&self, plan: PlanDigest, id: DepositId) -> Result<bool, StoreError> {
        let is = |end: &str| Ok::<_, DiskError>(self.version(plan, id.owner, end)? == Some(id));
        if is(SHARE)? {
            return Ok(true);
        }
        if !is(STAGED)? {
            return Ok(false);
        }
        let [staged, share] = [STAGED, SHARE].map(|end| self.path(plan, id.owner, end));
        let switched = fs::rename(staged, &share).and_then(|()| sync_folder(&share));
        switched.map_err(|source| self.failed(source))?;
        Ok(true)
    }

    /// The shares of a plan, at most two of each owner, and whether sessions use them.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn deposits(&self, plan: PlanDigest) -> Result<Vec<(DepositId, bool)>, StoreError> {
        let mut deposits = Vec::new();
        for (owner, end) in self.of_plan(plan)? {
            deposits.extend(self.version(plan, owner, end)?.map(|id| (id, end == SHARE)));
        }
        Ok(deposits)
    }

    /// The public part of a model of a plan, whoever has left it: those that count are the same in all.
    pub(crate) fn public(&self, plan: PlanDigest) -> Result<Option<PublicModel>, PackError> {
        for (owner, end) in self.of_plan(plan)? {
            if let Some(found) = self.open_share(plan, owner, end)? {
                return Ok(Some(found.public));
            }
        }
        Ok(None)
    }

    /// A share of a plan.
    pub(crate) fn find(&self, plan: PlanDigest, id: DepositId) -> Result<Option<Found>, PackError> {
        // In this order: what is switched in between is found at its second place.
        for end in [STAGED, SHARE] {
            if let Some(found) = self.open_share(plan, id.owner, end)?
                && found.id == id
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The owners and places of a plan's shares.
    fn of_plan(&self, plan: PlanDigest) -> Result<Vec<(Owner, &'static str)>, DiskError> {
        let plan = plan.to_string();
        let place = |name: &String| {
            let (owner, end) = name.strip_prefix(&plan)?.strip_prefix('.')?.split_once('.')?;
            let end = [SHARE, STAGED].into_iter().find(|known| *known == end)?;
            Some((owner.parse().ok()?, end))
        };
        Ok(self.names()?.iter().filter_map(place).collect())
    }

    fn names(&self) -> Result<Vec<String>, DiskError> {
        let entries = fs::read_dir(&self.folder).map_err(|source| self.failed(source))?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
    }

    fn version(&self, plan: PlanDigest, owner: Owner, end: &str) -> Result<Option<DepositId>, DiskError> {
        Ok(self.open_file(plan, owner, end)?.map(|(id, _)| id))
    }

    /// A file and the version in it; nothing if there is none.
    fn open_file(
        &self,
        plan: PlanDigest,
        owner: Owner,
        end: &str,
    ) -> Result<Option<(DepositId, EncryptedReader)>, DiskError> {
        let mut reader = match EncryptedReader::open(self.path(plan, owner, end), &self.key, &label(plan, owner)) {
            Err(DiskError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut version = [0; 16];
        reader.read(&mut version)?;
        Ok(Some((DepositId { owner, version }, reader)))
    }

    fn open_share(&self, plan: PlanDigest, owner: Owner, end: &str) -> Result<Option<Found>, PackError> {
        let Some((id, mut reader)) = self.open_file(plan, owner, end)? else { return Ok(None) };
        let path = self.path(plan, owner, end);
        let mut length = [0; 8];
        reader.read(&mut length)?;
        let length = usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > MAX_PUBLIC_BYTES {
            return Err(DiskError::Damaged { path }.into());
        }
        let mut public = Zeroizing::new(vec![0; length]);
        reader.read(&mut public)?;
        // It had a plan when it was left here, and pages ask for it as often as they like.
        let public = PublicModel::decode(&public, &path.display().to_string(), &self.limits)?;
        Ok(Some(Found { id, public, reader }))
    }

    fn path(&self, plan: PlanDigest, owner: Owner, end: &str) -> PathBuf {
        self.folder.join(format!("{plan}.{owner}.{end}"))
    }

    fn failed(&self, source: std::io::Error) -> DiskError {
        DiskError::Io { path: self.folder.clone(), source }
    }
}

/// One for both places, as a switch renames the file.
fn label(plan: PlanDigest, owner: Owner) -> String {
    format!("{plan}/{owner}")
}

#[cfg(test)]
mod tests {
    use mpc_ring::RingBits;
    use tempfile::{TempDir, tempdir};

    use super::*;
    use crate::terms::Terms;

    const PLAN: PlanDigest = PlanDigest([7; 32]);

    fn open(folder: &TempDir) -> ModelShares {
        let key = FileKey::new(Zeroizing::new([5; 32]));
        ModelShares::open(folder.path(), key, GraphLimits::default()).unwrap()
    }

    fn id(owner: u8, version: u8) -> DepositId {
        DepositId { owner: Owner([owner; 32]), version: [version; 16] }
    }

    fn public() -> Vec<u8> {
        let mut builder = mpc_nn::GraphBuilder::new();
        let x = builder.input("x", &[1, 2]).unwrap();
        let y = builder.relu("y", x).unwrap();
        let graph = builder.finish(&[y]).unwrap();
        let weights = mpc_nn::Weights::for_graph(&graph, Default::default()).unwrap();
        let terms = Terms { ring: RingBits::Bits64, ..Terms::default() };
        PublicModel::new(&mpc_nn::Network::new(graph, weights), terms).unwrap().to_bytes()
    }

    fn stage(shares: &ModelShares, id: DepositId) {
        shares.stage(PLAN, id, &public(), &[id.version[0]; 3]).unwrap();
    }

    fn used(shares: &ModelShares) -> Vec<(u8, u8, bool)> {
        let mut used: Vec<_> = shares.deposits(PLAN).unwrap();
        used.sort();
        used.iter().map(|(id, is_used)| (id.owner.0[0], id.version[0], *is_used)).collect()
    }

    #[test]
    fn a_share_is_used_after_the_switch_and_the_one_before_until_then() {
        let folder = tempdir().unwrap();
        let shares = open(&folder);
        stage(&shares, id(1, 1));
        assert_eq!(used(&shares), [(1, 1, false)]);
        assert!(!shares.switch(PLAN, id(1, 2)).unwrap(), "it is not there");
        assert!(shares.switch(PLAN, id(1, 1)).unwrap());
        assert!(shares.switch(PLAN, id(1, 1)).unwrap(), "a second time changes nothing");
        stage(&shares, id(1, 2));
        assert_eq!(used(&shares), [(1, 1, true), (1, 2, false)]);
        // A session that has begun goes on with its own.
        let begun = shares.find(PLAN, id(1, 1)).unwrap().unwrap();
        assert!(shares.switch(PLAN, id(1, 2)).unwrap());
        assert_eq!(used(&open(&folder)), [(1, 2, true)]);
        assert_eq!(begun.read(3).unwrap()[..], [1; 3]);
        assert!(shares.find(PLAN, id(1, 1)).unwrap().is_none());
        assert_eq!(shares.find(PLAN, id(1, 2)).unwrap().unwrap().read(3).unwrap()[..], [2; 3]);
    }

    #[test]
    fn to_find_a_share_makes_no_plan() {
        let folder = tempdir().unwrap();
        let shares = open(&folder);
        let public = PublicModel::from_bytes(&public(), "net", &GraphLimits::default()).unwrap();
        let planless = PublicModel { terms: Terms { parties: 1, ..public.terms }, ..public };
        assert!(planless.digest().is_err());
        shares.stage(PLAN, id(1, 1), &planless.to_bytes(), &[1]).unwrap();
        assert_eq!(shares.public(PLAN).unwrap().unwrap().terms, planless.terms);
        assert!(shares.find(PLAN, id(1, 1)).unwrap().is_some());
    }

    #[test]
    fn two_owners_have_places_of_their_own_and_no_file_stands_in_for_another() {
        let folder = tempdir().unwrap();
        let shares = open(&folder);
        for owner in [1, 2] {
            stage(&shares, id(owner, owner));
            assert!(shares.switch(PLAN, id(owner, owner)).unwrap());
        }
        assert_eq!(used(&shares), [(1, 1, true), (2, 2, true)]);
        let [first, second] = [1, 2].map(|owner| shares.path(PLAN, Owner([owner; 32]), SHARE));
        fs::copy(first, second).unwrap();
        assert!(matches!(shares.find(PLAN, id(2, 2)), Err(PackError::Write(DiskError::Damaged { .. }))));
    }

    #[test]
    fn what_a_crash_leaves_of_a_deposit_is_removed_and_what_is_being_written_stays() {
        let folder = tempdir().unwrap();
        let shares = open(&folder);
        stage(&shares, id(1, 1));
        let path = shares.path(PLAN, Owner([1; 32]), STAGED);
        let [left, new] = ["0", "1"].map(|digit| path.with_extension(format!("staged.{}.tmp", digit.repeat(16))));
        [&left, &new].iter().for_each(|path| fs::write(path, b"half").unwrap());
        let hour = std::time::Duration::from_secs(3600);
        fs::File::options().write(true).open(&left).unwrap().set_modified(std::time::SystemTime::now() - hour).unwrap();
        open(&folder);
        assert!(!left.exists() && new.exists(), "another machine is about to rename the new one");
        assert_eq!(used(&shares), [(1, 1, false)]);
    }
}
