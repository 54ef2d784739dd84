//! Writing a catalogue: a new data base each time, rows in tree order.

use rusqlite::{
    Connection, ToSql, params,
    types::{ToSqlOutput, ValueRef},
};

use super::{
    counters::{Counter, Statistics},
    read::Catalog,
    sqlite::to_bytes,
};
use crate::hash::PathHash;

const SCHEMA: &str = "
PRAGMA page_size = 4096;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA foreign_keys = OFF;
BEGIN;
CREATE TABLE properties (key TEXT, value TEXT, CONSTRAINT pk_properties PRIMARY KEY (key));
CREATE TABLE catalog (md5path_1 INTEGER, md5path_2 INTEGER, parent_1 INTEGER, parent_2 INTEGER,
  hardlinks INTEGER, hash BLOB, size INTEGER, mode INTEGER, mtime INTEGER, mtimens INTEGER,
  flags INTEGER, name TEXT, symlink TEXT, uid INTEGER, gid INTEGER, xattr BLOB,
  CONSTRAINT pk_catalog PRIMARY KEY (md5path_1, md5path_2));
CREATE TABLE chunks (md5path_1 INTEGER, md5path_2 INTEGER, offset INTEGER, size INTEGER, hash BLOB,
  CONSTRAINT pk_chunks PRIMARY KEY (md5path_1, md5path_2, offset, size),
  FOREIGN KEY (md5path_1, md5path_2) REFERENCES catalog (md5path_1, md5path_2));
CREATE TABLE nested_catalogs (path TEXT, sha1 TEXT, size INTEGER,
  CONSTRAINT pk_nested_catalogs PRIMARY KEY (path));
CREATE TABLE bind_mountpoints (path TEXT, sha1 TEXT, size INTEGER,
  CONSTRAINT pk_bind_mountpoints PRIMARY KEY (path));
CREATE TABLE statistics (counter TEXT, value INTEGER, CONSTRAINT pk_statistics PRIMARY KEY (counter));
";

/// Bytes as TEXT, whether or not they are UTF-8.
struct Text<'a>(&'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

/// The data base of a catalogue. Counters of its own rows are taken anew; `statistics.own` is
/// ignored.
pub(crate) fn write(catalog: &Catalog) -> Result<(Vec<u8>, Statistics), rusqlite::Error> {
    let mut connection = Connection::open_in_memory()?;
    connection.execute_batch(SCHEMA)?;
    let mut statistics = Statistics {
        subtree: catalog.statistics.subtree,
        ..Statistics::default()
    };
    statistics.own.count_nested(catalog.nested.len());
    {
        let mut row_in = connection.prepare(
            "INSERT INTO catalog VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16)",
        )?;
        let mut chunk_in = connection.prepare("INSERT INTO chunks VALUES (?1,?2,?3,?4,?5)")?;
        for (key, row) in &catalog.rows {
            statistics.own.count(row);
            let path = super::read::path_of_key(key);
            let hash = PathHash::of(&path);
            let parent = match path.iter().rposition(|&b| b == b'/') {
                Some(at) => PathHash::of(&path[..at]),
                None => PathHash::NONE,
            };
            let links = i64::from(row.link_group) << 32 | i64::from(row.links);
            row_in.execute(params![
                hash.0,
                hash.1,
                parent.0,
                parent.1,
                links,
                row.hash.as_ref().map(|hash| &hash.digest[..]),
                row.size as i64,
                row.mode,
                row.mtime,
                row.mtime_ns,
                row.flags,
                Text(&row.name),
                Text(&row.symlink),
                row.uid,
                row.gid,
                row.xattrs,
            ])?;
            for chunk in &row.chunks {
                chunk_in.execute(params![
                    hash.0,
                    hash.1,
                    chunk.offset as i64,
                    chunk.size as i64,
                    &chunk.hash.digest[..]
                ])?;
            }
        }
        let mut property_in = connection.prepare("INSERT INTO properties VALUES (?1, ?2)")?;
        for (key, value) in &catalog.properties {
            property_in.execute(params![key, value])?;
        }
        if !catalog.prefix.is_empty() {
            property_in.execute(params!["root_prefix", Text(&catalog.prefix)])?;
        }
        for (table, nested) in [
            ("nested_catalogs", &catalog.nested),
            ("bind_mountpoints", &catalog.binds),
        ] {
            let mut nested_in =
                connection.prepare(&format!("INSERT INTO {table} VALUES (?1, ?2, ?3)"))?;
            for (path, child) in nested {
                nested_in.execute(params![
                    Text(path),
                    child.hash.to_string(),
                    child.size as i64
                ])?;
            }
        }
        let mut counter_in = connection.prepare("INSERT INTO statistics VALUES (?1, ?2)")?;
        for (part, values) in [("self", statistics.own), ("subtree", statistics.subtree)] {
            for counter in Counter::ALL {
                let name = format!("{part}_{}", counter.name());
                counter_in.execute(params![name, values.get(counter)])?;
            }
        }
    }
    connection.execute_batch(
        "CREATE INDEX idx_catalog_parent ON catalog (parent_1, parent_2); COMMIT;",
    )?;
    Ok((to_bytes(&mut connection)?, statistics))
}
