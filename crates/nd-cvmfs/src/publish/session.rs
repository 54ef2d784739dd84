//! One change of a repository, from the lock to the new revision.

use std::{
    collections::{BTreeMap, HashMap},
    io::Read,
};

use jiff::Timestamp;
use nd_names::Sha256;
use nd_report::Cancel;
use nd_rootfs::{Contents, ContentsError, Index, Kind, TreePath, Wanted};

use super::{
    commit::{Switch, load_reflog},
    edit::{Editor, directory, stamp},
    error::PublishError,
    objects::{AtomicCounts, Feeder, ObjectCounts, ObjectOptions, is_stored, with_workers},
    put_object,
    tree::{Notes, PutOptions, put_tree},
};
use crate::{
    WHITELIST,
    catalog::{self, Catalog},
    compress,
    hash::{Algorithm, ObjectHash, ObjectKind},
    history::{History, Tag},
    keys::{Keys, seal_whitelist},
    known::{Known, Stored},
    manifest::Manifest,
    name::{RepositoryName, TagName},
    reflog::Reflog,
    repository::{ReadError, Repository, TrustError, shown},
    storage::{Guard, Storage, StorageError, Version},
    whitelist::Whitelist,
};

/// What a new repository is like.
#[derive(Debug, Clone)]
pub struct NewRepository {
    /// Its name.
    pub name: RepositoryName,
    /// What names its objects.
    pub algorithm: Algorithm,
    /// How long clients keep a manifest, in seconds.
    pub ttl: u64,
    /// Whether unreferenced objects may be deleted.
    pub collectable: bool,
    /// For how many days the whitelist is good.
    pub days: u32,
    /// The JSON that describes it, if any.
    pub meta_info: Option<String>,
}

/// Makes a repository: revision 1, an empty root, tagged.
pub fn create(
    storage: &dyn Storage,
    new: &NewRepository,
    keys: &Keys,
    now: Timestamp,
) -> Result<Manifest, PublishError> {
    let (release, master) = (keys.release()?, keys.master()?);
    storage.prepare()?;
    let guard = storage.lock()?;
    if storage.manifest()?.is_some() {
        return Err(PublishError::Exists);
    }
    let counts = AtomicCounts::default();
    let io = |error| StorageError::io("a compressed object", error);
    let empty = compress::deflate(b"").map_err(io)?;
    let hash = new.algorithm.hash(&empty);
    put_object(storage, &hash, ObjectKind::File, &empty, &counts)?;

    let print = release.certificate().fingerprint(new.algorithm);
    let list = Whitelist::new(new.name.clone(), print, now, new.days);
    storage.put(WHITELIST, &seal_whitelist(&list, new.algorithm, master)?)?;
    storage.put(
        ".cvmfs_master_replica",
        b"This file marks the repository as replicatable\n",
    )?;

    let mut root = Catalog::default();
    root.rows
        .insert(Vec::new(), directory(Vec::new(), now.as_second()));
    let none = ObjectHash {
        algorithm: new.algorithm,
        ..ObjectHash::NONE
    };
    stamp(&mut root, 1, none, now);
    root.properties.insert("TTL".into(), new.ttl.to_string());
    let (bytes, _) = catalog::write(&root)?;
    let log = Reflog::new(&new.name)?;
    let switch = Switch {
        storage,
        guard: &*guard,
        release,
        old: None,
        now,
        counts: &counts,
    };
    let hash = switch.put(&bytes, ObjectKind::Catalog, new.algorithm, &log)?;
    let meta_info = match &new.meta_info {
        Some(text) => {
            Some(switch.put(text.as_bytes(), ObjectKind::MetaInfo, new.algorithm, &log)?)
        }
        None => None,
    };
    let mut history = History::new(&new.name)?;
    let tag = Tag {
        name: String::new(),
        root: hash,
        revision: 1,
        timestamp: now.as_second(),
        description: String::new(),
        size: bytes.len() as u64,
    };
    history.advance(&tag, None)?;
    let manifest = Manifest {
        root_catalog: hash,
        root_size: bytes.len() as u64,
        ttl: new.ttl,
        revision: 1,
        collectable: new.collectable,
        alternative_paths: false,
        name: Some(new.name.clone()),
        certificate: None,
        history: None,
        timestamp: Some(now.as_second()),
        meta_info,
        reflog: None,
    };
    switch.run(manifest, Some(&mut history), log)
}

/// What a publisher needs.
#[derive(Clone, Copy)]
pub struct Begin<'s> {
    /// Where the repository is.
    pub storage: &'s dyn Storage,
    /// The release key, and the public master key.
    pub keys: &'s Keys,
    /// The name that the repository must have.
    pub name: &'s RepositoryName,
    /// This moment.
    pub now: Timestamp,
}

impl std::fmt::Debug for Begin<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Begin")
            .field("storage", &self.storage.describe())
            .field("name", &self.name)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// A repository that is locked and proved, with the manifest to be replaced.
pub(crate) struct Head<'s> {
    pub(crate) begin: Begin<'s>,
    pub(crate) guard: Box<dyn Guard>,
    pub(crate) version: Version,
}

impl<'s> Head<'s> {
    /// Locks the repository and checks its whole chain.
    pub(crate) fn take(begin: Begin<'s>) -> Result<Self, PublishError> {
        let storage = begin.storage;
        let none = || ReadError::NoRepository(storage.describe());
        if storage.manifest()?.is_none() {
            return Err(none().into());
        }
        let guard = storage.lock()?;
        let version = storage.manifest()?.ok_or_else(none)?;
        let head = Self {
            begin,
            guard,
            version,
        };
        let repository = head.repository()?;
        let keys: Vec<_> = begin.keys.public.iter().cloned().collect();
        let (list, wrong) = repository.check_trust(&keys, Some(begin.name), begin.now)?;
        if let Some(wrong) = wrong.into_iter().next() {
            return Err(PublishError::Trust(wrong));
        }
        let list = list.ok_or(PublishError::Trust(TrustError::NoWhitelist))?;
        if !begin.keys.release()?.certificate().is_on(&list) {
            return Err(PublishError::OtherKey);
        }
        Ok(head)
    }

    pub(crate) fn repository(&self) -> Result<Repository<'s>, PublishError> {
        let source: &'s dyn Storage = self.begin.storage;
        Ok(Repository::of_manifest(source, self.version.bytes.clone())?)
    }

    pub(crate) fn switch<'a>(
        &'a self,
        counts: &'a AtomicCounts,
    ) -> Result<Switch<'a>, PublishError> {
        Ok(Switch {
            storage: self.begin.storage,
            guard: &*self.guard,
            release: self.begin.keys.release()?,
            old: Some(&self.version),
            now: self.begin.now,
            counts,
        })
    }
}

/// One revision in the making. Dropped before [`Publisher::commit`], nothing is published.
pub struct Publisher<'s> {
    head: Head<'s>,
    editor: Editor<'s>,
    repository: Repository<'s>,
    stored: HashMap<Sha256, Stored>,
    notes: Notes,
    read_bytes: u64,
}

impl std::fmt::Debug for Publisher<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher")
            .field("repository", &self.repository)
            .finish_non_exhaustive()
    }
}

/// What a revision is called.
#[derive(Debug, Clone, Default)]
pub struct Revision {
    /// A tag for it, if any.
    pub tag: Option<TagName>,
    /// What the tag is for.
    pub description: String,
    /// Its number; the next one unless given.
    pub number: Option<u64>,
}

/// What was published.
#[derive(Debug, Clone)]
pub struct Published {
    /// The manifest that is current now.
    pub manifest: Manifest,
    /// Whether there is a new revision; not when nothing was changed.
    pub changed: bool,
    /// Objects.
    pub objects: ObjectCounts,
    /// What could not be kept as it was, or deserves a look.
    pub notes: Vec<String>,
}

/// A path as a user writes it, absolute and normal. Paths that are CVMFS's own are refused.
pub(crate) fn absolute(path: &TreePath) -> Result<Vec<u8>, PublishError> {
    let first = path.parts().next().unwrap_or_default();
    if first.starts_with(b".cvmfs") {
        return Err(PublishError::Reserved(path.to_string()));
    }
    Ok([b"/", path.as_bytes()].concat())
}

impl<'s> Publisher<'s> {
    /// Locks the repository, proves it and begins a revision on top of the current one.
    pub fn begin(begin: Begin<'s>) -> Result<Self, PublishError> {
        let head = Head::take(begin)?;
        let repository = head.repository()?;
        let editor = Editor::new(begin.storage, head.repository()?, begin.now)?;
        Ok(Self {
            head,
            editor,
            repository,
            stored: HashMap::new(),
            notes: Notes::default(),
            read_bytes: 0,
        })
    }

    /// The repository as it is.
    pub fn repository(&self) -> &Repository<'s> {
        &self.repository
    }

    /// Makes objects of all contents of `index` that are not known. What `known` says is looked up in
    /// the storage before it is believed.
    pub fn store(
        &mut self,
        index: &Index,
        contents: &mut dyn Contents,
        known: &mut Known,
        options: &ObjectOptions,
        cancel: &Cancel,
    ) -> Result<(), PublishError> {
        let mut wanted = Wanted::distinct(index);
        let mut asked = BTreeMap::new();
        for (at, file) in wanted.iter() {
            if !self.stored.contains_key(&file.content) {
                asked.insert(at, file);
            }
        }
        wanted = Wanted::default();
        let found = self.look_up(asked.values().map(|file| &file.content), known, options)?;
        for (at, file) in asked {
            if !found.contains_key(&file.content) {
                wanted.insert(at, file.size, file.content);
            }
        }
        self.stored.extend(found);
        if wanted.is_empty() {
            return Ok(());
        }
        let feed = |feeder: &mut Feeder<'_>| -> Result<(), Stop> {
            contents.visit(&wanted, feeder).map_err(Stop::Contents)
        };
        self.work(known, Look::Done, options, cancel, feed)
    }

    /// Makes objects of contents that come one by one, in a stream: `read` is called with a function that
    /// takes the bytes of one file and gives their digest. What `known` says is looked up for each that
    /// is not cut.
    pub fn store_stream<T>(
        &mut self,
        known: &mut Known,
        options: &ObjectOptions,
        cancel: &Cancel,
        read: impl FnOnce(&mut dyn FnMut(&mut dyn Read) -> std::io::Result<Sha256>) -> T,
    ) -> Result<T, PublishError> {
        let mut out = None;
        self.work(known, Look::Up, options, cancel, |feeder| {
            out = Some(read(&mut |bytes| feeder.feed(bytes)));
            Ok(())
        })?;
        out.ok_or_else(|| StorageError::Busy("the workers are gone".into()).into())
    }

    /// The objects that hold a content, if [`Self::store`] or [`Self::store_stream`] met it.
    pub fn stored(&self, content: &Sha256) -> Option<&Stored> {
        self.stored.get(content)
    }

    fn work(
        &mut self,
        known: &mut Known,
        look: Look,
        options: &ObjectOptions,
        cancel: &Cancel,
        feed: impl FnOnce(&mut Feeder<'_>) -> Result<(), Stop>,
    ) -> Result<(), PublishError> {
        let (storage, algorithm) = (self.editor.storage(), self.editor.algorithm());
        let counts = &self.editor.counts;
        let hints = (look == Look::Up).then_some(&*known);
        let made = with_workers(storage, algorithm, options, counts, hints, cancel, feed);
        let ((), stored, read) = made.map_err(|stop| -> PublishError {
            match stop {
                Stop::Contents(error) if cancel.is_cancelled() => match cancel.check() {
                    Err(stop) => stop.into(),
                    Ok(()) => error.into(),
                },
                Stop::Contents(error) => error.into(),
                Stop::Storage(error) => error.into(),
            }
        })?;
        // A hint that cannot be written costs time later, nothing else.
        if known.insert(algorithm, &stored).is_err() {
            self.notes
                .add("the index of known contents could not be written".into());
        }
        self.read_bytes += read;
        self.stored.extend(stored);
        Ok(())
    }

    fn look_up<'a>(
        &self,
        contents: impl Iterator<Item = &'a Sha256>,
        known: &Known,
        options: &ObjectOptions,
    ) -> Result<HashMap<Sha256, Stored>, PublishError> {
        let (storage, algorithm) = (self.editor.storage(), self.editor.algorithm());
        let hints = known.get_all(algorithm, contents);
        let part = hints.len().div_ceil(options.threads(storage)).max(1);
        let parts: Vec<Result<Vec<bool>, StorageError>> = std::thread::scope(|scope| {
            let running: Vec<_> = hints
                .chunks(part)
                .map(|part| {
                    scope.spawn(move || {
                        let there = |(_, stored): &(_, Stored)| is_stored(storage, stored);
                        part.iter().map(there).collect()
                    })
                })
                .collect();
            let gone = || Err(StorageError::Busy("a thread ended too early".into()));
            (running.into_iter())
                .map(|thread| thread.join().unwrap_or_else(|_| gone()))
                .collect()
        });
        let mut found = HashMap::with_capacity(hints.len());
        let mut hints = hints.into_iter();
        for part in parts {
            for (there, (content, stored)) in part?.into_iter().zip(&mut hints) {
                if there {
                    found.insert(content, stored);
                }
            }
        }
        Ok(found)
    }

    /// Puts a tree at `path`, in place of what is there. Its contents were stored before.
    pub fn put(
        &mut self,
        path: &TreePath,
        index: &Index,
        options: &PutOptions,
    ) -> Result<(), PublishError> {
        let path = absolute(path)?;
        put_tree(
            &mut self.editor,
            &path,
            index,
            &self.stored,
            options,
            &mut self.notes,
        )
    }

    /// Puts the entries of `index` one by one into the directory `dir` (`None`: the root), in place of
    /// those of the same names; everything else in it stays. For small files: no catalogue is made.
    pub fn put_into(&mut self, dir: Option<&TreePath>, index: &Index) -> Result<(), PublishError> {
        let options = PutOptions {
            nested: super::NestedAt::Never,
            ..PutOptions::default()
        };
        for entry in index.children(b"") {
            let path = TreePath::below(dir, entry.path.as_bytes());
            let path = path.map_err(|_| PublishError::NotFound(entry.path.to_string()))?;
            if let Kind::Dir { .. } = entry.kind {
                let below = index.subtree(entry.path.as_bytes())[1..].iter().cloned();
                let cut = entry.path.as_bytes().len() + 1;
                let below: Vec<_> = below
                    .filter_map(|mut entry| {
                        entry.path = TreePath::new(&entry.path.as_bytes()[cut..]).ok()?;
                        Some(entry)
                    })
                    .collect();
                let below = Index::from_entries(below)
                    .map_err(|error| PublishError::NotFound(error.to_string()))?;
                let options = PutOptions {
                    root: Some(entry.attr.clone()),
                    ..options.clone()
                };
                self.put(&path, &below, &options)?;
            } else {
                let path = absolute(&path)?;
                super::tree::put_file(
                    &mut self.editor,
                    &path,
                    entry,
                    &self.stored,
                    &mut self.notes,
                )?;
            }
        }
        Ok(())
    }

    /// Removes a path and everything below it.
    pub fn remove(&mut self, path: &TreePath) -> Result<(), PublishError> {
        let path = absolute(path)?;
        if self.editor.remove(&path)? {
            Ok(())
        } else {
            Err(PublishError::NotFound(shown(&path)))
        }
    }

    /// Makes the content of an earlier root catalogue that of the coming revision.
    pub(crate) fn become_root(&mut self, root: &Tag) -> Result<(), PublishError> {
        let there = self.repository.at(root.root, root.revision, root.size);
        let catalog = there.root()?;
        let (repository, old) = (
            self.head.repository()?,
            self.repository.manifest().root_catalog,
        );
        let (storage, now) = (self.head.begin.storage, self.head.begin.now);
        self.editor = Editor::with_root(storage, repository, catalog, old, now);
        self.editor.touch();
        Ok(())
    }

    /// Adds a line to what the caller is told at the end.
    pub fn note(&mut self, text: String) {
        self.notes.add(text);
    }

    /// Publishes what was changed as one revision. Without a change there is none, unless a tag asks
    /// for it.
    pub fn commit(mut self, revision: &Revision) -> Result<Published, PublishError> {
        let before = self.repository.manifest().clone();
        if revision.tag.is_some() {
            self.editor.touch();
        }
        let objects = |counts: &AtomicCounts, read_bytes| ObjectCounts {
            read_bytes,
            ..counts.get()
        };
        if !self.editor.is_dirty() {
            return Ok(Published {
                manifest: before,
                changed: false,
                objects: objects(&self.editor.counts, self.read_bytes),
                notes: self.notes.0,
            });
        }
        let number = revision.number.unwrap_or(before.revision + 1);
        if number <= before.revision {
            return Err(PublishError::Revision {
                wanted: number,
                current: before.revision,
            });
        }
        let log = load_reflog(&self.repository)?;
        let name = self.head.begin.name;
        let mut history = match self.repository.history()? {
            Some(history) => history,
            None => History::new(name)?,
        };
        if let Some(tag) = &revision.tag
            && history
                .tags()?
                .iter()
                .any(|known| known.name == tag.as_str())
        {
            return Err(PublishError::TagExists(tag.to_string()));
        }
        let root = self.editor.write_all(number, before.ttl)?;
        let head = Tag {
            name: String::new(),
            root: root.hash,
            revision: number,
            timestamp: self.head.begin.now.as_second(),
            description: revision.description.clone(),
            size: root.size,
        };
        history.advance(&head, before.history)?;
        if let Some(tag) = &revision.tag {
            history.add(&Tag {
                name: tag.to_string(),
                ..head
            })?;
        }
        let manifest = Manifest {
            root_catalog: root.hash,
            root_size: root.size,
            revision: number,
            name: Some(name.clone()),
            ..before
        };
        let switch = self.head.switch(&self.editor.counts)?;
        let manifest = switch.run(manifest, Some(&mut history), log)?;
        Ok(Published {
            manifest,
            changed: true,
            objects: objects(&self.editor.counts, self.read_bytes),
            notes: self.notes.0,
        })
    }
}

/// Whether contents are looked up in the index.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// They were, all at once.
    Done,
    /// As they come.
    Up,
}

enum Stop {
    Contents(ContentsError),
    Storage(StorageError),
}

impl From<StorageError> for Stop {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}
