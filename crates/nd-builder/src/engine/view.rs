//! Trees on top of each other as one, mounted nowhere: the mount lives as long as its descriptor.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{Mode, OFlags},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
        fsconfig_set_string, fsmount, fsopen,
    },
};

/// The trees, lowest first, read-only; `empty` shows them if there are none.
pub(crate) fn read_only(lowers: &[OwnedFd], empty: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    match lowers {
        [] => reopen(empty),
        [one] => reopen(std::os::fd::AsFd::as_fd(one)),
        _ => mount(lowers, None),
    }
}

/// The trees, lowest first, with changes kept in the directory `upper`.
pub(crate) fn writable(
    lowers: &[OwnedFd],
    upper: BorrowedFd<'_>,
    work: BorrowedFd<'_>,
) -> io::Result<OwnedFd> {
    mount(lowers, Some((upper, work)))
}

fn mount(
    lowers: &[OwnedFd],
    upper: Option<(BorrowedFd<'_>, BorrowedFd<'_>)>,
) -> io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for lower in lowers.iter().rev() {
        fsconfig_set_string(&context, "lowerdir+", name(lower.as_raw_fd()))?;
    }
    if let Some((upper, work)) = upper {
        fsconfig_set_string(&context, "upperdir", name(upper.as_raw_fd()))?;
        fsconfig_set_string(&context, "workdir", name(work.as_raw_fd()))?;
        fsconfig_set_flag(&context, "volatile")?;
    }
    // As the sandbox mounts them: marks that an ordinary user may set, and an upper directory that
    // is complete without what lies below.
    fsconfig_set_flag(&context, "userxattr")?;
    for (key, value) in [
        ("redirect_dir", "nofollow"),
        ("metacopy", "off"),
        ("index", "off"),
    ] {
        fsconfig_set_string(&context, key, value)?;
    }
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID;
    Ok(fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        attributes,
    )?)
}

fn name(fd: i32) -> String {
    format!("/proc/self/fd/{fd}")
}

fn reopen(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(fd, ".", flags, Mode::empty())?)
}
