//! The data base of tags.

use rusqlite::{Connection, params};

use crate::{
    catalog::{attach, check_integrity, open_bytes, property, to_bytes},
    hash::ObjectHash,
    name::RepositoryName,
};

/// A named revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Its name.
    pub name: String,
    /// The root catalogue.
    pub root: ObjectHash,
    /// The revision.
    pub revision: u64,
    /// When it was published, in seconds since 1970.
    pub timestamp: i64,
    /// What it is for.
    pub description: String,
    /// Bytes of the uncompressed root catalogue.
    pub size: u64,
}

/// Why bytes are no data base of tags.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// SQLite refuses them, or a table is not as it should be.
    #[error("the history cannot be read")]
    Sqlite(#[from] rusqlite::Error),
    /// SQLite's own check found damage.
    #[error("the history's data base is damaged: {0}")]
    Damaged(String),
    /// It belongs to another repository.
    #[error("the history is that of `{0}`")]
    Name(String),
    /// A tag points to no object.
    #[error("the tag `{0}` names no catalogue")]
    Tag(String),
}

/// All tags of a repository, and the data base that holds them.
#[derive(Debug)]
pub struct History {
    connection: Connection,
}

/// As many tags as are read.
const MAX_TAGS: usize = 1_000_000;

impl History {
    /// No tags yet.
    pub fn new(name: &RepositoryName) -> Result<Self, HistoryError> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(
            "PRAGMA page_size = 4096;
             CREATE TABLE properties (key TEXT, value TEXT, CONSTRAINT pk_properties PRIMARY KEY (key));
             CREATE TABLE branches (branch TEXT, parent TEXT, initial_revision INTEGER,
               CONSTRAINT pk_branch PRIMARY KEY (branch),
               FOREIGN KEY (parent) REFERENCES branches (branch),
               CHECK ((branch <> '') OR (parent IS NULL)),
               CHECK ((branch = '') OR (parent IS NOT NULL)));
             CREATE TABLE tags (name TEXT, hash TEXT, revision INTEGER, timestamp INTEGER,
               channel INTEGER, description TEXT, size INTEGER, branch TEXT,
               CONSTRAINT pk_tags PRIMARY KEY (name),
               FOREIGN KEY (branch) REFERENCES branches (branch));
             CREATE TABLE recycle_bin (hash TEXT, flags INTEGER, CONSTRAINT pk_hash PRIMARY KEY (hash));
             INSERT INTO branches VALUES ('', NULL, 0);
             INSERT INTO properties VALUES ('schema', '1.0'), ('schema_revision', '3');",
        )?;
        connection.execute(
            "INSERT INTO properties VALUES ('fqrn', ?1)",
            [name.as_str()],
        )?;
        Ok(Self { connection })
    }

    /// Reads a data base; everything in it is checked. It can be changed in memory.
    pub fn read(bytes: &[u8], name: Option<&RepositoryName>) -> Result<Self, HistoryError> {
        let suspicious = open_bytes(bytes)?;
        if let Some(text) = check_integrity(&suspicious)? {
            return Err(HistoryError::Damaged(text));
        }
        let fqrn = property(&suspicious, "fqrn")?.unwrap_or_default();
        if name.is_some_and(|name| name.as_str() != fqrn) {
            return Err(HistoryError::Name(fqrn.chars().take(80).collect()));
        }
        let history = Self {
            connection: suspicious,
        };
        history.tags()?;
        let mut connection = Connection::open_in_memory()?;
        attach(&mut connection, bytes, false)?;
        Ok(Self { connection })
    }

    /// All tags, newest revision first.
    pub fn tags(&self) -> Result<Vec<Tag>, HistoryError> {
        let mut query = self.connection.prepare(
            "SELECT name, hash, revision, timestamp, description, size FROM tags
             ORDER BY revision DESC, timestamp DESC, name",
        )?;
        let mut rows = query.query([])?;
        let mut tags = Vec::new();
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            let root: String = row.get(1)?;
            let root = root.parse().map_err(|_| HistoryError::Tag(name.clone()))?;
            let number = |at: usize| row.get::<_, Option<i64>>(at).map(|n| n.unwrap_or(0));
            tags.push(Tag {
                root,
                revision: number(2)?.max(0).cast_unsigned(),
                timestamp: number(3)?,
                description: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
                size: number(5)?.max(0).cast_unsigned(),
                name,
            });
            if tags.len() == MAX_TAGS {
                break;
            }
        }
        Ok(tags)
    }

    /// Notes a new head: the former one stays as `trunk-previous`.
    pub fn advance(&self, head: &Tag, previous: Option<ObjectHash>) -> Result<(), HistoryError> {
        self.connection.execute_batch(
            "DELETE FROM tags WHERE name = 'trunk-previous';
             UPDATE tags SET name = 'trunk-previous', description = 'default undo target'
               WHERE name = 'trunk';",
        )?;
        let trunk = Tag {
            name: "trunk".into(),
            description: "current HEAD".into(),
            ..head.clone()
        };
        self.add(&trunk)?;
        if let Some(previous) = previous {
            self.connection.execute(
                "INSERT OR REPLACE INTO properties VALUES ('previous_revision', ?1)",
                [previous.to_string()],
            )?;
        }
        Ok(())
    }

    /// Adds a tag, in place of one of the same name.
    pub fn add(&self, tag: &Tag) -> Result<(), HistoryError> {
        self.connection.execute(
            "INSERT OR REPLACE INTO tags (name, hash, revision, timestamp, channel, description,
             size, branch) VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, '')",
            params![
                tag.name,
                tag.root.to_string(),
                tag.revision as i64,
                tag.timestamp,
                tag.description,
                tag.size as i64
            ],
        )?;
        Ok(())
    }

    /// Removes a tag; says whether there was one.
    pub fn remove(&self, name: &str) -> Result<bool, HistoryError> {
        Ok(self
            .connection
            .execute("DELETE FROM tags WHERE name = ?1", [name])?
            > 0)
    }

    /// The bytes of the data base.
    pub fn to_bytes(&mut self) -> Result<Vec<u8>, HistoryError> {
        Ok(to_bytes(&mut self.connection)?)
    }
}
