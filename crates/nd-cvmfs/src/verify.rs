//! Proving a repository from outside: trust, structure, counters, objects, trees.

mod objects;

use std::{
    collections::{BTreeMap, HashMap},
    io::Read,
    num::NonZeroUsize,
};

use jiff::Timestamp;
use nd_names::Sha256;
use nd_report::{Cancel, Cancelled};
use nd_rootfs::digests;

use crate::{
    SMALL,
    catalog::{
        Catalog, Counter, Counters, Nested, Row, RowKind, Statistics, check_integrity, flag,
        open_bytes,
    },
    hash::{ObjectHash, ObjectKind},
    keys::MasterPublicKey,
    manifest::Manifest,
    name::RepositoryName,
    publish::is_pending,
    repository::{ReadError, Repository, TrustError, shown},
    storage::{Source, StorageError},
};
use objects::check_objects;

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// That every object is there.
    #[default]
    Existence,
    /// That every object has the bytes that its name says, and trees the digests of their records.
    Full,
}

/// What is to be proved.
#[derive(Debug, Clone)]
pub struct VerifyOptions<'a> {
    /// How much is looked at.
    pub depth: Depth,
    /// Public keys of the master; without one nothing is trusted.
    pub keys: &'a [MasterPublicKey],
    /// The name it must have.
    pub name: Option<&'a RepositoryName>,
    /// This moment.
    pub now: Timestamp,
    /// Threads; `None` for two per core, since most of the time they wait.
    pub threads: Option<NonZeroUsize>,
}

/// Something that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Finding {
    /// Why the repository is not trusted.
    #[error("not trusted: {0}")]
    Trust(TrustError),
    /// A document that the manifest names is not as it should be.
    #[error("{0}")]
    Document(String),
    /// An invariant of a catalogue is broken.
    #[error("catalogue `{catalog}`: {problem}")]
    Catalog {
        /// Where the catalogue begins.
        catalog: String,
        /// What is wrong.
        problem: String,
    },
    /// An object is missing or damaged.
    #[error("{} `{object}` of `{file}`: {problem}", kind.name())]
    Object {
        /// What it is.
        kind: ObjectKind,
        /// Its path below the root of the storage.
        object: String,
        /// A file that needs it.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// A tree is not the one of the record beside it.
    #[error("`{path}` is not the tree of its record: {problem}")]
    Tree {
        /// The tree.
        path: String,
        /// What is wrong.
        problem: String,
    },
}

impl Finding {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Trust(_) => "trust",
            Self::Document(_) => "document",
            Self::Catalog { .. } => "catalog",
            Self::Object { .. } => "object",
            Self::Tree { .. } => "tree",
        }
    }
}

/// What a look at a repository gave.
#[derive(Debug)]
pub struct Verified {
    /// The manifest.
    pub manifest: Manifest,
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
    /// What is odd and not wrong.
    pub notes: Vec<String>,
    /// Hours until the whitelist expires, if there is one.
    pub hours_left: Option<i64>,
    /// Catalogues read.
    pub catalogs: u64,
    /// Rows in them; mount points stand twice.
    pub entries: u64,
    /// Distinct objects of files looked at.
    pub objects: u64,
    /// Plain bytes in them.
    pub bytes: u64,
    /// Trees whose digest was compared with a record.
    pub trees: u64,
}

impl Verified {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no repository, or no readable manifest.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Somebody asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// As many catalogues as are read.
const MAX_CATALOGS: usize = 1_000_000;

/// What one object must be: plain bytes, stored without zlib.
type Object = (ObjectHash, ObjectKind, u64, bool);

struct Walk<'s, 'a> {
    repository: &'a Repository<'s>,
    findings: Vec<Finding>,
    objects: HashMap<Object, Vec<u8>>,
    statistics: BTreeMap<Vec<u8>, (Statistics, Vec<Vec<u8>>)>,
    records: Vec<Vec<u8>>,
    entries: u64,
}

/// Looks at a whole repository.
pub fn verify(
    source: &dyn Source,
    options: &VerifyOptions<'_>,
    cancel: &Cancel,
) -> Result<Verified, VerifyError> {
    let repository = Repository::open(source)?;
    let (list, wrong) = repository.check_trust(options.keys, options.name, options.now)?;
    let mut walk = Walk {
        repository: &repository,
        findings: wrong.into_iter().map(Finding::Trust).collect(),
        objects: HashMap::new(),
        statistics: BTreeMap::new(),
        records: Vec::new(),
        entries: 0,
    };
    let mut notes = Vec::new();
    walk.documents(&mut notes)?;
    walk.catalogs(cancel)?;
    walk.counters();
    let hash_contents = options.depth == Depth::Full && !walk.records.is_empty();
    let contents = check_objects(source, &mut walk, options, hash_contents, cancel)?;
    let mut trees = 0;
    if hash_contents {
        trees = walk.trees(&contents, cancel)?;
    }
    let hours_left = list.map(|list| list.hours_left(options.now));
    Ok(Verified {
        manifest: repository.manifest().clone(),
        notes,
        hours_left,
        catalogs: walk.statistics.len() as u64,
        entries: walk.entries,
        objects: walk.objects.len() as u64,
        bytes: walk.objects.keys().map(|(_, _, size, _)| size).sum(),
        trees,
        findings: walk.findings,
    })
}

impl Walk<'_, '_> {
    fn document(&mut self, text: &dyn std::fmt::Display) {
        self.findings.push(Finding::Document(text.to_string()));
    }

    /// History, meta-information, reference log.
    fn documents(&mut self, notes: &mut Vec<String>) -> Result<(), StorageError> {
        let manifest = self.repository.manifest().clone();
        match self.repository.history() {
            Ok(Some(history)) => match history.tags() {
                Ok(tags) => {
                    let head = tags.iter().find(|tag| tag.revision == manifest.revision);
                    if head.is_some_and(|tag| tag.root != manifest.root_catalog) {
                        self.document(&"the tag of the current revision names another catalogue");
                    }
                }
                Err(error) => self.document(&error),
            },
            Ok(None) => notes.push("the repository has no tags".into()),
            Err(ReadError::Storage(error)) => return Err(error),
            Err(error) => self.document(&error),
        }
        if let Some(meta) = manifest.meta_info {
            let kind = ObjectKind::MetaInfo;
            match self.repository.document(&meta, kind, SMALL) {
                Ok(text) if serde_json::from_slice::<serde_json::Value>(&text).is_err() => {
                    self.document(&"the meta-information is no JSON");
                }
                Ok(_) => {}
                Err(ReadError::Storage(error)) => return Err(error),
                Err(error) => self.document(&error),
            }
        }
        match self.repository.reflog() {
            Ok(None) => notes.push("the repository has no reference log".into()),
            Ok(Some((log, bytes))) => {
                if let Some(expected) = manifest.reflog {
                    let found = expected.algorithm.hash(&bytes);
                    if found != expected && is_pending(self.repository.source(), found)? {
                        notes.push("a change was interrupted; the next one clears that".into());
                    } else if found != expected {
                        self.document(&"the reference log has another hash than the manifest says");
                    }
                }
                match log.references() {
                    Ok(known) => {
                        let roots = [
                            Some((manifest.root_catalog, ObjectKind::Catalog)),
                            manifest
                                .certificate
                                .map(|hash| (hash, ObjectKind::Certificate)),
                            manifest.history.map(|hash| (hash, ObjectKind::History)),
                            manifest.meta_info.map(|hash| (hash, ObjectKind::MetaInfo)),
                        ];
                        for (hash, kind) in roots.into_iter().flatten() {
                            if !known.iter().any(|one| one.hash == hash && one.kind == kind) {
                                let name = kind.name();
                                self.document(&format!(
                                    "the reference log lacks the {name} {hash}"
                                ));
                            }
                        }
                    }
                    Err(error) => self.document(&error),
                }
            }
            Err(ReadError::Storage(error)) => return Err(error),
            Err(error) => self.document(&error),
        }
        Ok(())
    }

    fn catalogs(&mut self, cancel: &Cancel) -> Result<(), VerifyError> {
        let manifest = self.repository.manifest();
        let first = Nested {
            hash: manifest.root_catalog,
            size: manifest.root_size,
        };
        let revision = manifest.revision;
        let mut waiting: Vec<(Vec<u8>, Nested, Option<Row>)> = vec![(Vec::new(), first, None)];
        while let Some((prefix, nested, mount)) = waiting.pop() {
            cancel.check()?;
            if self.statistics.len() == MAX_CATALOGS {
                self.document(&format!("more than {MAX_CATALOGS} catalogues"));
                break;
            }
            let catalog = shown(&prefix);
            let bytes = match self.repository.catalog_bytes(&nested.hash, nested.size) {
                Ok(bytes) => bytes,
                Err(ReadError::Storage(error)) => return Err(error.into()),
                Err(error) => {
                    let problem = error.to_string();
                    self.findings.push(Finding::Catalog { catalog, problem });
                    continue;
                }
            };
            let (read, problems) = match Catalog::read(&bytes, &prefix) {
                Ok(read) => read,
                Err(error) => {
                    let problem = error.to_string();
                    self.findings.push(Finding::Catalog { catalog, problem });
                    continue;
                }
            };
            drop(bytes);
            for problem in problems {
                self.findings.push(Finding::Catalog {
                    catalog: catalog.clone(),
                    problem: problem.to_string(),
                });
            }
            let mut wrong = |problem: &str| {
                self.findings.push(Finding::Catalog {
                    catalog: catalog.clone(),
                    problem: problem.into(),
                });
            };
            if let (Some(mount), Some(root)) = (&mount, read.row(&prefix))
                && !mount.agrees_at_transition(root)
            {
                wrong("its root and its mount point differ");
            }
            if prefix.is_empty() && read.revision() != revision {
                wrong("its revision is not that of the manifest");
            }
            self.rows(&read);
            for (mount, nested) in &read.nested {
                // Only what was found to be a mount point below: so no walk goes in circles.
                if let Some(row) = read.row(mount).filter(|row| row.has(flag::MOUNT_POINT)) {
                    waiting.push((mount.clone(), *nested, Some(row.clone())));
                }
            }
            let children = read.nested.keys().cloned().collect();
            self.statistics.insert(prefix, (read.statistics, children));
        }
        Ok(())
    }

    fn rows(&mut self, catalog: &Catalog) {
        self.entries += catalog.rows.len() as u64;
        for (key, row) in &catalog.rows {
            if row.kind() != RowKind::File {
                continue;
            }
            let plain = row.is_plain() == Some(true);
            for (hash, kind, size) in row.objects() {
                (self.objects.entry((hash, kind, size, plain)))
                    .or_insert_with(|| crate::catalog::path_of_key(key));
            }
            if row.name == b"tree.json" {
                self.records.push(crate::catalog::path_of_key(key));
            }
        }
    }

    /// The counters of catalogues below, which each catalogue keeps too.
    fn counters(&mut self) {
        for (prefix, (statistics, children)) in &self.statistics {
            let known = children.iter().map(|child| self.statistics.get(child));
            let Some(known) = known.collect::<Option<Vec<_>>>() else {
                continue;
            };
            let sum = known.iter().fold(Counters::default(), |sum, (child, _)| {
                sum.plus(&child.total())
            });
            for counter in Counter::ALL {
                let (found, expected) = (statistics.subtree.get(counter), sum.get(counter));
                if found != expected {
                    let name = counter.name();
                    self.findings.push(Finding::Catalog {
                        catalog: shown(prefix),
                        problem: format!("the counter `subtree_{name}` is {found}, not {expected}"),
                    });
                }
            }
        }
    }

    /// Compares trees with the records beside them: `DIR/tree.json` describes `DIR/NAME.simg`, where
    /// `DIR` ends in `NAME`.
    fn trees(
        &mut self,
        contents: &HashMap<(ObjectHash, u64), Sha256>,
        cancel: &Cancel,
    ) -> Result<u64, VerifyError> {
        let mut compared = 0;
        for record in std::mem::take(&mut self.records) {
            cancel.check()?;
            let dir = &record[..record.len() - b"/tree.json".len()];
            let name = dir.rsplit(|&b| b == b'/').next().unwrap_or_default();
            let path = [dir, b"/", name, b".simg"].concat();
            match self.tree(&record, &path, contents) {
                Ok(true) => compared += 1,
                Ok(false) => {}
                Err(problem) => {
                    let path = shown(&path);
                    self.findings.push(Finding::Tree { path, problem });
                }
            }
        }
        Ok(compared)
    }

    /// Whether there was something to compare.
    fn tree(
        &self,
        record: &[u8],
        path: &[u8],
        contents: &HashMap<(ObjectHash, u64), Sha256>,
    ) -> Result<bool, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let Ok(row) = self.repository.stat(path) else {
            return Ok(false);
        };
        if row.kind() != RowKind::Dir {
            return Ok(false);
        }
        let row = self.repository.stat(record).map_err(|e| text(&e))?;
        let mut json = Vec::new();
        let bytes = self.repository.read(&row).map_err(|e| text(&e))?;
        bytes
            .take(SMALL)
            .read_to_end(&mut json)
            .map_err(|e| text(&e))?;
        let json: serde_json::Value = serde_json::from_slice(&json).map_err(|e| text(&e))?;
        let mut known = |row: &Row| {
            let hash = row.hash.filter(|_| row.chunks.is_empty())?;
            contents.get(&(hash, row.size)).copied()
        };
        let (index, _) = self
            .repository
            .tree(path, &mut known)
            .map_err(|e| text(&e))?;
        let found = digests(&index);
        let mut compared = false;
        for (field, digest) in [("tree", found.tree), ("tree_full", found.full)] {
            let Some(expected) = json[field].as_str() else {
                continue;
            };
            match expected.parse::<nd_rootfs::TreeDigest>() {
                Ok(expected) if expected == digest => compared = true,
                Ok(_) => return Err(format!("it has {digest}, the record says {expected}")),
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(compared)
    }
}

/// Whether a data base is sound by SQLite's own check, for documents that are read elsewhere.
pub fn is_sound_database(bytes: &[u8]) -> bool {
    open_bytes(bytes).is_ok_and(|connection| matches!(check_integrity(&connection), Ok(None)))
}
