//! Whether an image file has the digest that was recorded at its installation.
//!
//! The bytes are read once for each user and each state of the file. That they were right is remembered
//! in the user's own folder under a name that says which file it was: device, inode, length and
//! both times. The kernel sets the change time itself, whatever is done to a file, so that one whose
//! name is still there has not been written to since.

use std::{
    fmt,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use nd_names::Sha256Hasher;
use rustix::{
    fs::{
        AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, flock, fstat, open, openat, statat,
        unlinkat,
    },
    io::Errno,
    process::getuid,
    time::{ClockId, clock_gettime},
};

use super::{file_state, holder::own_folder};

/// Bytes that are read at a time.
const PART: usize = 1 << 20;
/// Seconds in which a file may change twice without another change time, generously: what is as young
/// is not remembered.
const YOUNG: i64 = 2;

/// An open image file with the digest that it must have.
#[derive(Debug)]
pub(crate) struct Checked(OwnedFd);

impl Checked {
    /// The file.
    pub(super) fn file(&self) -> &OwnedFd {
        &self.0
    }
}

/// Why an image may start nothing.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// It cannot be read.
    Unreadable(Errno),
    /// It has another digest.
    Digest(String),
    /// It changed while it was read.
    Changed,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the policy demands the digest that was recorded at installation, and ")?;
        match self {
            Self::Unreadable(errno) => write!(f, "the image cannot be read: {errno}"),
            Self::Digest(found) => write!(f, "that of the image is {found}; install it anew"),
            Self::Changed => f.write_str("the image changed while it was read"),
        }
    }
}

impl From<Errno> for Wrong {
    fn from(errno: Errno) -> Self {
        Self::Unreadable(errno)
    }
}

/// Opens the image, whose SHA-256 has to be `recorded`, and has to have been. `runtime` is the user's folder for sockets.
pub(crate) fn check(
    image: &Path,
    recorded: &[u8],
    runtime: Option<&Path>,
) -> Result<Checked, Wrong> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = open(image, flags, Mode::empty())?;
    let before = fstat(&file)?;
    if !FileType::from_raw_mode(before.st_mode).is_file() {
        return Err(Errno::INVAL.into());
    }
    // Without a folder of one's own the bytes are read each time.
    let memory = own_folder(getuid().as_raw(), runtime)
        .ok()
        .map(|folder| Memory {
            folder,
            name: name(&before, recorded),
        });
    if memory.as_ref().is_some_and(Memory::knows) {
        return Ok(Checked(file));
    }
    // Of many first starts one reads, and the others wait for what it finds.
    let lock = memory.as_ref().and_then(|memory| memory.lock().ok());
    let result = if memory.as_ref().is_some_and(Memory::knows) {
        Ok(())
    } else {
        compare(&file, &before, recorded, memory.as_ref())
    };
    // Also by who had nothing to read: its lock may be the one that was made anew.
    if let (Some(memory), Some(_)) = (&memory, &lock) {
        memory.unlock();
    }
    result.map(|()| Checked(file))
}

/// Reads the whole file, and remembers that its bytes are right.
fn compare(
    file: &OwnedFd,
    before: &Stat,
    recorded: &[u8],
    memory: Option<&Memory>,
) -> Result<(), Wrong> {
    let found = digest(file)?;
    let after = fstat(file)?;
    if file_state(before) != file_state(&after) {
        return Err(Wrong::Changed);
    }
    if !found.as_bytes().eq_ignore_ascii_case(recorded) {
        return Err(Wrong::Digest(found));
    }
    if let Some(memory) = memory
        && clock_gettime(ClockId::Realtime).tv_sec - after.st_ctime > YOUNG
    {
        memory.keep();
    }
    Ok(())
}

/// The name under which it is remembered that a file had a digest.
fn name(about: &Stat, recorded: &[u8]) -> String {
    let mut hasher = Sha256Hasher::default();
    for number in file_state(about) {
        hasher.update(number.to_le_bytes());
    }
    hasher.update(recorded.to_ascii_lowercase());
    hasher.finish().hex()
}

fn digest(file: &OwnedFd) -> Result<String, Errno> {
    let mut hasher = Sha256Hasher::default();
    let mut part = vec![0; PART];
    let mut at = 0;
    loop {
        match rustix::io::pread(file, &mut part, at) {
            Ok(0) => return Ok(hasher.finish().hex()),
            Ok(count) => {
                hasher.update(&part[..count]);
                at += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Where it is remembered which files had their digest: a folder of the user alone.
struct Memory {
    folder: OwnedFd,
    name: String,
}

impl Memory {
    fn file(&self) -> PathBuf {
        format!("{}.checked", self.name).into()
    }

    fn knows(&self) -> bool {
        statat(&self.folder, self.file(), AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_file())
    }

    /// What cannot be remembered is read again.
    fn keep(&self) {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let _ = openat(&self.folder, self.file(), flags, Mode::RUSR | Mode::WUSR);
    }

    /// Waits until nobody else reads this file.
    fn lock(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let lock = openat(&self.folder, self.reading(), flags, mode)?;
        while let Err(errno) = flock(&lock, FlockOperation::LockExclusive) {
            if errno != Errno::INTR {
                return Err(errno);
            }
        }
        Ok(lock)
    }

    /// Who waits at it has it still.
    fn unlock(&self) {
        let _ = unlinkat(&self.folder, self.reading(), AtFlags::empty());
    }

    fn reading(&self) -> PathBuf {
        format!("{}.reading", self.name).into()
    }
}
