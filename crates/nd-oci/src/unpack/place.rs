//! Making and reading entries below one open directory.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read, Seek as _, SeekFrom, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use nd_rootfs::{Attr, DeviceClass, Entry, Kind, TreePath};
use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, XattrFlags},
    io::Errno,
};

use super::{Notes, OverlayMarks};
use crate::{
    OciError,
    upper::{Ids, kept, translate},
    walk::{WalkError, entry_at, entry_names},
};

/// What stands at a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stat {
    Directory,
    Other,
}

/// A directory with the last directory below it that was used.
pub(super) struct Place<'a> {
    root: BorrowedFd<'a>,
    ids: Ids,
    last: Option<(Vec<u8>, OwnedFd)>,
}

pub(super) fn fail(path: &TreePath, what: &'static str) -> impl FnOnce(io::Error) -> OciError {
    let path = path.clone();
    move |source| OciError::Unpack { path, what, source }
}

fn errno(path: &TreePath, what: &'static str) -> impl FnOnce(Errno) -> OciError {
    let fail = fail(path, what);
    move |error| fail(error.into())
}

const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

impl<'a> Place<'a> {
    pub(super) fn new(root: BorrowedFd<'a>, ids: Ids) -> Self {
        Self {
            root,
            ids,
            last: None,
        }
    }

    /// Opens the directory above `path` without following anything; `None` if it is not there.
    fn parent(&mut self, path: &TreePath) -> Result<Option<BorrowedFd<'_>>, OciError> {
        let dir = path.ancestors().last().unwrap_or(b"");
        if self.last.as_ref().is_none_or(|(last, _)| last != dir) {
            let name: &[u8] = if dir.is_empty() { b"." } else { dir };
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let name = OsStr::from_bytes(name);
            match rustix::fs::openat2(self.root, name, flags, Mode::empty(), BENEATH) {
                Ok(fd) => self.last = Some((dir.to_vec(), fd)),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                Err(error) => return Err(errno(path, "its directory cannot be opened")(error)),
            }
        }
        Ok(self.last.as_ref().map(|(_, fd)| fd.as_fd()))
    }

    fn in_dir(&mut self, path: &TreePath) -> Result<BorrowedFd<'_>, OciError> {
        let missing = || {
            let source = io::ErrorKind::NotADirectory.into();
            fail(path, "it lies below what is no directory")(source)
        };
        self.parent(path)?.ok_or_else(missing)
    }

    pub(super) fn stat(&mut self, path: &TreePath) -> Result<Option<Stat>, OciError> {
        let Some(dir) = self.parent(path)? else {
            return Ok(None);
        };
        match rustix::fs::statat(dir, name(path), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                Ok(Some(Stat::Directory))
            }
            Ok(_) => Ok(Some(Stat::Other)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(errno(path, "it cannot be looked at")(error)),
        }
    }

    /// Names in the root.
    pub(super) fn names(&self) -> Result<Vec<TreePath>, OciError> {
        let root = crate::walk::open_directory(self.root).map_err(OciError::io("/"))?;
        let names = entry_names(&root, None).map_err(walk)?;
        let paths = names.iter().map(TreePath::new);
        Ok(paths
            .collect::<Result<_, _>>()
            .map_err(crate::TarError::from)?)
    }

    /// Attributes of a directory.
    pub(super) fn directory(&mut self, path: &TreePath) -> Result<Option<Attr>, OciError> {
        match self.stat(path)? {
            Some(Stat::Directory) => Ok(self.entry(path)?.map(|entry| entry.attr)),
            _ => Ok(None),
        }
    }

    /// The entry at a path; the directory above it must be there.
    pub(super) fn entry(&mut self, path: &TreePath) -> Result<Option<Entry>, OciError> {
        let ids = self.ids;
        let Some(dir) = self.parent(path)? else {
            return Ok(None);
        };
        let (mut entry, _) = entry_at(dir, path).map_err(walk)?;
        let fail_owner = |_| {
            let source = io::ErrorKind::InvalidData.into();
            fail(path, "its owner is outside the range")(source)
        };
        translate(&mut entry, ids).map_err(fail_owner)?;
        entry.attr.xattrs.retain(kept);
        Ok(Some(entry))
    }

    /// The content of a file.
    pub(super) fn open(&mut self, path: &TreePath) -> Result<File, OciError> {
        let dir = self.in_dir(path)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(dir, name(path), flags, Mode::empty());
        fd.map(File::from)
            .map_err(errno(path, "it cannot be opened"))
    }

    /// Makes a directory that only its owner may use until it is finished.
    pub(super) fn dir(&mut self, path: &TreePath) -> Result<(), OciError> {
        let dir = self.in_dir(path)?;
        let what = "the directory cannot be made";
        rustix::fs::mkdirat(dir, name(path), Mode::RWXU).map_err(errno(path, what))
    }

    pub(super) fn remove(&mut self, path: &TreePath) -> Result<(), OciError> {
        let dir = self.in_dir(path)?;
        match rustix::fs::unlinkat(dir, name(path), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(errno(path, "an earlier entry cannot be removed")(error)),
        }
    }

    pub(super) fn file(
        &mut self,
        path: &TreePath,
        attr: &Attr,
        size: u64,
        bytes: &mut dyn Read,
        notes: &mut Notes,
    ) -> Result<(), OciError> {
        let ids = self.ids;
        let dir = self.in_dir(path)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(dir, name(path), flags, Mode::RUSR | Mode::WUSR)
            .map_err(errno(path, "the file cannot be made"))?;
        let file = File::from(fd);
        fill(&file, size, bytes).map_err(fail(path, "its content cannot be written"))?;
        let owner = owner(path, attr, ids)?;
        if let Some((uid, gid)) = owner {
            rustix::fs::fchown(&file, Some(uid), Some(gid)).map_err(errno(path, OWNER))?;
        }
        // A change of owner clears set-id bits and capabilities, so those come after it.
        rustix::fs::fchmod(&file, Mode::from_raw_mode(attr.mode.into()))
            .map_err(errno(path, "its mode cannot be set"))?;
        xattrs(&file, path, attr, notes)?;
        rustix::fs::futimens(&file, &nd_host::modified(attr.mtime, 0)).map_err(errno(path, TIME))
    }

    /// Makes anything but directories and files. Devices that the kernel does not let us make are
    /// left out with a note.
    pub(super) fn special(&mut self, entry: &Entry, notes: &mut Notes) -> Result<(), OciError> {
        let ids = self.ids;
        let (path, attr) = (&entry.path, &entry.attr);
        let dir = self.in_dir(path)?;
        let name = name(path);
        let mode = Mode::from_raw_mode(attr.mode.into());
        match &entry.kind {
            Kind::Symlink { target } => {
                rustix::fs::symlinkat(OsStr::from_bytes(target), dir, name)
                    .map_err(errno(path, "the symlink cannot be made"))?;
            }
            Kind::Fifo => rustix::fs::mknodat(dir, name, FileType::Fifo, mode, 0)
                .map_err(errno(path, "the fifo cannot be made"))?,
            Kind::Device {
                class,
                major,
                minor,
            } => {
                let file_type = match class {
                    DeviceClass::Char => FileType::CharacterDevice,
                    DeviceClass::Block => FileType::BlockDevice,
                };
                let device = rustix::fs::makedev(*major, *minor);
                match rustix::fs::mknodat(dir, name, file_type, mode, device) {
                    Ok(()) => {}
                    Err(Errno::PERM) => {
                        notes.devices.push(path.clone());
                        return Ok(());
                    }
                    Err(error) => return Err(errno(path, "the device cannot be made")(error)),
                }
            }
            Kind::Dir { .. } | Kind::File { .. } | Kind::Socket => {
                let source = io::ErrorKind::Unsupported.into();
                return Err(fail(path, "its kind cannot be unpacked here")(source));
            }
        }
        if let Some((uid, gid)) = owner(path, attr, ids)? {
            rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(errno(path, OWNER))?;
        }
        if !matches!(entry.kind, Kind::Symlink { .. }) {
            // Not a symlink: we have just made it, and the directory is ours alone.
            rustix::fs::chmodat(dir, name, mode, AtFlags::empty())
                .map_err(errno(path, "its mode cannot be set"))?;
        }
        rustix::fs::utimensat(
            dir,
            name,
            &nd_host::modified(attr.mtime, 0),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .map_err(errno(path, TIME))
    }

    pub(super) fn link(&mut self, target: &TreePath, path: &TreePath) -> Result<(), OciError> {
        let what = "the hard link cannot be made";
        let from = rustix::io::dup(self.in_dir(target)?).map_err(errno(path, what))?;
        let dir = self.in_dir(path)?;
        rustix::fs::linkat(from, name(target), dir, name(path), AtFlags::empty())
            .map_err(errno(path, what))
    }

    pub(super) fn whiteout(&mut self, path: &TreePath) -> Result<(), OciError> {
        let dir = self.in_dir(path)?;
        let mode = Mode::empty();
        rustix::fs::mknodat(dir, name(path), FileType::CharacterDevice, mode, 0)
            .map_err(errno(path, "the whiteout cannot be made"))
    }

    pub(super) fn mark(&mut self, path: &TreePath, marks: OverlayMarks) -> Result<(), OciError> {
        let fd = self.open_dir(path)?;
        let attribute = match marks {
            OverlayMarks::Trusted => "trusted.overlay.opaque",
            OverlayMarks::User => "user.overlay.opaque",
        };
        rustix::fs::fsetxattr(&fd, attribute, b"y", XattrFlags::empty())
            .map_err(errno(path, "the opaque mark cannot be set"))
    }

    pub(super) fn finish_dir(
        &mut self,
        path: &TreePath,
        attr: &Attr,
        notes: &mut Notes,
    ) -> Result<(), OciError> {
        let fd = self.open_dir(path)?;
        if let Some((uid, gid)) = owner(path, attr, self.ids)? {
            rustix::fs::fchown(&fd, Some(uid), Some(gid)).map_err(errno(path, OWNER))?;
        }
        xattrs(&fd, path, attr, notes)?;
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(attr.mode.into()))
            .map_err(errno(path, "its mode cannot be set"))?;
        rustix::fs::futimens(&fd, &nd_host::modified(attr.mtime, 0)).map_err(errno(path, TIME))
    }

    fn open_dir(&mut self, path: &TreePath) -> Result<OwnedFd, OciError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path_name = OsStr::from_bytes(path.as_bytes());
        rustix::fs::openat2(self.root, path_name, flags, Mode::empty(), BENEATH)
            .map_err(errno(path, "the directory cannot be opened"))
    }
}

const OWNER: &str = "its owner cannot be set";
const TIME: &str = "its time cannot be set";

fn name(path: &TreePath) -> &OsStr {
    OsStr::from_bytes(path.name())
}

fn walk(error: WalkError) -> OciError {
    match error {
        WalkError::Entry { entry, source } => OciError::Unpack {
            path: entry,
            what: "it cannot be read",
            source,
        },
        WalkError::Open { path, source } => OciError::Io { path, source },
        WalkError::Path(error) => crate::TarError::from(error).into(),
    }
}

fn owner(path: &TreePath, attr: &Attr, ids: Ids) -> Result<Option<(Uid, Gid)>, OciError> {
    let pair = |uid, gid| Some((Uid::from_raw(uid), Gid::from_raw(gid)));
    Ok(match ids {
        Ids::Root => None,
        Ids::Same => pair(attr.uid, attr.gid),
        Ids::Range { first, count } => {
            let shift = |id: u32| {
                let shifted = (id < count).then(|| first.checked_add(id)).flatten();
                shifted.ok_or_else(|| fail(path, OWNER)(io::ErrorKind::InvalidInput.into()))
            };
            pair(shift(attr.uid)?, shift(attr.gid)?)
        }
    })
}

/// Sets what a layer may say of attributes. What this file system, or this namespace, does not take
/// is noted.
fn xattrs(
    fd: impl std::os::fd::AsFd,
    path: &TreePath,
    attr: &Attr,
    notes: &mut Notes,
) -> Result<(), OciError> {
    for (attribute, value) in attr.xattrs.iter().filter(|(name, _)| kept(name)) {
        let text = OsStr::from_bytes(attribute);
        // By name: the descriptor may be one that only stands for the path.
        let file = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
        match rustix::fs::setxattr(Path::new(&file), text, value, XattrFlags::empty()) {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP | Errno::PERM) => {
                let attribute = nd_rootfs::show(attribute);
                notes.lines.push(format!(
                    "`{path}`: attribute `{attribute}` may not be set here"
                ));
            }
            Err(error) => return Err(errno(path, "an attribute cannot be set")(error)),
        }
    }
    Ok(())
}

/// Writes `size` bytes. Blocks of zeros become holes, so that an archive of a sparse file does not
/// fill the disk.
fn fill(mut file: &File, size: u64, bytes: &mut dyn Read) -> io::Result<()> {
    const BLOCK: usize = 64 * 1024;
    let mut buffer = vec![0; BLOCK.min(usize::try_from(size).unwrap_or(BLOCK)).max(1)];
    let mut total = 0;
    loop {
        let mut filled = 0;
        while filled < buffer.len() {
            match bytes.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if filled == 0 {
            break;
        }
        total += filled as u64;
        if filled == BLOCK && buffer.iter().all(|&b| b == 0) {
            file.seek(SeekFrom::Current(BLOCK as i64))?;
        } else {
            file.write_all(&buffer[..filled])?;
        }
    }
    file.set_len(total)
}
