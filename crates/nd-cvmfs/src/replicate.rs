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
    MANIFEST, MAX_OBJECT, REFLOG, SMALL, WHITELIST,
    catalog::{Catalog, CatalogError},
    collect::COLLECTING,
    hash::{ObjectHash, ObjectKind},
    keys::MasterPublicKey,
    manifest::Manifest,
    name::RepositoryName,
    publish::{PENDING, is_pending, note_pending},
    repository::{ReadError, Repository, TrustError},
    storage::{Guard, Source, Storage, StorageError, read_all},
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
    /// The reference log of the original is no longer, or was never, that of the manifest.
    #[error(
        "the reference log of the original is not the one of its manifest: it was changed meanwhile, or is damaged"
    )]
    Reflog,
    /// Somebody asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// As often a copy is begun again because the original was changed meanwhile.
const ATTEMPTS: usize = 3;

/// Copies the current revision and every tagged one. Each object is compared with its name before it
/// is kept; what is there already is not copied again. An original that is published to meanwhile is
/// looked at again.
pub fn replicate(
    source: &dyn Source,
    storage: &dyn Storage,
    options: &ReplicateOptions<'_>,
    cancel: &Cancel,
) -> Result<Replicated, ReplicateError> {
    for _ in 1..ATTEMPTS {
        let repository = Repository::open(source)?;
        let done = replicate_once(&repository, storage, options, cancel);
        let now = || read_all(source, MANIFEST, SMALL);
        match done {
            Err(ReplicateError::Reflog)
                if now()?.as_deref() != Some(repository.manifest_bytes()) => {}
            other => return other,
        }
    }
    replicate_once(&Repository::open(source)?, storage, options, cancel)
}

fn replicate_once(
    repository: &Repository<'_>,
    storage: &dyn Storage,
    options: &ReplicateOptions<'_>,
    cancel: &Cancel,
) -> Result<Replicated, ReplicateError> {
    let source = repository.source();
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
        is_torn: storage.size(COLLECTING)?.is_some(),
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
        copier.revision(repository, root, size, &mut seen, cancel)?;
    }
    let switch = |name: &str| -> Result<(), StorageError> {
        match read_all(source, name, MAX_OBJECT)? {
            Some(bytes) => storage.put(name, &bytes),
            None => Ok(()),
        }
    };
    let is_pending = copy_reflog(source, storage, &*guard, &manifest)?;
    switch(WHITELIST)?;
    storage.sync()?;
    let manifest_bytes = repository.manifest_bytes();
    if old.as_ref().map(|old| &old.bytes[..]) != Some(manifest_bytes) {
        storage.switch_manifest(old.as_ref(), manifest_bytes)?;
    }
    if !is_pending {
        storage.remove(PENDING)?;
    }
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

/// Copies the reference log. Says whether it is the one that a change of the original was about to
/// name when it was interrupted: then the copy is in the state that the original is in.
fn copy_reflog(
    source: &dyn Source,
    storage: &dyn Storage,
    guard: &dyn Guard,
    manifest: &Manifest,
) -> Result<bool, ReplicateError> {
    let Some(bytes) = read_all(source, REFLOG, MAX_OBJECT)? else {
        return Ok(false);
    };
    let algorithm = manifest.root_catalog.algorithm;
    let found = algorithm.hash(&bytes);
    let is_expected = manifest.reflog.is_none_or(|expected| expected == found);
    if !is_expected && !is_pending(source, found)? {
        return Err(ReplicateError::Reflog);
    }
    note_pending(storage, found)?;
    storage.put(REFLOG, &bytes)?;
    guard.reflog_written(&found.to_string())?;
    Ok(!is_expected)
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
    /// Whether catalogues of the copy may name objects that a collection has deleted.
    is_torn: bool,
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
            let path = hash.path(ObjectKind::Catalog);
            if !self.is_torn && self.storage.size(&path)?.is_some() {
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
