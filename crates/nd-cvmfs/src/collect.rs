//! Garbage collection and rollback.

use std::collections::HashSet;

use nd_report::Cancel;

use crate::{
    catalog::Catalog,
    hash::{ObjectHash, ObjectKind},
    history::Tag,
    publish::{
        AtomicCounts, Begin, Head, PublishError, Published, Publisher, Revision, load_reflog,
    },
    reflog::Reference,
    repository::{ReadError, Repository},
    storage::{Storage, StorageError},
};

/// What is kept besides the current revision and all tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Catalogues registered in the last so many seconds.
    pub seconds: i64,
}

impl Default for Keep {
    /// Three days.
    fn default() -> Self {
        Self {
            seconds: 3 * 86_400,
        }
    }
}

/// What a collection did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Revisions that stay.
    pub kept_roots: u64,
    /// Revisions that go.
    pub dropped_roots: u64,
    /// Objects that stay.
    pub kept: u64,
    /// Objects that go.
    pub deleted: u64,
    /// Their bytes.
    pub deleted_bytes: u64,
}

/// Whether something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is.
    Apply,
    /// It is only counted.
    Plan,
}

/// So many objects go until a wish to stop is heard; stores of objects remove as many by one request.
const AT_ONCE: usize = 1000;

/// Is there from before the first object goes until the last one is gone. Catalogues may name objects
/// that are gone already then, and who comes upon one that nothing needed has to look.
pub(crate) const COLLECTING: &str = "data/txn/collecting";

/// An object by its name.
type Object = (ObjectHash, ObjectKind);

/// Deletes every object that neither the current revision, nor a tag, nor a revision of late needs,
/// those of interrupted changes included. Whatever moment it is killed at, no needed object is gone.
pub fn collect(
    begin: Begin<'_>,
    keep: Keep,
    action: Action,
    cancel: &Cancel,
) -> Result<Collected, PublishError> {
    let head = Head::take(begin)?;
    let repository = head.repository()?;
    let manifest = repository.manifest().clone();
    if !manifest.collectable {
        return Err(PublishError::NotCollectable);
    }
    let log = load_reflog(&repository)?;
    let references = log.references()?;
    let mut roots: Vec<(ObjectHash, u64)> = vec![(manifest.root_catalog, manifest.root_size)];
    if let Some(history) = repository.history()? {
        roots.extend(history.tags()?.iter().map(|tag| (tag.root, tag.size)));
    }
    let tagged: HashSet<ObjectHash> = roots.iter().map(|(hash, _)| *hash).collect();
    let since = begin.now.as_second().saturating_sub(keep.seconds);
    let mut dropped = Vec::new();
    let mut wanted: HashSet<Object> = HashSet::new();
    for one in &references {
        let current = match one.kind {
            ObjectKind::Catalog => tagged.contains(&one.hash),
            ObjectKind::Certificate => manifest.certificate == Some(one.hash),
            ObjectKind::History => manifest.history == Some(one.hash),
            _ => manifest.meta_info == Some(one.hash),
        };
        let is_old = one.timestamp <= since;
        if !current && (is_old || is_elsewhere(begin.storage, one)?) {
            dropped.push(*one);
        } else if one.kind == ObjectKind::Catalog {
            if !current {
                roots.push((one.hash, 0));
            }
        } else {
            wanted.insert((one.hash, one.kind));
        }
    }
    for (hash, kind) in [
        (manifest.certificate, ObjectKind::Certificate),
        (manifest.history, ObjectKind::History),
        (manifest.meta_info, ObjectKind::MetaInfo),
    ] {
        wanted.extend(hash.map(|hash| (hash, kind)));
    }
    let mut seen = HashSet::new();
    let mut kept_roots = 0;
    for (hash, size) in roots {
        if seen.insert(hash) {
            mark(&repository, hash, size, &mut wanted, cancel)?;
            kept_roots += 1;
        }
    }
    // Markers of catalogues need it, and so does whoever publishes next.
    let empty = manifest
        .root_catalog
        .algorithm
        .hash(&crate::compress::EMPTY);
    wanted.insert((empty, ObjectKind::File));

    let mut out = Collected {
        kept_roots,
        dropped_roots: dropped
            .iter()
            .filter(|one| one.kind == ObjectKind::Catalog)
            .count() as u64,
        ..Collected::default()
    };
    let garbage = |wanted: &HashSet<Object>| -> Result<Vec<(Object, u64)>, PublishError> {
        let mut garbage = Vec::new();
        begin.storage.list(&mut |path, size| {
            // What is no object of ours, a file of an administrator perhaps, is let alone.
            garbage.extend(
                ObjectHash::of_path(path)
                    .filter(|object| !wanted.contains(object))
                    .map(|object| (object, size)),
            );
        })?;
        Ok(garbage)
    };
    let remove = |objects: &[(Object, u64)]| -> Result<(), PublishError> {
        if objects.is_empty() {
            return Ok(());
        }
        match begin.storage.put(COLLECTING, b"") {
            // Where an empty file has no room, objects have to go first.
            Err(error) if error.is_full() => {}
            other => other?,
        }
        for objects in objects.chunks(AT_ONCE) {
            cancel.check()?;
            let path = |((hash, kind), _): &(Object, u64)| hash.path(*kind);
            let paths: Vec<String> = objects.iter().map(path).collect();
            begin.storage.remove_all(&paths)?;
        }
        Ok(())
    };
    // First nothing names them any more, then they go.
    let forget = || -> Result<(), PublishError> {
        let log = load_reflog(&repository)?;
        for one in &dropped {
            log.remove(&one.hash)?;
        }
        let counts = AtomicCounts::default();
        head.switch(&counts)?.run(manifest.clone(), None, log)?;
        Ok(())
    };
    let count = |out: &mut Collected, objects: &[(Object, u64)]| {
        out.deleted += objects.len() as u64;
        out.deleted_bytes += objects.iter().map(|(_, size)| size).sum::<u64>();
    };
    if action == Action::Apply && !dropped.is_empty() {
        match forget() {
            Err(PublishError::Storage(error)) if error.is_full() => {
                // Not even the shorter reference log has room: what no revision ever named, such as the
                // objects of a change that found the disk full, makes some.
                let mut named = wanted.clone();
                for one in &dropped {
                    if one.kind == ObjectKind::Catalog {
                        mark(&repository, one.hash, 0, &mut named, cancel)?;
                    }
                    named.insert((one.hash, one.kind));
                }
                let unnamed = garbage(&named)?;
                remove(&unnamed)?;
                count(&mut out, &unnamed);
                forget()?;
            }
            other => other?,
        }
    }
    let rest = garbage(&wanted)?;
    count(&mut out, &rest);
    out.kept = wanted.len() as u64;
    if action == Action::Apply {
        remove(&rest)?;
        begin.storage.remove(COLLECTING)?;
    }
    Ok(out)
}

/// Whether a revision is only where a copy was made from: a copy has the whole reference log, but only
/// the revisions that were current or tagged.
fn is_elsewhere(storage: &dyn Storage, one: &Reference) -> Result<bool, StorageError> {
    let is_catalog = one.kind == ObjectKind::Catalog;
    Ok(is_catalog && storage.size(&one.hash.path(one.kind))?.is_none())
}

/// Notes everything that a root catalogue leads to. Catalogues that another root shares are read
/// once.
fn mark(
    repository: &Repository<'_>,
    root: ObjectHash,
    size: u64,
    wanted: &mut HashSet<Object>,
    cancel: &Cancel,
) -> Result<(), PublishError> {
    let mut waiting = vec![(root, size, Vec::new())];
    while let Some((hash, size, prefix)) = waiting.pop() {
        cancel.check()?;
        if !wanted.insert((hash, ObjectKind::Catalog)) {
            continue;
        }
        let bytes = repository.catalog_bytes(&hash, size)?;
        // A broken invariant must not cost objects: everything that can be read is kept, and what
        // cannot be read stops the collection.
        let (catalog, _) = Catalog::read(&bytes, &prefix).map_err(PublishError::Catalog)?;
        for row in catalog.rows.values() {
            wanted.extend(row.objects().map(|(hash, kind, _)| (hash, kind)));
        }
        for (path, nested) in catalog.nested {
            waiting.push((nested.hash, nested.size, path));
        }
    }
    Ok(())
}

/// Which revision is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The one before the current.
    Previous,
    /// The one of a tag.
    Tag(String),
    /// The one of this number.
    Number(u64),
}

/// As many predecessors as are walked to find a revision that has no tag.
const MAX_WALK: usize = 100_000;

/// The root catalogue of an earlier revision: by its tag, else by following predecessors.
pub fn find_revision(repository: &Repository<'_>, target: &Target) -> Result<Tag, PublishError> {
    let tags = match repository.history()? {
        Some(history) => history.tags()?,
        None => Vec::new(),
    };
    let (missing, number) = match target {
        Target::Previous => {
            if let Some(tag) = tags.iter().find(|tag| tag.name == "trunk-previous") {
                return Ok(tag.clone());
            }
            let before = repository.manifest().revision.saturating_sub(1);
            ("trunk-previous".to_owned(), Some(before))
        }
        Target::Tag(name) => {
            if let Some(tag) = tags.iter().find(|tag| tag.name == *name) {
                return Ok(tag.clone());
            }
            (name.clone(), None)
        }
        Target::Number(number) => {
            if let Some(tag) = tags.iter().find(|tag| tag.revision == *number) {
                return Ok(tag.clone());
            }
            (number.to_string(), Some(*number))
        }
    };
    let Some(number) = number else {
        return Err(PublishError::NoTag(missing));
    };
    let manifest = repository.manifest();
    let (mut hash, mut size) = (manifest.root_catalog, manifest.root_size);
    for _ in 0..MAX_WALK {
        let catalog = match repository.catalog(&hash, size, b"") {
            Ok(catalog) => catalog,
            // Collected meanwhile.
            Err(ReadError::Missing { .. }) => break,
            Err(error) => return Err(error.into()),
        };
        let revision = catalog.revision();
        if revision == number {
            // What is forgotten is collected, or about to be.
            let log = repository.reflog()?.map(|(log, _)| log.references());
            let is_known = |log: &Vec<Reference>| log.iter().any(|one| one.hash == hash);
            if log.transpose()?.is_some_and(|log| !is_known(&log)) {
                break;
            }
            let time = catalog.properties.get("last_modified");
            return Ok(Tag {
                name: String::new(),
                root: hash,
                revision,
                timestamp: time.and_then(|text| text.parse().ok()).unwrap_or(0),
                description: String::new(),
                size,
            });
        }
        let previous = catalog.properties.get("previous_revision");
        match previous.and_then(|text| text.parse::<ObjectHash>().ok()) {
            Some(previous) if revision > number && previous.digest != [0; 20] => hash = previous,
            _ => break,
        }
        size = 0;
    }
    Err(PublishError::NoTag(missing))
}

/// Publishes the content of an earlier revision as a new one.
pub fn roll_back(
    begin: Begin<'_>,
    target: &Target,
    revision: &Revision,
) -> Result<Published, PublishError> {
    let mut publisher = Publisher::begin(begin)?;
    let tag = find_revision(publisher.repository(), target)?;
    publisher.become_root(&tag)?;
    publisher.commit(revision)
}
