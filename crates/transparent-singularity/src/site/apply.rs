//! Writing an installation so that a kill at any moment leaves the old state or the new one.
//!
//! Everything is made in a staging folder of the same file system, which nothing but its lock keeps.
//! Then: the record, the folder by one rename, the module files, the last one committing. Before the
//! folder is there, the next run forgets it all; from then on, it finishes.

use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use nd_host::{FileLock, write_atomic};
use nd_names::Sha256;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{InstallRecord, Site, SiteError};
use crate::{COMMANDS, InstallPlan, SCRIPT};

/// A container that is being made.
#[derive(Debug)]
pub struct Staged {
    path: PathBuf,
    /// Says that somebody is still at it.
    _lock: FileLock,
}

impl Staged {
    /// The folder to fill.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already when it got its name; what cannot be removed now, the next run removes.
        let _ = remove_tree(&self.path);
        let _ = fs_err::remove_file(lock_of(&self.path));
    }
}

fn lock_of(staged: &Path) -> PathBuf {
    let mut name = staged.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// What an installation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Builds of the same tool and version that it replaced.
    pub replaced: Vec<String>,
}

impl Site {
    /// A new staging folder.
    pub fn stage(&self, stem: &str) -> Result<Staged, SiteError> {
        let staging = self.staging();
        let mark = tempfile::Builder::new()
            .prefix(&format!("{stem}."))
            .suffix(".lock")
            .tempfile_in(&staging)
            .and_then(|file| Ok(file.keep()?.1))
            .map_err(SiteError::io("make a file in", &staging))?;
        // The lock comes before the folder, so that there is no folder without one.
        let lock = FileLock::exclusive(&mark).map_err(SiteError::io("lock", &mark))?;
        let path = mark.with_extension("");
        fs_err::create_dir(&path).map_err(SiteError::io("make", &path))?;
        let mode = std::fs::Permissions::from_mode(0o755);
        fs_err::set_permissions(&path, mode).map_err(SiteError::io("open", &path))?;
        Ok(Staged { path, _lock: lock })
    }

    /// Gives a staged container its place and its modules. `record` lists what the plan wrote.
    ///
    /// # Errors
    ///
    /// When something cannot be written; then the old state is still there.
    pub fn commit(
        &self,
        staged: &Staged,
        plan: &InstallPlan,
        record: &InstallRecord,
    ) -> Result<Applied, SiteError> {
        let target = self.folder(record);
        let mut old = self.record(&record.image)?;
        if old.is_none() && record.folder == record.image {
            old = self.adopt(&record.image)?;
        }
        let there = fs_err::symlink_metadata(&target).is_ok();
        if there && old.is_none() {
            return Err(SiteError::Foreign(target));
        }
        // Refused now rather than when the folder has its name.
        for module in &plan.modules {
            let path = self.modules().join(&module.path);
            let parent = path.parent().unwrap_or(&path);
            fs_err::create_dir_all(parent).map_err(SiteError::io("make", parent))?;
            tempfile::tempfile_in(parent).map_err(SiteError::io("write below", parent))?;
        }
        sync(staged.path());
        let path = self.record_path(&record.image);
        write_atomic(&path, &record.to_json()).map_err(SiteError::io("write", &path))?;
        if there {
            renameat_with(CWD, staged.path(), CWD, &target, RenameFlags::EXCHANGE)
                .map_err(|error| SiteError::io("exchange", &target)(error.into()))?;
            if let Some(old) = old {
                keep_foreign(staged.path(), &target, &old)?;
            }
        } else {
            fs_err::rename(staged.path(), &target).map_err(SiteError::io("name", &target))?;
        }
        self.finish(record)
    }

    /// As [`Site::commit`], into a folder that is there and whose other files stay: every file gets
    /// its name by one rename, the list of commands last. What an earlier installation had and this one has not goes
    /// first, as long as somebody knows that it was one's.
    pub fn commit_in_place(
        &self,
        staged: &Staged,
        record: &InstallRecord,
    ) -> Result<Applied, SiteError> {
        let target = self.folder(record);
        let old = match self.record(&record.image)? {
            None if record.folder == record.image => self.adopt(&record.image)?,
            old => old,
        };
        let old = old.filter(|old| old.folder == record.folder);
        for file in old.into_iter().flat_map(|old| old.files) {
            let stays = record.files.iter().any(|new| new.path == file.path);
            // What upstream's script is called by may be the program that runs here.
            if !stays && ![COMMANDS, SCRIPT].contains(&file.path.as_str()) {
                let path = target.join(&file.path);
                remove_if_there(&path).map_err(SiteError::io("remove", &path))?;
            }
        }
        let path = self.record_path(&record.image);
        write_atomic(&path, &record.to_json()).map_err(SiteError::io("write", &path))?;
        let image = format!("{}.simg", record.image);
        // Without its list of commands the folder counts as incomplete, to others as to us.
        remove_if_there(&target.join(COMMANDS)).map_err(SiteError::io("remove", &target))?;
        let names = record.files.iter().map(|file| file.path.as_str());
        let names = names.filter(|name| *name != COMMANDS);
        for name in names.chain([image.as_str(), COMMANDS]) {
            let (from, to) = (staged.path().join(name), target.join(name));
            if fs_err::symlink_metadata(&from).is_err() {
                continue;
            }
            let folder = |path: &Path| fs_err::symlink_metadata(path).is_ok_and(|it| it.is_dir());
            if folder(&from) && folder(&to) {
                renameat_with(CWD, &from, CWD, &to, RenameFlags::EXCHANGE)
                    .map_err(|error| SiteError::io("exchange", &to)(error.into()))?;
            } else {
                if folder(&to) {
                    remove_tree(&to).map_err(SiteError::io("remove", &to))?;
                }
                fs_err::rename(&from, &to).map_err(SiteError::io("name", &to))?;
            }
        }
        self.finish(record)
    }

    /// The modules, the last one committing, and then the builds that are replaced. Repeated by
    /// whoever comes after a kill.
    pub(super) fn finish(&self, record: &InstallRecord) -> Result<Applied, SiteError> {
        let name = record.name();
        for module in &record.modules {
            let path = self.modules().join(&module.path);
            let parent = path.parent().unwrap_or(&path);
            fs_err::create_dir_all(parent).map_err(SiteError::io("make", parent))?;
            // What a killed run left of a file, under a hidden name.
            nd_host::remove_abandoned(parent).map_err(SiteError::io("clean", parent))?;
            write_atomic(&path, module.text.as_bytes()).map_err(SiteError::io("write", &path))?;
        }
        let mut replaced = Vec::new();
        let adopted = self.adopted()?.into_iter();
        for other in self.all_records()?.into_iter().flatten().chain(adopted) {
            let its = other.name();
            if other.image != record.image && (&its.app, &its.version) == (&name.app, &name.version)
            {
                self.remove_files(&other)?;
                replaced.push(other.image);
            }
        }
        Ok(Applied { replaced })
    }

    /// Finishes or forgets what killed runs left: staging folders whose lock nobody holds, and records
    /// that no module commits.
    pub(super) fn recover(&self) -> Result<(), SiteError> {
        let staging = self.staging();
        for entry in fs_err::read_dir(&staging).map_err(SiteError::io("list", &staging))? {
            let path = entry.map_err(SiteError::io("list", &staging))?.path();
            if path.extension().is_some_and(|end| end == "lock") {
                let Ok(Some(_ours)) = FileLock::try_exclusive(&path) else {
                    continue;
                };
                let folder = path.with_extension("");
                remove_tree(&folder).map_err(SiteError::io("remove", &folder))?;
                remove_if_there(&path).map_err(SiteError::io("remove", &path))?;
            }
        }
        for record in self.all_records()?.into_iter().flatten() {
            if self.is_committed(&record) {
                continue;
            }
            let name = record.name();
            let lock = self.lock_path(&format!("{}_{}", name.app, name.version));
            // Somebody who holds it will finish.
            let Ok(Some(_ours)) = FileLock::try_exclusive(&lock) else {
                continue;
            };
            let Some(record) = self.record(&record.image)? else {
                continue;
            };
            if self.is_committed(&record) {
                continue;
            }
            match self.committed_rival(&record)? {
                // It stands in for the old build that was about to go as for the new one that had not
                // come: what users load now is what they load afterwards.
                Some(rival) => drop(self.finish(&rival)?),
                None if self.is_complete(&record) => drop(self.finish(&record)?),
                None => self.remove_files(&record)?,
            }
        }
        Ok(())
    }

    /// Another build of the same version, in a folder of its own, that modules lead to.
    fn committed_rival(&self, record: &InstallRecord) -> Result<Option<InstallRecord>, SiteError> {
        let name = record.name();
        let is_rival = |other: &InstallRecord| {
            let its = other.name();
            other.image != record.image
                && other.folder != record.folder
                && (&its.app, &its.version) == (&name.app, &name.version)
                && self.is_committed(other)
                && self.is_complete(other)
        };
        Ok((self.all_records()?.into_iter().flatten()).find(is_rival))
    }

    /// Whether the folder of a record holds what the record says, told by its list of commands.
    fn is_complete(&self, record: &InstallRecord) -> bool {
        let listed = record.files.iter().find(|file| file.path == COMMANDS);
        let found = fs_err::read(self.folder(record).join(COMMANDS));
        match (listed, found) {
            (Some(listed), Ok(bytes)) => Sha256::of(&bytes).to_string() == listed.sha256,
            _ => false,
        }
    }
}

/// Moves what nobody recorded from an old folder into the new one.
fn keep_foreign(from: &Path, to: &Path, record: &InstallRecord) -> Result<(), SiteError> {
    let image = format!("{}.simg", record.image);
    for entry in fs_err::read_dir(from).map_err(SiteError::io("list", from))? {
        let name = entry.map_err(SiteError::io("list", from))?.file_name();
        let ours = record.files.iter().any(|file| name == file.path.as_str());
        let target = to.join(&name);
        if ours || name == image.as_str() || fs_err::symlink_metadata(&target).is_ok() {
            continue;
        }
        fs_err::rename(from.join(&name), &target).map_err(SiteError::io("keep", &target))?;
    }
    Ok(())
}

/// Puts an image file into a folder: a second name of the same file where that can be had, else a
/// copy. Its permissions become those of any image.
pub fn place_image(from: &Path, to: &Path) -> io::Result<()> {
    let read_only = fs_err::metadata(from)?.permissions().mode() & 0o044 != 0o044;
    if read_only || fs_err::hard_link(from, to).is_err() {
        fs_err::copy(from, to)?;
        fs_err::set_permissions(to, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Removes a folder and all in it, no link followed, folders without permission included.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    match fs_err::symlink_metadata(path) {
        Ok(found) if !found.is_dir() => return fs_err::remove_file(path),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    match fs_err::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_folders(path);
            fs_err::remove_dir_all(path)
        }
        other => other,
    }
}

/// Images hold folders that their owner may not write to.
fn open_folders(path: &Path) {
    let mut open = vec![path.to_owned()];
    while let Some(folder) = open.pop() {
        let _ = fs_err::set_permissions(&folder, std::fs::Permissions::from_mode(0o700));
        let entries = fs_err::read_dir(&folder).into_iter().flatten().flatten();
        open.extend(entries.filter_map(|entry| {
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            is_dir.then(|| entry.path())
        }));
    }
}

pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Asks for everything of the file system of `path` to reach the disk; what does not is recognised
/// by `verify`.
fn sync(path: &Path) {
    if let Ok(folder) = fs_err::File::open(path) {
        let _ = rustix::fs::syncfs(std::fs::File::from(folder));
    }
}
