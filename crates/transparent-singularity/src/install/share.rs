//! What is installed belongs to the site's group.

use std::{
    io,
    os::unix::fs::{PermissionsExt as _, lchown},
    path::{Path, PathBuf},
};

use super::InstallError;
use crate::SiteError;

/// Gives what is staged to the site's group.
pub(crate) fn share(folder: &Path, setting: &crate::SiteSetting) -> Result<(), InstallError> {
    let Some(group) = &setting.group else {
        return Ok(());
    };
    let gid = match group.parse::<u32>() {
        Ok(gid) => gid,
        Err(_) => group_id(group).ok_or_else(|| InstallError::Group(group.clone()))?,
    };
    let mut open: Vec<PathBuf> = vec![folder.into()];
    while let Some(path) = open.pop() {
        let io = |action| SiteError::io(action, &path);
        let found = fs_err::symlink_metadata(&path).map_err(io("look at"))?;
        match lchown(&path, None, Some(gid)) {
            // What somebody else of the group made is shared already, and not ours to change.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
            other => other.map_err(io("give to the group"))?,
        }
        if found.is_symlink() {
            continue;
        }
        let mode = found.permissions().mode();
        let shared = if found.is_dir() {
            mode | 0o2070
        } else {
            mode | (mode >> 3 & 0o070)
        };
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(shared))
            .map_err(io("share"))?;
        if found.is_dir() {
            let entries = fs_err::read_dir(&path).map_err(io("list"))?;
            open.extend(entries.flatten().map(|entry| entry.path()));
        }
    }
    Ok(())
}

fn group_id(name: &str) -> Option<u32> {
    let text = fs_err::read_to_string("/etc/group").ok()?;
    let line = text
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}
