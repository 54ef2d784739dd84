//! A recipe's files, with texts of an editor in place of those on disk.

use std::{borrow::Cow, collections::BTreeMap};

use neurocontainers_recipe::{FileKind, Folder, ReadError, RecipeFiles};

use crate::recipes::DiskFiles;

/// Files on disk, some replaced.
#[derive(Debug)]
pub(super) struct Overlaid<'b> {
    pub(super) disk: DiskFiles,
    /// Texts by path in the recipe's folder.
    pub(super) buffers: &'b BTreeMap<String, String>,
}

impl RecipeFiles for Overlaid<'_> {
    fn read(&self, folder: Folder, path: &str, limit: usize) -> Result<Cow<'_, [u8]>, ReadError> {
        match self.buffers.get(path).filter(|_| folder == Folder::Recipe) {
            Some(text) if text.len() > limit => Err(ReadError::TooLarge { limit }),
            Some(text) => Ok(Cow::Borrowed(text.as_bytes())),
            None => self.disk.read(folder, path, limit),
        }
    }

    fn kind(&self, folder: Folder, path: &str) -> Option<FileKind> {
        if folder == Folder::Recipe && self.buffers.contains_key(path) {
            return Some(FileKind::File);
        }
        self.disk.kind(folder, path)
    }

    /// Checking asks no server: a README behind a URL counts as there.
    fn remote(&self, url: &str, _limit: usize) -> Result<Cow<'_, [u8]>, ReadError> {
        Ok(Cow::Owned(format!("README of {url}\n").into_bytes()))
    }
}
