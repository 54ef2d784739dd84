//! What changed between two trees.

use std::{cmp::Ordering, iter::Peekable, slice::Iter};

use crate::{Entry, Index, Kind};

/// How closely two entries are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The fields of `tree1`.
    Content,
    /// The fields of `tree1full`.
    Full,
    /// Also all extended attributes, sockets, and times of everything but directories.
    Exact,
}

/// Which fields of an entry differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fields {
    /// It is another kind of thing (or another device).
    pub kind: bool,
    /// Other bytes, or another symlink target.
    pub content: bool,
    /// Executable or not (the only mode bit [`Level::Content`] sees), or another mode.
    pub mode: bool,
    /// Owner or group.
    pub owner: bool,
    /// Extended attributes.
    pub xattrs: bool,
    /// Time.
    pub time: bool,
}

impl Fields {
    /// Whether anything differs.
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

/// One difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// Only in the new tree. Children are listed on their own.
    Added(&'a Entry),
    /// Only in the old tree. Children of a removed directory are not listed.
    Removed(&'a Entry),
    /// In both.
    Changed {
        /// As it was.
        old: &'a Entry,
        /// As it is.
        new: &'a Entry,
        /// What differs.
        fields: Fields,
    },
}

impl<'a> Change<'a> {
    /// The entry the change is about: the new one where there is one.
    pub fn entry(&self) -> &'a Entry {
        match self {
            Self::Added(entry) | Self::Removed(entry) | Self::Changed { new: entry, .. } => entry,
        }
    }
}

/// Compares two trees in one pass; changes come in tree order. An old directory that became
/// something else is one `Changed`, and what lay below it is not listed.
pub fn diff<'a>(old: &'a Index, new: &'a Index, level: Level) -> Vec<Change<'a>> {
    let exists = |entry: &&Entry| match entry.kind {
        Kind::Fifo | Kind::Device { .. } => level > Level::Content,
        Kind::Socket => level == Level::Exact,
        _ => true,
    };
    let mut out = Vec::new();
    let mut olds = old.entries().iter().peekable();
    let mut news = new.entries().iter().peekable();
    loop {
        while olds.next_if(|entry| !exists(entry)).is_some() {}
        while news.next_if(|entry| !exists(entry)).is_some() {}
        let order = match (olds.peek(), news.peek()) {
            (None, None) => return out,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.path.cmp(&b.path),
        };
        match order {
            Ordering::Less => {
                if let Some(entry) = olds.next() {
                    skip_below(&mut olds, entry);
                    out.push(Change::Removed(entry));
                }
            }
            Ordering::Greater => out.extend(news.next().map(Change::Added)),
            Ordering::Equal => {
                let (Some(old), Some(new)) = (olds.next(), news.next()) else {
                    return out;
                };
                let fields = compare(old, new, level);
                if fields.any() {
                    out.push(Change::Changed { old, new, fields });
                }
                if old.kind.is_dir() && !new.kind.is_dir() {
                    skip_below(&mut olds, old);
                }
            }
        }
    }
}

fn skip_below(entries: &mut Peekable<Iter<'_, Entry>>, dir: &Entry) {
    while entries
        .next_if(|entry| entry.path.is_below(dir.path.as_bytes()))
        .is_some()
    {}
}

fn compare(old: &Entry, new: &Entry, level: Level) -> Fields {
    let mut fields = Fields::default();
    match (&old.kind, &new.kind) {
        (
            Kind::File {
                size: s,
                content: c,
                ..
            },
            Kind::File { size, content, .. },
        ) => {
            fields.content = (s, c) != (size, content);
            fields.mode = (old.attr.mode & 0o111 != 0) != (new.attr.mode & 0o111 != 0);
        }
        (Kind::Symlink { target: was }, Kind::Symlink { target }) => fields.content = was != target,
        (Kind::Dir { .. }, Kind::Dir { .. }) => {}
        (a, b) => fields.kind = a != b,
    }
    if level >= Level::Full {
        let symlink = matches!(new.kind, Kind::Symlink { .. });
        fields.mode = !symlink && old.attr.mode != new.attr.mode;
        fields.owner = (old.attr.uid, old.attr.gid) != (new.attr.uid, new.attr.gid);
        fields.xattrs = old.attr.capability() != new.attr.capability();
    }
    if level == Level::Exact {
        fields.xattrs = old.attr.xattrs != new.attr.xattrs;
        fields.time = !new.kind.is_dir() && old.attr.mtime != new.attr.mtime;
    }
    fields
}
