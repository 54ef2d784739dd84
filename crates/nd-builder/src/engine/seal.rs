//! An overlay's upper directory becomes a layer, and a tree that says the same.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use nd_names::Sha256;
use nd_oci::{Compression, EntryReader, Ids, LayerOptions, Upper, write_layer};
use nd_rootfs::{Attr, Entry, Kind, LayerEntry, TreePath};
use nd_store::encode_layer_index;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};

use super::{error::EngineError, message::DoneLayer};
use crate::scrub;

/// What to seal and where to.
pub(crate) struct Seal<'a> {
    /// The upper directory; nothing is mounted on it any more.
    pub(crate) upper: BorrowedFd<'a>,
    /// What lies below it, as one tree.
    pub(crate) lower: BorrowedFd<'a>,
    pub(crate) ids: Ids,
    pub(crate) epoch: i64,
    pub(crate) compression: Compression,
    pub(crate) blob: &'a File,
    pub(crate) index: &'a File,
}

impl Seal<'_> {
    /// Scrubs the upper directory, takes from it what changes nothing, clamps its times and writes
    /// the rest as a layer. `None`, and an empty directory, if nothing is left.
    pub(crate) fn seal(&self) -> Result<Option<DoneLayer>, EngineError> {
        let name = format!("/proc/self/fd/{}", self.upper.as_raw_fd());
        let mut upper = Upper::read(Path::new(&name), self.ids, None)?;
        let found = std::mem::take(&mut upper.entries);
        let (opaque, found): (Vec<_>, Vec<_>) =
            (found.into_iter()).partition(|entry| matches!(entry, LayerEntry::Opaque(_)));
        let opaque: Vec<TreePath> = opaque
            .into_iter()
            .filter_map(|entry| entry.path().cloned())
            .collect();
        let mut entries = Vec::with_capacity(found.len());
        let mut gone = Vec::new();
        let mut below = EntryReader::new(self.lower, self.ids);
        for entry in found {
            if self.keeps(&entry, &opaque, &upper, &mut below)? {
                entries.push(entry);
            } else {
                gone.push(entry);
            }
        }
        self.hide(&mut entries, &opaque)?;
        self.drop_idle_directories(&mut entries, &mut gone, &opaque)?;
        self.remove(&gone)?;
        if entries.is_empty() {
            return Ok(None);
        }
        self.clamp(&entries)?;
        let mut blob = io::BufWriter::with_capacity(1 << 20, self.blob);
        let options = LayerOptions {
            compression: self.compression,
            clamp: Some(self.epoch),
        };
        let mut source = |entry: &Entry| {
            let file = upper.open(entry)?;
            Ok(Box::new(file) as Box<dyn Read>)
        };
        let layer = write_layer(&entries, &mut source, options, &mut blob)?;
        blob.flush().map_err(EngineError::io("write the layer"))?;
        let mut index = self.index;
        index
            .write_all(&encode_layer_index(&layer.index))
            .map_err(EngineError::io("write the index of the layer"))?;
        Ok(Some(DoneLayer {
            diff_id: layer.diff_id,
            digest: layer.digest,
            size: layer.size,
            uncompressed: layer.uncompressed,
            entries: entries.len() as u64,
        }))
    }

    /// Whether an entry is part of the layer. Directories are decided later.
    fn keeps(
        &self,
        entry: &LayerEntry,
        opaque: &[TreePath],
        upper: &Upper,
        lower: &mut EntryReader<'_>,
    ) -> Result<bool, EngineError> {
        let entry = match entry {
            LayerEntry::Entry(entry) => entry,
            LayerEntry::Whiteout(path) => {
                return Ok(lower.entry(path)?.is_some());
            }
            _ => return Ok(true),
        };
        if entry.kind.is_dir() {
            return Ok(true);
        }
        if scrub::drops(entry.path.as_bytes()) {
            return Ok(false);
        }
        if entry.group.is_some() || opaque.iter().any(|dir| entry.path.is_below(dir.as_bytes())) {
            return Ok(true);
        }
        let Some(below) = lower.entry(&entry.path)? else {
            return Ok(true);
        };
        let clamped = Attr {
            mtime: entry.attr.mtime.min(self.epoch),
            ..entry.attr.clone()
        };
        if below.attr != clamped {
            return Ok(true);
        }
        let read = |e| EngineError::io(format!("read `{}`", entry.path))(e);
        match (&entry.kind, &below.kind) {
            (Kind::File { size: new, .. }, Kind::File { size: old, .. }) => {
                if new != old {
                    return Ok(true);
                }
                let ours = upper.open(entry).and_then(Sha256::of_rest).map_err(read)?;
                let theirs = Sha256::of_rest(lower.open(&entry.path)?).map_err(read)?;
                Ok(ours != theirs)
            }
            (new, old) => Ok(new != old),
        }
    }

    /// Says explicitly what opaque directories hide.
    fn hide(&self, entries: &mut Vec<LayerEntry>, opaque: &[TreePath]) -> Result<(), EngineError> {
        if opaque.is_empty() {
            return Ok(());
        }
        let names: HashSet<TreePath> = entries
            .iter()
            .filter_map(LayerEntry::path)
            .cloned()
            .collect();
        let mut whiteouts = Vec::new();
        for entry in entries.iter() {
            let LayerEntry::Entry(entry) = entry else {
                continue;
            };
            let hides = |dir: &TreePath| *dir == entry.path || entry.path.is_below(dir.as_bytes());
            if !entry.kind.is_dir() || !opaque.iter().any(hides) {
                continue;
            }
            for name in self.names_below(&entry.path)? {
                let path = entry.path.join(&name)?;
                if !names.contains(&path) {
                    whiteouts.push(LayerEntry::Whiteout(path));
                }
            }
        }
        entries.extend(whiteouts);
        entries.sort_by(|a, b| a.path().cmp(&b.path()));
        Ok(())
    }

    fn names_below(&self, dir: &TreePath) -> Result<Vec<Vec<u8>>, EngineError> {
        let fail = || EngineError::io(format!("list `{dir}`"));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let name = std::ffi::OsStr::from_bytes(dir.as_bytes());
        let fd = match rustix::fs::openat2(self.lower, name, flags, Mode::empty(), resolve) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(fail()(error)),
        };
        let mut out = Vec::new();
        for entry in rustix::fs::Dir::read_from(&fd).map_err(fail())? {
            let entry = entry.map_err(fail())?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                out.push(name.to_vec());
            }
        }
        Ok(out)
    }

    /// Directories that hold no change and are as they were below: opened for writing, or touched by
    /// a mount point that came and went.
    fn drop_idle_directories(
        &self,
        entries: &mut Vec<LayerEntry>,
        gone: &mut Vec<LayerEntry>,
        opaque: &[TreePath],
    ) -> Result<(), EngineError> {
        let mut needed: HashSet<Vec<u8>> = HashSet::new();
        let mut kept = Vec::with_capacity(entries.len());
        let mut lower = EntryReader::new(self.lower, self.ids);
        // Backwards in tree order, so that what a directory holds is known before itself.
        for entry in std::mem::take(entries).into_iter().rev() {
            if let LayerEntry::Entry(dir) = &entry
                && dir.kind.is_dir()
                && !needed.contains(dir.path.as_bytes())
                && !opaque.contains(&dir.path)
                && let Some(below) = lower.entry(&dir.path)?
                && below.kind.is_dir()
                && below.attr.xattrs == dir.attr.xattrs
                && (below.attr.mode, below.attr.uid, below.attr.gid)
                    == (dir.attr.mode, dir.attr.uid, dir.attr.gid)
            {
                gone.push(entry);
                continue;
            }
            if let Some(path) = entry.path() {
                needed.extend(path.ancestors().map(<[u8]>::to_vec));
            }
            kept.push(entry);
        }
        kept.reverse();
        *entries = kept;
        Ok(())
    }

    /// Takes from the disk what is not part of the layer, so that tree and layer say the same.
    fn remove(&self, gone: &[LayerEntry]) -> Result<(), EngineError> {
        let mut gone: Vec<_> = gone.iter().filter_map(|e| Some((e.path()?, e))).collect();
        gone.sort_by(|a, b| b.0.cmp(a.0));
        for (path, entry) in gone {
            let is_dir = matches!(entry, LayerEntry::Entry(entry) if entry.kind.is_dir());
            let flags = if is_dir {
                AtFlags::REMOVEDIR
            } else {
                AtFlags::empty()
            };
            let dir = self.parent(path)?;
            rustix::fs::unlinkat(&dir, path.name(), flags)
                .map_err(EngineError::io(format!("remove `{path}`")))?;
        }
        Ok(())
    }

    /// Gives entries that are newer than the layer may say the time it says. Directories come last,
    /// deepest first; nothing changes them any more.
    fn clamp(&self, entries: &[LayerEntry]) -> Result<(), EngineError> {
        let times = nd_host::modified(self.epoch, 0);
        let mut last: Option<(Vec<u8>, std::os::fd::OwnedFd)> = None;
        for entry in entries.iter().rev() {
            let LayerEntry::Entry(entry) = entry else {
                continue;
            };
            if entry.attr.mtime <= self.epoch {
                continue;
            }
            let above = entry.path.ancestors().last().unwrap_or_default();
            if last.as_ref().is_none_or(|(dir, _)| dir != above) {
                last = Some((above.to_vec(), self.parent(&entry.path)?));
            }
            if let Some((_, dir)) = &last {
                let name = entry.path.name();
                rustix::fs::utimensat(dir.as_fd(), name, &times, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(EngineError::io(format!("set the time of `{}`", entry.path)))?;
            }
        }
        Ok(())
    }

    fn parent(&self, path: &TreePath) -> Result<std::os::fd::OwnedFd, EngineError> {
        let above = path.ancestors().last().unwrap_or(b".");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let name = std::ffi::OsStr::from_bytes(above);
        rustix::fs::openat2(self.upper, name, flags, Mode::empty(), resolve)
            .map_err(EngineError::io(format!("open the directory of `{path}`")))
    }
}
