//! The image of a SIF file as a folder, shown by a program in user space.
//!
//! The FUSE device is opened and mounted in new namespaces, and served from the old ones: a server
//! whose root is in the file system that it serves waits for itself. The next command joins the
//! namespaces as long as a holder keeps them; with the last process in them, the kernel tells the
//! server to end.

use std::{
    ffi::OsStr,
    fs::File,
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
    time::{Duration, Instant},
};

use nd_namespace::{Filesystem, Namespaces, SingleThreaded, attach, loop_device};
use nd_sif::{Extra, FsType, Sif};
use rustix::{
    fs::{AtFlags, FlockOperation, Mode, OFlags, flock, fstat, open, openat, statat, unlinkat},
    io::Errno,
    process::Pid,
};

use super::{
    Base, Checked, Ids, Refusal, failed,
    holder::{self, Place},
    root::IMAGE,
};

/// How long a start waits for another one that makes the same mount.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at that.
const PAUSE: Duration = Duration::from_millis(2);

/// Where an image is in its namespaces until a root is made of it: a folder that every machine has, and
/// that is there again once the image is taken off, so that nothing has to be made on the host.
pub(super) const SHOWN: &str = "/tmp";

/// How SIF files are shown.
pub(super) struct Settings<'a> {
    /// A `squashfuse_ll`.
    pub(super) server: &'a Path,
    /// Seconds for which the mount is kept.
    pub(super) keep: u32,
    /// The user's folder for sockets.
    pub(super) runtime: Option<&'a Path>,
    /// What names the job that this is part of.
    pub(super) job: &'a OsStr,
    /// The file, where it is open already.
    pub(super) file: Option<&'a OwnedFd>,
}

/// Mounts the image, or finds where it is mounted already: namespaces in which it is at [`SHOWN`].
pub(super) fn show(
    single: &SingleThreaded,
    ids: Ids,
    image: &Path,
    settings: &Settings<'_>,
) -> Result<Base, Refusal> {
    let opened;
    let file = if let Some(file) = settings.file {
        file
    } else {
        opened = open_image(image)?;
        &opened
    };
    let start = || start(single, ids, file, settings.server);
    // Without a folder of one's own, nobody could join: the mount is this command's alone.
    let place = match settings.keep {
        0 => None,
        _ => Place::new(ids, settings.runtime, settings.job, file).ok(),
    };
    let Some(place) = place else {
        return Ok(start()?.0);
    };
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if let Some(base) = holder::join(&place, ids.uid) {
            return Ok(base);
        }
        // The same where it cannot be written to.
        let Ok(lock) = place.lock() else { break };
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            // A holder that ended has removed it.
            Ok(()) if !place.has(&lock) => continue,
            Ok(()) => {
                // Somebody may have been quicker.
                if let Some(base) = holder::join(&place, ids.uid) {
                    return Ok(base);
                }
                let started = start();
                let kept = started.as_ref().is_ok_and(|(base, server)| {
                    holder::start(single, &place, base, *server, settings.keep).is_ok()
                });
                if !kept {
                    place.unlock();
                }
                return Ok(started?.0);
            }
            Err(_) => {}
        }
        std::thread::sleep(PAUSE);
    }
    Ok(start()?.0)
}

/// Mounts the image in new namespaces and starts its server.
fn start(
    single: &SingleThreaded,
    ids: Ids,
    file: &OwnedFd,
    server: &Path,
) -> Result<(Base, Pid), Refusal> {
    let (offset, _) = partition(file)?;
    let (base, device) = single
        .beside(Namespaces::NEWUSER | Namespaces::NEWNS, || {
            let base = Base::new(ids)?;
            let device = mount(ids)?;
            Ok::<_, Refusal>((base, device))
        })
        .map_err(failed("make a user namespace"))??;
    let Ids { uid, gid } = ids;
    let options = format!("ro,uid={uid},gid={gid},offset={offset}");
    // Ours is closed at the end of this function: when the server ends, so does the mount.
    let server = holder::start_server(single, server, &options, &device, file)?;
    Ok((base, server))
}

/// Mounts the image at [`SHOWN`], in the namespaces of this process, which is root's.
pub(super) fn mount_by_kernel(
    image: &Path,
    checked: Option<&Checked>,
) -> Result<&'static Path, Refusal> {
    let opened;
    let file = if let Some(checked) = checked {
        checked.file()
    } else {
        opened = open_image(image)?;
        &opened
    };
    let (offset, size) = partition(file)?;
    let mounted = || {
        let (path, _device) = loop_device(file.as_fd(), offset, size)?;
        Filesystem::new("squashfs")?
            .set("source", path.as_os_str().as_bytes())?
            .flag("ro")?
            .mount(IMAGE)
    };
    show_at(&mounted().map_err(failed("mount the image"))?)?;
    Ok(Path::new(SHOWN))
}

/// Attaches a mount at [`SHOWN`].
fn show_at(root: &OwnedFd) -> Result<(), Refusal> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let target = open(SHOWN, flags, Mode::empty()).map_err(failed("find the mount point"))?;
    attach(root.as_fd(), target.as_fd()).map_err(failed("mount the image"))
}

fn open_image(image: &Path) -> Result<OwnedFd, Refusal> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    open(image, flags, Mode::empty()).map_err(failed("open the image"))
}

/// Where the squashfs is in a SIF file, and how long it is.
fn partition(file: &OwnedFd) -> Result<(u64, u64), Refusal> {
    let damaged = |text: String| failed("read the image")(std::io::Error::other(text));
    let file = file.try_clone().map_err(failed("read the image"))?;
    let sif = Sif::open(File::from(file)).map_err(|error| damaged(error.to_string()))?;
    let found = sif.primary_partition();
    found
        .filter(|found| {
            matches!(
                found.extra,
                Extra::Partition {
                    fs: FsType::Squashfs,
                    ..
                }
            )
        })
        .map(|found| (found.offset, found.size))
        .ok_or_else(|| damaged("it has no squashfs".to_owned()))
}

/// A new FUSE device and its mount, attached nowhere, in the namespaces of this process.
fn device(Ids { uid, gid }: Ids) -> Result<(OwnedFd, OwnedFd), Refusal> {
    let device = open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed("open `/dev/fuse`"))?;
    let number = |number: u32| number.to_string().into_bytes();
    let mounted = || {
        Filesystem::new("fuse")?
            .set("source", b"squashfuse")?
            .set("fd", device.as_raw_fd().to_string().as_bytes())?
            .set("rootmode", b"40000")?
            .set("user_id", &number(uid))?
            .set("group_id", &number(gid))?
            .mount(IMAGE)
    };
    let root = mounted().map_err(failed("mount the image"))?;
    Ok((device, root))
}

/// Tries to mount a FUSE device.
pub(super) fn probe(ids: Ids) -> Result<(), Refusal> {
    device(ids).map(drop)
}

/// Mounts a new FUSE device at [`SHOWN`], in the namespaces of this process.
fn mount(ids: Ids) -> Result<OwnedFd, Refusal> {
    let (device, root) = device(ids)?;
    show_at(&root)?;
    Ok(device)
}

impl Place {
    /// The file whose lock says who makes the mount.
    fn lock(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(
            &self.folder,
            self.lock_name(),
            flags,
            Mode::RUSR | Mode::WUSR,
        )
    }

    /// Whether this is still the file of that name.
    fn has(&self, lock: &OwnedFd) -> bool {
        let named = statat(&self.folder, self.lock_name(), AtFlags::SYMLINK_NOFOLLOW);
        match (fstat(lock), named) {
            (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
            _ => false,
        }
    }

    /// Forgets the lock.
    fn unlock(&self) {
        let _ = unlinkat(&self.folder, self.lock_name(), AtFlags::empty());
    }
}
