//! Room on disks.

use std::{fs::File, io, path::Path};

use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};

/// Bytes that are free for whoever runs this where `path` is, or would be: its nearest folder that is
/// there is asked. `None` when nobody can tell.
pub fn free_bytes(path: &Path) -> Option<u64> {
    let place = path.ancestors().find(|place| place.exists())?;
    let found = rustix::fs::statvfs(place).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

/// Has the file system set aside the first `bytes` of `file`, whose length stays. A file system that
/// cannot do that is no error.
///
/// # Errors
///
/// When the disk has not that much room (`StorageFull`), or the user, group or project has used up its
/// quota (`QuotaExceeded`): the file system knows all of them, and nothing has been written yet.
pub fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn room_is_set_aside_or_refused_and_the_length_stays() {
        let file = tempfile::tempfile().unwrap();
        super::reserve(&file, 0).unwrap();
        super::reserve(&file, 64 << 10).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 0);
        let error = super::reserve(&file, 1 << 60).unwrap_err();
        let full = [
            std::io::ErrorKind::StorageFull,
            std::io::ErrorKind::FileTooLarge,
        ];
        assert!(full.contains(&error.kind()), "{error}");
    }

    #[test]
    fn what_is_not_there_yet_has_the_room_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert!(super::free_bytes(&folder.path().join("a/b")).is_some());
    }
}
