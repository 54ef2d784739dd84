//! The root of a step, from a mount that is nowhere to `/`.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use nd_namespace::{Attributes, attach, clone_tree, make_private, pivot, set_attributes};
use rustix::{
    fs::{CWD, FileType, Gid, Mode, OFlags, Uid},
    io::Errno,
};

use super::{Failure, devices, failure, kernel, target::Targets};
use crate::{
    engine::workbench,
    plan::{Changes, Plan, PlannedMount, PlannedSource},
};

/// Makes everything that the step sees and enters it. Returns what had to be made in the root.
pub(super) fn build(plan: &Plan, fds: &[OwnedFd]) -> Result<Changes, Failure> {
    make_private().map_err(failure("detach the mount namespace from the engine's"))?;
    let bench = Workbench::new()?;
    let root = at(fds, plan.root)?;
    let upper = plan.upper.map(|index| at(fds, index)).transpose()?;
    let place = bench.directory("root")?;
    attach(root, place.as_fd()).map_err(failure("attach the root file system"))?;
    let mut targets =
        Targets::new(root, upper).map_err(failure("look into the root file system"))?;

    kernel::proc(&mut targets, &bench)?;
    kernel::sys(&mut targets, &bench)?;
    devices::furnish(&mut targets)?;
    if !plan.own_network {
        resolver(&mut targets)?;
    }
    hosts(&mut targets, &bench, &plan.hostname)?;
    for (number, mount) in plan.mounts.iter().enumerate() {
        add(&mut targets, &bench, number, mount, fds).map_err(|error| {
            let at = mount.target.escape_ascii();
            failure(format!("mount at `{at}`"))(error)
        })?;
    }
    if plan.read_only {
        set_attributes(root, Attributes::NONE.read_only(), false)
            .map_err(failure("make the root file system read-only"))?;
    }
    rustix::system::sethostname(plan.hostname.as_bytes()).map_err(failure("set the host name"))?;
    if plan.own_network {
        nd_namespace::loopback_up().map_err(failure("switch the loopback interface on"))?;
    }
    pivot(root).map_err(failure("enter the root file system"))?;
    Ok(targets.changes())
}

pub(super) fn at(fds: &[OwnedFd], index: usize) -> Result<BorrowedFd<'_>, Failure> {
    fds.get(index)
        .map(|fd| fd.as_fd())
        .ok_or_else(|| failure("read the plan")(Errno::BADF))
}

/// A place for things that are mounted somewhere else later; gone with the old root.
#[derive(Debug)]
pub(super) struct Workbench {
    fd: OwnedFd,
}

impl Workbench {
    fn new() -> Result<Self, Failure> {
        let fd = workbench().map_err(failure("make a place for mounts"))?;
        Ok(Self { fd })
    }

    /// A new empty directory.
    pub(super) fn directory(&self, name: &str) -> Result<OwnedFd, Failure> {
        let make = || {
            rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o755))?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::openat(&self.fd, name, flags, Mode::empty())
        };
        make().map_err(failure("make a place for mounts"))
    }

    /// A mount of a new file of `content`, that belongs to nobody yet and cannot be written.
    fn file(
        &self,
        name: &str,
        content: &[u8],
        mode: u32,
        (uid, gid): (u32, u32),
    ) -> io::Result<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(mode & 0o777);
        let fd = rustix::fs::openat(&self.fd, name, flags, mode)?;
        let mut file = File::from(fd);
        file.write_all(content)?;
        // What is made belongs to root, who may be the only one there is.
        if (uid, gid) != (0, 0) {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            rustix::fs::fchown(&file, Some(uid), Some(gid))?;
        }
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty())?;
        let mount = clone_tree(fd.as_fd(), c"", false)?;
        set_attributes(mount.as_fd(), Attributes::DATA.read_only(), false)?;
        Ok(mount)
    }
}

/// The host's resolver settings, wherever its `/etc/resolv.conf` leads.
fn resolver(targets: &mut Targets<'_>) -> Result<(), Failure> {
    let source = match clone_tree(CWD, c"/etc/resolv.conf", false) {
        Ok(source) => source,
        // A machine without a resolver has none to offer.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failure("read the host's `/etc/resolv.conf`")(error)),
    };
    set_attributes(source.as_fd(), Attributes::DATA.read_only(), false)
        .map_err(failure("make `/etc/resolv.conf` read-only"))?;
    let target = targets
        .open(b"/etc/resolv.conf", false)
        .map_err(failure("find `/etc/resolv.conf` in the root file system"))?;
    attach(source.as_fd(), target.as_fd()).map_err(failure("mount `/etc/resolv.conf`"))
}

/// The host's table of names, with our own name in front: programs look themselves up.
fn hosts(targets: &mut Targets<'_>, bench: &Workbench, hostname: &str) -> Result<(), Failure> {
    let mut text = b"127.0.0.1\tlocalhost\n::1\tlocalhost\n".to_vec();
    if hostname != "localhost" {
        text.extend_from_slice(format!("127.0.0.1\t{hostname}\n").as_bytes());
    }
    if let Ok(host) = fs_err::read("/etc/hosts") {
        text.extend_from_slice(&host);
    }
    let source = bench
        .file("hosts", &text, 0o644, (0, 0))
        .map_err(failure("make `/etc/hosts`"))?;
    let target = targets
        .open(b"/etc/hosts", false)
        .map_err(failure("find `/etc/hosts` in the root file system"))?;
    attach(source.as_fd(), target.as_fd()).map_err(failure("mount `/etc/hosts`"))
}

fn add(
    targets: &mut Targets<'_>,
    bench: &Workbench,
    number: usize,
    mount: &PlannedMount,
    fds: &[OwnedFd],
) -> io::Result<()> {
    let mut attributes = Attributes {
        no_devices: true,
        no_set_id: true,
        ..Attributes::NONE
    };
    let made;
    let source = match &mount.source {
        PlannedSource::Mount(index) => {
            attributes.read_only = !mount.writable;
            at(fds, *index).map_err(|(_, error)| error)?
        }
        PlannedSource::Bytes {
            content,
            mode,
            owner,
        } => {
            made = bench.file(&format!("file{number}"), content, *mode, *owner)?;
            made.as_fd()
        }
        PlannedSource::Memory { mode } => {
            made = nd_namespace::Filesystem::new("tmpfs")?
                .set("mode", format!("{mode:o}").as_bytes())?
                .mount(attributes)?;
            targets.also_in(made.as_fd())?;
            made.as_fd()
        }
    };
    let stat = rustix::fs::fstat(source)?;
    let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let target = targets.open(&mount.target, directory)?;
    set_attributes(source, attributes, true)?;
    attach(source, target.as_fd())
}
