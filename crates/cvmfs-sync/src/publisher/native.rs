//! Publishing by writing the files of a repository.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicUsize, Ordering},
};

use nd_cvmfs::{
    Begin, Keys, Known, NestedAt, ObjectHash, ObjectKind, ObjectOptions, PublishError,
    Publisher as Session, PutOptions, Repository, RepositoryName, Revision, Row, Source, Storage,
    TagName, read_all,
};
use nd_host::Clock;
use nd_names::Sha256;
use nd_report::Cancel;
use nd_rootfs::{Index, TreePath, Wanted};

use super::{
    ChangeSet, Edit, Inability, Publisher, PublisherError, RepositoryState, Transaction,
    change::single, tags_of,
};
use crate::{
    housekeeping::KnownTag,
    sync::{RepositoryView, View, ViewError},
};

/// The largest object, in bytes: files are cut far below that.
const MAX_OBJECT: u64 = 1 << 30;

/// Publishes with [`nd_cvmfs`], into a folder or bucket that a server gives to others.
pub struct NativePublisher {
    storage: Box<dyn Storage>,
    name: RepositoryName,
    keys: Keys,
    known: Known,
    clock: Box<dyn Clock>,
    /// Contents of the last change by the objects that hold them.
    written: HashMap<Vec<ObjectHash>, Sha256>,
}

impl std::fmt::Debug for NativePublisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NativePublisher")
            .field("storage", &self.storage.describe())
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl NativePublisher {
    /// Publishes to the repository `name` in `storage`; `known` is the index of its contents.
    pub fn new(
        storage: Box<dyn Storage>,
        name: RepositoryName,
        keys: Keys,
        known: Known,
        clock: Box<dyn Clock>,
    ) -> Self {
        Self {
            storage,
            name,
            keys,
            known,
            clock,
            written: HashMap::new(),
        }
    }

    fn begin(&self) -> Begin<'_> {
        Begin {
            storage: &*self.storage,
            keys: &self.keys,
            name: &self.name,
            now: self.clock.now(),
        }
    }

    fn repository(&self) -> Result<Repository<'_>, PublisherError> {
        Repository::open(&*self.storage).map_err(PublisherError::Manifest)
    }
}

/// Which objects are not there, or are not what their names say, read on all cores. Objects are named
/// by what they hold: with its name right, a content is.
fn damaged(storage: &dyn Storage, objects: &[(ObjectHash, ObjectKind)]) -> HashSet<ObjectHash> {
    let next = AtomicUsize::new(0);
    let look = || {
        let mut found = Vec::new();
        while let Some((hash, kind)) = objects.get(next.fetch_add(1, Ordering::Relaxed)) {
            let bytes = read_all(storage, &hash.path(*kind), MAX_OBJECT);
            if !matches!(bytes, Ok(Some(bytes)) if hash.algorithm.hash(&bytes) == *hash) {
                found.push(*hash);
            }
        }
        found
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (1..storage.writers().get())
            .map(|_| scope.spawn(look))
            .collect();
        let own = look();
        threads
            .into_iter()
            .flat_map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .chain(own)
            .collect()
    })
}

impl Publisher for NativePublisher {
    fn name(&self) -> &'static str {
        "native"
    }

    fn disks(&self) -> Vec<&std::path::Path> {
        self.storage.folder().into_iter().collect()
    }

    fn state(&mut self) -> Result<RepositoryState, PublisherError> {
        Ok(RepositoryState {
            revision: self.repository()?.manifest().revision,
            // The lock of the storage dies with its process, and nothing else is ever open.
            transaction: Transaction::None,
        })
    }

    fn view(&mut self) -> Result<Box<dyn View + '_>, PublisherError> {
        let view = RepositoryView::of(self.repository()?).map_err(ViewError::from)?;
        Ok(Box::new(view))
    }

    fn read_back(&mut self, at: &TreePath) -> Result<Index, PublisherError> {
        let path = [b"/", at.as_bytes()].concat();
        let mut objects = Vec::new();
        let mut content = |row: &Row| {
            let own = objects.len();
            objects.extend(row.objects().map(|(hash, kind, _)| (hash, kind)));
            let names: Vec<ObjectHash> = objects[own..].iter().map(|(hash, _)| *hash).collect();
            self.written.get(&names).copied()
        };
        let (index, _) = self.repository()?.tree(&path, &mut content)?;
        let damaged = damaged(&*self.storage, &objects);
        if damaged.is_empty() {
            return Ok(index);
        }
        let mut content = |row: &Row| {
            let names: Vec<ObjectHash> = row.objects().map(|(hash, ..)| hash).collect();
            let is_whole = names.iter().all(|name| !damaged.contains(name));
            self.written.get(&names).copied().filter(|_| is_whole)
        };
        let (index, _) = self.repository()?.tree(&path, &mut content)?;
        Ok(index)
    }

    fn cannot(&self, _: &ChangeSet) -> Vec<Inability> {
        Vec::new()
    }

    fn source(&self) -> Option<&dyn Source> {
        Some(&*self.storage)
    }

    fn tags(&mut self) -> Result<Vec<KnownTag>, PublisherError> {
        tags_of(&*self.storage)
    }

    fn untag(&mut self, names: &[TagName]) -> Result<usize, PublisherError> {
        let removed = nd_cvmfs::untag(self.begin(), names).map_err(busy)?;
        Ok(removed.len())
    }

    fn recover(&mut self) -> Result<Option<String>, PublisherError> {
        // What a killed run leaves has no name that counts, and the next lock removes it.
        Ok(None)
    }

    fn publish(&mut self, change: ChangeSet, cancel: &Cancel) -> Result<u64, PublisherError> {
        // Not `begin`: the index of contents is borrowed besides.
        let begin = Begin {
            storage: &*self.storage,
            keys: &self.keys,
            name: &self.name,
            now: self.clock.now(),
        };
        let mut session = Session::begin(begin).map_err(busy)?;
        let known = &mut self.known;
        let objects = ObjectOptions::default();
        self.written.clear();
        for edit in change.edits {
            match edit {
                Edit::Directory { at, parts } => {
                    for mut part in parts {
                        let path = match &part.below {
                            None => at.clone(),
                            Some(below) => {
                                let path = [at.as_bytes(), b"/", below.as_bytes()].concat();
                                TreePath::new(path)
                                    .map_err(|_| PublisherError::Through(below.to_string()))?
                            }
                        };
                        let tree = &mut part.tree;
                        session.store(&tree.index, &mut *tree.contents, known, &objects, cancel)?;
                        for (_, file) in Wanted::distinct(&tree.index).iter() {
                            if let Some(stored) = session.stored(&file.content) {
                                let names = stored.pieces.iter().map(|piece| piece.hash);
                                self.written.insert(names.collect(), file.content);
                            }
                        }
                        let options = PutOptions {
                            nested: NestedAt::Always,
                            ..PutOptions::default()
                        };
                        session.put(&path, &tree.index, &options)?;
                    }
                }
                Edit::File { at, bytes, mode } => {
                    let (index, mut contents) = single(at.name(), bytes, mode)?;
                    session.store(&index, &mut contents, known, &objects, cancel)?;
                    session.put_into(at.parent().as_ref(), &index)?;
                }
                Edit::Remove { at } => match session.remove(&at) {
                    Err(PublishError::NotFound(_)) | Ok(()) => {}
                    Err(error) => return Err(error.into()),
                },
            }
        }
        let revision = Revision {
            description: change.message.as_str().to_owned(),
            ..Revision::default()
        };
        Ok(session.commit(&revision)?.manifest.revision)
    }
}

fn busy(error: PublishError) -> PublisherError {
    match error {
        PublishError::Storage(nd_cvmfs::StorageError::Busy(text)) => PublisherError::Busy(text),
        error => error.into(),
    }
}
