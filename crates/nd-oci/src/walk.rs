//! Walking a directory of the host without ever leaving it: every step is relative to an open
//! directory and follows no symlink.

use std::{
    collections::HashMap,
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use nd_rootfs::{Attr, DeviceClass, Entry, Kind, LinkGroup, Location, PathError, TreePath, Xattrs};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};

use crate::UNREAD;

/// Why a directory could not be read.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// The directory itself.
    #[error("failed to open `{}`", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something in it.
    #[error("failed to read `{entry}`")]
    Entry {
        /// Which.
        entry: TreePath,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A name no tree can hold.
    #[error("a file of the host cannot be part of a tree")]
    Path(#[from] PathError),
}

/// An open directory whose files can be opened by tree path.
#[derive(Debug)]
pub(crate) struct Root(OwnedFd);

impl Root {
    pub(crate) fn open(path: &Path) -> Result<Self, WalkError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd =
            rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|e| WalkError::Open {
                path: path.into(),
                source: e.into(),
            })?;
        Ok(Self(fd))
    }

    /// Opens a regular file below the root; no symlink on the way is followed.
    pub(crate) fn file(&self, path: &TreePath) -> io::Result<std::fs::File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let name = OsStr::from_bytes(path.as_bytes());
        let fd = rustix::fs::openat2(&self.0, name, flags, Mode::empty(), resolve)?;
        Ok(fd.into())
    }

    /// Every entry below the root, in no particular order; content is [`UNREAD`], locations count
    /// files from 0, names of one inode share a group.
    pub(crate) fn walk(&self) -> Result<Vec<Entry>, WalkError> {
        let mut out = Vec::new();
        let mut inodes: HashMap<(u64, u64), (LinkGroup, u64)> = HashMap::new();
        let mut files = 0;
        let mut pending: Vec<Option<TreePath>> = vec![None];
        while let Some(dir) = pending.pop() {
            let fd = self.directory(dir.as_ref())?;
            for name in entry_names(&fd, dir.as_ref())? {
                let path = TreePath::below(dir.as_ref(), &name)?;
                let (mut entry, stat) = entry_at(fd.as_fd(), &path)?;
                let inode = (stat.st_dev, stat.st_ino);
                let known = inodes.get(&inode).copied();
                let number = known.map_or(files, |(_, number)| number);
                if stat.st_nlink > 1 && !entry.kind.is_dir() {
                    let next = LinkGroup(inodes.len() as u32);
                    entry.group = Some(inodes.entry(inode).or_insert((next, number)).0);
                }
                if let Kind::File { at, .. } = &mut entry.kind {
                    *at = Location::Host(number);
                    if number == files {
                        files += 1;
                    }
                }
                if entry.kind.is_dir() {
                    pending.push(Some(path));
                }
                out.push(entry);
            }
        }
        Ok(out)
    }

    fn directory(&self, dir: Option<&TreePath>) -> Result<OwnedFd, WalkError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let name = OsStr::from_bytes(dir.map_or(b".", |dir| dir.as_bytes()));
        rustix::fs::openat2(&self.0, name, flags, Mode::empty(), resolve).map_err(|e| match dir {
            Some(dir) => WalkError::Entry {
                entry: dir.clone(),
                source: e.into(),
            },
            None => WalkError::Open {
                path: ".".into(),
                source: e.into(),
            },
        })
    }
}

/// The entry of this path, whose directory is `dir`; no symlink is followed. Content is [`UNREAD`].
pub(crate) fn entry_at(
    dir: BorrowedFd<'_>,
    path: &TreePath,
) -> Result<(Entry, rustix::fs::Stat), WalkError> {
    let fail = |e: rustix::io::Errno| WalkError::Entry {
        entry: path.clone(),
        source: e.into(),
    };
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let at = rustix::fs::openat(dir, path.name(), flags, Mode::empty()).map_err(fail)?;
    let stat = rustix::fs::fstat(&at).map_err(fail)?;
    let class = FileType::from_raw_mode(stat.st_mode);
    let kind = match class {
        FileType::Directory => Kind::Dir { implicit: false },
        FileType::RegularFile => Kind::File {
            size: stat.st_size as u64,
            content: UNREAD,
            at: Location::Host(0),
        },
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(&at, "", Vec::new()).map_err(fail)?;
            Kind::Symlink {
                target: target.into_bytes().into(),
            }
        }
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => Kind::Device {
            class: if class == FileType::BlockDevice {
                DeviceClass::Block
            } else {
                DeviceClass::Char
            },
            major: rustix::fs::major(stat.st_rdev),
            minor: rustix::fs::minor(stat.st_rdev),
        },
    };
    let xattrs = match class {
        FileType::Symlink | FileType::CharacterDevice | FileType::BlockDevice => Xattrs::default(),
        _ => xattrs(&at).map_err(fail)?,
    };
    let attr = Attr {
        mode: if class == FileType::Symlink {
            0o777
        } else {
            (stat.st_mode & 0o7777) as u16
        },
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: stat.st_mtime,
        xattrs,
    };
    let entry = Entry {
        path: path.clone(),
        attr,
        kind,
        group: None,
    };
    Ok((entry, stat))
}

/// The directory itself, open for reading its names.
pub(crate) fn open_directory(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(fd, ".", flags, Mode::empty())?)
}

/// Names in a directory, in no particular order.
pub(crate) fn entry_names(fd: &OwnedFd, dir: Option<&TreePath>) -> Result<Vec<Vec<u8>>, WalkError> {
    let fail = |e: rustix::io::Errno| match dir {
        Some(dir) => WalkError::Entry {
            entry: dir.clone(),
            source: e.into(),
        },
        None => WalkError::Open {
            path: ".".into(),
            source: e.into(),
        },
    };
    let mut out = Vec::new();
    for item in rustix::fs::Dir::read_from(fd).map_err(fail)? {
        let item = item.map_err(fail)?;
        let name = item.file_name().to_bytes();
        if name != b"." && name != b".." {
            out.push(name.to_vec());
        }
    }
    Ok(out)
}

/// All extended attributes of what `fd`, opened as a path, stands for.
fn xattrs(fd: &OwnedFd) -> Result<Xattrs, rustix::io::Errno> {
    use rustix::{buffer::spare_capacity, io::Errno};
    // Attributes cannot be asked of a path descriptor itself, but of its name in /proc.
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let mut list = Vec::with_capacity(1024);
    loop {
        match rustix::fs::listxattr(&path, spare_capacity(&mut list)) {
            Ok(_) => break,
            Err(Errno::RANGE) => list.reserve(list.capacity() * 2 + 1),
            Err(Errno::OPNOTSUPP) => return Ok(Xattrs::default()),
            Err(error) => return Err(error),
        }
    }
    let mut out = Xattrs::default();
    for name in list.split(|&b| b == 0).filter(|name| !name.is_empty()) {
        let mut value: Vec<u8> = Vec::with_capacity(256);
        loop {
            match rustix::fs::getxattr(&path, name, spare_capacity(&mut value)) {
                Ok(_) => break,
                Err(Errno::RANGE) => value.reserve(value.capacity() * 2 + 1),
                Err(error) => return Err(error),
            }
        }
        out.insert(name, value);
    }
    Ok(out)
}
