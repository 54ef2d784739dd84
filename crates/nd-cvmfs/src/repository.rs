//! Reading a repository: the chain of trust, catalogues, files.

mod trust;

use std::io::{self, Read};

use jiff::Timestamp;
use nd_rootfs::show;

use crate::{
    MANIFEST, REFLOG, SMALL, WHITELIST,
    catalog::{Catalog, CatalogError, Row, RowKind, flag},
    compress::inflate,
    hash::{Hasher, ObjectHash, ObjectKind},
    history::{History, HistoryError},
    keys::{Certificate, MasterPublicKey},
    letter::Letter,
    manifest::{Manifest, ManifestError},
    name::RepositoryName,
    reflog::{Reflog, ReflogError},
    storage::{Source, StorageError, read_all},
    whitelist::Whitelist,
};
pub use trust::TrustError;

/// The largest data base that is read, in bytes.
const MAX_DATABASE: u64 = 4 << 30;

/// Why something of a repository cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is no repository.
    #[error("there is no repository at `{0}`: it has no `{MANIFEST}`")]
    NoRepository(String),
    /// The manifest makes no sense.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// An object is missing.
    #[error("the {} `{path}` is missing", kind.name())]
    Missing {
        /// What it is.
        kind: ObjectKind,
        /// Where it should be.
        path: String,
    },
    /// An object has other bytes than its name says.
    #[error("the {} `{path}` is damaged: {problem}", kind.name())]
    Damaged {
        /// What it is.
        kind: ObjectKind,
        /// Where it is.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A catalogue makes no sense.
    #[error("failed to read the catalogue of `{path}`")]
    Catalog {
        /// Where it begins.
        path: String,
        /// Why.
        #[source]
        source: CatalogError,
    },
    /// The tags make no sense.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The reference log makes no sense.
    #[error(transparent)]
    Reflog(#[from] ReflogError),
    /// Nothing of that path.
    #[error("there is no `{0}`")]
    NotFound(String),
    /// It is not what was asked for.
    #[error("`{path}` is no {expected}")]
    Not {
        /// Which path.
        path: String,
        /// What it should be.
        expected: &'static str,
    },
}

/// An open repository at one revision.
pub struct Repository<'s> {
    source: &'s dyn Source,
    manifest: Manifest,
    manifest_bytes: Vec<u8>,
}

impl std::fmt::Debug for Repository<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository")
            .field("source", &self.source.describe())
            .field("manifest", &self.manifest)
            .finish_non_exhaustive()
    }
}

impl<'s> Repository<'s> {
    /// Reads the manifest. Nothing is proved by that; see [`Self::check_trust`].
    pub fn open(source: &'s dyn Source) -> Result<Self, ReadError> {
        let bytes = read_all(source, MANIFEST, SMALL)?;
        let bytes = bytes.ok_or_else(|| ReadError::NoRepository(source.describe()))?;
        Self::of_manifest(source, bytes)
    }

    /// The same for a manifest that was read already.
    pub fn of_manifest(source: &'s dyn Source, bytes: Vec<u8>) -> Result<Self, ReadError> {
        let letter = Letter::parse(&bytes).map_err(ManifestError::Letter)?;
        let manifest = Manifest::parse_lines(letter.payload)?;
        Ok(Self {
            source,
            manifest,
            manifest_bytes: bytes,
        })
    }

    /// The same repository at another root catalogue, which has `size` bytes (0: unknown).
    #[must_use]
    pub fn at(&self, root: ObjectHash, revision: u64, size: u64) -> Self {
        Self {
            source: self.source,
            manifest: Manifest {
                root_catalog: root,
                root_size: size,
                revision,
                ..self.manifest.clone()
            },
            manifest_bytes: self.manifest_bytes.clone(),
        }
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest as it was read, with its signature.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.manifest_bytes
    }

    /// Where it is read from.
    pub fn source(&self) -> &'s dyn Source {
        self.source
    }

    /// Checks that the owner of one of `keys` stands behind the manifest: every reason why that is
    /// not so. The whitelist is given when it can be read at all.
    pub fn check_trust(
        &self,
        keys: &[MasterPublicKey],
        name: Option<&RepositoryName>,
        now: Timestamp,
    ) -> Result<(Option<Whitelist>, Vec<TrustError>), StorageError> {
        let mut wrong = Vec::new();
        let certificate = match self.certificate() {
            Ok(certificate) => certificate,
            Err(ReadError::Storage(error)) => return Err(error),
            Err(error) => {
                wrong.push(TrustError::Certificate(error.to_string()));
                None
            }
        };
        if self.manifest.certificate.is_none() {
            wrong.push(TrustError::NoCertificate);
        }
        if let (Some(certificate), Ok(letter)) = (&certificate, Letter::parse(&self.manifest_bytes))
            && !certificate.signed(&letter)
        {
            wrong.push(TrustError::ManifestSignature);
        }
        let named = self.manifest.name.as_ref();
        if let (Some(expected), found) = (name, named)
            && found != Some(expected)
        {
            wrong.push(TrustError::Name {
                found: found.map(ToString::to_string).unwrap_or_default(),
                expected: expected.to_string(),
            });
        }
        let Some(bytes) = read_all(self.source, WHITELIST, SMALL)? else {
            wrong.push(TrustError::NoWhitelist);
            return Ok((None, wrong));
        };
        let letter = match Letter::parse(&bytes) {
            Ok(letter) => letter,
            Err(error) => {
                wrong.push(TrustError::Whitelist(error.into()));
                return Ok((None, wrong));
            }
        };
        let list = match Whitelist::parse_lines(letter.payload) {
            Ok(list) => list,
            Err(error) => {
                wrong.push(error.into());
                return Ok((None, wrong));
            }
        };
        if list.is_expired(now) {
            wrong.push(TrustError::Expired(list.expires.to_string()));
        }
        if let Some(expected) = name.or(named)
            && *expected != list.name
        {
            wrong.push(TrustError::WhitelistName(list.name.to_string()));
        }
        for (demanded, what) in [
            (list.pkcs7, "a PKCS#7 signature"),
            (list.ca_chain, "a chain of authorities"),
        ] {
            if demanded {
                wrong.push(TrustError::Unsupported(what));
            }
        }
        if keys.is_empty() {
            wrong.push(TrustError::NoKey);
        } else if !keys.iter().any(|key| key.signed(&letter)) {
            wrong.push(TrustError::WhitelistSignature);
        }
        if certificate.is_some_and(|certificate| !certificate.is_on(&list)) {
            wrong.push(TrustError::NotListed);
        }
        Ok((Some(list), wrong))
    }

    /// The certificate, if the manifest names one.
    pub fn certificate(&self) -> Result<Option<Certificate>, ReadError> {
        let Some(hash) = self.manifest.certificate else {
            return Ok(None);
        };
        let kind = ObjectKind::Certificate;
        let pem = self.document(&hash, kind, SMALL)?;
        let certificate = Certificate::parse(&pem);
        Ok(Some(certificate.ok_or_else(|| {
            damaged(&hash, kind, "it is no certificate of an RSA key")
        })?))
    }

    /// The bytes of an object that is always compressed, with its name checked.
    pub(crate) fn document(
        &self,
        hash: &ObjectHash,
        kind: ObjectKind,
        limit: u64,
    ) -> Result<Vec<u8>, ReadError> {
        let path = hash.path(kind);
        let stream = read_all(self.source, &path, limit)?;
        let stream = stream.ok_or(ReadError::Missing { kind, path })?;
        if hash.algorithm.hash(&stream) != *hash {
            return Err(damaged(hash, kind, "its bytes have another hash"));
        }
        inflate(&stream, limit).map_err(|error| damaged(hash, kind, error))
    }

    /// The bytes of a catalogue's data base.
    pub(crate) fn catalog_bytes(&self, hash: &ObjectHash, size: u64) -> Result<Vec<u8>, ReadError> {
        let bytes = self.document(hash, ObjectKind::Catalog, MAX_DATABASE)?;
        if size != 0 && bytes.len() as u64 != size {
            let text = format!("it has {} bytes, not {size}", bytes.len());
            return Err(damaged(hash, ObjectKind::Catalog, text));
        }
        Ok(bytes)
    }

    /// A catalogue that begins at `prefix`, refused when an invariant is broken.
    pub fn catalog(
        &self,
        hash: &ObjectHash,
        size: u64,
        prefix: &[u8],
    ) -> Result<Catalog, ReadError> {
        let bytes = self.catalog_bytes(hash, size)?;
        Catalog::read_sound(&bytes, prefix).map_err(|source| ReadError::Catalog {
            path: shown(prefix),
            source,
        })
    }

    /// The root catalogue.
    pub fn root(&self) -> Result<Catalog, ReadError> {
        self.catalog(&self.manifest.root_catalog, self.manifest.root_size, b"")
    }

    /// The catalogue that lists what is in `path`: the path is its root or has a row in it.
    pub fn catalog_of(&self, path: &[u8]) -> Result<Catalog, ReadError> {
        let mut catalog = self.root()?;
        while let Some((mount, nested)) = catalog.nested_for(path) {
            let mount = mount.to_vec();
            catalog = self.catalog(&nested.hash, nested.size, &mount)?;
        }
        Ok(catalog)
    }

    /// The row of a path; the root is the empty path.
    pub fn stat(&self, path: &[u8]) -> Result<Row, ReadError> {
        let catalog = self.catalog_of(path)?;
        let row = catalog.row(path).cloned();
        row.ok_or_else(|| ReadError::NotFound(shown(path)))
    }

    /// What is in a directory, by name.
    pub fn list(&self, path: &[u8]) -> Result<Vec<Row>, ReadError> {
        let catalog = self.catalog_of(path)?;
        let row = catalog
            .row(path)
            .ok_or_else(|| ReadError::NotFound(shown(path)))?;
        if row.kind() != RowKind::Dir {
            return Err(ReadError::Not {
                path: shown(path),
                expected: "directory",
            });
        }
        Ok(catalog.children(path).map(|(_, row)| row.clone()).collect())
    }

    /// The tags; none when the manifest names no history.
    pub fn history(&self) -> Result<Option<History>, ReadError> {
        let Some(hash) = self.manifest.history else {
            return Ok(None);
        };
        let bytes = self.document(&hash, ObjectKind::History, MAX_DATABASE)?;
        Ok(Some(History::read(&bytes, self.manifest.name.as_ref())?))
    }

    /// The reference log with its bytes, if there is one.
    pub fn reflog(&self) -> Result<Option<(Reflog, Vec<u8>)>, ReadError> {
        let Some(bytes) = read_all(self.source, REFLOG, MAX_DATABASE)? else {
            return Ok(None);
        };
        let log = Reflog::read(&bytes, self.manifest.name.as_ref())?;
        Ok(Some((log, bytes)))
    }

    /// The bytes of a file, each object checked against its name before its bytes are given.
    pub fn read<'a>(&'a self, row: &'a Row) -> Result<FileReader<'a>, ReadError> {
        let not = |expected| ReadError::Not {
            path: shown(&row.name),
            expected,
        };
        if row.kind() != RowKind::File {
            return Err(not("regular file"));
        }
        if row.has(flag::EXTERNAL) {
            return Err(not(
                "file of this repository: its bytes are on other servers",
            ));
        }
        let chunked = !row.chunks.is_empty();
        let mut objects: Vec<_> = row.objects().collect();
        // Where both forms exist, chunks are what clients read.
        objects.retain(|(_, kind, _)| (*kind == ObjectKind::Chunk) == chunked);
        objects.reverse();
        Ok(FileReader {
            source: self.source,
            plain: row.is_plain() == Some(true),
            objects,
            open: None,
        })
    }
}

/// Reads a file; what does not match its name ends in an error.
pub struct FileReader<'a> {
    source: &'a dyn Source,
    plain: bool,
    objects: Vec<(ObjectHash, ObjectKind, u64)>,
    open: Option<Box<dyn Read + Send + 'a>>,
}

impl std::fmt::Debug for FileReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileReader")
            .field("objects", &self.objects.len())
            .finish_non_exhaustive()
    }
}

/// Objects up to this many plain bytes are checked before any of them is given; with larger ones the
/// error comes at their end.
const IN_MEMORY: u64 = 64 << 20;

impl Read for FileReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(open) = &mut self.open {
                let read = open.read(out)?;
                if read > 0 || out.is_empty() {
                    return Ok(read);
                }
                self.open = None;
            }
            let Some((hash, kind, size)) = self.objects.pop() else {
                return Ok(0);
            };
            self.open = Some(if size <= IN_MEMORY {
                let bytes = object_bytes(self.source, &hash, kind, size, self.plain);
                Box::new(io::Cursor::new(bytes.map_err(io::Error::other)?))
            } else {
                let stream = ObjectStream::open(self.source, &hash, kind, size, self.plain);
                Box::new(stream.map_err(io::Error::other)?)
            });
        }
    }
}

/// The plain bytes of one object of a file.
pub(crate) fn object_bytes(
    source: &dyn Source,
    hash: &ObjectHash,
    kind: ObjectKind,
    size: u64,
    plain: bool,
) -> Result<Vec<u8>, ReadError> {
    let path = hash.path(kind);
    // A stream is hardly longer than what comes out of it.
    let limit = size.saturating_add(size / 100).saturating_add(1 << 16);
    let stream = read_all(source, &path, limit)?;
    let stream = stream.ok_or(ReadError::Missing { kind, path })?;
    if hash.algorithm.hash(&stream) != *hash {
        return Err(damaged(hash, kind, "its bytes have another hash"));
    }
    let bytes = if plain {
        stream
    } else {
        inflate(&stream, size).map_err(|error| damaged(hash, kind, error))?
    };
    if bytes.len() as u64 != size {
        let text = format!("{} bytes come out of it, not {size}", bytes.len());
        return Err(damaged(hash, kind, text));
    }
    Ok(bytes)
}

/// The plain bytes of a large object, piece by piece; what does not match its name or size is an
/// error at the end.
pub(crate) struct ObjectStream {
    bytes: Plain,
    hash: ObjectHash,
    kind: ObjectKind,
    left: u64,
}

enum Plain {
    AsIs(Hashed),
    Inflated(flate2::read::ZlibDecoder<Hashed>),
}

struct Hashed {
    inner: Box<dyn Read + Send>,
    hasher: Hasher,
}

impl Read for Hashed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.hasher.update(&out[..read]);
        Ok(read)
    }
}

impl ObjectStream {
    pub(crate) fn open(
        source: &dyn Source,
        hash: &ObjectHash,
        kind: ObjectKind,
        size: u64,
        plain: bool,
    ) -> Result<Self, ReadError> {
        let path = hash.path(kind);
        let inner = source.open(&path)?;
        let inner = inner.ok_or(ReadError::Missing { kind, path })?;
        let hasher = Hasher::new(hash.algorithm);
        let hashed = Hashed { inner, hasher };
        Ok(Self {
            bytes: if plain {
                Plain::AsIs(hashed)
            } else {
                Plain::Inflated(flate2::read::ZlibDecoder::new(hashed))
            },
            hash: *hash,
            kind,
            left: size,
        })
    }

    /// After the last byte: nothing follows, and the hash is right.
    fn finish(&mut self) -> io::Result<()> {
        let mut one = [0];
        let (more, hashed) = match &mut self.bytes {
            Plain::AsIs(hashed) => (hashed.read(&mut one)?, hashed),
            Plain::Inflated(decoder) => (decoder.read(&mut one)?, decoder.get_mut()),
        };
        io::copy(hashed, &mut io::sink())?;
        let hasher = std::mem::replace(&mut hashed.hasher, Hasher::new(self.hash.algorithm));
        let problem = if hasher.finish() != self.hash {
            "its bytes have another hash"
        } else if more > 0 {
            "more bytes come out of it than its row says"
        } else {
            return Ok(());
        };
        Err(io::Error::other(damaged(&self.hash, self.kind, problem)))
    }
}

impl Read for ObjectStream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || out.is_empty() {
            return Ok(0);
        }
        let wanted = out
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = match &mut self.bytes {
            Plain::AsIs(hashed) => hashed.read(&mut out[..wanted])?,
            Plain::Inflated(decoder) => decoder.read(&mut out[..wanted])?,
        };
        self.left -= read as u64;
        if read == 0 {
            let text = format!("{} bytes are missing", self.left);
            return Err(io::Error::other(damaged(&self.hash, self.kind, text)));
        }
        if self.left == 0 {
            self.finish()?;
        }
        Ok(read)
    }
}

fn damaged(hash: &ObjectHash, kind: ObjectKind, problem: impl Into<Problem>) -> ReadError {
    ReadError::Damaged {
        kind,
        path: hash.path(kind),
        problem: problem.into().0,
    }
}

/// What is wrong with an object, as text.
struct Problem(String);

impl From<&str> for Problem {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// A path of a repository for people.
pub(crate) fn shown(path: &[u8]) -> String {
    if path.is_empty() {
        "/".into()
    } else {
        show(path)
    }
}
