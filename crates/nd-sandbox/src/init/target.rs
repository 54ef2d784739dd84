//! Finding and making mount points inside a root that nobody vouches for.

use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps},
    io::Errno,
};

use crate::plan::{Changes, Made, Touched};

/// How many symlinks a path may have, as in the kernel.
const MAX_LINKS: usize = 40;
/// How many parts a path may have with all its symlinks.
const MAX_PARTS: usize = 4096;

/// The root that is being furnished.
#[derive(Debug)]
pub(super) struct Targets<'a> {
    root: BorrowedFd<'a>,
    upper: Option<BorrowedFd<'a>>,
    /// File systems in which mount points may be made: the root and those in memory, but never one
    /// of the host.
    ours: Vec<u64>,
    changes: Changes,
}

impl<'a> Targets<'a> {
    pub(super) fn new(root: BorrowedFd<'a>, upper: Option<BorrowedFd<'a>>) -> Result<Self, Errno> {
        Ok(Self {
            root,
            upper,
            ours: vec![rustix::fs::fstat(root)?.st_dev],
            changes: Changes::default(),
        })
    }

    pub(super) fn changes(self) -> Changes {
        self.changes
    }

    /// Allows mount points in another file system.
    pub(super) fn also_in(&mut self, mount: BorrowedFd<'_>) -> Result<(), Errno> {
        self.ours.push(rustix::fs::fstat(mount)?.st_dev);
        Ok(())
    }

    /// What stands at `path`, with symlinks followed inside the root; made when it is missing.
    pub(super) fn open(&mut self, path: &[u8], directory: bool) -> io::Result<OwnedFd> {
        match self.at(path, OFlags::PATH) {
            Ok(fd) => Ok(fd),
            Err(Errno::NOENT) => self.make(path, directory),
            Err(error) => Err(error.into()),
        }
    }

    fn at(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        loop {
            match rustix::fs::openat2(
                self.root,
                OsStr::from_bytes(path),
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
            ) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// Walks `path` part by part, makes what is missing and opens the last.
    fn make(&mut self, path: &[u8], directory: bool) -> io::Result<OwnedFd> {
        // The parts that are left, the next one last.
        let mut left: Vec<Vec<u8>> = parts(path);
        // Where we stand: no symlink in it.
        let mut here: Vec<Vec<u8>> = Vec::new();
        let mut links = 0;
        while let Some(part) = left.pop() {
            if part == b".." {
                here.pop();
                continue;
            }
            let mut next = here.clone();
            next.push(part.clone());
            let joined = next.join(&b'/');
            match self.at(&joined, OFlags::PATH | OFlags::NOFOLLOW) {
                Ok(fd) => {
                    let stat = rustix::fs::fstat(&fd)?;
                    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
                        here = next;
                        continue;
                    }
                    links += 1;
                    let text = rustix::fs::readlinkat(&fd, "", Vec::new())?.into_bytes();
                    if text.starts_with(b"/") {
                        here.clear();
                    }
                    left.extend(parts(&text));
                    if links > MAX_LINKS || left.len() > MAX_PARTS {
                        return Err(Errno::LOOP.into());
                    }
                }
                Err(Errno::NOENT) => {
                    self.make_one(&here, &part, directory || !left.is_empty())?;
                    here = next;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.at(&here.join(&b'/'), OFlags::PATH | OFlags::NOFOLLOW)?)
    }

    /// Makes one directory or empty file, and notes what that changes.
    fn make_one(&mut self, parent: &[Vec<u8>], name: &[u8], directory: bool) -> io::Result<()> {
        let folder = self.at(
            &parent.join(&b'/'),
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW,
        )?;
        let stat = rustix::fs::fstat(&folder)?;
        if !self.ours.contains(&stat.st_dev) {
            return Err(Errno::XDEV.into());
        }
        let in_root = stat.st_dev == self.ours[0];
        if in_root {
            for depth in 0..=parent.len() {
                self.touch(&parent[..depth])?;
            }
        }
        let name_ = OsStr::from_bytes(name);
        if directory {
            rustix::fs::mkdirat(&folder, name_, Mode::from_raw_mode(0o755))?;
        } else {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            rustix::fs::openat(&folder, name_, flags, Mode::from_raw_mode(0o644))?;
        }
        if in_root {
            let mut path = parent.to_vec();
            path.push(name.to_vec());
            self.changes.made.push(Made {
                path: path.join(&b'/'),
                directory,
            });
            let times = Timestamps {
                last_access: Timespec {
                    tv_sec: stat.st_atime,
                    tv_nsec: stat.st_atime_nsec as _,
                },
                last_modification: Timespec {
                    tv_sec: stat.st_mtime,
                    tv_nsec: stat.st_mtime_nsec as _,
                },
            };
            rustix::fs::futimens(&folder, &times)?;
        }
        Ok(())
    }

    /// Notes how a directory is before the first change in it.
    fn touch(&mut self, path: &[Vec<u8>]) -> io::Result<()> {
        let joined = path.join(&b'/');
        let Some(upper) = self.upper else {
            return Ok(());
        };
        if self.changes.touched.iter().any(|t| t.path == joined) {
            return Ok(());
        }
        let stat = rustix::fs::fstat(self.at(&joined, OFlags::PATH | OFlags::NOFOLLOW)?)?;
        let name = if joined.is_empty() {
            b"."
        } else {
            joined.as_slice()
        };
        let in_upper = rustix::fs::openat2(
            upper.as_fd(),
            OsStr::from_bytes(name),
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        )
        .is_ok();
        self.changes.touched.push(Touched {
            path: joined,
            in_upper,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: (stat.st_mtime, stat.st_mtime_nsec as i64),
        });
        Ok(())
    }
}

/// The parts of a path, the last one first.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|&byte| byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .rev()
        .map(<[u8]>::to_vec)
        .collect()
}
