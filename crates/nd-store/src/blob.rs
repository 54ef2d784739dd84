//! Blobs: files named by the SHA-256 of their bytes.

use std::{
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt as _,
};

use nd_names::{Sha256, Sha256Hasher};

use crate::{Store, StoreError, store::touch};

/// A blob being written; it gets its name when it is finished.
#[derive(Debug)]
pub struct BlobWriter {
    store: Store,
    file: tempfile::NamedTempFile,
    hasher: Sha256Hasher,
    size: u64,
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl BlobWriter {
    /// Gives the blob its name. One that is already there stays.
    pub fn finish(self) -> Result<(Sha256, u64), StoreError> {
        let digest = self.hasher.finish();
        let path = self.store.path("blobs", &digest);
        self.file
            .persist(&path)
            .map_err(|e| StoreError::io("write", &path)(e.error))?;
        Ok((digest, self.size))
    }
}

impl Store {
    /// Starts a blob.
    pub fn new_blob(&self) -> Result<BlobWriter, StoreError> {
        Ok(BlobWriter {
            store: self.clone(),
            file: self.new_blob_file()?,
            hasher: Sha256Hasher::default(),
            size: 0,
        })
    }

    /// A temporary file for a blob that another process writes; [`Self::keep_blob`] names it.
    pub fn new_blob_file(&self) -> Result<tempfile::NamedTempFile, StoreError> {
        // Blobs are linked into layouts, which others than their owner may read.
        tempfile::Builder::new()
            .permissions(std::fs::Permissions::from_mode(0o644))
            .tempfile_in(self.temporary())
            .map_err(StoreError::io("make a file in", self.temporary()))
    }

    /// Names a blob by the digest that its writer has taken while writing.
    pub fn keep_blob(
        &self,
        file: tempfile::NamedTempFile,
        digest: &Sha256,
    ) -> Result<(), StoreError> {
        let path = self.path("blobs", digest);
        file.persist(&path)
            .map_err(|e| StoreError::io("write", &path)(e.error))?;
        Ok(())
    }

    /// Whether a blob is there; if so, it is marked as used.
    pub fn has_blob(&self, digest: &Sha256) -> bool {
        let path = self.path("blobs", digest);
        let there = path.is_file();
        if there {
            touch(&path);
        }
        there
    }

    /// Stores what `input` gives. With `expected`, other bytes are refused and not kept.
    pub fn put_blob(
        &self,
        mut input: impl Read,
        expected: Option<&Sha256>,
    ) -> Result<(Sha256, u64), StoreError> {
        let mut blob = self.new_blob()?;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let n = match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(StoreError::Input(error)),
            };
            blob.write_all(&buffer[..n])
                .map_err(StoreError::io("write to", self.temporary()))?;
        }
        let found = blob.hasher.clone().finish();
        if let Some(expected) = expected.filter(|expected| **expected != found) {
            return Err(StoreError::Digest {
                expected: *expected,
                found,
            });
        }
        blob.finish()
    }

    /// Opens a blob and marks it as used.
    pub fn blob(&self, digest: &Sha256) -> Result<Option<std::fs::File>, StoreError> {
        let path = self.path("blobs", digest);
        match fs_err::File::open(&path) {
            Ok(file) => {
                touch(&path);
                Ok(Some(file.into()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("open", path)(error)),
        }
    }

    /// Where a blob is or would be.
    pub fn blob_path(&self, digest: &Sha256) -> std::path::PathBuf {
        self.path("blobs", digest)
    }
}
