//! Which command of which container the launcher was started as.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use rustix::{fs::readlink, process::getcwd};

use crate::{Files, LAUNCH_FILE};

/// A wrapper that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The container's folder, absolute.
    pub folder: PathBuf,
    /// The wrapper's name.
    pub name: OsString,
}

/// Links that are followed at most; the kernel follows as many.
const LINKS: usize = 40;

/// Finds the container's folder and the command.
///
/// `started` is the path that was given to `execve`. It and the links that it leads through are
/// looked at in turn: the first that lies beside a launch file is the wrapper, so that a link
/// elsewhere finds the command it points to, and links beside the launch file (on CVMFS, which
/// keeps no hard links across folders) keep their own names. `own` is the running program's path, which counts
/// when `started` says nothing, as after `fexecve`.
pub fn find_command(
    started: Option<&Path>,
    own: Option<&Path>,
    files: &dyn Files,
) -> Option<Found> {
    started
        .into_iter()
        .chain(own)
        .find_map(|path| follow(path.to_owned(), files))
}

fn follow(mut path: PathBuf, files: &dyn Files) -> Option<Found> {
    for _ in 0..LINKS {
        let (folder, name) = (path.parent()?, path.file_name()?);
        if files.kind(&folder.join(LAUNCH_FILE)).is_some() {
            let name = name.to_owned();
            let folder = absolute(folder)?;
            return Some(Found { folder, name });
        }
        let target = readlink(&path, Vec::new()).ok()?;
        path = folder.join(OsString::from_vec(target.into_bytes()));
    }
    None
}

fn absolute(folder: &Path) -> Option<PathBuf> {
    if folder.is_absolute() {
        return Some(folder.to_owned());
    }
    let cwd = getcwd(Vec::new()).ok()?;
    let cwd = PathBuf::from(OsString::from_vec(cwd.into_bytes()));
    Some(cwd.join(folder.strip_prefix(".").unwrap_or(folder)))
}
