//! A tree as a folder of ordinary files, nothing of it ever outside of that folder.

use std::{
    collections::BTreeMap,
    io,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
};

use nd_host::RootDir;
use nd_names::Sha256;
use nd_report::{Cancel, Cancelled};
use nd_rootfs::{ContentSink, Contents, ContentsError, Index, Kind, Location, TreePath, Wanted};

/// Why a tree could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// An entry cannot be written.
    #[error("failed to unpack `{path}`")]
    Entry {
        /// Which entry.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The folder cannot be used.
    #[error("failed to unpack into `{}`", path.display())]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Bytes cannot be had.
    #[error(transparent)]
    Contents(#[from] ContentsError),
    /// The caller asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Unpacks a tree into an empty folder. Files belong to whoever unpacks; set-id bits, devices, pipes
/// and sockets are left out, and folders stay open to their owner, who has to be able to remove them.
/// Gives the number of entries that were left out.
pub fn unpack_tree(
    index: &Index,
    contents: &mut dyn Contents,
    folder: &Path,
    cancel: &Cancel,
) -> Result<usize, UnpackError> {
    let root = RootDir::open(folder).map_err(|source| UnpackError::Folder {
        path: folder.into(),
        source,
    })?;
    let fail = |path: &TreePath| {
        let path = path.to_string();
        move |source| UnpackError::Entry { path, source }
    };
    let mut left_out = 0;
    let mut files: BTreeMap<Location, Vec<(&TreePath, u32)>> = BTreeMap::new();
    let mut links = Vec::new();
    for entry in index {
        let path = &entry.path;
        match &entry.kind {
            Kind::Dir { .. } => {
                let mode = u32::from(entry.attr.mode & 0o1777) | 0o700;
                root.create_dir_all(path.as_bytes(), mode)
                    .map_err(fail(path))?;
            }
            Kind::File { at, .. } => {
                let mode = u32::from(entry.attr.mode & 0o777) | 0o400;
                files.entry(*at).or_default().push((path, mode));
            }
            // Links come last: until then, no path of the tree can lead through one.
            Kind::Symlink { target } => links.push((path, target)),
            _ => left_out += 1,
        }
    }
    let mut writer = Writer {
        folder,
        files,
        cancel,
    };
    let wanted = Wanted::every_location(index);
    let written = contents.visit(&wanted, &mut writer);
    cancel.check()?;
    written?;
    for (path, target) in links {
        root.symlink(target, path.as_bytes()).map_err(fail(path))?;
    }
    Ok(left_out)
}

struct Writer<'a> {
    folder: &'a Path,
    files: BTreeMap<Location, Vec<(&'a TreePath, u32)>>,
    cancel: &'a Cancel,
}

impl ContentSink for Writer<'_> {
    fn file(
        &mut self,
        at: Location,
        _: u64,
        _: &Sha256,
        bytes: &mut dyn io::Read,
    ) -> io::Result<()> {
        self.cancel.check().map_err(io::Error::other)?;
        let Some(names) = self.files.get(&at) else {
            return Ok(());
        };
        let Some(((first, mode), others)) = names.split_first() else {
            return Ok(());
        };
        // There is no link in the folder yet, so joined paths stay in it.
        let host = |path: &TreePath| {
            self.folder
                .join(std::ffi::OsStr::from_bytes(path.as_bytes()))
        };
        let target = host(first);
        let mut file = fs_err::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&target)?;
        io::copy(bytes, &mut file)?;
        file.set_permissions(std::fs::Permissions::from_mode(*mode))?;
        for (path, _) in others {
            if fs_err::hard_link(&target, host(path)).is_err() {
                fs_err::copy(&target, host(path))?;
            }
        }
        Ok(())
    }
}
