//! Locks: writing down what a build took from elsewhere, and building again from exactly that.
//!
//! A lock is read from what was built: each layer's own metadata says what package managers
//! installed, and the archives' lists say where that can be had. A locked build sees the archives as
//! folders of this machine, in the state that was locked, and is compared with the lock when it is
//! done.

mod archives;
mod error;
mod files;
mod installed;
mod local;
mod make;
mod stanzas;

use std::collections::BTreeMap;

use nd_names::Sha256;
use neurocontainers_recipe::lock::{LOCK_FILE, LockFile, LockedContainer};

pub use error::LockProblem;
pub use local::LocalArchives;
pub(crate) use local::{ForSteps, SETTINGS};
pub use make::{Locking, check_plan, compare, make};

use crate::{
    pipeline::{PipelineError, Workshop},
    recipes::RecipeFolder,
};

/// The lock file of a recipe, if there is one.
pub fn read(folder: &RecipeFolder) -> Result<Option<LockFile>, PipelineError> {
    let path = folder.path.join(LOCK_FILE);
    let text = match fs_err::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(PipelineError::io(&path)(error)),
    };
    match LockFile::parse(&text) {
        Ok(file) => Ok(Some(file)),
        Err(source) => Err(LockProblem::Form {
            path: shown(folder),
            source,
        }
        .into()),
    }
}

/// The lock file as people call it.
pub fn shown(folder: &RecipeFolder) -> String {
    format!("{}/{LOCK_FILE}", folder.shown)
}

/// What a lock file promises of downloads, by URL.
pub fn promised(file: &LockFile) -> BTreeMap<String, Sha256> {
    let urls = file.containers.iter().flat_map(|locked| &locked.urls);
    urls.map(|one| (one.url.clone(), one.sha256)).collect()
}

/// The archives that a container was locked with, completely in the store.
pub fn archives(
    workshop: &Workshop<'_>,
    locked: &LockedContainer,
) -> Result<LocalArchives, PipelineError> {
    LocalArchives::fetch(workshop, locked)
}
