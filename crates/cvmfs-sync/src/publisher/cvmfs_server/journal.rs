//! What we note before a transaction is opened, so that one that is found open can be told from those of
//! others.

use std::{
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nd_cvmfs::RepositoryName;
use serde::{Deserialize, Serialize};

use crate::publisher::PublisherError;

/// Nanoseconds since 1970 at which a file was last changed.
pub(super) fn changed(path: &Path) -> io::Result<Option<i64>> {
    match fs_err::symlink_metadata(path) {
        Ok(data) if data.is_file() => {
            let seconds = data.mtime().saturating_mul(1_000_000_000);
            Ok(Some(seconds.saturating_add(data.mtime_nsec())))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// How far we are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
pub(super) enum Phase {
    /// `transaction` is called, from this moment on, in nanoseconds since 1970.
    Opening {
        /// When it was written.
        since: i64,
    },
    /// The transaction is open; its flag was written at this moment.
    Open {
        /// When.
        flag: i64,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    version: u32,
    repository: String,
    #[serde(flatten)]
    phase: Phase,
}

/// The note, in a file of its own.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    repository: RepositoryName,
}

impl Journal {
    pub(super) fn new(folder: &Path, repository: RepositoryName) -> Self {
        Self {
            path: folder.join("transaction.json"),
            repository,
        }
    }

    /// What was noted; of another repository or form it is nothing of ours.
    pub(super) fn read(&self) -> Result<Option<Phase>, PublisherError> {
        let bytes = match fs_err::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(PublisherError::io("read", &self.path)(error)),
        };
        let document: Document =
            serde_json::from_slice(&bytes).map_err(|source| PublisherError::Journal {
                path: self.path.clone(),
                source,
            })?;
        let ours = document.version == 1 && document.repository == self.repository.as_str();
        Ok(ours.then_some(document.phase))
    }

    pub(super) fn write(&self, phase: Phase) -> Result<(), PublisherError> {
        let document = Document {
            version: 1,
            repository: self.repository.to_string(),
            phase,
        };
        let bytes = serde_json::to_vec(&document).map_err(|source| PublisherError::Journal {
            path: self.path.clone(),
            source,
        })?;
        nd_host::write_atomic(&self.path, &bytes).map_err(PublisherError::io("write", &self.path))
    }

    pub(super) fn forget(&self) -> Result<(), PublisherError> {
        match fs_err::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(PublisherError::io("remove", &self.path)(error))
            }
            _ => Ok(()),
        }
    }
}
