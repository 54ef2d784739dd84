//! A repository in a folder of this machine.

use std::{
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use fs_err::os::unix::fs::OpenOptionsExt as _;
use nd_host::FileLock;

use crate::storage::{Guard, Source, Storage, StorageError, Version};

/// Where unfinished objects are.
const SCRATCH: &str = "data/txn";
/// How names of our unfinished objects begin.
const OURS: &str = "cvmfs-sync.";
/// The file whose lock is ours.
const LOCK: &str = "data/txn/cvmfs-sync.lock";
/// What our flag of an open transaction says.
const FLAG_TEXT: &[u8] = b"cvmfs-sync\n";

/// A repository in a folder. With a spool folder the locks and state files of `cvmfs_server` are
/// respected.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    spool: Option<PathBuf>,
    next: AtomicU64,
}

impl Directory {
    /// The repository in `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            spool: None,
            next: AtomicU64::new(0),
        }
    }

    /// The same on a host where `cvmfs_server` publishes too, with its spool folder.
    #[must_use]
    pub fn with_spool(mut self, spool: impl Into<PathBuf>) -> Self {
        self.spool = Some(spool.into());
        self
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn io(&self, path: &str) -> impl FnOnce(io::Error) -> StorageError {
        let path = self.root.join(path).display().to_string();
        move |source| StorageError::io(path, source)
    }
}

impl Source for Directory {
    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Read + Send>>, StorageError> {
        // A named pipe must not make us wait for ever.
        let opened = fs_err::OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open(self.root.join(path));
        match opened {
            Ok(file) if file.metadata().is_ok_and(|data| data.is_file()) => {
                Ok(Some(Box::new(file)))
            }
            Ok(_) => Err(self.io(path)(io::Error::other("it is no regular file"))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(self.io(path)(error)),
        }
    }

    fn size(&self, path: &str) -> Result<Option<u64>, StorageError> {
        match rustix::fs::stat(self.root.join(path)) {
            Ok(data) => Ok(Some(data.st_size.cast_unsigned())),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
            Err(error) => Err(self.io(path)(error.into())),
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

impl Storage for Directory {
    fn folder(&self) -> Option<&Path> {
        Some(&self.root)
    }

    fn prepare(&self) -> Result<(), StorageError> {
        let folders = (0..256).map(|n| format!("data/{n:02x}"));
        for folder in folders.chain([SCRATCH.to_owned()]) {
            fs_err::create_dir_all(self.root.join(&folder)).map_err(self.io(&folder))?;
        }
        Ok(())
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let scratch = format!("{SCRATCH}/{OURS}{}.{number}", rustix::process::getpid());
        let temporary = self.root.join(&scratch);
        let write = || {
            let mut file = fs_err::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o644)
                .open(&temporary)?;
            file.write_all(bytes)?;
            if !path.starts_with("data/") {
                // Names that change are few and must never be found empty.
                file.sync_all()?;
            }
            fs_err::rename(&temporary, self.root.join(path))
        };
        write().map_err(|error| {
            // The name is ours alone; when it cannot be removed the next run does it.
            let _ = fs_err::remove_file(&temporary);
            self.io(path)(error)
        })
    }

    fn remove(&self, path: &str) -> Result<(), StorageError> {
        match fs_err::remove_file(self.root.join(path)) {
            Err(error) if !is_absent(&error) => Err(self.io(path)(error)),
            _ => Ok(()),
        }
    }

    fn list(&self, each: &mut dyn FnMut(&str, u64)) -> Result<(), StorageError> {
        for n in 0..256 {
            let folder = format!("data/{n:02x}");
            let entries = match fs_err::read_dir(self.root.join(&folder)) {
                Ok(entries) => entries,
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(self.io(&folder)(error)),
            };
            for entry in entries {
                let entry = entry.map_err(self.io(&folder))?;
                let size = entry.metadata().map_err(self.io(&folder))?.len();
                if let Some(name) = entry.file_name().to_str() {
                    each(&format!("{folder}/{name}"), size);
                }
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        let folder = fs_err::File::open(&self.root).map_err(self.io(""))?;
        rustix::fs::syncfs(&folder).map_err(|error| self.io("")(error.into()))
    }

    fn lock(&self) -> Result<Box<dyn Guard>, StorageError> {
        let busy = |what: &str| StorageError::Busy(what.to_owned());
        let ours = FileLock::try_exclusive(&self.root.join(LOCK)).map_err(self.io(LOCK))?;
        let ours = ours.ok_or_else(|| busy("another `cvmfs-sync` changes it"))?;
        let spool = self
            .spool
            .as_ref()
            .map(|spool| SpoolLock::take(spool))
            .transpose()?;
        // Whoever wrote these is gone: we have the lock.
        let scratch = fs_err::read_dir(self.root.join(SCRATCH)).map_err(self.io(SCRATCH))?;
        for entry in scratch.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(OURS) && !LOCK.ends_with(&*name) {
                fs_err::remove_file(entry.path()).map_err(self.io(SCRATCH))?;
            }
        }
        Ok(Box::new(Held { _ours: ours, spool }))
    }

    fn manifest(&self) -> Result<Option<Version>, StorageError> {
        let bytes = crate::storage::read_all(self, crate::MANIFEST, crate::SMALL)?;
        let tag = String::new();
        Ok(bytes.map(|bytes| Version { bytes, tag }))
    }

    fn switch_manifest(&self, old: Option<&Version>, new: &[u8]) -> Result<(), StorageError> {
        // Nobody who respects the lock comes between; whoever does not is noticed here at least.
        if self.manifest()?.as_ref() != old {
            return Err(StorageError::Conflict);
        }
        self.put(crate::MANIFEST, new)?;
        let folder = fs_err::File::open(&self.root).map_err(self.io(""))?;
        folder.sync_all().map_err(self.io(""))
    }
}

struct Held {
    _ours: FileLock,
    spool: Option<SpoolLock>,
}

impl Guard for Held {
    fn reflog_written(&self, hash: &str) -> Result<(), StorageError> {
        match &self.spool {
            Some(spool) => spool.reflog_written(hash),
            None => Ok(()),
        }
    }
}

/// The locks of `cvmfs_server`, held by us.
struct SpoolLock {
    spool: PathBuf,
    _publishing: FileLock,
    _collecting: FileLock,
}

impl SpoolLock {
    fn take(spool: &Path) -> Result<Self, StorageError> {
        let io = |path: &Path| {
            let path = path.display().to_string();
            move |source| StorageError::io(path, source)
        };
        let lock = |name: &str, what: &str| {
            let path = spool.join(name);
            let lock = FileLock::try_exclusive(&path).map_err(io(&path))?;
            lock.ok_or_else(|| StorageError::Busy(what.to_owned()))
        };
        let publishing = lock("is_publishing.lock", "`cvmfs_server` publishes")?;
        let collecting = lock(
            "is_collecting.lock",
            "`cvmfs_server` collects garbage or checks",
        )?;
        if spool.join("checkout").exists() {
            let text = "another revision is checked out on this host".to_owned();
            return Err(StorageError::Busy(text));
        }
        let flag = spool.join("in_transaction.lock");
        match fs_err::read(&flag) {
            // Left by a run of ours that was killed: both locks are ours now, so nobody has it.
            Ok(text) if text == FLAG_TEXT => {}
            Ok(_) => {
                let text = format!("a transaction is open (`{}`)", flag.display());
                return Err(StorageError::Busy(text));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut file = fs_err::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .open(&flag)
                    .map_err(|error| match error.kind() {
                        io::ErrorKind::AlreadyExists => {
                            StorageError::Busy("a transaction was opened just now".to_owned())
                        }
                        _ => io(&flag)(error),
                    })?;
                file.write_all(FLAG_TEXT).map_err(io(&flag))?;
            }
            Err(error) => return Err(io(&flag)(error)),
        }
        Ok(Self {
            spool: spool.to_owned(),
            _publishing: publishing,
            _collecting: collecting,
        })
    }

    fn reflog_written(&self, hash: &str) -> Result<(), StorageError> {
        let path = self.spool.join("reflog.chksum");
        nd_host::write_atomic(&path, hash.as_bytes())
            .map_err(|error| StorageError::io(path.display().to_string(), error))
    }
}

impl Drop for SpoolLock {
    fn drop(&mut self) {
        // When it cannot be removed, the next run of ours takes it for its own.
        let _ = fs_err::remove_file(self.spool.join("in_transaction.lock"));
    }
}
