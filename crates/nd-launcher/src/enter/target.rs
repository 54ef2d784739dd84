//! Places in an image that nobody vouches for.

use std::{
    ffi::{OsStr, OsString},
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags, openat2, readlink},
    io::Errno,
};

/// Opens what stands at `path` in `root`; its symlinks lead nowhere else.
pub(super) fn open_in(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = path.strip_prefix("/").unwrap_or(path);
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    loop {
        match openat2(
            root,
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        ) {
            // Something was renamed meanwhile.
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Where a path leads in an image.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Without symlinks, from the image's root.
    pub(super) path: PathBuf,
    /// Whether something is there.
    pub(super) exists: bool,
}

/// Where `path` leads in the image whose root is `root`: as far as it exists without symlinks, and
/// the rest as it stands.
pub(super) fn resolve(root: BorrowedFd<'_>, path: &Path) -> Result<Target, Errno> {
    if path
        .components()
        .any(|part| matches!(part, Component::ParentDir))
    {
        return Err(Errno::INVAL);
    }
    let top = path_of(root)?;
    let mut missing: Vec<&OsStr> = Vec::new();
    let mut at = path;
    loop {
        match open_named(root, at) {
            Ok(found) => {
                let found = found.strip_prefix(&top).map_err(|_| Errno::XDEV)?;
                let mut path = found.to_owned();
                path.extend(missing.iter().rev());
                return Ok(Target {
                    path,
                    exists: missing.is_empty(),
                });
            }
            Err(Errno::NOENT) => {
                missing.push(at.file_name().ok_or(Errno::NOENT)?);
                at = at.parent().ok_or(Errno::NOENT)?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// How often something is opened that the kernel calls removed.
const TRIES: usize = 32;
/// What follows the path of something that was removed, or that a FUSE file system was asked about
/// again by somebody else: a name that came back is another entry of the kernel's.
const REMOVED: &[u8] = b" (deleted)";

/// The path of what stands at `path` in `root`.
fn open_named(root: BorrowedFd<'_>, path: &Path) -> Result<PathBuf, Errno> {
    let mut tries = 0;
    loop {
        let found = path_of(open_in(root, path, OFlags::PATH)?.as_fd())?;
        tries += 1;
        // A file may really be called that.
        if tries == TRIES || !found.as_os_str().as_bytes().ends_with(REMOVED) {
            return Ok(found);
        }
    }
}

/// The path of something open.
fn path_of(fd: BorrowedFd<'_>) -> Result<PathBuf, Errno> {
    let path = readlink(format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new())?;
    Ok(OsString::from_vec(path.into_bytes()).into())
}
