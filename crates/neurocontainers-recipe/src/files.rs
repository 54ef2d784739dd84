//! Reading files without knowing where they are.

use std::{borrow::Cow, collections::BTreeMap};

/// Folders that a recipe may read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Folder {
    /// The folder that holds `build.yaml`.
    Recipe,
    /// The include folders, searched in their order.
    Include,
}

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is nothing of that name.
    #[error("no such file")]
    Absent,
    /// The file is larger than the limit that was given, in bytes.
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The path leaves its folder, or is no file.
    #[error("not a file of this folder")]
    Outside,
    /// The system refused.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Where recipes come from: a folder on disk, an editor's buffers, a map in memory.
///
/// Paths are relative, separated by `/`, without `.`, `..` and empty parts: [`is_confined`] holds
/// for every path this crate asks for. Implementations must not follow links out of the folder.
pub trait RecipeFiles {
    /// Reads a file of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// When there is no such file, it is larger, or it cannot be read.
    fn read(&self, folder: Folder, path: &str, limit: usize) -> Result<Cow<'_, [u8]>, ReadError>;

    /// What `path` names, `None` for nothing.
    fn kind(&self, folder: Folder, path: &str) -> Option<FileKind>;

    /// The bytes behind a URL, for recipes that take their README from one. Without this method
    /// such recipes get the URL reported as unavailable.
    ///
    /// # Errors
    ///
    /// When the text is not at hand.
    fn remote(&self, url: &str, limit: usize) -> Result<Cow<'_, [u8]>, ReadError> {
        let _ = (url, limit);
        Err(ReadError::Absent)
    }
}

/// Whether `path` is relative and stays below its folder: no empty part, `.`, `..`, NUL or other
/// control character.
pub fn is_confined(path: &str) -> bool {
    !path.is_empty()
        && path
            .split('/')
            .all(|part| !matches!(part, "" | "." | "..") && !part.chars().any(char::is_control))
}

/// Files in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryFiles {
    files: BTreeMap<(Folder, String), Vec<u8>>,
    remote: BTreeMap<String, Vec<u8>>,
}

impl MemoryFiles {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file and returns these files.
    #[must_use]
    pub fn with(mut self, folder: Folder, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.insert((folder, path.to_owned()), bytes.into());
        self
    }

    /// Adds what a URL gives and returns these files.
    #[must_use]
    pub fn with_remote(mut self, url: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.remote.insert(url.to_owned(), bytes.into());
        self
    }
}

fn within(bytes: Option<&Vec<u8>>, limit: usize) -> Result<Cow<'_, [u8]>, ReadError> {
    let bytes = bytes.ok_or(ReadError::Absent)?;
    if bytes.len() > limit {
        return Err(ReadError::TooLarge { limit });
    }
    Ok(Cow::Borrowed(bytes))
}

impl RecipeFiles for MemoryFiles {
    fn read(&self, folder: Folder, path: &str, limit: usize) -> Result<Cow<'_, [u8]>, ReadError> {
        within(self.files.get(&(folder, path.to_owned())), limit)
    }

    fn kind(&self, folder: Folder, path: &str) -> Option<FileKind> {
        if self.files.contains_key(&(folder, path.to_owned())) {
            return Some(FileKind::File);
        }
        let below = format!("{}/", path.trim_end_matches('/'));
        self.files
            .keys()
            .any(|(at, name)| *at == folder && name.starts_with(&below))
            .then_some(FileKind::Directory)
    }

    fn remote(&self, url: &str, limit: usize) -> Result<Cow<'_, [u8]>, ReadError> {
        within(self.remote.get(url), limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confinement() {
        for good in ["a", "a/b.c", ".hidden", "a b", "..a"] {
            assert!(is_confined(good), "{good}");
        }
        for bad in [
            "", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\0b", "a\nb",
        ] {
            assert!(!is_confined(bad), "{bad}");
        }
    }
}
