//! What is remembered between runs: who runs, what failed and when it is tried again, how fast it went.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use nd_host::{FileLock, write_atomic};
use serde::{Deserialize, Serialize};

use super::plan::Pace;

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file of it.
    #[error("failed to access `{}`", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is in it.
    #[error("`{}` cannot be read", path.display())]
    Json {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It is of a newer version.
    #[error("`{}` was written by a newer version of this program", .0.display())]
    Newer(PathBuf),
    /// Another process runs.
    #[error("another `cvmfs-sync` is at work here")]
    Busy,
}

/// A container that could not be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedImage {
    /// Why, with causes.
    pub reason: String,
    /// How many times in a row.
    pub times: u32,
    /// When it failed last, in seconds since 1970.
    pub last: i64,
    /// When it is tried again, in seconds since 1970.
    pub next: i64,
}

/// A run that could not go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoppedRun {
    /// Why, with causes.
    pub reason: String,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memory {
    version: u32,
    /// Containers that fail, by image.
    pub failed: BTreeMap<String, FailedImage>,
    /// How fast publishing was.
    pub pace: Pace,
    /// When a run last ended with everything as the catalogue has it, in seconds since 1970.
    pub complete: Option<i64>,
    /// When a run last ended, in seconds since 1970.
    pub ended: Option<i64>,
    /// What ended the last run early, if anything did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<StoppedRun>,
}

/// Version of the form.
const VERSION: u32 = 1;
/// The first pause after a failure, in seconds; each further one is twice as long.
const FIRST_PAUSE: i64 = 300;
/// The longest pause, in seconds: a week.
const LONGEST_PAUSE: i64 = 7 * 24 * 3600;

impl Memory {
    /// Reads what is remembered in `folder`; nothing is, at first.
    pub fn load(folder: &Path) -> Result<Self, StateError> {
        let path = folder.join("state.json");
        let bytes = match fs_err::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(StateError::Io { path, source }),
        };
        let memory: Self = match serde_json::from_slice(&bytes) {
            Ok(memory) => memory,
            Err(source) => return Err(StateError::Json { path, source }),
        };
        if memory.version > VERSION {
            return Err(StateError::Newer(path));
        }
        Ok(memory)
    }

    /// Notes a failure, and when to try again.
    pub fn fail(&mut self, image: String, reason: String, now: Timestamp) {
        let times = self.failed.get(&image).map_or(0, |failed| failed.times) + 1;
        let doubled = FIRST_PAUSE.checked_shl(times.min(32) - 1);
        let pause = doubled.map_or(LONGEST_PAUSE, |pause| pause.min(LONGEST_PAUSE));
        let last = now.as_second();
        let failed = FailedImage {
            reason,
            times,
            last,
            next: last.saturating_add(pause),
        };
        self.failed.insert(image, failed);
    }
}

/// The state of one reconciler, locked for as long as the value lives; the kernel unlocks it when the
/// process dies.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
    _lock: FileLock,
    /// What is remembered.
    pub memory: Memory,
}

impl State {
    /// Locks the state in `folder`, which is made when it is missing. Who has it is written into the
    /// lock for people to read.
    pub fn lock(folder: PathBuf, now: Timestamp) -> Result<Self, StateError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Io { path, source }
        };
        fs_err::create_dir_all(&folder).map_err(io(&folder))?;
        let path = folder.join("lock");
        let lock = FileLock::try_exclusive(&path).map_err(io(&path))?;
        let lock = lock.ok_or(StateError::Busy)?;
        let mut file = lock.file();
        let line = format!("process {} since {now}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.write_all(line.as_bytes()))
            .map_err(io(&path))?;
        Ok(Self {
            memory: Memory::load(&folder)?,
            folder,
            _lock: lock,
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes what is remembered.
    pub fn save(&mut self) -> Result<(), StateError> {
        let path = self.folder.join("state.json");
        self.memory.version = VERSION;
        let mut bytes = match serde_json::to_vec_pretty(&self.memory) {
            Ok(bytes) => bytes,
            Err(source) => return Err(StateError::Json { path, source }),
        };
        bytes.push(b'\n');
        match write_atomic(&path, &bytes) {
            Ok(()) => Ok(()),
            Err(source) => Err(StateError::Io { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    //! Pauses.

    use super::*;

    #[test]
    fn pauses_grow_to_a_week() {
        let mut memory = Memory::default();
        let now = Timestamp::UNIX_EPOCH;
        let mut pauses = Vec::new();
        for _ in 0..40 {
            memory.fail("a_1_20240101".into(), "no".into(), now);
            pauses.push(memory.failed["a_1_20240101"].next);
        }
        assert_eq!(pauses[..4], [300, 600, 1200, 2400]);
        assert_eq!(pauses[39], LONGEST_PAUSE);
        assert!(pauses.is_sorted());
    }
}
