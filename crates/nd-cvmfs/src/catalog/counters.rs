//! The statistics of a catalogue.

use super::row::{Row, RowKind, flag};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counter {
    /// Regular files, chunked ones included.
    Regular,
    /// Symbolic links.
    Symlink,
    /// Pipes, sockets and devices.
    Special,
    /// Directories.
    Dir,
    /// Nested catalogues.
    Nested,
    /// Chunked files.
    Chunked,
    /// Chunks.
    Chunks,
    /// Bytes of all regular files.
    FileSize,
    /// Bytes of chunked files.
    ChunkedSize,
    /// Entries with extended attributes.
    Xattr,
    /// Files whose bytes are on other servers.
    External,
    /// Bytes of such files.
    ExternalFileSize,
}

impl Counter {
    /// All, in the order of storage.
    pub const ALL: [Self; 12] = [
        Self::Regular,
        Self::Symlink,
        Self::Special,
        Self::Dir,
        Self::Nested,
        Self::Chunked,
        Self::Chunks,
        Self::FileSize,
        Self::ChunkedSize,
        Self::Xattr,
        Self::External,
        Self::ExternalFileSize,
    ];

    /// Its name in the data base, behind `self_` or `subtree_`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::Symlink => "symlink",
            Self::Special => "special",
            Self::Dir => "dir",
            Self::Nested => "nested",
            Self::Chunked => "chunked",
            Self::Chunks => "chunks",
            Self::FileSize => "file_size",
            Self::ChunkedSize => "chunked_size",
            Self::Xattr => "xattr",
            Self::External => "external",
            Self::ExternalFileSize => "external_file_size",
        }
    }
}

/// A value for each [`Counter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters([i64; 12]);

impl Counters {
    /// The value of one counter.
    pub fn get(&self, counter: Counter) -> i64 {
        self.0[counter as usize]
    }

    /// Sets the value of one counter.
    pub fn set(&mut self, counter: Counter, value: i64) {
        self.0[counter as usize] = value;
    }

    fn bump(&mut self, counter: Counter, by: i64) {
        let value = &mut self.0[counter as usize];
        *value = value.saturating_add(by);
    }

    /// Counts a row.
    pub fn count(&mut self, row: &Row) {
        let size = i64::try_from(row.size).unwrap_or(i64::MAX);
        match row.kind() {
            RowKind::Dir => self.bump(Counter::Dir, 1),
            RowKind::Symlink => self.bump(Counter::Symlink, 1),
            RowKind::Special => self.bump(Counter::Special, 1),
            RowKind::File => {
                self.bump(Counter::Regular, 1);
                self.bump(Counter::FileSize, size);
                if row.has(flag::CHUNKED) {
                    self.bump(Counter::Chunked, 1);
                    self.bump(Counter::ChunkedSize, size);
                }
                if row.has(flag::EXTERNAL) {
                    self.bump(Counter::External, 1);
                    self.bump(Counter::ExternalFileSize, size);
                }
            }
        }
        self.bump(Counter::Chunks, row.chunks.len() as i64);
        if row.xattrs.is_some() {
            self.bump(Counter::Xattr, 1);
        }
    }

    /// Counts nested catalogues.
    pub fn count_nested(&mut self, number: usize) {
        self.bump(Counter::Nested, number as i64);
    }

    /// Adds another set of values.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        for (value, more) in self.0.iter_mut().zip(other.0) {
            *value = value.saturating_add(more);
        }
        self
    }

    /// Takes another set of values away.
    #[must_use]
    pub fn minus(mut self, other: &Self) -> Self {
        for (value, less) in self.0.iter_mut().zip(other.0) {
            *value = value.saturating_sub(less);
        }
        self
    }
}

/// The counters of a catalogue: its own rows, and everything in catalogues below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Of its own rows.
    pub own: Counters,
    /// Of the catalogues below.
    pub subtree: Counters,
}

impl Statistics {
    /// Both together.
    pub fn total(&self) -> Counters {
        self.own.plus(&self.subtree)
    }
}
