//! A whole image as an index with contents.

use std::{
    collections::{HashMap, HashSet},
    io::{self, Read},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use nd_names::{Sha256, Sha256Hasher};
use nd_report::Cancel;
use nd_rootfs::{
    ContentSink, Contents, ContentsError, DeviceClass, Entry, Index, Kind, LinkGroup, Location,
    TreePath, Wanted,
};

use super::{
    ReadAt, ReadError, Reader, check_class, device_class,
    file::{FileBytes, Scratch},
    inode::{Body, Directory, File},
    limit,
};
use crate::{
    UNREAD,
    format::{NONE, decode_device, inode as class},
};

/// Whether the digests of contents are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digests {
    /// Every file is read and hashed, on so many threads; 0 for as many as there are cores.
    Read {
        /// How many threads.
        threads: usize,
    },
    /// No file is read; contents are [`UNREAD`].
    Skip,
}

/// Gives the contents of an image read by [`Reader::tree`].
#[derive(Debug)]
pub struct ImageContents<S> {
    reader: Arc<Reader<S>>,
    /// Inode references in storage order; locations are positions in this list.
    files: Vec<u64>,
}

/// A file of the image: where its first byte is, for sorting, and its inode.
#[derive(Debug, Clone, Copy)]
struct Stored {
    position: u64,
    offset: u32,
    reference: u64,
    file: File,
}

impl<S: ReadAt> Reader<S> {
    /// Reads the whole tree. Names of one inode form a group. Locations count files in the order
    /// in which their first bytes stand in the image.
    pub fn tree(
        self: &Arc<Self>,
        digests: Digests,
        cancel: &Cancel,
    ) -> Result<(Index, ImageContents<S>), ReadError> {
        let (mut entries, mut files) = self.walk(cancel)?;
        // The locations of entries are positions in `files` as found; now as stored.
        let mut order: Vec<usize> = (0..files.len()).collect();
        order.sort_by_key(|&n| (files[n].position, files[n].offset, files[n].reference));
        let mut rank = vec![0; files.len()];
        for (place, &found) in order.iter().enumerate() {
            rank[found] = place;
        }
        files = order.iter().map(|&n| files[n]).collect();
        let contents = match digests {
            Digests::Skip => vec![UNREAD; files.len()],
            Digests::Read { threads } => self.hash(&files, threads, cancel).map_err(|stop| {
                let path = entries.iter().find_map(|entry| match entry.kind {
                    Kind::File { at, .. } if at == Location::Squashfs(order[stop.file] as u64) => {
                        Some(entry.path.to_string())
                    }
                    _ => None,
                });
                match (stop.error, path) {
                    (ReadError::Damaged(problem), Some(path)) => ReadError::Entry {
                        path,
                        problem: problem.to_owned(),
                    },
                    (error, _) => error,
                }
            })?,
        };
        for entry in &mut entries {
            if let Kind::File {
                content,
                at: Location::Squashfs(at),
                ..
            } = &mut entry.kind
            {
                let place = rank[*at as usize];
                *at = place as u64;
                *content = contents[place];
            }
        }
        let files = files.iter().map(|stored| stored.reference).collect();
        let reader = self.clone();
        Ok((
            Index::from_entries(entries)?,
            ImageContents { reader, files },
        ))
    }

    fn walk(&self, cancel: &Cancel) -> Result<(Vec<Entry>, Vec<Stored>), ReadError> {
        let mut walk = Walk::default();
        let root = self.inode(self.superblock.root)?;
        let Body::Directory(root) = root.body else {
            return Err(ReadError::Damaged("the root is no directory"));
        };
        walk.directories.insert(self.superblock.root);
        let mut pending: Vec<(Option<TreePath>, Directory)> = vec![(None, root)];
        while let Some((dir, place)) = pending.pop() {
            cancel.check()?;
            let shown = dir
                .as_ref()
                .map_or_else(|| "/".to_owned(), ToString::to_string);
            let result = self.names(&place, &mut |name, reference, class| {
                self.step(
                    &mut walk,
                    &mut pending,
                    dir.as_ref(),
                    name,
                    (reference, class),
                )
            });
            result.map_err(|error| match error {
                ReadError::Damaged(problem) => ReadError::Entry {
                    path: shown,
                    problem: problem.to_owned(),
                },
                other => other,
            })?;
        }
        walk.group();
        Ok((walk.entries, walk.files))
    }

    fn step(
        &self,
        walk: &mut Walk,
        pending: &mut Vec<(Option<TreePath>, Directory)>,
        dir: Option<&TreePath>,
        name: &[u8],
        (reference, class): (u64, u16),
    ) -> Result<(), ReadError> {
        let path = TreePath::below(dir, name).map_err(|error| ReadError::Entry {
            path: dir.map_or_else(|| "/".to_owned(), ToString::to_string),
            problem: error.to_string(),
        })?;
        let here = path.as_bytes();
        if walk.entries.len() as u64 >= self.limits.entries {
            return Err(limit(here, self.limits.entries, "entries"));
        }
        let inode = self.inode(reference)?;
        check_class(&inode, class)?;
        let attr = self.attr(&inode)?;
        walk.names += here.len() as u64;
        walk.names += (attr.xattrs.iter())
            .map(|(name, value)| (name.len() + value.len()) as u64)
            .sum::<u64>();
        let kind = match inode.body {
            Body::Directory(place) => {
                if !walk.directories.insert(reference) {
                    return Err(ReadError::Damaged("a directory has two names"));
                }
                pending.push((Some(path.clone()), place));
                Kind::Dir { implicit: false }
            }
            Body::File(file) => {
                let number = self.file(walk, here, reference, inode.links, file)?;
                Kind::File {
                    size: file.size,
                    content: UNREAD,
                    at: Location::Squashfs(number as u64),
                }
            }
            Body::Symlink(target) => {
                walk.names += target.len() as u64;
                Kind::Symlink {
                    target: target.into(),
                }
            }
            Body::Device(number) => {
                let (major, minor) = decode_device(number);
                let class = device_class(class);
                if (class, major, minor) == (DeviceClass::Char, 0, 0) {
                    return Err(ReadError::Entry {
                        path: path.to_string(),
                        problem: "it is a whiteout of an overlay".to_owned(),
                    });
                }
                Kind::Device {
                    class,
                    major,
                    minor,
                }
            }
            Body::Nothing if class == class::FIFO => Kind::Fifo,
            Body::Nothing => Kind::Socket,
        };
        if walk.names > self.limits.names {
            return Err(limit(path.as_bytes(), self.limits.names, "bytes of names"));
        }
        if !kind.is_dir() {
            walk.names_of.push((reference, walk.entries.len()));
        }
        walk.entries.push(Entry {
            path,
            attr,
            kind,
            group: None,
        });
        Ok(())
    }

    /// Remembers a file, once for each inode; gives its position in the list.
    fn file(
        &self,
        walk: &mut Walk,
        path: &[u8],
        reference: u64,
        links: u32,
        file: File,
    ) -> Result<usize, ReadError> {
        if file.size > self.limits.file {
            return Err(limit(path, self.limits.file, "bytes in a file"));
        }
        let number = walk.files.len();
        if links > 1 {
            if let Some(&known) = walk.linked.get(&reference) {
                return Ok(known);
            }
            walk.linked.insert(reference, number);
        }
        walk.total = walk.total.saturating_add(file.size);
        if walk.total > self.limits.total {
            return Err(limit(path, self.limits.total, "bytes in files"));
        }
        let (position, offset) = match file.fragment {
            fragment if fragment != NONE && file.blocks(self.superblock.block_size) == 0 => {
                (self.fragment(fragment)?.0, file.offset)
            }
            _ => (file.start, 0),
        };
        walk.files.push(Stored {
            position,
            offset,
            reference,
            file,
        });
        Ok(number)
    }

    /// Digests of `files`, which are in storage order.
    fn hash(
        &self,
        files: &[Stored],
        threads: usize,
        cancel: &Cancel,
    ) -> Result<Vec<Sha256>, StoppedAt> {
        let runs = runs(files, self.superblock.block_size);
        let next = AtomicUsize::new(0);
        let out = Mutex::new((vec![UNREAD; files.len()], None::<StoppedAt>));
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
            n => n,
        };
        std::thread::scope(|scope| {
            for _ in 0..threads.clamp(1, 64) {
                scope.spawn(|| {
                    let mut scratch = None;
                    while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let result = self.hash_run(files, run.clone(), &mut scratch, cancel);
                        let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
                        match result {
                            Ok(digests) => out.0[run.clone()].copy_from_slice(&digests),
                            Err(stop) => {
                                // Runs are taken in order, so the first error is always the same.
                                if (out.1.as_ref()).is_none_or(|known| stop.file < known.file) {
                                    out.1 = Some(stop);
                                }
                                next.store(runs.len(), Ordering::Relaxed);
                            }
                        }
                    }
                });
            }
        });
        match out.into_inner().unwrap_or_else(PoisonError::into_inner) {
            (digests, None) => Ok(digests),
            (_, Some(stop)) => Err(stop),
        }
    }

    fn hash_run(
        &self,
        files: &[Stored],
        run: std::ops::Range<usize>,
        scratch: &mut Option<Scratch>,
        cancel: &Cancel,
    ) -> Result<Vec<Sha256>, StoppedAt> {
        let mut digests = Vec::with_capacity(run.len());
        for number in run {
            let stop = |error| StoppedAt {
                file: number,
                error,
            };
            if scratch.is_none() {
                *scratch = Some(Scratch::new(self).map_err(stop)?);
            }
            let Some(unpack) = scratch else { break };
            let mut bytes = FileBytes::new(self, files[number].file, unpack);
            let mut hasher = Sha256Hasher::default();
            let mut buf = [0; 16 * 1024];
            loop {
                cancel.check().map_err(|error| stop(error.into()))?;
                match bytes.read(&mut buf) {
                    Ok(0) => break,
                    Ok(n) => hasher.update(&buf[..n]),
                    Err(error) => return Err(stop(unwrap(error))),
                }
            }
            digests.push(hasher.finish());
        }
        Ok(digests)
    }
}

/// The error that [`FileBytes`] wrapped.
fn unwrap(error: io::Error) -> ReadError {
    match error.downcast::<ReadError>() {
        Ok(error) => error,
        Err(error) => ReadError::io("a file")(error),
    }
}

struct StoppedAt {
    file: usize,
    error: ReadError,
}

/// Neighbours that share a fragment block go to one thread, so that each block is unpacked once.
fn runs(files: &[Stored], block_size: u32) -> Vec<std::ops::Range<usize>> {
    let alone = |stored: &Stored| stored.file.blocks(block_size) > 0;
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for (number, stored) in files.iter().enumerate() {
        match runs.last_mut() {
            Some(run)
                if !alone(stored)
                    && !alone(&files[run.start])
                    && files[run.start].file.fragment == stored.file.fragment =>
            {
                run.end = number + 1;
            }
            _ => runs.push(number..number + 1),
        }
    }
    runs
}

#[derive(Default)]
struct Walk {
    entries: Vec<Entry>,
    files: Vec<Stored>,
    /// Directories seen, so that none is walked twice.
    directories: HashSet<u64>,
    /// Inode and position in `entries` of everything but directories.
    names_of: Vec<(u64, usize)>,
    /// Positions in `files` of inodes with several names.
    linked: HashMap<u64, usize>,
    names: u64,
    total: u64,
}

impl Walk {
    /// Names of one inode are a group, whatever the inode says about its links: not every tool
    /// counts those of fifos.
    fn group(&mut self) {
        self.names_of.sort_unstable();
        let mut groups = 0;
        for names in self.names_of.chunk_by(|a, b| a.0 == b.0) {
            if names.len() > 1 {
                for (_, entry) in names {
                    self.entries[*entry].group = Some(LinkGroup(groups));
                }
                groups += 1;
            }
        }
    }
}

impl<S: ReadAt> Contents for ImageContents<S> {
    fn visit(&mut self, wanted: &Wanted, sink: &mut dyn ContentSink) -> Result<(), ContentsError> {
        let mut scratch: Option<Scratch> = None;
        for (at, wanted) in wanted.iter() {
            let number = match at {
                Location::Squashfs(number) => usize::try_from(number).ok(),
                _ => None,
            };
            let reference = number.and_then(|number| self.files.get(number));
            let reference = *reference.ok_or(ContentsError::Missing { at })?;
            let failed = |error: ReadError| ContentsError::Read {
                what: "squashfs image".to_owned(),
                source: io::Error::other(error),
            };
            let Body::File(file) = self.reader.inode(reference).map_err(failed)?.body else {
                return Err(ContentsError::Missing { at });
            };
            let changed = ContentsError::Changed {
                at,
                expected: wanted.content,
            };
            if file.size != wanted.size {
                return Err(changed);
            }
            let unpack = match &mut scratch {
                Some(scratch) => scratch,
                none => none.insert(Scratch::new(&self.reader).map_err(failed)?),
            };
            let mut bytes = Hashing {
                inner: FileBytes::new(&self.reader, file, unpack),
                hasher: Sha256Hasher::default(),
                passed: 0,
            };
            wanted.hand(at, &mut bytes, sink)?;
            if bytes.passed == file.size && bytes.hasher.finish() != wanted.content {
                return Err(changed);
            }
        }
        Ok(())
    }
}

struct Hashing<R> {
    inner: R,
    hasher: Sha256Hasher,
    passed: u64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.hasher.update(&buf[..n]);
        self.passed += n as u64;
        Ok(n)
    }
}
