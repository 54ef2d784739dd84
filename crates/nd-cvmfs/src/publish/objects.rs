//! Contents become objects: cut, compressed, hashed and put on all cores, in bounded memory.

use std::{
    collections::HashMap,
    io::{self, Read},
    num::NonZeroUsize,
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use nd_names::{Sha256, Sha256Hasher};
use nd_report::Cancel;
use nd_rootfs::{ContentSink, Location};

use crate::{
    chunk::{ChunkSizes, Chunker},
    compress::{DeflateLevel, Deflater},
    hash::{Algorithm, ObjectHash, ObjectKind},
    known::{Known, Piece, Stored},
    storage::{Storage, StorageError},
};

/// How objects are made.
#[derive(Debug, Clone, Copy, Default)]
pub struct ObjectOptions {
    /// Where files are cut.
    pub chunks: ChunkSizes,
    /// How hard they are compressed.
    pub level: DeflateLevel,
    /// Threads that compress and put; `None` for as many as suit the storage.
    pub threads: Option<NonZeroUsize>,
}

impl ObjectOptions {
    pub(crate) fn threads(&self, storage: &dyn Storage) -> usize {
        self.threads.unwrap_or_else(|| storage.writers()).get()
    }
}

/// What was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ObjectCounts {
    /// Objects that were not there.
    pub new: u64,
    /// Their bytes.
    pub new_bytes: u64,
    /// Objects that were there already.
    pub known: u64,
    /// Plain bytes that were read.
    pub read_bytes: u64,
}

#[derive(Debug, Default)]
pub(crate) struct AtomicCounts {
    new: AtomicU64,
    new_bytes: AtomicU64,
    known: AtomicU64,
}

/// Puts an object unless one of its name and length is there.
pub(crate) fn put_object(
    storage: &dyn Storage,
    hash: &ObjectHash,
    kind: ObjectKind,
    bytes: &[u8],
    counts: &AtomicCounts,
) -> Result<(), StorageError> {
    let path = hash.path(kind);
    if storage.size(&path)? == Some(bytes.len() as u64) {
        counts.known.fetch_add(1, Ordering::Relaxed);
        return Ok(());
    }
    storage.put(&path, bytes)?;
    counts.new.fetch_add(1, Ordering::Relaxed);
    counts
        .new_bytes
        .fetch_add(bytes.len() as u64, Ordering::Relaxed);
    Ok(())
}

/// Whether all objects of a content are there, with their lengths.
pub(crate) fn is_stored(storage: &dyn Storage, stored: &Stored) -> Result<bool, StorageError> {
    for piece in &stored.pieces {
        let path = piece.hash.path(stored.kind());
        if storage.size(&path)? != Some(piece.stored) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl AtomicCounts {
    pub(crate) fn get(&self) -> ObjectCounts {
        ObjectCounts {
            new: self.new.load(Ordering::Relaxed),
            new_bytes: self.new_bytes.load(Ordering::Relaxed),
            known: self.known.load(Ordering::Relaxed),
            read_bytes: 0,
        }
    }
}

/// A piece of content on its way.
struct Job {
    file: u64,
    number: usize,
    kind: ObjectKind,
    bytes: Vec<u8>,
}

/// Bytes on the way never exceed this, whatever the files.
const BUDGET: usize = 96 << 20;

/// Bytes that are held, bounded.
#[derive(Default)]
struct Budget {
    used: Mutex<usize>,
    freed: Condvar,
}

impl Budget {
    fn take(&self, bytes: usize) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while *used > 0 && *used + bytes > BUDGET {
            used = self
                .freed
                .wait(used)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *used += bytes;
    }

    fn give(&self, bytes: usize) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) -= bytes;
        self.freed.notify_all();
    }
}

/// State that the workers share.
struct Shared<'a> {
    storage: &'a dyn Storage,
    algorithm: Algorithm,
    counts: &'a AtomicCounts,
    budget: Budget,
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    pieces: HashMap<u64, Vec<Option<Piece>>>,
    failed: Option<StorageError>,
}

impl Shared<'_> {
    fn done(&self) -> std::sync::MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, jobs: &crossbeam_channel::Receiver<Job>, level: DeflateLevel) {
        let mut deflater = Deflater::new(level);
        for job in jobs {
            if self.done().failed.is_none() {
                let made = self.make(&mut deflater, &job);
                let mut done = self.done();
                match made {
                    Ok(piece) => {
                        let pieces = done.pieces.entry(job.file).or_default();
                        if pieces.len() <= job.number {
                            pieces.resize(job.number + 1, None);
                        }
                        pieces[job.number] = Some(piece);
                    }
                    Err(error) => done.failed = Some(error),
                }
            }
            self.budget.give(job.bytes.len());
        }
    }

    fn make(&self, deflater: &mut Deflater, job: &Job) -> Result<Piece, StorageError> {
        let stream = (deflater.deflate(&job.bytes))
            .map_err(|error| StorageError::io("a compressed object", error))?;
        let hash = self.algorithm.hash(stream);
        put_object(self.storage, &hash, job.kind, stream, self.counts)?;
        Ok(Piece {
            hash,
            size: job.bytes.len() as u64,
            stored: stream.len() as u64,
            plain: false,
        })
    }
}

/// Takes contents and hands their pieces to the workers.
pub(crate) struct Feeder<'a> {
    jobs: crossbeam_channel::Sender<Job>,
    shared: &'a Shared<'a>,
    chunks: ChunkSizes,
    cancel: &'a Cancel,
    next: u64,
    files: HashMap<Sha256, (u64, u64)>,
    /// Where contents are looked up that nobody could look up before.
    known: Option<&'a Known>,
    found: HashMap<Sha256, Stored>,
    read_bytes: u64,
    portion: Vec<u8>,
}

/// What is read at a time.
const PORTION: usize = 256 << 10;

impl Feeder<'_> {
    /// Reads one content to its end, whatever its digest may be, and gives the digest.
    pub(crate) fn feed(&mut self, bytes: &mut dyn Read) -> io::Result<Sha256> {
        let file = self.next;
        self.next += 1;
        let mut chunker = Chunker::new(self.chunks);
        let mut digest = Sha256Hasher::default();
        let (mut piece, mut number, mut size) = (Vec::new(), 0, 0u64);
        let mut portion = std::mem::take(&mut self.portion);
        portion.resize(PORTION, 0);
        loop {
            let read = bytes.read(&mut portion)?;
            if read == 0 {
                break;
            }
            let mut rest = &portion[..read];
            digest.update(rest);
            size += read as u64;
            while !rest.is_empty() {
                let (taken, cut) = chunker.push(rest);
                piece.extend_from_slice(&rest[..taken]);
                rest = &rest[taken..];
                if cut {
                    self.send(file, number, ObjectKind::Chunk, std::mem::take(&mut piece))?;
                    number += 1;
                }
            }
        }
        let kind = if number == 0 {
            ObjectKind::File
        } else {
            ObjectKind::Chunk
        };
        self.portion = portion;
        self.read_bytes += size;
        let content = digest.finish();
        // What was sent in part has to be sent to its end.
        if number == 0 && self.is_known(&content)? {
            return Ok(content);
        }
        self.send(file, number, kind, piece)?;
        self.files.insert(content, (file, size));
        Ok(content)
    }

    /// Whether a content was fed before, or was published before and still is there.
    fn is_known(&mut self, content: &Sha256) -> io::Result<bool> {
        if self.files.contains_key(content) || self.found.contains_key(content) {
            return Ok(true);
        }
        let Shared {
            storage, algorithm, ..
        } = *self.shared;
        let stored = self.known.and_then(|known| known.get(algorithm, content));
        let Some(stored) = stored else {
            return Ok(false);
        };
        let is_there = is_stored(storage, &stored).map_err(io::Error::other)?;
        if is_there {
            self.found.insert(*content, stored);
        }
        Ok(is_there)
    }

    fn send(&self, file: u64, number: usize, kind: ObjectKind, bytes: Vec<u8>) -> io::Result<()> {
        self.cancel
            .check()
            .map_err(|stop| io::Error::new(io::ErrorKind::Interrupted, stop))?;
        if let Some(error) = &self.shared.done().failed {
            return Err(io::Error::other(error.clone()));
        }
        self.shared.budget.take(bytes.len());
        let job = Job {
            file,
            number,
            kind,
            bytes,
        };
        self.jobs
            .send(job)
            .map_err(|_| io::Error::other("the workers are gone"))
    }
}

impl ContentSink for Feeder<'_> {
    fn file(
        &mut self,
        _: Location,
        size: u64,
        content: &Sha256,
        bytes: &mut dyn Read,
    ) -> io::Result<()> {
        let read_before = self.read_bytes;
        let found = self.feed(bytes)?;
        if found != *content || self.read_bytes - read_before != size {
            return Err(io::Error::other("it is not the content that was indexed"));
        }
        Ok(())
    }
}

/// Runs `feed` with workers beside it; gives what holds each content fed. With `known`, contents are looked
/// up as they are fed.
pub(crate) fn with_workers<T, E: From<StorageError>>(
    storage: &dyn Storage,
    algorithm: Algorithm,
    options: &ObjectOptions,
    counts: &AtomicCounts,
    known: Option<&Known>,
    cancel: &Cancel,
    feed: impl FnOnce(&mut Feeder<'_>) -> Result<T, E>,
) -> Result<(T, HashMap<Sha256, Stored>, u64), E> {
    let shared = Shared {
        storage,
        algorithm,
        counts,
        budget: Budget::default(),
        done: Mutex::default(),
    };
    let threads = options.threads(storage);
    let (jobs, work) = crossbeam_channel::bounded(1024);
    let (result, files, found, read_bytes) = std::thread::scope(|scope| {
        for _ in 0..threads {
            let (shared, work) = (&shared, work.clone());
            scope.spawn(move || shared.work(&work, options.level));
        }
        drop(work);
        let mut feeder = Feeder {
            jobs,
            shared: &shared,
            chunks: options.chunks,
            cancel,
            next: 0,
            files: HashMap::new(),
            known,
            found: HashMap::new(),
            read_bytes: 0,
            portion: Vec::new(),
        };
        let result = feed(&mut feeder);
        (result, feeder.files, feeder.found, feeder.read_bytes)
    });
    let done = shared
        .done
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = done.failed {
        return Err(error.into());
    }
    let result = result?;
    let mut pieces = done.pieces;
    let mut stored = found;
    stored.reserve(files.len());
    for (content, (file, size)) in files {
        let pieces = pieces.remove(&file).unwrap_or_default();
        let pieces: Option<Vec<Piece>> = pieces.into_iter().collect();
        if let Some(pieces) = pieces {
            stored.insert(content, Stored { size, pieces });
        }
    }
    Ok((result, stored, read_bytes))
}
