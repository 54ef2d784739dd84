//! Many trees as one: the kernel stacks so many directories and no more.
//!
//! The names of all files are given to the new tree as further names of the same files, so that it takes
//! no room but for directories.

use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    sync::Arc,
};

use nd_rootfs::show;
use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid, XattrFlags},
    io::Errno,
};

use super::error::{Doing as _, EngineError};

/// A directory of the new tree.
struct Directory {
    path: Vec<u8>,
    /// As the overlay shows it.
    shown: OwnedFd,
    /// In the trees that have it, the topmost first.
    holders: Vec<OwnedFd>,
    made: OwnedFd,
}

/// Makes what the overlay `view` of `trees` (the lowest first) shows in the empty directory `into`.
pub(super) fn flatten(
    mut trees: Vec<OwnedFd>,
    view: &OwnedFd,
    into: OwnedFd,
    single: bool,
) -> Result<(), EngineError> {
    trees.reverse();
    // A new mount is open as a path only.
    let view =
        open(view.as_fd(), OsStr::new(".")).map_err(EngineError::io("open the trees below"))?;
    let root = Directory {
        path: Vec::new(),
        shown: view,
        holders: trees,
        made: into,
    };
    // Directories are opened when their turn comes, so that few are open at a time.
    let mut pending: Vec<(Arc<Directory>, Vec<u8>)> = Vec::new();
    let mut next = Some(root);
    while let Some(directory) = next {
        let doing = || format!("make `/{}` in one tree", show(&directory.path));
        let inner = fill(&directory)?;
        // Filling a directory changes its time; what lies deeper does not.
        attributes(&directory, single).doing(doing)?;
        let directory = Arc::new(directory);
        pending.extend(inner.into_iter().map(|name| (Arc::clone(&directory), name)));
        drop(directory);
        next = match pending.pop() {
            Some((above, name)) => Some(enter(&above, &name)?),
            None => None,
        };
    }
    Ok(())
}

/// Opens a directory everywhere it is.
fn enter(above: &Directory, name: &[u8]) -> Result<Directory, EngineError> {
    let path = below(&above.path, name);
    let doing = || format!("open `/{}` in one tree", show(&path));
    let name = OsStr::from_bytes(name);
    let mut holders = Vec::new();
    for holder in &above.holders {
        match open(holder.as_fd(), name) {
            Ok(fd) => holders.push(fd),
            Err(Errno::NOENT) => {}
            // What is no directory hides those below.
            Err(Errno::NOTDIR | Errno::LOOP) => break,
            Err(error) => return Err(EngineError::io(doing())(error)),
        }
    }
    Ok(Directory {
        shown: open(above.shown.as_fd(), name).doing(doing)?,
        made: open(above.made.as_fd(), name).doing(doing)?,
        holders,
        path,
    })
}

fn below(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() {
        name.to_vec()
    } else {
        [path, b"/", name].concat()
    }
}

/// Gives a directory all it holds; the names of its directories.
fn fill(directory: &Directory) -> Result<Vec<Vec<u8>>, EngineError> {
    let list = || format!("list `/{}`", show(&directory.path));
    let mut inner = Vec::new();
    for entry in rustix::fs::Dir::read_from(&directory.shown).doing(list)? {
        let entry = entry.doing(list)?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let doing = || {
            format!(
                "copy `/{}` into one tree",
                show(&below(&directory.path, name))
            )
        };
        let text = OsStr::from_bytes(name);
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let stat = rustix::fs::statat(&directory.shown, text, flags).doing(doing)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            rustix::fs::mkdirat(&directory.made, text, Mode::RWXU).doing(doing)?;
            inner.push(name.to_vec());
        } else {
            link(directory, text).doing(doing)?;
        }
    }
    Ok(inner)
}

/// Gives the topmost of what has this name a name in the new tree.
fn link(directory: &Directory, name: &OsStr) -> Result<(), Errno> {
    for holder in &directory.holders {
        match rustix::fs::linkat(holder, name, &directory.made, name, AtFlags::empty()) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
    }
    Err(Errno::NOENT)
}

fn open(at: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(at, name, flags, Mode::empty(), resolve)
}

/// Gives the new directory what the overlay shows of it.
fn attributes(directory: &Directory, single: bool) -> io::Result<()> {
    let (from, to) = (&directory.shown, &directory.made);
    let stat: Stat = rustix::fs::fstat(from)?;
    if !single {
        let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        rustix::fs::fchown(to, Some(uid), Some(gid))?;
    }
    let mut names = vec![0_u8; 64 * 1024];
    let length = rustix::fs::flistxattr(from, &mut names[..]).unwrap_or(0);
    for name in names[..length].split(|&byte| byte == 0) {
        if !name.starts_with(b"user.") {
            continue;
        }
        let name = OsStr::from_bytes(name);
        let mut value = vec![0_u8; 64 * 1024];
        let length = rustix::fs::fgetxattr(from, name, &mut value[..])?;
        rustix::fs::fsetxattr(to, name, &value[..length], XattrFlags::empty())?;
    }
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    let times = nd_host::modified(stat.st_mtime, stat.st_mtime_nsec as _);
    Ok(rustix::fs::futimens(to, &times)?)
}
