//! Squashfs images: read, list and write, in parallel, with hard links and extended attributes.
//!
//! [`write`] packs an [`nd_rootfs::Index`] and its [`nd_rootfs::Contents`]; [`Reader`] gives both
//! back from an image, or lists one directory of it in milliseconds.

mod compression;
mod format;
mod read;
mod write;

pub use compression::{Compression, Compressor};
pub use read::{
    Digests, FileRange, ImageContents, Limits, Node, NodeKind, ReadAt, ReadError, Reader,
};
pub use write::{Progress, WriteError, WriteOptions, Written, write};

/// Stands for the digest of content that has not been read.
pub const UNREAD: nd_names::Sha256 = nd_names::Sha256::from_bytes([0; 32]);

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
