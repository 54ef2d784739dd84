//! The image of a SIF file as a folder, shown by a program in user space.
//!
//! The FUSE device is opened and mounted in new namespaces, and served from the old ones: a server
//! whose root is in the file system that it serves waits for itself. The next command joins the
//! namespaces as long as a holder keeps them; with the last process in them, the kernel tells the
//! server to end.

use std::{
    fs::File,
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nd_namespace::{Filesystem, Namespaces, SingleThreaded, attach};
use nd_sif::{Extra, FsType, Sif};
use rustix::{
    fs::{
        AtFlags, FlockOperation, Mode, OFlags, flock, fstat, mkdirat, open, openat, statat,
        unlinkat,
    },
    io::Errno,
    process::Pid,
};

use super::{
    Base, Ids, Refusal, failed,
    holder::{self, Place},
    root::IMAGE,
};

/// How long a start waits for another one that makes the same mount.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at that.
const PAUSE: Duration = Duration::from_millis(2);

/// How SIF files are shown.
pub(super) struct Settings<'a> {
    /// A `squashfuse_ll`.
    pub(super) server: &'a Path,
    /// Seconds for which the mount is kept.
    pub(super) keep: u32,
    /// The user's folder for sockets.
    pub(super) runtime: Option<&'a Path>,
}

/// An image that is mounted in namespaces that can be joined.
pub(super) struct Shown {
    pub(super) base: Base,
    /// Where it is mounted there.
    pub(super) path: PathBuf,
    /// The mount point, when nobody else joins.
    pub(super) private: Option<Place>,
}

/// Mounts the image, or finds where it is mounted already.
pub(super) fn show(
    single: &SingleThreaded,
    ids: Ids,
    image: &Path,
    settings: &Settings<'_>,
) -> Result<Shown, Refusal> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = open(image, flags, Mode::empty()).map_err(failed("open the image"))?;
    let place = Place::new(ids, settings.runtime, &file)?;
    let start = |place: &Place| start(single, ids, place, &file, settings.server);
    if settings.keep == 0 {
        let place = place.private();
        let started = start(&place);
        if started.is_err() {
            place.remove_mount_point();
        }
        return Ok(Shown {
            base: started?.0,
            path: place.mount_point(),
            private: Some(place),
        });
    }
    let shown = |base| Shown {
        base,
        path: place.mount_point(),
        private: None,
    };
    let begin = Instant::now();
    loop {
        if let Some(base) = holder::join(&place, ids.uid) {
            return Ok(shown(base));
        }
        let lock = place.lock().map_err(failed("lock the image's mount"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            // A holder that ended has removed it.
            Ok(()) if !place.has(&lock) => continue,
            Ok(()) => {
                // Somebody may have been quicker.
                if let Some(base) = holder::join(&place, ids.uid) {
                    return Ok(shown(base));
                }
                let started = start(&place).and_then(|(base, server)| {
                    holder::start(single, &place, &base, server, settings.keep)?;
                    Ok(shown(base))
                });
                if started.is_err() {
                    place.remove_mount_point();
                    let _ = unlinkat(&place.folder, place.lock_name(), AtFlags::empty());
                }
                return started;
            }
            Err(Errno::WOULDBLOCK | Errno::INTR) => {}
            Err(error) => return Err(failed("lock the image's mount")(error)),
        }
        if begin.elapsed() > PATIENCE {
            return Err(failed("wait for the image's mount")(Errno::TIMEDOUT));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Mounts the image in new namespaces and starts its server.
fn start(
    single: &SingleThreaded,
    ids: Ids,
    place: &Place,
    file: &OwnedFd,
    server: &Path,
) -> Result<(Base, Pid), Refusal> {
    let offset = partition(file)?;
    match mkdirat(&place.folder, place.mount_name(), Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(failed("make a mount point")(error)),
    }
    let path = place.mount_point();
    let (base, device) = single
        .beside(Namespaces::NEWUSER | Namespaces::NEWNS, || {
            let base = Base::new(ids)?;
            let device = mount(ids, &path)?;
            Ok::<_, Refusal>((base, device))
        })
        .map_err(failed("make a user namespace"))??;
    let Ids { uid, gid } = ids;
    let options = format!("ro,uid={uid},gid={gid},offset={offset}");
    let words = [server.as_os_str().as_bytes(), options.as_bytes()];
    // Ours is closed at the end of this function: when the server ends, so does the mount.
    let server = holder::start_server(single, &words, &device, file)?;
    Ok((base, server))
}

/// Where the squashfs is in a SIF file.
fn partition(file: &OwnedFd) -> Result<u64, Refusal> {
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
        .map(|found| found.offset)
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

/// Mounts a new FUSE device at a path, in the namespaces of this process.
fn mount(ids: Ids, path: &Path) -> Result<OwnedFd, Refusal> {
    let (device, root) = device(ids)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = open(path, flags, Mode::empty()).map_err(failed("find the mount point"))?;
    let about = fstat(&target).map_err(failed("look at the mount point"))?;
    if about.st_uid != ids.uid {
        return Err(failed("use a mount point of somebody else")(Errno::PERM));
    }
    attach(root.as_fd(), target.as_fd()).map_err(failed("mount the image"))?;
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

    /// Forgets a mount point, which nobody needs who has joined.
    pub(super) fn remove_mount_point(&self) {
        // Whoever still has something there keeps it.
        let _ = unlinkat(&self.folder, self.mount_name(), AtFlags::REMOVEDIR);
    }
}
