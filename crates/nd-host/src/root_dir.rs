//! A directory that no path leaves.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use crate::{AtomicFile, remove_abandoned};

/// An open directory below which files are found by paths of bytes, as a process sees them whose
/// root it is: absolute paths and symlinks start at it, `..` stops at it, magic links are refused.
///
/// What a hostile tree holds can therefore not lead to a file of the host.
#[derive(Debug)]
pub struct RootDir {
    fd: OwnedFd,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Permission bits with set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
}

/// Kinds of what stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// Device, fifo or socket.
    Other,
}

impl RootDir {
    /// Opens a directory of the host.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
            Ok(fd) => Ok(Self { fd }),
            Err(error) => Err(named(error, path.as_os_str().as_bytes())),
        }
    }

    /// A directory that is open already.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// The directory below as a root of its own.
    pub fn directory(&self, path: &[u8]) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        Ok(Self::from_fd(self.openat(path, flags, 0)?))
    }

    /// Opens a regular file to read; symlinks are followed inside the root. Fifos and devices are
    /// refused, so that a hostile tree cannot make us wait or touch hardware.
    pub fn file(&self, path: &[u8]) -> io::Result<File> {
        let fd = self.openat(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, 0)?;
        let stat = rustix::fs::fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("`{}` is no regular file", path.escape_ascii()),
            ));
        }
        Ok(fd.into())
    }

    /// Reads a regular file of at most `limit` bytes.
    pub fn read(&self, path: &[u8], limit: u64) -> io::Result<Vec<u8>> {
        let file = self.file(path)?;
        // One byte more than it says it has, so that its end is seen without another buffer.
        let length = file.metadata()?.len().min(limit);
        let mut bytes = Vec::with_capacity(length as usize + 1);
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("`{}` is larger than {limit} bytes", path.escape_ascii()),
            ));
        }
        Ok(bytes)
    }

    /// Makes a new file of `bytes`; anything but a directory that has the name goes away first.
    pub fn write(&self, path: &[u8], bytes: &[u8], mode: u32) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(named(error, path)),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(mode & 0o7777))
            .map_err(|error| named(error, path))?;
        // Exactly the mode that was asked for, whatever the umask is.
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode & 0o7777))?;
        File::from(fd).write_all(bytes)
    }

    /// Gives a file this content in one step: readers see the old bytes or all of the new ones, and
    /// so does the next start after a loss of power. What killed writers left in its folder goes away,
    /// which matters where programs read every file of a folder.
    pub fn replace(&self, path: &[u8], bytes: &[u8], mode: u32) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        let here = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
        remove_abandoned(&here)?;
        let mut file = AtomicFile::create(here.join(name))?;
        // Before the bytes come, which may be for few eyes.
        rustix::fs::fchmod(file.file(), Mode::from_raw_mode(mode & 0o7777))?;
        file.write_all(bytes)?;
        file.commit()?;
        Ok(())
    }

    /// Gives what stands at `from` the path `to`, in place of a file or an empty directory there.
    pub fn rename(&self, from: &[u8], to: &[u8]) -> io::Result<()> {
        let (old, name) = self.parent(from)?;
        let (new, new_name) = self.parent(to)?;
        rustix::fs::renameat(&old, name, &new, new_name).map_err(|error| named(error, from))
    }

    /// Makes a directory and those above it that are missing, all with `mode`.
    pub fn create_dir_all(&self, path: &[u8], mode: u32) -> io::Result<()> {
        let mut so_far = Vec::new();
        for part in path.split(|&byte| byte == b'/').filter(|p| !p.is_empty()) {
            so_far.push(b'/');
            so_far.extend_from_slice(part);
            match self.directory(&so_far) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let (folder, name) = self.parent(&so_far)?;
                    match rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(mode & 0o7777)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(named(error, &so_far)),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes a symlink with the given text.
    pub fn symlink(&self, target: &[u8], path: &[u8]) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        rustix::fs::symlinkat(OsStr::from_bytes(target), &folder, name)
            .map_err(|error| named(error, path))
    }

    /// What stands at a path, if anything does; `follow` says whether a last symlink is followed.
    pub fn node(&self, path: &[u8], follow: bool) -> io::Result<Option<Node>> {
        let nofollow = if follow {
            OFlags::empty()
        } else {
            OFlags::NOFOLLOW
        };
        let fd = match self.openat(path, OFlags::PATH | nofollow, 0) {
            Ok(fd) => fd,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let stat = rustix::fs::fstat(&fd)?;
        Ok(Some(Node {
            kind: match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => NodeKind::Directory,
                FileType::RegularFile => NodeKind::File,
                FileType::Symlink => NodeKind::Symlink,
                _ => NodeKind::Other,
            },
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: stat.st_size as u64,
        }))
    }

    /// The text of a symlink.
    pub fn read_link(&self, path: &[u8]) -> io::Result<Vec<u8>> {
        let (folder, name) = self.parent(path)?;
        rustix::fs::readlinkat(&folder, name, Vec::new())
            .map(std::ffi::CString::into_bytes)
            .map_err(|error| named(error, path))
    }

    /// Names in a directory, sorted.
    pub fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let directory = self.directory(path)?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&directory.fd)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Removes a file, symlink or empty directory.
    pub fn remove(&self, path: &[u8]) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => rustix::fs::unlinkat(&folder, name, AtFlags::REMOVEDIR),
            other => other,
        }
        .map_err(|error| named(error, path))
    }

    /// The directory that holds the last part of a path, and that part.
    fn parent<'a>(&self, path: &'a [u8]) -> io::Result<(OwnedFd, &'a OsStr)> {
        let end = path
            .iter()
            .rposition(|&byte| byte != b'/')
            .map_or(0, |at| at + 1);
        let path = &path[..end];
        let cut = path
            .iter()
            .rposition(|&byte| byte == b'/')
            .map_or(0, |at| at + 1);
        let name = &path[cut..];
        if name.is_empty() || name == b"." || name == b".." {
            return Err(named(Errno::INVAL, path));
        }
        let folder = self.openat(&path[..cut], OFlags::PATH | OFlags::DIRECTORY, 0)?;
        Ok((folder, OsStr::from_bytes(name)))
    }

    fn openat(&self, path: &[u8], flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
        let name = if path.is_empty() { &b"."[..] } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            match rustix::fs::openat2(
                &self.fd,
                OsStr::from_bytes(name),
                flags | OFlags::CLOEXEC,
                Mode::from_raw_mode(mode),
                resolve,
            ) {
                Ok(fd) => return Ok(fd),
                // A rename somewhere on the machine while `..` was walked; the kernel asks to try again.
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(named(error, path)),
            }
        }
    }
}

impl AsFd for RootDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The error with the path it is about.
fn named(error: Errno, path: &[u8]) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.escape_ascii()))
}
