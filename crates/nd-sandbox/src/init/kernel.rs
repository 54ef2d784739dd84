//! `/proc` and `/sys`: there, but nothing of the machine can be changed or learned through them.

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use nd_namespace::{Attributes, Filesystem, attach, clone_tree, set_attributes};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags},
    io::Errno,
};

use super::{Failure, failure, root::Workbench, target::Targets};

/// What container engines hide of `/proc`.
const HIDDEN: &[&str] = &[
    "acpi",
    "asound",
    "interrupts",
    "kcore",
    "keys",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
];

/// What container engines make read-only of `/proc`.
const READ_ONLY: &[&str] = &["bus", "fs", "irq", "sys", "sysrq-trigger"];

/// What container engines hide of `/sys`.
const HIDDEN_SYS: &[&str] = &["firmware", "devices/virtual/powercap"];

/// Mounts `/proc`.
pub(super) fn proc(targets: &mut Targets<'_>, bench: &Workbench) -> Result<(), Failure> {
    let attributes = Attributes::DATA;
    let proc = match Filesystem::new("proc").and_then(|proc| proc.mount(attributes)) {
        Ok(proc) => proc,
        // In a container the host's own /proc is covered in places, and the kernel gives nobody there
        // a new one without covers. Then the covered one has to do.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            clone_tree(CWD, c"/proc", true)
                .and_then(|proc| {
                    set_attributes(proc.as_fd(), attributes, false)?;
                    Ok(proc)
                })
                .map_err(failure("mount `/proc`"))?
        }
        Err(error) => return Err(failure("mount `/proc`")(error)),
    };
    let target = targets
        .open(b"/proc", true)
        .map_err(failure("find `/proc` in the root file system"))?;
    attach(proc.as_fd(), target.as_fd()).map_err(failure("mount `/proc`"))?;
    let covers = Covers::new(bench)?;
    for name in HIDDEN {
        covers
            .hide(proc.as_fd(), name)
            .map_err(failure(format!("hide `/proc/{name}`")))?;
    }
    for name in READ_ONLY {
        read_only(proc.as_fd(), name).map_err(failure(format!("make `/proc/{name}` read-only")))?;
    }
    Ok(())
}

/// Mounts `/sys`: the host's, read-only to its last corner.
pub(super) fn sys(targets: &mut Targets<'_>, bench: &Workbench) -> Result<(), Failure> {
    let sys = match clone_tree(CWD, c"/sys", true) {
        Ok(sys) => sys,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failure("mount `/sys`")(error)),
    };
    set_attributes(sys.as_fd(), Attributes::DATA.read_only(), true)
        .map_err(failure("make `/sys` read-only"))?;
    let target = targets
        .open(b"/sys", true)
        .map_err(failure("find `/sys` in the root file system"))?;
    attach(sys.as_fd(), target.as_fd()).map_err(failure("mount `/sys`"))?;
    let covers = Covers::named(bench, "sys")?;
    for name in HIDDEN_SYS {
        covers
            .hide(sys.as_fd(), name)
            .map_err(failure(format!("hide `/sys/{name}`")))?;
    }
    Ok(())
}

/// Nothing, as a directory, to be mounted over others.
struct Covers {
    empty: OwnedFd,
}

impl Covers {
    fn new(bench: &Workbench) -> Result<Self, Failure> {
        Self::named(bench, "proc")
    }

    fn named(bench: &Workbench, name: &str) -> Result<Self, Failure> {
        let empty = bench.directory(&format!("empty-{name}"))?;
        Ok(Self { empty })
    }

    fn hide(&self, mount: BorrowedFd<'_>, name: &str) -> io::Result<()> {
        let Some(target) = find(mount, name)? else {
            return Ok(());
        };
        let stat = rustix::fs::fstat(&target)?;
        let cover = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let cover = clone_tree(self.empty.as_fd(), c"", false)?;
            set_attributes(cover.as_fd(), Attributes::DATA.read_only(), false)?;
            cover
        } else {
            clone_tree(CWD, c"/dev/null", false)?
        };
        attach(cover.as_fd(), target.as_fd())
    }
}

fn read_only(mount: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let Some(target) = find(mount, name)? else {
        return Ok(());
    };
    let name = CString::new(name)?;
    let copy = clone_tree(mount, &name, true)?;
    set_attributes(copy.as_fd(), Attributes::DATA.read_only(), true)?;
    attach(copy.as_fd(), target.as_fd())
}

/// What a kernel may or may not have.
fn find(mount: BorrowedFd<'_>, name: &str) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(mount, name, flags, Mode::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
