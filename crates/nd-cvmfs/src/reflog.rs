//! The reference log `.cvmfsreflog`: every root that was ever written, for the collector.

use rusqlite::{Connection, params};

use crate::{
    catalog::{attach, check_integrity, open_bytes, property, to_bytes},
    hash::{ObjectHash, ObjectKind},
    name::RepositoryName,
};

/// One root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// The object.
    pub hash: ObjectHash,
    /// What it is.
    pub kind: ObjectKind,
    /// When it was written, in seconds since 1970.
    pub timestamp: i64,
}

/// Why bytes are no reference log.
#[derive(Debug, thiserror::Error)]
pub enum ReflogError {
    /// SQLite refuses them, or a table is not as it should be.
    #[error("the reference log cannot be read")]
    Sqlite(#[from] rusqlite::Error),
    /// SQLite's own check found damage.
    #[error("the reference log's data base is damaged: {0}")]
    Damaged(String),
    /// It belongs to another repository.
    #[error("the reference log is that of `{0}`")]
    Name(String),
    /// A row makes no sense.
    #[error("the reference log has the malformed row `{0}`")]
    Row(String),
}

/// The reference log in memory.
#[derive(Debug)]
pub struct Reflog {
    connection: Connection,
}

const KINDS: [ObjectKind; 4] = [
    ObjectKind::Catalog,
    ObjectKind::Certificate,
    ObjectKind::History,
    ObjectKind::MetaInfo,
];

impl Reflog {
    /// Nothing written yet.
    pub fn new(name: &RepositoryName) -> Result<Self, ReflogError> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(
            "PRAGMA page_size = 4096;
             CREATE TABLE properties (key TEXT, value TEXT, CONSTRAINT pk_properties PRIMARY KEY (key));
             CREATE TABLE refs (hash TEXT PRIMARY KEY, type INTEGER, timestamp INTEGER);
             INSERT INTO properties VALUES ('schema', '1.0'), ('schema_revision', '0');",
        )?;
        connection.execute(
            "INSERT INTO properties VALUES ('fqrn', ?1)",
            [name.as_str()],
        )?;
        Ok(Self { connection })
    }

    /// Reads a data base; everything in it is checked. It can be changed in memory.
    pub fn read(bytes: &[u8], name: Option<&RepositoryName>) -> Result<Self, ReflogError> {
        let suspicious = open_bytes(bytes)?;
        if let Some(text) = check_integrity(&suspicious)? {
            return Err(ReflogError::Damaged(text));
        }
        let fqrn = property(&suspicious, "fqrn")?.unwrap_or_default();
        if name.is_some_and(|name| name.as_str() != fqrn) {
            return Err(ReflogError::Name(fqrn.chars().take(80).collect()));
        }
        let log = Self {
            connection: suspicious,
        };
        log.references()?;
        let mut connection = Connection::open_in_memory()?;
        attach(&mut connection, bytes, false)?;
        Ok(Self { connection })
    }

    /// Everything registered, newest first.
    pub fn references(&self) -> Result<Vec<Reference>, ReflogError> {
        let mut query = (self.connection)
            .prepare("SELECT hash, type, timestamp FROM refs ORDER BY timestamp DESC, hash")?;
        let mut rows = query.query([])?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            let (text, kind): (String, i64) = (row.get(0)?, row.get(1)?);
            let wrong = || ReflogError::Row(text.chars().take(80).collect());
            let kind = usize::try_from(kind).ok().and_then(|at| KINDS.get(at));
            out.push(Reference {
                hash: text.parse().map_err(|_| wrong())?,
                kind: *kind.ok_or_else(wrong)?,
                timestamp: row.get(2)?,
            });
        }
        Ok(out)
    }

    /// Registers an object, or its new time.
    pub fn add(&self, reference: Reference) -> Result<(), ReflogError> {
        let kind = KINDS.iter().position(|kind| *kind == reference.kind);
        self.connection.execute(
            "INSERT OR REPLACE INTO refs VALUES (?1, ?2, ?3)",
            params![
                reference.hash.to_string(),
                kind.map(|kind| kind as i64),
                reference.timestamp
            ],
        )?;
        Ok(())
    }

    /// Forgets an object.
    pub fn remove(&self, hash: &ObjectHash) -> Result<(), ReflogError> {
        (self.connection).execute("DELETE FROM refs WHERE hash = ?1", [hash.to_string()])?;
        Ok(())
    }

    /// The bytes of the data base.
    pub fn to_bytes(&mut self) -> Result<Vec<u8>, ReflogError> {
        self.connection.execute_batch("VACUUM")?;
        Ok(to_bytes(&mut self.connection)?)
    }
}
