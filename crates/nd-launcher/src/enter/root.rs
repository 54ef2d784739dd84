//! The root of a command, from the folder of an image to `/`.

use std::{
    ffi::{CString, OsStr},
    io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use nd_launcher::{EnvironmentScript, ImageAccess, MountKind, NativeMount, NativePlan};
use nd_namespace::{Attributes, Filesystem, attach, clone_tree, pivot, set_attributes, union};
use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, mkdirat, open, openat, statat},
    io::Errno,
};

use super::{
    Refusal, failed,
    target::{open_in, resolve},
};

/// Bytes of a table or script of an image that are read at most.
const LIMIT: usize = 1 << 20;
/// Scripts of an image that are read at most.
const SCRIPTS: usize = 256;

/// What the image's own root forbids.
pub(super) const IMAGE: Attributes = Attributes {
    read_only: true,
    no_devices: true,
    no_set_id: true,
    no_exec: false,
};
/// What mounts of the host's folders forbid.
const DATA: Attributes = Attributes {
    read_only: false,
    ..IMAGE
};

/// Where the host says which servers know names.
const RESOLVER: &str = "/etc/resolv.conf";

/// Makes the root from the image's `folder`, enters it, and returns the image's environment scripts.
pub(super) fn build(
    plan: &NativePlan,
    folder: &Path,
) -> Result<Option<Vec<EnvironmentScript>>, Refusal> {
    let bench = Bench::new()?;
    let image = open(
        folder,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(failed(format!("open `{}`", folder.display())))?;
    if plan.access != ImageAccess::Folder {
        // From where it was shown, which is a folder of the host.
        let seat = bench.folder("image")?;
        attach(image.as_fd(), seat.as_fd()).map_err(failed("move the image"))?;
    }
    let missing = missing(plan, image.as_fd())?;
    let root = if missing.is_empty() {
        let root = clone_tree(image.as_fd(), c"", true).map_err(failed("bind the image"))?;
        set_attributes(root.as_fd(), IMAGE, true).map_err(failed("protect the image"))?;
        root
    } else {
        let skeleton = bench.skeleton(image.as_fd(), &missing)?;
        union(&[skeleton.as_fd(), image.as_fd()], IMAGE)
            .map_err(failed("add mount points to the image"))?
    };
    let seat = bench.folder("root")?;
    attach(root.as_fd(), seat.as_fd()).map_err(failed("attach the image"))?;
    // Before anything of the host is there that a link of the image could lead to.
    tables(plan, &bench, root.as_fd())?;
    for mount in &plan.mounts {
        add(root.as_fd(), mount).map_err(failed(format!("mount `{}`", mount.target.display())))?;
    }
    let scripts = scripts(root.as_fd()).map_err(failed("read the image's environment"))?;
    pivot(root.as_fd()).map_err(failed("enter the image"))?;
    Ok(scripts)
}

/// Tries to mount a file system in memory; the inner result says whether an overlay of two of its
/// folders can be made.
pub(super) fn probe() -> Result<Result<(), Refusal>, Refusal> {
    let bench = Bench::new()?;
    let (one, other) = (bench.folder("one")?, bench.folder("other")?);
    let union = union(&[one.as_fd(), other.as_fd()], IMAGE);
    Ok(union.map(drop).map_err(failed("make an overlay")))
}

/// Mounts something of the host.
fn add(root: BorrowedFd<'_>, mount: &NativeMount) -> io::Result<()> {
    let path = CString::new(mount.source.as_os_str().as_bytes())?;
    let source = clone_tree(CWD, &path, mount.kind != MountKind::SystemAlone)?;
    match mount.kind {
        MountKind::System => {}
        MountKind::Data | MountKind::SystemAlone => set_attributes(source.as_fd(), DATA, true)?,
        MountKind::ReadOnly => set_attributes(source.as_fd(), IMAGE, true)?,
    }
    let target = match open_in(root, &mount.target, OFlags::PATH) {
        Err(Errno::NOENT) => make_in_mount(root, &mount.target, source.as_fd())?,
        other => other?,
    };
    attach(source.as_fd(), target.as_fd())
}

/// Makes the mount point of `source` in what is mounted in the root already, a folder of the host: as
/// the runtime does, with the rights of the user.
fn make_in_mount(
    root: BorrowedFd<'_>,
    target: &Path,
    source: BorrowedFd<'_>,
) -> Result<OwnedFd, Errno> {
    let folder = FileType::from_raw_mode(fstat(source)?.st_mode).is_dir();
    let mut missing = Vec::new();
    let mut path = target;
    let mut at = loop {
        missing.push(path.file_name().ok_or(Errno::NOENT)?);
        path = path.parent().ok_or(Errno::NOENT)?;
        match open_in(root, path, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => {}
            other => break other?,
        }
    };
    let file = if folder {
        None
    } else {
        Some(missing.remove(0))
    };
    for name in missing.iter().rev() {
        at = make_folder(at.as_fd(), name, Mode::from_raw_mode(0o755))?;
    }
    match file {
        None => Ok(at),
        Some(name) => {
            let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            openat(&at, name, flags, Mode::from_raw_mode(0o644))
        }
    }
}

/// A mount point that the image does not have.
struct Missing {
    path: PathBuf,
    folder: bool,
}

/// The mount points that the image does not have, from its root and without symlinks.
fn missing(plan: &NativePlan, image: BorrowedFd<'_>) -> Result<Vec<Missing>, Refusal> {
    let mut missing = Vec::new();
    let resolver = (Path::new(RESOLVER), Path::new(RESOLVER), false);
    let mounts = plan.mounts.iter().map(|mount| {
        let system = matches!(mount.kind, MountKind::System | MountKind::SystemAlone)
            || is_temporary(&mount.target);
        (mount.source.as_path(), mount.target.as_path(), system)
    });
    for (at, (source, target, system)) in mounts.chain([resolver]).enumerate() {
        // In a folder of the host, nothing is made.
        if plan.mounts[..at.min(plan.mounts.len())]
            .iter()
            .any(|before| target != before.target && target.starts_with(&before.target))
        {
            continue;
        }
        let failed = || failed(format!("find `{}` in the image", target.display()));
        let found = resolve(image, target).map_err(failed())?;
        if system && (!found.exists || Path::new("/").join(&found.path) != target) {
            return Err(failed()(Errno::NOENT));
        }
        if !found.exists {
            let about = rustix::fs::stat(source).map_err(failed())?;
            missing.push(Missing {
                path: found.path,
                folder: FileType::from_raw_mode(about.st_mode).is_dir(),
            });
        }
    }
    Ok(missing)
}

fn is_temporary(target: &Path) -> bool {
    target == Path::new("/tmp") || target == Path::new("/var/tmp")
}

/// The image's tables of names with the caller in them, and the host's resolver.
fn tables(plan: &NativePlan, bench: &Bench, root: BorrowedFd<'_>) -> Result<(), Refusal> {
    let resolver = || {
        let file = open(RESOLVER, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        read(&file)
    };
    let mut files = vec![(
        RESOLVER,
        resolver().map_err(failed("read `/etc/resolv.conf`"))?,
    )];
    for path in ["/etc/passwd", "/etc/group"] {
        let failed = || failed(format!("read `{path}` of the image"));
        let of_image = match open_in(root, Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => read(&file).map_err(failed())?,
            // The runtime makes no table either.
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(failed()(error)),
        };
        let account = &plan.account;
        files.push((
            path,
            if path == "/etc/passwd" {
                account.passwd(&of_image)
            } else {
                account.group(&of_image)
            },
        ));
    }
    for (path, text) in files {
        bench
            .lay_over(root, path, &text)
            .map_err(failed(format!("mount `{path}`")))?;
    }
    Ok(())
}

/// The scripts of `/.singularity.d/env`, in the order of their names; `None` without that folder.
fn scripts(root: BorrowedFd<'_>) -> Result<Option<Vec<EnvironmentScript>>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let path = Path::new("/.singularity.d/env");
    let folder = match open_in(root, path, flags) {
        Ok(folder) => folder,
        Err(Errno::NOENT) => {
            // Images of old have another script, which is the runtime's to read.
            return match open_in(root, Path::new("/environment"), OFlags::PATH) {
                Err(Errno::NOENT) => Ok(None),
                Ok(_) => Err(Errno::NOSYS),
                Err(error) => Err(error),
            };
        }
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in Dir::new(folder)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name.ends_with(b".sh") && !name.starts_with(b".") {
            names.push(name);
        }
        if names.len() > SCRIPTS {
            return Err(Errno::NFILE);
        }
    }
    names.sort();
    let mut scripts = Vec::with_capacity(names.len());
    for name in names {
        let path = path.join(OsStr::from_bytes(&name));
        let file = match open_in(root, &path, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => file,
            // A link that leads nowhere is no file.
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error),
        };
        if FileType::from_raw_mode(fstat(&file)?.st_mode).is_file() {
            scripts.push(EnvironmentScript {
                name,
                text: read(&file)?,
            });
        }
    }
    Ok(Some(scripts))
}

/// All of a small regular file.
fn read(file: &OwnedFd) -> Result<Vec<u8>, Errno> {
    if !FileType::from_raw_mode(fstat(file)?.st_mode).is_file() {
        return Err(Errno::INVAL);
    }
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        match rustix::io::read(file, &mut part) {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend_from_slice(&part[..count]),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        if bytes.len() > LIMIT {
            return Err(Errno::FBIG);
        }
    }
}

/// A file system in memory for what is made for one command; gone with it.
struct Bench {
    root: OwnedFd,
}

impl Bench {
    fn new() -> Result<Self, Refusal> {
        Self::make().map_err(failed("make a file system in memory"))
    }

    fn make() -> io::Result<Self> {
        let root = Filesystem::new("tmpfs")?
            .set("mode", b"0755")?
            .set("size", b"16m")?
            .mount(DATA)?;
        // On top of everything, where no path of this process leads any more.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = open("/", flags, Mode::empty())?;
        attach(root.as_fd(), top.as_fd())?;
        Ok(Self { root })
    }

    fn folder(&self, name: &str) -> Result<OwnedFd, Refusal> {
        make_folder(
            self.root.as_fd(),
            OsStr::new(name),
            Mode::from_raw_mode(0o755),
        )
        .map_err(failed("make a folder in memory"))
    }

    /// Mounts a new file at `path`.
    fn lay_over(&self, root: BorrowedFd<'_>, path: &str, text: &[u8]) -> io::Result<()> {
        let name = path.trim_start_matches("/etc/");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&self.root, name, flags, Mode::from_raw_mode(0o644))?;
        let mut rest = text;
        while !rest.is_empty() {
            let count = rustix::io::write(&file, rest)?;
            rest = &rest[count..];
        }
        let source = clone_tree(self.root.as_fd(), &CString::new(name)?, false)?;
        let target = open_in(root, Path::new(path), OFlags::PATH)?;
        attach(source.as_fd(), target.as_fd())
    }

    /// A folder with the mount points that the image does not have, and nothing else.
    fn skeleton(&self, image: BorrowedFd<'_>, missing: &[Missing]) -> Result<OwnedFd, Refusal> {
        let skeleton = self.folder("skeleton")?;
        for point in missing {
            make_point(&skeleton, image, point)
                .map_err(failed(format!("make `/{}`", point.path.display())))?;
        }
        Ok(skeleton)
    }
}

/// Makes a mount point with the folders above it, as accessible as those of the image are.
fn make_point(skeleton: &OwnedFd, image: BorrowedFd<'_>, point: &Missing) -> Result<(), Errno> {
    let folders = if point.folder {
        Some(point.path.as_path())
    } else {
        point.path.parent()
    };
    let mut at = rustix::io::fcntl_dupfd_cloexec(skeleton, 0)?;
    let mut path = PathBuf::new();
    for part in folders.into_iter().flatten() {
        path.push(part);
        let mode = statat(image, &path, AtFlags::SYMLINK_NOFOLLOW)
            .ok()
            .filter(|about| FileType::from_raw_mode(about.st_mode).is_dir())
            .map_or(0o755, |about| about.st_mode & 0o1777);
        at = make_folder(at.as_fd(), part, Mode::from_raw_mode(mode))?;
    }
    if let (false, Some(name)) = (point.folder, point.path.file_name()) {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
        openat(&at, name, flags, Mode::from_raw_mode(0o644))?;
    }
    Ok(())
}

fn make_folder(at: BorrowedFd<'_>, name: &OsStr, mode: Mode) -> Result<OwnedFd, Errno> {
    match mkdirat(at, name, mode) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, name, flags, Mode::empty())
}
