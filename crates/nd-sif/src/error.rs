//! What goes wrong with SIF files.

use std::io;

/// Why a SIF file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SifError {
    /// The file could not be written.
    #[error("failed to write the SIF file")]
    Write(#[source] io::Error),
    /// The file could not be read.
    #[error("failed to read {what} of the SIF file")]
    Read {
        /// Which part.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No SIF file, or one that was never finished.
    #[error("this is no SIF file")]
    NotSif,
    /// A version of the format that is not known.
    #[error("the SIF file has version `{0}`; only version 01 is known")]
    Version(String),
    /// A part that does not hold together.
    #[error("the SIF file is damaged: {0}")]
    Damaged(String),
    /// An object longer than the caller is willing to read.
    #[error("object {id} has {size} bytes, more than the limit of {limit}")]
    TooLong {
        /// Which object.
        id: u32,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// More objects than a file has descriptors.
    #[error("a SIF file holds at most {0} objects")]
    TooMany(usize),
    /// A name that does not fit a descriptor.
    #[error("`{0}` is no name for an object: it has over 127 bytes or holds NUL")]
    Name(String),
}
