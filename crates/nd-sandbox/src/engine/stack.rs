//! Why directories could not be stacked, in words that say what would help.

use std::{io, os::fd::BorrowedFd};

use rustix::io::Errno;

use crate::SandboxError;

/// File systems that take no changes of an overlay and are met where people keep caches, by the
/// kernel's `statfs` magic.
const KNOWN: [(u64, &str); 11] = [
    (0x0000_4d44, "vfat"),
    (0x0000_6969, "nfs"),
    (0x00c3_6400, "ceph"),
    (0x0bd0_0bd0, "lustre"),
    (0x1983_0326, "beegfs"),
    (0x4750_4653, "gpfs"),
    (0x6165_676c, "a FUSE file system"),
    (0x6573_5546, "a FUSE file system"),
    (0x794c_7630, "overlay"),
    (0xfe53_4d42, "smb"),
    (0xff53_4d42, "cifs"),
];

/// The error of an overlay that could not be mounted; `upper` is the directory that was to take its
/// changes.
pub fn not_stacked(error: io::Error, upper: Option<BorrowedFd<'_>>) -> SandboxError {
    let missing = error.raw_os_error() == Some(Errno::NODEV.raw_os_error());
    let system = upper.and_then(|fd| rustix::fs::fstatfs(fd).ok());
    #[expect(
        clippy::cast_sign_loss,
        reason = "the magic is a word of bits, of another type on each processor"
    )]
    let magic = system.map(|system| system.f_type as u64 & 0xffff_ffff);
    let name = |magic: u64| KNOWN.iter().find(|(known, _)| *known == magic);
    let why = if missing {
        "the kernel has no overlay file system; root can load the module `overlay`".to_owned()
    } else if let Some((_, name)) = magic.and_then(name) {
        format!(
            "{name}, where changes are kept, takes none of an overlay; a local disk does (ext4, xfs, \
             btrfs, tmpfs)"
        )
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        "the kernel lets no user namespace mount an overlay; Linux 5.11 and later do".to_owned()
    } else {
        return SandboxError::setup("mount the root file system")(error);
    };
    SandboxError::NotStacked { why, source: error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(errno: Errno) -> String {
        not_stacked(errno.into(), None).to_string()
    }

    #[test]
    fn a_kernel_without_overlays_is_told_what_is_missing() {
        assert_eq!(
            said(Errno::NODEV),
            "layers cannot be stacked here: the kernel has no overlay file system; root can load the \
             module `overlay`"
        );
        for errno in [Errno::PERM, Errno::ACCESS] {
            assert_eq!(
                said(errno),
                "layers cannot be stacked here: the kernel lets no user namespace mount an overlay; \
                 Linux 5.11 and later do"
            );
        }
        // Of what is not known, the kernel's own word is given.
        assert_eq!(said(Errno::IO), "failed to mount the root file system");
    }
}
