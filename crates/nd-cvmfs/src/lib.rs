//! CVMFS repositories: read, verify, publish and replicate, natively.
//!
//! A repository is a set of content-addressed objects, SQLite catalogues and a signed manifest. This
//! crate knows the format and nothing of connections: bytes come from a [`Source`] and go to a
//! [`Storage`]; [`Directory`] is the one that it has. It is synchronous, needs no root, no FUSE and
//! no tool of CVMFS.

mod catalog;
mod chunk;
mod collect;
mod compress;
mod diff;
mod directory;
mod hash;
mod history;
mod keys;
mod known;
mod learn;
mod letter;
mod manifest;
mod name;
mod publish;
mod reflog;
mod replicate;
mod repository;
mod storage;
mod tree;
mod untag;
mod verify;
mod whitelist;

pub use catalog::{
    Catalog, CatalogError, CatalogProblem, Chunk, Counter, Counters, Nested, Row, RowKind,
    Statistics, flag, pack_xattrs, unpack_xattrs,
};
pub use chunk::{ChunkSizes, Chunker};
pub use collect::{Action, Collected, Keep, Target, collect, find_revision, roll_back};
pub use compress::{DeflateLevel, Deflater};
pub use diff::{Change, Difference, diff};
pub use directory::Directory;
pub use hash::{Algorithm, Hasher, ObjectHash, ObjectKind, ParseHashError, PathHash};
pub use history::{History, HistoryError, Tag};
pub use keys::{
    Certificate, KeyError, KeyFolder, Keys, MasterKey, MasterPublicKey, ReleaseKey,
    assemble_whitelist, hash_to_sign, seal_whitelist,
};
pub use known::{Known, Piece, Stored};
pub use learn::{Learned, learn};
pub use letter::LetterError;
pub use manifest::{Manifest, ManifestError};
pub use name::{RepositoryName, RepositoryNameError, TagName, TagNameError};
pub use publish::{
    Begin, CutOptions, NestedAt, NewRepository, ObjectCounts, ObjectOptions, PublishError,
    Published, Publisher, PutOptions, Revision, create, cuts,
};
pub use reflog::{Reference, Reflog, ReflogError};
pub use replicate::{ReplicateError, ReplicateOptions, Replicated, read_state, replicate};
pub use repository::{FileReader, ReadError, Repository, TrustError};
pub use storage::{Guard, Source, Storage, StorageError, Version, read_all};
pub use tree::{RepositoryContents, TreeError, UNREAD};
pub use untag::untag;
pub use verify::{Depth, Finding, Verified, VerifyError, VerifyOptions, is_sound_database, verify};
pub use whitelist::{DEFAULT_DAYS, Whitelist, WhitelistError};

/// The name of the manifest.
pub const MANIFEST: &str = ".cvmfspublished";
/// The name of the whitelist.
pub const WHITELIST: &str = ".cvmfswhitelist";
/// The name of the reference log.
pub const REFLOG: &str = ".cvmfsreflog";
/// The name of the file that marks the root of a nested catalogue.
pub(crate) const MARKER: &[u8] = b".cvmfscatalog";
/// The largest manifest, whitelist or certificate, in bytes.
pub(crate) const SMALL: u64 = 1 << 20;
/// The largest object that is copied, in bytes; it is held in memory while it is.
pub(crate) const MAX_OBJECT: u64 = 1 << 30;

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
