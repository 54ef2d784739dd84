//! What has come of a download: written and hashed together, by another thread while more comes.

use std::{
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use nd_names::{Sha256, Sha256Hasher};
use nd_report::{Cancel, Cancelled};
use nd_store::{KeyLock, Partial, StoreError};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::FetchError;

/// Pieces that wait to be written; each is as large as what was read at once, some hundred kilobytes.
const WAITING: usize = 4;

/// A partial and the digest of what is in it. Clones are the same partial, which is kept from others
/// as long as one of them lives.
#[derive(Clone)]
pub(crate) struct Kept(Arc<Mutex<Inner>>);

struct Inner {
    partial: Partial,
    hasher: Sha256Hasher,
    bytes: u64,
}

impl Kept {
    /// Nothing of what is in the partial counts yet.
    pub(crate) fn new(partial: Partial) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            partial,
            hasher: Sha256Hasher::default(),
            bytes: 0,
        })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // What is counted is always what was hashed, whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that count.
    pub(crate) fn bytes(&self) -> u64 {
        self.inner().bytes
    }

    /// Digest of them.
    pub(crate) fn digest(&self) -> Sha256 {
        self.inner().hasher.clone().finish()
    }

    /// Bytes in the partial.
    pub(crate) fn on_disk(&self) -> Result<u64, StoreError> {
        self.inner().partial.bytes()
    }

    /// Counts what an earlier run has left.
    pub(crate) fn take_up(&self, cancel: &Cancel) -> Result<(), FetchError> {
        let mut guard = self.inner();
        let inner = &mut *guard;
        let path = inner.partial.path().to_path_buf();
        let fail = |error| FetchError::io(&path)(error);
        let mut buffer = vec![0; 256 << 10];
        inner
            .partial
            .file()
            .seek(SeekFrom::Start(0))
            .map_err(fail)?;
        loop {
            cancel.check()?;
            let n = match inner.partial.file().read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(fail(error)),
            };
            inner.hasher.update(&buffer[..n]);
            inner.bytes += n as u64;
        }
    }

    /// Throws away what is there.
    pub(crate) fn clear(&self) -> Result<(), FetchError> {
        let mut inner = self.inner();
        let path = inner.partial.path().to_path_buf();
        let emptied = inner.partial.file().set_len(0);
        emptied.map_err(FetchError::io(path))?;
        inner.hasher = Sha256Hasher::default();
        inner.bytes = 0;
        Ok(())
    }

    /// Has the file system set aside the room of so many bytes.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), FetchError> {
        let mut inner = self.inner();
        let asked = nd_host::reserve(inner.partial.file(), bytes);
        asked.map_err(FetchError::io(inner.partial.path()))
    }

    /// Gives room back that nothing has come for.
    pub(crate) fn trim(&self) {
        let mut inner = self.inner();
        let bytes = inner.bytes;
        let _ = inner.partial.file().set_len(bytes);
    }

    /// Starts to write what is handed over, after what counts.
    pub(crate) fn write(&self) -> Writing {
        let (pieces, mut handed) = mpsc::channel::<Bytes>(WAITING);
        let kept = self.clone();
        // Dropped with the download, it still writes what it was handed.
        let task = tokio::task::spawn_blocking(move || {
            kept.inner().go_on()?;
            while let Some(piece) = handed.blocking_recv() {
                kept.inner().add(&piece)?;
            }
            Ok(())
        });
        Writing { pieces, task }
    }

    /// Removes the partial.
    pub(crate) fn discard(self) -> Result<(), FetchError> {
        Ok(self.alone()?.partial.discard()?)
    }

    /// Makes it the blob of its digest; gives path, digest, length and the lock.
    pub(crate) fn into_blob(self) -> Result<(PathBuf, Sha256, u64, KeyLock), FetchError> {
        let digest = self.digest();
        let inner = self.alone()?;
        let (path, lock) = inner.partial.into_blob(&digest)?;
        Ok((path, digest, inner.bytes, lock))
    }

    /// The only one there is: whoever wrote has ended.
    fn alone(self) -> Result<Inner, FetchError> {
        let inner = Arc::into_inner(self.0).ok_or(Cancelled)?;
        Ok(inner.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    fn go_on(&mut self) -> Result<(), FetchError> {
        let at = SeekFrom::Start(self.bytes);
        let sought = self.partial.file().seek(at);
        sought
            .map(drop)
            .map_err(FetchError::io(self.partial.path()))
    }

    fn add(&mut self, piece: &[u8]) -> Result<(), FetchError> {
        if let Err(error) = self.partial.file().write_all(piece) {
            // A piece may be half there; the next attempt or run must not count it.
            let _ = self.partial.file().set_len(self.bytes);
            return Err(FetchError::io(self.partial.path())(error));
        }
        self.hasher.update(piece);
        self.bytes += piece.len() as u64;
        Ok(())
    }
}

/// A thread that writes.
pub(crate) struct Writing {
    pieces: mpsc::Sender<Bytes>,
    task: JoinHandle<Result<(), FetchError>>,
}

impl Writing {
    /// Hands over a piece, when there is room for it; `false` if writing has failed, which
    /// [`Self::finish`] tells of.
    pub(crate) async fn put(&self, piece: Bytes) -> bool {
        self.pieces.send(piece).await.is_ok()
    }

    /// Waits until everything is written.
    pub(crate) async fn finish(self) -> Result<(), FetchError> {
        drop(self.pieces);
        match self.task.await {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Cancelled.into()),
        }
    }
}
