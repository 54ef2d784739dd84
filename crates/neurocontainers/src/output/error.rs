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
    /// A place that holds something else.
    #[error("`{}` holds something else than an image of this kind, and is left alone", path.display())]
    Occupied {
        /// Which.
        path: PathBuf,
    },
    /// Several images for a place of one.
    #[error(
        "a place of kind `{kind}` holds one image; several go into `oci:DIR` or `registry:REF`"
    )]
    OneImage {
        /// The kind.
        kind: &'static str,
    },
    /// A SIF that nobody made.
    #[error("there is no SIF of this image")]
    NoSif,
    /// A registry.
    #[error("failed to push `{reference}`")]
    Registry {
        /// What was pushed.
        reference: String,
        /// Why.
        #[source]
        source: Box<nd_fetch::registry::RegistryError>,
    },
    /// Settings of connections.
    #[error(transparent)]
    Fetch(#[from] nd_fetch::FetchError),
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
