//! `COPY`: files of a context or of another stage into the image.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use nd_host::{NodeKind, RootDir};
use nd_oci::{Ids, Upper};
use nd_rootfs::{Attr, CAPABILITY, Entry, Kind, LayerEntry, show};
use rustix::{
    fs::{AtFlags, Gid, Mode, OFlags, Uid, XattrFlags},
    io::Errno,
};

use super::error::{Doing as _, EngineError};

/// Copies into one image.
///
/// Names are resolved inside the image. A directory gives its content, which is merged with what is
/// there: directories keep the attributes they have, anything else is replaced. Permissions come
/// from the source, the owner is [`Self::owner`].
pub(crate) struct Copier<'a> {
    /// The image's root, mounted writable.
    pub(crate) image: &'a RootDir,
    /// Owner of all that is made.
    pub(crate) owner: (u32, u32),
    /// Whether there is but one id.
    pub(crate) single: bool,
}

impl Copier<'_> {
    /// Copies what stands at `path` of `from`; `name` is what it is called in a directory.
    pub(crate) fn copy(
        &self,
        from: &RootDir,
        path: &[u8],
        name: &[u8],
        dest: &str,
        notes: &mut Vec<String>,
    ) -> Result<(), EngineError> {
        let shown = || show(path);
        let node = from
            .node(path, true)
            .map_err(EngineError::io(format!("look at `{}`", shown())))?;
        let refuse = |problem| EngineError::Copy {
            path: shown(),
            problem,
        };
        match node.map(|node| node.kind) {
            None => Err(refuse("it does not exist")),
            Some(NodeKind::Directory) => {
                let tree = from
                    .directory(path)
                    .map_err(EngineError::io(format!("open `{}`", shown())))?;
                self.tree(&tree, dest.trim_end_matches('/').as_bytes(), notes)
            }
            Some(NodeKind::File) => {
                let file = from
                    .file(path)
                    .map_err(EngineError::io(format!("open `{}`", shown())))?;
                let target = self.file_target(dest, name)?;
                self.file_of(file, &target)
            }
            Some(_) => Err(refuse("it is neither a file nor a directory")),
        }
    }

    /// Where a file goes: into a directory that is there, or that a final slash asks for.
    fn file_target(&self, dest: &str, name: &[u8]) -> Result<Vec<u8>, EngineError> {
        let found = self
            .image
            .node(dest.as_bytes(), true)
            .map_err(EngineError::io(format!("look at `{dest}` in the image")))?;
        let is_dir = found.is_some_and(|node| node.kind == NodeKind::Directory);
        if !is_dir && !dest.ends_with('/') {
            let above = dest.rfind('/').map_or("/", |at| &dest[..at]);
            self.directory(above.as_bytes(), (0, 0))?;
            return Ok(dest.as_bytes().to_vec());
        }
        self.directory(dest.as_bytes(), self.owner)?;
        Ok([dest.trim_end_matches('/').as_bytes(), b"/", name].concat())
    }

    fn file_of(&self, file: File, target: &[u8]) -> Result<(), EngineError> {
        let doing = || format!("copy to `{}`", show(target));
        let stat = rustix::fs::fstat(&file).doing(doing)?;
        let mut attr = Attr::new((stat.st_mode & 0o7777) as u16);
        attr.mtime = stat.st_mtime;
        self.make_file(file, target, &attr)
    }

    /// Makes a directory and those above it, each missing one with 0755; the last one, if it is
    /// made, belongs to `owner`.
    pub(crate) fn directory(&self, path: &[u8], owner: (u32, u32)) -> Result<(), EngineError> {
        let doing = || format!("make the directory `{}`", show(path));
        if let Some(node) = self.image.node(path, true).doing(doing)? {
            return match node.kind {
                NodeKind::Directory => Ok(()),
                _ => Err(EngineError::Copy {
                    path: show(path),
                    problem: "it is no directory in the image",
                }),
            };
        }
        self.image.create_dir_all(path, 0o755).doing(doing)?;
        let made = self.image.directory(path).doing(doing)?;
        self.own(made.as_fd(), owner).doing(doing)
    }

    fn tree(
        &self,
        from: &RootDir,
        dest: &[u8],
        notes: &mut Vec<String>,
    ) -> Result<(), EngineError> {
        self.directory(if dest.is_empty() { b"/" } else { dest }, self.owner)?;
        let name = format!("/proc/self/fd/{}", from.as_fd().as_raw_fd());
        let ids = if self.single { Ids::Root } else { Ids::Same };
        let source = Upper::read(Path::new(&name), ids, None)?;
        for entry in &source.entries {
            let LayerEntry::Entry(entry) = entry else {
                continue;
            };
            let target = [dest, b"/", entry.path.as_bytes()].concat();
            self.entry(&source, entry, &target, notes)?;
        }
        Ok(())
    }

    fn entry(
        &self,
        source: &Upper,
        entry: &Entry,
        target: &[u8],
        notes: &mut Vec<String>,
    ) -> Result<(), EngineError> {
        let doing = || format!("copy to `{}`", show(target));
        match &entry.kind {
            Kind::Dir { .. } => {
                let there = self.image.node(target, true).doing(doing)?;
                if there.is_none() {
                    self.directory(target, self.owner)?;
                    let made = self.image.directory(target).doing(doing)?;
                    let mode = Mode::from_raw_mode(entry.attr.mode.into());
                    rustix::fs::fchmod(made.as_fd(), mode).doing(doing)?;
                } else {
                    self.directory(target, self.owner)?;
                }
                Ok(())
            }
            Kind::File { .. } => {
                let file = source.open(entry).doing(doing)?;
                self.make_file(file, target, &entry.attr)
            }
            Kind::Symlink { target: text } => {
                self.make_room(target)?;
                self.image.symlink(text, target).doing(doing)?;
                let (dir, name) = self.parent(target)?;
                if let Some((uid, gid)) = self.ids(self.owner) {
                    let flags = AtFlags::SYMLINK_NOFOLLOW;
                    rustix::fs::chownat(&dir, name, Some(uid), Some(gid), flags).doing(doing)?;
                }
                let times = nd_host::modified(entry.attr.mtime, 0);
                rustix::fs::utimensat(&dir, name, &times, AtFlags::SYMLINK_NOFOLLOW).doing(doing)
            }
            Kind::Fifo | Kind::Socket | Kind::Device { .. } => {
                notes.push(format!("`{}` is no file and not copied", show(target)));
                Ok(())
            }
        }
    }

    fn make_file(&self, mut from: File, target: &[u8], attr: &Attr) -> Result<(), EngineError> {
        let doing = || format!("copy to `{}`", show(target));
        let capability = capability(&from).doing(doing)?;
        self.make_room(target)?;
        let (dir, name) = self.parent(target)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&dir, name, flags, Mode::RUSR | Mode::WUSR).doing(doing)?;
        let mut file = File::from(fd);
        io::copy(&mut from, &mut file).doing(doing)?;
        self.own(file.as_fd(), self.owner).doing(doing)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(attr.mode.into())).doing(doing)?;
        if let Some(value) = capability {
            let name = std::ffi::OsStr::from_bytes(CAPABILITY);
            rustix::fs::fsetxattr(&file, name, &value, XattrFlags::empty()).doing(doing)?;
        }
        rustix::fs::futimens(&file, &nd_host::modified(attr.mtime, 0)).doing(doing)
    }

    /// Removes what has the name, unless it is a directory.
    fn make_room(&self, target: &[u8]) -> Result<(), EngineError> {
        let (dir, name) = self.parent(target)?;
        match rustix::fs::unlinkat(&dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => Err(EngineError::Copy {
                path: show(target),
                problem: "it is a directory in the image",
            }),
            Err(error) => Err(EngineError::io(format!("replace `{}`", show(target)))(
                error,
            )),
        }
    }

    fn parent<'p>(&self, target: &'p [u8]) -> Result<(RootDir, &'p std::ffi::OsStr), EngineError> {
        let at = target.iter().rposition(|&b| b == b'/').unwrap_or(0);
        let dir = self
            .image
            .directory(if at == 0 { b"/" } else { &target[..at] })
            .map_err(EngineError::io(format!(
                "open the directory of `{}`",
                show(target)
            )))?;
        Ok((dir, std::ffi::OsStr::from_bytes(&target[at + 1..])))
    }

    fn own(&self, fd: std::os::fd::BorrowedFd<'_>, owner: (u32, u32)) -> io::Result<()> {
        match self.ids(owner) {
            Some((uid, gid)) => Ok(rustix::fs::fchown(fd, Some(uid), Some(gid))?),
            None => Ok(()),
        }
    }

    fn ids(&self, (uid, gid): (u32, u32)) -> Option<(Uid, Gid)> {
        (!self.single).then(|| (Uid::from_raw(uid), Gid::from_raw(gid)))
    }
}

fn capability(file: &File) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0_u8; 64];
    let name = std::ffi::OsStr::from_bytes(CAPABILITY);
    match rustix::fs::fgetxattr(file, name, &mut value[..]) {
        Ok(n) => {
            value.truncate(n);
            Ok(Some(value))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
