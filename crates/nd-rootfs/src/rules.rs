//! Which entries rule set 1 leaves out of the digests, and which directories it assumes.

use crate::{Entry, Kind};

/// Directories assumed to exist: every engine makes them.
pub(crate) const IMPLIED: [&[u8]; 9] = [
    b"dev", b"etc", b"home", b"proc", b"root", b"sys", b"tmp", b"var", b"var/tmp",
];

const BELOW: [&[u8]; 4] = [b".singularity.d/", b"dev/", b"proc/", b"sys/"];
const HOST: [&[u8]; 2] = [b"etc/hosts", b"etc/resolv.conf"];
const LINKS: [&[u8]; 6] = [
    b".exec",
    b".run",
    b".shell",
    b".test",
    b"environment",
    b"singularity",
];
const MARKS: [&[u8]; 2] = [b".cvmfscatalog", b".cvmfsautocatalog"];

/// Whether an entry of a whole image belongs to `tree1rest` instead of the other digests: files of
/// SIF builders, kernel file systems, files replaced at run time, CVMFS markers.
pub fn left_out(entry: &Entry) -> bool {
    let path = entry.path.as_bytes();
    path == b".singularity.d"
        || BELOW.iter().any(|dir| path.starts_with(dir))
        || HOST.contains(&path) && !entry.kind.is_dir()
        || match &entry.kind {
            Kind::Symlink { target } => {
                LINKS.contains(&path) && target.starts_with(b".singularity.d/")
            }
            Kind::File { size: 0, .. } => MARKS.contains(&entry.path.name()),
            _ => false,
        }
}
