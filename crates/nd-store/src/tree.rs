//! Unpacked trees, kept while somebody leases them.

use std::path::{Path, PathBuf};

use nd_host::FileLock;
use nd_names::Sha256;

use crate::{Store, StoreError, store::touch};

/// A tree in the store that is not removed while this value lives.
#[derive(Debug)]
pub struct TreeLease {
    path: PathBuf,
    _lock: FileLock,
}

impl TreeLease {
    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A tree being made, in a temporary folder of the store.
#[derive(Debug)]
pub struct NewTree {
    store: Store,
    path: PathBuf,
}

impl Drop for NewTree {
    fn drop(&mut self) {
        // Gone already if it was kept. What only its own namespace can remove stays for those who
        // can enter that.
        let _ = fs_err::remove_dir_all(&self.path);
    }
}

impl NewTree {
    /// The folder to fill.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the tree its name. One of that name that is already there stays, and this one goes.
    pub fn keep(self, key: &Sha256) -> Result<TreeLease, StoreError> {
        let to = self.store.path("trees", key);
        let lease = self.store.lease(key)?;
        match fs_err::rename(&self.path, &to) {
            Ok(()) => {}
            Err(_) if to.is_dir() => {}
            Err(error) => return Err(StoreError::io("name", to)(error)),
        }
        touch(&to.with_extension("lease"));
        Ok(lease)
    }
}

impl Store {
    /// An empty folder, to be filled and kept.
    pub fn new_tree(&self) -> Result<NewTree, StoreError> {
        let fail = StoreError::io("make a folder in", self.temporary());
        let path = tempfile::Builder::new()
            .prefix("tree-")
            .tempdir_in(self.temporary())
            .map_err(fail)?
            .keep();
        Ok(NewTree {
            store: self.clone(),
            path,
        })
    }

    /// Leases the tree of `key`; `None` if there is none.
    pub fn tree(&self, key: &Sha256) -> Result<Option<TreeLease>, StoreError> {
        let lease = self.lease(key)?;
        if !lease.path.is_dir() {
            return Ok(None);
        }
        touch(&lease.path.with_extension("lease"));
        Ok(Some(lease))
    }

    fn lease(&self, key: &Sha256) -> Result<TreeLease, StoreError> {
        let path = self.path("trees", key);
        let name = path.with_extension("lease");
        let held = FileLock::shared(&name).map_err(StoreError::io("lock", &name))?;
        Ok(TreeLease { path, _lock: held })
    }
}
