//! What a repository holds already becomes known, whoever published it.
//!
//! The name of an object is the hash of its compressed bytes, so that nobody can say which object holds
//! a content without the compressor that made it. Reading it once says so for ever.

use std::{
    collections::HashSet,
    num::NonZeroUsize,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use nd_names::{Sha256, Sha256Hasher};
use nd_report::Cancel;

use crate::{
    catalog::{Catalog, Row, RowKind, flag},
    hash::ObjectKind,
    known::{Known, Piece, Stored},
    publish::PublishError,
    repository::Repository,
};

/// What was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Learned {
    /// Contents that were read.
    pub contents: u64,
    /// Their plain bytes.
    pub bytes: u64,
    /// Contents that were known before.
    pub known: u64,
    /// Contents that could not be read; `verify` says why.
    pub unreadable: u64,
}

/// Contents that are read before they are noted: what an interruption may cost.
const BATCH: usize = 4096;

/// Reads every content of the current revision that `known` does not know, and notes which objects
/// hold it. Each object is compared with its name, so that a wrong answer of a server teaches nothing;
/// whether it still is there is asked again when it is used.
pub fn learn(
    repository: &Repository<'_>,
    known: &mut Known,
    threads: NonZeroUsize,
    cancel: &Cancel,
) -> Result<Learned, PublishError> {
    let manifest = repository.manifest();
    let algorithm = manifest.root_catalog.algorithm;
    let mut done = Learned::default();
    let mut seen = known.names(algorithm)?;
    let before = seen.len();
    let mut met = HashSet::new();
    let mut waiting = vec![(manifest.root_catalog, manifest.root_size, Vec::new())];
    let mut rows = Vec::new();
    while let Some((hash, size, prefix)) = waiting.pop() {
        cancel.check()?;
        if !met.insert(hash) {
            continue;
        }
        let catalog: Catalog = repository.catalog(&hash, size, &prefix)?;
        for (path, nested) in &catalog.nested {
            waiting.push((nested.hash, nested.size, path.clone()));
        }
        for row in catalog.rows.into_values() {
            if row.algorithm() == Some(algorithm)
                && let Some(names) = names(&row)
                && seen.insert(names)
            {
                rows.push(row);
            }
        }
        if rows.len() >= BATCH {
            read(repository, known, &mut rows, threads, cancel, &mut done)?;
        }
    }
    read(repository, known, &mut rows, threads, cancel, &mut done)?;
    done.known = before as u64;
    Ok(done)
}

/// The digests of the objects of a file whose content can be noted, one after the other.
fn names(row: &Row) -> Option<Vec<u8>> {
    if row.kind() != RowKind::File || row.has(flag::EXTERNAL) || row.is_plain().is_none() {
        return None;
    }
    match &row.chunks[..] {
        [] => row.hash.map(|hash| hash.digest.to_vec()),
        // An index knows one object as a whole file.
        [_] => None,
        chunks => Some(chunks.iter().flat_map(|chunk| chunk.hash.digest).collect()),
    }
}

/// Reads the contents of `rows`, which is empty then, and notes them.
fn read(
    repository: &Repository<'_>,
    known: &mut Known,
    rows: &mut Vec<Row>,
    threads: NonZeroUsize,
    cancel: &Cancel,
    done: &mut Learned,
) -> Result<(), PublishError> {
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<(Sha256, Stored)>> = Mutex::default();
    let (count, all) = (rows.len(), &*rows);
    std::thread::scope(|scope| {
        for _ in 0..threads.get().min(count) {
            scope.spawn(|| {
                while !cancel.is_cancelled() {
                    let Some(row) = all.get(next.fetch_add(1, Ordering::Relaxed)) else {
                        break;
                    };
                    if let Some(one) = content(repository, row) {
                        found
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(one);
                    }
                }
            });
        }
    });
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let algorithm = repository.manifest().root_catalog.algorithm;
    known.insert(
        algorithm,
        found.iter().map(|(content, stored)| (content, stored)),
    )?;
    cancel.check()?;
    done.contents += found.len() as u64;
    done.bytes += found.iter().map(|(_, stored)| stored.size).sum::<u64>();
    done.unreadable += (count - found.len()) as u64;
    rows.clear();
    Ok(())
}

/// The content of a file, and the objects that hold it; `None` when it cannot be read.
fn content(repository: &Repository<'_>, row: &Row) -> Option<(Sha256, Stored)> {
    let mut digest = Sha256Hasher::default();
    let mut bytes = repository.read(row).ok()?;
    let size = std::io::copy(&mut bytes, &mut digest).ok()?;
    let plain = row.is_plain()?;
    let wanted = if row.chunks.is_empty() {
        ObjectKind::File
    } else {
        ObjectKind::Chunk
    };
    let pieces = row.objects().filter(|(_, kind, _)| *kind == wanted);
    let pieces = pieces.map(|(hash, kind, size)| {
        let stored = repository.source().size(&hash.path(kind)).ok()??;
        Some(Piece {
            hash,
            size,
            stored,
            plain,
        })
    });
    let pieces = pieces.collect::<Option<_>>()?;
    Some((digest.finish(), Stored { size, pieces }))
}
