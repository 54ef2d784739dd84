//! What a caller may choose, and what it is told.

use nd_report::{Cancel, Event, Reporter, StepId};
use nd_rootfs::Attr;

use crate::{Compression, WriteError, format::BLOCK_SIZES};

/// Where progress goes: uncompressed bytes of file contents, as [`Event::Advanced`].
#[derive(Clone, Copy)]
pub struct Progress<'a> {
    /// Takes the events.
    pub reporter: &'a dyn Reporter,
    /// The unit of work they belong to, started and finished by the caller.
    pub step: StepId,
}

impl Progress<'_> {
    pub(super) fn advanced(&self, bytes: u64) {
        self.reporter.event(Event::Advanced {
            id: self.step,
            bytes,
        });
    }
}

impl std::fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Progress").field(&self.step).finish()
    }
}

/// How an image is written. Equal options, index and contents give equal bytes; `threads`,
/// `progress` and `cancel` change nothing in them.
#[derive(Debug, Clone)]
pub struct WriteOptions<'a> {
    /// Compression of data and metadata.
    pub compression: Compression,
    /// Bytes of a data block before compression: a power of two from 4 KiB to 1 MiB.
    pub block_size: u32,
    /// Threads that compress, besides the one that calls; 0 for as many as the machine has cores.
    pub threads: usize,
    /// Later modification times are set to this, in seconds since 1970; also the time of the image
    /// itself.
    pub epoch: Option<i64>,
    /// Attributes of `/`, which an index does not hold.
    pub root: Attr,
    /// Where progress goes.
    pub progress: Option<Progress<'a>>,
    /// Lets the caller stop the work.
    pub cancel: Cancel,
}

impl Default for WriteOptions<'_> {
    /// zstd level 3, blocks of 128 KiB, all cores, times as they are, `/` as 0755 of root.
    ///
    /// Blocks of 1 MiB make an image 7 % smaller in the same time, but whoever reads a little
    /// unpacks eight times as much: loading `scipy.stats` from a mounted image took the kernel twice
    /// as long, reading all copyright files five times.
    fn default() -> Self {
        Self {
            compression: Compression::Zstd(3),
            block_size: 128 * 1024,
            threads: 0,
            epoch: None,
            root: Attr::implicit(),
            progress: None,
            cancel: Cancel::default(),
        }
    }
}

impl WriteOptions<'_> {
    pub(super) fn check(&self) -> Result<(), WriteError> {
        if !self.block_size.is_power_of_two() || !BLOCK_SIZES.contains(&self.block_size) {
            return Err(WriteError::Option {
                what: "block size",
                value: self.block_size.into(),
            });
        }
        if !self.compression.is_valid() {
            let (Compression::Zstd(level) | Compression::Gzip(level)) = self.compression;
            return Err(WriteError::Option {
                what: "compression level",
                value: level.into(),
            });
        }
        Ok(())
    }

    pub(super) fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
            n => n,
        }
        .min(64)
    }
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Length of the image with its padding to 4 KiB.
    pub bytes: u64,
    /// Inodes, the root's among them.
    pub inodes: u32,
    /// Distinct contents that were stored, empty files aside.
    pub contents: u64,
    /// Their bytes before compression.
    pub content_bytes: u64,
    /// What the format could not keep and no digest covers, for people.
    pub notes: Vec<String>,
}
