//! Making a folder equal to a plan.

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
};

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use nd_host::{AtomicFile, FileLock};
use serde::{Deserialize, Serialize};

use super::plan::{MenuPlan, PlannedFile};

/// The list of files that the last plan wrote, below the prefix.
const LIST: &str = ".menu-files.json";
/// Who holds it changes the menu.
const LOCK: &str = ".menu-lock";

/// Why a menu could not be written or installed.
#[derive(Debug, thiserror::Error)]
pub enum MenuError {
    /// A file could not be read or written.
    #[error("failed to write the menu")]
    Io(#[from] io::Error),
    /// The list of an earlier run is no such list.
    #[error("`{path}` is no list of files that this program wrote")]
    List {
        /// The list.
        path: Utf8PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A list or plan names a file outside of its folder.
    #[error("`{path}` is not below the folder of the menu")]
    Outside {
        /// The path.
        path: Utf8PathBuf,
    },
    /// The menu would lose more than a tenth of its entries.
    #[error("the menu would shrink from {before} to {after} entries")]
    Shrinks {
        /// Entries that are there.
        before: usize,
        /// Entries that would be.
        after: usize,
    },
    /// Something that this program did not make is in the way.
    #[error("`{path}` is in the way and was not made by this program")]
    InTheWay {
        /// What is in the way.
        path: Utf8PathBuf,
    },
    /// The menu of the desktop cannot be changed.
    #[error("the menu `{path}` cannot be changed")]
    Merge {
        /// The menu.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: super::MergeError,
    },
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Files written.
    pub written: usize,
    /// Files that were as they should be.
    pub unchanged: usize,
    /// Files of an earlier plan that were removed.
    pub removed: usize,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct List {
    schema_version: u32,
    /// Of the last plan, and of the one that is being written.
    files: BTreeSet<Utf8PathBuf>,
    /// While one is being written, how many entries the last one had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entries: Option<usize>,
}

/// Makes the folder of `plan` equal to it. Safe to be killed and run again: files get their names when
/// they are complete, and the list of an earlier run is added to before anything is written.
///
/// # Errors
///
/// When files cannot be written; when the menu would lose more than a tenth of its entries, unless
/// `allow_shrink`.
pub fn apply(plan: &MenuPlan, allow_shrink: bool) -> Result<Applied, MenuError> {
    let prefix = &plan.prefix;
    if let Some(path) = plan.files.keys().find(|path| !is_below(path)) {
        return Err(MenuError::Outside { path: path.clone() });
    }
    fs_err::create_dir_all(prefix)?;
    let _lock = FileLock::exclusive(prefix.join(LOCK).as_std_path())?;
    let List {
        files: old,
        entries: interrupted,
        ..
    } = read_list(prefix)?;
    let entries = |files: &mut dyn Iterator<Item = &Utf8PathBuf>| {
        files.filter(|path| path.starts_with("bin")).count()
    };
    // What a killed run was about to write is no loss.
    let before = interrupted.unwrap_or_else(|| entries(&mut old.iter()));
    let after = entries(&mut plan.files.keys());
    if !allow_shrink && crate::catalogue::shrinks(before, after) {
        return Err(MenuError::Shrinks { before, after });
    }
    let new: BTreeSet<Utf8PathBuf> = plan.files.keys().cloned().collect();
    let both = old.union(&new).cloned().collect();
    write_list(prefix, both, Some(before))?;
    let folders: BTreeSet<&Utf8Path> = plan.files.keys().filter_map(|path| path.parent()).collect();
    for folder in folders {
        fs_err::create_dir_all(prefix.join(folder))?;
        nd_host::remove_abandoned(prefix.join(folder).as_std_path())?;
    }
    nd_host::remove_abandoned(prefix.as_std_path())?;
    let mut applied = Applied::default();
    for (path, file) in &plan.files {
        if write(&prefix.join(path), file)? {
            applied.written += 1;
        } else {
            applied.unchanged += 1;
        }
    }
    for path in old.difference(&new) {
        applied.removed += usize::from(remove(&prefix.join(path))?);
    }
    write_list(prefix, new, None)?;
    Ok(applied)
}

/// Removes everything that [`apply`] wrote below `prefix`, and folders that are empty then. The list goes last, so that
/// the next run completes what a killed one began.
pub fn clear(prefix: &Utf8Path) -> Result<Applied, MenuError> {
    let mut applied = Applied::default();
    if ![LIST, LOCK].iter().any(|name| prefix.join(name).exists()) {
        return Ok(applied);
    }
    let _lock = FileLock::exclusive(prefix.join(LOCK).as_std_path())?;
    let List { files, .. } = read_list(prefix)?;
    for path in &files {
        applied.removed += usize::from(remove(&prefix.join(path))?);
    }
    let mut folders: Vec<Utf8PathBuf> = files
        .iter()
        .flat_map(|path| path.ancestors().skip(1))
        .filter(|folder| !folder.as_str().is_empty())
        .map(Utf8Path::to_owned)
        .collect();
    folders.sort();
    folders.dedup();
    for folder in folders.iter().rev() {
        let folder = prefix.join(folder);
        // Folders with something of others in them stay.
        if folder.is_dir() {
            nd_host::remove_abandoned(folder.as_std_path())?;
            let _ = fs_err::remove_dir(folder);
        }
    }
    nd_host::remove_abandoned(prefix.as_std_path())?;
    for name in [LIST, LOCK] {
        remove(&prefix.join(name))?;
    }
    let _ = fs_err::remove_dir(prefix);
    Ok(applied)
}

/// Writes a file unless it is there already, and says whether it did.
fn write(path: &Utf8Path, file: &PlannedFile) -> io::Result<bool> {
    if let Ok(there) = fs_err::symlink_metadata(path)
        && there.is_file()
        && there.len() == file.bytes.len() as u64
        && there.permissions().mode() & 0o7777 == file.mode
        && fs_err::read(path).is_ok_and(|bytes| bytes == file.bytes)
    {
        return Ok(false);
    }
    let mut new = AtomicFile::create(path.as_std_path())?;
    new.write_all(&file.bytes)?;
    new.file()
        .set_permissions(std::fs::Permissions::from_mode(file.mode))?;
    new.rename()?;
    Ok(true)
}

fn remove(path: &Utf8Path) -> io::Result<bool> {
    match fs_err::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_below(path: &Utf8Path) -> bool {
    !path.as_str().is_empty()
        && path
            .components()
            .all(|part| matches!(part, Utf8Component::Normal(_)))
}

fn read_list(prefix: &Utf8Path) -> Result<List, MenuError> {
    let path = prefix.join(LIST);
    let text = match fs_err::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(List::default()),
        Err(error) => return Err(error.into()),
    };
    let list: List =
        serde_json::from_str(&text).map_err(|source| MenuError::List { path, source })?;
    match list.files.iter().find(|path| !is_below(path)) {
        Some(path) => Err(MenuError::Outside { path: path.clone() }),
        None => Ok(list),
    }
}

fn write_list(
    prefix: &Utf8Path,
    files: BTreeSet<Utf8PathBuf>,
    entries: Option<usize>,
) -> Result<(), MenuError> {
    let list = List {
        schema_version: 1,
        files,
        entries,
    };
    let text = serde_json::to_vec(&list).map_err(io::Error::from)?;
    let file = PlannedFile {
        mode: 0o644,
        bytes: text,
    };
    write(&prefix.join(LIST), &file)?;
    Ok(())
}
