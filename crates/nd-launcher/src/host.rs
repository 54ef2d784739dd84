//! The questions that a plan asks the machine.

use std::path::Path;

use rustix::{
    fs::{Access, FileType, Mode, OFlags, access, fstat, open, stat},
    io::Errno,
    process::{getgid, getgroups, getuid},
};

use crate::Account;

/// What a path is, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A socket.
    Socket,
    /// Devices and the rest.
    Other,
}

/// The questions that a plan asks the machine.
pub trait Files {
    /// What a path is, or `None` when it is nothing that can be reached.
    fn kind(&self, path: &Path) -> Option<Kind>;
    /// Whether two paths are one file or folder.
    fn same(&self, one: &Path, other: &Path) -> bool;
    /// Whether a path is a file that can be executed.
    fn executable(&self, path: &Path) -> bool;
    /// The bytes of a regular file of a few megabytes, or `None` when it cannot be read. Asked where a GPU is offered
    /// to a command without a runtime.
    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let _ = path;
        None
    }
}

/// The files of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostFiles;

impl Files for HostFiles {
    fn kind(&self, path: &Path) -> Option<Kind> {
        let found = stat(path).ok()?;
        Some(match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            FileType::Socket => Kind::Socket,
            _ => Kind::Other,
        })
    }

    fn same(&self, one: &Path, other: &Path) -> bool {
        match (stat(one), stat(other)) {
            (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
            _ => false,
        }
    }

    fn executable(&self, path: &Path) -> bool {
        self.kind(path) == Some(Kind::File) && access(path, Access::EXEC_OK).is_ok()
    }

    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        read_file(path).ok()
    }
}

/// Bytes of a file that [`read_file`] reads at most.
const LIMIT: u64 = 4 << 20;

/// A whole file; only a regular one, so that nothing waits, and only one of a few megabytes.
///
/// # Errors
///
/// The kernel's; `EINVAL` for what is no regular file, `EFBIG` for a larger one.
pub fn read_file(path: &Path) -> Result<Vec<u8>, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = open(path, flags, Mode::empty())?;
    let about = fstat(&file)?;
    if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    let size = u64::try_from(about.st_size).unwrap_or(0);
    if size > LIMIT {
        return Err(Errno::FBIG);
    }
    let mut bytes = vec![0; size as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::io::read(&file, &mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Asks the machine's name service for lines of `passwd` or `group` by their numbers; what it prints.
pub type AskNames<'a> = &'a dyn Fn(&str, &[u32]) -> Option<Vec<u8>>;

/// The account of this process: from the machine's tables, and where these do not have it or one of
/// its groups, from `ask`.
pub fn own_account(ask: AskNames<'_>) -> Option<Account> {
    let uid = getuid().as_raw();
    let mut groups = vec![getgid().as_raw()];
    groups.extend(
        getgroups()
            .unwrap_or_default()
            .iter()
            .map(|gid| gid.as_raw()),
    );
    let mut passwd = read_file(Path::new("/etc/passwd")).unwrap_or_default();
    let mut group = read_file(Path::new("/etc/group")).unwrap_or_default();
    if !Account::has(&passwd, uid) {
        passwd = ask("passwd", &[uid])?;
    }
    let mut missing: Vec<u32> = groups
        .iter()
        .copied()
        .filter(|wanted| !Account::has(&group, *wanted))
        .collect();
    missing.dedup();
    if !missing.is_empty() {
        // A group without a name is one without a line.
        let more = ask("group", &missing).unwrap_or_default();
        if !group.ends_with(b"\n") {
            group.push(b'\n');
        }
        group.extend_from_slice(&more);
    }
    Account::find(uid, &groups, &passwd, &group)
}
