//! Why a container could not be tested.

use std::{io, path::PathBuf};

use nd_builder::BuildError;
use nd_rootfs::ContentsError;
use nd_store::StoreError;

/// A container could not be tested.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A file.
    #[error("failed to access `{}`", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The SIF.
    #[error(transparent)]
    Sif(#[from] nd_sif::SifError),
    /// The SIF's file system.
    #[error("failed to read the file system of the SIF")]
    Squashfs(#[from] nd_squashfs::ReadError),
    /// Contents of files.
    #[error(transparent)]
    Contents(#[from] ContentsError),
    /// The image's trees.
    #[error(transparent)]
    Trees(#[from] BuildError),
    /// The layers.
    #[error(transparent)]
    Layers(#[from] crate::output::OutputError),
    /// The runtime.
    #[error(transparent)]
    Runtime(#[from] nd_runtime::RuntimeError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A document.
    #[error("failed to write a document")]
    Json(#[from] serde_json::Error),
}

impl CheckError {
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
