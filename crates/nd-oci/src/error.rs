//! What goes wrong with images on disk.

use std::{io, path::PathBuf};

use nd_names::Sha256;
use nd_rootfs::{ContentsError, MergeError, PathError, TreePath};

/// Why an image could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// The file system.
    #[error("failed to access `{}`", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Writing a layer.
    #[error("failed to write a layer")]
    Output(#[source] io::Error),
    /// The content of an entry of a layer being written.
    #[error("failed to read the content of `{path}`")]
    Content {
        /// Which entry.
        path: TreePath,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An entry that a layer cannot hold.
    #[error("`{path}` cannot be written to a layer: {problem}")]
    Unwritable {
        /// Which entry.
        path: TreePath,
        /// Why not.
        problem: &'static str,
    },
    /// A document that is no JSON of its kind.
    #[error("`{what}` is not valid")]
    Json {
        /// Which document.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A blob that is not what its digest says.
    #[error("blob {expected} has other bytes: {found}")]
    Digest {
        /// What was asked for.
        expected: Sha256,
        /// What is there.
        found: Sha256,
    },
    /// A blob of another size than its descriptor says, or above the limit.
    #[error("blob {digest} has {found} bytes, expected {expected}")]
    Size {
        /// Which blob.
        digest: Sha256,
        /// Size in the descriptor, or the limit.
        expected: u64,
        /// Size on disk.
        found: u64,
    },
    /// A layer whose uncompressed bytes are not those of its diff id.
    #[error("layer {layer} unpacks to {found}, but the configuration says {expected}")]
    DiffId {
        /// Digest of the blob.
        layer: Sha256,
        /// What the configuration says.
        expected: Sha256,
        /// What it unpacks to.
        found: Sha256,
    },
    /// A document that contradicts itself or the specification.
    #[error("`{what}` is not an image this program can use: {problem}")]
    Invalid {
        /// Which document.
        what: String,
        /// What is wrong.
        problem: String,
    },
    /// An archive that is of no kind of image.
    #[error("the archive has no `index.json`")]
    NoIndex,
    /// An archive without the list of images that Docker writes.
    #[error("the archive has no `manifest.json`")]
    NoDockerArchive,
    /// No image of that name.
    #[error("`{}` holds no image `{reference}`", layout.display())]
    NoImage {
        /// The layout.
        layout: PathBuf,
        /// What was asked for.
        reference: String,
    },
    /// A layer that is not a usable tar.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// An entry that cannot be unpacked.
    #[error("failed to unpack `{path}`: {what}")]
    Unpack {
        /// Which entry.
        path: TreePath,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Layers that make no tree.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// Contents that could not be handed over.
    #[error(transparent)]
    Contents(#[from] ContentsError),
    /// The store of layer indexes.
    #[error("failed to use the store")]
    Store(#[from] nd_store::StoreError),
}

impl OciError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// Why a layer tar was refused.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The bytes could not be read or unpacked.
    #[error("failed to read a layer near entry `{after}`")]
    Read {
        /// The last entry that was understood.
        after: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A header that cannot be understood.
    #[error("bad tar header after entry `{after}`: {problem}")]
    Header {
        /// The last entry that was understood.
        after: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// An entry that is understood and refused.
    #[error("tar entry `{entry}` is refused: {problem}")]
    Entry {
        /// Its name.
        entry: String,
        /// Why.
        problem: &'static str,
    },
    /// An entry whose name is refused.
    #[error("tar entry is refused")]
    Path(#[from] PathError),
    /// A limit was reached.
    #[error("tar entry `{entry}` exceeds the limit of {limit} {what}")]
    Limit {
        /// Its name.
        entry: String,
        /// The limit.
        limit: u64,
        /// What is limited.
        what: &'static str,
    },
}
