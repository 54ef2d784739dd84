//! The questions that a plan asks the machine.

use std::path::Path;

use rustix::fs::{Access, FileType, access, stat};

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
}
