//! Locks that end with their process.

use std::{fs::File, io, os::unix::fs::MetadataExt as _, path::Path};

use rustix::{fs::FlockOperation, io::Errno};

/// Only one process at a time holds the lock of a key; dropping it lets the next one in.
#[derive(Debug)]
pub struct KeyLock {
    _file: File,
}

impl KeyLock {
    pub(crate) fn new(file: File) -> Self {
        Self { _file: file }
    }
}

/// How a lock is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// With other readers; waits.
    Shared,
    /// Alone; waits.
    Exclusive,
    /// Alone, or not at all.
    TryExclusive,
}

/// Opens (and makes) a lock file and locks it; `None` if [`Mode::TryExclusive`] found it locked.
/// A file that was removed while we waited is no lock: it is made and locked anew.
pub(crate) fn lock(path: &Path, mode: Mode) -> io::Result<Option<File>> {
    loop {
        let file: File = fs_err::OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?
            .into();
        if !flock(&file, mode)? {
            return Ok(None);
        }
        let same = fs_err::metadata(path)
            .is_ok_and(|now| file.metadata().is_ok_and(|ours| now.ino() == ours.ino()));
        if same {
            return Ok(Some(file));
        }
    }
}

pub(crate) fn flock(file: &File, mode: Mode) -> io::Result<bool> {
    let operation = match mode {
        Mode::Shared => FlockOperation::LockShared,
        Mode::Exclusive => FlockOperation::LockExclusive,
        Mode::TryExclusive => FlockOperation::NonBlockingLockExclusive,
    };
    loop {
        match rustix::fs::flock(file, operation) {
            Ok(()) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}
