//! Blocks of metadata, unpacked on demand and kept for a while.

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::{Arc, Mutex, PoisonError},
};

use super::{ReadAt, ReadError};
use crate::{
    compression::{Compressor, Unpacker},
    format::{METADATA, METADATA_RAW},
};

/// How many unpacked blocks are kept: 4 MiB.
const KEPT: usize = 512;

/// An unpacked block, and where the next one starts.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    pub(super) next: u64,
}

/// Reads and keeps blocks of metadata.
pub(super) struct Blocks {
    compressor: Compressor,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: HashMap<u64, Arc<Block>>,
    order: VecDeque<u64>,
    unpacker: Option<Unpacker>,
    packed: Vec<u8>,
}

impl Blocks {
    pub(super) fn new(compressor: Compressor) -> Self {
        Self {
            compressor,
            state: Mutex::default(),
        }
    }

    /// The block at `at`, which must end at or before `end`.
    pub(super) fn get(
        &self,
        source: &impl ReadAt,
        at: u64,
        end: u64,
    ) -> Result<Arc<Block>, ReadError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(block) = state.kept.get(&at) {
            return Ok(block.clone());
        }
        let state = &mut *state;
        let failed = ReadError::io("a block of metadata");
        let inside = |n: u64| at.checked_add(n).filter(|&sum| sum <= end);
        inside(2).ok_or(ReadError::Damaged("a table ends too early"))?;
        let mut head = [0; 2];
        if let Err(error) = source.read_exact_at(&mut head, at) {
            return Err(failed(error));
        }
        let word = u16::from_le_bytes(head);
        let length = usize::from(word & !METADATA_RAW);
        let next = inside(2 + length as u64)
            .filter(|_| (1..=METADATA).contains(&length))
            .ok_or(ReadError::Damaged("a block of metadata has a wrong length"))?;
        let mut bytes = Vec::new();
        if word & METADATA_RAW == 0 {
            state.packed.resize(length, 0);
            source
                .read_exact_at(&mut state.packed, at + 2)
                .map_err(failed)?;
            let unpacker = match &mut state.unpacker {
                Some(unpacker) => unpacker,
                none => none.insert(
                    Unpacker::new(self.compressor).map_err(ReadError::io("a decompressor"))?,
                ),
            };
            unpacker
                .unpack(&state.packed, &mut bytes, METADATA)
                .map_err(|_: io::Error| {
                    ReadError::Damaged("a block of metadata cannot be unpacked")
                })?;
        } else {
            bytes.resize(length, 0);
            source.read_exact_at(&mut bytes, at + 2).map_err(failed)?;
        }
        let block = Arc::new(Block { bytes, next });
        if state.order.len() >= KEPT
            && let Some(oldest) = state.order.pop_front()
        {
            state.kept.remove(&oldest);
        }
        state.order.push_back(at);
        state.kept.insert(at, block.clone());
        Ok(block)
    }
}

/// Reads on through blocks of one table.
#[derive(Clone)]
pub(super) struct Cursor<'a, S> {
    blocks: &'a Blocks,
    source: &'a S,
    /// Start of the current block.
    at: u64,
    /// End of the table.
    end: u64,
    offset: usize,
    block: Option<Arc<Block>>,
}

impl<'a, S: ReadAt> Cursor<'a, S> {
    /// Begins at byte `offset` of the block at `at`; `end` is where the table ends.
    pub(super) fn new(blocks: &'a Blocks, source: &'a S, at: u64, offset: u16, end: u64) -> Self {
        Self {
            blocks,
            source,
            at,
            end,
            offset: offset.into(),
            block: None,
        }
    }

    /// Where the next byte stands.
    pub(super) fn place(&self) -> (u64, u16) {
        (self.at, self.offset as u16)
    }

    pub(super) fn read(&mut self, mut buf: &mut [u8]) -> Result<(), ReadError> {
        while !buf.is_empty() {
            let block = match &self.block {
                Some(block) => block,
                none => {
                    debug_assert!(none.is_none());
                    let block = self.blocks.get(self.source, self.at, self.end)?;
                    self.block.insert(block)
                }
            };
            let Some(rest) = block.bytes.get(self.offset..) else {
                return Err(ReadError::Damaged("a place outside its block of metadata"));
            };
            if rest.is_empty() {
                // Only a full block has another one behind it that belongs to the same stream.
                if block.bytes.len() < METADATA {
                    return Err(ReadError::Damaged("a table ends too early"));
                }
                (self.at, self.offset) = (block.next, 0);
                self.block = None;
                continue;
            }
            let n = rest.len().min(buf.len());
            buf[..n].copy_from_slice(&rest[..n]);
            buf = &mut buf[n..];
            self.offset += n;
        }
        Ok(())
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let mut out = [0; N];
        self.read(&mut out)?;
        Ok(out)
    }

    pub(super) fn vec(&mut self, length: usize) -> Result<Vec<u8>, ReadError> {
        let mut out = vec![0; length];
        self.read(&mut out)?;
        Ok(out)
    }

    pub(super) fn u16(&mut self) -> Result<u16, ReadError> {
        self.bytes().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ReadError> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, ReadError> {
        self.bytes().map(u64::from_le_bytes)
    }
}
