//! What goes wrong when an image is written.

use std::io;

use nd_report::Cancelled;
use nd_rootfs::{ContentsError, TreePath};

/// Why an image could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The output.
    #[error("failed to write the squashfs image")]
    Output(#[source] io::Error),
    /// The compressor.
    #[error("failed to compress a block")]
    Compress(#[source] io::Error),
    /// The contents of the files.
    #[error(transparent)]
    Contents(#[from] ContentsError),
    /// A file whose content was promised and did not come.
    #[error("the content of `{0}` was not handed over")]
    NoContent(TreePath),
    /// A file whose content nobody has read yet, so that equal ones cannot be told.
    #[error("the digest of `{0}` is not known")]
    Unread(TreePath),
    /// Block size or level outside the format.
    #[error("squashfs has no {what} of {value}")]
    Option {
        /// Which option.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// More directories, or longer listings, than offsets of the format can reach.
    #[error("the tree has too many entries for squashfs")]
    TooLarge,
    /// An entry the format cannot hold.
    #[error("`{path}` does not fit into squashfs: {problem}")]
    Entry {
        /// Which entry, `/` for the root.
        path: String,
        /// Why not.
        problem: &'static str,
    },
    /// More distinct owners and groups than the format can number.
    #[error("more than 65,535 different owners and groups; `{0}` has one more")]
    TooManyIds(String),
    /// The caller asked to stop.
    #[error("packing was cancelled")]
    Cancelled(#[from] Cancelled),
}
