//! Tar, as layers use it. Where formats are ambiguous we read what Go's `archive/tar` reads,
//! because the other container tools sit on it: a second opinion is an attack.

mod number;
mod pax;
mod read;
mod sparse;
mod write;

pub(crate) use read::{Header, HeaderKind, TarReader};
pub(crate) use write::{Record, TarWriter};

/// Size of a tar block.
pub(crate) const BLOCK: usize = 512;

/// What a layer may cost at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Bytes of extended headers of one entry.
    pub extended: u64,
    /// Bytes of one extended attribute.
    pub xattr: u64,
    /// Logical bytes of one file.
    pub file: u64,
    /// Logical bytes of all files.
    pub total: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 4_000_000,
            extended: 1 << 20,
            xattr: 64 << 10,
            file: 1 << 40,
            total: 4 << 40,
        }
    }
}
