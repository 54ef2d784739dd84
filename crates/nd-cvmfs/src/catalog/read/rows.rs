//! The rows of a catalogue's data base, and what is wrong with them.

use std::collections::HashMap;

use nd_rootfs::{MAX_NAME, show};
use rusqlite::{Connection, types::ValueRef};

use super::{CatalogError, CatalogProblem, MAX_ROWS};
use crate::{
    catalog::row::{Chunk, Row, flag},
    hash::{Algorithm, ObjectHash, PathHash},
};

pub(super) struct Problems(pub(super) Vec<CatalogProblem>);

impl Problems {
    pub(super) fn add(&mut self, path: &[u8], problem: String) {
        // A hostile catalogue could have millions; nobody reads them.
        if self.0.len() < 1000 {
            let path = if path.is_empty() {
                "/".into()
            } else {
                show(path)
            };
            self.0.push(CatalogProblem { path, problem });
        }
    }
}

pub(super) fn bad_name(name: &[u8]) -> Option<&'static str> {
    match name {
        b"" => Some("is empty"),
        b"." | b".." => Some("leads elsewhere"),
        _ if name.len() > MAX_NAME => Some("is too long"),
        _ if name.contains(&b'/') => Some("holds a slash"),
        _ if name.contains(&0) => Some("holds a NUL byte"),
        _ => None,
    }
}

pub(super) struct Found {
    pub(super) rows: HashMap<PathHash, Row>,
    pub(super) children: HashMap<PathHash, Vec<PathHash>>,
}

pub(super) fn bytes_of(value: ValueRef<'_>) -> &[u8] {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        _ => b"",
    }
}

pub(super) fn number(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Integer(number) => Some(number),
        _ => None,
    }
}

pub(super) fn columns(
    connection: &Connection,
    table: &str,
) -> Result<Vec<String>, rusqlite::Error> {
    let mut query = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let names = query.query_map([table], |row| row.get(0))?;
    names.collect()
}

fn digest(value: ValueRef<'_>, algorithm: Algorithm) -> Option<ObjectHash> {
    let digest = bytes_of(value).try_into().ok()?;
    Some(ObjectHash { algorithm, digest })
}

pub(super) fn read_rows(
    connection: &Connection,
    problems: &mut Problems,
) -> Result<Found, CatalogError> {
    let columns_here = columns(connection, "catalog")?;
    let column = |name: &'static str| {
        if columns_here.iter().any(|have| have == name) {
            name
        } else {
            "NULL"
        }
    };
    let sql = format!(
        "SELECT md5path_1, md5path_2, parent_1, parent_2, hardlinks, hash, size, mode, mtime,
         {}, flags, name, symlink, uid, gid, {} FROM catalog",
        column("mtimens"),
        column("xattr")
    );
    let mut query = connection.prepare(&sql)?;
    let mut rows = query.query([])?;
    let mut found = Found {
        rows: HashMap::new(),
        children: HashMap::new(),
    };
    while let Some(row) = rows.next()? {
        if found.rows.len() == MAX_ROWS {
            return Err(CatalogError::Rows);
        }
        let int = |at: usize| number(row.get_ref(at)?).ok_or_else(|| wrong_type(at));
        let small = |at: usize| {
            let value = int(at)?;
            u32::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(at, value))
        };
        let hash = PathHash(int(0)?, int(1)?);
        let parent = PathHash(int(2)?, int(3)?);
        let (links, flags) = (int(4)? as u64, small(10)?);
        let algorithm = Algorithm::of_bits((flags & flag::HASH) >> 8).unwrap_or_default();
        let name = bytes_of(row.get_ref(11)?).to_vec();
        let content = row.get_ref(5)?;
        let content_hash = digest(content, algorithm);
        let is_null = matches!(content, ValueRef::Null);
        if content_hash.is_none() && !is_null && !bytes_of(content).is_empty() {
            problems.add(&name, "the hash of its content is malformed".into());
        }
        let xattrs = match row.get_ref(15)? {
            ValueRef::Null => None,
            value => Some(bytes_of(value).to_vec()),
        };
        let size = u64::try_from(int(6)?).unwrap_or_else(|_| {
            problems.add(&name, "its size is negative".into());
            0
        });
        let entry = Row {
            name,
            mode: small(7)?,
            flags,
            size,
            mtime: int(8)?,
            mtime_ns: number(row.get_ref(9)?),
            uid: small(13)?,
            gid: small(14)?,
            links: links as u32,
            link_group: (links >> 32) as u32,
            hash: content_hash,
            symlink: bytes_of(row.get_ref(12)?).to_vec(),
            xattrs,
            chunks: Vec::new(),
        };
        found.children.entry(parent).or_default().push(hash);
        if found.rows.insert(hash, entry).is_some() {
            problems.add(b"", "two rows have one path hash".into());
        }
    }
    if columns(connection, "chunks")?.is_empty() {
        return Ok(found);
    }
    let mut query = connection.prepare(
        "SELECT md5path_1, md5path_2, offset, size, hash FROM chunks
         ORDER BY md5path_1, md5path_2, offset",
    )?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let int = |at: usize| number(row.get_ref(at)?).ok_or_else(|| wrong_type(at));
        let owner = found.rows.get_mut(&PathHash(int(0)?, int(1)?));
        let Some(owner) = owner else {
            problems.add(b"", "a chunk belongs to no row".into());
            continue;
        };
        let algorithm = owner.algorithm().unwrap_or_default();
        let (offset, size) = (u64::try_from(int(2)?), u64::try_from(int(3)?));
        match (offset, size, digest(row.get_ref(4)?, algorithm)) {
            (Ok(offset), Ok(size), Some(hash)) if owner.chunks.len() < MAX_ROWS => {
                owner.chunks.push(Chunk { offset, size, hash });
            }
            _ => problems.add(&owner.name, "one of its chunks is malformed".into()),
        }
    }
    Ok(found)
}

fn wrong_type(at: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(at, "integer".into(), rusqlite::types::Type::Null)
}
