//! The end of every change: tags, reference log, and the manifest last, in one step.

use jiff::Timestamp;

use super::{error::PublishError, objects::AtomicCounts, put_object};
use crate::{
    REFLOG, compress,
    hash::{Algorithm, ObjectHash, ObjectKind},
    history::History,
    keys::ReleaseKey,
    manifest::Manifest,
    reflog::{Reference, Reflog},
    repository::{ReadError, Repository},
    storage::{Guard, Source, Storage, StorageError, Version, read_all},
};

/// Where a change says which reference log it is about to write: between that log and the manifest
/// that names it lies one moment at which only the log is new.
pub(crate) const PENDING: &str = "data/txn/pending";

/// Whether a change that was interrupted left, or was about to write, the reference log of this hash.
pub(crate) fn is_pending(source: &dyn Source, hash: ObjectHash) -> Result<bool, StorageError> {
    let bytes = read_all(source, PENDING, crate::SMALL)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().any(|line| line.trim().parse() == Ok(hash)))
}

/// Notes that the reference log is about to become the one of this hash. The log that is there stays
/// noted, too: it may be what an earlier change left that was interrupted, and this one may be next.
pub(crate) fn note_pending(storage: &dyn Storage, hash: ObjectHash) -> Result<(), StorageError> {
    let there = read_all(storage, REFLOG, crate::MAX_OBJECT)?;
    let there = there.map(|bytes| format!("{}\n", hash.algorithm.hash(&bytes)));
    let text = format!("{}{hash}\n", there.unwrap_or_default());
    storage.put(PENDING, text.as_bytes())
}

/// The reference log as it should be: what the manifest names, or what an interrupted change left.
pub(crate) fn load_reflog(repository: &Repository<'_>) -> Result<Reflog, PublishError> {
    let manifest = repository.manifest();
    let Some((log, bytes)) = repository.reflog()? else {
        return Err(ReadError::NotFound(REFLOG.into()).into());
    };
    if let Some(expected) = manifest.reflog {
        let found = expected.algorithm.hash(&bytes);
        if found != expected && !is_pending(repository.source(), found)? {
            return Err(ReadError::Not {
                path: REFLOG.into(),
                expected: "reference log of this manifest: its hash is another",
            }
            .into());
        }
    }
    Ok(log)
}

/// Everything that makes a new state public.
pub(crate) struct Switch<'a> {
    pub(crate) storage: &'a dyn Storage,
    pub(crate) guard: &'a dyn Guard,
    pub(crate) release: &'a ReleaseKey,
    pub(crate) old: Option<&'a Version>,
    pub(crate) now: Timestamp,
    pub(crate) counts: &'a AtomicCounts,
}

impl Switch<'_> {
    /// Puts a document as an object and registers it.
    pub(crate) fn put(
        &self,
        bytes: &[u8],
        kind: ObjectKind,
        algorithm: Algorithm,
        log: &Reflog,
    ) -> Result<ObjectHash, PublishError> {
        let stream = compress::deflate(bytes)
            .map_err(|error| StorageError::io("a compressed object", error))?;
        let hash = algorithm.hash(&stream);
        put_object(self.storage, &hash, kind, &stream, self.counts)?;
        self.register(hash, kind, log)?;
        Ok(hash)
    }

    /// Registers an object.
    pub(crate) fn register(
        &self,
        hash: ObjectHash,
        kind: ObjectKind,
        log: &Reflog,
    ) -> Result<(), PublishError> {
        let timestamp = self.now.as_second();
        Ok(log.add(Reference {
            hash,
            kind,
            timestamp,
        })?)
    }

    /// Certificate, tags, reference log, then the manifest.
    pub(crate) fn run(
        &self,
        mut manifest: Manifest,
        history: Option<&mut History>,
        mut log: Reflog,
    ) -> Result<Manifest, PublishError> {
        let algorithm = manifest.root_catalog.algorithm;
        let pem = self.release.certificate().pem();
        let certificate = self.put(pem, ObjectKind::Certificate, algorithm, &log)?;
        manifest.certificate = Some(certificate);
        self.register(manifest.root_catalog, ObjectKind::Catalog, &log)?;
        if let Some(history) = history {
            let bytes = history.to_bytes()?;
            manifest.history = Some(self.put(&bytes, ObjectKind::History, algorithm, &log)?);
        }
        if let Some(meta) = manifest.meta_info {
            self.register(meta, ObjectKind::MetaInfo, &log)?;
        }
        manifest.timestamp = Some(match manifest.timestamp {
            // Clients refuse a manifest older than the one they have.
            Some(before) => self.now.as_second().max(before),
            None => self.now.as_second(),
        });
        let bytes = log.to_bytes()?;
        let hash = algorithm.hash(&bytes);
        manifest.reflog = Some(hash);
        let sealed = self.release.seal(&manifest)?;
        // Everything that the new manifest leads to is on the disk before anything says so.
        note_pending(self.storage, hash)?;
        self.storage.sync()?;
        self.storage.put(REFLOG, &bytes)?;
        self.guard.reflog_written(&hash.to_string())?;
        self.storage.switch_manifest(self.old, &sealed)?;
        self.storage.remove(PENDING)?;
        Ok(manifest)
    }
}
