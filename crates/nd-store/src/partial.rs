//! Partials: files that are filled over several runs and become blobs when they are whole.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use fs_err::os::unix::fs::OpenOptionsExt as _;
use nd_host::FileLock;
use nd_names::Sha256;

use crate::{KeyLock, Store, StoreError};

/// A file that survives its process: what one run has put there, the next one goes on with. Only
/// one process or thread holds the partial of a key; what its bytes are good for is noted by the
/// caller, in a record.
#[derive(Debug)]
pub struct Partial {
    store: Store,
    path: PathBuf,
    file: File,
    lock: KeyLock,
}

impl Partial {
    /// The file, open for reading and writing; where it stands is the caller's business.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes it holds now.
    pub fn bytes(&self) -> Result<u64, StoreError> {
        let meta = self.file.metadata();
        Ok(meta.map_err(StoreError::io("read", &self.path))?.len())
    }

    /// Makes it the blob of this digest, which the caller has taken of all its bytes. They are
    /// forced to the medium first: nobody compares them with their digest again. The lock is handed
    /// back, so that what belongs to the blob can be written down before the next one looks.
    pub fn into_blob(self, digest: &Sha256) -> Result<(PathBuf, KeyLock), StoreError> {
        let to = self.store.path("blobs", digest);
        self.file
            .sync_data()
            .map_err(StoreError::io("write", &self.path))?;
        fs_err::rename(&self.path, &to).map_err(StoreError::io("name", &to))?;
        Ok((to, self.lock))
    }

    /// Removes it.
    pub fn discard(self) -> Result<(), StoreError> {
        match fs_err::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io("remove", &self.path)(error))
            }
            _ => Ok(()),
        }
    }
}

impl Store {
    /// The lock of `key` like [`Store::lock`], or `None` while somebody else has it: for callers
    /// who must not block.
    pub fn try_lock(&self, key: &Sha256) -> Result<Option<KeyLock>, StoreError> {
        let path = self.path("locks", key);
        let lock = FileLock::try_exclusive(&path).map_err(StoreError::io("lock", &path))?;
        Ok(lock.map(KeyLock))
    }

    /// The partial of `key`, empty if there was none; `None` while somebody else has it.
    pub fn try_partial(&self, key: &Sha256) -> Result<Option<Partial>, StoreError> {
        let Some(lock) = self.try_lock(key)? else {
            return Ok(None);
        };
        let path = self.path("partials", key);
        let file = fs_err::OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            // It becomes a blob, and those may be read by others than their owner.
            .mode(0o644)
            .open(&path)
            .map_err(StoreError::io("open", &path))?;
        Ok(Some(Partial {
            store: self.clone(),
            path,
            file: file.into(),
            lock,
        }))
    }
}
