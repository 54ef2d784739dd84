//! Directories that the scripts of one build share and no layer holds.

use std::{cell::OnceCell, os::fd::OwnedFd};

use nd_store::NewTree;

use super::{
    HostMount,
    error::BuildError,
    work::{Desk, open},
};

/// A directory for what scripts fetch, use and throw away again, like lists of packages: it is empty
/// when a build begins and gone when it ends.
#[derive(Debug, Clone)]
pub struct SharedDir {
    /// Absolute path in the image.
    pub target: String,
    /// What else its scripts see: settings of the programs that are to use it.
    pub mounts: Vec<HostMount>,
    /// Whether a script gets it. One that could tell the difference afterwards must not.
    pub wanted: fn(&str) -> bool,
}

/// The shared directories of a build, made when the first script wants them.
pub(super) struct Shared<'a> {
    dirs: Vec<(&'a SharedDir, OnceCell<NewTree>)>,
}

impl<'a> Shared<'a> {
    pub(super) fn new(dirs: &'a [SharedDir]) -> Self {
        Self {
            dirs: dirs.iter().map(|dir| (dir, OnceCell::new())).collect(),
        }
    }

    /// Those that a script gets, open.
    pub(super) fn of_script(
        &self,
        script: &str,
        desk: &Desk<'_>,
    ) -> Result<Vec<(&'a SharedDir, OwnedFd)>, BuildError> {
        let wanted = self.dirs.iter().filter(|(dir, _)| (dir.wanted)(script));
        let opened = wanted.map(|(dir, made)| {
            let tree = if let Some(tree) = made.get() {
                tree
            } else {
                let tree = desk.new_tree()?;
                made.get_or_init(|| tree)
            };
            Ok((*dir, open(tree.path())?))
        });
        opened.collect()
    }

    /// Removes what scripts left in them. What does not go now stays for the next build.
    pub(super) fn empty(&self, desk: &Desk<'_>) {
        for tree in self.dirs.iter().filter_map(|(_, made)| made.get()) {
            let _ = desk.empty(tree.path());
        }
    }
}
