//! Metadata: a stream cut into blocks of 8 KiB, each compressed on its own.

use std::io;

use crate::{
    compression::Packer,
    format::{METADATA, METADATA_RAW},
};

/// Where something stands in a stream of metadata: start of its block in the compressed stream, and
/// offset in the uncompressed block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) block: u64,
    pub(super) offset: u16,
}

impl Place {
    /// The place of a reference.
    pub(super) fn of(reference: u64) -> Self {
        Self {
            block: reference >> 16,
            offset: reference as u16,
        }
    }

    /// Both in one number, as references are written.
    pub(super) fn reference(self) -> u64 {
        self.block << 16 | u64::from(self.offset)
    }
}

/// A stream of metadata being written, kept in memory compressed.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    /// Finished blocks.
    pub(super) packed: Vec<u8>,
    /// The start of each block in `packed`.
    pub(super) starts: Vec<u64>,
    open: Vec<u8>,
    scratch: Vec<u8>,
}

impl Metadata {
    /// Where the next byte will stand.
    pub(super) fn place(&self) -> Place {
        Place {
            block: self.packed.len() as u64,
            offset: self.open.len() as u16,
        }
    }

    pub(super) fn write(&mut self, mut bytes: &[u8], packer: &mut Packer) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = bytes.len().min(METADATA - self.open.len());
            self.open.extend_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            if self.open.len() == METADATA {
                self.flush(packer)?;
            }
        }
        Ok(())
    }

    /// Ends the last block.
    pub(super) fn flush(&mut self, packer: &mut Packer) -> io::Result<()> {
        if self.open.is_empty() {
            return Ok(());
        }
        self.starts.push(self.packed.len() as u64);
        if packer.pack(&self.open, &mut self.scratch)? {
            self.packed
                .extend((self.scratch.len() as u16).to_le_bytes());
            self.packed.append(&mut self.scratch);
        } else {
            self.packed
                .extend((self.open.len() as u16 | METADATA_RAW).to_le_bytes());
            self.packed.extend_from_slice(&self.open);
        }
        self.open.clear();
        Ok(())
    }
}
