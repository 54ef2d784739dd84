//! Making the build folder.

use std::{
    io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use super::{OUTPUT_FOLDER, STAGING, StageError, StagePlan, Staged, plan::Item};

/// Holds the digest of the plan that the folder was made from.
const MARK: &str = ".nd-staged";

impl StagePlan {
    /// Makes `folder` what the plan says, unless it is that already. Outputs in it are kept.
    pub fn apply(&self, folder: &Path) -> Result<Staged, StageError> {
        let mark = self.digest.hex();
        if fs_err::read_to_string(folder.join(MARK)).is_ok_and(|there| there == mark) {
            return Ok(Staged {
                folder: folder.into(),
                cached: true,
            });
        }
        let parent = folder.parent().unwrap_or(Path::new("."));
        fs_err::create_dir_all(parent).map_err(StageError::io(parent))?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!("{STAGING}+{name}+");
        let new = tempfile::Builder::new()
            .prefix(&prefix)
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir_in(parent)
            .map_err(StageError::io(parent))?;
        self.fill(new.path())?;
        let path = new.path().join(MARK);
        fs_err::write(&path, mark).map_err(StageError::io(&path))?;
        let outputs = folder.join(OUTPUT_FOLDER);
        if outputs.is_dir() {
            let to = new.path().join(OUTPUT_FOLDER);
            fs_err::rename(&outputs, to).map_err(StageError::io(&outputs))?;
        }
        // The old folder becomes the temporary one, which goes when this function ends.
        if folder.exists() {
            let old = tempfile::Builder::new()
                .prefix(&prefix)
                .tempdir_in(parent)
                .map_err(StageError::io(parent))?;
            fs_err::rename(folder, old.path().join("old")).map_err(StageError::io(folder))?;
            fs_err::rename(new.path(), folder).map_err(StageError::io(folder))?;
        } else {
            fs_err::rename(new.path(), folder).map_err(StageError::io(folder))?;
        }
        Ok(Staged {
            folder: folder.into(),
            cached: false,
        })
    }

    fn fill(&self, root: &Path) -> Result<(), StageError> {
        // Links come last, so that nothing is written through one; copies of what is there before.
        let rank = |item: &Item| match item {
            Item::Same(_) => 1,
            Item::Link(_) => 2,
            _ => 0,
        };
        let mut items: Vec<(&String, &Item)> = self.items.iter().collect();
        items.sort_by_key(|(_, item)| rank(item));
        for (path, item) in items {
            let to = root.join(path);
            let fail = || StageError::io(&to);
            if let Some(parent) = to.parent() {
                fs_err::create_dir_all(parent).map_err(fail())?;
            }
            match item {
                Item::Directory => fs_err::create_dir_all(&to).map_err(fail())?,
                Item::Bytes { bytes, executable } => {
                    fs_err::write(&to, bytes).map_err(fail())?;
                    set_mode(&to, *executable).map_err(fail())?;
                }
                Item::Recipe { path, executable } => {
                    let from = self.recipe.file(path.as_bytes()).map_err(fail())?;
                    copy(from, &to, *executable).map_err(fail())?;
                }
                Item::Download {
                    path, executable, ..
                } => {
                    let from = fs_err::File::open(path).map_err(StageError::io(path))?;
                    copy(from.into_file(), &to, *executable).map_err(fail())?;
                }
                Item::Same(other) => {
                    let from = root.join(other);
                    if fs_err::hard_link(&from, &to).is_err() {
                        fs_err::copy(&from, &to).map_err(fail())?;
                    }
                }
                Item::Link(target) => {
                    use std::os::unix::ffi::OsStrExt as _;
                    symlink(std::ffi::OsStr::from_bytes(target), &to).map_err(fail())?;
                }
            }
        }
        Ok(())
    }
}

fn copy(mut from: std::fs::File, to: &Path, executable: bool) -> io::Result<()> {
    let mut out = fs_err::File::create(to)?;
    io::copy(&mut from, &mut out)?;
    set_mode(to, executable)
}

fn set_mode(path: &Path, executable: bool) -> io::Result<()> {
    let mode = if executable { 0o755 } else { 0o644 };
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode))
}
