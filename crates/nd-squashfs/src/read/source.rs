//! Where the bytes of an image come from.

use std::{fs::File, io, os::unix::fs::FileExt as _};

/// Bytes that can be read at any place, from several threads at once.
pub trait ReadAt: Send + Sync {
    /// Fills `buf` from `offset` on; fewer bytes are an error.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    /// How many bytes there are.
    fn length(&self) -> u64;
}

/// A part of a file, such as a partition of a SIF.
#[derive(Debug)]
pub struct FileRange {
    file: File,
    start: u64,
    length: u64,
}

impl FileRange {
    /// `length` bytes of `file` from `start` on.
    pub fn new(file: File, start: u64, length: u64) -> Self {
        Self {
            file,
            start,
            length,
        }
    }

    /// All of `file`.
    pub fn whole(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self::new(file, 0, length))
    }
}

fn is_inside(length: u64, offset: u64, wanted: usize) -> io::Result<()> {
    match offset.checked_add(wanted as u64) {
        Some(end) if end <= length => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

impl ReadAt for FileRange {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        is_inside(self.length, offset, buf.len())?;
        let at = (self.start.checked_add(offset)).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.file.read_exact_at(buf, at)
    }

    fn length(&self) -> u64 {
        self.length
    }
}

impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        is_inside(self.len() as u64, offset, buf.len())?;
        buf.copy_from_slice(&self[offset as usize..][..buf.len()]);
        Ok(())
    }

    fn length(&self) -> u64 {
        self.len() as u64
    }
}
