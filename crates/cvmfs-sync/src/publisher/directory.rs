//! A plain tree, for sites that serve or copy folders: revisions beside each other, and one link that
//! says which of them counts.
//!
//! ```text
//! ROOT/current -> revisions/12
//! ROOT/revisions/12/containers/STEM -> ../../../trees/12.0
//! ROOT/trees/12.0/                     never changed once a revision leads to it
//! ```
//!
//! A revision is small: directories that were published as a whole are links into `trees`. Renaming
//! `current` is the moment at which everything changes.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use nd_cvmfs::{Source, TagName};
use nd_host::{FileLock, RootDir};
use nd_report::Cancel;
use nd_rootfs::{Index, TreePath};

use super::{
    ChangeSet, Edit, Inability, Publisher, PublisherError, RepositoryState, Transaction,
    folder::{check_above, host, make_above, remove_all, write_directory},
};
use crate::{
    housekeeping::KnownTag,
    sync::{FolderView, View},
};

/// The link that says which revision counts.
const CURRENT: &str = "current";
/// The same before it is renamed.
const NEXT: &str = ".current.new";
const REVISIONS: &str = "revisions";
const TREES: &str = "trees";
/// The file whose lock is ours.
const LOCK: &str = ".cvmfs-sync.lock";
/// Revisions that stay, so that what runs keeps its files for a while.
const KEPT: u64 = 3;

/// Publishes to a folder of this machine. Users see what its entry `current` leads to.
#[derive(Debug)]
pub struct DirectoryPublisher {
    root: PathBuf,
}

impl DirectoryPublisher {
    /// Publishes to `root`, which is made when it is missing, as revision 0 without anything in it.
    pub fn open(root: PathBuf) -> Result<Self, PublisherError> {
        let made = root.join(CURRENT);
        if fs_err::symlink_metadata(&made).is_err() {
            fs_err::create_dir_all(&root).map_err(PublisherError::io("make", &root))?;
            let known = [REVISIONS, TREES, LOCK, NEXT];
            let entries = fs_err::read_dir(&root).map_err(PublisherError::io("list", &root))?;
            for entry in entries.flatten() {
                if !known.iter().any(|name| entry.file_name() == *name) {
                    return Err(PublisherError::NotOurs(root));
                }
            }
            for folder in [REVISIONS, TREES, "revisions/0"] {
                let folder = root.join(folder);
                fs_err::create_dir_all(&folder).map_err(PublisherError::io("make", folder))?;
            }
            let publisher = Self { root };
            let _lock = publisher.lock()?;
            publisher.switch(0)?;
            return Ok(publisher);
        }
        Ok(Self { root })
    }

    /// The publisher of a folder that one of ours has filled: `path` is that folder, or its `current`.
    pub fn existing(path: &Path) -> Option<Self> {
        let ours = |root: &Path| {
            let root = root.to_owned();
            let publisher = Self { root };
            publisher.revision().is_ok().then_some(publisher)
        };
        let above = path
            .file_name()
            .filter(|name| *name == CURRENT)
            .and_then(|_| path.parent());
        ours(path).or_else(|| ours(above?))
    }

    fn lock(&self) -> Result<FileLock, PublisherError> {
        let path = self.root.join(LOCK);
        let lock = FileLock::try_exclusive(&path).map_err(PublisherError::io("lock", path))?;
        lock.ok_or_else(|| PublisherError::Busy("another `cvmfs-sync` changes it".into()))
    }

    fn revision(&self) -> Result<u64, PublisherError> {
        let link = self.root.join(CURRENT);
        let target = fs_err::read_link(&link).map_err(PublisherError::io("read", &link))?;
        let number = target
            .strip_prefix(REVISIONS)
            .ok()
            .and_then(|number| number.to_str()?.parse().ok());
        number.ok_or_else(|| PublisherError::NotOurs(self.root.clone()))
    }

    fn folder(&self, revision: u64) -> PathBuf {
        self.root.join(REVISIONS).join(revision.to_string())
    }

    /// Makes a revision the one that users see.
    fn switch(&self, revision: u64) -> Result<(), PublisherError> {
        let next = self.root.join(NEXT);
        remove_all(&next)?;
        let target = format!("{REVISIONS}/{revision}");
        fs_err::os::unix::fs::symlink(target, &next).map_err(PublisherError::io("make", &next))?;
        let link = self.root.join(CURRENT);
        fs_err::rename(&next, &link).map_err(PublisherError::io("switch", &link))?;
        let root =
            fs_err::File::open(&self.root).map_err(PublisherError::io("open", &self.root))?;
        root.sync_all()
            .map_err(PublisherError::io("write", &self.root))
    }

    /// Removes everything that neither the newest revisions nor a switch of them need.
    fn prune(&self) -> Result<usize, PublisherError> {
        let current = self.revision()?;
        let mut removed = 0;
        let mut needed = BTreeSet::new();
        for path in entries(&self.root.join(REVISIONS))? {
            let number = path
                .file_name()
                .and_then(|name| name.to_str()?.parse().ok());
            let keep = number.is_some_and(|number: u64| {
                number <= current && number.saturating_add(KEPT) > current
            });
            if keep {
                linked_trees(&path, &mut needed)?;
            } else {
                remove_all(&path)?;
                removed += 1;
            }
        }
        for path in entries(&self.root.join(TREES))? {
            if !path.file_name().is_some_and(|name| needed.contains(name)) {
                remove_all(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, PublisherError> {
    let list = fs_err::read_dir(folder).map_err(PublisherError::io("list", folder))?;
    list.map(|entry| {
        let entry = entry.map_err(PublisherError::io("list", folder))?;
        Ok(entry.path())
    })
    .collect()
}

/// Names of the trees that a revision leads to.
fn linked_trees(
    revision: &Path,
    needed: &mut BTreeSet<std::ffi::OsString>,
) -> Result<(), PublisherError> {
    let mut open = vec![revision.to_owned()];
    while let Some(folder) = open.pop() {
        for path in entries(&folder)? {
            let data =
                fs_err::symlink_metadata(&path).map_err(PublisherError::io("look at", &path))?;
            if data.is_dir() {
                open.push(path);
            } else if let Some(name) = linked_tree(&path) {
                needed.insert(name);
            }
        }
    }
    Ok(())
}

/// The name of the tree that a link of a revision leads to.
fn linked_tree(path: &Path) -> Option<std::ffi::OsString> {
    let target = fs_err::read_link(path).ok()?;
    let mut parts = target.components().rev();
    let name = parts.next()?.as_os_str().to_owned();
    (parts.next()?.as_os_str() == TREES).then_some(name)
}

/// One revision in the making.
struct Building<'a> {
    publisher: &'a DirectoryPublisher,
    number: u64,
    folder: PathBuf,
    trees: usize,
    /// Paths whose old content is not taken over.
    replaced: BTreeSet<TreePath>,
}

impl Building<'_> {
    fn new_tree(&mut self) -> (String, PathBuf) {
        let name = format!("{}.{}", self.number, self.trees);
        self.trees += 1;
        let path = self.publisher.root.join(TREES).join(&name);
        (name, path)
    }

    /// Puts a link to a tree at `at`.
    fn link(&self, at: &TreePath, tree: &str) -> Result<(), PublisherError> {
        let up = "../".repeat(at.parts().count() + 1);
        let path = host(&self.folder, at);
        fs_err::os::unix::fs::symlink(format!("{up}{TREES}/{tree}"), &path)
            .map_err(PublisherError::io("make", path))
    }

    /// Takes over what the revision before has, as second names of its files.
    fn inherit(&mut self, from: &Path) -> Result<(), PublisherError> {
        let mut open = vec![None::<TreePath>];
        while let Some(dir) = open.pop() {
            let folder = dir.as_ref().map_or(from.to_owned(), |dir| host(from, dir));
            for path in entries(&folder)? {
                let name = path.file_name().unwrap_or_default();
                let name = std::os::unix::ffi::OsStrExt::as_bytes(name);
                let Ok(at) = TreePath::below(dir.as_ref(), name) else {
                    continue;
                };
                if self.replaced.contains(&at) {
                    continue;
                }
                let io = || PublisherError::io("take over", &path);
                let data = fs_err::symlink_metadata(&path).map_err(io())?;
                let to = host(&self.folder, &at);
                if data.is_dir() {
                    fs_err::create_dir(&to).map_err(io())?;
                    open.push(Some(at));
                } else if let Some(tree) = linked_tree(&path) {
                    let changed = self
                        .replaced
                        .iter()
                        .any(|path| path.is_below(at.as_bytes()));
                    let tree = if changed {
                        let old = self.publisher.root.join(TREES).join(&tree);
                        self.thaw(&at, &old)?
                    } else {
                        tree.to_string_lossy().into_owned()
                    };
                    self.link(&at, &tree)?;
                } else {
                    fs_err::hard_link(&path, &to).map_err(io())?;
                }
            }
        }
        Ok(())
    }

    /// A tree with the files of `old`, of which some are about to change.
    fn thaw(&mut self, at: &TreePath, old: &Path) -> Result<String, PublisherError> {
        let (name, new) = self.new_tree();
        remove_all(&new)?;
        let mut open = vec![(old.to_owned(), new, at.clone())];
        while let Some((from, to, at)) = open.pop() {
            fs_err::create_dir(&to).map_err(PublisherError::io("make", &to))?;
            let mode = fs_err::metadata(&from).map_err(PublisherError::io("look at", &from))?;
            for path in entries(&from)? {
                let file = path.file_name().unwrap_or_default();
                let Ok(at) = at.join(std::os::unix::ffi::OsStrExt::as_bytes(file)) else {
                    continue;
                };
                if self.replaced.contains(&at) {
                    continue;
                }
                let data = fs_err::symlink_metadata(&path)
                    .map_err(PublisherError::io("look at", &path))?;
                let to = to.join(file);
                if data.is_dir() {
                    open.push((path, to, at));
                } else {
                    fs_err::hard_link(&path, &to)
                        .map_err(PublisherError::io("take over", &path))?;
                }
            }
            fs_err::set_permissions(&to, mode.permissions())
                .map_err(PublisherError::io("open", &to))?;
        }
        Ok(name)
    }

    fn apply(&mut self, edit: Edit, cancel: &Cancel) -> Result<(), PublisherError> {
        match edit {
            Edit::Directory { at, parts } => {
                check_above(&self.folder, &at)?;
                make_above(&self.folder, &at)?;
                let (name, path) = self.new_tree();
                remove_all(&path)?;
                write_directory(&path, parts, cancel, &|_, _| Ok(()))?;
                self.link(&at, &name)
            }
            Edit::File { at, bytes, mode } => {
                // Links of the revision lead to trees of its own only, and nothing out of the root.
                let root = &self.publisher.root;
                let dir = RootDir::open(root).map_err(PublisherError::io("open", root))?;
                let base = format!("{REVISIONS}/.{}.new/", self.number);
                let path = [base.as_bytes(), at.as_bytes()].concat();
                let shown = host(&self.folder, &at);
                let above = path.iter().rposition(|&b| b == b'/').unwrap_or(0);
                dir.create_dir_all(&path[..above], 0o755)
                    .map_err(PublisherError::io("make", &shown))?;
                dir.write(&path, &bytes, u32::from(mode))
                    .map_err(PublisherError::io("write", &shown))
            }
            // It was not taken over.
            Edit::Remove { .. } => Ok(()),
        }
    }
}

impl Publisher for DirectoryPublisher {
    fn name(&self) -> &'static str {
        "directory"
    }

    fn disks(&self) -> Vec<&std::path::Path> {
        vec![&self.root]
    }

    fn state(&mut self) -> Result<RepositoryState, PublisherError> {
        Ok(RepositoryState {
            revision: self.revision()?,
            transaction: Transaction::None,
        })
    }

    fn view(&mut self) -> Result<Box<dyn View + '_>, PublisherError> {
        let current = format!("{REVISIONS}/{}", self.revision()?);
        Ok(Box::new(FolderView::below(&self.root, &current)?))
    }

    fn read_back(&mut self, at: &TreePath) -> Result<Index, PublisherError> {
        let path = host(&self.folder(self.revision()?), at);
        let path = fs_err::canonicalize(&path).map_err(PublisherError::io("find", &path))?;
        Ok(nd_oci::read_directory(&path)?.0)
    }

    fn cannot(&self, change: &ChangeSet) -> Vec<Inability> {
        let edits = &change.edits;
        let inside = |edit: &&Edit| match edit {
            Edit::Directory { at, .. } => {
                let at = at.as_bytes();
                // A tree is a link: nothing else of the same revision can be below it.
                edits.iter().any(|other| other.at().is_below(at))
            }
            _ => false,
        };
        let what = "a change inside of a directory that the same revision replaces";
        edits
            .iter()
            .filter(inside)
            .map(|edit| Inability {
                path: edit.at().clone(),
                what,
            })
            .collect()
    }

    fn source(&self) -> Option<&dyn Source> {
        None
    }

    fn tags(&mut self) -> Result<Vec<KnownTag>, PublisherError> {
        Ok(Vec::new())
    }

    fn untag(&mut self, _: &[TagName]) -> Result<usize, PublisherError> {
        Ok(0)
    }

    fn recover(&mut self) -> Result<Option<String>, PublisherError> {
        let _lock = self.lock()?;
        remove_all(&self.root.join(NEXT))?;
        let removed = self.prune()?;
        Ok((removed > 0).then(|| format!("removed {removed} folders of an interrupted run")))
    }

    fn publish(&mut self, change: ChangeSet, cancel: &Cancel) -> Result<u64, PublisherError> {
        super::able(self, &change)?;
        let _lock = self.lock()?;
        let before = self.revision()?;
        let number = before + 1;
        let folder = self.root.join(REVISIONS).join(format!(".{number}.new"));
        remove_all(&folder)?;
        fs_err::create_dir(&folder).map_err(PublisherError::io("make", &folder))?;
        let mut building = Building {
            publisher: self,
            number,
            folder: folder.clone(),
            trees: 0,
            replaced: change.edits.iter().map(|edit| edit.at().clone()).collect(),
        };
        building.inherit(&self.folder(before))?;
        for edit in change.edits {
            cancel.check()?;
            building.apply(edit, cancel)?;
        }
        let device = fs_err::File::open(&folder).map_err(PublisherError::io("open", &folder))?;
        rustix::fs::syncfs(std::fs::File::from(device))
            .map_err(|error| PublisherError::io("write", &folder)(io::Error::from(error)))?;
        let to = self.folder(number);
        remove_all(&to)?;
        fs_err::rename(&folder, &to).map_err(PublisherError::io("name", &to))?;
        self.switch(number)?;
        // It is published whatever happens to what nobody needs; `recover` tries that again and tells.
        let _ = self.prune();
        Ok(number)
    }
}
