//! Reading a catalogue. Everything in it is hostile; what breaks an invariant is listed, not obeyed.

mod rows;

use std::collections::{BTreeMap, HashMap};

use nd_rootfs::{MAX_PATH, MAX_TARGET, show};
use rusqlite::Connection;

use super::{
    counters::{Counter, Counters, Statistics},
    row::{Row, RowKind, flag, unpack_xattrs},
    sqlite::{check_integrity, open_bytes, property},
};
use crate::hash::{ObjectHash, PathHash};
use rows::{Found, Problems, bad_name, bytes_of, columns, number, read_rows};

/// Rows that one catalogue may have.
const MAX_ROWS: usize = 4_000_000;

/// A reference to the catalogue of a subtree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nested {
    /// The object.
    pub hash: ObjectHash,
    /// Bytes of its uncompressed data base; 0 where an old catalogue does not say.
    pub size: u64,
}

/// A catalogue in memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalog {
    /// The absolute path at which it begins; empty for the root catalogue.
    pub prefix: Vec<u8>,
    /// Properties but for `root_prefix`.
    pub properties: BTreeMap<String, String>,
    /// Rows in tree order, by their path with every `/` read as byte 0.
    pub rows: BTreeMap<Vec<u8>, Row>,
    /// Catalogues below, by absolute path.
    pub nested: BTreeMap<Vec<u8>, Nested>,
    /// Snapshots of other revisions, by absolute path.
    pub binds: BTreeMap<Vec<u8>, Nested>,
    /// The counters that are stored.
    pub statistics: Statistics,
}

/// Paths as keys of rows: their byte order is tree order.
pub(crate) fn key(path: &[u8]) -> Vec<u8> {
    path.iter()
        .map(|&b| if b == b'/' { 0 } else { b })
        .collect()
}

/// The path of a key.
pub(crate) fn path_of_key(key: &[u8]) -> Vec<u8> {
    key.iter().map(|&b| if b == 0 { b'/' } else { b }).collect()
}

/// Why bytes are no catalogue at all.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// SQLite refuses them, or a table is not as it should be.
    #[error("the catalogue cannot be read")]
    Sqlite(#[from] rusqlite::Error),
    /// SQLite's own check found damage.
    #[error("the catalogue's data base is damaged: {0}")]
    Damaged(String),
    /// The schema is one we do not know.
    #[error("the catalogue has the unknown schema `{0}`")]
    Schema(String),
    /// It has more rows than any catalogue may have.
    #[error("the catalogue has more than {MAX_ROWS} rows")]
    Rows,
    /// An invariant is broken, so nothing can be written on top of it.
    #[error("the catalogue breaks an invariant: {0}")]
    Problem(CatalogProblem),
}

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}`: {problem}")]
pub struct CatalogProblem {
    /// The path, for people.
    pub path: String,
    /// What is wrong.
    pub problem: String,
}

impl Catalog {
    /// Reads a data base that should begin at `prefix`, with every broken invariant.
    pub fn read(bytes: &[u8], prefix: &[u8]) -> Result<(Self, Vec<CatalogProblem>), CatalogError> {
        let connection = open_bytes(bytes)?;
        if let Some(text) = check_integrity(&connection)? {
            return Err(CatalogError::Damaged(text));
        }
        let schema = property(&connection, "schema")?.unwrap_or_default();
        // Old data bases hold the text of a float.
        if !schema.parse::<f64>().is_ok_and(|n| (2.3..2.6).contains(&n)) {
            return Err(CatalogError::Schema(schema.chars().take(40).collect()));
        }
        let mut out = Self {
            prefix: prefix.to_vec(),
            ..Self::default()
        };
        let mut problems = Problems(Vec::new());
        out.read_properties(&connection, &mut problems)?;
        let found = read_rows(&connection, &mut problems)?;
        out.place(found, &mut problems);
        out.read_nested(&connection, &mut problems)?;
        out.read_statistics(&connection)?;
        out.check(&mut problems);
        Ok((out, problems.0))
    }

    /// The same, refusing a catalogue with any broken invariant.
    pub fn read_sound(bytes: &[u8], prefix: &[u8]) -> Result<Self, CatalogError> {
        let (catalog, mut problems) = Self::read(bytes, prefix)?;
        if problems.is_empty() {
            Ok(catalog)
        } else {
            Err(CatalogError::Problem(problems.remove(0)))
        }
    }

    /// The row of an absolute path.
    pub fn row(&self, path: &[u8]) -> Option<&Row> {
        self.rows.get(&key(path))
    }

    /// Every path that has a row, in tree order.
    pub fn paths(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.rows.keys().map(|key| path_of_key(key))
    }

    /// Rows below a path of this catalogue with their paths, in tree order; the path itself is left
    /// out.
    pub fn below(&self, path: &[u8]) -> impl Iterator<Item = (Vec<u8>, &Row)> {
        let start = [&key(path)[..], &[0]].concat();
        let rows = self.rows.range(start.clone()..);
        rows.take_while(move |(key, _)| key.starts_with(&start))
            .map(|(key, row)| (path_of_key(key), row))
    }

    /// Names and rows in a directory, by name.
    pub fn children(&self, path: &[u8]) -> impl Iterator<Item = (Vec<u8>, &Row)> {
        let depth = path.len() + 1;
        self.below(path)
            .filter(move |(child, _)| !child[depth..].contains(&b'/'))
    }

    /// The catalogue below that describes `path`, if one does.
    pub fn nested_for(&self, path: &[u8]) -> Option<(&[u8], Nested)> {
        let ends = (path.iter().enumerate())
            .filter(|(_, b)| **b == b'/')
            .map(|(at, _)| at);
        ends.chain([path.len()])
            .filter(|&end| end > self.prefix.len())
            .find_map(|end| self.nested.get_key_value(&path[..end]))
            .map(|(mount, nested)| (&mount[..], *nested))
    }

    /// The revision that the catalogue says it has.
    pub fn revision(&self) -> u64 {
        let text = self.properties.get("revision");
        text.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    fn read_properties(
        &mut self,
        connection: &Connection,
        problems: &mut Problems,
    ) -> Result<(), CatalogError> {
        let mut query = connection.prepare("SELECT key, value FROM properties LIMIT 1000")?;
        let mut rows = query.query([])?;
        let mut prefix = Vec::new();
        while let Some(row) = rows.next()? {
            let (key, value) = (bytes_of(row.get_ref(0)?), bytes_of(row.get_ref(1)?));
            match (key, value) {
                (b"root_prefix", value) => prefix = value.to_vec(),
                (key, value) => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    self.properties.insert(text(key), text(value));
                }
            }
        }
        if prefix != self.prefix {
            let text = format!("the catalogue says it begins at `{}`", show(&prefix));
            problems.add(&self.prefix, text);
        }
        Ok(())
    }

    /// Gives rows their paths, beginning at the root of the catalogue. Rows that no walk reaches are
    /// left out and counted.
    fn place(&mut self, found: Found, problems: &mut Problems) {
        let Found {
            mut rows,
            mut children,
        } = found;
        let total = rows.len();
        let root = PathHash::of(&self.prefix);
        let Some(first) = rows.remove(&root) else {
            problems.add(
                &self.prefix,
                "the catalogue has no row of its own root".into(),
            );
            return;
        };
        if first.kind() != RowKind::Dir {
            problems.add(
                &self.prefix,
                "the root of the catalogue is no directory".into(),
            );
        }
        let mut open = vec![(self.prefix.clone(), root)];
        self.rows.insert(key(&self.prefix), first);
        while let Some((path, hash)) = open.pop() {
            let is_dir = self
                .row(&path)
                .is_some_and(|row| row.kind() == RowKind::Dir);
            for child in children.remove(&hash).unwrap_or_default() {
                let Some(row) = rows.remove(&child) else {
                    continue;
                };
                if let Some(problem) = bad_name(&row.name) {
                    problems.add(&path, format!("the name `{}` {problem}", show(&row.name)));
                    continue;
                }
                let below = [&path[..], b"/", &row.name].concat();
                if !is_dir {
                    problems.add(&below, "it lies below what is no directory".into());
                } else if below.len() > MAX_PATH {
                    problems.add(&below[..100], "the path is too long".into());
                } else if PathHash::of(&below) != child {
                    problems.add(&below, "its path hash is another path's".into());
                } else {
                    if row.kind() == RowKind::Dir {
                        open.push((below.clone(), child));
                    }
                    if self.rows.insert(key(&below), row).is_some() {
                        problems.add(&below, "it stands twice".into());
                    }
                }
            }
        }
        let lost = total - self.rows.len();
        if lost > 0 {
            let text = format!("{lost} rows of the catalogue belong to no directory");
            problems.add(&self.prefix, text);
        }
    }

    fn read_nested(
        &mut self,
        connection: &Connection,
        problems: &mut Problems,
    ) -> Result<(), CatalogError> {
        for table in ["nested_catalogs", "bind_mountpoints"] {
            let columns = columns(connection, table)?;
            if columns.is_empty() && table == "bind_mountpoints" {
                continue;
            }
            let size = if columns.iter().any(|name| name == "size") {
                "size"
            } else {
                "0"
            };
            let mut query =
                connection.prepare(&format!("SELECT path, sha1, {size} FROM {table}"))?;
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                let path = bytes_of(row.get_ref(0)?).to_vec();
                let text = String::from_utf8_lossy(bytes_of(row.get_ref(1)?)).into_owned();
                let size = number(row.get_ref(2)?).unwrap_or(0);
                let Ok(hash) = text.parse() else {
                    problems.add(&path, "the hash of its catalogue is malformed".into());
                    continue;
                };
                let size = u64::try_from(size).unwrap_or(0);
                let list = match table {
                    "nested_catalogs" => &mut self.nested,
                    _ => &mut self.binds,
                };
                list.insert(path, Nested { hash, size });
            }
        }
        Ok(())
    }

    fn read_statistics(&mut self, connection: &Connection) -> Result<(), CatalogError> {
        let mut query = connection.prepare("SELECT counter, value FROM statistics LIMIT 1000")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let name = String::from_utf8_lossy(bytes_of(row.get_ref(0)?)).into_owned();
            let value = number(row.get_ref(1)?).unwrap_or(0);
            for counter in Counter::ALL {
                if name.strip_prefix("self_") == Some(counter.name()) {
                    self.statistics.own.set(counter, value);
                }
                if name.strip_prefix("subtree_") == Some(counter.name()) {
                    self.statistics.subtree.set(counter, value);
                }
            }
        }
        Ok(())
    }

    fn check(&self, problems: &mut Problems) {
        let mut counters = Counters::default();
        counters.count_nested(self.nested.len());
        let mut subdirs: HashMap<&[u8], u32> = HashMap::new();
        let mut groups: HashMap<(&[u8], u32), Vec<Member<'_>>> = HashMap::new();
        for (key, row) in &self.rows {
            counters.count(row);
            if key.len() > self.prefix.len() {
                let above = key.iter().rposition(|&b| b == 0).unwrap_or(0);
                if row.kind() == RowKind::Dir {
                    *subdirs.entry(&key[..above]).or_default() += 1;
                }
                if row.link_group != 0 {
                    groups
                        .entry((&key[..above], row.link_group))
                        .or_default()
                        .push((key, row));
                }
            }
            let bad = |problem: String| problems.add(&path_of_key(key), problem);
            self.check_row(key, row, bad);
        }
        for (key, row) in &self.rows {
            let expected = 2 + subdirs.get(&key[..]).copied().unwrap_or(0);
            // What is below a mount point is counted in the catalogue that has it.
            if row.kind() == RowKind::Dir
                && !row.has(flag::MOUNT_POINT)
                && row.flags & flag::BIND_MOUNT == 0
                && row.links != expected
            {
                let text = format!("its link count is {}, not {expected}", row.links);
                problems.add(&path_of_key(key), text);
            }
        }
        for members in groups.values() {
            let plain = |row: &Row| Row {
                name: Vec::new(),
                ..row.clone()
            };
            let first = plain(members[0].1);
            let equal = members.iter().all(|(_, row)| plain(row) == first);
            if !equal || first.links as usize != members.len() {
                let text = "the names of its hard-link group differ or are miscounted";
                problems.add(&path_of_key(members[0].0), text.into());
            }
        }
        for path in self.nested.keys() {
            if !self
                .row(path)
                .is_some_and(|row| row.has(flag::DIR | flag::MOUNT_POINT))
            {
                problems.add(
                    path,
                    "a catalogue is registered where none is mounted".into(),
                );
            }
        }
        for counter in Counter::ALL {
            let (found, expected) = (self.statistics.own.get(counter), counters.get(counter));
            if found != expected {
                let name = counter.name();
                let text = format!("the counter `self_{name}` is {found}, not {expected}");
                problems.add(&self.prefix, text);
            }
        }
    }

    fn check_row(&self, key: &[u8], row: &Row, mut bad: impl FnMut(String)) {
        let path = path_of_key(key);
        let is_root = path == self.prefix;
        if row.has(flag::NESTED_ROOT) != (is_root && !self.prefix.is_empty()) {
            bad("it is marked as root of a catalogue where none begins, or is not".into());
        }
        if !row.is_consistent() {
            bad(format!(
                "its flags {} contradict its mode {:o}",
                row.flags, row.mode
            ));
        }
        if row.algorithm().is_none() || row.is_plain().is_none() {
            bad(format!(
                "its flags {} name an unknown hash or compression",
                row.flags
            ));
        }
        if row.links == 0 {
            bad("its link count is 0".into());
        }
        if let Some(packed) = &row.xattrs
            && unpack_xattrs(packed).is_none()
        {
            bad("its extended attributes are malformed".into());
        }
        let is_file = row.kind() == RowKind::File;
        if !is_file && (row.hash.is_some() || !row.chunks.is_empty()) {
            bad("it is no file and has content".into());
        }
        if !is_file && row.flags & (flag::EXTERNAL | flag::CHUNKED | flag::DIRECT_IO) != 0 {
            bad("it is no file and has flags of files".into());
        }
        if row.kind() == RowKind::Symlink {
            if row.symlink.is_empty() || row.symlink.len() > MAX_TARGET {
                bad("its target is empty or too long".into());
            }
        } else if !row.symlink.is_empty() {
            bad("it has a target and is no symlink".into());
        }
        if is_file {
            if row.has(flag::CHUNKED) == row.chunks.is_empty() {
                bad("it is marked as chunked and has no chunks, or the other way round".into());
            }
            if !row.has(flag::CHUNKED) && row.hash.is_none() && !row.has(flag::EXTERNAL) {
                bad("it has no content".into());
            }
            let mut end = 0u64;
            for chunk in &row.chunks {
                if chunk.offset != end || chunk.size == 0 {
                    bad(format!("its chunks do not join at {end}"));
                    break;
                }
                end = end.saturating_add(chunk.size);
            }
            if !row.chunks.is_empty() && end != row.size {
                bad(format!("its chunks have {end} bytes, not {}", row.size));
            }
            let name = &row.name[..];
            let beside = path.len() == self.prefix.len() + 1 + name.len();
            let misplaced = self.prefix.is_empty() || !beside;
            if name == crate::MARKER && misplaced && path != b"/.cvmfscatalog" {
                bad("a catalogue marker stands where no catalogue begins".into());
            }
        }
        if is_root && !self.prefix.is_empty() {
            let marker = [&self.prefix[..], b"/", crate::MARKER].concat();
            if self.row(&marker).is_none() {
                bad("the catalogue has no marker file in its root".into());
            }
        }
        if row.has(flag::MOUNT_POINT) {
            if !self.nested.contains_key(&path) {
                bad("it is marked as mount point and no catalogue is registered".into());
            }
            if self.below(&path).next().is_some() {
                bad("there are rows below a mount point".into());
            }
        }
    }
}

/// One name of a hard link, with its key.
type Member<'a> = (&'a [u8], &'a Row);
