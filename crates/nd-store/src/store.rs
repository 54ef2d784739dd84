//! The store itself: its folders, records, layer indexes, locks and temporary files.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use nd_host::FileLock;
use nd_names::Sha256;
use nd_rootfs::LayerIndex;

use crate::{StoreError, checked, decode_layer_index, encode_layer_index};

/// The format of the folders below a store.
const VERSION: u32 = 1;
/// Kind of the records that say which layer a blob unpacks to.
const LAYER_OF_BLOB: &str = "layer-of-blob";

/// An open store; clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) root: PathBuf,
    /// Shared while the store is open; whoever removes things takes it alone.
    pub(crate) in_use: FileLock,
    session: Session,
    _session_lock: FileLock,
}

/// A temporary folder. It goes first and its lock file second, so that no folder is ever without.
#[derive(Debug)]
struct Session(PathBuf);

impl Drop for Session {
    fn drop(&mut self) {
        if fs_err::remove_dir_all(&self.0).is_ok() {
            let _ = fs_err::remove_file(self.0.with_extension("lock"));
        }
    }
}

/// Only one process at a time holds the lock of a key; dropping it lets the next one in.
#[derive(Debug)]
pub struct KeyLock(#[expect(dead_code, reason = "held, never looked at")] pub(crate) FileLock);

impl Store {
    /// Opens the store below `root`, making it if need be, and removes what dead processes left.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = root.into();
        for folder in [
            "blobs", "indexes", "records", "partials", "trees", "locks", "tmp",
        ] {
            let path = root.join(folder);
            fs_err::create_dir_all(&path).map_err(StoreError::io("make", path))?;
        }
        let in_use = root.join("in-use");
        let in_use = FileLock::shared(&in_use).map_err(StoreError::io("lock", &in_use))?;
        check_version(&root)?;
        sweep(&root.join("tmp"));
        let (session, session_lock) = new_session(&root.join("tmp"))?;
        let inner = Inner {
            root,
            in_use,
            session,
            _session_lock: session_lock,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Where the store is.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// A folder for temporary files on the file system of the store. It is removed when the store
    /// is closed, or by a later run if this process dies.
    pub fn temporary(&self) -> &Path {
        &self.inner.session.0
    }

    /// Waits until no other process or thread works on `key`. Whoever makes something expensive
    /// takes this first and then looks whether another one has made it meanwhile.
    pub fn lock(&self, key: &Sha256) -> Result<KeyLock, StoreError> {
        let path = self.path("locks", key);
        let lock = FileLock::exclusive(&path).map_err(StoreError::io("lock", &path))?;
        Ok(KeyLock(lock))
    }

    /// The record of `kind` under `key`; `None` if there is none, or only a torn one.
    pub fn record(&self, kind: &str, key: &Sha256) -> Result<Option<Vec<u8>>, StoreError> {
        Self::read_checked(&self.record_folder(kind)?.join(key.hex()))
    }

    /// Writes a record, replacing an older one.
    pub fn put_record(&self, kind: &str, key: &Sha256, value: &[u8]) -> Result<(), StoreError> {
        let folder = self.record_folder(kind)?;
        fs_err::create_dir_all(&folder).map_err(StoreError::io("make", &folder))?;
        self.write_checked(&folder.join(key.hex()), value.to_vec())
    }

    /// Removes a record, if there is one.
    pub fn remove_record(&self, kind: &str, key: &Sha256) -> Result<(), StoreError> {
        let path = self.record_folder(kind)?.join(key.hex());
        match fs_err::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::io("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    /// The index of the layer whose uncompressed tar has this digest. One of an unknown version
    /// counts as none.
    pub fn layer_index(&self, diff_id: &Sha256) -> Result<Option<LayerIndex>, StoreError> {
        let bytes = Self::read_checked(&self.path("indexes", diff_id))?;
        Ok(bytes.and_then(|bytes| decode_layer_index(&bytes).ok()))
    }

    /// Keeps the index of the layer `diff_id`, and that `blob` unpacks to this layer: the caller has
    /// read the blob and checked both digests.
    pub fn put_layer(
        &self,
        blob: &Sha256,
        diff_id: &Sha256,
        index: &LayerIndex,
    ) -> Result<(), StoreError> {
        self.write_checked(&self.path("indexes", diff_id), encode_layer_index(index))?;
        self.put_record(LAYER_OF_BLOB, blob, diff_id.as_bytes())
    }

    /// Whether `blob` was once read here and is the layer `diff_id`. What an image says of the two is
    /// only a claim, and an index belongs to the diff id alone.
    pub fn is_layer(&self, blob: &Sha256, diff_id: &Sha256) -> Result<bool, StoreError> {
        let known = self.record(LAYER_OF_BLOB, blob)?;
        Ok(known.is_some_and(|known| known == diff_id.as_bytes()))
    }

    pub(crate) fn path(&self, folder: &str, key: &Sha256) -> PathBuf {
        self.inner.root.join(folder).join(key.hex())
    }

    fn record_folder(&self, kind: &str) -> Result<PathBuf, StoreError> {
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if kind.is_empty() || !kind.bytes().all(word) {
            return Err(StoreError::Kind(kind.into()));
        }
        Ok(self.inner.root.join("records").join(kind))
    }

    fn read_checked(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
        match fs_err::read(path) {
            Ok(bytes) => {
                touch(path);
                Ok(checked::open(bytes))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("read", path)(error)),
        }
    }

    fn write_checked(&self, path: &Path, payload: Vec<u8>) -> Result<(), StoreError> {
        let fail = |error| StoreError::io("write", path)(error);
        let mut file = tempfile::NamedTempFile::new_in(self.temporary()).map_err(fail)?;
        file.write_all(&checked::seal(payload)).map_err(fail)?;
        file.persist(path).map_err(|error| fail(error.error))?;
        Ok(())
    }
}

/// Marks something as used now; failing to is no reason to fail.
pub(crate) fn touch(path: &Path) {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    let times = Timestamps {
        last_access: now,
        last_modification: now,
    };
    let _ = utimensat(CWD, path, &times, AtFlags::empty());
}

fn check_version(root: &Path) -> Result<(), StoreError> {
    let path = root.join("version");
    match fs_err::read_to_string(&path) {
        Ok(text)
            if text
                .trim()
                .parse::<u32>()
                .is_ok_and(|version| version <= VERSION) =>
        {
            Ok(())
        }
        Ok(text) => Err(StoreError::Version {
            path: root.into(),
            found: text.trim().into(),
            known: VERSION,
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut file =
                tempfile::NamedTempFile::new_in(root).map_err(StoreError::io("write", &path))?;
            writeln!(file, "{VERSION}").map_err(StoreError::io("write", &path))?;
            file.persist(&path)
                .map_err(|e| StoreError::io("write", &path)(e.error))?;
            Ok(())
        }
        Err(error) => Err(StoreError::io("read", path)(error)),
    }
}

/// A temporary folder with a lock that dies with this process. The lock is there first, so a
/// folder never stands without one while it is in use.
fn new_session(tmp: &Path) -> Result<(Session, FileLock), StoreError> {
    let fail = |error| StoreError::io("make a folder in", tmp)(error);
    loop {
        let name = tempfile::Builder::new()
            .prefix("s-")
            .suffix(".lock")
            .tempfile_in(tmp)
            .map_err(fail)?;
        let path = name
            .into_temp_path()
            .keep()
            .map_err(|error| fail(error.error))?;
        let Some(held) = FileLock::try_exclusive(&path).map_err(fail)? else {
            continue;
        };
        let dir = path.with_extension("");
        match fs_err::create_dir(&dir) {
            Ok(()) => return Ok((Session(dir), held)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(fail(error)),
        }
    }
}

/// A folder of temporary files whose process is gone and that [`Store::open`] could not remove: what
/// lies in it belongs to ids that only a user namespace has.
#[derive(Debug)]
pub struct Abandoned {
    folder: PathBuf,
    _lock: FileLock,
}

impl Abandoned {
    /// The folder. Nobody else looks after it while this value lives.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes the folder once it has been emptied.
    pub fn remove(self) -> Result<(), StoreError> {
        fs_err::remove_dir_all(&self.folder).map_err(StoreError::io("remove", &self.folder))?;
        let _ = fs_err::remove_file(self.folder.with_extension("lock"));
        Ok(())
    }
}

impl Store {
    /// What dead processes left and this one could not remove.
    pub fn abandoned(&self) -> Vec<Abandoned> {
        let tmp = self.root().join("tmp");
        let Ok(entries) = fs_err::read_dir(&tmp) else {
            return Vec::new();
        };
        let of = |entry: fs_err::DirEntry| {
            let path = entry.path();
            path.extension().filter(|extension| *extension == "lock")?;
            let folder = path.with_extension("");
            let held = FileLock::try_exclusive(&path).ok()??;
            folder.is_dir().then_some(Abandoned {
                folder,
                _lock: held,
            })
        };
        entries.flatten().filter_map(of).collect()
    }
}

/// Removes folders whose process is gone. What cannot be removed now stays for another run.
fn sweep(tmp: &Path) {
    let Ok(entries) = fs_err::read_dir(tmp) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "lock") {
            continue;
        }
        if let Ok(Some(_held)) = FileLock::try_exclusive(&path) {
            let dir = path.with_extension("");
            let gone = fs_err::remove_dir_all(&dir);
            if gone.is_ok() || !dir.exists() {
                let _ = fs_err::remove_file(&path);
            }
        }
    }
}
