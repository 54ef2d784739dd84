//! Files and folders that are either there completely or not at all.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, FlockOperation, RenameFlags, Timespec, Timestamps, UTIME_OMIT, renameat_with},
    io::Errno,
};
use tempfile::NamedTempFile;

use crate::file_lock::{flock, is_at};

/// What names of unfinished files end in.
const SUFFIX: &str = ".nd-part";
/// What names of unfinished folders end in, after that of the file that is locked for each.
const FOLDER: &str = ".d";

/// The time of the last change for `futimens` and its kin: seconds since 1970, and nanoseconds. That of
/// the last access stays.
pub fn modified(seconds: i64, nanoseconds: i64) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds,
        },
    }
}

/// Lets everybody run `file` who may read it. An image that may be run is a command under its own name.
pub fn make_executable(file: &File) -> io::Result<()> {
    let mode = file.metadata()?.permissions().mode();
    file.set_permissions(std::fs::Permissions::from_mode(mode | (mode & 0o444) >> 2))
}

/// A file that gets its name only when it is complete: it is written under a hidden name in the
/// same folder and renamed by [`AtomicFile::commit`]. Dropped before that, it goes away.
///
/// It is locked while it is written, so that [`remove_abandoned`] can tell what a killed process
/// left behind from what somebody is still writing.
#[derive(Debug)]
pub struct AtomicFile {
    temporary: NamedTempFile,
    target: PathBuf,
}

impl AtomicFile {
    /// Starts a file that will be `target`. Its folder must exist.
    pub fn create(target: impl Into<PathBuf>) -> io::Result<Self> {
        let target = target.into();
        let temporary = hidden(&target)?;
        Ok(Self { temporary, target })
    }

    /// The open file, for what [`Write`] does not offer.
    pub fn file(&self) -> &File {
        self.temporary.as_file()
    }

    /// The hidden name it has until it is complete, for programs that write it.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Writes everything to the disk and gives the file its name, in place of whatever had it.
    pub fn commit(self) -> io::Result<File> {
        self.temporary.as_file().sync_all()?;
        self.rename()
    }

    /// Gives the file its name without waiting for the disk: for what can be made again.
    pub fn rename(self) -> io::Result<File> {
        let target = self.target;
        self.temporary.persist(&target).map_err(|error| {
            io::Error::new(
                error.error.kind(),
                format!(
                    "failed to rename to `{}`: {}",
                    target.display(),
                    error.error
                ),
            )
        })
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.temporary.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.flush()
    }
}

impl Read for AtomicFile {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.temporary.read(bytes)
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.temporary.seek(to)
    }
}

/// A locked file with a hidden name beside `target`.
fn hidden(target: &Path) -> io::Result<NamedTempFile> {
    let Some(name) = target.file_name() else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{}` is no name for a file", target.display()),
        ));
    };
    // A name of 255 bytes stays possible: the hidden one uses only its start.
    let name = name.to_string_lossy();
    let start: String = name.chars().take(32).collect();
    loop {
        let file = tempfile::Builder::new()
            .prefix(&format!(".{start}."))
            .suffix(SUFFIX)
            // Narrowed by the umask, as for any new file.
            .permissions(std::fs::Permissions::from_mode(0o666))
            .tempfile_in(around(target))?;
        // Somebody who clears up may have taken it for abandoned before it was locked.
        let locked = flock(file.as_file(), FlockOperation::NonBlockingLockExclusive)?;
        if locked && is_at(file.as_file(), file.path()) {
            return Ok(file);
        }
    }
}

/// A folder that gets its name only when it is complete: it is filled under a hidden name beside it.
/// Dropped before that, it goes away; what a killed process leaves is removed by [`remove_abandoned`].
#[derive(Debug)]
pub struct AtomicFolder {
    /// Holds the new folder, and what it replaces. Goes before the lock does.
    around: tempfile::TempDir,
    /// Its lock says that somebody is at work.
    _lock: NamedTempFile,
    new: PathBuf,
    target: PathBuf,
}

impl AtomicFolder {
    /// Starts an empty folder that will be `target`. The folder around it must exist.
    pub fn create(target: impl Into<PathBuf>) -> io::Result<Self> {
        let target = target.into();
        let lock = hidden(&target)?;
        // Nobody else makes a folder of this name: it is that of the lock, which is new.
        let around = tempfile::Builder::new()
            .prefix(lock.path().file_name().unwrap_or_default())
            .suffix(FOLDER)
            .rand_bytes(0)
            .tempdir_in(around(&target))?;
        let new = around.path().join("new");
        fs_err::create_dir(&new)?;
        Ok(Self {
            around,
            _lock: lock,
            new,
            target,
        })
    }

    /// The folder to be filled.
    pub fn path(&self) -> &Path {
        &self.new
    }

    /// Gives the folder its name, which nothing has, or an empty folder.
    pub fn rename(self) -> io::Result<()> {
        fs_err::rename(&self.new, &self.target)
    }

    /// Gives the folder its name, in place of whatever had it: one or the other has the name at any
    /// time, where the file system can exchange them.
    pub fn replace(self) -> io::Result<()> {
        if fs_err::symlink_metadata(&self.target).is_err() {
            return self.rename();
        }
        match renameat_with(CWD, &self.new, CWD, &self.target, RenameFlags::EXCHANGE) {
            Err(Errno::INVAL | Errno::NOSYS) => {
                fs_err::rename(&self.target, self.around.path().join("old"))?;
                self.rename()
            }
            exchanged => Ok(exchanged?),
        }
    }
}

/// Makes `target` a file of `bytes`, in place of whatever had the name; readers see the old or the
/// new content, never a part.
pub fn write_atomic(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(target)?;
    file.write_all(bytes)?;
    file.commit()?;
    Ok(())
}

fn folder_of(lock: &Path) -> PathBuf {
    let mut path = lock.as_os_str().to_owned();
    path.push(FOLDER);
    path.into()
}

/// Removes from `folder` the unfinished files and folders whose writers are gone, and says how many
/// those were.
pub fn remove_abandoned(folder: &Path) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with('.') || !name.ends_with(SUFFIX) || !entry.file_type()?.is_file() {
            continue;
        }
        let path = entry.path();
        let file = match fs_err::File::open(&path) {
            Ok(file) => file.into_file(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if flock(&file, FlockOperation::NonBlockingLockExclusive)? && is_at(&file, &path) {
            gone(fs_err::remove_dir_all(folder_of(&path)))?;
            // Its writer may have finished between our two looks.
            removed += usize::from(gone(fs_err::remove_file(path))?);
        }
    }
    Ok(removed)
}

/// Makes the folder around `target`, and removes from it what killed writers left, as far as that can
/// be done now.
pub fn make_room(target: &Path) -> io::Result<()> {
    let folder = around(target);
    fs_err::create_dir_all(folder)?;
    let _ = remove_abandoned(folder);
    Ok(())
}

/// The folder that holds `target`.
fn around(target: &Path) -> &Path {
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Whether it was there to be removed.
fn gone(removed: io::Result<()>) -> io::Result<bool> {
    match removed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
