//! Why something was not published.

use nd_report::Cancelled;
use nd_rootfs::ContentsError;

use crate::{
    catalog::CatalogError,
    history::HistoryError,
    keys::KeyError,
    reflog::ReflogError,
    repository::{ReadError, TrustError},
    storage::StorageError,
};

/// Why something was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The storage failed or is in use.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The repository as it is cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The repository as it is cannot be trusted.
    #[error("the repository cannot be published to: {0}")]
    Trust(TrustError),
    /// Keys.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificate of the release key is not the one of the repository's whitelist.
    #[error("the release key is not the one that the whitelist of this repository allows")]
    OtherKey,
    /// The contents could not be read.
    #[error(transparent)]
    Contents(#[from] ContentsError),
    /// A catalogue could not be made.
    #[error("failed to make a catalogue")]
    Catalog(#[source] CatalogError),
    /// The tags could not be changed.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The reference log could not be changed.
    #[error(transparent)]
    Reflog(#[from] ReflogError),
    /// There is a repository already.
    #[error("there is a repository already")]
    Exists,
    /// A tag of this name exists.
    #[error("there is a tag `{0}` already")]
    TagExists(String),
    /// There is no such tag or revision.
    #[error("there is no tag or revision `{0}`")]
    NoTag(String),
    /// A path leads through something that is no directory.
    #[error("`{0}` is no directory")]
    NotADirectory(String),
    /// Nothing of that path.
    #[error("there is no `{0}`")]
    NotFound(String),
    /// A path that is kept for CVMFS itself.
    #[error("`{0}` is kept for CVMFS itself")]
    Reserved(String),
    /// A file whose content was not stored before.
    #[error("the content of `{0}` was not stored before its tree was put")]
    NotStored(String),
    /// An entry that stands in the way of a catalogue.
    #[error("`{0}` should be an empty file that marks a catalogue")]
    Marker(String),
    /// Garbage cannot be collected here.
    #[error("the repository does not allow garbage collection")]
    NotCollectable,
    /// Somebody asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A revision must be larger than the one before.
    #[error("revision {wanted} is not above the current one, {current}")]
    Revision {
        /// What was asked for.
        wanted: u64,
        /// What there is.
        current: u64,
    },
}

impl From<rusqlite::Error> for PublishError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Catalog(error.into())
    }
}
