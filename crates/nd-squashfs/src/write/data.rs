//! Contents of files: blocks one after the other, files of less than a block in fragments.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
};

use nd_names::Sha256;
use nd_rootfs::{ContentSink, Index, Kind, Location, Wanted};

use super::{
    WriteOptions,
    error::WriteError,
    pipeline::{Pipeline, Target},
};
use crate::format::NONE;

/// Where a content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    /// Start of the first stored block; `u64::MAX` while there is none.
    pub(super) start: u64,
    /// Size words of the blocks, 0 for a block of zeros.
    pub(super) sizes: Vec<u32>,
    /// Number of the fragment block, or [`NONE`].
    pub(super) fragment: u32,
    /// Offset in the fragment block.
    pub(super) offset: u32,
    /// Bytes in blocks of zeros.
    pub(super) sparse: u64,
    /// Whether the content was handed over.
    there: bool,
}

/// All contents of an image.
#[derive(Debug, Default)]
pub(super) struct Data {
    /// Numbers of the distinct contents.
    numbers: HashMap<Sha256, usize>,
    placed: Vec<Placed>,
    /// Start and size word of the fragment blocks.
    pub(super) fragments: Vec<(u64, u32)>,
    /// Bytes before compression.
    pub(super) bytes: u64,
}

impl Data {
    /// Numbers the distinct contents of `index`, and says which are wanted.
    pub(super) fn plan(index: &Index) -> (Self, Wanted) {
        let mut data = Self::default();
        let mut wanted = Wanted::default();
        for (at, file) in Wanted::distinct(index).iter() {
            if file.size == 0 {
                continue;
            }
            data.numbers.insert(file.content, data.placed.len());
            data.placed.push(Placed {
                start: u64::MAX,
                sizes: Vec::new(),
                fragment: NONE,
                offset: 0,
                sparse: 0,
                there: false,
            });
            wanted.insert(at, file.size, file.content);
        }
        (data, wanted)
    }

    /// Where a content is; `None` for the empty one.
    pub(super) fn get(&self, content: &Sha256) -> Option<&Placed> {
        self.numbers.get(content).map(|&n| &self.placed[n])
    }

    /// How many distinct contents there are.
    pub(super) fn len(&self) -> usize {
        self.placed.len()
    }

    /// Fails if a content of the index was never handed over.
    pub(super) fn check(&self, index: &Index) -> Result<(), WriteError> {
        for entry in index {
            if let Kind::File { content, .. } = &entry.kind
                && self.get(content).is_some_and(|placed| !placed.there)
            {
                return Err(WriteError::NoContent(entry.path.clone()));
            }
        }
        Ok(())
    }
}

/// Cuts contents into blocks and fragments.
pub(super) struct Packing<'a, 'o, W> {
    data: Data,
    pipeline: Pipeline<'a, W>,
    options: &'a WriteOptions<'o>,
    block_size: usize,
    /// The fragment block being filled, and how full it is.
    fragment: Option<(Box<[u8]>, usize)>,
    /// Number of the fragment block being filled.
    fragments: u32,
    /// Bytes told to the reporter.
    told: u64,
    /// What really went wrong when [`ContentSink::file`] gave an error of ours.
    failed: Option<WriteError>,
}

/// Between two reports of progress.
const REPORT: u64 = 4 << 20;

impl<'a, 'o, W: Write> Packing<'a, 'o, W> {
    pub(super) fn new(
        data: Data,
        pipeline: Pipeline<'a, W>,
        options: &'a WriteOptions<'o>,
    ) -> Self {
        Self {
            data,
            pipeline,
            options,
            block_size: options.block_size as usize,
            fragment: None,
            fragments: 0,
            told: 0,
            failed: None,
        }
    }

    /// The error behind the one that a `Contents` passed on.
    pub(super) fn failure(&mut self) -> Option<WriteError> {
        self.failed.take()
    }

    /// Ends the last fragment block and waits for everything. Gives the contents and the length of
    /// the image so far.
    pub(super) fn finish(mut self) -> Result<(Data, u64), WriteError> {
        self.end_fragment()?;
        self.pipeline.drain()?;
        self.note_stored();
        self.tell(0);
        Ok((self.data, self.pipeline.position()))
    }

    fn store(&mut self, content: &Sha256, size: u64, bytes: &mut dyn Read) -> Result<(), Stop> {
        let Some(&number) = self.data.numbers.get(content) else {
            return Ok(());
        };
        if self.data.placed[number].there {
            return Ok(());
        }
        if size < self.block_size as u64 {
            self.small(number, size as usize, bytes)?;
        } else {
            let mut left = size;
            while left > 0 {
                let length = left.min(self.block_size as u64) as usize;
                let mut block = self.pipeline.buffer();
                bytes.read_exact(&mut block[..length]).map_err(Stop::Read)?;
                self.block(number, block, length)?;
                left -= length as u64;
            }
        }
        self.data.placed[number].there = true;
        Ok(())
    }

    /// A block of a file that has at least a whole one. The end of such a file is a short block of
    /// its own: in a fragment it would pack no better, and whoever reads the file would unpack the
    /// whole fragment block for it.
    fn block(&mut self, number: usize, block: Box<[u8]>, length: usize) -> Result<(), WriteError> {
        self.options.cancel.check()?;
        self.data.bytes += length as u64;
        let placed = &mut self.data.placed[number];
        let target = Target::Block {
            content: number,
            number: placed.sizes.len(),
        };
        placed.sizes.push(0);
        if is_zero(&block[..length]) {
            placed.sparse += length as u64;
            self.pipeline.give_back(block);
            return Ok(());
        }
        self.pipeline.push(target, block, length)?;
        self.note_stored();
        self.tell(REPORT);
        Ok(())
    }

    /// A file of less than a block.
    fn small(&mut self, number: usize, length: usize, bytes: &mut dyn Read) -> Result<(), Stop> {
        self.options.cancel.check().map_err(WriteError::from)?;
        if let Some((_, full)) = &self.fragment
            && full + length > self.block_size
        {
            self.end_fragment()?;
        }
        let pipeline = &mut self.pipeline;
        let (block, full) = self.fragment.get_or_insert_with(|| (pipeline.buffer(), 0));
        bytes
            .read_exact(&mut block[*full..*full + length])
            .map_err(Stop::Read)?;
        let placed = &mut self.data.placed[number];
        placed.fragment = self.fragments;
        placed.offset = *full as u32;
        *full += length;
        self.data.bytes += length as u64;
        self.tell(REPORT);
        Ok(())
    }

    fn end_fragment(&mut self) -> Result<(), WriteError> {
        if let Some((block, full)) = self.fragment.take() {
            self.fragments += 1;
            self.pipeline.push(Target::Fragment, block, full)?;
            self.note_stored();
        }
        Ok(())
    }

    fn note_stored(&mut self) {
        for stored in self.pipeline.stored() {
            match stored.target {
                Target::Fragment => self.data.fragments.push((stored.at, stored.size)),
                Target::Block { content, number } => {
                    let placed = &mut self.data.placed[content];
                    placed.sizes[number] = stored.size;
                    placed.start = placed.start.min(stored.at);
                }
            }
        }
    }

    /// Reports progress if there is that much of it.
    fn tell(&mut self, least: u64) {
        if self.data.bytes - self.told < least {
            return;
        }
        if let Some(progress) = &self.options.progress {
            progress.advanced(self.data.bytes);
        }
        self.told = self.data.bytes;
    }
}

/// Why storing a content ended early.
enum Stop {
    Read(io::Error),
    Write(WriteError),
}

impl From<WriteError> for Stop {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl<W: Write> ContentSink for Packing<'_, '_, W> {
    fn file(
        &mut self,
        _at: Location,
        size: u64,
        content: &Sha256,
        bytes: &mut dyn Read,
    ) -> io::Result<()> {
        self.store(content, size, bytes).map_err(|stop| match stop {
            Stop::Read(error) => error,
            Stop::Write(error) => {
                let shown = io::Error::other(error.to_string());
                self.failed = Some(error);
                shown
            }
        })
    }
}

fn is_zero(block: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    block.chunks(ZEROS.len()).all(|c| c == &ZEROS[..c.len()])
}
