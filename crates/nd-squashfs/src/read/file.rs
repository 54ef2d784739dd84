//! The bytes of one file.

use std::{
    borrow::BorrowMut,
    io::{self, Read},
};

use super::{ReadAt, ReadError, Reader, inode::File, metadata::Cursor};
use crate::{
    compression::Unpacker,
    format::{BLOCK_RAW, NONE},
};

/// What one thread needs to unpack data: buffers of a block, and the last fragment block, since
/// neighbours share it.
pub(super) struct Scratch {
    unpacker: Unpacker,
    packed: Vec<u8>,
    block: Vec<u8>,
    fragment: Vec<u8>,
    /// Which fragment block `fragment` holds.
    number: u32,
}

impl Scratch {
    pub(super) fn new<S: ReadAt>(reader: &Reader<S>) -> Result<Self, ReadError> {
        Ok(Self {
            unpacker: Unpacker::new(reader.compressor).map_err(ReadError::io("a decompressor"))?,
            packed: Vec::new(),
            block: Vec::new(),
            fragment: Vec::new(),
            number: NONE,
        })
    }
}

/// Reads a file from its first to its last byte.
pub(super) struct FileBytes<'r, S, B> {
    reader: &'r Reader<S>,
    scratch: B,
    file: File,
    list: Cursor<'r, S>,
    /// Position of the next block in the image.
    position: u64,
    /// Bytes of the file that have been unpacked, and how many of the last block were taken.
    unpacked: u64,
    taken: usize,
    from_fragment: bool,
}

impl<'r, S: ReadAt, B: BorrowMut<Scratch>> FileBytes<'r, S, B> {
    pub(super) fn new(reader: &'r Reader<S>, file: File, mut scratch: B) -> Self {
        scratch.borrow_mut().block.clear();
        let (block, offset) = file.list;
        Self {
            reader,
            scratch,
            list: Cursor::new(
                &reader.blocks,
                &reader.source,
                block,
                offset,
                reader.superblock.bytes,
            ),
            position: file.start,
            unpacked: 0,
            taken: 0,
            from_fragment: false,
            file,
        }
    }

    /// Unpacks the next part of the file.
    fn next(&mut self) -> Result<(), ReadError> {
        let size = u64::from(self.reader.superblock.block_size);
        let expected = (self.file.size - self.unpacked).min(size) as usize;
        let scratch = self.scratch.borrow_mut();
        self.taken = 0;
        if self.file.fragment != NONE && expected < size as usize {
            let number = self.file.fragment;
            if scratch.number != number {
                scratch.number = NONE;
                let (at, word) = self.reader.fragment(number)?;
                let (unpacker, packed) = (&mut scratch.unpacker, &mut scratch.packed);
                read_block(
                    self.reader,
                    at,
                    word,
                    unpacker,
                    packed,
                    &mut scratch.fragment,
                )?;
                scratch.number = number;
            }
            let from = self.file.offset as usize;
            let part = (from.checked_add(expected)).and_then(|to| scratch.fragment.get(from..to));
            if part.is_none() {
                return Err(ReadError::Damaged("a file ends outside its fragment block"));
            }
            self.from_fragment = true;
            self.taken = from;
        } else {
            let word = self.list.u32()?;
            if word == 0 {
                scratch.block.clear();
                scratch.block.resize(expected, 0);
            } else {
                let (unpacker, packed) = (&mut scratch.unpacker, &mut scratch.packed);
                read_block(
                    self.reader,
                    self.position,
                    word,
                    unpacker,
                    packed,
                    &mut scratch.block,
                )?;
                if scratch.block.len() != expected {
                    return Err(ReadError::Damaged("a block of data has a wrong length"));
                }
                self.position += u64::from(word & !BLOCK_RAW);
            }
        }
        self.unpacked += expected as u64;
        Ok(())
    }
}

fn read_block<S: ReadAt>(
    reader: &Reader<S>,
    at: u64,
    word: u32,
    unpacker: &mut Unpacker,
    packed: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), ReadError> {
    let length = (word & !BLOCK_RAW) as usize;
    let most = reader.superblock.block_size as usize;
    let end = at.checked_add(length as u64);
    if length == 0 || length > most || end.is_none_or(|end| end > reader.superblock.bytes) {
        return Err(ReadError::Damaged(
            "a block of data has a wrong place or length",
        ));
    }
    let raw = word & BLOCK_RAW != 0;
    let into = if raw { &mut *out } else { &mut *packed };
    into.resize(length, 0);
    reader
        .source
        .read_exact_at(into, at)
        .map_err(ReadError::io("a block of data"))?;
    if !raw {
        unpacker
            .unpack(packed, out, most)
            .map_err(|_: io::Error| ReadError::Damaged("a block of data cannot be unpacked"))?;
    }
    Ok(())
}

impl<S: ReadAt, B: BorrowMut<Scratch>> Read for FileBytes<'_, S, B> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let scratch = self.scratch.borrow_mut();
            let available = if self.from_fragment {
                let end = self.file.offset as usize
                    + (self.file.size % u64::from(self.reader.superblock.block_size)) as usize;
                scratch.fragment.get(self.taken..end).unwrap_or_default()
            } else {
                scratch.block.get(self.taken..).unwrap_or_default()
            };
            if !available.is_empty() {
                let n = available.len().min(buf.len());
                buf[..n].copy_from_slice(&available[..n]);
                self.taken += n;
                return Ok(n);
            }
            if self.unpacked == self.file.size {
                return Ok(0);
            }
            self.next().map_err(io::Error::other)?;
        }
    }
}
