//! Removing what lies in the namespace's ids.

use std::path::Path;

use nd_report::Cancel;
use nd_sandbox::IdMode;
use nd_store::{PruneWish, Pruned, Store, StoreError};

use super::{
    error::BuildError,
    work::{Desk, open, open_nothing},
};

/// Removes what was used longest ago from a store until at most `keep` bytes are left, as
/// [`Store::prune`] does, trees whose files belong to ids of the build among it.
pub fn prune(store: &Store, keep: u64, ids: IdMode, cancel: &Cancel) -> Result<Pruned, StoreError> {
    prune_where(store, &PruneWish::keep(keep), ids, cancel)
}

/// As [`prune`], of selected items alone, as [`Store::prune_where`] does.
pub fn prune_where(
    store: &Store,
    wish: &PruneWish<'_>,
    ids: IdMode,
    cancel: &Cancel,
) -> Result<Pruned, StoreError> {
    let desk = Desk::new(store, ids, cancel);
    store.prune_where(wish, &mut |folder| {
        // What cannot be emptied in there cannot be removed out here either, and says why itself.
        desk.empty(folder).map_err(std::io::Error::other)
    })
}

impl Desk<'_> {
    /// Removes what builds that were killed have left in the store and only their namespace could
    /// remove. What does not go now stays for the next build.
    pub(crate) fn tidy(&self) {
        for abandoned in self.store.abandoned() {
            if self.empty(abandoned.folder()).is_ok() {
                let _ = abandoned.remove();
            }
        }
    }

    /// Removes everything in a folder.
    pub(super) fn empty(&self, folder: &Path) -> Result<(), BuildError> {
        // A real root needs no namespace to remove anything.
        if rustix::process::geteuid().is_root() {
            return Ok(());
        }
        self.remove_in_engine(open(folder)?, open_nothing()?)
    }
}
