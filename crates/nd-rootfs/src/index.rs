//! A whole tree, sorted, in memory.

use std::collections::VecDeque;

use crate::{Attr, Entry, Kind, MAX_TARGET, TreePath, show, tree_order};

/// The entries of a tree in tree order; every parent of an entry is an entry. The root itself is
/// not listed: its attributes are no part of any identity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Index {
    entries: Vec<Entry>,
}

/// Why entries do not make a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// One path stands twice.
    #[error("`{0}` stands twice")]
    Duplicate(TreePath),
    /// Something lies below what is no directory.
    #[error("`{child}` lies below `{parent}`, which is no directory")]
    NotADirectory {
        /// The entry below.
        child: TreePath,
        /// The entry above.
        parent: TreePath,
    },
    /// A symlink target is empty, longer than 4,095 bytes, or holds NUL.
    #[error("the target of symlink `{0}` is empty, too long or holds a NUL byte")]
    Target(TreePath),
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// The root directory.
    Root,
    /// An entry.
    Entry(&'a Entry),
}

impl<'a> Found<'a> {
    /// The entry, unless it is the root.
    pub fn entry(self) -> Option<&'a Entry> {
        match self {
            Self::Root => None,
            Self::Entry(entry) => Some(entry),
        }
    }

    /// Whether it is a directory; the root is.
    pub fn is_dir(self) -> bool {
        self.entry().is_none_or(|entry| entry.kind.is_dir())
    }
}

/// Why a path leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Nothing of that name.
    #[error("there is no `{0}`")]
    NotFound(String),
    /// A part that should be a directory is none.
    #[error("`{0}` is no directory")]
    NotADirectory(String),
    /// More symlinks than a kernel follows.
    #[error("too many symlinks on the way to `{0}`")]
    TooManyLinks(String),
}

/// As many symlinks as Linux follows in one path.
const MAX_LINKS: usize = 40;

impl Index {
    /// Sorts entries into an index. Parents that are missing are added as implicit directories.
    pub fn from_entries(mut entries: Vec<Entry>) -> Result<Self, IndexError> {
        if !entries.is_sorted_by(|a, b| a.path < b.path) {
            entries.sort_by(|a, b| a.path.cmp(&b.path));
        }
        let mut out: Vec<Entry> = Vec::with_capacity(entries.len());
        // Positions in `out` of the directories that lead to the last entry.
        let mut above: Vec<usize> = Vec::new();
        for entry in entries {
            if let Kind::Symlink { target } = &entry.kind
                && (target.is_empty() || target.len() > MAX_TARGET || target.contains(&0))
            {
                return Err(IndexError::Target(entry.path));
            }
            if out.last().is_some_and(|last| last.path == entry.path) {
                return Err(IndexError::Duplicate(entry.path));
            }
            while above
                .last()
                .is_some_and(|&at| !entry.path.is_below(out[at].path.as_bytes()))
            {
                above.pop();
            }
            if let Some(&at) = above.last()
                && !out[at].kind.is_dir()
            {
                let parent = out[at].path.clone();
                return Err(IndexError::NotADirectory {
                    child: entry.path,
                    parent,
                });
            }
            let known = above.last().map_or(0, |&at| out[at].path.as_bytes().len());
            let missing: Vec<TreePath> = (entry.path.ancestors())
                .filter(|dir| dir.len() > known)
                .filter_map(|dir| TreePath::new(dir).ok())
                .collect();
            for path in missing {
                above.push(out.len());
                out.push(Entry {
                    path,
                    attr: Attr::implicit(),
                    kind: Kind::Dir { implicit: true },
                    group: None,
                });
            }
            above.push(out.len());
            out.push(entry);
        }
        Ok(Self { entries: out })
    }

    /// The entry of exactly this path; no symlink is followed.
    pub fn get(&self, path: impl AsRef<[u8]>) -> Option<&Entry> {
        self.position(path.as_ref()).map(|at| &self.entries[at])
    }

    /// The place of `path` in tree order.
    pub fn position(&self, path: &[u8]) -> Option<usize> {
        self.entries
            .binary_search_by(|entry| tree_order(entry.path.as_bytes(), path))
            .ok()
    }

    /// All entries in tree order.
    pub fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.entries.iter()
    }

    /// All entries in tree order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Gives the entries back.
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the root is empty.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// `dir` (empty: the root) and everything below it as a slice; empty if there is no such entry.
    pub fn subtree(&self, dir: &[u8]) -> &[Entry] {
        if dir.is_empty() {
            return &self.entries;
        }
        let Some(start) = self.position(dir) else {
            return &[];
        };
        &self.entries[start..self.end_of(start)]
    }

    /// The direct children of a directory (empty path: the root), in order.
    pub fn children(&self, dir: &[u8]) -> Children<'_> {
        let (start, end) = if dir.is_empty() {
            (0, self.entries.len())
        } else {
            match self.position(dir) {
                Some(at) => (at + 1, self.end_of(at)),
                None => (0, 0),
            }
        };
        Children {
            index: self,
            next: start,
            end,
        }
    }

    /// One past the subtree of the entry at `at`.
    fn end_of(&self, at: usize) -> usize {
        if !self.entries[at].kind.is_dir() {
            return at + 1;
        }
        let dir = self.entries[at].path.as_bytes();
        at + 1 + self.entries[at + 1..].partition_point(|entry| entry.path.is_below(dir))
    }

    /// What `path` leads to inside this tree. Symlinks of directories on the way are followed,
    /// absolute ones from the root of the tree; `..` of the root is the root. The last part is
    /// followed if `follow_last` says so. No more than 40 symlinks are followed.
    pub fn resolve(&self, path: &[u8], follow_last: bool) -> Result<Found<'_>, ResolveError> {
        let asked = || show(path);
        let mut parts: VecDeque<&[u8]> = path
            .split(|&b| b == b'/')
            .filter(|p| !p.is_empty())
            .collect();
        let mut here: Vec<u8> = Vec::new();
        let mut found = Found::Root;
        let mut links = 0;
        while let Some(part) = parts.pop_front() {
            if !found.is_dir() {
                return Err(ResolveError::NotADirectory(show(&here)));
            }
            match part {
                b"." => continue,
                b".." => {
                    let cut = here.iter().rposition(|&b| b == b'/').unwrap_or(0);
                    here.truncate(cut);
                    found = if here.is_empty() {
                        Found::Root
                    } else {
                        self.found(&here)?
                    };
                    continue;
                }
                _ => {}
            }
            let before = here.len();
            if !here.is_empty() {
                here.push(b'/');
            }
            here.extend_from_slice(part);
            found = self.found(&here)?;
            if let Found::Entry(Entry {
                kind: Kind::Symlink { target },
                ..
            }) = found
                && (follow_last || !parts.is_empty())
            {
                links += 1;
                if links > MAX_LINKS {
                    return Err(ResolveError::TooManyLinks(asked()));
                }
                here.truncate(if target.first() == Some(&b'/') {
                    0
                } else {
                    before
                });
                found = if here.is_empty() {
                    Found::Root
                } else {
                    self.found(&here)?
                };
                for part in target.rsplit(|&b| b == b'/').filter(|p| !p.is_empty()) {
                    parts.push_front(part);
                }
            }
        }
        if path.last() == Some(&b'/') && !found.is_dir() {
            return Err(ResolveError::NotADirectory(asked()));
        }
        Ok(found)
    }

    fn found(&self, path: &[u8]) -> Result<Found<'_>, ResolveError> {
        self.get(path)
            .map(Found::Entry)
            .ok_or_else(|| ResolveError::NotFound(show(path)))
    }
}

impl<'a> IntoIterator for &'a Index {
    type Item = &'a Entry;
    type IntoIter = std::slice::Iter<'a, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The direct children of a directory; made by [`Index::children`].
#[derive(Debug, Clone)]
pub struct Children<'a> {
    index: &'a Index,
    next: usize,
    end: usize,
}

impl<'a> Iterator for Children<'a> {
    type Item = &'a Entry;

    fn next(&mut self) -> Option<&'a Entry> {
        if self.next >= self.end {
            return None;
        }
        let at = self.next;
        self.next = self.index.end_of(at);
        Some(&self.index.entries[at])
    }
}
