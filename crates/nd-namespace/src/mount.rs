//! Mounts as descriptors: made, changed and attached without a path of the host.
#![expect(unsafe_code, reason = "mount_setattr has no safe wrapper in rustix")]

use std::{
    ffi::{CStr, OsStr},
    io,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
};

use rustix::{
    fs::{CWD, Mode, OFlags},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
        OpenTreeFlags, UnmountFlags,
    },
};

/// What a mount forbids.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Writing.
    pub read_only: bool,
    /// Devices.
    pub no_devices: bool,
    /// Set-id bits and file capabilities.
    pub no_set_id: bool,
    /// Execution.
    pub no_exec: bool,
}

impl Attributes {
    /// Nothing is forbidden.
    pub const NONE: Self = Self {
        read_only: false,
        no_devices: false,
        no_set_id: false,
        no_exec: false,
    };
    /// Everything but writing is forbidden: for directories of data.
    pub const DATA: Self = Self {
        read_only: false,
        no_devices: true,
        no_set_id: true,
        no_exec: true,
    };

    /// The same, and not to be written.
    #[must_use]
    pub const fn read_only(self) -> Self {
        Self {
            read_only: true,
            ..self
        }
    }

    fn flags(self) -> MountAttrFlags {
        let mut flags = MountAttrFlags::empty();
        flags.set(MountAttrFlags::MOUNT_ATTR_RDONLY, self.read_only);
        flags.set(MountAttrFlags::MOUNT_ATTR_NODEV, self.no_devices);
        flags.set(MountAttrFlags::MOUNT_ATTR_NOSUID, self.no_set_id);
        flags.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, self.no_exec);
        flags
    }
}

/// A file system of the kernel that is about to be mounted.
#[derive(Debug)]
pub struct Filesystem {
    context: OwnedFd,
}

impl Filesystem {
    /// One of this kind: `tmpfs`, `proc`, `devpts`, `mqueue`, `overlay`.
    pub fn new(kind: &str) -> io::Result<Self> {
        let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        Ok(Self { context })
    }

    /// Sets an option that has a value.
    pub fn set(self, key: &str, value: &[u8]) -> io::Result<Self> {
        let set = rustix::mount::fsconfig_set_string(self.context.as_fd(), key, value);
        set.map_err(|error| self.explained(error))?;
        Ok(self)
    }

    /// Sets an option that has none.
    pub fn flag(self, key: &str) -> io::Result<Self> {
        let set = rustix::mount::fsconfig_set_flag(self.context.as_fd(), key);
        set.map_err(|error| self.explained(error))?;
        Ok(self)
    }

    /// Mounts it nowhere yet: the descriptor is its root.
    pub fn mount(self, attributes: Attributes) -> io::Result<OwnedFd> {
        rustix::mount::fsconfig_create(self.context.as_fd())
            .map_err(|error| self.explained(error))?;
        rustix::mount::fsmount(
            self.context.as_fd(),
            FsMountFlags::FSMOUNT_CLOEXEC,
            attributes.flags(),
        )
        .map_err(|error| self.explained(error))
    }

    /// The error with what the kernel wrote down about it.
    fn explained(&self, error: Errno) -> io::Error {
        let mut text = String::new();
        let mut buffer = [0; 1024];
        // One message for each read; the end is an error.
        while let Ok(count) = rustix::io::read(&self.context, &mut buffer) {
            if count == 0 {
                break;
            }
            text.push_str(if text.is_empty() { "" } else { ", " });
            text.push_str(String::from_utf8_lossy(&buffer[..count]).trim());
        }
        if text.is_empty() {
            error.into()
        } else {
            io::Error::new(error.kind(), format!("{error} ({text})"))
        }
    }
}

/// How many lowers an overlay takes.
pub const MAX_LOWERS: usize = 500;

/// Mounts an overlay of `lowers` (the topmost first) and, to take changes, `upper` and `work`; the
/// descriptor is its root, attached nowhere. All must be mounted in this mount namespace.
///
/// `volatile`: nothing is written to disk on behalf of programs that ask for it; whoever wants to
/// keep the upper directory calls `syncfs` once. Attributes of the overlay are `user.overlay.*`.
/// Directories are not redirected: renaming one of a lower is answered with EXDEV, as tools expect.
pub fn overlay(
    lowers: &[BorrowedFd<'_>],
    changes: Option<(BorrowedFd<'_>, BorrowedFd<'_>)>,
    attributes: Attributes,
) -> io::Result<OwnedFd> {
    // Marks imply that neither redirects nor copies of metadata alone are made.
    either(lowers, |overlay| {
        let mut overlay = overlay;
        if let Some((upper, work)) = changes {
            overlay = overlay
                .set("upperdir", name(upper).as_bytes())?
                .set("workdir", name(work).as_bytes())?
                .flag("volatile")?;
        }
        overlay.flag("userxattr")?.mount(attributes)
    })
}

/// Mounts `lowers` (the topmost first) as one tree that nothing is written to, as [`overlay`] does. No attribute of theirs
/// is looked at: none of them says that something is hidden or elsewhere, and a server of a file system is
/// not asked for any.
pub fn union(lowers: &[BorrowedFd<'_>], attributes: Attributes) -> io::Result<OwnedFd> {
    // The other kind of attributes, which an ordinary user's overlay cannot read.
    either(lowers, |overlay| overlay.mount(attributes))
}

/// Makes an overlay in whichever way this kernel is told lowers.
fn either(
    lowers: &[BorrowedFd<'_>],
    mount: impl Fn(Filesystem) -> io::Result<OwnedFd>,
) -> io::Result<OwnedFd> {
    match stack(lowers, Lowers::Each).and_then(&mount) {
        // Linux before 6.5, which says so only now: it takes any option and looks at them at the end.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            stack(lowers, Lowers::Together).and_then(mount)
        }
        other => other,
    }
}

fn name(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// How an overlay is told its lowers.
#[derive(Clone, Copy)]
enum Lowers {
    /// By one option for each.
    Each,
    /// By one option for all.
    Together,
}

fn stack(lowers: &[BorrowedFd<'_>], how: Lowers) -> io::Result<Filesystem> {
    let mut overlay = Filesystem::new("overlay")?;
    match how {
        Lowers::Each => {
            for lower in lowers {
                overlay = overlay.set("lowerdir+", name(*lower).as_bytes())?;
            }
        }
        Lowers::Together => {
            let all: Vec<_> = lowers.iter().copied().map(name).collect();
            overlay = overlay.set("lowerdir", all.join(":").as_bytes())?;
        }
    }
    Ok(overlay)
}

/// Copies the mount of `path` below `from` (with what is mounted in it, if `recursive`); the
/// descriptor is the copy's root, attached nowhere. An empty path means `from` itself.
pub fn clone_tree(from: BorrowedFd<'_>, path: &CStr, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    Ok(rustix::mount::open_tree(from, path, flags)?)
}

/// Forbids what `attributes` forbid on a mount (and those in it, if `recursive`); what was forbidden
/// before stays so.
pub fn set_attributes(
    mount: BorrowedFd<'_>,
    attributes: Attributes,
    recursive: bool,
) -> io::Result<()> {
    let change = libc::mount_attr {
        attr_set: u64::from(attributes.flags().bits()),
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let recursive = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the structure is of the size that is passed, the path is a string.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            &raw const change,
            size_of::<libc::mount_attr>(),
        )
    };
    if done == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Attaches a mount onto `target`, an open directory or file of this mount namespace.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount, "", target, "", flags)?)
}

/// From now on mounts of this namespace reach no other, while those made outside still come in.
pub fn make_slave() -> io::Result<()> {
    Ok(rustix::mount::mount_change(
        "/",
        MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
    )?)
}

/// From now on mounts of this namespace and of others do not reach each other.
pub fn make_private() -> io::Result<()> {
    Ok(rustix::mount::mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?)
}

/// Makes `root`, the root of an attached mount, the root of everything and forgets the old one, so
/// that no path leads there. The working directory is the new root afterwards.
pub fn pivot(root: BorrowedFd<'_>) -> io::Result<()> {
    let old = rustix::fs::openat(
        CWD,
        "/",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    rustix::process::fchdir(root)?;
    // The old root lands on top of the new one and is taken off again: no directory is needed for it.
    rustix::process::pivot_root(".", ".")?;
    rustix::process::fchdir(&old)?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    // That was the topmost of what lies on the old root's root; at the end it is the old root itself,
    // which is then no mount of this namespace any more.
    loop {
        match rustix::mount::unmount(".", UnmountFlags::DETACH) {
            Ok(()) => {}
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    rustix::process::chdir(OsStr::from_bytes(b"/"))?;
    Ok(())
}
