//! Removing exactly what was recorded.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use nd_host::FileLock;

use super::{
    InstallRecord, Site, SiteError,
    apply::{remove_if_there, remove_tree},
    names_image,
};
use crate::{COMMANDS, Placement};

/// What was removed, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// What stays because nobody recorded it.
    pub left: Vec<Leftover>,
}

/// Something in a container's folder that is not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover(pub PathBuf);

impl Site {
    /// What removing a record would remove and leave.
    pub fn plan_removal(&self, record: &InstallRecord) -> Result<Removed, SiteError> {
        let mut out = Removed::default();
        for module in &record.modules {
            let path = self.modules().join(&module.path);
            // A newer build of the same version may have taken the file over.
            if fs_err::read_to_string(&path).is_ok_and(|text| names_image(&text, &record.image)) {
                out.paths.push(path);
            }
        }
        let folder = self.folder(record);
        let image = format!("{}.simg", record.image);
        let mut ours: BTreeSet<&str> = record.files.iter().map(|file| file.path.as_str()).collect();
        ours.insert(&image);
        // First what tells others that the container is complete.
        let order = [COMMANDS]
            .into_iter()
            .chain(ours.iter().copied().filter(|name| *name != COMMANDS));
        for name in order {
            let path = folder.join(name);
            if fs_err::symlink_metadata(&path).is_ok() {
                out.paths.push(path);
            }
        }
        if let Ok(entries) = fs_err::read_dir(&folder) {
            for entry in entries.flatten() {
                let name = entry.file_name();
                if !name.to_str().is_some_and(|name| ours.contains(name)) {
                    out.left.push(Leftover(entry.path()));
                }
            }
        }
        Ok(out)
    }

    /// Removes what a record lists, then the record, then folders that are empty. A link is removed
    /// and never what it leads to.
    pub fn remove(&self, record: &InstallRecord) -> Result<Removed, SiteError> {
        let removed = self.plan_removal(record)?;
        let image = self.image(record);
        for path in &removed.paths {
            let gone = if *path == image && record.placement == Placement::Folder {
                remove_tree(path)
            } else {
                remove_if_there(path)
            };
            gone.map_err(SiteError::io("remove", path))?;
        }
        for module in &record.modules {
            let path = self.modules().join(&module.path);
            if let Some(folder) = path.parent() {
                remove_empty(folder);
            }
        }
        remove_empty(&self.folder(record));
        let path = self.record_path(&record.image);
        remove_if_there(&path).map_err(SiteError::io("remove", path))?;
        Ok(removed)
    }

    /// The same for a build that is replaced: its module file has another owner by now.
    pub(super) fn remove_files(&self, record: &InstallRecord) -> Result<(), SiteError> {
        self.remove(record).map(|_| ())
    }

    /// Removes the prefix itself where nothing is left but our own empty folders.
    pub fn remove_if_empty(&self) -> Result<bool, SiteError> {
        if !self.all_records()?.is_empty() {
            return Ok(false);
        }
        let state = self.state();
        let gone = format!("{}.", super::STATE);
        let mut foreign = false;
        let entries =
            fs_err::read_dir(&self.prefix).map_err(SiteError::io("list", &self.prefix))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(gone.as_bytes()) {
                // Of a run that was killed below.
                remove_gone(&entry.path())?;
            } else {
                foreign |= name != super::STATE && name != super::MODULES;
            }
        }
        remove_empty(&self.modules());
        let kept = ["launcher.conf", "kept", "states"].map(|name| state.join(name));
        if kept.iter().any(|path| path.exists()) {
            return Ok(false);
        }
        // Somebody who is installing keeps the state.
        let in_use = self.in_use();
        let lock = match FileLock::try_exclusive(&in_use) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(!foreign),
            other => other.map_err(SiteError::io("lock", &in_use))?,
        };
        if lock.is_none() || !self.all_records()?.is_empty() {
            return Ok(false);
        }
        // Under another name first: whoever comes now makes a state of its own and loses nothing of it.
        let aside = self.prefix.join(format!("{gone}{}", std::process::id()));
        match fs_err::rename(&state, &aside) {
            Ok(()) => remove_gone(&aside)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(SiteError::io("rename", state)(error)),
        }
        Ok(!foreign)
    }
}

/// Removes a state that has been set aside, which another run may be removing as well.
fn remove_gone(path: &Path) -> Result<(), SiteError> {
    match remove_tree(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SiteError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Removes a folder that is empty; one that is not stays, and that is no error.
fn remove_empty(folder: &Path) {
    let _ = fs_err::remove_dir(folder);
}
