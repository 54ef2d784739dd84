//! What goes wrong with the store.

use std::{io, path::PathBuf};

use nd_names::Sha256;

/// Why the store could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system.
    #[error("failed to {action} `{}` in the store", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The store was written by a newer version.
    #[error("the store at `{}` has format {found}, this program knows up to {known}", path.display())]
    Version {
        /// The store.
        path: PathBuf,
        /// Its format.
        found: String,
        /// Ours.
        known: u32,
    },
    /// Bytes that are not those of their digest.
    #[error("expected content {expected}, got {found}")]
    Digest {
        /// The digest asked for.
        expected: Sha256,
        /// The digest of what came.
        found: Sha256,
    },
    /// Reading what should be stored.
    #[error("failed to read what should be stored")]
    Input(#[source] io::Error),
    /// A name of a kind of records that is no plain word.
    #[error("`{0}` is no name of a kind of records")]
    Kind(String),
    /// Other processes use the store, so nothing may be removed.
    #[error("the store at `{}` is in use by another process", .0.display())]
    Busy(PathBuf),
}

impl StoreError {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
