//! Room on disks.

use std::path::Path;

/// Bytes that are free for whoever runs this where `path` is, or would be: its nearest folder that is
/// there is asked. `None` when nobody can tell.
pub fn free_bytes(path: &Path) -> Option<u64> {
    let place = path.ancestors().find(|place| place.exists())?;
    let found = rustix::fs::statvfs(place).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_not_there_yet_has_the_room_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert!(super::free_bytes(&folder.path().join("a/b")).is_some());
    }
}
