//! Blocks compressed on several threads and written in the order they were given.
//!
//! The calling thread reads and writes, others compress. A block's place in the image follows from
//! the order of calls alone, so timing and the number of threads leave no trace. Memory is bounded
//! by the number of blocks on their way.

use std::{
    collections::VecDeque,
    io::{self, Write},
    thread::Scope,
};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::{Compression, WriteError, compression::Packer, format::BLOCK_RAW};

/// Bytes of blocks under way, before compression; as much again may be held compressed.
const IN_FLIGHT: usize = 8 << 20;

/// What a block is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// A whole block of a content: number of the content, number of the block.
    Block { content: usize, number: usize },
    /// A fragment block; they come in the order of their numbers.
    Fragment,
}

/// A block that has been written: where it starts in the image, and its size word.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored {
    pub(super) target: Target,
    pub(super) at: u64,
    pub(super) size: u32,
}

/// A block under way; both buffers travel round and are used again.
struct Job {
    sequence: u64,
    target: Target,
    raw: Box<[u8]>,
    length: usize,
    packed: Vec<u8>,
    smaller: io::Result<bool>,
}

/// Takes blocks, gives back where they are.
pub(super) struct Pipeline<'a, W> {
    out: &'a mut W,
    block_size: usize,
    /// Bytes of the image so far.
    position: u64,
    jobs: Sender<Job>,
    done: Receiver<Job>,
    /// Blocks given and not written: the first has the number `written`.
    waiting: VecDeque<Option<Job>>,
    written: u64,
    most: usize,
    raws: Vec<Box<[u8]>>,
    packs: Vec<Vec<u8>>,
    stored: Vec<Stored>,
}

impl<'a, W: Write> Pipeline<'a, W> {
    /// Starts the threads. They end when this value is dropped.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        out: &'a mut W,
        position: u64,
        compression: Compression,
        block_size: u32,
        threads: usize,
    ) -> Result<Self, WriteError> {
        let (jobs, todo) = unbounded::<Job>();
        let (finished, done) = unbounded();
        for number in 0..threads {
            let mut packer = Packer::new(compression).map_err(WriteError::Compress)?;
            let (todo, finished) = (todo.clone(), finished.clone());
            std::thread::Builder::new()
                .name(format!("squashfs-{number}"))
                .spawn_scoped(scope, move || {
                    for mut job in todo {
                        job.smaller = packer.pack(&job.raw[..job.length], &mut job.packed);
                        if finished.send(job).is_err() {
                            break;
                        }
                    }
                })
                .map_err(WriteError::Compress)?;
        }
        Ok(Self {
            out,
            block_size: block_size as usize,
            position,
            jobs,
            done,
            waiting: VecDeque::new(),
            written: 0,
            most: (IN_FLIGHT / block_size as usize).max(threads * 4),
            raws: Vec::new(),
            packs: Vec::new(),
            stored: Vec::new(),
        })
    }

    /// A buffer of one block, with anything in it.
    pub(super) fn buffer(&mut self) -> Box<[u8]> {
        (self.raws.pop()).unwrap_or_else(|| vec![0; self.block_size].into())
    }

    /// Takes a buffer back that was not needed.
    pub(super) fn give_back(&mut self, raw: Box<[u8]>) {
        self.raws.push(raw);
    }

    /// Takes a block: the first `length` bytes of `raw`.
    pub(super) fn push(
        &mut self,
        target: Target,
        raw: Box<[u8]>,
        length: usize,
    ) -> Result<(), WriteError> {
        let job = Job {
            sequence: self.written + self.waiting.len() as u64,
            target,
            raw,
            length,
            packed: self.packs.pop().unwrap_or_default(),
            smaller: Ok(false),
        };
        self.waiting.push_back(None);
        self.jobs.send(job).map_err(|_| stopped())?;
        while let Ok(job) = self.done.try_recv() {
            self.arrived(job);
        }
        self.write_ready()?;
        if self.waiting.len() < self.most {
            return Ok(());
        }
        // Half of them go before the caller goes on: it then works for a while, instead of waking
        // for every single block, and the other threads never run dry.
        while self.waiting.len() > self.most / 2 {
            let job = self.done.recv().map_err(|_| stopped())?;
            self.arrived(job);
            self.write_ready()?;
        }
        Ok(())
    }

    fn arrived(&mut self, job: Job) {
        let place = (job.sequence - self.written) as usize;
        self.waiting[place] = Some(job);
    }

    fn write_ready(&mut self) -> Result<(), WriteError> {
        while let Some(job) = self.waiting.front_mut().and_then(Option::take) {
            self.waiting.pop_front();
            self.written += 1;
            let smaller = job.smaller.map_err(WriteError::Compress)?;
            let (bytes, mark) = if smaller {
                (&job.packed[..], 0)
            } else {
                (&job.raw[..job.length], BLOCK_RAW)
            };
            self.out.write_all(bytes).map_err(WriteError::Output)?;
            self.stored.push(Stored {
                target: job.target,
                at: self.position,
                size: bytes.len() as u32 | mark,
            });
            self.position += bytes.len() as u64;
            self.raws.push(job.raw);
            self.packs.push(job.packed);
        }
        Ok(())
    }

    /// What has been written since the last call.
    pub(super) fn stored(&mut self) -> std::vec::Drain<'_, Stored> {
        self.stored.drain(..)
    }

    /// Writes everything that is still under way.
    pub(super) fn drain(&mut self) -> Result<(), WriteError> {
        while !self.waiting.is_empty() {
            let job = self.done.recv().map_err(|_| stopped())?;
            self.arrived(job);
            self.write_ready()?;
        }
        Ok(())
    }

    /// Bytes of the image so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }
}

fn stopped() -> WriteError {
    WriteError::Compress(io::Error::other("the compressing threads are gone"))
}
