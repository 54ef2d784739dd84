//! Why something cannot go on.

use std::{io, path::PathBuf};

use nd_oci::OciError;
use nd_rootfs::{ContentsError, show};
use nd_sif::SifError;
use nd_squashfs::ReadError;

/// Why an image cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It cannot be opened.
    #[error("failed to open the image")]
    Open(#[source] io::Error),
    /// What is there is no image.
    #[error("`{}` is neither a SIF file, a squashfs image, an OCI layout nor a root file system", path.display())]
    NoImage {
        /// Where.
        path: PathBuf,
    },
    /// A SIF file whose system is in a file system that is not read.
    #[error("the system in `{}` is no squashfs", path.display())]
    FileSystem {
        /// Where.
        path: PathBuf,
    },
    /// A file of the image is longer than any such file is.
    #[error("`{path}` in the image has more than {limit} bytes")]
    TooLong {
        /// Which file.
        path: String,
        /// The limit, in bytes.
        limit: u64,
    },
    /// A file of the image cannot be read.
    #[error("failed to read `{path}` in the image")]
    File {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Contents of a directory are hashed by its path.
    #[error("a directory is indexed by its path")]
    NeedsPath,
    /// The SIF file.
    #[error(transparent)]
    Sif(#[from] SifError),
    /// The squashfs image.
    #[error(transparent)]
    Squashfs(#[from] ReadError),
    /// The OCI image.
    #[error(transparent)]
    Oci(#[from] OciError),
    /// Bytes of a layer.
    #[error(transparent)]
    Contents(#[from] ContentsError),
}

impl ImageError {
    pub(crate) fn host(path: &[u8], source: io::Error) -> Self {
        Self::File {
            path: show(path),
            source,
        }
    }
}
