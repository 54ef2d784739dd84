//! A machine that a test makes up.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use nd_launcher::{Files, Kind};

/// Paths and what they are.
#[derive(Debug, Default)]
pub(crate) struct Fake(BTreeMap<PathBuf, Kind>);

impl Fake {
    /// What most tests need: a runtime, the image, and the usual folders.
    pub(crate) fn usual() -> Self {
        let mut fake = Self::default();
        fake.file("/usr/bin/apptainer");
        fake.file("/sw/abc_1.0_20240131/abc_1.0_20240131.simg");
        for folder in ["/", "/tmp", "/home/user", "/data/study"] {
            fake.put(folder, Kind::Folder);
        }
        fake
    }

    pub(crate) fn file(&mut self, path: &str) {
        self.put(path, Kind::File);
    }

    pub(crate) fn put(&mut self, path: &str, kind: Kind) {
        self.0.insert(path.into(), kind);
    }

    pub(crate) fn remove(&mut self, path: &str) {
        self.0.remove(Path::new(path));
    }
}

impl Files for Fake {
    fn kind(&self, path: &Path) -> Option<Kind> {
        self.0.get(path).copied()
    }

    fn same(&self, one: &Path, other: &Path) -> bool {
        one == other
    }

    fn executable(&self, path: &Path) -> bool {
        self.kind(path) == Some(Kind::File)
    }
}
