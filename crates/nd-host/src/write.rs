//! Files that are either there completely or not at all.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::FlockOperation;
use tempfile::NamedTempFile;

use crate::file_lock::flock;

/// What names of unfinished files end in.
const SUFFIX: &str = ".nd-part";

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
        let (Some(folder), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("`{}` is no name for a file", target.display()),
            ));
        };
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        // A name of 255 bytes stays possible: the hidden one uses only its start.
        let name = name.to_string_lossy();
        let start: String = name.chars().take(32).collect();
        let temporary = tempfile::Builder::new()
            .prefix(&format!(".{start}."))
            .suffix(SUFFIX)
            // Narrowed by the umask, as for any new file.
            .permissions(std::fs::Permissions::from_mode(0o666))
            .tempfile_in(folder)?;
        flock(
            temporary.as_file(),
            FlockOperation::NonBlockingLockExclusive,
        )?;
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

/// Makes `target` a file of `bytes`, in place of whatever had the name; readers see the old or the
/// new content, never a part.
pub fn write_atomic(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(target)?;
    file.write_all(bytes)?;
    file.commit()?;
    Ok(())
}

/// Removes from `folder` the unfinished files whose writers are gone, and says how many those were.
pub fn remove_abandoned(folder: &Path) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with('.') || !name.ends_with(SUFFIX) || !entry.file_type()?.is_file() {
            continue;
        }
        let file = match fs_err::File::open(entry.path()) {
            Ok(file) => file.into_file(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if flock(&file, FlockOperation::NonBlockingLockExclusive)? {
            match fs_err::remove_file(entry.path()) {
                Ok(()) => removed += 1,
                // Its writer finished between our two looks.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(removed)
}
