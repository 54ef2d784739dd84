//! What goes wrong when an image is read.

use std::io;

use nd_report::Cancelled;
use nd_rootfs::IndexError;

/// Why an image could not be read. Whatever the bytes are, reading ends with one of these.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes could not be had.
    #[error("failed to read {what}")]
    Io {
        /// What was being read.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No squashfs 4.0 at all.
    #[error("this is no squashfs image of version 4.0")]
    NotSquashfs,
    /// A compression that is not read.
    #[error("the image is compressed with {0}; only gzip and zstd can be read")]
    Compression(&'static str),
    /// A part that does not hold together.
    #[error("the squashfs image is damaged: {0}")]
    Damaged(&'static str),
    /// An entry that does not hold together.
    #[error("`{path}` in the squashfs image is damaged: {problem}")]
    Entry {
        /// Which entry.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A limit was reached.
    #[error("the squashfs image exceeds the limit of {limit} {what} at `{path}`")]
    Limit {
        /// Where.
        path: String,
        /// The limit.
        limit: u64,
        /// What is limited.
        what: &'static str,
    },
    /// Nothing of that name, or something on the way that is no directory.
    #[error("the image has no `{0}`")]
    NotFound(String),
    /// The entries are no tree.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The caller asked to stop.
    #[error("reading was cancelled")]
    Cancelled(#[from] Cancelled),
}

impl ReadError {
    pub(super) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}
