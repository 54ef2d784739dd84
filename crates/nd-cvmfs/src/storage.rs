//! Where repositories are: anything that gives bytes by path, and anything that also takes them.

use std::{
    io::{self, Read},
    num::NonZeroUsize,
    path::Path,
    sync::Arc,
};

/// Gives the bytes of a repository by their path below its root.
pub trait Source: Send + Sync {
    /// What is read, for people; never with a password.
    fn describe(&self) -> String;

    /// The bytes at `path`, or `None` when there is nothing.
    fn open(&self, path: &str) -> Result<Option<Box<dyn Read + Send>>, StorageError>;

    /// How many bytes there are at `path`, or `None` when there is nothing.
    fn size(&self, path: &str) -> Result<Option<u64>, StorageError>;
}

/// Takes the bytes of a repository as well. One publisher at a time holds its [`Guard`].
pub trait Storage: Source {
    /// Makes what has to exist before anything is put.
    fn prepare(&self) -> Result<(), StorageError>;

    /// The folder of this machine that it is, if it is one.
    fn folder(&self) -> Option<&Path> {
        None
    }

    /// How many threads may make and put objects at a time unless the caller says it; one per core
    /// where putting does not wait for others.
    fn writers(&self) -> NonZeroUsize {
        std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
    }

    /// Puts `bytes` at `path`; readers see the former bytes or all of the new ones.
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StorageError>;

    /// Removes what is at `path`, if anything.
    fn remove(&self, path: &str) -> Result<(), StorageError>;

    /// Removes what is at any of `paths`; after an error some of it is gone.
    fn remove_all(&self, paths: &[String]) -> Result<(), StorageError> {
        paths.iter().try_for_each(|path| self.remove(path))
    }

    /// Calls `each` with path and size of everything below `data/`.
    fn list(&self, each: &mut dyn FnMut(&str, u64)) -> Result<(), StorageError>;

    /// Waits until everything put so far survives a loss of power.
    fn sync(&self) -> Result<(), StorageError>;

    /// Locks other publishers and collectors out until the guard is dropped, or refuses with
    /// [`StorageError::Busy`]. What a killed holder left behind is cleared.
    fn lock(&self) -> Result<Box<dyn Guard>, StorageError>;

    /// The manifest as it is now, for [`Self::switch_manifest`] to compare.
    fn manifest(&self) -> Result<Option<Version>, StorageError>;

    /// Replaces the manifest in one step if it still is `old`; [`StorageError::Conflict`] otherwise.
    fn switch_manifest(&self, old: Option<&Version>, new: &[u8]) -> Result<(), StorageError>;
}

/// Held while a repository is changed.
pub trait Guard: Send {
    /// Told after the reference log was written, with the text of its hash.
    fn reflog_written(&self, hash: &str) -> Result<(), StorageError>;
}

/// The bytes of a manifest with what the storage compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What the storage calls this version of them; empty where it has no names for versions.
    pub tag: String,
}

/// Why a storage did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// Reading or writing failed.
    #[error("failed to use `{path}`")]
    Io {
        /// What was used.
        path: String,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// More bytes than anything of this kind may have.
    #[error("`{path}` has more than {limit} bytes")]
    TooLarge {
        /// What was read.
        path: String,
        /// How many bytes would have been accepted.
        limit: u64,
    },
    /// Somebody else holds the repository.
    #[error("the repository is in use: {0}")]
    Busy(String),
    /// The manifest was changed by somebody else meanwhile.
    #[error("the manifest was changed by somebody else meanwhile; nothing was published")]
    Conflict,
}

impl StorageError {
    /// Whether there is no room.
    pub fn is_full(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, Self::Io { source, .. } if full.contains(&source.kind()))
    }

    /// An I/O error at `path`.
    pub fn io(path: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            path: path.into(),
            source: Arc::new(source),
        }
    }
}

/// What [`read_all`] has room for at first, in bytes.
const PORTION: usize = 64 << 10;

/// All bytes at `path`, no more than `limit`; `None` when there is nothing.
pub fn read_all(
    source: &dyn Source,
    path: &str,
    limit: u64,
) -> Result<Option<Vec<u8>>, StorageError> {
    let Some(bytes) = source.open(path)? else {
        return Ok(None);
    };
    // As large as most objects are: grown from nothing, it would be read in tiny portions.
    let mut out =
        Vec::with_capacity(usize::try_from(limit).map_or(PORTION, |limit| limit.min(PORTION)));
    (bytes.take(limit.saturating_add(1)).read_to_end(&mut out))
        .map_err(|error| StorageError::io(path, error))?;
    if out.len() as u64 > limit {
        let path = path.to_owned();
        return Err(StorageError::TooLarge { path, limit });
    }
    Ok(Some(out))
}
