//! What differs between two builds, and what made each side: by indexes, without bytes where there
//! are layers.

mod error;
mod side;

use std::collections::{BTreeMap, HashSet};

use nd_rootfs::{Change, Entry, Kind, LayerEntry, Level, TreePath, diff};
use serde::Serialize;

pub use error::CompareError;
pub use side::{Opener, Side};

use crate::pipeline::Maker;

/// A path that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The path, without a leading `/`; bytes that are no text are escaped.
    pub path: String,
    /// `added`, `removed` or `changed`.
    pub change: &'static str,
    /// What differs of a changed path: `kind`, `content`, `mode`, `owner`, `xattrs`, `time`.
    pub fields: Vec<&'static str>,
    /// As it is in the first build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Sight>,
    /// As it is in the second build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Sight>,
}

/// A path in one build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sight {
    /// `file`, `directory`, `symlink`, `fifo`, `socket` or `device`.
    pub kind: &'static str,
    /// Bytes of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Permissions, octal.
    pub mode: String,
    /// `UID:GID`.
    pub owner: String,
    /// What made it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_by: Option<Maker>,
}

/// Compares two builds. Files that only one packaging adds, such as those of a SIF, do not count
/// unless both are of the same packaging.
pub fn compare(old: &Side, new: &Side, level: Level) -> Vec<Difference> {
    let ignore = old.is_sif != new.is_sif;
    let changes: Vec<Change<'_>> = diff(&old.index, &new.index, level)
        .into_iter()
        .filter(|change| !(ignore && packaging(change)))
        .collect();
    let paths: HashSet<&TreePath> = changes.iter().map(|c| &c.entry().path).collect();
    let (olds, news) = (makers(old, &paths), makers(new, &paths));
    changes
        .iter()
        .map(|change| {
            let (was, is, fields) = match change {
                Change::Added(entry) => (None, Some(*entry), Vec::new()),
                Change::Removed(entry) => (Some(*entry), None, Vec::new()),
                Change::Changed { old, new, fields } => (Some(*old), Some(*new), words(*fields)),
            };
            Difference {
                path: change.entry().path.to_string(),
                change: match change {
                    Change::Added(_) => "added",
                    Change::Removed(_) => "removed",
                    Change::Changed { .. } => "changed",
                },
                fields,
                old: was.map(|entry| sight(entry, &olds)),
                new: is.map(|entry| sight(entry, &news)),
            }
        })
        .collect()
}

/// Whether a change is about what a packaging needs and an image does not have.
fn packaging(change: &Change<'_>) -> bool {
    let empty_directory = |entry: &Entry| {
        // Mount points that a SIF has and a layer needs not have.
        entry.kind.is_dir()
            && matches!(
                entry.path.as_bytes(),
                b"dev"
                    | b"etc"
                    | b"home"
                    | b"proc"
                    | b"root"
                    | b"sys"
                    | b"tmp"
                    | b"var"
                    | b"var/tmp"
            )
    };
    nd_rootfs::left_out(change.entry()) || empty_directory(change.entry())
}

fn words(fields: nd_rootfs::Fields) -> Vec<&'static str> {
    [
        ("kind", fields.kind),
        ("content", fields.content),
        ("mode", fields.mode),
        ("owner", fields.owner),
        ("xattrs", fields.xattrs),
        ("time", fields.time),
    ]
    .into_iter()
    .filter_map(|(word, differs)| differs.then_some(word))
    .collect()
}

fn sight(entry: &Entry, makers: &BTreeMap<&TreePath, &Maker>) -> Sight {
    let (kind, size) = match entry.kind {
        Kind::Dir { .. } => ("directory", None),
        Kind::File { size, .. } => ("file", Some(size)),
        Kind::Symlink { .. } => ("symlink", None),
        Kind::Fifo => ("fifo", None),
        Kind::Socket => ("socket", None),
        Kind::Device { .. } => ("device", None),
    };
    Sight {
        kind,
        size,
        mode: format!("{:04o}", entry.attr.mode),
        owner: format!("{}:{}", entry.attr.uid, entry.attr.gid),
        made_by: makers.get(&entry.path).map(|maker| (*maker).clone()),
    }
}

/// What made each of some paths: the topmost layer that says it is there.
fn makers<'a>(side: &'a Side, paths: &HashSet<&'a TreePath>) -> BTreeMap<&'a TreePath, &'a Maker> {
    let mut out = BTreeMap::new();
    let mut seen: HashSet<&TreePath> = HashSet::new();
    for (index, maker) in side.layers.iter().rev() {
        for entry in &index.entries {
            let path = match entry {
                LayerEntry::Entry(entry) => &entry.path,
                LayerEntry::Link { path, .. } => path,
                LayerEntry::Whiteout(_) | LayerEntry::Opaque(_) => continue,
            };
            if paths.contains(path)
                && seen.insert(path)
                && let Some(maker) = maker
            {
                out.insert(path, maker);
            }
        }
    }
    out
}
