//! One layer into a directory that can be a lower directory of an overlay.
//!
//! Every name is opened relative to a directory that was itself opened without following a link, so
//! nothing a layer holds leads out. What removes something of lower layers becomes a whiteout of
//! the kernel (a character device 0:0) or an opaque mark. A hard link to a file of a lower layer
//! becomes what the kernel makes of one: the file is copied up, both names share the copy.

mod place;

use std::{
    collections::BTreeMap,
    io::{self, Read},
    os::fd::BorrowedFd,
};

use nd_rootfs::{Attr, Entry, Kind, LayerEntry, TreePath};

use crate::{
    Compression, IndexedLayer, Limits, OciError,
    index_layer::{Visitor, visit_layer},
    upper::Ids,
};
use place::{Place, Stat};

/// Where the overlay that will use the directory keeps its marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverlayMarks {
    /// `trusted.overlay.*`: mounted by root of the machine.
    Trusted,
    /// `user.overlay.*`: mounted with `userxattr`.
    User,
}

/// How a layer is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnpackOptions {
    /// What the layer may cost.
    pub limits: Limits,
    /// Owners: as the layer says ([`Ids::Same`], as a user namespace with a range or root shows
    /// them), shifted ([`Ids::Range`]), or left to whoever unpacks ([`Ids::Root`]).
    pub ids: Ids,
    /// Where opaque marks go.
    pub marks: OverlayMarks,
}

/// What unpacking a layer found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// Index and digests, as [`crate::index_layer`] gives them. The caller compares the digests.
    pub layer: IndexedLayer,
    /// What could not be made: devices, attributes, links whose target is nowhere.
    pub notes: Vec<String>,
}

/// Unpacks a layer into the empty directory `into`, in one pass over the blob.
///
/// `lower` shows what lies below as one tree. It gives attributes to directories the layer does not
/// name itself, and content to links that point below; without it there is nothing below.
///
/// A layer that was refused, or whose digests are not the expected ones, leaves a directory that
/// must not be used.
pub fn unpack_layer(
    input: impl Read + Send,
    compression: Compression,
    into: BorrowedFd<'_>,
    lower: Option<BorrowedFd<'_>>,
    options: UnpackOptions,
) -> Result<Unpacked, OciError> {
    let mut unpacker = Unpacker {
        place: Place::new(into, options.ids),
        lower: lower.map(|fd| Place::new(fd, options.ids)),
        marks: options.marks,
        dirs: BTreeMap::new(),
        gone: Vec::new(),
        notes: Notes::default(),
    };
    let layer = visit_layer(input, compression, options.limits, &mut unpacker)?;
    unpacker.remove_lower()?;
    unpacker.finish_dirs()?;
    Ok(Unpacked {
        layer,
        notes: unpacker.notes.into_lines(),
    })
}

/// Looks at entries of a directory that does not change, without following a link: at what lies
/// below an overlay's upper directory, say. Quick when asked in tree order.
pub struct EntryReader<'a> {
    place: Place<'a>,
    /// Where nothing was found last, so that nothing is looked for below it.
    missing: Option<TreePath>,
}

impl std::fmt::Debug for EntryReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EntryReader").finish_non_exhaustive()
    }
}

impl<'a> EntryReader<'a> {
    /// Looks below `root`; owners are shown as `ids` says.
    pub fn new(root: BorrowedFd<'a>, ids: Ids) -> Self {
        Self {
            place: Place::new(root, ids),
            missing: None,
        }
    }

    /// The entry at `path`, if there is one. The content of a file is [`crate::UNREAD`].
    pub fn entry(&mut self, path: &TreePath) -> Result<Option<Entry>, OciError> {
        let hopeless = |missing: &TreePath| path == missing || path.is_below(missing.as_bytes());
        if self.missing.as_ref().is_some_and(hopeless) {
            return Ok(None);
        }
        if self.place.stat(path)?.is_none() {
            self.missing = Some(path.clone());
            return Ok(None);
        }
        self.place.entry(path)
    }

    /// The content of a file.
    pub fn open(&mut self, path: &TreePath) -> Result<std::fs::File, OciError> {
        self.place.open(path)
    }
}

struct Unpacker<'a> {
    place: Place<'a>,
    lower: Option<Place<'a>>,
    marks: OverlayMarks,
    /// Directories made so far with what they get at the end.
    dirs: BTreeMap<TreePath, Attr>,
    gone: Vec<LayerEntry>,
    notes: Notes,
}

/// What could not be made.
#[derive(Debug, Default)]
pub(super) struct Notes {
    lines: Vec<String>,
    devices: Vec<TreePath>,
}

impl Notes {
    fn into_lines(self) -> Vec<String> {
        let mut lines = self.lines;
        if let Some(first) = self.devices.first() {
            let count = self.devices.len();
            lines.push(format!(
                "{count} devices (`{first}`) are left out: they may not be made here"
            ));
        }
        lines
    }
}

impl Visitor for Unpacker<'_> {
    type Error = OciError;

    fn file(
        &mut self,
        path: &TreePath,
        attr: &Attr,
        size: u64,
        bytes: &mut dyn Read,
    ) -> Result<(), OciError> {
        self.make_room(path)?;
        self.place.file(path, attr, size, bytes, &mut self.notes)
    }

    fn other(&mut self, entry: &LayerEntry) -> Result<(), OciError> {
        match entry {
            LayerEntry::Whiteout(_) | LayerEntry::Opaque(_) => self.gone.push(entry.clone()),
            LayerEntry::Link { path, target } => self.link(path, target)?,
            LayerEntry::Entry(entry) if entry.kind.is_dir() => {
                self.parents(&entry.path)?;
                if !self.dirs.contains_key(&entry.path) {
                    self.place.dir(&entry.path)?;
                }
                self.dirs.insert(entry.path.clone(), entry.attr.clone());
            }
            LayerEntry::Entry(entry) => {
                self.make_room(&entry.path)?;
                self.place.special(entry, &mut self.notes)?;
            }
        }
        Ok(())
    }
}

impl Unpacker<'_> {
    /// Makes the directories above `path` that no entry named so far.
    fn parents(&mut self, path: &TreePath) -> Result<(), OciError> {
        for dir in path.ancestors() {
            let dir = TreePath::new(dir).map_err(crate::TarError::from)?;
            if self.dirs.contains_key(&dir) {
                continue;
            }
            self.place.dir(&dir)?;
            let below = self.lower.as_mut().map(|lower| lower.directory(&dir));
            let attr = below.transpose()?.flatten();
            self.dirs.insert(dir, attr.unwrap_or_else(Attr::implicit));
        }
        Ok(())
    }

    /// Parents, and no earlier entry of the same name. Whether a layer may repeat a name is for the
    /// merge to say; here the last one wins.
    fn make_room(&mut self, path: &TreePath) -> Result<(), OciError> {
        self.parents(path)?;
        if self.dirs.contains_key(path) {
            let source = io::ErrorKind::IsADirectory.into();
            return Err(place::fail(path, "it is a directory in the same layer")(
                source,
            ));
        }
        self.place.remove(path)
    }

    fn link(&mut self, path: &TreePath, target: &TreePath) -> Result<(), OciError> {
        if path == target || self.dirs.contains_key(target) {
            let source = io::ErrorKind::InvalidInput.into();
            return Err(place::fail(path, "a hard link to a directory or to itself")(source));
        }
        if self.place.stat(target)?.is_none() && !self.copy_up(target)? {
            self.notes.lines.push(format!(
                "hard link `{path}` points to `{target}`, which does not exist"
            ));
            return Ok(());
        }
        self.make_room(path)?;
        self.place.link(target, path)
    }

    /// Copies a file, symlink or fifo of the lower tree up. Says whether there was one.
    fn copy_up(&mut self, path: &TreePath) -> Result<bool, OciError> {
        let Some(lower) = &mut self.lower else {
            return Ok(false);
        };
        let Some(Stat::Other) = lower.stat(path)? else {
            return Ok(false);
        };
        let Some(entry) = lower.entry(path)? else {
            return Ok(false);
        };
        let file = match entry.kind {
            Kind::File { .. } => Some(lower.open(path)?),
            _ => None,
        };
        self.parents(path)?;
        match (entry.kind, file) {
            (Kind::File { size, .. }, Some(mut file)) => {
                let notes = &mut self.notes;
                self.place.file(path, &entry.attr, size, &mut file, notes)?;
            }
            (kind, _) => {
                let entry = Entry { kind, ..entry };
                self.place.special(&entry, &mut self.notes)?;
            }
        }
        Ok(true)
    }

    /// Hides what whiteouts and opaque marks remove. They act on lower layers only, wherever they
    /// stand in their tar, and make nothing where nothing lies below.
    fn remove_lower(&mut self) -> Result<(), OciError> {
        let mut gone = std::mem::take(&mut self.gone);
        // The root of a tree has no opaque mark: its children are removed one by one.
        if gone.contains(&LayerEntry::Opaque(None))
            && let Some(lower) = &mut self.lower
        {
            gone.extend(lower.names()?.into_iter().map(LayerEntry::Whiteout));
        }
        for entry in gone {
            let (LayerEntry::Whiteout(path) | LayerEntry::Opaque(Some(path))) = &entry else {
                continue;
            };
            let Some(lower) = &mut self.lower else {
                continue;
            };
            let Some(below) = lower.stat(path)? else {
                continue;
            };
            // Below what this layer made a file or a link there is nothing left to hide.
            if self.covered(path)? {
                continue;
            }
            let opaque = matches!(entry, LayerEntry::Opaque(_));
            match self.place.stat(path)? {
                Some(Stat::Directory) => self.place.mark(path, self.marks)?,
                Some(Stat::Other) => {}
                None if opaque && below == Stat::Directory => {
                    let child = path.join(b"x").map_err(crate::TarError::from)?;
                    self.parents(&child)?;
                    self.place.mark(path, self.marks)?;
                }
                None if opaque => {}
                None => {
                    self.parents(path)?;
                    self.place.whiteout(path)?;
                }
            }
        }
        Ok(())
    }

    /// Whether this layer has something other than a directory above `path`.
    fn covered(&mut self, path: &TreePath) -> Result<bool, OciError> {
        for dir in path.ancestors() {
            let dir = TreePath::new(dir).map_err(crate::TarError::from)?;
            match self.place.stat(&dir)? {
                Some(Stat::Other) => return Ok(true),
                Some(Stat::Directory) => {}
                None => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Directories get their attributes last and deepest first: filling them changes their time,
    /// and their mode may forbid it.
    fn finish_dirs(&mut self) -> Result<(), OciError> {
        for (path, attr) in std::mem::take(&mut self.dirs).into_iter().rev() {
            self.place.finish_dir(&path, &attr, &mut self.notes)?;
        }
        Ok(())
    }
}
