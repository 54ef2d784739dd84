//! Edits in a plain folder.

use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use nd_host::{NodeKind, RootDir};
use nd_report::Cancel;
use nd_rootfs::TreePath;
use transparent_singularity::unpack_tree;

use super::{Part, PublisherError};

/// Where a path of the tree is below a folder.
pub(super) fn host(folder: &Path, path: &TreePath) -> PathBuf {
    folder.join(OsStr::from_bytes(path.as_bytes()))
}

/// Makes the directory `folder`, which is not there yet, out of its parts. `mark` is called with each
/// part's index and folder once it is written.
pub(super) fn write_directory(
    folder: &Path,
    parts: Vec<Part>,
    cancel: &Cancel,
    mark: &dyn Fn(&nd_rootfs::Index, &RootDir) -> io::Result<()>,
) -> Result<(), PublisherError> {
    fs_err::create_dir(folder).map_err(PublisherError::io("make", folder))?;
    let root = RootDir::open(folder).map_err(PublisherError::io("open", folder))?;
    for Part { below, mut tree } in parts {
        let (target, part) = match &below {
            None => (folder.to_owned(), None),
            Some(below) => {
                root.create_dir_all(below.as_bytes(), 0o755)
                    .map_err(PublisherError::io("make", host(folder, below)))?;
                let part = root
                    .directory(below.as_bytes())
                    .map_err(PublisherError::io("open", host(folder, below)))?;
                (host(folder, below), Some(part))
            }
        };
        unpack_tree(&tree.index, &mut *tree.contents, &target, cancel)?;
        mark(&tree.index, part.as_ref().unwrap_or(&root))
            .map_err(PublisherError::io("mark", &target))?;
    }
    Ok(())
}

/// Removes what is at `path` below `root`, a link itself and never what it leads to.
pub(super) fn remove(root: &Path, path: &TreePath) -> Result<(), PublisherError> {
    check_above(root, path)?;
    remove_all(&host(root, path))
}

/// Removes a file, a link, or a folder with everything in it; nothing there is fine.
pub(super) fn remove_all(path: &Path) -> Result<(), PublisherError> {
    let gone = match fs_err::symlink_metadata(path) {
        Ok(data) if data.is_dir() => fs_err::remove_dir_all(path),
        Ok(_) => fs_err::remove_file(path),
        Err(error) => Err(error),
    };
    match gone {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PublisherError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Refuses a path of which a directory above is something else.
pub(super) fn check_above(root: &Path, path: &TreePath) -> Result<(), PublisherError> {
    let dir = RootDir::open(root).map_err(PublisherError::io("open", root))?;
    for above in path.ancestors() {
        let node = dir
            .node(above, false)
            .map_err(PublisherError::io("look at", root))?;
        match node {
            None => break,
            Some(node) if node.kind == NodeKind::Directory => {}
            Some(_) => return Err(PublisherError::Through(path.to_string())),
        }
    }
    Ok(())
}

/// Makes the directories above a path.
pub(super) fn make_above(root: &Path, path: &TreePath) -> Result<(), PublisherError> {
    let Some(above) = path.parent() else {
        return Ok(());
    };
    let dir = RootDir::open(root).map_err(PublisherError::io("open", root))?;
    dir.create_dir_all(above.as_bytes(), 0o755)
        .map_err(PublisherError::io("make", host(root, &above)))
}
