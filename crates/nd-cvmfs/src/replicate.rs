//! Copies of repositories: verified, resumable, the manifest last.

use std::{
    collections::HashSet,
    num::NonZeroUsize,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use jiff::Timestamp;
use nd_report::{Cancel, Cancelled};

use crate::{
    MAX_OBJECT, REFLOG, SMALL, WHITELIST,
    catalog::{Catalog, CatalogError},
    hash::{ObjectHash, ObjectKind},
    keys::MasterPublicKey,
    name::RepositoryName,
    repository::{ReadError, Repository, TrustError},
    storage::{Source, Storage, StorageError, read_all},
};

/// What is copied, and on whose word.
#[derive(Debug, Clone)]
pub struct ReplicateOptions<'a> {
    /// Public keys of the master.
    pub keys: &'a [MasterPublicKey],
    /// The name it must have.
    pub name: Option<&'a RepositoryName>,
    /// This moment.
    pub now: Timestamp,
    /// Objects copied at a time; `None` for eight per core.
    pub parallel: Option<NonZeroUsize>,
}

/// What a replication did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Replicated {
    /// The revision that the copy has now.
    pub revision: u64,
    /// Objects that were copied.
    pub copied: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Objects that were there.
    pub known: u64,
}

/// Why a copy was not made.
#[derive(Debug, thiserror::Error)]
pub enum ReplicateError {
    /// The original cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// One of the storages failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The original is not trusted.
    #[error("the original is not trusted: {0}")]
    Trust(TrustError),
    /// A catalogue of the original cannot be read.
    #[error("failed to read a catalogue of the original")]
    Catalog(#[from] CatalogError),
    /// The copy is newer than the original: somebody serves an old state.
    #[error("the copy has revision {copy}, the original only {original}")]
    Older {
        /// What the copy has.
        copy: u64,
        /// What the original says.
        original: u64,
    },
    /// Somebody asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Copies the current revision and every tagged one. Each object is compared with its name before it
/// is kept; what is there already is not copied again.
pub fn replicate(
    source: &dyn Source,
    storage: &dyn Storage,
    options: &ReplicateOptions<'_>,
    cancel: &Cancel,
) -> Result<Replicated, ReplicateError> {
    let repository = Repository::open(source)?;
    let manifest = repository.manifest().clone();
    let (_, wrong) = repository.check_trust(options.keys, options.name, options.now)?;
    if let Some(wrong) = wrong.into_iter().next() {
        return Err(ReplicateError::Trust(wrong));
    }
    storage.prepare()?;
    let guard = storage.lock()?;
    let old = storage.manifest()?;
    if let Some(old) = &old {
        let here: &dyn Source = storage;
        let here = Repository::of_manifest(here, old.bytes.clone())?;
        if here.manifest().revision > manifest.revision {
            return Err(ReplicateError::Older {
                copy: here.manifest().revision,
                original: manifest.revision,
            });
        }
    }
    storage.put(".cvmfs_is_snapshotting", date(options.now).as_bytes())?;
    let copier = Copier {
        source,
        storage,
        copied: AtomicU64::new(0),
        copied_bytes: AtomicU64::new(0),
        known: AtomicU64::new(0),
        parallel: options.parallel,
    };
    for (hash, kind) in [
        (manifest.certificate, ObjectKind::Certificate),
        (manifest.history, ObjectKind::History),
        (manifest.meta_info, ObjectKind::MetaInfo),
    ] {
        if let Some(hash) = hash {
            copier.copy(&hash, kind)?;
        }
    }
    let mut roots = vec![(manifest.root_catalog, manifest.root_size)];
    if let Some(history) = repository.history()? {
        let tags = history.tags().map_err(ReadError::from)?;
        roots.extend(tags.iter().map(|tag| (tag.root, tag.size)));
    }
    let mut seen = HashSet::new();
    for (root, size) in roots {
        copier.revision(&repository, root, size, &mut seen, cancel)?;
    }
    let switch = |name: &str| -> Result<(), StorageError> {
        match read_all(source, name, MAX_OBJECT)? {
            Some(bytes) => storage.put(name, &bytes),
            None => Ok(()),
        }
    };
    // A manifest that changed while we copied would name a reference log that is not this one.
    let reflog = read_all(source, REFLOG, MAX_OBJECT)?;
    if let (Some(bytes), Some(expected)) = (&reflog, manifest.reflog)
        && expected.algorithm.hash(bytes) == expected
    {
        crate::publish::note_pending(storage, expected)?;
        storage.put(REFLOG, bytes)?;
        guard.reflog_written(&expected.to_string())?;
    }
    switch(WHITELIST)?;
    storage.sync()?;
    let manifest_bytes = repository.manifest_bytes();
    if old.as_ref().map(|old| &old.bytes[..]) != Some(manifest_bytes) {
        storage.switch_manifest(old.as_ref(), manifest_bytes)?;
    }
    storage.remove(crate::publish::PENDING)?;
    let status = serde_json::json!({ "last_snapshot": date(options.now) });
    storage.put(".cvmfs_status.json", status.to_string().as_bytes())?;
    storage.put(".cvmfs_last_snapshot", date(options.now).as_bytes())?;
    storage.remove(".cvmfs_is_snapshotting")?;
    Ok(Replicated {
        revision: manifest.revision,
        copied: copier.copied.into_inner(),
        copied_bytes: copier.copied_bytes.into_inner(),
        known: copier.known.into_inner(),
    })
}

/// A time as `date --utc` writes it.
fn date(now: Timestamp) -> String {
    let time = jiff::tz::Offset::UTC.to_datetime(now);
    format!("{}\n", time.strftime("%a %b %e %H:%M:%S UTC %Y"))
}

struct Copier<'a> {
    source: &'a dyn Source,
    storage: &'a dyn Storage,
    copied: AtomicU64,
    copied_bytes: AtomicU64,
    known: AtomicU64,
    parallel: Option<NonZeroUsize>,
}

impl Copier<'_> {
    /// Copies an object unless it is there with the length of the original; gives its bytes when it was
    /// copied.
    fn copy(&self, hash: &ObjectHash, kind: ObjectKind) -> Result<(), ReplicateError> {
        let path = hash.path(kind);
        // Objects appear under their names only when they are whole, so their presence is enough.
        if self.storage.size(&path)?.is_some_and(|size| size > 0) {
            self.known.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let bytes = read_all(self.source, &path, MAX_OBJECT)?;
        let bytes = bytes.ok_or_else(|| ReadError::Missing {
            kind,
            path: path.clone(),
        })?;
        if hash.algorithm.hash(&bytes) != *hash {
            let problem = "its bytes have another hash".to_owned();
            return Err(ReadError::Damaged {
                kind,
                path,
                problem,
            }
            .into());
        }
        self.storage.put(&path, &bytes)?;
        self.copied.fetch_add(1, Ordering::Relaxed);
        (self.copied_bytes).fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Copies what a root catalogue leads to; each catalogue after everything it names.
    fn revision(
        &self,
        repository: &Repository<'_>,
        root: ObjectHash,
        size: u64,
        seen: &mut HashSet<(ObjectHash, ObjectKind)>,
        cancel: &Cancel,
    ) -> Result<(), ReplicateError> {
        let mut waiting = vec![(root, size, Vec::new())];
        let mut catalogs = Vec::new();
        while let Some((hash, size, prefix)) = waiting.pop() {
            cancel.check()?;
            if !seen.insert((hash, ObjectKind::Catalog)) {
                continue;
            }
            catalogs.push(hash);
            // What is here was checked when it came, with all it names.
            if self
                .storage
                .size(&hash.path(ObjectKind::Catalog))?
                .is_some()
            {
                self.known.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let bytes = repository.catalog_bytes(&hash, size)?;
            let catalog = Catalog::read_sound(&bytes, &prefix)?;
            let objects: Vec<(ObjectHash, ObjectKind)> = (catalog.rows.values())
                .flat_map(|row| row.objects().map(|(hash, kind, _)| (hash, kind)))
                .filter(|object| seen.insert(*object))
                .collect();
            self.copy_all(&objects, cancel)?;
            for (path, nested) in catalog.nested {
                waiting.push((nested.hash, nested.size, path));
            }
        }
        for hash in catalogs.iter().rev() {
            self.copy(hash, ObjectKind::Catalog)?;
        }
        Ok(())
    }

    fn copy_all(
        &self,
        objects: &[(ObjectHash, ObjectKind)],
        cancel: &Cancel,
    ) -> Result<(), ReplicateError> {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = self
            .parallel
            .map_or(cores * 8, NonZeroUsize::get)
            .min(objects.len());
        let next = AtomicUsize::new(0);
        let failed: Mutex<Option<ReplicateError>> = Mutex::default();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while !cancel.is_cancelled() {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some((hash, kind)) = objects.get(at) else {
                            break;
                        };
                        if let Err(error) = self.copy(hash, *kind) {
                            next.store(objects.len(), Ordering::Relaxed);
                            *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        }
                    }
                });
            }
        });
        cancel.check()?;
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// Reads a small document of a replica's state, such as `.cvmfs_last_snapshot`.
pub fn read_state(source: &dyn Source, name: &str) -> Result<Option<String>, StorageError> {
    let bytes = read_all(source, name, SMALL)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()))
}
