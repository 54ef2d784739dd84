//! What the store holds, and removing what was used longest ago.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nd_host::FileLock;

use crate::{Store, StoreError};

/// What an item of the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ItemKind {
    /// A blob.
    Blob,
    /// The index of a layer.
    Index,
    /// A record.
    Record,
    /// A file that was not filled to its end.
    Partial,
    /// An unpacked tree.
    Tree,
}

/// One item of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub kind: ItemKind,
    /// Where it is.
    pub path: PathBuf,
    /// Bytes on disk.
    pub bytes: u64,
    /// When it was last used: nanoseconds since 1970.
    pub used: i128,
}

/// What to prune.
#[derive(Clone, Copy)]
pub struct PruneWish<'a> {
    /// Bytes of selected items that may stay.
    pub keep: u64,
    /// Whether nothing is removed, only counted.
    pub trial: bool,
    /// Which items may go.
    pub select: &'a dyn Fn(&Item) -> bool,
}

impl std::fmt::Debug for PruneWish<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PruneWish")
            .field("keep", &self.keep)
            .field("trial", &self.trial)
            .finish_non_exhaustive()
    }
}

impl PruneWish<'_> {
    /// Items of all kinds, until at most so many bytes are left.
    pub fn keep(keep: u64) -> Self {
        Self {
            keep,
            trial: false,
            select: &|_| true,
        }
    }
}

/// What a prune removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Items removed.
    pub items: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that stay.
    pub left: u64,
}

impl Store {
    /// Everything in the store, used longest ago first.
    pub fn list(&self) -> Result<Vec<Item>, StoreError> {
        let mut out = Vec::new();
        let root = self.root();
        for (folder, kind) in [
            ("blobs", ItemKind::Blob),
            ("indexes", ItemKind::Index),
            ("partials", ItemKind::Partial),
        ] {
            files(&root.join(folder), kind, &mut out)?;
        }
        for path in entries(&root.join("records"))? {
            files(&path, ItemKind::Record, &mut out)?;
        }
        for path in entries(&root.join("trees"))? {
            let Ok(meta) = fs_err::symlink_metadata(&path) else {
                continue;
            };
            if meta.is_dir() {
                let used = fs_err::metadata(path.with_extension("lease")).map_or(0, |m| time(&m));
                out.push(Item {
                    kind: ItemKind::Tree,
                    bytes: size(&path),
                    path,
                    used,
                });
            }
        }
        out.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
        Ok(out)
    }

    /// Removes items, those used longest ago first, until at most `keep` bytes are left. Leased
    /// trees stay. Refused while another process has the store open, since that may count on
    /// anything it has seen.
    pub fn prune(&self, keep: u64) -> Result<Pruned, StoreError> {
        self.prune_with(keep, &mut |_| Ok(()))
    }

    /// As [`Self::prune`]; `empty` is called for each tree before it is removed, with its folder,
    /// which has no name in the store any more. Who builds as an ordinary user can remove what lies
    /// in it only inside the namespace that it was made in.
    pub fn prune_with(
        &self,
        keep: u64,
        empty: &mut dyn FnMut(&Path) -> std::io::Result<()>,
    ) -> Result<Pruned, StoreError> {
        self.prune_where(&PruneWish::keep(keep), empty)
    }

    /// As [`Self::prune_with`], of selected items alone: only their bytes count, too. A trial removes
    /// nothing, says what would be removed, and is never refused.
    pub fn prune_where(
        &self,
        wish: &PruneWish<'_>,
        empty: &mut dyn FnMut(&Path) -> std::io::Result<()>,
    ) -> Result<Pruned, StoreError> {
        if wish.trial {
            return self.prune_alone(wish, empty);
        }
        let in_use = &self.inner.in_use;
        let alone = in_use.try_alone();
        if !alone.map_err(StoreError::io("lock", self.root()))? {
            return Err(StoreError::Busy(self.root().into()));
        }
        let result = self.prune_alone(wish, empty);
        let shared = in_use.share();
        shared.map_err(StoreError::io("lock", self.root()))?;
        result
    }

    fn prune_alone(
        &self,
        wish: &PruneWish<'_>,
        empty: &mut dyn FnMut(&Path) -> std::io::Result<()>,
    ) -> Result<Pruned, StoreError> {
        let mut items = self.list()?;
        items.retain(|item| (wish.select)(item));
        let mut pruned = Pruned {
            left: items.iter().map(|item| item.bytes).sum(),
            ..Pruned::default()
        };
        for item in items {
            if pruned.left <= wish.keep {
                break;
            }
            let mut removed = true;
            if item.kind == ItemKind::Tree {
                removed = if wish.trial {
                    let name = item.path.with_extension("lease");
                    let lock = FileLock::try_exclusive(&name);
                    lock.map_err(StoreError::io("lock", &name))?.is_some()
                } else {
                    self.remove_tree(&item.path, empty)?
                };
            } else if !wish.trial {
                fs_err::remove_file(&item.path).map_err(StoreError::io("remove", &item.path))?;
            }
            if removed {
                pruned.items += 1;
                pruned.bytes += item.bytes;
                pruned.left -= item.bytes;
            }
        }
        Ok(pruned)
    }

    /// Moves a tree away before it is taken apart: a name stands for a whole tree or for none.
    fn remove_tree(
        &self,
        path: &Path,
        empty: &mut dyn FnMut(&Path) -> std::io::Result<()>,
    ) -> Result<bool, StoreError> {
        let name = path.with_extension("lease");
        let held = FileLock::try_exclusive(&name).map_err(StoreError::io("lock", &name))?;
        let Some(_held) = held else {
            return Ok(false);
        };
        let away = tempfile::tempdir_in(self.temporary())
            .map_err(StoreError::io("make", self.temporary()))?;
        let tree = away.path().join("tree");
        fs_err::rename(path, &tree).map_err(StoreError::io("remove", path))?;
        empty(&tree).map_err(StoreError::io("empty", path))?;
        away.close().map_err(StoreError::io("remove", path))?;
        fs_err::remove_file(&name).map_err(StoreError::io("remove", &name))?;
        Ok(true)
    }
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let read = fs_err::read_dir(dir).map_err(StoreError::io("list", dir))?;
    Ok(read.flatten().map(|entry| entry.path()).collect())
}

fn files(dir: &Path, kind: ItemKind, out: &mut Vec<Item>) -> Result<(), StoreError> {
    for path in entries(dir)? {
        if let Ok(meta) = fs_err::symlink_metadata(&path) {
            out.push(Item {
                kind,
                path,
                bytes: meta.len(),
                used: time(&meta),
            });
        }
    }
    Ok(())
}

fn time(meta: &std::fs::Metadata) -> i128 {
    i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec())
}

/// Bytes on disk of a folder and all below; what cannot be read counts nothing.
fn size(dir: &Path) -> u64 {
    let mut total = 0;
    let mut pending = vec![dir.to_path_buf()];
    while let Some(dir) = pending.pop() {
        for path in entries(&dir).unwrap_or_default() {
            if let Ok(meta) = fs_err::symlink_metadata(&path) {
                total += meta.blocks() * 512;
                if meta.is_dir() {
                    pending.push(path);
                }
            }
        }
    }
    total
}
