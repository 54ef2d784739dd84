//! Places in an image that nobody vouches for.

use std::{
    ffi::{OsStr, OsString},
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStringExt as _,
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
        match open_in(root, at, OFlags::PATH) {
            Ok(found) => {
                let found = path_of(found.as_fd())?;
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

/// The path of something open.
fn path_of(fd: BorrowedFd<'_>) -> Result<PathBuf, Errno> {
    let path = readlink(format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new())?;
    Ok(OsString::from_vec(path.into_bytes()).into())
}
