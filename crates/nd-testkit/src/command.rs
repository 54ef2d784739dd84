//! Commands that see nothing of the machine of whoever runs the tests.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

use assert_cmd::Command;
use tempfile::TempDir;

/// A home, a cache and a working directory for the commands of one test; removed when dropped.
#[derive(Debug)]
pub struct TestEnv {
    root: TempDir,
}

impl TestEnv {
    /// New folders.
    pub fn new() -> io::Result<Self> {
        let root = TempDir::new()?;
        for name in ["home", "cache", "work"] {
            std::fs::DirBuilder::new().create(root.path().join(name))?;
        }
        Ok(Self { root })
    }

    /// The working directory of commands.
    pub fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// The cache folder of commands.
    pub fn cache(&self) -> PathBuf {
        self.root.path().join("cache")
    }

    /// The folder that holds all of the above, for snapshot filters.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// `program` with an environment that holds only what every machine has: the search path, a home
    /// and a cache of its own, the C.UTF-8 locale, UTC, 80 columns and no colour.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var_os("PATH").unwrap_or_default();
        command
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.root.path().join("home"))
            .env("ND_CACHE_DIR", self.cache())
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .env("COLUMNS", "80")
            .env("NO_COLOR", "1")
            .current_dir(self.work());
        command
    }
}
