//! Files at rest, encrypted under a key of their owner.
//!
//! A file is a header and chunks of at most [`CHUNK_BYTES`], each encrypted by AES-256-GCM under a key of the file's own
//! (HKDF-SHA-256 of the owner's key, a random salt and the file's label) with the chunk's number as its nonce; the last chunk
//! is marked as such. So a chunk that was changed, moved, or cut off is noticed, and so is a file under another label.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::PathBuf;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{self, HKDF_SHA256, Salt};
use zeroize::{Zeroize, Zeroizing};

use crate::at_rest::private_file::{DiskError, create_private, random, sync_folder, temporary_name};

/// Bytes of a chunk before it is encrypted.
pub const CHUNK_BYTES: usize = 64 << 10;

const MAGIC: &[u8; 8] = b"MPCVLT01";
const SALT_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
/// A chunk is authenticated together with whether the file ends with it.
const MORE: &[u8] = b"more";
const LAST: &[u8] = b"last";

/// A key for files at rest; zeroised on drop, never shown.
pub struct FileKey(Zeroizing<[u8; 32]>);

impl FileKey {
    /// From 32 secret bytes, which no other purpose shares.
    #[must_use]
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// The cipher of one file.
    pub(super) fn cipher(&self, salt: &[u8], label: &str) -> LessSafeKey {
        struct KeyLength;
        impl hkdf::KeyType for KeyLength {
            fn len(&self) -> usize {
                AES_256_GCM.key_len()
            }
        }
        let mut key = Zeroizing::new([0; 32]);
        let pseudorandom = Salt::new(HKDF_SHA256, salt).extract(self.0.as_slice());
        let info = [MAGIC.as_slice(), label.as_bytes()];
        pseudorandom
            .expand(&info, KeyLength)
            .and_then(|material| material.fill(key.as_mut_slice()))
            .and_then(|()| UnboundKey::new(&AES_256_GCM, key.as_slice()))
            .map(LessSafeKey::new)
            .unwrap_or_else(|_| unreachable!("32 bytes are what HKDF can give and AES-256 takes"))
    }
}

impl std::fmt::Debug for FileKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("FileKey").finish_non_exhaustive()
    }
}

/// Writes a file, which appears under its name only once it is complete and on disk.
pub struct EncryptedWriter {
    path: PathBuf,
    temporary: PathBuf,
    file: Option<File>,
    cipher: LessSafeKey,
    chunk: u64,
    /// Room for a chunk and its tag.
    buffer: Zeroizing<Vec<u8>>,
}

impl EncryptedWriter {
    /// Begins a file of the given label, readable by its owner alone.
    ///
    /// # Errors
    /// [`DiskError::Io`], [`DiskError::Randomness`].
    pub fn create(path: impl Into<PathBuf>, key: &FileKey, label: &str) -> Result<Self, DiskError> {
        let path = path.into();
        let salt: [u8; SALT_BYTES] = random()?;
        let temporary = temporary_name(&path)?;
        let mut file =
            create_private(&temporary).map_err(|source| DiskError::Io { path: temporary.clone(), source })?;
        let begun = file.write_all(MAGIC).and_then(|()| file.write_all(&salt));
        let buffer = Zeroizing::new(Vec::with_capacity(CHUNK_BYTES + TAG_BYTES));
        let writer = Self { path, temporary, file: Some(file), cipher: key.cipher(&salt, label), chunk: 0, buffer };
        // Where it fails, the file is removed again.
        begun.map_err(|source| writer.failed(source))?;
        Ok(writer)
    }

    /// Adds data.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    pub fn write(&mut self, mut data: &[u8]) -> Result<(), DiskError> {
        while !data.is_empty() {
            // A full chunk waits until there is more, as the last one is marked.
            if self.buffer.len() == CHUNK_BYTES {
                self.seal(MORE)?;
            }
            let (part, rest) = data.split_at(data.len().min(CHUNK_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(part);
            data = rest;
        }
        Ok(())
    }

    /// Ends the file: it is on disk, under its name.
    ///
    /// # Errors
    /// [`DiskError::Io`]; then there is no file of that name.
    pub fn finish(mut self) -> Result<(), DiskError> {
        self.seal(LAST)?;
        if let Some(file) = self.file.take() {
            file.sync_all().map_err(|source| self.failed(source))?;
        }
        fs::rename(&self.temporary, &self.path).map_err(|source| self.failed(source))?;
        sync_folder(&self.path).map_err(|source| self.failed(source))
    }

    fn seal(&mut self, end: &'static [u8]) -> Result<(), DiskError> {
        let nonce = nonce(self.chunk);
        self.chunk += 1;
        let sealed = self.cipher.seal_in_place_append_tag(nonce, Aad::from(end), &mut *self.buffer);
        sealed.unwrap_or_else(|_| unreachable!("a chunk is far below the cipher's limit"));
        let written = self.file.as_mut().map_or(Ok(()), |file| file.write_all(&self.buffer));
        self.buffer.clear();
        written.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> DiskError {
        DiskError::Io { path: self.path.clone(), source }
    }
}

impl Drop for EncryptedWriter {
    fn drop(&mut self) {
        // After `finish` there is no file of that name.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Reads a file chunk by chunk; what it gives was authenticated.
pub struct EncryptedReader {
    path: PathBuf,
    file: BufReader<File>,
    cipher: LessSafeKey,
    chunk: u64,
    /// The current chunk, decrypted, of which `used` bytes were given out.
    buffer: Zeroizing<Vec<u8>>,
    used: usize,
    /// Bytes of the whole file that were not given out.
    remaining: u64,
    ended: bool,
}

impl EncryptedReader {
    /// Opens a file that was written under the same key and label.
    ///
    /// # Errors
    /// [`DiskError::Io`]; [`DiskError::Damaged`] for what is no such file.
    pub fn open(path: impl Into<PathBuf>, key: &FileKey, label: &str) -> Result<Self, DiskError> {
        let path = path.into();
        let file = File::open(&path).map_err(|source| DiskError::Io { path: path.clone(), source })?;
        let mut file = BufReader::with_capacity(CHUNK_BYTES + TAG_BYTES, file);
        let mut header = [0; MAGIC.len() + SALT_BYTES];
        let read = file.read_exact(&mut header);
        if read.is_err() || header[..MAGIC.len()] != *MAGIC {
            return Err(DiskError::Damaged { path });
        }
        let cipher = key.cipher(&header[MAGIC.len()..], label);
        let sealed = file.get_ref().metadata().map_or(0, |data| data.len()).saturating_sub(header.len() as u64);
        let tags = sealed.div_ceil((CHUNK_BYTES + TAG_BYTES) as u64) * TAG_BYTES as u64;
        let remaining = sealed.saturating_sub(tags);
        Ok(Self { path, file, cipher, chunk: 0, buffer: Zeroizing::new(Vec::new()), used: 0, remaining, ended: false })
    }

    /// Fills `data` with what follows.
    ///
    /// # Errors
    /// [`DiskError::Damaged`]; [`DiskError::Length`] at the end of the file.
    pub fn read(&mut self, mut data: &mut [u8]) -> Result<(), DiskError> {
        while !data.is_empty() {
            if self.used == self.buffer.len() {
                if self.ended {
                    return Err(DiskError::Length { path: self.path.clone(), early: true });
                }
                self.open_chunk()?;
            }
            let available = &mut self.buffer[self.used..];
            let count = available.len().min(data.len());
            let (part, rest) = data.split_at_mut(count);
            part.copy_from_slice(&available[..count]);
            available[..count].zeroize();
            self.used += count;
            self.remaining = self.remaining.saturating_sub(count as u64);
            data = rest;
        }
        Ok(())
    }

    /// The number of bytes that follow, as far as the file's length tells.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// All that follows, at most `limit` bytes.
    ///
    /// # Errors
    /// [`DiskError::Damaged`]; [`DiskError::Length`] for a file of more bytes.
    pub fn read_to_end(&mut self, limit: usize) -> Result<Zeroizing<Vec<u8>>, DiskError> {
        let size = self.file.get_ref().metadata().map_or(0, |data| data.len());
        // With room for all from the start, the buffer does not move and leave copies behind.
        let capacity = usize::try_from(size).unwrap_or(usize::MAX).min(limit);
        let mut data = Zeroizing::new(Vec::with_capacity(capacity));
        loop {
            let available = &self.buffer[self.used..];
            if available.len() > limit - data.len() {
                return Err(DiskError::Length { path: self.path.clone(), early: false });
            }
            data.extend_from_slice(available);
            self.remaining = self.remaining.saturating_sub(available.len() as u64);
            self.used = self.buffer.len();
            if self.ended {
                return Ok(data);
            }
            self.open_chunk()?;
        }
    }

    /// Checks that nothing follows.
    ///
    /// # Errors
    /// [`DiskError::Length`], [`DiskError::Damaged`].
    pub fn finish(mut self) -> Result<(), DiskError> {
        while self.used == self.buffer.len() && !self.ended {
            self.open_chunk()?;
        }
        if self.used < self.buffer.len() {
            return Err(DiskError::Length { path: self.path.clone(), early: false });
        }
        Ok(())
    }

    fn open_chunk(&mut self) -> Result<(), DiskError> {
        let damaged = DiskError::Damaged { path: self.path.clone() };
        self.buffer.zeroize();
        self.used = 0;
        self.buffer.reserve_exact(CHUNK_BYTES + TAG_BYTES);
        let limit = (CHUNK_BYTES + TAG_BYTES) as u64;
        let read = self.file.by_ref().take(limit).read_to_end(&mut self.buffer);
        let read = read.map_err(|source| DiskError::Io { path: self.path.clone(), source })?;
        let is_last = match self.file.fill_buf_is_empty() {
            Ok(is_last) => is_last,
            Err(source) => return Err(DiskError::Io { path: self.path.clone(), source }),
        };
        if read < TAG_BYTES {
            return Err(damaged);
        }
        let end = if is_last { LAST } else { MORE };
        let opened = self.cipher.open_in_place(nonce(self.chunk), Aad::from(end), &mut self.buffer);
        let length = opened.map(|plain| plain.len());
        match length {
            Ok(length) => self.buffer.truncate(length),
            Err(_) => {
                self.buffer.zeroize();
                return Err(damaged);
            }
        }
        self.chunk += 1;
        self.ended = is_last;
        Ok(())
    }
}

/// Whether a buffered reader is at its end.
trait IsAtEnd {
    fn fill_buf_is_empty(&mut self) -> io::Result<bool>;
}

impl IsAtEnd for BufReader<File> {
    fn fill_buf_is_empty(&mut self) -> io::Result<bool> {
        use io::BufRead;
        self.fill_buf().map(<[u8]>::is_empty)
    }
}

fn nonce(chunk: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&chunk.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use tempfile::tempdir;

    use super::*;

    fn key(byte: u8) -> FileKey {
        FileKey::new(Zeroizing::new([byte; 32]))
    }

    fn write(path: &Path, data: &[u8]) {
        let mut writer = EncryptedWriter::create(path, &key(1), "label").unwrap();
        data.chunks(1000).for_each(|part| writer.write(part).unwrap());
        writer.finish().unwrap();
    }

    fn read(path: &Path, len: usize) -> Result<Vec<u8>, DiskError> {
        let mut data = vec![0; len];
        let mut reader = EncryptedReader::open(path, &key(1), "label")?;
        reader.read(&mut data)?;
        reader.finish()?;
        Ok(data)
    }

    #[test]
    fn gives_back_what_was_written_at_every_edge_of_a_chunk() {
        let folder = tempdir().unwrap();
        for len in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
            let data: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
            let path = folder.path().join(format!("{len}"));
            write(&path, &data);
            assert_eq!(read(&path, len).unwrap(), data);
            let mut reader = EncryptedReader::open(&path, &key(1), "label").unwrap();
            assert_eq!(reader.remaining(), len as u64);
            assert_eq!(*reader.read_to_end(len).unwrap(), data);
            assert_eq!(reader.remaining(), 0);
            assert!(matches!(read(&path, len + 1), Err(DiskError::Length { early: true, .. })), "{len}");
            if len > 0 {
                assert!(matches!(read(&path, len - 1), Err(DiskError::Length { early: false, .. })), "{len}");
                let limited = EncryptedReader::open(&path, &key(1), "label").unwrap().read_to_end(len - 1);
                assert!(matches!(limited, Err(DiskError::Length { early: false, .. })), "{len}");
            }
        }
    }

    #[test]
    fn another_key_and_another_label_are_refused() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, b"secret");
        for (key, label) in [(key(2), "label"), (key(1), "other")] {
            let read = EncryptedReader::open(&path, &key, label).unwrap().read_to_end(100);
            assert!(matches!(read, Err(DiskError::Damaged { .. })));
        }
    }

    #[test]
    fn the_file_does_not_hold_what_was_written_and_no_other_user_may_read_it() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, &[0x5a; 4096]);
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(4).any(|window| window == [0x5a; 4]));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn an_unfinished_file_leaves_nothing() {
        let folder = tempdir().unwrap();
        let mut writer = EncryptedWriter::create(folder.path().join("file"), &key(1), "label").unwrap();
        writer.write(&[1; 100_000]).unwrap();
        drop(writer);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_change_and_cut_is_noticed(len in 0usize..150_000, place: prop::sample::Index, bit in 0u8..8, cut: bool) {
            let folder = tempdir().unwrap();
            let path = folder.path().join("file");
            write(&path, &vec![7; len]);
            let mut bytes = fs::read(&path).unwrap();
            let place = place.index(bytes.len());
            if cut { bytes.truncate(place) } else { bytes[place] ^= 1 << bit }
            fs::write(&path, &bytes).unwrap();
            let is_noticed = matches!(read(&path, len), Err(DiskError::Damaged { .. }));
            prop_assert!(is_noticed);
        }
    }
}
