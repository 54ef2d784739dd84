//! Locks that end with their process.

use std::{fs::File, io, os::unix::fs::MetadataExt as _, path::Path};

use rustix::{fs::FlockOperation, io::Errno};

/// A lock on a file, held until dropped or until every process that inherited it is gone.
///
/// The file stays where it is: its name means nothing, only the lock on it does.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

impl FileLock {
    /// Waits until nobody else holds the lock in any way.
    pub fn exclusive(path: &Path) -> io::Result<Self> {
        let file = open(path, FlockOperation::LockExclusive)?;
        file.ok_or_else(|| Errno::WOULDBLOCK.into())
    }

    /// Waits until nobody else holds the lock exclusively.
    pub fn shared(path: &Path) -> io::Result<Self> {
        let file = open(path, FlockOperation::LockShared)?;
        file.ok_or_else(|| Errno::WOULDBLOCK.into())
    }

    /// The lock, or `None` when somebody else holds it.
    pub fn try_exclusive(path: &Path) -> io::Result<Option<Self>> {
        open(path, FlockOperation::NonBlockingLockExclusive)
    }

    /// Makes a shared lock exclusive. When somebody else holds it as well it stays shared, after a
    /// moment without any: the kernel gives a lock up before it takes another.
    pub fn try_alone(&self) -> io::Result<bool> {
        let alone = flock(&self.file, FlockOperation::NonBlockingLockExclusive)?;
        if !alone {
            self.share()?;
        }
        Ok(alone)
    }

    /// Makes an exclusive lock shared.
    pub fn share(&self) -> io::Result<()> {
        flock(&self.file, FlockOperation::LockShared).map(|_| ())
    }

    /// The locked file, to write into it who holds it.
    pub fn file(&self) -> &File {
        &self.file
    }
}

fn open(path: &Path, operation: FlockOperation) -> io::Result<Option<FileLock>> {
    loop {
        let file: File = fs_err::OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?
            .into();
        if !flock(&file, operation)? {
            return Ok(None);
        }
        // A file that was removed while we waited locks nobody out.
        if is_at(&file, path) {
            return Ok(Some(FileLock { file }));
        }
    }
}

/// Whether `path` is still the name of `file`.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    let named = |now: std::fs::Metadata| file.metadata().is_ok_and(|ours| now.ino() == ours.ino());
    fs_err::metadata(path).is_ok_and(named)
}

/// Whether the lock was taken.
pub(crate) fn flock(file: &File, operation: FlockOperation) -> io::Result<bool> {
    loop {
        match rustix::fs::flock(file, operation) {
            Ok(()) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}
