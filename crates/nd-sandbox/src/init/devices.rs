//! `/dev`: a file system of its own with the devices that every program expects and no others.

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use nd_namespace::{Attributes, Filesystem, attach, clone_tree, set_attributes};
use rustix::fs::{CWD, Mode, OFlags};

use super::{Failure, failure, target::Targets};

const NODES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// The group that terminals belong to in every distribution.
const TTY_GROUP: &[u8] = b"5";

/// Mounts `/dev`.
pub(super) fn furnish(targets: &mut Targets<'_>) -> Result<(), Failure> {
    let dev = memory(
        b"0755",
        Attributes {
            no_set_id: true,
            no_exec: true,
            ..Attributes::NONE
        },
    )
    .map_err(failure("mount `/dev`"))?;
    let target = targets
        .open(b"/dev", true)
        .map_err(failure("find `/dev` in the root file system"))?;
    attach(dev.as_fd(), target.as_fd()).map_err(failure("mount `/dev`"))?;
    let dev = dev.as_fd();
    for name in NODES {
        node(dev, name).map_err(failure(format!("mount `/dev/{name}`")))?;
    }
    for (name, text) in LINKS {
        rustix::fs::symlinkat(*text, dev, *name).map_err(failure(format!("make `/dev/{name}`")))?;
    }
    let pts = terminals().map_err(failure("mount `/dev/pts`"))?;
    mount(dev, "pts", &pts)?;
    let shm = memory(b"1777", Attributes::DATA).map_err(failure("mount `/dev/shm`"))?;
    mount(dev, "shm", &shm)?;
    // Not every kernel has message queues.
    if let Ok(queues) = Filesystem::new("mqueue").and_then(|queues| queues.mount(Attributes::DATA))
    {
        mount(dev, "mqueue", &queues)?;
    }
    Ok(())
}

fn memory(mode: &[u8], attributes: Attributes) -> io::Result<OwnedFd> {
    Filesystem::new("tmpfs")?
        .set("mode", mode)?
        .mount(attributes)
}

/// Terminals of our own.
fn terminals() -> io::Result<OwnedFd> {
    let attributes = Attributes {
        no_set_id: true,
        no_exec: true,
        ..Attributes::NONE
    };
    let with = |group: Option<&[u8]>| {
        let mut pts = Filesystem::new("devpts")?
            .set("ptmxmode", b"0666")?
            .set("mode", b"0620")?;
        if let Some(group) = group {
            pts = pts.set("gid", group)?;
        }
        pts.mount(attributes)
    };
    // Where there is one id only, the group has none.
    with(Some(TTY_GROUP)).or_else(|_| with(None))
}

/// The host's device of this name.
fn node(dev: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let path = CString::new(format!("/dev/{name}"))?;
    let device = match clone_tree(CWD, &path, false) {
        Ok(device) => device,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let attributes = Attributes {
        no_set_id: true,
        no_exec: true,
        ..Attributes::NONE
    };
    set_attributes(device.as_fd(), attributes, false)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::openat(dev, name, flags, Mode::from_raw_mode(0o666))?;
    attach(device.as_fd(), open(dev, name)?.as_fd())
}

/// Attaches a mount to a new directory.
fn mount(dev: BorrowedFd<'_>, name: &str, what: &OwnedFd) -> Result<(), Failure> {
    let attached = rustix::fs::mkdirat(dev, name, Mode::from_raw_mode(0o755))
        .map_err(io::Error::from)
        .and_then(|()| open(dev, name))
        .and_then(|target| attach(what.as_fd(), target.as_fd()));
    attached.map_err(failure(format!("mount `/dev/{name}`")))
}

fn open(dev: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dev, name, flags, Mode::empty())?)
}
