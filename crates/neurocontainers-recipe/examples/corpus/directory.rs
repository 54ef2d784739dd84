//! Recipes in a folder.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
};

use neurocontainers_recipe::{FileKind, Folder, ReadError, RecipeFiles};
use serde_json::Value;

/// A recipe's folder and the folder for includes.
#[derive(Debug)]
pub(crate) struct Directory {
    /// The folder with `build.yaml`.
    pub(crate) recipe: PathBuf,
    /// The folder with `macros`.
    pub(crate) include: PathBuf,
}

impl Directory {
    fn path(&self, folder: Folder, path: &str) -> PathBuf {
        match folder {
            Folder::Recipe => self.recipe.join(path),
            Folder::Include => self.include.join(path),
        }
    }
}

impl RecipeFiles for Directory {
    fn read(&self, folder: Folder, path: &str, limit: usize) -> Result<Cow<'_, [u8]>, ReadError> {
        let path = self.path(folder, path);
        let size = match fs_err::metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            Ok(_) => return Err(ReadError::Outside),
            Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => {
                return Err(ReadError::Absent);
            }
            Err(problem) => return Err(ReadError::Io(problem)),
        };
        if size > limit as u64 {
            return Err(ReadError::TooLarge { limit });
        }
        Ok(Cow::Owned(fs_err::read(path)?))
    }

    fn kind(&self, folder: Folder, path: &str) -> Option<FileKind> {
        let metadata = fs_err::metadata(self.path(folder, path)).ok()?;
        Some(if metadata.is_dir() {
            FileKind::Directory
        } else {
            FileKind::File
        })
    }

    fn remote(&self, url: &str, _limit: usize) -> Result<Cow<'_, [u8]>, ReadError> {
        // The recorded results were made without network, with this text in its place.
        Ok(Cow::Owned(format!("README FROM URL: {url}").into_bytes()))
    }
}

/// Files of a case in memory, with includes from a folder.
#[derive(Debug)]
pub(crate) struct InMemory<'a> {
    /// Text of `build.yaml`.
    pub(crate) build: &'a str,
    /// Further files by path.
    pub(crate) files: Option<&'a serde_json::Map<String, Value>>,
    /// The folder with `macros`.
    pub(crate) include: &'a Path,
}

impl InMemory<'_> {
    fn text(&self, path: &str) -> Option<&str> {
        if path == "build.yaml" {
            return Some(self.build);
        }
        self.files?.get(path)?.as_str()
    }

    fn includes(&self) -> Directory {
        Directory {
            recipe: self.include.to_owned(),
            include: self.include.to_owned(),
        }
    }
}

impl RecipeFiles for InMemory<'_> {
    fn read(&self, folder: Folder, path: &str, limit: usize) -> Result<Cow<'_, [u8]>, ReadError> {
        match folder {
            Folder::Recipe => {
                let text = self.text(path).ok_or(ReadError::Absent)?;
                Ok(Cow::Borrowed(text.as_bytes()))
            }
            Folder::Include => {
                let bytes = self.includes().read(folder, path, limit)?.into_owned();
                Ok(Cow::Owned(bytes))
            }
        }
    }

    fn kind(&self, folder: Folder, path: &str) -> Option<FileKind> {
        match folder {
            Folder::Recipe => self.text(path).map(|_| FileKind::File),
            Folder::Include => self.includes().kind(folder, path),
        }
    }

    fn remote(&self, url: &str, _limit: usize) -> Result<Cow<'_, [u8]>, ReadError> {
        Ok(Cow::Owned(format!("README FROM URL: {url}").into_bytes()))
    }
}

/// Files of a folder whose names end in `.json`, sorted; `None` when there is no such folder.
pub(crate) fn json_files(folder: &Path) -> Option<Vec<PathBuf>> {
    let entries = fs_err::read_dir(folder).ok()?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    paths.sort();
    Some(paths)
}

/// Reads a JSON file.
pub(crate) fn read_json(path: &Path) -> Result<Value, String> {
    let bytes = fs_err::read(path).map_err(|problem| problem.to_string())?;
    serde_json::from_slice(&bytes).map_err(|problem| format!("{}: {problem}", path.display()))
}

/// The stem of a file's name.
pub(crate) fn stem(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
