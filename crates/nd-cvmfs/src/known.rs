//! From plain content to published objects: a hint that spares compression, never a proof.

use std::{collections::HashSet, path::Path};

use nd_names::Sha256;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::hash::{Algorithm, ObjectHash, ObjectKind};

/// Content that was published before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Plain bytes.
    pub size: u64,
    /// The objects, in order; one of kind file, or chunks.
    pub pieces: Vec<Piece>,
}

/// One object of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Its name.
    pub hash: ObjectHash,
    /// Plain bytes.
    pub size: u64,
    /// Bytes of the object.
    pub stored: u64,
    /// Whether the bytes are stored without zlib.
    pub plain: bool,
}

impl Stored {
    /// What its objects are.
    pub fn kind(&self) -> ObjectKind {
        match self.pieces.len() {
            1 => ObjectKind::File,
            _ => ObjectKind::Chunk,
        }
    }
}

/// The index, a file that may be lost or damaged at any time: it is made again.
#[derive(Debug)]
pub struct Known {
    connection: Connection,
}

const SCHEMA: &str = "
PRAGMA journal_mode = MEMORY;
PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS content1 (
  algorithm INTEGER, content BLOB, size INTEGER, pieces BLOB, PRIMARY KEY (algorithm, content)
) WITHOUT ROWID;
";

/// Bytes of one piece in the table.
const PIECE: usize = 20 + 8 + 8 + 1;

impl Known {
    /// The index in `path`, made when it is not there or damaged.
    pub fn open(path: &Path) -> Result<Self, rusqlite::Error> {
        let open = || {
            let connection = Connection::open(path)?;
            connection.busy_timeout(std::time::Duration::from_secs(5))?;
            connection.execute_batch(SCHEMA)?;
            Ok(Self { connection })
        };
        open().or_else(|_: rusqlite::Error| {
            // What stands there helps nobody.
            let _ = fs_err::remove_file(path);
            open()
        })
    }

    /// An index that is gone with the process.
    pub fn in_memory() -> Result<Self, rusqlite::Error> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self { connection })
    }

    /// What is known of a content; a damaged entry is none.
    pub fn get(&self, algorithm: Algorithm, content: &Sha256) -> Option<Stored> {
        let mut query = self
            .connection
            .prepare_cached(
                "SELECT size, pieces FROM content1 WHERE algorithm = ?1 AND content = ?2",
            )
            .ok()?;
        let found = query.query_row(params![algorithm.bits(), content.as_bytes()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        });
        let (size, pieces) = found.optional().ok()??;
        let size = u64::try_from(size).ok()?;
        if pieces.is_empty() || pieces.len() % PIECE != 0 {
            return None;
        }
        let number = |bytes: &[u8]| Some(u64::from_le_bytes(bytes.try_into().ok()?));
        let pieces = pieces.chunks(PIECE).map(|bytes| {
            Some(Piece {
                hash: ObjectHash {
                    algorithm,
                    digest: bytes[..20].try_into().ok()?,
                },
                size: number(&bytes[20..28])?,
                stored: number(&bytes[28..36])?,
                plain: bytes[36] != 0,
            })
        });
        let pieces: Vec<Piece> = pieces.collect::<Option<_>>()?;
        let sum = pieces
            .iter()
            .try_fold(0u64, |sum, piece| sum.checked_add(piece.size))?;
        (sum == size).then_some(Stored { size, pieces })
    }

    /// What is known of contents; those that are not known are left out.
    pub fn get_all<'a>(
        &self,
        algorithm: Algorithm,
        contents: impl Iterator<Item = &'a Sha256>,
    ) -> Vec<(Sha256, Stored)> {
        // The file is locked and looked at once, not for each of them.
        let _reading = self.connection.unchecked_transaction();
        contents
            .filter_map(|content| Some((*content, self.get(algorithm, content)?)))
            .collect()
    }

    /// For each content that is known, the digests of its objects one after the other.
    pub(crate) fn names(&self, algorithm: Algorithm) -> Result<HashSet<Vec<u8>>, rusqlite::Error> {
        let mut query = self
            .connection
            .prepare("SELECT pieces FROM content1 WHERE algorithm = ?1")?;
        let rows = query.query_map([algorithm.bits()], |row| row.get::<_, Vec<u8>>(0))?;
        rows.map(|pieces| {
            let pieces = pieces?;
            let names = pieces.chunks_exact(PIECE).flat_map(|piece| &piece[..20]);
            Ok(names.copied().collect())
        })
        .collect()
    }

    /// Notes contents, all or none.
    pub fn insert<'a>(
        &mut self,
        algorithm: Algorithm,
        contents: impl IntoIterator<Item = (&'a Sha256, &'a Stored)>,
    ) -> Result<(), rusqlite::Error> {
        let transaction = self.connection.transaction()?;
        {
            let mut insert =
                transaction.prepare("INSERT OR REPLACE INTO content1 VALUES (?1, ?2, ?3, ?4)")?;
            for (content, stored) in contents {
                let mut bytes = Vec::with_capacity(stored.pieces.len() * PIECE);
                for piece in &stored.pieces {
                    bytes.extend(piece.hash.digest);
                    bytes.extend(piece.size.to_le_bytes());
                    bytes.extend(piece.stored.to_le_bytes());
                    bytes.push(u8::from(piece.plain));
                }
                insert.execute(params![
                    algorithm.bits(),
                    content.as_bytes(),
                    stored.size as i64,
                    bytes
                ])?;
            }
        }
        transaction.commit()
    }
}
