//! Making directories of the caller part of the engine's mount namespace.
//!
//! The kernel mounts only what belongs to the mount namespace of the process that asks. A descriptor
//! that was opened before, or by somebody else, does not.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use nd_namespace::{Attributes, Filesystem, attach, clone_tree, set_attributes};
use rustix::{
    fs::{Access, AtFlags, CWD, FileType, MemfdFlags, Mode, OFlags, SealFlags},
    io::Errno,
    mount::UnmountFlags,
};

use super::open_path;

/// Directories that every system has and that the engine does not need to see: the first one is
/// covered by our board.
pub(crate) const PLACES: &[&str] = &["/mnt", "/media", "/srv", "/opt", "/home", "/tmp"];

/// An empty file system of ours, for mounts that must be somewhere.
static BOARD: OnceLock<OwnedFd> = OnceLock::new();
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Puts the board up.
pub(super) fn board() -> io::Result<()> {
    let board = workbench()?;
    // The engine calls this once.
    let _ = BOARD.set(board);
    Ok(())
}

/// A new empty file system, mounted over a directory of the host in this mount namespace.
pub(crate) fn workbench() -> io::Result<OwnedFd> {
    let board = Filesystem::new("tmpfs")?
        .set("mode", b"0755")?
        .mount(Attributes::DATA)?;
    for place in PLACES {
        match open_path(OsStr::new(place)) {
            Ok(place) => {
                attach(board.as_fd(), place.as_fd())?;
                return Ok(board);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Attaches a mount somewhere, so that it belongs to this mount namespace, until it is dropped.
pub(super) fn attach_anywhere(mount: &OwnedFd) -> io::Result<Attached> {
    let board = BOARD.get().ok_or(io::ErrorKind::NotFound)?;
    let name = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
    let stat = rustix::fs::fstat(mount)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        rustix::fs::mkdirat(board, &name, Mode::from_raw_mode(0o700))?;
    } else {
        rustix::fs::openat(
            board,
            &name,
            OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::from_raw_mode(0o600),
        )?;
    }
    let place = rustix::fs::openat(
        board,
        &name,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    attach(mount.as_fd(), place.as_fd())?;
    Ok(Attached {
        name: format!("/proc/self/fd/{}", mount.as_raw_fd()),
        keep: false,
    })
}

/// A mount on the board; taken off when dropped, before its descriptor.
#[derive(Debug)]
pub(super) struct Attached {
    name: String,
    keep: bool,
}

impl Attached {
    /// Leaves it there until the engine ends.
    pub(super) fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if !self.keep {
            // It is gone with the namespace at the latest.
            let _ = rustix::mount::unmount(&self.name, UnmountFlags::DETACH);
        }
    }
}

/// Takes over descriptors of the caller, which come in pairs of one and a copy of its mount: as they
/// are, or opened again by their names in this mount namespace. Where there is no name, or none that
/// we may use, the copy is left.
pub(super) fn by_name(pairs: Vec<OwnedFd>) -> Vec<Result<OwnedFd, OwnedFd>> {
    let mut pairs = pairs.into_iter();
    let mut taken = Vec::with_capacity(pairs.len() / 2);
    while let (Some(fd), Some(copy)) = (pairs.next(), pairs.next()) {
        taken.push(match needs_namespace(&fd) {
            Ok(true) => reopen(&fd).map_err(|_| copy),
            Ok(false) => Ok(fd),
            Err(_) => Err(copy),
        });
    }
    taken
}

fn needs_namespace(fd: &OwnedFd) -> Result<bool, Errno> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode);
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(kind == FileType::Directory || flags.contains(OFlags::PATH))
}

/// Takes over what is left by attaching it. Needs the identity inside: what belongs to the one we
/// came with cannot be made here.
pub(super) fn by_mount(taken: Vec<Result<OwnedFd, OwnedFd>>) -> io::Result<Vec<OwnedFd>> {
    let attach = |copy: OwnedFd| -> io::Result<OwnedFd> {
        attach_anywhere(&copy)?.keep = true;
        Ok(copy)
    };
    taken.into_iter().map(|fd| fd.or_else(attach)).collect()
}

/// Opens by name what a descriptor is open on, and makes sure that it is the same.
fn reopen(fd: &OwnedFd) -> io::Result<OwnedFd> {
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let name = rustix::fs::readlink(link, Vec::new())?.into_bytes();
    let again = open_path(OsStr::from_bytes(&name))?;
    let (old, new) = (rustix::fs::fstat(fd)?, rustix::fs::fstat(&again)?);
    if (old.st_dev, old.st_ino) == (new.st_dev, new.st_ino) {
        Ok(again)
    } else {
        Err(Errno::STALE.into())
    }
}

/// This program, opened such that nobody who runs it can write to it: through a read-only mount, or
/// as a sealed copy in memory when it has no name any more.
///
/// `/proc/self/exe` of a process that runs it would otherwise be a way to a file of the host.
pub(super) fn own_program() -> io::Result<OwnedFd> {
    let exe = open_path(OsStr::new("/proc/self/exe"))?;
    let read_only = reopen(&exe)
        .and_then(|exe| clone_tree(exe.as_fd(), c"", false))
        .and_then(|exe| {
            set_attributes(exe.as_fd(), Attributes::NONE.read_only(), false)?;
            Ok(exe)
        });
    match read_only {
        Ok(exe) => Ok(exe),
        Err(_) => sealed_copy(),
    }
}

/// `exe`, or a copy when the identity that we have now may not execute it.
pub(super) fn executable(exe: OwnedFd) -> io::Result<OwnedFd> {
    let name = format!("/proc/self/fd/{}", exe.as_raw_fd());
    match rustix::fs::accessat(CWD, &name, Access::EXEC_OK, AtFlags::EACCESS) {
        Ok(()) => Ok(exe),
        Err(_) => sealed_copy(),
    }
}

fn sealed_copy() -> io::Result<OwnedFd> {
    let mut from: File = rustix::fs::openat(
        CWD,
        "/proc/self/exe",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?
    .into();
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Where files in memory are not executable unless asked for; older kernels do not know the flag.
    let copy = rustix::fs::memfd_create("nd-sandbox", flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create("nd-sandbox", flags))?;
    let mut to: File = copy.try_clone()?.into();
    io::copy(&mut from, &mut to)?;
    drop(to);
    rustix::fs::fcntl_add_seals(
        &copy,
        SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL,
    )?;
    Ok(copy)
}
