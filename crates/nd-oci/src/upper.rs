//! The upper directory of an overlay, read as a layer.

use std::{collections::HashSet, io, path::Path};

use nd_names::Sha256;
use nd_rootfs::{CAPABILITY, DeviceClass, Entry, Index, Kind, LayerEntry, TreePath};

use crate::walk::{Root, WalkError};

/// Stands for the digest of content that has not been read yet; writing a layer replaces it.
pub const UNREAD: Sha256 = Sha256::from_bytes([0; 32]);

/// How owners on disk become owners in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// As they are.
    Same,
    /// Ids `first .. first + count` of the host are `0 .. count` of the image; others are refused.
    Range {
        /// What root of the image is on the host.
        first: u32,
        /// How many ids there are.
        count: u32,
    },
    /// All entries belong to 0:0, whoever owns them on disk.
    Root,
}

/// Why an upper directory is no layer.
#[derive(Debug, thiserror::Error)]
pub enum UpperError {
    /// It could not be read.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// An owner outside the range.
    #[error("`{path}` belongs to {id}, which is outside the ids of the build")]
    Owner {
        /// The entry.
        path: TreePath,
        /// Its user or group id on disk.
        id: u32,
    },
    /// Overlay metadata that stands for content elsewhere.
    #[error(
        "`{path}` has the overlay attribute `{name}`: mount with redirect_dir=off,metacopy=off"
    )]
    Redirected {
        /// The entry.
        path: TreePath,
        /// The attribute.
        name: String,
    },
}

/// An upper directory: what it changes, and its bytes.
#[derive(Debug)]
pub struct Upper {
    /// The changes, in tree order: parents before children. Contents are [`UNREAD`].
    pub entries: Vec<LayerEntry>,
    root: Root,
}

impl Upper {
    /// Reads the upper directory at `path`. Where the tree below is known, opaque directories
    /// become explicit whiteouts; sockets are left out.
    pub fn read(path: &Path, ids: Ids, lower: Option<&Index>) -> Result<Self, UpperError> {
        let root = Root::open(path)?;
        let mut found = root.walk()?;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        let mut entries = Vec::with_capacity(found.len());
        let mut opaque: Vec<TreePath> = Vec::new();
        for mut entry in found {
            let is_whiteout = match entry.kind {
                Kind::Device {
                    class: DeviceClass::Char,
                    major: 0,
                    minor: 0,
                } => true,
                Kind::File { size: 0, .. } => overlay(&entry, "whiteout").is_some(),
                _ => false,
            };
            if is_whiteout {
                entries.push(LayerEntry::Whiteout(entry.path));
                continue;
            }
            if matches!(entry.kind, Kind::Socket) {
                continue;
            }
            for name in ["redirect", "metacopy"] {
                if overlay(&entry, name).is_some() {
                    return Err(UpperError::Redirected {
                        path: entry.path,
                        name: name.into(),
                    });
                }
            }
            if entry.kind.is_dir() && overlay(&entry, "opaque") == Some(b"y") {
                opaque.push(entry.path.clone());
            }
            translate(&mut entry, ids)?;
            entry.attr.xattrs.retain(kept);
            entries.push(LayerEntry::Entry(entry));
        }
        match lower {
            None => entries.extend(opaque.into_iter().map(|dir| LayerEntry::Opaque(Some(dir)))),
            Some(lower) => hide(&mut entries, &opaque, lower),
        }
        Ok(Self { entries, root })
    }

    /// Opens the content of an entry.
    pub fn open(&self, entry: &Entry) -> io::Result<std::fs::File> {
        self.root.file(&entry.path)
    }
}

/// Says explicitly what opaque directories hide: everything of the lower tree in them that the
/// upper one does not have itself. Directories of the upper tree below them hide likewise.
fn hide(entries: &mut Vec<LayerEntry>, opaque: &[TreePath], lower: &Index) {
    let mut whiteouts = Vec::new();
    let upper: HashSet<&TreePath> = entries.iter().filter_map(LayerEntry::path).collect();
    // Both lists are in tree order, so one opaque directory at a time matters.
    let mut opaque = opaque.iter().peekable();
    let mut inside: Option<&TreePath> = None;
    for entry in entries.iter() {
        let LayerEntry::Entry(entry) = entry else {
            continue;
        };
        if !entry.kind.is_dir() {
            continue;
        }
        while let Some(next) = opaque.next_if(|next| **next <= entry.path) {
            if inside.is_none_or(|dir| !next.is_below(dir.as_bytes())) {
                inside = Some(next);
            }
        }
        let hides = |dir: &TreePath| *dir == entry.path || entry.path.is_below(dir.as_bytes());
        if inside.is_some_and(hides) {
            let gone = lower
                .children(entry.path.as_bytes())
                .filter(|c| !upper.contains(&c.path));
            whiteouts.extend(gone.map(|child| LayerEntry::Whiteout(child.path.clone())));
        }
    }
    entries.extend(whiteouts);
    entries.sort_by(|a, b| a.path().cmp(&b.path()));
}

/// The overlay's own attribute of this name: `trusted.` as root, `user.` with `userxattr`.
fn overlay<'a>(entry: &'a Entry, name: &str) -> Option<&'a [u8]> {
    let get = |space: &str| {
        entry
            .attr
            .xattrs
            .get(format!("{space}.overlay.{name}").as_bytes())
    };
    get("trusted").or_else(|| get("user"))
}

/// Attributes that are content. Labels and access lists belong to the machine, the overlay's to
/// the overlay.
pub(crate) fn kept(name: &[u8]) -> bool {
    let overlay = name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
    name == CAPABILITY || (name.starts_with(b"user.") || name.starts_with(b"trusted.")) && !overlay
}

pub(crate) fn translate(entry: &mut Entry, ids: Ids) -> Result<(), UpperError> {
    match ids {
        Ids::Same => {}
        Ids::Root => (entry.attr.uid, entry.attr.gid) = (0, 0),
        Ids::Range { first, count } => {
            let path = entry.path.clone();
            let inside = |id: u32| {
                let inside = id.checked_sub(first).filter(|inside| *inside < count);
                inside.ok_or_else(|| UpperError::Owner {
                    path: path.clone(),
                    id,
                })
            };
            let (uid, gid) = (inside(entry.attr.uid)?, inside(entry.attr.gid)?);
            (entry.attr.uid, entry.attr.gid) = (uid, gid);
            // A capability set inside the user namespace names the namespace's root.
            let capability = entry.attr.xattrs.get(CAPABILITY).map(<[u8]>::to_vec);
            if let Some(mut value) = capability
                && value.len() == 24
                && value[3] == 3
                && value[20..] == first.to_le_bytes()
            {
                value[20..].fill(0);
                entry.attr.xattrs.insert(CAPABILITY, value);
            }
        }
    }
    if let Some(value) = entry.attr.capability() {
        entry.attr.xattrs.insert(CAPABILITY, value);
    }
    Ok(())
}
