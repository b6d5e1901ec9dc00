//! Files and folders that their owner alone may read, and what goes wrong with them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};

/// Why a file cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// The operating system reports an error, a full disk for instance.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason that the operating system gives.
        source: io::Error,
    },
    /// A file that was not written under this key and label, was changed, or is cut short.
    #[error("{}: it is damaged, cut short, or belongs to another key; nothing of it was used", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// More or less data than there should be.
    #[error("{}: it ends {}", path.display(), if *early { "early" } else { "late" })]
    Length {
        /// The file.
        path: PathBuf,
        /// Whether it ends before all was read.
        early: bool,
    },
    /// A secret that others may read.
    #[error("{file}: others may read this secret; run `chmod 600 {file}`", file = path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers")]
    Randomness,
}

/// Random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], DiskError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| DiskError::Randomness)?;
    Ok(bytes)
}

/// Behind the names of files that are being written.
pub(crate) const TEMPORARY: &str = "tmp";

/// The bytes that are written to try a place.
const TRIED_BYTES: usize = 4096;

pub(super) fn temporary_name(path: &Path) -> Result<PathBuf, DiskError> {
    let unique = u64::from_le_bytes(random()?);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(path.with_file_name(format!("{name}.{unique:016x}.{TEMPORARY}")))
}

/// A new file that its owner alone may read.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    private().create_new(true).open(path)
}

/// A file that its owner alone may read, made if it is not there.
pub(crate) fn open_private(path: &Path) -> io::Result<File> {
    private().create(true).truncate(false).open(path)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Refuses a file to which group or others have any access (Unix).
///
/// # Errors
/// [`DiskError::Exposed`].
pub fn check_private(path: &Path) -> Result<(), DiskError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // One that is not there is found out by who reads it.
        let mode = fs::metadata(path).map_or(0, |data| data.permissions().mode());
        if mode & 0o077 != 0 {
            return Err(DiskError::Exposed { path: path.to_owned() });
        }
    }
    let _ = path;
    Ok(())
}

/// Writes a file that its owner alone may read, under its name once it is complete and on disk. It is not encrypted.
///
/// # Errors
/// [`DiskError::Io`], [`DiskError::Randomness`].
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let temporary = temporary_name(path)?;
    let written = create_private(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| sync_folder(path));
    written.map_err(|source| {
        let _ = fs::remove_file(&temporary);
        DiskError::Io { path: path.to_owned(), source }
    })
}

/// Tries whether a file of that name can be written, without writing it: on a full disk it cannot.
///
/// # Errors
/// [`DiskError::Io`], [`DiskError::Randomness`].
pub fn try_place(path: &Path) -> Result<(), DiskError> {
    let temporary = temporary_name(path)?;
    // An empty file can be made on a full disk, and some disks say only when they are synced that there is no room.
    let tried = create_private(&temporary).and_then(|mut file| {
        let written = file.write_all(&[0; TRIED_BYTES]).and_then(|()| file.sync_data());
        fs::remove_file(&temporary).and(written)
    });
    tried.map_err(|source| DiskError::Io { path: path.to_owned(), source })
}

/// Whether a file is of an earlier time: another process may be about to remove or finish a newer one itself.
pub(crate) fn is_old(path: &Path) -> bool {
    let age = fs::metadata(path).and_then(|data| data.modified()).ok().and_then(|modified| modified.elapsed().ok());
    age.is_some_and(|age| age.as_secs() >= 60)
}

/// Makes a folder that its owner alone may read, and those above it.
///
/// # Errors
/// The operating system's.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Has the names in a file's folder written to disk.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
