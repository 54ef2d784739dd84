//! Why an output could not be written.

use std::{io, path::PathBuf};

use nd_oci::OciError;
use nd_rootfs::{IndexError, MergeError};
use nd_squashfs::{ReadError, WriteError};
use nd_store::StoreError;

/// An output could not be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// A file.
    #[error("failed to access `{}`", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The layers or the layout.
    #[error(transparent)]
    Oci(#[from] OciError),
    /// Layers that contradict each other.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// Files that contradict the image.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The file system of the SIF.
    #[error("failed to write the file system of the SIF")]
    Squashfs(#[from] WriteError),
    /// Reading the SIF's file system back.
    #[error("failed to read the file system of the SIF")]
    ReadSquashfs(#[from] ReadError),
    /// The SIF around it.
    #[error(transparent)]
    Sif(#[from] nd_sif::SifError),
    /// A document.
    #[error("failed to write a document")]
    Json(#[from] serde_json::Error),
}

impl OutputError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
