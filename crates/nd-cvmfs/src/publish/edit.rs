//! Changes of catalogues in memory, until they are written from the leaves to the root.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    error::PublishError,
    objects::{AtomicCounts, put_object},
};
use crate::{
    catalog::{self, Catalog, Counters, Nested, Row, RowKind, Statistics, flag, key},
    compress,
    hash::{Algorithm, ObjectHash, ObjectKind},
    repository::{Repository, shown},
    storage::{Storage, StorageError},
};

/// A catalogue that is being changed.
struct Open {
    catalog: Catalog,
    /// The object it was read from.
    old: ObjectHash,
    /// What the catalogue above has counted for it.
    counted: Counters,
    dirty: bool,
}

/// The catalogues of one coming revision.
pub(crate) struct Editor<'s> {
    repository: Repository<'s>,
    storage: &'s dyn Storage,
    open: BTreeMap<Vec<u8>, Open>,
    pub(crate) counts: AtomicCounts,
    pub(crate) now: Timestamp,
    algorithm: Algorithm,
}

/// Where the path above ends.
fn parent(path: &[u8]) -> &[u8] {
    &path[..path.iter().rposition(|&b| b == b'/').unwrap_or(0)]
}

fn is_below(path: &[u8], dir: &[u8]) -> bool {
    path.strip_prefix(dir)
        .is_some_and(|rest| rest.first() == Some(&b'/'))
}

impl<'s> Editor<'s> {
    /// Begins at the current revision.
    pub(crate) fn new(
        storage: &'s dyn Storage,
        repository: Repository<'s>,
        now: Timestamp,
    ) -> Result<Self, PublishError> {
        let root = repository.root()?;
        let old = repository.manifest().root_catalog;
        Ok(Self::with_root(storage, repository, root, old, now))
    }

    /// Begins with a root catalogue that follows `old`.
    pub(crate) fn with_root(
        storage: &'s dyn Storage,
        repository: Repository<'s>,
        root: Catalog,
        old: ObjectHash,
        now: Timestamp,
    ) -> Self {
        let algorithm = repository.manifest().root_catalog.algorithm;
        let open = Open {
            counted: root.statistics.total(),
            catalog: root,
            old,
            dirty: false,
        };
        Self {
            repository,
            storage,
            open: BTreeMap::from([(Vec::new(), open)]),
            counts: AtomicCounts::default(),
            now,
            algorithm,
        }
    }

    pub(crate) fn storage(&self) -> &'s dyn Storage {
        self.storage
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether anything was changed.
    pub(crate) fn is_dirty(&self) -> bool {
        self.open.values().any(|open| open.dirty)
    }

    /// Makes the root count as changed.
    pub(crate) fn touch(&mut self) {
        if let Some(open) = self.open.get_mut(&b""[..]) {
            open.dirty = true;
        }
    }

    /// The catalogue that has, or would have, the row of `path`.
    fn holder(&mut self, path: &[u8]) -> Result<&mut Open, PublishError> {
        let mut prefix: Vec<u8> = Vec::new();
        loop {
            let catalog = &self.open[&prefix].catalog;
            let next = catalog
                .nested_for(path)
                .filter(|(mount, _)| is_below(path, mount));
            let Some((mount, nested)) = next.map(|(mount, nested)| (mount.to_vec(), nested)) else {
                break;
            };
            if !self.open.contains_key(&mount) {
                let catalog = self.repository.catalog(&nested.hash, nested.size, &mount)?;
                let open = Open {
                    counted: catalog.statistics.total(),
                    catalog,
                    old: nested.hash,
                    dirty: false,
                };
                self.open.insert(mount.clone(), open);
            }
            prefix = mount;
        }
        let missing = || PublishError::NotFound(shown(path));
        self.open.get_mut(&prefix).ok_or_else(missing)
    }

    /// The catalogue that lists what is in the directory `path`.
    pub(crate) fn lister(&mut self, path: &[u8]) -> Result<&mut Catalog, PublishError> {
        // Any name below decides it.
        let child = [path, b"/."].concat();
        let open = self.holder(&child)?;
        open.dirty = true;
        Ok(&mut open.catalog)
    }

    /// The row of a path, if there is one.
    pub(crate) fn row(&mut self, path: &[u8]) -> Result<Option<Row>, PublishError> {
        Ok(self.holder(path)?.catalog.row(path).cloned())
    }

    /// Changes the row of a directory, in both catalogues where one begins there.
    fn change_dir(&mut self, path: &[u8], change: impl Fn(&mut Row)) -> Result<(), PublishError> {
        let apply = |open: &mut Open| {
            if let Some(row) = open.catalog.rows.get_mut(&key(path)) {
                let before = row.clone();
                change(row);
                open.dirty |= *row != before;
            }
        };
        let open = self.holder(path)?;
        apply(open);
        if open.catalog.nested.contains_key(path) {
            let child = [path, b"/."].concat();
            apply(self.holder(&child)?);
        }
        Ok(())
    }

    /// Makes the directory `path` and those above, where they are missing.
    pub(crate) fn make_dirs(&mut self, path: &[u8]) -> Result<(), PublishError> {
        let ends = path
            .iter()
            .enumerate()
            .filter(|(_, b)| **b == b'/')
            .map(|(at, _)| at);
        let ends: Vec<usize> = ends.chain([path.len()]).filter(|&end| end > 0).collect();
        for end in ends {
            let dir = &path[..end];
            match self.row(dir)? {
                Some(row) if row.kind() == RowKind::Dir => {}
                Some(_) => return Err(PublishError::NotADirectory(shown(dir))),
                None => {
                    let name = dir[parent(dir).len() + 1..].to_vec();
                    let row = directory(name, self.now.as_second());
                    self.insert(dir, row)?;
                }
            }
        }
        Ok(())
    }

    /// Adds a row; its directory exists.
    pub(crate) fn insert(&mut self, path: &[u8], row: Row) -> Result<(), PublishError> {
        let is_dir = row.kind() == RowKind::Dir;
        let open = self.holder(path)?;
        open.dirty = true;
        open.catalog.rows.insert(key(path), row);
        if is_dir {
            self.change_dir(parent(path), |dir| dir.links += 1)?;
        }
        let now = self.now.as_second();
        self.change_dir(parent(path), |dir| dir.mtime = now)
    }

    /// Mounts a catalogue that was written; the row of its mount point is added too.
    pub(crate) fn mount(
        &mut self,
        path: &[u8],
        row: Row,
        nested: Nested,
        total: &Counters,
    ) -> Result<(), PublishError> {
        self.insert(path, row)?;
        let catalog = &mut self.holder(path)?.catalog;
        catalog.nested.insert(path.to_vec(), nested);
        catalog.statistics.subtree = catalog.statistics.subtree.plus(total);
        Ok(())
    }

    /// Removes a path and everything below; `false` when there is nothing.
    pub(crate) fn remove(&mut self, path: &[u8]) -> Result<bool, PublishError> {
        let Some(row) = self.row(path)? else {
            return Ok(false);
        };
        let mounts: Vec<(Vec<u8>, Nested)> = (self.holder(path)?.catalog.nested.iter())
            .filter(|(mount, _)| *mount == path || is_below(mount, path))
            .map(|(mount, nested)| (mount.clone(), *nested))
            .collect();
        let mut gone = Counters::default();
        for (mount, nested) in &mounts {
            let counted = if let Some(open) = self.open.get(mount) {
                open.counted
            } else {
                let bytes = self.repository.catalog_bytes(&nested.hash, nested.size)?;
                let read = Catalog::read(&bytes, mount).map_err(PublishError::Catalog)?;
                read.0.statistics.total()
            };
            gone = gone.plus(&counted);
            self.open
                .retain(|prefix, _| prefix != mount && !is_below(prefix, mount));
        }
        let open = self.holder(path)?;
        open.dirty = true;
        let catalog = &mut open.catalog;
        catalog.statistics.subtree = catalog.statistics.subtree.minus(&gone);
        for (mount, _) in &mounts {
            catalog.nested.remove(mount);
        }
        let first = key(path);
        let below = [&first[..], &[0]].concat();
        let keys: Vec<Vec<u8>> = (catalog.rows.range(below.clone()..))
            .take_while(|(key, _)| key.starts_with(&below))
            .map(|(key, _)| key.clone())
            .chain([first.clone()])
            .collect();
        for key in keys {
            catalog.rows.remove(&key);
        }
        if row.link_group != 0 {
            let dir = key(parent(path));
            for (other, member) in &mut catalog.rows {
                if member.link_group == row.link_group && parent_key(other) == dir {
                    member.links = member.links.saturating_sub(1).max(1);
                }
            }
        }
        if row.kind() == RowKind::Dir {
            self.change_dir(parent(path), |dir| dir.links = dir.links.saturating_sub(1))?;
        }
        let now = self.now.as_second();
        self.change_dir(parent(path), |dir| dir.mtime = now)?;
        Ok(true)
    }

    /// Writes one catalogue as an object.
    pub(crate) fn write(&self, catalog: &Catalog) -> Result<(Nested, Statistics), PublishError> {
        let (bytes, statistics) = catalog::write(catalog)?;
        let hash = self.put_document(&bytes, ObjectKind::Catalog)?;
        let size = bytes.len() as u64;
        Ok((Nested { hash, size }, statistics))
    }

    /// Compresses a document and puts it as an object.
    pub(crate) fn put_document(
        &self,
        bytes: &[u8],
        kind: ObjectKind,
    ) -> Result<ObjectHash, StorageError> {
        let stream = compress::deflate(bytes)
            .map_err(|error| StorageError::io("a compressed object", error))?;
        let hash = self.algorithm.hash(&stream);
        put_object(self.storage, &hash, kind, &stream, &self.counts)?;
        Ok(hash)
    }

    /// Writes every catalogue that was changed, from the leaves to the root. Gives the root with its
    /// revision.
    pub(crate) fn write_all(&mut self, revision: u64, ttl: u64) -> Result<Nested, PublishError> {
        let mut prefixes: Vec<Vec<u8>> = self.open.keys().cloned().collect();
        prefixes.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
        for prefix in prefixes {
            let Some(mut open) = self.open.remove(&prefix) else {
                continue;
            };
            if !open.dirty {
                continue;
            }
            let own = if prefix.is_empty() {
                revision
            } else {
                open.catalog.revision() + 1
            };
            stamp(&mut open.catalog, own, open.old, self.now);
            if prefix.is_empty() {
                open.catalog
                    .properties
                    .insert("TTL".into(), ttl.to_string());
                return Ok(self.write(&open.catalog)?.0);
            }
            let (nested, statistics) = self.write(&open.catalog)?;
            let above = self.holder(&prefix)?;
            above.dirty = true;
            above.catalog.nested.insert(prefix, nested);
            let subtree = &mut above.catalog.statistics.subtree;
            *subtree = subtree.minus(&open.counted).plus(&statistics.total());
        }
        Ok(Nested {
            hash: self.repository.manifest().root_catalog,
            size: self.repository.manifest().root_size,
        })
    }
}

fn parent_key(key: &[u8]) -> &[u8] {
    &key[..key.iter().rposition(|&b| b == 0).unwrap_or(0)]
}

/// Sets the properties that every rewritten catalogue has.
pub(crate) fn stamp(catalog: &mut Catalog, revision: u64, previous: ObjectHash, now: Timestamp) {
    let mut set = |key: &str, value: String| catalog.properties.insert(key.into(), value);
    set("schema", "2.5".into());
    set("schema_revision", "7".into());
    set("revision", revision.to_string());
    set("last_modified", now.as_second().to_string());
    set("previous_revision", previous.to_string());
}

/// The row of a directory without anything special.
pub(crate) fn directory(name: Vec<u8>, mtime: i64) -> Row {
    Row {
        name,
        mode: 0o040_755,
        flags: flag::DIR,
        size: 4096,
        mtime,
        mtime_ns: None,
        uid: 0,
        gid: 0,
        links: 2,
        link_group: 0,
        hash: None,
        symlink: Vec::new(),
        xattrs: None,
        chunks: Vec::new(),
    }
}
