//! Taking back what init changed in the upper directory, so that a layer holds what the step did and
//! nothing else.

use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, ResolveFlags, Timespec, Timestamps},
    io::Errno,
};

use crate::plan::Changes;

/// Removes mount points that were made and are still empty, then directories that are in `upper`
/// only because of them.
pub(super) fn undo(upper: BorrowedFd<'_>, changes: &Changes) -> io::Result<()> {
    for made in changes.made.iter().rev() {
        let flags = if made.directory {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        remove(upper, &made.path, flags, |stat| {
            // The step could not write to a mount point, so a file with content is another one.
            made.directory || stat.st_size == 0
        })?;
    }
    // Deepest first: a directory is empty only when those in it are gone.
    let mut touched: Vec<_> = changes
        .touched
        .iter()
        .filter(|touched| !touched.in_upper && !touched.path.is_empty())
        .collect();
    touched.sort_by_key(|touched| std::cmp::Reverse(touched.path.len()));
    for touched in touched {
        if is_opaque(upper, &touched.path)? {
            continue;
        }
        remove(upper, &touched.path, AtFlags::REMOVEDIR, |stat| {
            // A directory that the step changed is part of the layer, even when it is empty.
            touched.mode == stat.st_mode & 0o7777
                && (touched.uid, touched.gid) == (stat.st_uid, stat.st_gid)
                && touched.mtime == (stat.st_mtime, stat.st_mtime_nsec as i64)
        })?;
    }
    Ok(())
}

/// Removes what stands at `path` of the upper directory, if it is as `expected`, and leaves the
/// directory around it with the time that it had. What the step moved, removed or filled stays.
fn remove(
    upper: BorrowedFd<'_>,
    path: &[u8],
    flags: AtFlags,
    expected: impl Fn(&rustix::fs::Stat) -> bool,
) -> io::Result<()> {
    let cut = path.iter().rposition(|&byte| byte == b'/');
    let parent = cut.map_or(&b"."[..], |cut| &path[..cut]);
    let name = OsStr::from_bytes(&path[cut.map_or(0, |cut| cut + 1)..]);
    let Some(parent) = open(upper, parent)? else {
        return Ok(());
    };
    let before = rustix::fs::fstat(&parent)?;
    match rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if expected(&stat) => {}
        Ok(_) | Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    match rustix::fs::unlinkat(&parent, name, flags) {
        Ok(()) => {}
        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT | Errno::NOTDIR | Errno::ISDIR) => {
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    }
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: before.st_atime,
            tv_nsec: before.st_atime_nsec as _,
        },
        last_modification: Timespec {
            tv_sec: before.st_mtime,
            tv_nsec: before.st_mtime_nsec as _,
        },
    };
    Ok(rustix::fs::futimens(&parent, &times)?)
}

/// Whether a directory hides what the lowers have in it.
fn is_opaque(upper: BorrowedFd<'_>, path: &[u8]) -> io::Result<bool> {
    let Some(directory) = open(upper, path)? else {
        return Ok(false);
    };
    let mut value = [0_u8; 4];
    match rustix::fs::fgetxattr(&directory, "user.overlay.opaque", &mut value) {
        Ok(_) => Ok(true),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A directory below the upper one, without following anything that the step may have put there.
fn open(upper: BorrowedFd<'_>, path: &[u8]) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match rustix::fs::openat2(
        upper,
        OsStr::from_bytes(path),
        flags,
        Mode::empty(),
        resolve,
    ) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
